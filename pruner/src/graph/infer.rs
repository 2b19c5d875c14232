//! Shape inference: recomputes every shape from the input's and checks all that a graph promises.

use super::{Axis, Graph, Node, Op, Shape, Window};
use crate::error::{Error, Result};

/// Largest number of elements of one activation; what is larger is a broken file, not a network for a device.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// Recomputes every shape and checks the graph: node 0 is the only input, nodes are in topological order with the right
/// number of inputs, and every parameter has the length that its operator needs.
///
/// # Errors
/// Names the node and what does not fit.
pub fn infer(mut graph: Graph) -> Result<Graph> {
    let shape = match graph.nodes.first() {
        Some(Node { op: Op::Input, inputs, shape, .. }) if inputs.is_empty() => *shape,
        _ => return Err(Error::new("the first node of a graph must be its input")),
    };
    let fits = match graph.input_rank {
        1 => shape.h == 1 && shape.w == 1,
        2 => shape.h == 1,
        rank => rank == 3,
    };
    if !fits {
        return Err(Error::new(format!("an input of shape {shape} cannot have rank {}", graph.input_rank)));
    }
    sized(shape).map_err(|what| named(&graph.nodes[0], &what))?;
    if graph.output >= graph.nodes.len() {
        return Err(Error::new(format!("output is node {} of {}", graph.output, graph.nodes.len())));
    }
    for id in 1..graph.nodes.len() {
        let node = &graph.nodes[id];
        let inputs: Option<Vec<Shape>> = node.inputs.iter().map(|&i| (i < id).then(|| graph.nodes[i].shape)).collect();
        let shape = inputs
            .ok_or_else(|| "it reads a node that does not come before it".to_owned())
            .and_then(|inputs| result_shape(&node.op, &inputs))
            .map_err(|what| named(node, &what))?;
        graph.nodes[id].shape = shape;
    }
    Ok(graph)
}

fn named(node: &Node, what: &str) -> Error {
    Error::new(format!("{} node \"{}\": {what}", node.op.name(), node.name))
}

