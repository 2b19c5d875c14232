//! Pools: 16 or 8 channels at a time, over the valid taps.

use super::simd::*;

use super::depthwise::load;
use super::requant::{Range, store};
use crate::format::Requant;
use crate::kernels::portable::Window;
use crate::kernels::{Geometry, Layer};

/// The channels of a pixel; `None` unless slices fit the geometry and there are 8.
fn channels(g: &Geometry, x: &[i8], y: &[i8]) -> Option<usize> {
    let channels = g.output[2];
    (g.fits(x, y) && g.input[2] == channels && channels >= 8).then_some(channels)
}

/// What is made of the values of a window, `V` times 8 channels of them.
trait Fold {
    /// # Safety
    /// So many values are readable at each pointer.
    unsafe fn fold<const V: usize>(&self, taps: impl Iterator<Item = *const i8>) -> [int8x8_t; V];
}

/// All channels of one pixel, 8 at least.
fn pixel(window: &Window, x: &[i8], y: &mut [i8], fold: &impl Fold) {
    let channels = y.len();
    let taps = |channel: usize, width: usize| {
        window.rows.clone().flat_map(move |row| {
            window.columns.clone().map(move |column| x[window.at(row, column) + channel..][..width].as_ptr())
        })
    };
    let mut channel = 0;
    while let Some(y) = y.get_mut(channel..).and_then(|y| y.first_chunk_mut::<16>()) {
        // SAFETY: each slice has 16 values.
        let v = unsafe { fold.fold::<2>(taps(channel, 16)) };
        for (y, v) in y.as_chunks_mut().0.iter_mut().zip(v) {
            store(v, y);
        }
        channel += 16;
    }
    while channel < channels {
        // Where fewer than 8 are left, some are computed twice.
        channel = channel.min(channels - 8);
        // SAFETY: each slice has 8 values.
        let [v] = unsafe { fold.fold::<1>(taps(channel, 8)) };
        if let Some(y) = y[channel..].first_chunk_mut() {
            store(v, y);
        }
        channel += 8;
    }
}

struct Max;

impl Fold for Max {
    #[inline(always)]
    unsafe fn fold<const V: usize>(&self, taps: impl Iterator<Item = *const i8>) -> [int8x8_t; V] {
        let mut max = [vdup_n_s8(i8::MIN); V];
        for tap in taps {
            // SAFETY: the caller's promise.
            let x = unsafe { load::<V>(tap) };
            max = core::array::from_fn(|v| vmax_s8(max[v], x[v]));
        }
        max
    }
}

/// `None` where it is left to the portable kernels.
pub(super) fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) -> Option<()> {
    let channels = channels(g, x, y)?;
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        pixel(&Window::new(g, position), x, y, &Max);
    }
    Some(())
}

struct Mean<'a> {
    range: &'a Range,
    requant: Requant,
}

impl Fold for Mean<'_> {
    #[inline(always)]
    unsafe fn fold<const V: usize>(&self, taps: impl Iterator<Item = *const i8>) -> [int8x8_t; V] {
        let mut sums = [[vdupq_n_s32(self.requant.bias); 2]; V];
        for tap in taps {
            // SAFETY: the caller's promise.
            let x = unsafe { load::<V>(tap) }.map(vmovl_s8);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = [vaddw_s16(sum[0], vget_low_s16(x)), vaddw_high_s16(sum[1], x)];
            }
        }
        sums.map(|sum| self.range.requantise(sum, [vdupq_n_s32(self.requant.mul); 2]))
    }
}

/// `None` where it is left to the portable kernels.
pub(super) fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) -> Option<()> {
    let channels = channels(g, x, y)?;
    let range = Range::new(l.left_shift, l.zero_out, l.lo, l.hi)?;
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        let requant = l.requant[window.rows.len() * window.columns.len() - count_base];
        pixel(&window, x, y, &Mean { range: &range, requant });
    }
    Some(())
}
