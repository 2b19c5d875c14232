//! Really removes channels: from the layers that make them, pass them on, and read them.

use crate::couple::Coupling;
use crate::error::{Error, Result};
use crate::graph::infer::infer;
use crate::graph::{Axis, BatchNorm, Conv, Graph, Linear, NodeId, Op};

/// The graph with only the channels in `keep`: for each class of `coupling` the indices that stay, ascending.
///
/// # Errors
/// Names the class of which no channel would stay, which is frozen and would lose one, or whose indices are not ascending
/// indices of its channels.
pub fn shrink(graph: &Graph, coupling: &Coupling, keep: &[Vec<usize>]) -> Result<Graph> {
    check(coupling, keep)?;
    // Features of a node's value that stay: behind a Flatten each channel is a run of them.
    let kept = |node: NodeId| -> Vec<usize> {
        let (mut begin, mut features) = (0, Vec::new());
        for part in coupling.parts(node) {
            features.extend(keep[part.class].iter().flat_map(|&c| begin + c * part.span..begin + (c + 1) * part.span));
            begin += coupling.classes[part.class].channels * part.span;
        }
        features
    };
    let mut small = graph.clone();
    for (id, node) in small.nodes.iter_mut().enumerate() {
        match &mut node.op {
            Op::Conv(conv) => {
                let rows = kept(id);
                if conv.is_depthwise() {
                    *conv = rows_of(conv, &rows);
                    conv.groups = rows.len();
                } else if conv.groups == 1 {
                    *conv = columns_of(&rows_of(conv, &rows), &kept(node.inputs[0]));
                }
                // Both classes of a grouped convolution are frozen: it stays as it is.
            }
            Op::Linear(linear) => {
                let (rows, columns) = (kept(id), kept(node.inputs[0]));
                let weight = pick(&pick(&linear.weight, linear.inp, &rows), 1, &strided(&rows, linear.inp, &columns));
                *linear = Linear { out: rows.len(), inp: columns.len(), weight, bias: pick(&linear.bias, 1, &rows) };
            }
            Op::BatchNorm(norm) => {
                let rows = kept(id);
                *norm = BatchNorm {
                    gamma: pick(&norm.gamma, 1, &rows),
                    beta: pick(&norm.beta, 1, &rows),
                    mean: pick(&norm.mean, 1, &rows),
                    var: pick(&norm.var, 1, &rows),
                    eps: norm.eps,
                };
            }
            Op::Slice { axis: Axis::C, begin, len } => {
                let before = kept(node.inputs[0]);
                let end = before.partition_point(|&f| f < *begin + *len);
                *begin = before.partition_point(|f| f < begin);
                *len = end - *begin;
            }
            _ => {}
        }
    }
    infer(small)
}

fn check(coupling: &Coupling, keep: &[Vec<usize>]) -> Result<()> {
    if keep.len() != coupling.classes.len() {
        return Err(Error::new(format!("{} lists of channels for {} classes", keep.len(), coupling.classes.len())));
    }
    for (class, keep) in coupling.classes.iter().zip(keep) {
        let name = &class.name;
        let Some(&last) = keep.last() else {
            return Err(Error::new(format!("channel group \"{name}\" would lose all its channels"))
                .help("every channel group keeps at least one"));
        };
        if last >= class.channels || keep.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::new(format!(
                "channels to keep of \"{name}\" are not ascending indices below {}",
                class.channels
            )));
        }
        if let Some(why) = class.frozen.as_ref().filter(|_| keep.len() < class.channels) {
            return Err(Error::new(format!("channel group \"{name}\" cannot lose channels: {why}")));
        }
    }
    Ok(())
}

/// The filters at `rows`.
fn rows_of(conv: &Conv, rows: &[usize]) -> Conv {
    let weight = pick(&conv.weight, conv.fan_in(), rows);
    Conv { out: rows.len(), weight, bias: pick(&conv.bias, 1, rows), ..without_weights(conv) }
}

/// All filters, reading only the input channels at `columns`.
fn columns_of(conv: &Conv, columns: &[usize]) -> Conv {
    let filters: Vec<usize> = (0..conv.out).collect();
    let weight = pick(&conv.weight, conv.window.taps(), &strided(&filters, conv.inp, columns));
    Conv { inp: columns.len(), weight, bias: conv.bias.clone(), ..without_weights(conv) }
}

fn without_weights(conv: &Conv) -> Conv {
    Conv { weight: vec![], bias: vec![], out: conv.out, inp: conv.inp, groups: conv.groups, window: conv.window }
}

/// The runs of `len` values at `indices`.
fn pick(values: &[f32], len: usize, indices: &[usize]) -> Vec<f32> {
    indices.iter().flat_map(|&i| &values[i * len..(i + 1) * len]).copied().collect()
}

