//! The definition of every operator: plain loops.
//!
//! The inner loops run over contiguous channels without conditions, which is all that a compiler needs to
//! vectorise them. What lies in the padding is left out of the window first (`Window`); the zero point of
//! the input that stands there (it is folded into the bias) is added for all of those taps at once.
//!
//! Slices that fit the geometry are what verification has proved. Of others nothing is read that is not there, and
//! nothing divides by zero: so firmware links no way to panic.

use core::iter;
use core::ops::Range;

use super::weights::Reader;
use super::{AddParams, Geometry, Kernels, Layer, MulParams, Weights};
use crate::format::{Packing, Requant};
use crate::quant;

/// Channels that are accumulated at a time where no sum runs over channels.
const BLOCK: usize = 64;

/// The portable kernel set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl Kernels for Portable {
    const NAME: &'static str = "portable";
    const PACKINGS: &'static [Packing] = &Packing::ALL;
}

/// Convolution in `groups` groups of channels.
pub fn conv(g: &Geometry, l: &Layer, groups: usize, x: &[i8], y: &mut [i8]) {
    match l.weights {
        Weights::Dense(weights) if l.packing == Packing::Portable || groups > 1 => {
            conv_rows(g, l, weights, groups, x, y);
        }
        _ => conv_packed(g, l, x, y),
    }
}

/// Convolution with weights packed for a target, or of which only some are stored.
fn conv_packed(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) {
    let [in_c, out_c] = [g.input[2], g.output[2]];
    let [kernel_h, kernel_w] = g.kernel;
    let offset = value_offset(l);
    for (position, y) in runs_mut(y, out_c).enumerate() {
        let window = Window::new(g, position);
        let mut reader = Reader::new(l.weights, l.tile, kernel_h * kernel_w * in_c);
        for (o, (y, r)) in y.iter_mut().zip(l.requant).enumerate() {
            let mut acc = r.bias;
            reader.output(o, &mut |tap, w| {
                let [pixel, channel] = divide(tap, in_c);
                let [row, column] = divide(pixel, kernel_w);
                let inside = window.rows.contains(&row) && window.columns.contains(&column);
                let x = if inside { x.get(window.at(row, column).wrapping_add(channel)) } else { None };
                acc = acc.wrapping_add((*x.unwrap_or(&l.zero_in) as i32 + offset) * w as i32);
            });
            *y = quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
        }
    }
}

/// What is added to a value before it meets a weight; the biases have it folded in.
fn value_offset(l: &Layer) -> i32 {
    if l.packing.is_unsigned() { 128 } else { 0 }
}

/// Convolution with rows of weights in OHWI order.
fn conv_rows(g: &Geometry, l: &Layer, weights: &[i8], groups: usize, x: &[i8], y: &mut [i8]) {
    let in_c = g.input[2];
    let out_c = g.output[2];
    let [group_in, group_out] = [in_c, out_c].map(|channels| divide(channels, groups)[0]);
    let [kernel_h, kernel_w] = g.kernel;
    let filter_len = kernel_h * kernel_w * group_in;
    // Neighbouring taps of a row are neighbours in memory: one long dot product instead of many short ones.
    let joined = groups == 1 && g.dilation[1] == 1;

    for (position, y) in runs_mut(y, out_c).enumerate() {
        let window = Window::new(g, position);
        let (rows, columns) = (window.rows.clone(), window.columns.clone());
        let padded = rows.len() * columns.len() < kernel_h * kernel_w;
        let (firsts, run_len) = if joined { (columns.start..columns.start + 1, columns.len()) } else { (columns, 1) };
        let run_len = run_len * group_in;
        for (o, (y, r)) in y.iter_mut().zip(l.requant).enumerate() {
            let Some(filter) = piece(weights, o * filter_len, filter_len) else { return };
            let first_channel = if groups == 1 { 0 } else { divide(o, group_out)[0] * group_in };
            let (mut acc, mut valid_weights) = (r.bias, 0i32);
            for row in rows.clone() {
                for column in firsts.clone() {
                    let x = piece(x, window.at(row, column).wrapping_add(first_channel), run_len);
                    let (Some(x), Some(w)) = (x, piece(filter, (row * kernel_w + column) * group_in, run_len)) else {
                        return;
                    };
                    acc = acc.wrapping_add(dot(x, w));
                    if padded {
                        valid_weights = valid_weights.wrapping_add(sum(w));
                    }
                }
            }
            if padded {
                let padding = sum(filter).wrapping_sub(valid_weights);
                acc = acc.wrapping_add(padding.wrapping_mul(l.zero_in as i32));
            }
            *y = quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
        }
    }
}

