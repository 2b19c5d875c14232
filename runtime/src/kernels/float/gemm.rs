//! Convolutions of hosts as products of matrices: windows are gathered into rows (im2col), as many as the scratch holds,
//! and the `matrixmultiply` crate multiplies them with the filters. Pointwise convolutions need no gathering.

#![allow(unsafe_code)]

use super::{Layer, conv};
use crate::format::Dtype;
use crate::kernels::Geometry;
use crate::kernels::portable::Window;

/// Windows that are gathered at a time, where there is scratch for them.
const PIXELS: usize = 128;

/// With less than this, plain loops are as fast.
const FEW_PIXELS: usize = 4;

/// Scratch with which [`conv_all`] is as fast as it can be, in elements.
pub fn fast_scratch_len(dtype: Dtype, g: &Geometry) -> usize {
    let Sizes { taps, outputs, pixels } = Sizes::new(g);
    let weights = if dtype == Dtype::F16 { taps.saturating_mul(outputs) } else { 0 };
    let windows = if is_pointwise(g) { 0 } else { taps.saturating_mul(pixels.min(PIXELS)) };
    weights.saturating_add(windows)
}

/// Convolution over all channels.
pub fn conv_all(g: &Geometry, l: &Layer, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
    let Sizes { taps, outputs, pixels } = Sizes::new(g);
    let converted = if l.weights.is_converted() { taps * outputs } else { 0 };
    let Some((buffer, windows)) = scratch.split_at_mut_checked(converted) else {
        return conv(g, l, 1, x, y, scratch);
    };
    let block = if is_pointwise(g) { pixels } else { (windows.len() / taps).min(pixels).min(PIXELS) };
    if block < FEW_PIXELS {
        return conv(g, l, 1, x, y, scratch);
    }
    let weights = l.weights.read(0, taps * outputs, buffer);
    for (i, y) in y.chunks_mut(block * outputs).enumerate() {
        let count = y.len() / outputs;
        let rows = if is_pointwise(g) {
            x
        } else {
            for (p, row) in windows.chunks_exact_mut(taps).take(count).enumerate() {
                gather(g, i * block + p, x, row);
            }
            &*windows
        };
        multiply(&rows[..count * taps], weights, y, taps);
        for y in y.chunks_exact_mut(outputs) {
            y.iter_mut().zip(l.bias).for_each(|(y, bias)| *y = l.clip.apply(*y + bias));
        }
    }
}

struct Sizes {
    taps: usize,
    outputs: usize,
    pixels: usize,
}

impl Sizes {
    fn new(g: &Geometry) -> Self {
        Sizes {
            taps: g.kernel[0].saturating_mul(g.kernel[1]).saturating_mul(g.input[2]),
            outputs: g.output[2],
            pixels: g.output[0].saturating_mul(g.output[1]),
        }
    }
}

/// Whether the windows are the pixels of the input, in their order.
fn is_pointwise(g: &Geometry) -> bool {
    g.kernel == [1, 1] && g.stride == [1, 1] && g.input[..2] == g.output[..2]
}

/// The window of an output position, zeros where it lies in the padding.
fn gather(g: &Geometry, position: usize, x: &[f32], row: &mut [f32]) {
    let channels = g.input[2];
    let window = Window::new(g, position);
    if window.rows.len() * window.columns.len() < g.kernel[0] * g.kernel[1] {
        row.fill(0.0);
    }
    let joined = g.dilation[1] == 1;
    for tap_row in window.rows.clone() {
        let columns = window.columns.clone();
        let (runs, len) = if joined { (columns.start..columns.start + 1, columns.len()) } else { (columns, 1) };
        for column in runs {
            let run = &mut row[(tap_row * g.kernel[1] + column) * channels..][..len * channels];
            run.copy_from_slice(&x[window.at(tap_row, column)..][..len * channels]);
        }
    }
}

/// `y = rows * transposed(weights)`; both have `taps` columns.
fn multiply(rows: &[f32], weights: &[f32], y: &mut [f32], taps: usize) {
    let (pixels, outputs) = (rows.len() / taps, weights.len() / taps);
    assert!(rows.len() == pixels * taps && weights.len() == outputs * taps && y.len() == pixels * outputs);
    let (down, across) = (taps as isize, outputs as isize);
    // SAFETY: the three matrices lie in their slices as asserted: pixels × taps row by row, taps × outputs column
    // by column, pixels × outputs row by row; `y` is borrowed alone, and its elements are all different ones. With
    // beta 0 it is only written.
    unsafe {
        matrixmultiply::sgemm(
            pixels,
            taps,
            outputs,
            1.0,
            rows.as_ptr(),
            down,
            1,
            weights.as_ptr(),
            1,
            down,
            0.0,
            y.as_mut_ptr(),
            across,
            1,
        );
    }
}