/// Indices of `columns` in each of as many rows as there are in `rows`, rows of `width`.
fn strided(rows: &[usize], width: usize, columns: &[usize]) -> Vec<usize> {
    (0..rows.len()).flat_map(|r| columns.iter().map(move |c| r * width + c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::couple::{couple, widths};
    use crate::graph::eval::eval_output;
    use crate::graph::{Shape, samples};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Random channels of every class that is not frozen.
    fn random_keep(coupling: &Coupling, seed: u64) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        coupling
            .classes
            .iter()
            .map(|class| {
                let spared = rng.random_range(0..class.channels);
                let frozen = class.frozen.is_some();
                (0..class.channels).filter(|&c| frozen || c == spared || rng.random_bool(0.5)).collect()
            })
            .collect()
    }

    /// The definition: the dense graph whose readers ignore the removed channels.
    fn masked(graph: &Graph, coupling: &Coupling, keep: &[Vec<usize>]) -> Graph {
        let mut graph = graph.clone();
        for (class, keep) in coupling.classes.iter().zip(keep) {
            for consumer in &class.consumers {
                let removed = (0..class.channels).filter(|c| !keep.contains(c));
                let first = |c: usize| consumer.offset + c * consumer.span;
                let features: Vec<usize> = removed.flat_map(|c| first(c)..first(c + 1)).collect();
                let (weight, inp, taps) = match &mut graph.nodes[consumer.node].op {
                    Op::Conv(conv) => (&mut conv.weight, conv.inp, conv.window.kernel[0] * conv.window.kernel[1]),
                    Op::Linear(linear) => (&mut linear.weight, linear.inp, 1),
                    _ => unreachable!(),
                };
                for row in weight.chunks_exact_mut(inp * taps) {
                    for &f in &features {
                        row[f * taps..(f + 1) * taps].fill(0.0);
                    }
                }
            }
        }
        graph
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn shrinking_is_ignoring(seed in any::<u64>()) {
            let graph = samples::varied_graph(seed);
            let coupling = couple(&graph);
            let keep = random_keep(&coupling, seed);
            let small = shrink(&graph, &coupling, &keep).expect("sound");
            let x = samples::input(&graph, seed);
            let want = eval_output(&masked(&graph, &coupling, &keep), &x);
            let got = eval_output(&small, &x);
            let scale = want.iter().fold(1f32, |m, v| m.max(v.abs()));
            prop_assert!(want.iter().zip(&got).all(|(a, b)| (a - b).abs() <= 1e-4 * scale), "{want:?} {got:?}");
            prop_assert!(small.macs() <= graph.macs());
            let all: Vec<Vec<usize>> = coupling.classes.iter().map(|c| (0..c.channels).collect()).collect();
            prop_assert_eq!(shrink(&graph, &coupling, &all).expect("sound"), graph);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// The classes of the shrunk network are those of the dense one, so pruning can go on from there.
        #[test]
        fn classes_stay_what_they_are(seed in any::<u64>()) {
            let graph = samples::varied_graph(seed);
            let coupling = couple(&graph);
            let mut keep = random_keep(&coupling, seed);
            for (class, keep) in coupling.classes.iter().zip(&mut keep) {
                // With one channel left, a depthwise convolution would be a plain one.
                if keep.len() == 1 && class.channels > 1 {
                    *keep = vec![0, class.channels - 1];
                }
            }
            let after = couple(&shrink(&graph, &coupling, &keep).expect("sound"));
            prop_assert_eq!(widths(&after), keep.iter().map(Vec::len).collect::<Vec<_>>());
            for id in 0..graph.nodes.len() {
                prop_assert_eq!(after.parts(id), coupling.parts(id));
            }
            let frozen = |c: &Coupling| c.classes.iter().map(|c| c.frozen.clone()).collect::<Vec<_>>();
            prop_assert_eq!(frozen(&after), frozen(&coupling));
        }
    }

    #[test]
    fn what_cannot_go_is_named() {
        let mut b = samples::Builder::new(1, Shape::new(2, 1, 8));
        let conv = b.conv(0, 4, [1, 3], 1, 1);
        let last = b.conv(conv, 2, [1, 3], 1, 1);
        let graph = b.finish(last);
        let coupling = couple(&graph);
        let error = |keep: [Vec<usize>; 3]| shrink(&graph, &coupling, &keep).expect_err("wrong").to_string();
        assert!(error([vec![0, 1], vec![], vec![0, 1]]).contains("conv1"));
        assert!(error([vec![0, 1], vec![1, 0], vec![0, 1]]).contains("ascending"));
        assert!(error([vec![0, 1], vec![4], vec![0, 1]]).contains("below 4"));
        assert!(error([vec![0], vec![0], vec![0, 1]]).contains("network input"));
        assert!(error([vec![0, 1], vec![0], vec![1]]).contains("network output"));
        assert!(shrink(&graph, &coupling, &[]).is_err());
        let small = shrink(&graph, &coupling, &[vec![0, 1], vec![1, 3], vec![0, 1]]).expect("sound");
        assert_eq!(small.nodes[1].shape, Shape::new(2, 1, 8));
    }
}
