//! Patterns are kept, zeros are where they are said to be, and survive all that comes after.

use super::choose::{Grid, choose};
use super::matrices::{Matrix, matrices};
use super::quantised::zero_blocks;
use super::*;
use crate::graph::samples::Builder;
use crate::graph::{Graph, Op, Shape};
use crate::lower::{Extras, Forms, Target, lower, lower_as};
use crate::prune::score::Scores;
use crate::quant::testing::{calibrate, random_rows, run};
use crate::quant::{QGraph, QOp, quantise, quantise_input, simulate};
use evenkeel_runtime::format::pack::density;
use evenkeel_runtime::format::{encoding, op};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A convolution of the input, two of what it gives, a depthwise one, and a head behind a Flatten.
fn network() -> Graph {
    let mut b = Builder::new(5, Shape::new(3, 6, 5));
    let x = b.conv(0, 32, [3, 3], 1, 1);
    let x = b.clip(x, 6.0);
    let x = b.conv(x, 32, [1, 1], 1, 1);
    let x = b.conv(x, 32, [3, 3], 1, 32);
    let x = b.conv(x, 16, [3, 3], 1, 1);
    let x = b.flatten(x);
    let x = b.linear(x, 10);
    b.finish(x)
}

fn quantised(graph: &Graph) -> (QGraph, Vec<f32>) {
    let rows = random_rows(7, 4, graph.input_shape().len());
    let q = quantise(graph, &calibrate(graph, rows.iter().map(Vec::as_slice)), vec![]).expect("it quantises");
    (q, rows[0].clone())
}

const TARGETS: [Target; 4] = [Target::CortexM4, Target::CortexM55, Target::Aarch64, Target::X86_64];

#[test]
fn patterns_are_read_and_nonsense_is_refused() {
    let read = |s: &str| s.parse::<Pattern>();
    assert_eq!(read("50%").unwrap(), Pattern::Share(0.5));
    assert_eq!(read("87.5 %").unwrap(), Pattern::Share(0.875));
    assert_eq!(read("2:4").unwrap(), Pattern::OfEach { keep: 2, of: 4 });
    assert_eq!((read("1:4").unwrap().share(), read("25%").unwrap().even()), (0.75, Pattern::Even(0.25)));
    for wrong in ["", "50", "0%", "90%", "nan%", "inf%", "-1%", "4:4", "5:4", "0:4", "1:9", "0:0", "a:b", "1:", "%"] {
        let e = read(wrong).unwrap_err().to_string();
        assert!(e.contains(&format!("`{wrong}`")), "{wrong}: {e}");
    }
}

/// A weight's tile in the graph is that of the same weight in the quantised network.
#[test]
fn tiles_of_the_graph_are_those_of_the_file() {
    let graph = network();
    for target in TARGETS {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut sparse = graph.clone();
        let found = matrices(&graph, target, Pattern::Share(0.85)).expect("a graph");
        let names: Vec<&str> = found.iter().map(|m| graph.nodes[m.node].op.name()).collect();
        assert_eq!(names, ["Conv", "Conv", "Linear"], "{target}: neither the first nor the depthwise one");
        let kept: Vec<usize> = found
            .iter()
            .map(|m| {
                let zero: Vec<bool> = (0..m.tiles()).map(|_| rng.random_bool(0.75)).collect();
                m.zero(&mut sparse, &zero);
                assert_eq!(m.zeros(&sparse), zero);
                zero.iter().filter(|z| !**z).count()
            })
            .collect();
        let (q, row) = quantised(&sparse);
        let stored = q.nodes.iter().filter_map(|n| match &n.op {
            QOp::Conv { weights, groups: 1, .. } => Some((op::CONV, weights)),
            QOp::Linear(weights) => Some((op::LINEAR, weights)),
            _ => None,
        });
        for (((code, weights), kept), matrix) in stored.skip(1).zip(kept).zip(&found) {
            let taps = weights.data.len() / weights.requant.len();
            let tile = target.packing().tile(code, encoding::BLOCKS8);
            let want = kept as f64 / matrix.tiles() as f64;
            assert!((density(&weights.data, taps, tile) - want).abs() < 1e-9, "{target}");
        }
        let blocks = lower(&q, &Extras::default(), target).expect("lowered");
        let dense = lower_as(&q, &Extras::default(), target, Forms::Dense).expect("lowered");
        let input = quantise_input(&q, &row);
        assert_eq!(run(&blocks.bytes, &input), run(&dense.bytes, &input), "{target}");
        let saved: u64 = found.iter().map(|m| m.saved(&sparse)).sum();
        assert!(blocks.macs < dense.macs && dense.macs - blocks.macs <= saved, "{target}");
    }
}

