//! What is learnt on networks where it is known which unit must go.

use super::*;
use crate::couple::{couple, widths};
use crate::data::GroupSet;
use crate::data::groups::Group;
use crate::graph::{Linear, Node, Op, Shape};
use crate::net::{Set, device};
use crate::progress::Stop;
use crate::prune::score::magnitude;
use crate::prune::select::Policy;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Three units that each read one feature, and two classes.
fn network(first: [f32; 3], second: [f32; 6]) -> Graph {
    let linear = |inp: usize, weight: Vec<f32>| {
        let out = weight.len() / inp;
        Op::Linear(Linear { out, inp, weight, bias: vec![0.0; out] })
    };
    let node = |name: &str, op: Op, inputs: &[usize], c: usize| Node {
        name: name.into(),
        op,
        inputs: inputs.to_vec(),
        shape: Shape::vector(c),
    };
    let mut diagonal = vec![0.0; 9];
    first.iter().enumerate().for_each(|(i, w)| diagonal[4 * i] = *w);
    Graph {
        name: "three units".into(),
        input_rank: 1,
        nodes: vec![
            node("input", Op::Input, &[], 3),
            node("fc1", linear(3, diagonal), &[0], 3),
            node("relu", Op::Clip { lo: 0.0, hi: f32::INFINITY }, &[1], 3),
            node("fc2", linear(3, second.to_vec()), &[2], 2),
        ],
        output: 3,
    }
}

/// Features: the class, its opposite, and the group, which is independent of the class.
fn rows() -> (Set, GroupSet) {
    let (class, group) = (|i: usize| i % 2, |i: usize| i / 2 % 2);
    let x = (0..120).flat_map(|i| [class(i) as f32, 1.0 - class(i) as f32, group(i) as f32]).collect();
    let of = |g: usize| Group { name: format!("g={g}"), rows: (0..120).filter(|&i| group(i) == g).collect() };
    let groups = GroupSet { groups: vec![of(0), of(1)], of_row: (0..120).map(|i| vec![group(i) as u32]).collect() };
    (Set::for_test(x, (0..120).map(class).collect(), 3), groups)
}

/// The units that stay of three, two of them, and by magnitude.
fn learnt(graph: &Graph, learn: impl Fn(&Learning, &mut ChaCha8Rng) -> Scores) -> [Vec<usize>; 2] {
    let (coupling, (set, groups)) = (couple(graph), rows());
    let (dense_widths, row_weight) = (widths(&coupling), vec![1.0; set.len()]);
    let (frame, device) = (Frame::default(), device("cpu").unwrap());
    let how = Learning {
        graph,
        coupling: &coupling,
        dense_widths: &dense_widths,
        train: Split { set: &set, groups: &groups },
        row_weight: &row_weight,
        limits: Limits { macs: Some(10), ..Limits::default() },
        rules: Rules { round_to: 1, min_share: 0.0, policy: Policy::Uniform },
        frame: &frame,
        steps: 40,
        batch: 40,
        rate: 1e-3,
        device: &device,
    };
    let scores = learn(&how, &mut ChaCha8Rng::seed_from_u64(3));
    [scores, magnitude(graph, &coupling)].map(|scores| {
        let from = Candidates { graph, coupling: &coupling, scores: &scores, dense_widths: &dense_widths };
        select(&from, &how.limits, &how.rules, &frame).unwrap().swap_remove(1)
    })
}

/// The unit that shows the group is the largest, and worth nothing to the task.
#[test]
fn ffw_closes_the_gate_of_what_shows_the_group() {
    let graph = network([0.5, 0.5, 2.0], [-1.0, 1.0, 0.01, 1.0, -1.0, -0.01]);
    let [ours, by_magnitude] = learnt(&graph, |how, rng| ffw::learn(how, rng, &Stop::default()).unwrap());
    assert_eq!(ours, [0, 1]);
    assert!(by_magnitude.contains(&2));
}

/// The largest unit draws one group to a class, whatever its class is. (With much larger activations the implicit term, the
/// square of a gradient, says that training could mend the unit.)
#[test]
fn bifp_masks_what_harms_a_group() {
    let graph = network([0.3, 0.3, 0.5], [-1.0, 1.0, 1.0, 1.0, -1.0, -1.0]);
    let [ours, by_magnitude] = learnt(&graph, |how, rng| bifp::joint(how, rng, &Stop::default()).unwrap().1);
    assert_eq!(ours, [0, 1]);
    assert!(by_magnitude.contains(&2));
}
