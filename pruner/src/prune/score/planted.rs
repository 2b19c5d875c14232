//! Scores by hand, by differences, and on networks where it is known which unit must go.

use super::tests::{branched, gated, loss, network, rows, scored};
use super::*;
use crate::couple::{couple, widths};
use crate::data::GroupSet;
use crate::graph::eval::eval_output;
use crate::graph::samples::{Builder, input};
use crate::graph::{Linear, Node, Op, Shape};
use crate::net::{Set, device, set};
use crate::prune::select::{Candidates, Frame, Limits, Policy, Rules, select};
use crate::prune::terms::testing::groups;

fn same(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < tolerance), "{got:?} {want:?}");
}

fn unit_sum(v: Vec<f64>) -> Vec<f64> {
    let sum: f64 = v.iter().sum();
    v.into_iter().map(|v| v / sum).collect()
}

/// Derivative of the loss of some rows by every gate, 0 in frozen classes.
fn differences(graph: &Graph, coupling: &Coupling, x: &[f32], y: &[usize]) -> Vec<f64> {
    let gate = |class: usize, channel: usize| {
        let at = |factor| loss(&gated(graph, coupling, class, channel, factor), x, y);
        if coupling.classes[class].frozen.is_some() { 0.0 } else { (at(1.02) - at(0.98)) / 0.04 }
    };
    widths(coupling)
        .iter()
        .enumerate()
        .flat_map(|(i, &n)| (0..n).map(move |c| (i, c)))
        .map(|(i, c)| gate(i, c))
        .collect()
}

fn flat(scores: &Scores) -> Vec<f64> {
    scores.groups[0].iter().flatten().copied().collect()
}

/// As many rows as one chunk has, so that every chunk holds all of them.
#[test]
fn fisher_squares_rows_and_undecayed_takes_the_decay_out() {
    let graph = network();
    let (coupling, set) = (couple(&graph), rows(&graph));
    let width = graph.input_shape().len();
    let each: Vec<Vec<f64>> =
        set.x.chunks(width).zip(&set.y).map(|(x, &y)| differences(&graph, &coupling, x, &[y])).collect();
    let n = each.len() as f64;
    let squares = (0..each[0].len()).map(|u| each.iter().map(|t| t[u] * t[u]).sum::<f64>() / n).collect();
    let one = groups(&[set.len()]);
    same(&flat(&scored(Scorer::Fisher, &graph, &coupling, &set, &one)), &unit_sum(squares), 0.01);

    let weights = |graph: &Graph| -> f64 {
        let of = |n: &Node| match &n.op {
            Op::Conv(c) => c.weight.clone(),
            Op::Linear(l) => l.weight.clone(),
            _ => vec![],
        };
        graph.nodes.iter().flat_map(of).map(|w| f64::from(w * w)).sum()
    };
    let all = differences(&graph, &coupling, &set.x, &set.y);
    let places = widths(&coupling).into_iter().enumerate().flat_map(|(i, n)| (0..n).map(move |c| (i, c)));
    let want = places.zip(all).map(|((i, c), t)| {
        let read = weights(&graph) - weights(&gated(&graph, &coupling, i, c, 0.0));
        if coupling.classes[i].frozen.is_some() { 0.0 } else { (-t + 5e-4 * read).abs() }
    });
    same(&flat(&scored(Scorer::Undecayed, &graph, &coupling, &set, &one)), &unit_sum(want.collect()), 0.01);
}

/// Methods that know of no groups give the same whatever the groups are, or where there are none.
#[test]
fn plain_scores_do_not_depend_on_groups() {
    let graph = branched();
    let (coupling, set) = (couple(&graph), rows(&graph));
    let many =
        GroupSet { of_row: vec![vec![0, 1]; set.len()], groups: [groups(&[16]).groups, groups(&[16]).groups].concat() };
    for scorer in [Scorer::Taylor, Scorer::Fisher, Scorer::Undecayed, Scorer::BnScale, Scorer::Magnitude, Scorer::Fpgm]
    {
        let of = |groups: &GroupSet| scored(scorer, &graph, &coupling, &set, groups);
        let want = of(&groups(&[16]));
        assert!(flat(&want).iter().all(|v| v.is_finite()) && flat(&want).iter().any(|v| *v > 0.0));
        for others in [&groups(&[8, 8]), &groups(&[1, 0, 15]), &many, &groups(&[])] {
            assert_eq!(of(others), want, "{scorer:?}");
        }
    }
}

