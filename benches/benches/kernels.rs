//! Times on this machine: portable kernels by shape, the check of a file, and runs of whole networks.
//!
//! `cargo bench -p evenkeel-benches`; with `cargo test -p evenkeel-benches --benches` each runs once.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evenkeel_benches::{CONV3X3, DEPTHWISE, LINEAR, Operator, POINTWISE, Shape, lowered, network};
use evenkeel_runtime::kernels::{Geometry, Layer, portable};
use evenkeel_runtime::{Model, Session};
use std::hint::black_box;

/// A kernel on one operator's numbers.
type Kernel = fn(&Geometry, &Layer, &[i8], &mut [i8]);

fn kernels(c: &mut Criterion) {
    let operators: [(Shape, Kernel); 4] = [
        (POINTWISE, |g, l, x, y| portable::conv(g, l, 1, x, y)),
        (DEPTHWISE, portable::depthwise),
        (CONV3X3, |g, l, x, y| portable::conv(g, l, 1, x, y)),
        (LINEAR, |_, l, x, y| portable::linear(l, x, y)),
    ];
    let mut group = c.benchmark_group("portable");
    for (shape, kernel) in operators {
        let operator = Operator::new(shape);
        let mut y = operator.output();
        group.throughput(Throughput::Elements(operator.macs()));
        group.bench_function(shape.name, |b| {
            b.iter(|| kernel(&shape.geometry, &operator.layer(), black_box(&operator.input), black_box(&mut y)));
        });
    }
    group.finish();
}

fn networks(c: &mut Criterion) {
    for (arch, sample) in [("cnn1d", &[6, 128][..]), ("dscnn1d", &[6, 128]), ("resnet8", &[3, 32, 32])] {
        // A bench that cannot begin has nothing better to do than to say why.
        let graph = network(arch, sample).unwrap_or_else(|e| panic!("{e}"));
        let file = lowered(&graph).unwrap_or_else(|e| panic!("{e}"));
        let mut group = c.benchmark_group("load");
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(arch), |b| {
            b.iter(|| Model::from_bytes(black_box(&file)).map(|m| m.arena_len()));
        });
        group.finish();

        let model = Model::from_bytes(&file).unwrap_or_else(|e| panic!("{arch}: {e}"));
        let mut arena = vec![0; model.arena_len()];
        let mut session = Session::new(&model, &mut arena).unwrap_or_else(|e| panic!("{arch}: {e}"));
        let mut group = c.benchmark_group("run");
        group.throughput(Throughput::Elements(graph.macs() as u64));
        group.bench_function(BenchmarkId::from_parameter(arch), |b| {
            b.iter(|| {
                session.input_mut().fill(black_box(1));
                session.run();
                black_box(session.classify())
            });
        });
        group.finish();
    }
}

criterion_group!(benches, kernels, networks);
criterion_main!(benches);
