//! Float models against the f32 evaluator: on random networks and on networks of other tools.

use super::*;
use crate::aligned::AlignedBytes;
use crate::graph::eval::eval_output;
use crate::graph::samples::{random_graph, varied_graph};
use crate::graph::{Shape, norm::fold_batch_norm};
use crate::onnx;
use crate::quant::testing::{random_network, random_rows};
use crate::testing::shared_dir;
use evenkeel_runtime::{FloatSession, Model, preprocess::normalise_input};
use proptest::prelude::*;

/// What the file gives for a row in C × H × W order, in C × H × W order again; with an arena for the fast kernels or
/// with no more than the file states.
fn run(file: &[u8], row: &[f32], fast: bool) -> Vec<f32> {
    let file = AlignedBytes::new(file);
    let model = Model::from_bytes(file.bytes()).unwrap();
    let len = if fast { FloatSession::fast_arena_len(&model) } else { model.arena_len() };
    // What was in the memory before must not matter.
    let mut arena = vec![f32::NAN; len];
    let mut session = FloatSession::new(&model, &mut arena).unwrap();
    normalise_input(&model, row, session.input_mut()).unwrap();
    session.run();
    let [h, w, c] = model.output().shape();
    (0..c * h * w).map(|i| session.output()[i % (h * w) * c + i / (h * w)]).collect()
}

/// Largest difference, relative to the largest value that there should be (at least `floor`).
fn error(got: &[f32], want: &[f32], floor: f32) -> f32 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(floor, |m, v| m.max(v.abs()));
    got.iter().zip(want).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

fn lowered(graph: &Graph, target: Target, dtype: Dtype) -> Result<Lowered> {
    lower_float(graph, &[], &Extras::default(), target, dtype)
}

/// Weights as f16 keeps them.
fn rounded(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let round = |w: &mut f32| *w = f16::from_f32(*w).to_f32();
    for node in &mut graph.nodes {
        match &mut node.op {
            Op::Conv(c) => c.weight.iter_mut().for_each(round),
            Op::Linear(l) => l.weight.iter_mut().for_each(round),
            _ => {}
        }
    }
    graph
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Sums in another order, and nothing else, set the runtime apart from the evaluator; with weights in f16, from
    /// the evaluator on rounded weights.
    #[test]
    fn float_models_compute_what_the_graph_means(seed in any::<u64>(), kind in 0usize..3) {
        let graph = match kind {
            0 => fold_batch_norm(random_graph(seed)),
            1 => fold_batch_norm(varied_graph(seed)),
            _ => random_network(seed),
        };
        for (dtype, reference) in [(Dtype::F32, graph.clone()), (Dtype::F16, rounded(&graph))] {
            let target = Target::ALL[seed as usize % Target::ALL.len()];
            let file = match lowered(&graph, target, dtype) {
                Ok(file) => file,
                // What int8 cannot lower for its shapes, floats cannot either.
                Err(_) => {
                    prop_assert!(crate::quant::fuse::fuse(&graph).is_err());
                    return Ok(());
                }
            };
            for row in random_rows(seed, 2, graph.input_shape().len()) {
                let want = eval_output(&reference, &row);
                for fast in [false, true] {
                    let e = error(&run(&file.bytes, &row, fast), &want, 1e-2);
                    prop_assert!(e < 1e-4, "{} {fast}: {e}", dtype.name());
                }
            }
        }
    }
}

#[test]
fn files_say_what_networks_of_other_tools_say() {
    let Some(dir) = shared_dir() else { return };
    let networks = ["ecg_resnet1d", "face_mbv2", "face_resnet8", "har_cnn", "har_cnn_bn", "har_dscnn"]
        .map(|n| (format!("models/{n}.onnx"), format!("golden/torch/{n}.npz")));
    let tiny = ["ad_f32", "ic_f32", "kws_f32", "vww_f32"]
        .map(|n| (format!("models/mlperf_tiny/{n}.onnx"), format!("golden/mlperf_tiny/{n}.npz")));
    for (model, golden) in networks.into_iter().chain(tiny) {
        let graph = fold_batch_norm(onnx::load(&dir.join(&model)).unwrap());
        let array = |name| crate::data::load_array(&dir.join(&golden), Some(name)).unwrap().1;
        let (x, y) = (array("x"), array("y"));
        let (width, outputs) = (graph.input_shape().len(), graph.output_shape().len());
        // Rounding a weight to f16 moves it by 2^-11 of its size at most; networks of this depth add that up to a
        // few times as much.
        for (dtype, bound) in [(Dtype::F32, 1e-4), (Dtype::F16, 1e-2)] {
            let file = lowered(&graph, Target::X86_64, dtype).unwrap();
            let mut worst = 0f32;
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact(outputs)).take(4) {
                for fast in [false, true] {
                    worst = worst.max(error(&run(&file.bytes, x, fast), y, 1.0));
                }
            }
            println!("{model} {}: {} bytes, error {worst:e}", dtype.name(), file.bytes.len());
            assert!(worst <= bound, "{model} {}: {worst}", dtype.name());
        }
        let [long, short] = [Dtype::F32, Dtype::F16].map(|d| lowered(&graph, Target::X86_64, d).unwrap().bytes.len());
        assert!((0.48..0.62).contains(&(short as f64 / long as f64)), "{model}: {short} of {long} bytes");
    }
}

#[test]
fn what_a_type_cannot_hold_is_refused() {
    let mut b = crate::graph::samples::Builder::new(1, Shape::vector(3));
    let y = b.linear(0, 2);
    let mut graph = b.finish(y);
    let Op::Linear(linear) = &mut graph.nodes[1].op else { panic!("a linear layer") };
    linear.weight[1] = 1e6;
    assert!(lowered(&graph, Target::Portable, Dtype::F32).is_ok());
    let e = lowered(&graph, Target::Portable, Dtype::F16).unwrap_err().to_string();
    assert!(e.contains("beyond ±65504") && e.contains("--dtype f32"), "{e}");
    assert!(lowered(&graph, Target::Portable, Dtype::Int8).unwrap_err().to_string().contains("quantise"));
}
