//! Lowered files: their cost is known beforehand, measured values do not move a byte, and stored forms change no result.

use super::*;
use crate::graph::samples::random_graph;
use crate::quant::quantise;
use crate::quant::testing::{calibrate, quantised, random_rows, run};
use evenkeel_runtime::format::{encoding, op, verdict};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn extras(groups: usize, contract: &str, measured: f32) -> Extras {
    let group = |i: usize| GroupCertificate {
        name: format!("gender=g{i}"),
        n: 10,
        int8: measured,
        excess_drop_upper: f32::INFINITY,
        verdict: verdict::UNDECIDED,
        ..Default::default()
    };
    let floor =
        |i: usize| Floor { name: format!("age=g{i}"), floor: 1 << 25, correct: [1 << 20; 6], wrong: [1 << 26; 6] };
    let certificate = Certificate { int8: measured, groups: (0..groups).map(group).collect(), ..Default::default() };
    let monitor = MonitorPlan { threshold: 1000, q: 8, floors: (0..groups).map(floor).collect(), field: None };
    Extras {
        contract: contract.into(),
        certificate: (groups > 0).then_some(certificate),
        monitor: (groups > 1).then_some(monitor),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn cost_is_that_of_the_file(seed in any::<u64>(), groups in 0usize..4, contract in "[a-z =\n]{0,40}", per_channel: bool) {
        let (graph, mut q, _) = quantised(seed);
        if per_channel {
            let norm = evenkeel_runtime::format::InputChannel { scale: 1.0, mean: 0.5, std: 2.0 };
            q.input_norm = vec![norm; q.nodes[0].shape.c];
        }
        let lowered = lower(&q, &extras(groups, &contract, 0.9), Target::Portable).unwrap();
        prop_assert_eq!(cost(&graph, q.input_norm.len(), &extras(groups, &contract, 0.0), Target::Portable).unwrap(), lowered.cost());
        prop_assert_eq!(lowered.macs, graph.macs() as u64);
        prop_assert_eq!(lower(&q, &extras(groups, &contract, 0.1), Target::Portable).unwrap().cost(), lowered.cost());
    }

    /// Normalisation and a last softmax go before lowering, and the cost knows it.
    #[test]
    fn cost_sees_through_normalisation(seed in any::<u64>()) {
        let graph = random_graph(seed);
        let folded = crate::graph::norm::fold_batch_norm(graph.clone());
        let rows = random_rows(seed, 2, graph.input_shape().len());
        let ranges = calibrate(&folded, rows.iter().map(Vec::as_slice));
        match quantise(&folded, &ranges, vec![]) {
            Ok(q) => prop_assert_eq!(cost(&graph, 0, &Extras::default(), Target::Portable).unwrap(), lower(&q, &Extras::default(), Target::Portable).unwrap().cost()),
            Err(e) => prop_assert_eq!(e.to_string(), cost(&graph, 0, &Extras::default(), Target::Portable).unwrap_err().to_string()),
        }
    }
}

#[test]
fn numbers_that_the_runtime_refuses_are_refused() {
    let (_, q, _) = quantised(1);
    let e = lower(&q, &extras(1, "", f32::NAN), Target::Portable).unwrap_err().to_string();
    assert!(e.contains("not a number"), "{e}");
}

#[test]
fn a_network_without_operations_is_refused() {
    let graph = crate::graph::samples::Builder::new(1, crate::graph::Shape::vector(3)).finish(0);
    assert!(cost(&graph, 0, &Extras::default(), Target::Portable).unwrap_err().to_string().contains("0 operations"));
}

/// Random tiles of a quantised network become zero.
fn sparse(q: &mut QGraph, target: Target, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for node in &mut q.nodes {
        let (code, QWeights { data, requant, .. }) = match &mut node.op {
            QOp::Conv { weights, groups: 1, .. } => (op::CONV, weights),
            QOp::Linear(weights) => (op::LINEAR, weights),
            _ => continue,
        };
        let tile = target.packing().tile(code, encoding::BLOCKS8);
        let taps = data.len() / requant.len();
        let [down, across] = tile.count(requant.len(), taps);
        let zero: Vec<bool> = (0..down * across).map(|_| rng.random_bool(0.6)).collect();
        for (i, w) in data.iter_mut().enumerate() {
            if zero[i / taps / tile.rows * across + i % taps / tile.step] {
                *w = 0;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// All forms give the same bytes, none costs more than the shapes say, and what is left out are the zero tiles.
    #[test]
    fn stored_forms_change_no_result(seed in any::<u64>()) {
        let (graph, mut q, rows) = quantised(seed);
        for target in Target::ALL {
            sparse(&mut q, target, seed);
            let input = crate::quant::quantise_input(&q, &rows[0]);
            let dense = lower_as(&q, &Extras::default(), target, Forms::Dense).unwrap();
            let want = run(&dense.bytes, &input);
            let bound = cost(&graph, q.input_norm.len(), &Extras::default(), target).unwrap();
            prop_assert_eq!(dense.cost(), bound);
            for forms in [Forms::Auto, Forms::Blocks, Forms::TwoOfFour] {
                let lowered = lower_as(&q, &Extras::default(), target, forms).unwrap();
                prop_assert_eq!(&run(&lowered.bytes, &input), &want, "{} {:?}", target, forms);
                if forms == Forms::Auto {
                    let Cost { macs, flash, ram } = lowered.cost();
                    prop_assert!(macs <= bound.macs && flash <= bound.flash && ram <= bound.ram);
                }
            }
            stored_tiles_are_those_that_are_not_zero(&q, target)?;
        }
    }
}

fn stored_tiles_are_those_that_are_not_zero(q: &QGraph, target: Target) -> std::result::Result<(), TestCaseError> {
    for (node, packed) in q.nodes.iter().zip(forms::all(q, target, Forms::Blocks, |_| Ok(0)).unwrap()) {
        let Some(packed) = packed else { continue };
        let (QOp::Conv { weights, .. } | QOp::Linear(weights)) = &node.op else { unreachable!() };
        let code = if matches!(node.op, QOp::Linear(_)) { op::LINEAR } else { op::CONV };
        let tile = target.packing().tile(code, encoding::BLOCKS8);
        let taps = weights.data.len() / weights.requant.len();
        let [down, across] = tile.count(weights.requant.len(), taps);
        let share = evenkeel_runtime::format::pack::density(&weights.data, taps, tile);
        let stored = (share * (down * across) as f64).round() as usize;
        prop_assert_eq!(packed.weights.len(), stored * tile.bytes());
    }
    Ok(())
}

/// A layer with few tiles left gets blocks by itself, counts only these, and makes the file smaller.
#[test]
fn blocks_are_chosen_where_they_pay() {
    let mut b = crate::graph::samples::Builder::new(3, crate::graph::Shape::new(32, 6, 6));
    let x = b.conv(0, 32, [1, 1], 1, 1);
    let graph = b.finish(x);
    let rows = random_rows(3, 4, graph.input_shape().len());
    let mut q = quantise(&graph, &calibrate(&graph, rows.iter().map(Vec::as_slice)), vec![]).unwrap();
    for target in Target::ALL.into_iter().filter(|t| *t != Target::Portable) {
        let dense = lower(&q, &Extras::default(), target).unwrap();
        let QOp::Conv { weights, .. } = &mut q.nodes[1].op else { unreachable!() };
        let whole = weights.data.clone();
        // The first 16 outputs keep their first 16 taps: whole tiles in every packing.
        weights.data.iter_mut().enumerate().filter(|(i, _)| i / 32 >= 16 || i % 32 >= 16).for_each(|(_, w)| *w = 0);
        let few = lower(&q, &Extras::default(), target).unwrap();
        assert_eq!((dense.macs, few.macs), (36 * 1024, 36 * 256), "{target}");
        assert!(few.bytes.len() < dense.bytes.len(), "{target}");
        let QOp::Conv { weights, .. } = &mut q.nodes[1].op else { unreachable!() };
        weights.data = whole;
    }
}