/// One filter per channel.
pub fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    let [kernel_h, kernel_w] = g.kernel;
    // Filters of single channels are always stored whole.
    let weights = l.weights.dense().unwrap_or_default();
    for (position, y) in runs_mut(y, channels).enumerate() {
        let window = Window::new(g, position);
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let Some(requant) = piece(l.requant, first, y.len()) else { return };
            let mut acc = [0i32; BLOCK];
            for row in 0..kernel_h {
                for column in 0..kernel_w {
                    let w = piece(weights, (row * kernel_w + column) * channels + first, y.len());
                    let Some(w) = w else { return };
                    if window.rows.contains(&row) && window.columns.contains(&column) {
                        let x = piece(x, window.at(row, column).wrapping_add(first), y.len());
                        let Some(x) = x else { return };
                        for ((acc, &x), &w) in acc.iter_mut().zip(x).zip(w) {
                            *acc = acc.wrapping_add(x as i32 * w as i32);
                        }
                    } else {
                        for (acc, &w) in acc.iter_mut().zip(w) {
                            *acc = acc.wrapping_add(l.zero_in as i32 * w as i32);
                        }
                    }
                }
            }
            for ((y, &acc), r) in y.iter_mut().zip(&acc).zip(requant) {
                let acc = acc.wrapping_add(r.bias);
                *y = quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
            }
        }
    }
}

/// Fully connected.
pub fn linear(l: &Layer, x: &[i8], y: &mut [i8]) {
    let requantise = |acc, r: &Requant| quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
    if let (Weights::Dense(weights), Packing::Portable) = (l.weights, l.packing) {
        for ((y, w), r) in y.iter_mut().zip(runs(weights, x.len())).zip(l.requant) {
            *y = requantise(r.bias.wrapping_add(dot(x, w)), r);
        }
        return;
    }
    let mut reader = Reader::new(l.weights, l.tile, x.len());
    let offset = value_offset(l);
    for (o, (y, r)) in y.iter_mut().zip(l.requant).enumerate() {
        let mut acc = r.bias;
        reader.output(o, &mut |tap, w| {
            let x = x.get(tap).copied().unwrap_or(0);
            acc = acc.wrapping_add((x as i32 + offset) * w as i32);
        });
        *y = requantise(acc, r);
    }
}

/// Element-wise sum.
pub fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = quant::add(a, b, p.mul, p.bias, p.shift, p.lo, p.hi);
    }
}

/// Element-wise sum that overwrites its second input.
pub fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
    for (y, &a) in y.iter_mut().zip(a) {
        *y = quant::add(a, *y, p.mul, p.bias, p.shift, p.lo, p.hi);
    }
}

/// Element-wise product; `b` is as long as `a`, or one value per channel.
pub fn mul(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) {
    for (y, a) in runs_mut(y, b.len()).zip(runs(a, b.len())) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = product(p, a, b);
        }
    }
}

/// Element-wise product that overwrites its first input.
pub fn mul_onto(p: &MulParams, b: &[i8], y: &mut [i8]) {
    for y in runs_mut(y, b.len()) {
        for (y, &b) in y.iter_mut().zip(b) {
            *y = product(p, *y, b);
        }
    }
}

fn product(p: &MulParams, a: i8, b: i8) -> i8 {
    let product = (a as i32 - p.zero[0]) * (b as i32 - p.zero[1]);
    quant::requantise(product, p.left_shift, p.mul, p.zero_out, p.lo, p.hi)
}

