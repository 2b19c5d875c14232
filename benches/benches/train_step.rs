//! Time of one optimiser step (batch of 64, on the CPU, batch normalisation as pruning restores it) on the networks of
//! `../shared/models`: dense, and with half of the channels of every group, which is a quarter of the multiply-accumulates.
//! The inputs are made up; the time does not depend on them.
//!
//! `cargo bench -p evenkeel-benches --bench train_step`; without the networks it says so.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, criterion_group, criterion_main};
use evenkeel::contract::{InputNorm, Metric};
use evenkeel::couple::couple;
use evenkeel::data::batch::Normaliser;
use evenkeel::error::Result;
use evenkeel::graph::Graph;
use evenkeel::graph::norm::fold_batch_norm;
use evenkeel::graph::tail::drop_softmax;
use evenkeel::net::optimise::Schedule;
use evenkeel::net::train::{Training, train};
use evenkeel::net::{Set, device};
use evenkeel::onnx;
use evenkeel::progress::Stop;
use evenkeel::prune::norm::with_norm;
use evenkeel::prune::shrink::shrink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NETWORKS: [&str; 5] = ["har_cnn", "har_dscnn", "ecg_resnet1d", "face_resnet8", "face_mbv2"];
/// Rows per step.
const BATCH: usize = 64;
/// Rows to draw batches from.
const ROWS: usize = 256;

fn train_step(c: &mut Criterion) {
    let near = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let models = std::env::var_os("EVENKEEL_DATA").map_or_else(near, PathBuf::from).join("models");
    let mut group = c.benchmark_group("train step");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for name in NETWORKS {
        let file = models.join(format!("{name}.onnx"));
        if !file.exists() {
            println!("skipped: {} is not there", file.display());
            continue;
        }
        let dense = fold_batch_norm(drop_softmax(onnx::load(&file).expect("a network")).0);
        for (kind, graph) in [("dense", dense.clone()), ("25 % of MACs", half(&dense).expect("a smaller network"))] {
            let set = rows(&graph).expect("rows");
            let graph = with_norm(&graph, &set, &device("cpu").expect("a CPU")).expect("normalisation");
            group.bench_function(format!("{name}, {kind}"), |b| b.iter_custom(|steps| time(&graph, &set, steps)));
        }
    }
    group.finish();
}

/// The network with half of the channels of every group that can lose some.
fn half(graph: &Graph) -> Result<Graph> {
    let coupling = couple(graph);
    let kept = |class: &evenkeel::couple::Class| {
        if class.frozen.is_some() { class.channels } else { class.channels.div_ceil(2) }
    };
    let keep: Vec<Vec<usize>> = coupling.classes.iter().map(|class| (0..kept(class)).collect()).collect();
    shrink(graph, &coupling, &keep)
}

fn rows(graph: &Graph) -> Result<Set> {
    let shape = graph.input_shape();
    let sample = if graph.input_rank == 2 { vec![shape.c, shape.w] } else { vec![shape.c, shape.h, shape.w] };
    let raw: Vec<f32> = (0..ROWS * shape.len()).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
    let mut set = Set::from_array(&sample, &raw, &Normaliser::new(&InputNorm::default(), &sample)?, graph)?;
    let classes = graph.output_shape().len();
    set.y.iter_mut().enumerate().for_each(|(i, y)| *y = i % classes);
    Ok(set)
}

fn time(graph: &Graph, set: &Set, steps: u64) -> Duration {
    let steps = steps as usize;
    let schedule = Schedule { steps, batch: BATCH, rate: 1e-4, decay: 1e-4, eval_every: steps };
    let device = device("cpu").expect("a CPU");
    let how = Training { metric: Metric::Accuracy, schedule, seed: 1, device };
    let start = Instant::now();
    train(graph, set, set, &how, &Stop::default()).expect("training");
    start.elapsed()
}

criterion_group!(benches, train_step);
criterion_main!(benches);
