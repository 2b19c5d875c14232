//! What the tests of quantisation and lowering share: random networks with every operation, and runs.

use super::{QGraph, Ranges, quantise, quantise_input, simulate};
use crate::graph::eval::eval;
use crate::graph::samples::Builder;
use crate::graph::{Activation, Axis, Conv, Graph, NodeId, Op, Shape, Window};
use evenkeel_runtime::kernels::Portable;
use evenkeel_runtime::{Model, Session};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A folded network of a few operations with odd windows, shared clips, groups and sums.
pub(crate) fn random_network(seed: u64) -> Graph {
    let mut pick = ChaCha8Rng::seed_from_u64(seed);
    let image = pick.random_bool(0.6);
    let shape = match image {
        true => Shape::new(pick.random_range(1..5), pick.random_range(4..10), pick.random_range(4..10)),
        false => Shape::new(pick.random_range(1..5), 1, pick.random_range(6..20)),
    };
    let mut b = Builder::new(seed, shape);
    let mut x = 0;
    for _ in 0..pick.random_range(1..6) {
        let c = b.shape(x).c;
        x = match pick.random_range(0..15) {
            0 | 1 => conv(&mut b, &mut pick, x, 1, 1),
            2 if c > 1 => conv(&mut b, &mut pick, x, c, 1),
            3 if c > 1 => conv(&mut b, &mut pick, x, c, 2),
            4 if c.is_multiple_of(2) => conv(&mut b, &mut pick, x, 2, 1),
            5 => {
                let inner = conv(&mut b, &mut pick, x, 1, 1);
                let left = b.conv(inner, c, [1, 3], 1, 1);
                let right = b.conv(inner, c, [1, 1], 1, 1);
                b.add(left, right)
            }
            6 => b.add(x, x),
            7 => {
                let window = window(&mut pick, b.shape(x), true);
                b.push(Op::MaxPool(window), &[x])
            }
            8 => {
                // Parts that are read elsewhere too, and a part that is not.
                let left = b.conv(x, 3, [1, 1], 1, 1);
                let right = b.conv(x, 2, [1, 1], 1, 1);
                let right = b.clip(right, f32::INFINITY);
                b.push(Op::Concat, &[left, x, right])
            }
            9 => {
                let factors = b.push(Op::GlobalAvgPool, &[x]);
                let factors = b.conv(factors, c, [1, 1], 1, 1);
                let factors = b.push(Op::Activation(Activation::Sigmoid), &[factors]);
                b.push(Op::Mul, &[x, factors])
            }
            10 => b.push(Op::Mul, &[x, x]),
            11 => {
                let functions = [Activation::Silu, Activation::HardSwish, Activation::Tanh, Activation::Gelu];
                b.push(Op::Activation(functions[pick.random_range(0..functions.len())]), &[x])
            }
            12 if b.shape(x).len() < 500 => {
                let scale = [if b.shape(x).h > 1 { 2 } else { 1 }, pick.random_range(1..3)];
                b.push(Op::Resize { scale }, &[x])
            }
            13 => b.push(Op::Pad { pad: [0, 1, 0, pick.random_range(0..2)], value: 0.0 }, &[x]),
            14 => {
                let shape = b.shape(x);
                let (axis, size) =
                    [(Axis::C, shape.c), (Axis::H, shape.h), (Axis::W, shape.w)][pick.random_range(0..3)];
                let begin = pick.random_range(0..size);
                b.push(Op::Slice { axis, begin, len: pick.random_range(1..=size - begin) }, &[x])
            }
            _ => {
                let (window, count_pad) = (window(&mut pick, b.shape(x), true), pick.random_bool(0.5));
                b.push(Op::AvgPool { window, count_pad }, &[x])
            }
        };
        x = match pick.random_range(0..8) {
            0..4 => b.clip(x, f32::INFINITY),
            4 => b.push(Op::Clip { lo: -0.3, hi: 0.4 }, &[x]),
            5 => b.push(Op::Clip { lo: 0.1, hi: 6.0 }, &[x]),
            6 => {
                // Read clipped and not: the clip has to stand alone.
                let clipped = b.clip(x, 0.5);
                b.add(clipped, x)
            }
            _ => x,
        };
    }
    if pick.random_bool(0.3) {
        x = b.push(Op::GlobalAvgPool, &[x]);
    }
    if pick.random_bool(0.7) {
        x = b.flatten(x);
        if pick.random_bool(0.3) {
            x = b.clip(x, 2.0);
        }
        x = b.linear(x, 4);
        if pick.random_bool(0.2) {
            // Not the last operation, which would be dropped.
            x = b.push(Op::Softmax, &[x]);
            x = b.linear(x, 3);
        }
    }
    b.finish(x)
}