/// Two dozen groups cost less than 15 % more gradients than two.
#[test]
fn gradients_do_not_grow_with_the_groups() {
    for groups in 1..=24 {
        let cost = groups * batches_per_group(groups);
        assert!(cost as f64 <= 1.15 * (2 * batches_per_group(2)) as f64, "{groups} groups: {cost}");
    }
}

/// A group without rows, and one of a single row, do not disturb the others.
#[test]
fn empty_and_tiny_groups_are_scored() {
    let graph = network();
    let (coupling, set) = (couple(&graph), rows(&graph));
    for scorer in [Scorer::WorstGroup, Scorer::FairGrape, Scorer::FairPrune, Scorer::Snnl] {
        let s = scored(scorer, &graph, &coupling, &set, &groups(&[1, 0, 15]));
        assert!(s.groups.iter().flatten().flatten().all(|v| v.is_finite()), "{scorer:?}");
        assert!(s.groups.len() == 1 || s.groups[1].iter().flatten().all(|v| *v == 0.0), "{scorer:?}");
    }
}

/// Three features; unit 3 alone serves the minority, which shows in feature 2, and with little weight.
fn minority() -> (Graph, Set, GroupSet) {
    let linear = |out: usize, inp: usize, weight: &[f32]| {
        Op::Linear(Linear { out, inp, weight: weight.to_vec(), bias: vec![0.0; out] })
    };
    let node = |name: &str, op: Op, inputs: &[usize], c: usize| Node {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        shape: Shape::vector(c),
    };
    let first = [1.0, -0.5, 0.0, -0.5, 1.0, 0.0, 0.7, 0.7, 0.0, 0.0, 0.0, 0.3];
    let second = [1.0, -1.0, 0.4, 0.3, -1.0, 1.0, 0.3, -0.3];
    let graph = Graph {
        name: "two groups".into(),
        input_rank: 1,
        nodes: vec![
            node("input", Op::Input, &[], 3),
            node("fc1", linear(4, 3, &first), &[0], 4),
            node("relu", Op::Clip { lo: 0.0, hi: f32::INFINITY }, &[1], 4),
            node("fc2", linear(2, 4, &second), &[2], 2),
        ],
        output: 3,
    };
    let row = |i: usize| match (i < 180, i % 2) {
        (true, 0) => [1.0, 0.2, 0.0],
        (true, _) => [0.2, 1.0, 0.0],
        (false, y) => [0.0, 0.0, if y == 0 { 1.0 } else { 0.1 }],
    };
    let set = Set::for_test((0..200).flat_map(row).collect(), (0..200).map(|i| i % 2).collect(), 3);
    (graph, set, groups(&[180, 20]))
}

/// Two units stay of four.
fn kept(graph: &Graph, coupling: &Coupling, scores: &Scores, policy: Policy) -> Vec<usize> {
    let candidates = Candidates { graph, coupling, scores, dense_widths: &widths(coupling) };
    let limits = Limits { macs: Some(10), ..Limits::default() };
    let rules = Rules { round_to: 1, min_share: 0.0, policy };
    select(&candidates, &limits, &rules, &Frame::default()).unwrap().swap_remove(1)
}

#[test]
fn fairgrape_and_fairprune_keep_what_a_minority_needs() {
    let (graph, set, groups) = minority();
    let coupling = couple(&graph);
    let grape = scored(Scorer::FairGrape, &graph, &coupling, &set, &groups);
    assert!(kept(&graph, &coupling, &grape, Policy::Share).contains(&3), "{grape:?}");

    // The network fails half of the minority and nobody else.
    let logits: Vec<f32> = set.x.chunks(3).flat_map(|x| eval_output(&graph, x)).collect();
    let dense = set::classes(&logits, 2);
    let (row_weight, device) = (vec![1.0; set.len()], device("cpu").unwrap());
    let train = Split { set: &set, groups: &groups };
    let scoring = |dense: &[usize]| {
        Scoring { graph: &graph, coupling: &coupling, train, dense, row_weight: &row_weight, pw: None, device: &device }
            .scores(Scorer::FairPrune, &mut ChaCha8Rng::seed_from_u64(1))
            .unwrap()
    };
    let prune = scoring(&dense);
    let unit = &prune.groups[0][1];
    assert!(unit[3] > 0.0 && unit[..3].iter().all(|u| *u <= 0.0), "{unit:?}");
    assert!(kept(&graph, &coupling, &prune, Policy::Cheapest).contains(&3));
    // Where no group fares worse, nobody is better served: no score may turn importance round.
    let even = scoring(&set.y);
    assert!(even.groups[0].iter().flatten().all(|v| *v >= 0.0) && even.groups[0][1].iter().sum::<f64>() > 0.0);
}