fn grids(sizes: &[(usize, usize)]) -> Vec<Grid> {
    let grid = |&(down, across): &(usize, usize)| Grid {
        down,
        across,
        cost: 1.0,
        pays_from: 0.2,
        zero: vec![false; down * across],
    };
    sizes.iter().map(grid).collect()
}

fn random_scores(grids: &[Grid], groups: usize, rng: &mut ChaCha8Rng) -> Scores {
    let group = |rng: &mut ChaCha8Rng| -> Vec<Vec<f64>> {
        grids.iter().map(|g| (0..g.zero.len()).map(|_| rng.random::<f64>()).collect()).collect()
    };
    Scores { groups: (0..groups).map(|_| group(rng)).collect() }
}

fn count(zero: &[bool]) -> usize {
    zero.iter().filter(|z| **z).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Step by step every pattern is met, zeros stay zero, and no layer loses nearly all.
    #[test]
    fn patterns_are_met(seed in any::<u64>(), share in 0.05f64..0.875, keep in 1usize..4, groups in 1usize..4) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sizes: Vec<(usize, usize)> =
            (0..3).map(|_| (rng.random_range(1..9), rng.random_range(8..40))).collect();
        let patterns = [Pattern::Share(share), Pattern::Even(share), Pattern::OfEach { keep, of: 4 }];
        for pattern in patterns {
            let mut all = grids(&sizes);
            let scores = random_scores(&all, groups, &mut rng);
            for way in [0.4, 0.8, 1.0] {
                let zero = choose(&all, &scores, pattern, way);
                for (grid, zero) in all.iter_mut().zip(zero) {
                    prop_assert!(grid.zero.iter().zip(&zero).all(|(before, now)| *now || !before));
                    grid.zero = zero;
                }
            }
            let tiles: usize = all.iter().map(|g| g.zero.len()).sum();
            let gone: usize = all.iter().map(|g| count(&g.zero)).sum();
            for grid in &all {
                let (n, gone) = (grid.zero.len(), count(&grid.zero));
                prop_assert!(gone as f64 <= (1.0 - LEAST) * n as f64, "{:?} {} of {}", pattern, gone, n);
                let rows = grid.zero.chunks(grid.across);
                match pattern {
                    Pattern::Share(share) => {
                        prop_assert!(gone as f64 <= (share + 0.25) * n as f64);
                        prop_assert!(gone as f64 >= (share - 0.25) * n as f64 - 1.0);
                    }
                    Pattern::Even(_) => {
                        let of_rows: Vec<usize> = rows.map(count).collect();
                        prop_assert!(of_rows.iter().all(|n| *n == of_rows[0]), "{:?}", of_rows);
                    }
                    Pattern::OfEach { keep, of } => {
                        for piece in rows.flat_map(|row| row.chunks(of)) {
                            let left = piece.len() - count(piece);
                            prop_assert_eq!(left, (piece.len() * keep).div_ceil(of));
                        }
                    }
                }
            }
            if let Pattern::Share(share) = pattern {
                prop_assert!((gone as f64 - share * tiles as f64).abs() <= 3.0, "{} of {} at {}", gone, tiles, share);
            }
        }
    }
}