/// Any window that fits; one of a pool has a tap inside wherever it lies.
fn window(pick: &mut ChaCha8Rng, shape: Shape, pool: bool) -> Window {
    let mut axis = |len: usize| {
        let kernel = pick.random_range(1..len.min(3) + 1);
        let dilation = if (kernel - 1) * 2 < len { pick.random_range(1..3) } else { 1 };
        let stride = pick.random_range(1..3);
        let most = if pool && dilation > 1 { 0 } else { kernel - 1 };
        let mut pad = || pick.random_range(0..most + 1);
        ([kernel, stride, dilation], [pad(), pad()])
    };
    let ([kh, sh, dh], [top, bottom]) = axis(shape.h);
    let ([kw, sw, dw], [left, right]) = axis(shape.w);
    Window { kernel: [kh, kw], stride: [sh, sw], dilation: [dh, dw], pad: [top, left, bottom, right] }
}

/// A convolution with a window of any kind and `groups * multiplier` outputs, or a few where there is one group.
fn conv(b: &mut Builder, pick: &mut ChaCha8Rng, x: NodeId, groups: usize, multiplier: usize) -> NodeId {
    let shape = b.shape(x);
    let out = if groups == 1 { pick.random_range(1..6) } else { groups * multiplier };
    let (inp, window) = (shape.c / groups, window(pick, shape, false));
    let values =
        |pick: &mut ChaCha8Rng, n: usize| -> Vec<f32> { (0..n).map(|_| pick.random_range(-1.0..1.0)).collect() };
    let weight = values(pick, out * inp * window.taps());
    let bias = values(pick, out);
    b.push(Op::Conv(Conv { out, inp, groups, window, weight, bias }), &[x])
}

/// Rows of values in -1..1.
pub(crate) fn random_rows(seed: u64, rows: usize, width: usize) -> Vec<Vec<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    (0..rows).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
}

/// Ranges over rows.
pub(crate) fn calibrate<'a>(graph: &Graph, rows: impl IntoIterator<Item = &'a [f32]>) -> Ranges {
    let mut ranges = Ranges::new(graph);
    for row in rows {
        for (node, value) in eval(graph, row).iter().enumerate() {
            ranges.observe(node, value);
        }
    }
    ranges
}

/// A random network, quantised on a few rows, and the rows.
pub(crate) fn quantised(seed: u64) -> (Graph, QGraph, Vec<Vec<f32>>) {
    let graph = random_network(seed);
    let rows = random_rows(seed, 8, graph.input_shape().len());
    let ranges = calibrate(&graph, rows.iter().map(Vec::as_slice));
    let q = quantise(&graph, &ranges, vec![]).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    (graph, q, rows)
}

/// What the runtime's portable kernels give for an input.
pub(crate) fn run(bytes: &[u8], input: &[i8]) -> Vec<i8> {
    let model = Model::from_bytes(bytes).unwrap();
    let mut arena = vec![0; model.arena_len()];
    let mut session = Session::<Portable>::with_kernels(&model, &mut arena).unwrap();
    session.input_mut().copy_from_slice(input);
    session.run();
    session.output().to_vec()
}

/// The simulated result for a raw row, C × H × W, dequantised.
pub(crate) fn simulated_output(q: &QGraph, raw: &[f32]) -> Vec<f32> {
    let values = simulate(q, &quantise_input(q, raw));
    super::dequantise(q.nodes[q.output].out, &values[q.output])
}