/// Shape of the result of one operation.
///
/// # Errors
/// Says what does not fit.
pub fn result_shape(op: &Op, inputs: &[Shape]) -> std::result::Result<Shape, String> {
    let arity = match op {
        Op::Input => 0,
        Op::Add | Op::Mul => 2,
        Op::Concat => inputs.len().max(2),
        _ => 1,
    };
    let &[x, ..] = inputs else { return Err("a second input, or a node without inputs".into()) };
    if inputs.len() != arity {
        return Err(format!("it has {} inputs and needs {arity}", inputs.len()));
    }
    let shape = match op {
        Op::Input => x,
        Op::Conv(conv) => {
            let w = &conv.window;
            let grouped = conv.groups > 0 && conv.out % conv.groups == 0;
            if !grouped || conv.inp.checked_mul(conv.groups) != Some(x.c) {
                return Err(format!(
                    "{} groups of {} input channels into {} do not fit an input of {x}",
                    conv.groups, conv.inp, conv.out
                ));
            }
            let weights = product(&[conv.out, conv.inp, w.kernel[0], w.kernel[1]]);
            lengths("weights", weights, &conv.weight)?;
            lengths("biases", Some(conv.out), &conv.bias)?;
            let (h, w) = slide(w, x)?;
            Shape::new(conv.out, h, w)
        }
        Op::BatchNorm(norm) => {
            for (what, values) in
                [("scales", &norm.gamma), ("shifts", &norm.beta), ("means", &norm.mean), ("variances", &norm.var)]
            {
                lengths(what, Some(x.c), values)?;
            }
            x
        }
        Op::Clip { lo, hi } => {
            if lo.is_nan() || hi.is_nan() || lo > hi {
                return Err(format!("bounds {lo} and {hi} hold no value"));
            }
            x
        }
        Op::Add => {
            if inputs[1] != x {
                return Err(format!("shapes {x} and {} differ", inputs[1]));
            }
            x
        }
        Op::MaxPool(window) | Op::AvgPool { window, .. } => {
            // A window without any tap on the input has neither a maximum nor a mean.
            let covered = |i: usize| match window.pad[i].max(window.pad[i + 2]) {
                0 => true,
                pad => window.dilation[i] == 1 && pad < window.kernel[i],
            };
            if !(covered(0) && covered(1)) {
                return Err("a window can lie wholly in the padding".into());
            }
            let (h, w) = slide(window, x)?;
            Shape::new(x.c, h, w)
        }
        Op::GlobalAvgPool => Shape::vector(x.c),
        Op::Flatten => Shape::vector(x.len()),
        Op::Linear(linear) => {
            if x != Shape::vector(linear.inp) {
                return Err(format!("it takes a vector of {} features, not {x}", linear.inp));
            }
            lengths("weights", product(&[linear.out, linear.inp]), &linear.weight)?;
            lengths("biases", Some(linear.out), &linear.bias)?;
            Shape::vector(linear.out)
        }
        Op::Softmax => {
            if x != Shape::vector(x.c) {
                return Err(format!("it takes a vector, not {x}"));
            }
            x
        }
        Op::Concat => {
            let other = inputs.iter().find(|y| (y.h, y.w) != (x.h, x.w));
            if let Some(y) = other {
                return Err(format!("{x} and {y} differ in height or width"));
            }
            let c = inputs.iter().try_fold(0usize, |c, y| c.checked_add(y.c)).ok_or("too many channels")?;
            Shape::new(c, x.h, x.w)
        }
        Op::Mul => {
            if inputs[1] != x && inputs[1] != Shape::vector(x.c) {
                return Err(format!("a second input of {} is neither {x} nor one factor per channel", inputs[1]));
            }
            x
        }
        Op::Activation(f) => {
            if !f.is_finite() {
                return Err(format!("a parameter of {f:?} is not finite"));
            }
            x
        }
        Op::Resize { scale: [v, h] } => match (x.h.checked_mul(*v), x.w.checked_mul(*h)) {
            (Some(h), Some(w)) => Shape::new(x.c, h, w),
            _ => return Err(format!("{x} scaled by {v}×{h} is too large")),
        },
        Op::Pad { pad: [top, left, bottom, right], value } => {
            if !value.is_finite() {
                return Err(format!("it fills with {value}, which is not finite"));
            }
            let grown = |size: usize, a: usize, b: usize| size.checked_add(a)?.checked_add(b);
            match (grown(x.h, *top, *bottom), grown(x.w, *left, *right)) {
                (Some(h), Some(w)) => Shape::new(x.c, h, w),
                _ => return Err("its border is too wide".into()),
            }
        }
        &Op::Slice { axis, begin, len } => {
            if begin.checked_add(len).is_none_or(|end| end > x.along(axis)) {
                return Err(format!("{len} from {begin} on along {axis:?} do not fit an input of {x}"));
            }
            match axis {
                Axis::C => Shape { c: len, ..x },
                Axis::H => Shape { h: len, ..x },
                Axis::W => Shape { w: len, ..x },
            }
        }
    };
    sized(shape)?;
    Ok(shape)
}

fn slide(window: &Window, x: Shape) -> std::result::Result<(usize, usize), String> {
    let positive = [window.kernel, window.stride, window.dilation].iter().flatten().all(|&n| n > 0);
    window
        .output(x.h, x.w)
        .filter(|_| positive)
        .ok_or_else(|| format!("a window of {}×{} does not fit an input of {x}", window.kernel[0], window.kernel[1]))
}

fn sized(shape: Shape) -> std::result::Result<(), String> {
    match product(&[shape.c, shape.h, shape.w]) {
        Some(1..=MAX_ELEMENTS) => Ok(()),
        _ => Err(format!("shape {shape} is empty or too large")),
    }
}

fn lengths(what: &str, wanted: Option<usize>, values: &[f32]) -> std::result::Result<(), String> {
    if wanted != Some(values.len()) {
        return Err(format!("it has {} {what} where its shape says {}", values.len(), wanted.unwrap_or(usize::MAX)));
    }
    Ok(())
}

fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1usize, |product, &f| product.checked_mul(f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Activation;
    use crate::graph::samples::{self, Builder};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn built_graphs_infer_to_themselves(seed in any::<u64>()) {
            let graph = samples::varied_graph(seed);
            prop_assert_eq!(infer(graph.clone()).expect("sound"), graph);
        }
    }

    #[test]
    fn shapes_that_do_not_go_together_are_named() {
        let (x, y) = (Shape::new(4, 6, 8), Shape::new(3, 6, 8));
        let gate = Shape::vector(4);
        let slice = |axis, begin, len| Op::Slice { axis, begin, len };
        let pad = |value| Op::Pad { pad: [1, 2, 3, 4], value };
        let good = [
            (Op::Concat, vec![x, y, y], Shape::new(10, 6, 8)),
            (Op::Mul, vec![x, x], x),
            (Op::Mul, vec![x, gate], x),
            (Op::Activation(Activation::HardSwish), vec![x], x),
            (Op::Resize { scale: [2, 3] }, vec![x], Shape::new(4, 12, 24)),
            (pad(0.5), vec![x], Shape::new(4, 10, 14)),
            (slice(Axis::C, 1, 3), vec![x], Shape::new(3, 6, 8)),
            (slice(Axis::H, 5, 1), vec![x], Shape::new(4, 1, 8)),
            (slice(Axis::W, 0, 8), vec![x], x),
        ];
        for (op, inputs, want) in good {
            assert_eq!(result_shape(&op, &inputs), Ok(want), "{op:?}");
        }
        let wide = usize::MAX;
        let bad = [
            (Op::Concat, vec![x], "needs 2"),
            (Op::Concat, vec![x, gate], "height or width"),
            (Op::Mul, vec![gate, x], "per channel"),
            (Op::Mul, vec![x, Shape::vector(3)], "per channel"),
            (Op::Activation(Activation::LeakyRelu { slope: f32::NAN }), vec![x], "not finite"),
            (Op::Resize { scale: [0, 1] }, vec![x], "empty"),
            (Op::Resize { scale: [1, wide] }, vec![x], "too large"),
            (Op::Pad { pad: [wide, 1, 1, 1], value: 0.0 }, vec![x], "too wide"),
            (pad(f32::INFINITY), vec![x], "not finite"),
            (slice(Axis::C, 2, 3), vec![x], "along C"),
            (slice(Axis::W, wide, 2), vec![x], "along W"),
            (slice(Axis::H, 0, 0), vec![x], "empty"),
        ];
        for (op, inputs, word) in bad {
            let error = result_shape(&op, &inputs).expect_err(word);
            assert!(error.contains(word), "{op:?}: {error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut b = Builder::new(1, Shape::new(2, 4, 4));
        let x = b.conv(0, 3, [3, 3], 1, 1);
        let x = b.flatten(x);
        let x = b.linear(x, 5);
        let good = b.finish(x);
        type Break = fn(&mut Graph);
        let broken: [(&str, &str, Break); 7] = [
            ("Conv", "conv1", |g| g.nodes[0].shape.c = 3),
            ("Linear", "linear3", |g| g.nodes[0].shape.h = 5),
            ("Linear", "linear3", |g| g.nodes[3].inputs[0] = 1),
            ("Flatten", "flatten2", |g| g.nodes[2].inputs[0] = 2),
            ("Conv", "conv1", |g| g.nodes[1].inputs.push(0)),
            ("output", "9", |g| g.output = 9),
            ("Input", "too large", |g| g.nodes[0].shape.w = usize::MAX),
        ];
        for (op, word, break_it) in broken {
            let mut graph = good.clone();
            break_it(&mut graph);
            let error = infer(graph).expect_err(word).to_string();
            assert!(error.contains(op) && error.contains(word), "{error}");
        }
        let mut huge = good;
        let Op::Conv(conv) = &mut huge.nodes[1].op else { unreachable!() };
        conv.window.pad = [usize::MAX / 4; 4];
        assert!(infer(huge).is_err());
    }
}
