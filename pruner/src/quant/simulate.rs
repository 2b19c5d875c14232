//! What a [`QGraph`] computes, in plain integers: the simulation that equals the runtime byte for byte.
//!
//! Written from the definitions in `evenkeel_runtime::quant` alone, so that it checks the kernels rather than
//! repeats them. All sums are exact here and cut to 32 bits once; wrapping sums in any order give the same.

use super::{QGraph, QNode, QOp, QParams, QWeights};
use crate::graph::{Shape, Window};
use evenkeel_runtime::format::{InputChannel, Requant};

/// The value of every node, each H × W × C, for an `input` in that order.
///
/// `q` is as [`super::quantise`] gives it, and `input` as long as node 0 says; other inputs panic.
pub fn simulate(q: &QGraph, input: &[i8]) -> Vec<Vec<i8>> {
    assert_eq!(input.len(), q.nodes[0].shape.len(), "elements of the input");
    let mut values: Vec<Vec<i8>> = Vec::with_capacity(q.nodes.len());
    values.push(input.to_vec());
    for id in 1..q.nodes.len() {
        values.push(value(q, id, &values));
    }
    values
}

/// The value of one node, whose inputs are among `values`; node 0 has the value that it is given.
pub(super) fn value(q: &QGraph, id: usize, values: &[Vec<i8>]) -> Vec<i8> {
    let node = &q.nodes[id];
    match &node.op {
        QOp::Input => values[0].clone(),
        QOp::Conv { window, groups, weights } => {
            conv(node, &q.nodes[node.inputs[0]], &values[node.inputs[0]], window, *groups, weights)
        }
        QOp::Linear(weights) => {
            let x = &values[node.inputs[0]];
            let dot = |o: usize| x.iter().zip(&weights.data[o * x.len()..]).map(|(&x, &w)| x as i64 * w as i64).sum();
            (0..node.shape.c).map(|o| requantise(node, dot(o), weights.requant[o], weights.left_shift)).collect()
        }
        QOp::Add { mul, bias, shift } => {
            let (a, b) = (&values[node.inputs[0]], &values[node.inputs[1]]);
            let sum = |(&a, &b): (&i8, &i8)| {
                let sum = a as i64 * mul[0] as i64 + b as i64 * mul[1] as i64 + *bias as i64;
                clamp(node, (sum as i32 >> shift) as i64)
            };
            a.iter().zip(b).map(sum).collect()
        }
        QOp::MaxPool(window) => {
            let (from, x) = (q.nodes[node.inputs[0]].shape, &values[node.inputs[0]]);
            windows(node.shape, from, window, |c, taps| {
                taps.iter().flatten().map(|pixel| x[pixel * from.c + c]).max().unwrap_or(i8::MIN)
            })
        }
        QOp::AvgPool { window, requant, count_base, left_shift } => {
            let (from, x) = (q.nodes[node.inputs[0]].shape, &values[node.inputs[0]]);
            windows(node.shape, from, window, |c, taps| {
                let (mut sum, mut count) = (0i64, 0);
                for pixel in taps.iter().flatten() {
                    sum += x[pixel * from.c + c] as i64;
                    count += 1;
                }
                requantise(node, sum, requant[count - count_base], *left_shift)
            })
        }
        QOp::Mul { mul, left_shift } => {
            let [(a, from), (b, other)] = [0, 1].map(|i| (&values[node.inputs[i]], &q.nodes[node.inputs[i]]));
            let r = Requant { bias: 0, mul: *mul };
            let one = |(i, &a): (usize, &i8)| {
                let product = (a as i64 - from.out.zero as i64) * (b[i % b.len()] as i64 - other.out.zero as i64);
                requantise(node, product, r, *left_shift)
            };
            a.iter().enumerate().map(one).collect()
        }
        QOp::Lut(table) => values[node.inputs[0]].iter().map(|&x| table[(x as i32 + 128) as usize]).collect(),
        QOp::Resize(by) => {
            boxed(q, node, values, |[y, x, c], from| Some(((y / by[0]) * from.w + x / by[1]) * from.c + c))
        }
        QOp::Slice(first) => boxed(q, node, values, |[y, x, c], from| {
            Some(((y + first[0]) * from.w + x + first[1]) * from.c + c + first[2])
        }),
        QOp::Pad(first) => boxed(q, node, values, |[y, x, c], from| {
            let (y, x) = (y.checked_sub(first[0])?, x.checked_sub(first[1])?);
            (y < from.h && x < from.w).then_some((y * from.w + x) * from.c + c)
        }),
        QOp::Concat => {
            let parts: Vec<(&Vec<i8>, usize)> = node.inputs.iter().map(|&i| (&values[i], q.nodes[i].shape.c)).collect();
            let pixel = |p: usize| parts.iter().flat_map(move |(x, c)| x[p * c..(p + 1) * c].iter().copied());
            (0..node.shape.h * node.shape.w).flat_map(pixel).collect()
        }
        QOp::Softmax { table } => softmax(node, &values[node.inputs[0]], table),
    }
}

