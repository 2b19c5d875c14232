//! Scores are what they are called: derivatives of gates, group by group.

use super::*;
use crate::couple::{couple, widths};
use crate::data::GroupSet;
use crate::graph::eval::eval_output;
use crate::graph::samples::{Builder, input};
use crate::graph::{Activation, Axis, Linear, Node, Op, Shape};
use crate::net::{Set, device};
use crate::prune::select::{Candidates, Frame, Limits, Policy, Rules, select};
use crate::prune::terms::testing::groups;

/// Mean cross-entropy.
pub(super) fn loss(graph: &Graph, x: &[f32], y: &[usize]) -> f64 {
    let rows = x.chunks(graph.input_shape().len()).zip(y);
    let of = |(row, &y): (&[f32], &usize)| {
        let out = eval_output(graph, row);
        let sum: f64 = out.iter().map(|v| f64::from(*v).exp()).sum();
        sum.ln() - f64::from(out[y])
    };
    rows.map(of).sum::<f64>() / y.len() as f64
}

/// The graph with what its consumers read of one channel scaled: the definition of a gate.
pub(super) fn gated(graph: &Graph, coupling: &Coupling, class: usize, channel: usize, factor: f32) -> Graph {
    let mut graph = graph.clone();
    for consumer in &coupling.classes[class].consumers {
        let (weight, fan_in, taps) = match &mut graph.nodes[consumer.node].op {
            Op::Conv(c) => (
                &mut c.weight,
                c.inp * c.window.kernel[0] * c.window.kernel[1],
                c.window.kernel[0] * c.window.kernel[1],
            ),
            Op::Linear(l) => (&mut l.weight, l.inp, 1),
            _ => unreachable!(),
        };
        let run = consumer.span * taps;
        for filter in weight.chunks_mut(fan_in) {
            filter[consumer.offset * taps + channel * run..][..run].iter_mut().for_each(|w| *w *= factor);
        }
    }
    graph
}

/// Convolutions, a residual sum, and a head behind a Flatten.
pub(super) fn network() -> Graph {
    let mut b = Builder::new(5, Shape::new(2, 3, 4));
    let stem = b.conv(0, 4, [3, 3], 1, 1);
    let stem = b.clip(stem, 6.0);
    let x = b.conv(stem, 3, [1, 1], 1, 1);
    let x = b.conv(x, 4, [3, 3], 1, 1);
    let x = b.add(x, stem);
    let x = b.flatten(x);
    let x = b.linear(x, 3);
    b.finish(x)
}

/// As many rows as a batch has, so that every batch is all of them.
pub(super) fn rows(graph: &Graph) -> Set {
    let x: Vec<f32> = (0..BATCH as u64).flat_map(|i| input(graph, i)).map(|v| 0.3 * v).collect();
    Set::for_test(x, (0..BATCH).map(|i| i % 3).collect(), graph.input_shape().len())
}

pub(super) fn scored(scorer: Scorer, graph: &Graph, coupling: &Coupling, set: &Set, groups: &GroupSet) -> Scores {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let device = device("cpu").unwrap();
    let row_weight = vec![1.0; set.len()];
    let (train, dense) = (Split { set, groups }, &set.y[..]);
    let scoring = Scoring { graph, coupling, train, dense, row_weight: &row_weight, pw: None, device: &device };
    scoring.scores(scorer, &mut rng).unwrap()
}

fn scores(graph: &Graph, coupling: &Coupling, set: &Set, groups: &GroupSet) -> Scores {
    scored(Scorer::WorstGroup, graph, coupling, set, groups)
}

/// A gate by squeeze and excitation, the two halves of its result, and a concatenation of one with what a layer makes.
pub(super) fn branched() -> Graph {
    let mut b = Builder::new(6, Shape::new(2, 3, 4));
    let x = b.conv(0, 6, [3, 3], 1, 1);
    let pool = b.push(Op::GlobalAvgPool, &[x]);
    let gate = b.linear(pool, 6);
    let gate = b.push(Op::Activation(Activation::Sigmoid), &[gate]);
    let x = b.push(Op::Mul, &[x, gate]);
    let [left, right] = [0, 3].map(|begin| b.push(Op::Slice { axis: Axis::C, begin, len: 3 }, &[x]));
    let right = b.conv(right, 2, [3, 3], 1, 1);
    let x = b.push(Op::Concat, &[left, right, left]);
    let x = b.push(Op::Activation(Activation::Silu), &[x]);
    let x = b.flatten(x);
    let x = b.linear(x, 3);
    b.finish(x)
}

#[test]
fn a_gate_gradient_is_a_finite_difference() {
    gates_are_differences(network());
    gates_are_differences(branched());
}

