//! The definition of every operator: plain loops.
//!
//! The inner loops run over contiguous channels without conditions, which is all that a compiler needs to
//! vectorise them. What lies in the padding is left out of the window first (`Window`); the zero point of
//! the input that stands there (it is folded into the bias) is added for all of those taps at once.

use core::ops::Range;

use super::{AddParams, Geometry, Kernels, Layer};
use crate::quant;

/// Channels that are accumulated at a time where no sum runs over channels.
const BLOCK: usize = 64;

/// The portable kernel set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl Kernels for Portable {
    const NAME: &'static str = "portable";
}

/// Convolution in `groups` groups of channels.
pub fn conv(g: &Geometry, l: &Layer, groups: usize, x: &[i8], y: &mut [i8]) {
    let in_c = g.input[2];
    let out_c = g.output[2];
    let (group_in, group_out) = (in_c / groups, out_c / groups);
    let [kernel_h, kernel_w] = g.kernel;
    let filter_len = kernel_h * kernel_w * group_in;
    // Neighbouring taps of a row are neighbours in memory: one long dot product instead of many short ones.
    let joined = groups == 1 && g.dilation[1] == 1;

    for (position, y) in y.chunks_exact_mut(out_c).enumerate() {
        let window = Window::new(g, position);
        let (rows, columns) = (window.rows.clone(), window.columns.clone());
        let padded = rows.len() * columns.len() < kernel_h * kernel_w;
        let (runs, run_len) = if joined { (columns.start..columns.start + 1, columns.len()) } else { (columns, 1) };
        let run_len = run_len * group_in;
        for (o, y) in y.iter_mut().enumerate() {
            let filter = &l.weights[o * filter_len..][..filter_len];
            let first_channel = o / group_out * group_in;
            let (mut acc, mut valid_weights) = (l.requant[o].bias, 0i32);
            for row in rows.clone() {
                for column in runs.clone() {
                    let x = &x[window.at(row, column) + first_channel..][..run_len];
                    let w = &filter[(row * kernel_w + column) * group_in..][..run_len];
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
            *y = quant::requantise(acc, l.left_shift, l.requant[o].mul, l.zero_out, l.lo, l.hi);
        }
    }
}

/// One filter per channel.
pub fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    let [kernel_h, kernel_w] = g.kernel;
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let requant = &l.requant[first..][..y.len()];
            let mut acc = [0i32; BLOCK];
            let acc = &mut acc[..y.len()];
            for row in 0..kernel_h {
                for column in 0..kernel_w {
                    let w = &l.weights[(row * kernel_w + column) * channels + first..][..acc.len()];
                    if window.rows.contains(&row) && window.columns.contains(&column) {
                        let x = &x[window.at(row, column) + first..][..acc.len()];
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
            for ((y, &acc), r) in y.iter_mut().zip(&*acc).zip(requant) {
                let acc = acc.wrapping_add(r.bias);
                *y = quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
            }
        }
    }
}

/// Fully connected.
pub fn linear(l: &Layer, x: &[i8], y: &mut [i8]) {
    for ((y, w), r) in y.iter_mut().zip(l.weights.chunks_exact(x.len())).zip(l.requant) {
        let acc = r.bias.wrapping_add(dot(x, w));
        *y = quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
    }
}

/// Element-wise sum.
pub fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = quant::add(a, b, p.mul, p.bias, p.shift, p.lo, p.hi);
    }
}

/// Maximum over the valid taps.
pub fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        y.fill(i8::MIN);
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let x = &x[window.at(row, column)..][..channels];
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
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        let r = l.requant[window.rows.len() * window.columns.len() - count_base];
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let mut acc = [0i32; BLOCK];
            let acc = &mut acc[..y.len()];
            for row in window.rows.clone() {
                for column in window.columns.clone() {
                    let x = &x[window.at(row, column) + block * BLOCK..][..acc.len()];
                    for (acc, &x) in acc.iter_mut().zip(x) {
                        *acc = acc.wrapping_add(x as i32);
                    }
                }
            }
            for (y, &acc) in y.iter_mut().zip(&*acc) {
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
    #[inline(always)]
    pub fn new(g: &Geometry, position: usize) -> Self {
        let [_, width, channels] = g.input;
        let out = [position / g.output[1], position % g.output[1]];
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
#[inline(always)]
pub(super) fn taps(g: &Geometry, axis: usize, out: usize) -> Range<usize> {
    let (start, pad, dilation) = (out * g.stride[axis], g.pad[axis], g.dilation[axis]);
    let end = (g.input[axis] + pad).saturating_sub(start).div_ceil(dilation).min(g.kernel[axis]);
    let first = pad.saturating_sub(start).div_ceil(dilation);
    first.min(end)..end
}

#[inline(always)]
fn dot(x: &[i8], w: &[i8]) -> i32 {
    x.iter().zip(w).fold(0, |acc, (&x, &w)| acc.wrapping_add(x as i32 * w as i32))
}

fn sum(w: &[i8]) -> i32 {
    w.iter().fold(0, |acc, &w| acc.wrapping_add(w as i32))
}
