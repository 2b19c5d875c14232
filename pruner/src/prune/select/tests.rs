//! Limits are kept in the file that comes out, or refused by name.

use super::*;
use crate::couple::{couple, widths};
use crate::graph::Shape;
use crate::graph::norm::fold_batch_norm;
use crate::graph::samples::{Builder, random_graph};
use crate::prune::score::magnitude;
use crate::prune::shrink::shrink;
use proptest::prelude::*;

const ANY: Rules = Rules { round_to: 1, min_share: 0.0, policy: Policy::Cheapest };

/// Chooses by magnitude and shrinks.
fn pruned(graph: &Graph, limits: &Limits, rules: &Rules) -> Result<Graph> {
    let coupling = couple(graph);
    let scores = magnitude(graph, &coupling);
    let candidates = Candidates { graph, coupling: &coupling, scores: &scores, dense_widths: &widths(&coupling) };
    shrink(graph, &coupling, &select(&candidates, limits, rules, &Frame::default())?)
}

/// Two convolutions, a depthwise one between them, a pool and a head.
fn network() -> Graph {
    let mut b = Builder::new(3, Shape::new(3, 8, 8));
    let x = b.conv(0, 24, [3, 3], 1, 1);
    let x = b.clip(x, 6.0);
    let x = b.conv(x, 24, [3, 3], 1, 24);
    let x = b.conv(x, 30, [1, 1], 1, 1);
    let x = b.push(Op::GlobalAvgPool, &[x]);
    let x = b.flatten(x);
    let x = b.linear(x, 4);
    b.finish(x)
}

fn free_widths(graph: &Graph) -> Vec<usize> {
    couple(graph).classes.iter().filter(|c| c.frozen.is_none()).map(|c| c.channels).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What is chosen keeps every limit in the network that is really shrunk, and is never empty.
    #[test]
    fn limits_hold(seed in any::<u64>(), share in 0.2f64..1.0, which in 0usize..3, uniform: bool) {
        let graph = fold_batch_norm(random_graph(seed));
        let Ok(dense) = Frame::default().cost(&graph) else { return Ok(()) };
        let part = |v: u64| Some((v as f64 * share) as u64);
        let mut limits = Limits::default();
        match which {
            0 => limits.macs = part(dense.macs),
            1 => limits.flash = part(dense.flash),
            _ => limits.ram = part(dense.ram),
        }
        let rules = Rules { policy: if uniform { Policy::Uniform } else { Policy::Cheapest }, ..ANY };
        match pruned(&graph, &limits, &rules) {
            Ok(small) => {
                prop_assert!(limits.hold(&Frame::default().cost(&small).unwrap()));
                // The classes stay what they were: a step of the schedule can go on from here.
                prop_assert_eq!(couple(&small).classes.len(), couple(&graph).classes.len());
            }
            Err(e) => prop_assert!(e.to_string().contains("cannot be met"), "{}", e),
        }
    }
}

#[test]
fn a_refusal_names_limit_layers_and_what_is_frozen() {
    let graph = network();
    let error = |limits: Limits| pruned(&graph, &limits, &ANY).unwrap_err().to_string();
    let e = error(Limits { macs: Some(10), flash: None, ram: Some(1) });
    for want in ["macs ", " > 10 (most in conv1", "ram ", "network input", "network output", "--min-share"] {
        assert!(e.contains(want), "{want}: {e}");
    }
    assert!(!e.contains("flash"), "{e}");
    assert!(error(Limits { flash: Some(100), ..Limits::default() }).contains("flash "));
}

#[test]
fn widths_are_multiples_and_keep_their_share() {
    let graph = network();
    let dense = Frame::default().cost(&graph).unwrap();
    let limits = Limits { macs: Some(dense.macs / 2), ..Limits::default() };
    for policy in [Policy::Uniform, Policy::Cheapest] {
        let small = pruned(&graph, &limits, &Rules { round_to: 8, min_share: 0.0, policy }).unwrap();
        assert!(free_widths(&small).iter().zip([24, 30]).all(|(w, dense)| w % 8 == 0 || *w == dense), "{small:?}");
        let small = pruned(&graph, &limits, &Rules { round_to: 1, min_share: 0.5, policy }).unwrap();
        assert!(free_widths(&small).iter().zip([12, 15]).all(|(w, least)| *w >= least));
    }
    let e = pruned(&graph, &limits, &Rules { min_share: 1.0, ..ANY }).unwrap_err().to_string();
    assert!(e.contains("cannot be met"), "{e}");
    // A step larger than the layer leaves it as it is.
    assert!(pruned(&graph, &limits, &Rules { round_to: usize::MAX, ..ANY }).is_err());
}

#[test]
fn a_depthwise_convolution_stays_one() {
    let graph = network();
    let smallest = [(2, ANY), (4, Rules { round_to: 4, ..ANY })];
    for (width, rules) in smallest {
        let floors: Vec<usize> = couple(&graph).classes.iter().map(|c| floor(&graph, c, c.channels, &rules)).collect();
        assert_eq!(floors[1], width);
    }
    let tiny = Limits { macs: Some(8 * 8 * (2 * 27 + 2 * 9 + 2) + 4), ..Limits::default() };
    assert_eq!(free_widths(&pruned(&graph, &tiny, &ANY).unwrap()), [2, 1]);
}

#[test]
fn the_arena_shrinks_to_its_limit() {
    let graph = network();
    let dense = Frame::default().cost(&graph).unwrap();
    let limits = Limits { ram: Some(dense.ram / 3), ..Limits::default() };
    for policy in [Policy::Uniform, Policy::Cheapest] {
        let small = pruned(&graph, &limits, &Rules { policy, ..ANY }).unwrap();
        assert!(Frame::default().cost(&small).unwrap().ram <= dense.ram / 3);
    }
}

#[test]
fn the_way_begins_at_the_dense_model_and_ends_at_the_limits() {
    let dense = Cost { macs: 1000, flash: 500, ram: 100 };
    let limits = Limits { macs: Some(400), flash: Some(600), ram: None };
    assert_eq!(limits.on_the_way(&dense, 0.0).macs, Some(1000));
    assert_eq!(limits.on_the_way(&dense, 0.5), Limits { macs: Some(700), flash: Some(600), ram: None });
    assert_eq!(limits.on_the_way(&dense, 1.0), limits);
}

#[test]
fn harm_is_to_the_worst_off_but_sees_what_would_make_another_worst() {
    // Before anything is lost, the largest share decides.
    assert!((harm(&[0.0, 0.0], &[0.1, 0.3]) - 0.3).abs() < 1e-6);
    // A little more for the worst off counts whole, for the others hardly, but it counts.
    assert!((harm(&[1.0, 0.0], &[0.01, 0.0]) - 0.01).abs() < 1e-4);
    let other = harm(&[1.0, 0.0], &[0.0, 0.01]);
    assert!(other > 0.0 && other < 1e-5, "{other}");
    // What would cost another group all it has counts almost whole.
    assert!((harm(&[0.001, 0.0], &[0.0, 1.0]) - 0.999).abs() < 1e-3);
    // One group: the plain importance.
    assert!((harm(&[0.5], &[0.2]) - 0.2).abs() < 1e-12);
}
