//! Batch normalisation: folded away for lowering, put back for the fine-tuning.

use super::edit::bypass;
use super::{BatchNorm, Graph, Node, NodeId, Op};
use crate::error::{Error, Result};

/// Epsilon of the normalisations that [`restore_norm`] makes (PyTorch's default).
const EPS: f32 = 1e-5;

/// Folds every batch normalisation into the convolution or fully connected layer that alone feeds it. A normalisation
/// behind anything else stays.
pub fn fold_batch_norm(graph: Graph) -> Graph {
    let readers = graph.consumers();
    let mut graph = graph;
    let mut stands_in: Vec<NodeId> = (0..graph.nodes.len()).collect();
    for id in 0..graph.nodes.len() {
        let Op::BatchNorm(norm) = &graph.nodes[id].op else { continue };
        let input = graph.nodes[id].inputs[0];
        if readers[input].len() != 1 || graph.output == input {
            continue;
        }
        let (scale, shift) = affine(norm);
        // The input may itself be a normalisation that has just been folded.
        let layer = stands_in[input];
        let (weight, bias) = match &mut graph.nodes[layer].op {
            Op::Conv(conv) => (&mut conv.weight, &mut conv.bias),
            Op::Linear(linear) => (&mut linear.weight, &mut linear.bias),
            _ => continue,
        };
        let row = weight.len() / bias.len();
        for (c, weights) in weight.chunks_exact_mut(row).enumerate() {
            weights.iter_mut().for_each(|w| *w = (f64::from(*w) * scale[c]) as f32);
            bias[c] = (f64::from(bias[c]) * scale[c] + shift[c]) as f32;
        }
        stands_in[id] = layer;
    }
    bypass(graph, &stands_in)
}

/// The normalisation as `x * scale + shift` per channel.
fn affine(norm: &BatchNorm) -> (Vec<f64>, Vec<f64>) {
    (0..norm.gamma.len())
        .map(|c| {
            let scale = f64::from(norm.gamma[c]) / (f64::from(norm.var[c]) + f64::from(norm.eps)).sqrt();
            (scale, f64::from(norm.beta[c]) - f64::from(norm.mean[c]) * scale)
        })
        .unzip()
}

/// Name of the normalisation that [`restore_norm`] puts behind a convolution.
pub fn norm_name(conv: &str) -> String {
    format!("{conv}/norm")
}