/// What only a minority needs stays, although nobody else would miss it.
#[test]
fn a_tile_that_one_group_needs_stays() {
    let all = grids(&[(1, 8)]);
    let majority = vec![vec![0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.0, 0.0]];
    let minority = vec![vec![0.0, 0.0, 0.0, 0.0, 0.05, 0.05, 0.9, 0.0]];
    let zero = choose(&all, &Scores { groups: vec![majority, minority] }, Pattern::Share(0.5), 1.0);
    assert!(!zero[0][6] && zero[0][7], "{zero:?}");
}

/// Without training: the patterns hold in the file, and the biases follow the weights that are gone.
#[test]
fn blocks_by_magnitude() {
    let (q, row) = quantised(&network());
    for target in TARGETS {
        let mut sparse = q.clone();
        zero_blocks(&mut sparse, Pattern::Even(0.5), target).expect("blocks");
        let lowered = lower_as(&sparse, &Extras::default(), target, Forms::Blocks).expect("lowered");
        let dense = lower(&q, &Extras::default(), target).expect("lowered");
        assert!(lowered.macs < dense.macs * 8 / 10 && lowered.bytes.len() < dense.bytes.len(), "{target}");
        let input = quantise_input(&sparse, &row);
        assert_eq!(run(&lowered.bytes, &input), simulate(&sparse, &input)[sparse.output], "{target}");
        // An input at its zero point adds nothing, whatever the weights: the bias alone is left.
        let bias = |q: &QGraph, i: usize| -> Vec<i64> {
            let (QOp::Conv { weights, .. } | QOp::Linear(weights)) = &q.nodes[i].op else { unreachable!() };
            let zero = i64::from(q.nodes[q.nodes[i].inputs[0]].out.zero);
            let taps = weights.data.len() / weights.requant.len();
            let sums = weights.data.chunks(taps).map(|w| w.iter().map(|w| i64::from(*w)).sum::<i64>());
            weights.requant.iter().zip(sums).map(|(r, sum)| i64::from(r.bias) + zero * sum).collect()
        };
        for i in [2, 4, 5] {
            assert_eq!(bias(&sparse, i), bias(&q, i), "{target} {i}");
        }
    }
    assert!(zero_blocks(&mut q.clone(), Pattern::Share(0.5), Target::Portable).is_err());
}

/// On the portable target a block is a weight: two of each four along the taps stay, which the format can store so.
#[test]
fn two_of_four_weights_stay() {
    let (q, row) = quantised(&network());
    let mut sparse = q.clone();
    zero_blocks(&mut sparse, Pattern::OfEach { keep: 2, of: 4 }, Target::Portable).expect("has layers");
    let lowered = lower_as(&sparse, &Extras::default(), Target::Portable, Forms::TwoOfFour).expect("lowered");
    let input = quantise_input(&sparse, &row);
    assert_eq!(run(&lowered.bytes, &input), simulate(&sparse, &input)[sparse.output]);
    let dense = lower_as(&sparse, &Extras::default(), Target::Portable, Forms::Dense).expect("lowered");
    assert!(lowered.bytes.len() < dense.bytes.len(), "{} {}", lowered.bytes.len(), dense.bytes.len());
}

#[test]
fn where_no_layer_gains_pruning_is_refused() {
    let graph = network();
    assert!(super::matrices::check(&graph, Target::CortexM4, Pattern::Share(0.5)).is_ok());
    let e = super::matrices::check(&graph, Target::CortexM4, Pattern::Share(0.01)).unwrap_err().to_string();
    assert!(e.contains("no layer") && e.contains("cortex-m4"), "{e}");
    let found = |share| matrices(&graph, Target::CortexM4, Pattern::Share(share)).expect("a graph");
    assert!(found(0.75).iter().all(|m: &Matrix| matches!(graph.nodes[m.node].op, Op::Conv(_) | Op::Linear(_))));
}
