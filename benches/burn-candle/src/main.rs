//! A second opinion on f32 results, and a latency peer: each reference network on burn 0.21's Candle backend and
//! on burn 0.22's flex backend, which the project trains on, against the outputs that ONNX Runtime recorded.
//!
//! `cargo run --release -- <shared folder>` reads `models/` and `golden/` there and prints a Markdown table. The
//! difference is the largest one to a recorded logit, relative to the largest logit of that network. The
//! two backends take turns, one inference at a time (batch 1), from numbers on the host to numbers on the host.
//! Both use all cores; `RAYON_NUM_THREADS=1` keeps them to one.
//!
//! burn-candle is for inference only (its backward pass has no grouped convolutions) and was removed from burn
//! after 0.21, which is why this package stands outside the project's workspace.

mod opinion;

use evenkeel::graph::{Graph, Op};
use evenkeel::net::{Net, device, floats};
use evenkeel::{Error, Result, data, onnx};
use opinion::Opinion;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Networks, under `models/`, and their inputs `x` and outputs `y`, under `golden/`.
const NETWORKS: [(&str, &str); 10] = [
    ("har_cnn", "torch/har_cnn"),
    ("har_cnn_bn", "torch/har_cnn_bn"),
    ("har_dscnn", "torch/har_dscnn"),
    ("ecg_resnet1d", "torch/ecg_resnet1d"),
    ("face_resnet8", "torch/face_resnet8"),
    ("face_mbv2", "torch/face_mbv2"),
    ("mlperf_tiny/kws_f32", "mlperf_tiny/kws_f32"),
    ("mlperf_tiny/vww_f32", "mlperf_tiny/vww_f32"),
    ("mlperf_tiny/ic_f32", "mlperf_tiny/ic_f32"),
    ("mlperf_tiny/ad_f32", "mlperf_tiny/ad_f32"),
];

/// Largest difference that passes.
const TOLERANCE: f32 = 1e-4;

/// A network is timed until it has so many inferences on each backend, or so much time has gone.
const ROUNDS: usize = 300;
const BUDGET: Duration = Duration::from_secs(10);

/// What was measured of one network on one backend.
struct Measured {
    /// Largest difference to a recorded logit, relative to the largest logit.
    difference: f32,
    /// Median time of an inference.
    median: Duration,
}

fn main() -> ExitCode {
    let Some(shared) = std::env::args_os().nth(1) else {
        eprintln!("usage: burn-candle-opinion <shared folder, with models/ and golden/>");
        return ExitCode::from(2);
    };
    match run(Path::new(&shared)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(shared: &Path) -> Result<()> {
    println!("| network | candle: difference | flex: difference | candle, ms | flex, ms | candle ÷ flex |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let mut astray = Vec::new();
    for (model, golden) in NETWORKS {
        let graph = onnx::load(&shared.join(format!("models/{model}.onnx")))?;
        let [candle, flex] = compare(&graph, &shared.join(format!("golden/{golden}.npz")))?;
        let (a, b) = (candle.median.as_secs_f64() * 1e3, flex.median.as_secs_f64() * 1e3);
        println!(
            "| {} | {:.1e} | {:.1e} | {a:.3} | {b:.3} | {:.2} |",
            graph.name,
            candle.difference,
            flex.difference,
            a / b
        );
        for (backend, m) in [("burn-candle", candle), ("flex", flex)] {
            if m.difference > TOLERANCE {
                astray.push(format!("{} on {backend}", graph.name));
            }
        }
    }
    match astray.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format!("more than {TOLERANCE:e} from the recorded logits: {}", astray.join(", ")))),
    }
}

/// Runs a network on both backends, Candle first: every recorded sample for the difference, then for the time.
fn compare(graph: &Graph, golden: &Path) -> Result<[Measured; 2]> {
    let (_, x) = data::load_array(golden, Some("x"))?;
    let (_, y) = data::load_array(golden, Some("y"))?;
    let (inputs, outputs) = (graph.input_shape().len(), graph.output_shape().len());
    let samples = x.len() / inputs;
    if samples == 0 || x.len() != samples * inputs || y.len() != samples * outputs {
        return Err(Error::new("the recorded arrays do not fit the network's input and output").at(golden));
    }

    let opinion = Opinion::new(graph)?;
    let net = Net::new(graph, &device("cpu")?);
    let on_candle = |x: Vec<f32>| opinion.forward(x);
    let on_flex = |x: Vec<f32>| floats(net.forward(net.input(x)));
    let backends: [&dyn Fn(Vec<f32>) -> Result<Vec<f32>>; 2] = [&on_candle, &on_flex];

    // A probability near 1 hides what became of its logit; the logarithm is the logit but for a constant.
    let ends_in_softmax = graph.nodes[graph.output].op == Op::Softmax;
    let logit = |y: f32| if ends_in_softmax { y.ln() } else { y };
    let largest = y.iter().fold(0.0f32, |m, v| m.max(logit(*v).abs()));
    let mut worst = [0.0f32; 2];
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact(outputs)) {
        for (backend, worst) in backends.iter().zip(&mut worst) {
            let got = backend(x.to_vec())?;
            for (a, b) in got.iter().zip(y) {
                let difference = (logit(*a) - logit(*b)).abs() / largest;
                // NaN is the largest difference there is; `max` would drop it.
                *worst = worst.max(if difference.is_nan() { f32::INFINITY } else { difference });
            }
        }
    }

    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    let start = Instant::now();
    for x in x.chunks_exact(inputs).cycle().take(ROUNDS) {
        for (backend, times) in backends.iter().zip(&mut times) {
            let (x, start) = (x.to_vec(), Instant::now());
            std::hint::black_box(backend(x)?);
            times.push(start.elapsed());
        }
        if start.elapsed() > BUDGET {
            break;
        }
    }
    let [candle, flex] = times.map(median);
    Ok([Measured { difference: worst[0], median: candle }, Measured { difference: worst[1], median: flex }])
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