/// Gives convolutions their normalisation back for the fine-tuning: behind every convolution in `stats` that has none, a
/// batch normalisation with the measured mean and variance of the convolution's output as running statistics, and
/// with `gamma = sqrt(var + eps)`, `beta = mean`, so that the function stays what it was (up to rounding).
///
/// Each entry of `stats` is a convolution and the mean and variance of each of its output channels.
///
/// # Errors
/// When an entry is no convolution, or its statistics have the wrong length or are not finite.
pub fn restore_norm(graph: &Graph, stats: &[(NodeId, Vec<f32>, Vec<f32>)]) -> Result<Graph> {
    let readers = graph.consumers();
    let mut norms: Vec<Option<BatchNorm>> = vec![None; graph.nodes.len()];
    for (id, mean, var) in stats {
        let Some(Node { op: Op::Conv(conv), name, .. }) = graph.nodes.get(*id) else {
            return Err(Error::new(format!("node {id} is no convolution, so it takes no normalisation")));
        };
        let sound = mean.iter().chain(var).all(|v| v.is_finite()) && var.iter().all(|&v| v >= 0.0);
        if mean.len() != conv.out || var.len() != conv.out || !sound {
            return Err(Error::new(format!("statistics of \"{name}\" are not {} means and variances", conv.out)));
        }
        if readers[*id].iter().any(|&r| matches!(graph.nodes[r].op, Op::BatchNorm(_))) {
            continue;
        }
        let gamma = var.iter().map(|v| (v + EPS).sqrt()).collect();
        norms[*id] = Some(BatchNorm { gamma, beta: mean.clone(), mean: mean.clone(), var: var.clone(), eps: EPS });
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len() + stats.len());
    let mut renumbered = Vec::with_capacity(graph.nodes.len());
    for (node, norm) in graph.nodes.iter().zip(norms) {
        let inputs = node.inputs.iter().map(|&i| renumbered[i]).collect();
        nodes.push(Node { inputs, ..node.clone() });
        if let Some(norm) = norm {
            let inputs = vec![nodes.len() - 1];
            nodes.push(Node { name: norm_name(&node.name), op: Op::BatchNorm(norm), inputs, shape: node.shape });
        }
        renumbered.push(nodes.len() - 1);
    }
    Ok(Graph { output: renumbered[graph.output], nodes, ..graph.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::eval::{eval, eval_output};
    use crate::graph::infer::infer;
    use crate::graph::{Shape, samples};
    use proptest::prelude::*;

    fn close(a: &[f32], b: &[f32]) -> bool {
        let scale = a.iter().fold(1f32, |m, v| m.max(v.abs()));
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * scale)
    }

    proptest! {
        #[test]
        fn folding_and_restoring_keep_the_function(seed in any::<u64>()) {
            let graph = samples::varied_graph(seed);
            let x = samples::input(&graph, seed);
            let want = eval_output(&graph, &x);

            let folded = infer(fold_batch_norm(graph.clone())).expect("sound");
            prop_assert!(close(&want, &eval_output(&folded, &x)));
            for node in &folded.nodes {
                if matches!(node.op, Op::BatchNorm(_)) {
                    prop_assert!(!matches!(folded.nodes[node.inputs[0]].op, Op::Linear(_)));
                }
            }

            let values = eval(&folded, &x);
            let stats: Vec<_> = folded.nodes.iter().enumerate().filter(|(_, n)| matches!(n.op, Op::Conv(_)))
                .map(|(id, n)| {
                    let mean: Vec<f32> = values[id].chunks_exact(n.shape.h * n.shape.w)
                        .map(|row| row.iter().sum::<f32>() / row.len() as f32).collect();
                    let var = vec![0.5; mean.len()];
                    (id, mean, var)
                }).collect();
            let restored = infer(restore_norm(&folded, &stats).expect("sound")).expect("sound");
            prop_assert!(close(&want, &eval_output(&restored, &x)));
            let norms = |g: &Graph| g.nodes.iter().filter(|n| matches!(n.op, Op::BatchNorm(_))).count();
            prop_assert_eq!(norms(&fold_batch_norm(restored.clone())), norms(&folded));
            // Every convolution has its normalisation now, so asking again changes nothing.
            let again: Vec<_> = restored.nodes.iter().enumerate().filter_map(|(id, n)| match &n.op {
                Op::Conv(c) => Some((id, vec![0.0; c.out], vec![1.0; c.out])),
                _ => None,
            }).collect();
            prop_assert_eq!(restore_norm(&restored, &again).expect("sound"), restored);
        }
    }

    #[test]
    fn a_layer_that_others_read_is_not_folded() {
        let mut b = samples::Builder::new(3, Shape::new(2, 4, 4));
        let conv = b.conv(0, 3, [3, 3], 1, 1);
        let norm = b.norm(conv);
        let sum = b.add(conv, norm);
        let graph = b.finish(sum);
        assert_eq!(fold_batch_norm(graph.clone()), graph);
    }

    #[test]
    fn statistics_that_do_not_fit_are_refused() {
        let mut b = samples::Builder::new(3, Shape::new(2, 4, 4));
        let conv = b.conv(0, 3, [3, 3], 1, 1);
        let graph = b.finish(conv);
        assert!(restore_norm(&graph, &[(0, vec![0.0; 2], vec![1.0; 2])]).is_err());
        assert!(restore_norm(&graph, &[(1, vec![0.0; 2], vec![1.0; 3])]).is_err());
        assert!(restore_norm(&graph, &[(1, vec![0.0; 3], vec![-1.0; 3])]).is_err());
    }
}