/// `y = table[x + 128]`.
pub fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = table[(x as u8 ^ 0x80) as usize];
    }
}

/// [`lut`] in place.
pub fn lut_onto(table: &[i8; 256], y: &mut [i8]) {
    for y in y {
        *y = table[(*y as u8 ^ 0x80) as usize];
    }
}

/// Softmax over runs of `channels` values: `exp[d]` is proportional to the exponential of minus `d` input steps,
/// and an output step is 1/256 of the whole.
///
/// `exp[0]` is the largest entry; `exp[0] * 256` and `exp[0] * channels` are below 2^31.
pub fn softmax(exp: &[u32; 256], channels: usize, zero_out: i32, x: &[i8], y: &mut [i8]) {
    for (x, y) in runs(x, channels).zip(runs_mut(y, channels)) {
        let largest = x.iter().fold(i8::MIN, |m, &v| m.max(v));
        let exp = |v: i8| exp[largest.abs_diff(v) as usize];
        let sum = x.iter().fold(0u32, |sum, &v| sum.wrapping_add(exp(v))).max(1);
        for (y, &v) in y.iter_mut().zip(x) {
            let share = (exp(v).wrapping_mul(256).wrapping_add(sum / 2)) / sum;
            *y = (share as i32 + zero_out).clamp(-128, 127) as i8;
        }
    }
}

/// Each pixel becomes `by[0] × by[1]` equal ones.
pub fn resize(input: [usize; 3], by: [usize; 2], x: &[i8], y: &mut [i8]) {
    let [_, width, channels] = input;
    let out_width = width * by[1];
    for (position, y) in runs_mut(y, channels).enumerate() {
        let [out_row, out_column] = divide(position, out_width);
        let ([row, _], [column, _]) = (divide(out_row, by[0]), divide(out_column, by[1]));
        copy(x.get((row * width + column) * channels..), y);
    }
}

/// The box of the input that begins at row, column and channel `first`, and has the output's shape.
pub fn slice(input: [usize; 3], output: [usize; 3], first: [usize; 3], x: &[i8], y: &mut [i8]) {
    for (position, y) in runs_mut(y, output[2]).enumerate() {
        let [out_row, out_column] = divide(position, output[1]);
        let (row, column) = (first[0] + out_row, first[1] + out_column);
        copy(x.get((row * input[1] + column) * input[2] + first[2]..), y);
    }
}

/// The input inside a border of `value`, of `pad` pixels above and to the left.
pub fn pad(input: [usize; 3], output: [usize; 3], pad: [usize; 2], value: i8, x: &[i8], y: &mut [i8]) {
    y.fill(value);
    for (row, x) in runs(x, input[1] * input[2]).enumerate() {
        let at = ((row + pad[0]) * output[1] + pad[1]) * output[2];
        copy(Some(x), y.get_mut(at..).unwrap_or_default());
    }
}

/// Maximum over the valid taps.
pub fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    for (position, y) in runs_mut(y, channels).enumerate() {
        let window = Window::new(g, position);
        y.fill(i8::MIN);
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let Some(x) = piece(x, window.at(row, column), channels) else { return };
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = (*y).max(x);
                }
            }
        }
    }
}

/// Mean over the valid taps: their sum times the multiplier that their number has.
pub fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    for (position, y) in runs_mut(y, channels).enumerate() {
        let window = Window::new(g, position);
        let count = window.rows.len() * window.columns.len();
        let Some(r) = l.requant.get(count.wrapping_sub(count_base)) else { return };
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let mut acc = [0i32; BLOCK];
            for row in window.rows.clone() {
                for column in window.columns.clone() {
                    let x = piece(x, window.at(row, column).wrapping_add(block * BLOCK), y.len());
                    let Some(x) = x else { return };
                    for (acc, &x) in acc.iter_mut().zip(x) {
                        *acc = acc.wrapping_add(x as i32);
                    }
                }
            }
            for (y, &acc) in y.iter_mut().zip(&acc) {
                let acc = acc.wrapping_add(r.bias);
                *y = quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
            }
        }
    }
}

