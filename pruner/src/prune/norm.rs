//! Normalisation for the fine-tuning, measured on training rows.

use crate::error::Result;
use crate::graph::norm::restore_norm;
use crate::graph::{Graph, NodeId, Op};
use crate::net::{Net, Set, floats};
use burn::tensor::Device;

/// Rows that the statistics of normalisation are measured on.
const NORM_ROWS: usize = 1024;

/// Gives every convolution its batch normalisation back, measured so that the function is the same.
///
/// # Errors
/// When the device fails, or an activation is not finite.
pub fn with_norm(graph: &Graph, train: &Set, device: &Device) -> Result<Graph> {
    let convs: Vec<NodeId> = (0..graph.nodes.len()).filter(|&i| matches!(graph.nodes[i].op, Op::Conv(_))).collect();
    let single = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    let moments = moments(graph, &convs, train, device)?;
    let stats: Vec<_> =
        convs.into_iter().zip(moments).map(|(id, (mean, var))| (id, single(mean), single(var))).collect();
    restore_norm(graph, &stats)
}

/// Mean and variance of every channel of what these nodes make of training rows.
///
/// # Errors
/// When the device fails.
pub fn moments(graph: &Graph, nodes: &[NodeId], train: &Set, device: &Device) -> Result<Vec<(Vec<f64>, Vec<f64>)>> {
    let net = Net::new(graph, device);
    let zeros = |&i: &NodeId| vec![0.0; graph.nodes[i].shape.c];
    // Per node and channel, the sum and the sum of squares; and the number of values of a channel.
    let mut sums: Vec<(Vec<f64>, Vec<f64>, usize)> = nodes.iter().map(|i| (zeros(i), zeros(i), 0)).collect();
    for rows in train.spread(NORM_ROWS).chunks(128) {
        let values = net.forward_hooked(net.input(train.gather(rows)), &[], nodes).1;
        for ((&id, value), (sum, squares, n)) in nodes.iter().zip(values).zip(&mut sums) {
            let s = graph.nodes[id].shape;
            for sample in floats(value)?.chunks(s.len()) {
                for (c, plane) in sample.chunks(s.h * s.w).enumerate() {
                    sum[c] += plane.iter().map(|v| *v as f64).sum::<f64>();
                    squares[c] += plane.iter().map(|v| (*v as f64).powi(2)).sum::<f64>();
                }
                *n += s.h * s.w;
            }
        }
    }
    let one = |(sum, squares, n): (Vec<f64>, Vec<f64>, usize)| {
        let mean: Vec<f64> = sum.iter().map(|s| s / n.max(1) as f64).collect();
        let var = squares.iter().zip(&mean).map(|(q, m)| (q / n.max(1) as f64 - m * m).max(0.0)).collect();
        (mean, var)
    };
    Ok(sums.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::eval::eval_output;
    use crate::graph::norm::fold_batch_norm;
    use crate::net::{device, zoo};

    #[test]
    fn the_function_stays_and_the_statistics_are_the_datas() {
        let graph = fold_batch_norm(zoo::build("dscnn1d", &[2, 24], 3, 1).unwrap());
        let width = graph.input_shape().len();
        let x: Vec<f32> = (0..20 * width).map(|i| ((i * 37 % 101) as f32 - 50.0) / 30.0).collect();
        let set = Set::for_test(x.clone(), vec![0; 20], width);
        let normed = with_norm(&graph, &set, &device("cpu").unwrap()).unwrap();
        let norms = normed.nodes.iter().filter(|n| matches!(n.op, Op::BatchNorm(_))).count();
        assert_eq!(norms, graph.nodes.iter().filter(|n| matches!(n.op, Op::Conv(_))).count());
        for row in x.chunks(width) {
            let (want, got) = (eval_output(&graph, row), eval_output(&normed, row));
            assert!(want.iter().zip(&got).all(|(a, b)| (a - b).abs() < 1e-3), "{want:?} {got:?}");
        }
        assert!(
            with_norm(&graph, &Set::for_test(vec![f32::NAN; width], vec![0], width), &device("cpu").unwrap()).is_err()
        );
    }
}
