//! Pools and softmax.

use super::Clip;
use crate::kernels::Geometry;
use crate::kernels::portable::Window;

/// Maximum over the valid taps; NaN never wins.
pub fn max_pool(g: &Geometry, clip: Clip, x: &[f32], y: &mut [f32]) {
    let channels = g.output[2];
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        y.fill(f32::NEG_INFINITY);
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let x = &x[window.at(row, column)..][..channels];
                for (y, &x) in y.iter_mut().zip(x) {
                    if x > *y {
                        *y = x;
                    }
                }
            }
        }
        y.iter_mut().for_each(|y| *y = clip.apply(*y));
    }
}

/// Mean over the valid taps, or with `count_pad` over all, those in the padding being zeros.
pub fn avg_pool(g: &Geometry, clip: Clip, count_pad: bool, x: &[f32], y: &mut [f32]) {
    let channels = g.output[2];
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        y.fill(0.0);
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let x = &x[window.at(row, column)..][..channels];
                y.iter_mut().zip(x).for_each(|(y, &x)| *y += x);
            }
        }
        let taps = if count_pad { g.kernel[0] * g.kernel[1] } else { window.rows.len() * window.columns.len() };
        y.iter_mut().for_each(|y| *y = clip.apply(*y / taps as f32));
    }
}

/// Softmax over runs of `channels` values.
pub fn softmax(channels: usize, clip: Clip, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
        let largest = x.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m });
        let mut sum = 0.0;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = libm::expf(x - largest);
            sum += *y;
        }
        y.iter_mut().for_each(|y| *y = clip.apply(*y / sum));
    }
}
