//! Convolutions: a few filters at a time meet every window.

use super::Layer;
use super::dot::{ROWS, Sums};
use crate::kernels::Geometry;
use crate::kernels::portable::Window;

/// Channels that are accumulated at a time where no sum runs over channels.
const BLOCK: usize = 64;

/// Convolution in `groups` groups of channels. Weights in f16 take scratch: [`ROWS`] filters in f32.
pub fn conv(g: &Geometry, l: &Layer, groups: usize, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
    let (in_c, out_c) = (g.input[2], g.output[2]);
    let (group_in, group_out) = (in_c / groups, out_c / groups);
    let len = g.kernel[0] * g.kernel[1] * group_in;
    for group in 0..groups {
        let end = (group + 1) * group_out;
        let mut first = group * group_out;
        while first < end {
            let count = (end - first).min(ROWS);
            let filters = l.weights.read(first * len, count * len, scratch);
            some_filters(g, l, filters, [first, count], [group * group_in, group_in], x, y);
            first += count;
        }
    }
}

/// The outputs from `outputs[0]`, `outputs[1]` of them, at every position; they see `inputs[1]` channels from
/// `inputs[0]`.
fn some_filters(
    g: &Geometry,
    l: &Layer,
    filters: &[f32],
    outputs: [usize; 2],
    inputs: [usize; 2],
    x: &[f32],
    y: &mut [f32],
) {
    let ([first, count], [first_channel, channels]) = (outputs, inputs);
    let kernel_w = g.kernel[1];
    let len = filters.len() / count;
    // Neighbouring taps of a row are neighbours in memory: one long dot product instead of many short ones.
    let joined = channels == g.input[2] && g.dilation[1] == 1;
    for (position, y) in y.chunks_exact_mut(g.output[2]).enumerate() {
        let window = Window::new(g, position);
        let (rows, columns) = (window.rows.clone(), window.columns.clone());
        let (runs, run_len) = if joined { (columns.start..columns.start + 1, columns.len()) } else { (columns, 1) };
        let run_len = run_len * channels;
        let mut sums = [Sums::ZERO; ROWS];
        for row in rows {
            for column in runs.clone() {
                let x = &x[window.at(row, column) + first_channel..][..run_len];
                let w = &filters[(row * kernel_w + column) * channels..];
                if count == ROWS {
                    sums[0].add(x, w, len);
                } else {
                    for (r, sums) in sums.iter_mut().enumerate().take(count) {
                        sums.add_one(x, &w[r * len..]);
                    }
                }
            }
        }
        for (r, (y, bias)) in y[first..first + count].iter_mut().zip(&l.bias[first..]).enumerate() {
            let sum = if count == ROWS { sums[0].of(r) } else { sums[r].of(0) };
            *y = l.clip.apply(sum + bias);
        }
    }
}

/// One filter per channel; weights HWC. Those in f16 take scratch: all of them in f32.
pub fn depthwise(g: &Geometry, l: &Layer, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
    let channels = g.output[2];
    let [kernel_h, kernel_w] = g.kernel;
    let weights = l.weights.read(0, kernel_h * kernel_w * channels, scratch);
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let mut sums = [0f32; BLOCK];
            let sums = &mut sums[..y.len()];
            for row in window.rows.clone() {
                for column in window.columns.clone() {
                    let w = &weights[(row * kernel_w + column) * channels + first..][..sums.len()];
                    let x = &x[window.at(row, column) + first..][..sums.len()];
                    for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
                        *sum += x * w;
                    }
                }
            }
            for ((y, &sum), &bias) in y.iter_mut().zip(&*sums).zip(&l.bias[first..]) {
                *y = l.clip.apply(sum + bias);
            }
        }
    }
}