/// What one output position sees of the input.
pub(super) struct Window {
    /// Rows of taps that lie on the input, not in the padding.
    pub rows: Range<usize>,
    /// Columns likewise.
    pub columns: Range<usize>,
    /// Element under the first tap; modulo 2^n, as that tap may lie in the padding before the input.
    origin: usize,
    /// Elements from tap to tap, down and to the right.
    steps: [usize; 2],
}

impl Window {
    /// Of an output position, counted row by row.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub fn new(g: &Geometry, position: usize) -> Self {
        let [_, width, channels] = g.input;
        let out = divide(position, g.output[1]);
        let first = |axis: usize| (out[axis] * g.stride[axis]).wrapping_sub(g.pad[axis]);
        Window {
            rows: taps(g, 0, out[0]),
            columns: taps(g, 1, out[1]),
            origin: first(0).wrapping_mul(width).wrapping_add(first(1)).wrapping_mul(channels),
            steps: [g.dilation[0].wrapping_mul(width).wrapping_mul(channels), g.dilation[1].wrapping_mul(channels)],
        }
    }

    /// Index of the first channel under a valid tap.
    #[inline(always)]
    pub fn at(&self, row: usize, column: usize) -> usize {
        self.origin.wrapping_add(row.wrapping_mul(self.steps[0])).wrapping_add(column.wrapping_mul(self.steps[1]))
    }
}

/// The taps of output row or column `out` that lie on the input.
#[cfg_attr(not(target_os = "none"), inline(always))]
pub(super) fn taps(g: &Geometry, axis: usize, out: usize) -> Range<usize> {
    let (start, pad, dilation) = (out * g.stride[axis], g.pad[axis], g.dilation[axis]);
    let end = div_ceil((g.input[axis] + pad).saturating_sub(start), dilation).min(g.kernel[axis]);
    div_ceil(pad.saturating_sub(start), dilation).min(end)..end
}

/// Quotient and rest; 0 and all of `n` where nothing can be divided.
#[inline(always)]
fn divide(n: usize, by: usize) -> [usize; 2] {
    let quotient = n.checked_div(by).unwrap_or(0);
    [quotient, n - quotient * by]
}

/// The quotient rounded up; 0 where nothing can be divided.
#[cfg_attr(not(target_os = "none"), inline(always))]
pub(crate) fn div_ceil(n: usize, by: usize) -> usize {
    n.checked_div(by).map_or(0, |quotient| quotient + (quotient * by != n) as usize)
}

/// `len` elements from `start` on.
#[inline(always)]
fn piece<T>(of: &[T], start: usize, len: usize) -> Option<&[T]> {
    of.get(start..)?.get(..len)
}

/// Runs of `len` elements, one behind the other.
#[inline(always)]
pub(crate) fn runs<T>(mut of: &[T], len: usize) -> impl Iterator<Item = &[T]> {
    iter::from_fn(move || of.split_off(..len.max(1)))
}

/// [`runs`] to write to.
#[inline(always)]
pub(crate) fn runs_mut<T>(mut of: &mut [T], len: usize) -> impl Iterator<Item = &mut [T]> {
    iter::from_fn(move || of.split_off_mut(..len.max(1)))
}

/// As much of `x` as `y` takes.
fn copy(x: Option<&[i8]>, y: &mut [i8]) {
    for (y, &x) in y.iter_mut().zip(x.unwrap_or_default()) {
        *y = x;
    }
}

#[inline(always)]
fn dot(x: &[i8], w: &[i8]) -> i32 {
    x.iter().zip(w).fold(0, |acc, (&x, &w)| acc.wrapping_add(x as i32 * w as i32))
}

fn sum(w: &[i8]) -> i32 {
    w.iter().fold(0, |acc, &w| acc.wrapping_add(w as i32))
}
