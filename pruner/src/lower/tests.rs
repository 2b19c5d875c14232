//! Lowered files: their cost is known beforehand, and measured values do not move a byte.

use super::*;
use crate::graph::samples::random_graph;
use crate::quant::quantise;
use crate::quant::testing::{calibrate, quantised, random_rows};
use evenkeel_runtime::format::verdict;
use proptest::prelude::*;

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
    let monitor = MonitorPlan { threshold: 1000, q: 8, floors: (0..groups).map(floor).collect() };
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