/// A result whose element at row, column and channel is the input's at the index that `from` gives, or zero.
fn boxed(q: &QGraph, node: &QNode, values: &[Vec<i8>], from: impl Fn([usize; 3], Shape) -> Option<usize>) -> Vec<i8> {
    let (x, input) = (&values[node.inputs[0]], &q.nodes[node.inputs[0]]);
    let at = |i: usize| [i / node.shape.c / node.shape.w, i / node.shape.c % node.shape.w, i % node.shape.c];
    (0..node.shape.len()).map(|i| from(at(i), input.shape).map_or(input.out.zero, |i| x[i])).collect()
}

fn conv(node: &QNode, from: &QNode, x: &[i8], window: &Window, groups: usize, weights: &QWeights) -> Vec<i8> {
    let (channels, taps) = (from.shape.c, window.taps());
    let (inp, out) = (channels / groups, node.shape.c / groups);
    let depthwise = groups > 1 && inp == 1 && out == 1;
    windows(node.shape, from.shape, window, |o, pixels| {
        let first = o / out * inp;
        let mut sum = 0i64;
        for (tap, pixel) in pixels.iter().enumerate() {
            for i in 0..inp {
                let w =
                    if depthwise { weights.data[tap * channels + o] } else { weights.data[(o * taps + tap) * inp + i] };
                // Padding has the value that stands for zero.
                let x = pixel.map_or(from.out.zero, |p| x[p * channels + first + i]);
                sum += w as i64 * x as i64;
            }
        }
        requantise(node, sum, weights.requant[o], weights.left_shift)
    })
}

/// Shares of the sum in steps of 1/256, rounded half up.
fn softmax(node: &QNode, x: &[i8], table: &[u32]) -> Vec<i8> {
    x.chunks(node.shape.c).flat_map(|pixel| softmax_of(node, pixel, table)).collect()
}

fn softmax_of(node: &QNode, x: &[i8], table: &[u32]) -> Vec<i8> {
    let largest = x.iter().copied().max().unwrap_or(0);
    let exp = |&v: &i8| table[largest.abs_diff(v) as usize] as i64;
    let sum: i64 = x.iter().map(exp).sum();
    x.iter().map(|v| clamp(node, node.out.zero as i64 + (exp(v) * 256 + sum / 2) / sum)).collect()
}

/// Calls `value(channel, pixels)` for each output element: the pixel under each tap, `None` in the padding.
fn windows(to: Shape, from: Shape, w: &Window, value: impl Fn(usize, &[Option<usize>]) -> i8) -> Vec<i8> {
    let mut out = Vec::with_capacity(to.len());
    let mut pixels = Vec::with_capacity(w.taps());
    for (oy, ox) in (0..to.h).flat_map(|y| (0..to.w).map(move |x| (y, x))) {
        pixels.clear();
        for (ky, kx) in (0..w.kernel[0]).flat_map(|y| (0..w.kernel[1]).map(move |x| (y, x))) {
            let y = (oy * w.stride[0] + ky * w.dilation[0]).checked_sub(w.pad[0]).filter(|&y| y < from.h);
            let x = (ox * w.stride[1] + kx * w.dilation[1]).checked_sub(w.pad[1]).filter(|&x| x < from.w);
            pixels.push(y.zip(x).map(|(y, x)| y * from.w + x));
        }
        out.extend((0..to.c).map(|c| value(c, &pixels)));
    }
    out
}

/// `clamp(zero + high32((acc << left_shift) * mul + 2^31))`, the accumulator and its shift wrapping at 32 bits.
fn requantise(node: &QNode, sum: i64, r: Requant, left_shift: u8) -> i8 {
    let acc = ((sum + r.bias as i64) << left_shift) as i32;
    let high = (acc as i64 * r.mul as i64 + (1 << 31)) >> 32;
    clamp(node, high + node.out.zero as i64)
}

fn clamp(node: &QNode, v: i64) -> i8 {
    v.clamp(node.clamp.0 as i64, node.clamp.1 as i64) as i8
}

/// A row of raw values in C × H × W order as the network's int8 input, H × W × C: what the runtime's
/// `preprocess::quantise_input` does with the same values.
///
/// `raw` is as long as node 0 says; other lengths panic.
pub fn quantise_input(q: &QGraph, raw: &[f32]) -> Vec<i8> {
    let node = &q.nodes[0];
    assert_eq!(raw.len(), node.shape.len(), "elements of the input");
    let (channels, pixels) = (node.shape.c, node.shape.h * node.shape.w);
    let identity = InputChannel { scale: 1.0, mean: 0.0, std: 1.0 };
    let one = |i: usize| {
        let (p, c) = (i / channels, i % channels);
        let n = q.input_norm.get(c).or(q.input_norm.first()).unwrap_or(&identity);
        evenkeel_runtime::preprocess::quantise(
            (raw[c * pixels + p] * n.scale - n.mean) / n.std,
            node.out.scale,
            node.out.zero as i32,
            q.input_rounding,
        )
    };
    (0..raw.len()).map(one).collect()
}

/// The real values that int8 values stand for, in the same order.
pub fn dequantise(p: QParams, values: &[i8]) -> Vec<f32> {
    values.iter().map(|&v| p.scale * (v as i32 - p.zero as i32) as f32).collect()
}
