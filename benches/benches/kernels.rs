//! Times on this machine: the portable kernels and this machine's own by shape, the check of a file, and runs of whole networks.
//!
//! `cargo bench -p evenkeel-benches`; with `cargo test -p evenkeel-benches --benches` each runs once.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evenkeel_benches::{CONV3X3, DEPTHWISE, LINEAR, Operator, POINTWISE, Shape, Stored, lowered, network};
use evenkeel_runtime::format::op;
use evenkeel_runtime::kernels::{AddParams, Geometry, Kernels, Layer, Native, Portable};
use evenkeel_runtime::{Model, Session};
use std::hint::black_box;

/// A kernel of a set on one operator's numbers.
type Kernel = fn(&Geometry, &Layer, &[i8], &mut [i8], &mut [u8]);

/// Operators, and their kernels in a set.
fn operators<K: Kernels>() -> [(Shape, u16, Kernel); 4] {
    [
        (POINTWISE, op::CONV, K::conv),
        (DEPTHWISE, op::DEPTHWISE, K::depthwise),
        (CONV3X3, op::CONV, K::conv),
        (LINEAR, op::LINEAR, |_, l, x, y, scratch| K::linear(l, x, y, scratch)),
    ]
}

fn kernels(c: &mut Criterion) {
    shapes(c, "portable", Stored::Rows, operators::<Portable>());
    shapes(c, Native::NAME, Stored::Packed, operators::<Native>());
    shapes(c, &format!("{}, half of the blocks", Native::NAME), Stored::Blocks, operators::<Native>());
    elementwise::<Portable>(c);
    elementwise::<Native>(c);
}

fn shapes(c: &mut Criterion, name: &str, stored: Stored, operators: [(Shape, u16, Kernel); 4]) {
    let mut group = c.benchmark_group(name);
    for (shape, code, kernel) in operators {
        let operator = Operator::new(shape, code, stored);
        let (mut y, mut scratch) = (operator.output(), operator.scratch.clone());
        let scratch = bytemuck::cast_slice_mut(&mut scratch);
        group.throughput(Throughput::Elements(operator.macs()));
        group.bench_function(shape.name, |b| {
            let (g, layer) = (&shape.geometry, operator.layer());
            b.iter(|| kernel(g, &layer, black_box(&operator.input), black_box(&mut y), scratch));
        });
    }
    group.finish();
}

fn elementwise<K: Kernels>(c: &mut Criterion) {
    let mut group = c.benchmark_group(K::NAME);
    let a: Vec<i8> = (0..16_384).map(|i| (i * 37 % 255) as u8 as i8).collect();
    let mut y = a.clone();
    group.throughput(Throughput::Elements(a.len() as u64));
    let p = AddParams { mul: [9000, 12_000], bias: 1 << 13, shift: 14, lo: -128, hi: 127 };
    group.bench_function("add 32x32x16", |b| b.iter(|| K::add(&p, black_box(&a), black_box(&a), &mut y)));
    let half = Geometry {
        input: [32, 32, 16],
        output: [16, 16, 16],
        kernel: [2; 2],
        stride: [2; 2],
        dilation: [1; 2],
        pad: [0; 2],
    };
    let mut pooled = vec![0; 16 * 16 * 16];
    group.bench_function("max pool 2x2 32x32x16", |b| b.iter(|| K::max_pool(&half, black_box(&a), &mut pooled)));
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