fn gates_are_differences(graph: Graph) {
    let (coupling, set) = (couple(&graph), rows(&graph));
    let got = scores(&graph, &coupling, &set, &groups(&[BATCH]));
    let derivative = |class: usize, channel: usize| {
        let at = |factor| loss(&gated(&graph, &coupling, class, channel, factor), &set.x, &set.y);
        (at(1.02) - at(0.98)) / 0.04
    };
    let free = |class: usize| coupling.classes[class].frozen.is_none();
    let want: Vec<Vec<f64>> = (0..coupling.classes.len())
        .map(|i| {
            (0..coupling.classes[i].channels).map(|c| if free(i) { derivative(i, c).powi(2) } else { 0.0 }).collect()
        })
        .collect();
    let sum: f64 = want.iter().flatten().sum();
    for (got, want) in got.groups[0].iter().flatten().zip(want.iter().flatten()) {
        assert!((got - want / sum).abs() < 0.01, "{got} {}", want / sum);
    }
    assert!((got.groups[0].iter().flatten().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn what_nobody_reads_is_worth_nothing() {
    let graph = network();
    let coupling = couple(&graph);
    // Channel 2 of the stream, which a convolution and the head read.
    let class = coupling.parts(graph.nodes.iter().position(|n| matches!(n.op, Op::Add)).unwrap())[0].class;
    let graph = gated(&graph, &coupling, class, 2, 0.0);
    let got = scores(&graph, &coupling, &rows(&graph), &groups(&[BATCH]));
    assert_eq!(got.groups[0][class][2], 0.0);
    assert!((0..4).all(|c| c == 2 || got.groups[0][class][c] > 0.0));
}

#[test]
fn magnitude_is_the_norm_of_all_filters_of_a_channel() {
    let mut b = Builder::new(1, Shape::new(2, 4, 4));
    let x = b.conv(0, 3, [1, 1], 1, 1);
    let x = b.conv(x, 3, [3, 3], 1, 3);
    let x = b.conv(x, 2, [1, 1], 1, 1);
    let mut graph = b.finish(x);
    for (node, value) in [(1, 0.5), (2, 2.0)] {
        let Op::Conv(c) = &mut graph.nodes[node].op else { unreachable!() };
        c.weight.fill(-value);
    }
    // Two weights of the convolution, nine of the depthwise one.
    assert_eq!(magnitude(&graph, &couple(&graph)).groups[0][1], [2.0 * 0.5 + 9.0 * 2.0; 3]);
}

/// Unit 3 alone serves the minority, with the smallest weights of all.
#[test]
fn a_unit_that_only_a_minority_needs_stays_and_magnitude_removes_it() {
    let linear = |out: usize, inp: usize, weight: &[f32]| {
        Op::Linear(Linear { out, inp, weight: weight.to_vec(), bias: vec![0.0; out] })
    };
    let node = |name: &str, op: Op, inputs: &[usize], c: usize| Node {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        shape: Shape::vector(c),
    };
    // The majority shows in features 0 and 1, the minority in feature 2.
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
    let (majority, minority) = (180, 20);
    let row = |i: usize| match (i < majority, i % 2) {
        (true, 0) => [1.0, 0.2, 0.0],
        (true, _) => [0.2, 1.0, 0.0],
        (false, y) => [0.0, 0.0, if y == 0 { 1.0 } else { 0.1 }],
    };
    let n = majority + minority;
    let set = Set::for_test((0..n).flat_map(row).collect(), (0..n).map(|i| i % 2).collect(), 3);
    let coupling = couple(&graph);
    let by_group = scores(&graph, &coupling, &set, &groups(&[majority, minority]));
    assert_eq!(by_group.groups[0][1][3], 0.0, "the majority never sees it");

    let keep = |scores: &Scores, policy| {
        let candidates = Candidates { graph: &graph, coupling: &coupling, scores, dense_widths: &widths(&coupling) };
        let limits = Limits { macs: Some(10), ..Limits::default() };
        let rules = Rules { round_to: 1, min_share: 0.0, policy };
        select(&candidates, &limits, &rules, &Frame::default()).unwrap().swap_remove(1)
    };
    let (ours, by_magnitude) =
        (keep(&by_group, Policy::Cheapest), keep(&magnitude(&graph, &coupling), Policy::Uniform));
    assert_eq!((ours.len(), by_magnitude.len()), (2, 2));
    assert!(ours.contains(&3), "{ours:?} {by_group:?}");
    assert!(!by_magnitude.contains(&3), "{by_magnitude:?}");
}

#[test]
fn a_group_that_is_wrong_has_the_larger_gradient() {
    let graph = network();
    let set = rows(&graph);
    let right: Vec<usize> = set.x.chunks(24).map(|x| crate::net::set::classes(&eval_output(&graph, x), 3)[0]).collect();
    let y = right.iter().enumerate().map(|(i, &c)| if i < 8 { c } else { (c + 1) % 3 }).collect();
    let set = Set::for_test(set.x, y, 24);
    let groups = groups(&[8, BATCH - 8]);
    let rows = Split { set: &set, groups: &groups };
    let norms = gradient_norms(&graph, rows, &device("cpu").unwrap(), 0, &Stop::default()).unwrap();
    assert!(norms[1] > norms[0], "{norms:?}");
}