/// Of filters of a layer, the one in the middle of the others is the first to go.
#[test]
fn fpgm_sums_euclidean_distances() {
    let mut b = Builder::new(1, Shape::vector(2));
    let x = b.linear(0, 3);
    let x = b.linear(x, 2);
    let mut graph = b.finish(x);
    let Op::Linear(l) = &mut graph.nodes[1].op else { unreachable!() };
    l.weight = vec![0.0, 0.0, 3.0, 4.0, 6.0, 8.0];
    same(&weights::fpgm(&graph, &couple(&graph)).groups[0][1], &[15.0, 10.0, 15.0], 1e-6);
}

/// Layers compare: every class has a mean of 1, in pieces of a layer too, and a constant channel has nothing.
#[test]
fn bn_scale_is_the_relative_deviation() {
    for mut graph in [network(), branched()] {
        let coupling = couple(&graph);
        let Op::Conv(c) = &mut graph.nodes[1].op else { unreachable!() };
        c.weight[..c.inp * 9].fill(0.0);
        let got = scored(Scorer::BnScale, &graph, &coupling, &rows(&graph), &groups(&[16]));
        for (class, score) in coupling.classes.iter().zip(&got.groups[0]).filter(|(c, _)| c.frozen.is_none()) {
            assert!((score.iter().sum::<f64>() / score.len() as f64 - 1.0).abs() < 1e-3, "{}: {score:?}", class.name);
        }
    }
    let (mut graph, set, groups) = minority();
    let Op::Linear(l) = &mut graph.nodes[1].op else { unreachable!() };
    l.weight[..3].fill(0.0);
    let got = scored(Scorer::BnScale, &graph, &couple(&graph), &set, &groups);
    assert!(got.groups[0][1][0] < 1e-9 && got.groups[0][1][1] > 0.1, "{got:?}");
}

/// The second channel of the right half of a concatenation shows the group, before a pool that hides it.
#[test]
fn snnl_finds_the_channel_that_shows_the_group() {
    let mut b = Builder::new(2, Shape::new(2, 1, 4));
    let left = b.conv(0, 2, [1, 1], 1, 1);
    let right = b.conv(0, 3, [1, 1], 1, 1);
    let x = b.push(Op::Concat, &[left, right]);
    let x = b.push(Op::GlobalAvgPool, &[x]);
    let x = b.linear(x, 2);
    let mut graph = b.finish(x);
    for (id, weight) in [(left, vec![0.0, 1.0, 0.0, 1.0]), (right, vec![0.0, 1.0, 1.0, 0.0, 0.0, 1.0])] {
        let Op::Conv(c) = &mut graph.nodes[id].op else { unreachable!() };
        (c.weight, c.bias) = (weight, vec![0.0; c.out]);
    }
    // Feature 0 has its peak where the group says, feature 1 anywhere.
    let peak = |at: usize| (0..4).map(move |i| f32::from(u8::from(i == at)));
    let x = (0..40).flat_map(|i| peak(i / 20).chain(peak(i * 7 % 4))).collect();
    let set = Set::for_test(x, vec![0; 40], 8);
    let coupling = couple(&graph);
    let got = scored(Scorer::Snnl, &graph, &coupling, &set, &groups(&[20, 20, 1]));
    let class = coupling.parts(right)[0].class;
    let [a, group, b] = got.groups[0][class][..] else { unreachable!() };
    assert!(group < a - 0.1 && (a - b).abs() < 1e-9, "{got:?}");
    assert!(got.groups[0][coupling.parts(left)[0].class].iter().all(|v| (v - a).abs() < 1e-9));
    assert!(input(&graph, 0).len() == 8);
}
