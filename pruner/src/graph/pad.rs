//! Borders of zeros that the next layer can add by itself.

use super::infer::result_shape;
use super::{Graph, NodeId, Op, drop_dead};

/// Takes every [`Op::Pad`] with zeros into the windows of the layers that read it, where the function stays the same:
/// convolutions, means that count their padding, and maxima of values that are not negative. Whatever else reads
/// the padded value goes on doing so.
pub(crate) fn fold_pad(mut graph: Graph) -> Graph {
    for id in 1..graph.nodes.len() {
        // A border around a border needs several rounds.
        while fold_into(&mut graph, id) {}
    }
    drop_dead(graph)
}

/// Takes the border that node `id` reads into its window, if there is one that it can take.
fn fold_into(graph: &mut Graph, id: NodeId) -> bool {
    let node = &graph.nodes[id];
    let Some(&input) = node.inputs.first() else { return false };
    let border = &graph.nodes[input];
    let Op::Pad { pad, value: 0.0 } = border.op else { return false };
    let source = border.inputs[0];
    let mut op = node.op.clone();
    let window = match &mut op {
        Op::Conv(conv) => &mut conv.window,
        Op::AvgPool { window, count_pad: true } => window,
        Op::MaxPool(window) if is_positive(graph, source) => window,
        _ => return false,
    };
    // The padding of a maximum never wins, so its own is no obstacle; that of the others is zeros as well.
    for (own, more) in window.pad.iter_mut().zip(pad) {
        match own.checked_add(more).filter(|&sum| sum <= usize::from(u16::MAX)) {
            Some(sum) => *own = sum,
            None => return false,
        }
    }
    if result_shape(&op, &[graph.nodes[source].shape]) != Ok(node.shape) {
        return false;
    }
    let node = &mut graph.nodes[id];
    (node.op, node.inputs) = (op, vec![source]);
    true
}

/// True when no value of the node can be below zero.
fn is_positive(graph: &Graph, id: NodeId) -> bool {
    match graph.nodes[id].op {
        Op::Clip { lo, .. } => lo >= 0.0,
        Op::Activation(super::Activation::Sigmoid | super::Activation::HardSigmoid { .. }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::eval::eval_output;
    use crate::graph::samples::{self, Builder};
    use crate::graph::{Shape, Window};

    /// The graph after folding, which must compute the same.
    fn folded(graph: Graph) -> Vec<&'static str> {
        let small = fold_pad(graph.clone());
        let x = samples::input(&graph, 1);
        let (want, got) = (eval_output(&graph, &x), eval_output(&small, &x));
        assert!(
            want.len() == got.len() && want.iter().zip(&got).all(|(a, b)| (a - b).abs() < 1e-5),
            "{want:?} {got:?}"
        );
        small.nodes.iter().map(|n| n.op.name()).collect()
    }

    #[test]
    fn zeros_go_into_the_window_and_all_else_stays() {
        let window = Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pad: [1, 0, 0, 1] };
        let one = |value: f32, relu: bool, last: &dyn Fn(&mut Builder, NodeId) -> NodeId| {
            let mut b = Builder::new(1, Shape::new(2, 6, 8));
            let x = if relu { b.clip(0, 1.0) } else { 0 };
            let x = b.push(Op::Pad { pad: [0, 1, 2, 0], value }, &[x]);
            let y = last(&mut b, x);
            folded(b.finish(y))
        };
        let conv = |b: &mut Builder, x| b.conv(x, 3, [3, 3], 2, 1);
        let max = |b: &mut Builder, x| b.push(Op::MaxPool(window), &[x]);
        let mean = |count_pad| move |b: &mut Builder, x| b.push(Op::AvgPool { window, count_pad }, &[x]);
        assert_eq!(one(0.0, false, &conv), ["Input", "Conv"]);
        assert_eq!(one(0.5, false, &conv), ["Input", "Pad", "Conv"]);
        assert_eq!(one(0.0, false, &max), ["Input", "Pad", "MaxPool"]);
        assert_eq!(one(0.0, true, &max), ["Input", "Clip", "MaxPool"]);
        assert_eq!(one(0.0, false, &mean(true)), ["Input", "AvgPool"]);
        assert_eq!(one(0.0, false, &mean(false)), ["Input", "Pad", "AvgPool"]);
        // Read twice, padded twice.
        let twice = |b: &mut Builder, x| {
            let again = b.push(Op::Pad { pad: [1; 4], value: 0.0 }, &[x]);
            let y = b.conv(again, 2, [3, 3], 1, 1);
            let window = Window { kernel: [9, 10], stride: [1, 1], dilation: [1, 1], pad: [0; 4] };
            let z = b.push(Op::MaxPool(window), &[again]);
            let y = b.push(Op::GlobalAvgPool, &[y]);
            let z = b.push(Op::GlobalAvgPool, &[z]);
            b.add(y, z)
        };
        let names = one(0.0, false, &twice);
        assert_eq!(names, ["Input", "Pad", "Pad", "Conv", "MaxPool", "GlobalAvgPool", "GlobalAvgPool", "Add"]);
        let wide = |b: &mut Builder, x| {
            let x = b.push(Op::Pad { pad: [3; 4], value: 0.0 }, &[x]);
            b.push(Op::AvgPool { window, count_pad: true }, &[x])
        };
        // A window must not lie wholly in the padding.
        assert_eq!(one(0.0, false, &wide), ["Input", "Pad", "Pad", "AvgPool"]);
    }
}
