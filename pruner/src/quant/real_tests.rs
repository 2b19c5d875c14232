//! Trained networks in int8: the simulation is the runtime, and both are close to f32.

use super::testing::{calibrate, run};
use super::*;
use crate::graph::norm::fold_batch_norm;
use crate::graph::tail::drop_softmax;
use crate::graph::{Graph, eval::eval_output};
use crate::lower::{Extras, Target, cost, lower};
use crate::testing::shared_dir;

/// Share of rows in which the largest output is the same, and the error of outputs relative to their size (both as
/// root mean squares).
struct Agreement {
    argmax: f64,
    error: f64,
}

fn argmax(v: &[f32]) -> usize {
    (1..v.len()).fold(0, |best, i| if v[i] > v[best] { i } else { best })
}

fn agreement(graph: &Graph, q: &QGraph, bytes: &[u8], rows: &[&[f32]]) -> Agreement {
    let (mut same, mut error, mut signal) = (0, 0f64, 0f64);
    for row in rows {
        let input = quantise_input(q, row);
        let values = simulate(q, &input);
        assert_eq!(run(bytes, &input), values[q.output], "{}: the runtime differs", q.name);
        let (want, got) = (eval_output(graph, row), dequantise(q.nodes[q.output].out, &values[q.output]));
        same += usize::from(argmax(&want) == argmax(&got));
        error += want.iter().zip(&got).map(|(w, g)| (w - g).powi(2) as f64).sum::<f64>();
        signal += want.iter().map(|w| w.powi(2) as f64).sum::<f64>();
    }
    Agreement { argmax: same as f64 / rows.len() as f64, error: (error / signal).sqrt() }
}

/// Calibrates on half of the golden rows and compares on the other half. The bounds are a little above what was
/// measured; the networks on noise (`*_f32`) have no class to agree on, so only their error counts.
#[test]
fn trained_networks_lose_little() {
    let Some(dir) = shared_dir() else { return };
    let networks = [
        ("models/har_cnn", "torch/har_cnn", 0.96, 0.1),
        ("models/har_cnn_bn", "torch/har_cnn_bn", 0.96, 0.05),
        ("models/har_dscnn", "torch/har_dscnn", 0.87, 0.08),
        ("models/ecg_resnet1d", "torch/ecg_resnet1d", 1.0, 0.04),
        ("models/face_resnet8", "torch/face_resnet8", 1.0, 0.11),
        ("models/face_mbv2", "torch/face_mbv2", 0.93, 0.07),
        ("models/mlperf_tiny/ad_f32", "mlperf_tiny/ad_f32", 0.0, 0.05),
        ("models/mlperf_tiny/ic_f32", "mlperf_tiny/ic_f32", 0.0, 0.03),
        ("models/mlperf_tiny/kws_f32", "mlperf_tiny/kws_f32", 0.0, 0.08),
        ("models/mlperf_tiny/vww_f32", "mlperf_tiny/vww_f32", 0.0, 0.03),
    ];
    for (model, golden, least, most) in networks {
        let graph = crate::onnx::load(&dir.join(format!("{model}.onnx"))).unwrap();
        let before = cost(&graph, 0, &Extras::default(), Target::Portable).unwrap();
        let graph = drop_softmax(fold_batch_norm(graph)).0;
        let mut golden = npyz::npz::NpzArchive::open(dir.join(format!("golden/{golden}.npz"))).unwrap();
        let x: Vec<f32> = golden.by_name("x").unwrap().unwrap().into_vec().unwrap();
        let rows: Vec<&[f32]> = x.chunks_exact(graph.input_shape().len()).collect();
        // Every other row, as neighbours may be of one person; a part is enough for large networks.
        let rows = &rows[..rows.len().min((400_000_000 / graph.macs().max(1)).max(8))];
        let (seen, unseen): (Vec<_>, Vec<_>) = rows.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
        let ranges = calibrate(&graph, seen.iter().copied());
        for method in [Method::MinMax, Method::Mse] {
            let q = quantise(&graph, &ranges.clone().with_method(method), vec![]).unwrap();
            let lowered = lower(&q, &Extras::default(), Target::Portable).unwrap();
            assert_eq!(lowered.cost(), before, "{model}");
            let a = agreement(&graph, &q, &lowered.bytes, &unseen);
            println!(
                "{model} {method:?}: argmax {:.3}, error {:.4}, {} rows, {:?}",
                a.argmax,
                a.error,
                unseen.len(),
                lowered.cost()
            );
            assert!(a.argmax >= least && a.error <= most, "{model} {method:?}");
        }
    }
}
