//! Depthwise convolution: 16 or 8 channels of up to 4 pixels at a time.
//!
//! Products of 8 bits are summed in 16 bits for two taps (`SMULL`, `SMLAL`), then widened. Where a weight is -128,
//! two such products could overflow, and they are widened tap by tap.

use super::simd::*;

use super::requant::{Range, eight};
use crate::kernels::portable::Window;
use crate::kernels::{Geometry, Layer};

/// Most taps of a filter.
const MAX_TAPS: usize = 64;

/// `None` where it is left to the portable kernels.
pub(super) fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) -> Option<()> {
    let range = Range::new(l.left_shift, l.zero_out, l.lo, l.hi)?;
    let channels = g.output[2];
    if !g.fits(x, y) || g.input[2] != channels || l.requant.len() < channels || channels < 8 {
        return None;
    }
    let taps = g.kernel[0] * g.kernel[1];
    let weights = l.weights.dense()?.get(..taps * channels)?;
    if taps > MAX_TAPS {
        return None;
    }
    let filters = Filters { l, range, weights, channels, x };
    if weights.iter().fold(false, |found, &w| found | (w == i8::MIN)) {
        filters.pixels::<false>(g, y);
    } else {
        filters.pixels::<true>(g, y);
    }
    Some(())
}

struct Filters<'a> {
    l: &'a Layer<'a>,
    range: Range,
    /// A whole row of channels for each tap.
    weights: &'a [i8],
    channels: usize,
    x: &'a [i8],
}

/// The taps of a pixel: each one's first weight, and the value under it.
struct Taps {
    list: [[usize; 2]; MAX_TAPS],
    /// The first of the list lie on the input, the others in the padding.
    valid: usize,
    all: usize,
}

impl Taps {
    fn new([kernel_h, kernel_w]: [usize; 2]) -> Self {
        Taps { list: [[0; 2]; MAX_TAPS], valid: 0, all: kernel_h * kernel_w }
    }

    /// Lists all taps; `at` gives the value under one, or nothing in the padding.
    #[inline(always)]
    fn set(&mut self, kernel_w: usize, channels: usize, at: impl Fn(usize, usize) -> Option<usize>) {
        let (mut valid, mut end) = (0, self.all);
        let (mut row, mut column) = (0, 0);
        for tap in 0..self.all {
            let weight = tap * channels;
            if let Some(value) = at(row, column) {
                self.list[valid] = [weight, value];
                valid += 1;
            } else {
                end -= 1;
                self.list[end] = [weight, 0];
            }
            column += 1;
            if column == kernel_w {
                (row, column) = (row + 1, 0);
            }
        }
        self.valid = valid;
    }
}

impl Filters<'_> {
    fn pixels<const PAIRS: bool>(&self, g: &Geometry, y: &mut [i8]) {
        let [_, width, channels] = g.input;
        let (mut whole, mut own) = (Taps::new(g.kernel), Taps::new(g.kernel));
        whole.set(g.kernel[1], channels, |row, column| {
            Some((row * g.dilation[0] * width + column * g.dilation[1]) * channels)
        });
        let inner = [g.inside(0), g.inside(1)];
        let next = g.stride[1] * channels;
        for (row, y) in y.chunks_exact_mut(g.output[1] * channels).enumerate() {
            let mut column = 0;
            while column < g.output[1] {
                let y = &mut y[column * channels..];
                if !(inner[0].contains(&row) && inner[1].contains(&column)) {
                    let window = Window::new(g, row * g.output[1] + column);
                    own.set(g.kernel[1], channels, |row, column| {
                        let valid = window.rows.contains(&row) && window.columns.contains(&column);
                        valid.then(|| window.at(row, column))
                    });
                    // SAFETY: valid taps lie in the input.
                    column += unsafe { self.all_channels::<1, PAIRS>(&own, 0, 0, y) };
                    continue;
                }
                let at = |axis: usize, out: usize| out * g.stride[axis] - g.pad[axis];
                let first = (at(0, row) * width + at(1, column)) * channels;
                // SAFETY: all taps of a pixel inside lie in the input, and so do those of its neighbours inside.
                column += unsafe {
                    match inner[1].end - column {
                        4.. => self.all_channels::<4, PAIRS>(&whole, first, next, y),
                        2.. => self.all_channels::<2, PAIRS>(&whole, first, next, y),
                        _ => self.all_channels::<1, PAIRS>(&whole, first, next, y),
                    }
                };
            }
        }
    }

    /// Computes `N` neighbouring pixels, which are `next` values apart, and gives `N`.
    ///
    /// # Safety
    /// At `first` plus each valid tap, and `next`, `2 * next` and so on behind it, there are all channels of a pixel
    /// in the input.
    unsafe fn all_channels<const N: usize, const PAIRS: bool>(
        &self,
        taps: &Taps,
        first: usize,
        next: usize,
        y: &mut [i8],
    ) -> usize {
        let y = &mut y[..N * self.channels];
        let mut channel = 0;
        while channel + 16 <= self.channels {
            // SAFETY: the caller's promise, and there are 16 channels left.
            unsafe { self.some_channels::<N, 2, PAIRS>(taps, first, next, channel, y) };
            channel += 16;
        }
        while channel < self.channels {
            // Where fewer than 8 are left, some are computed twice.
            channel = channel.min(self.channels - 8);
            // SAFETY: the caller's promise, and there are 8 channels left.
            unsafe { self.some_channels::<N, 1, PAIRS>(taps, first, next, channel, y) };
            channel += 8;
        }
        N
    }

    /// `V` times 8 channels of `N` pixels.
    ///
    /// # Safety
    /// As above, and there are so many channels from `channel` on; `y` is all channels of `N` pixels.
    #[inline(always)]
    unsafe fn some_channels<const N: usize, const V: usize, const PAIRS: bool>(
        &self,
        taps: &Taps,
        first: usize,
        next: usize,
        channel: usize,
        y: &mut [i8],
    ) {
        let (x, w) = (self.x.as_ptr().wrapping_add(first + channel), self.weights.as_ptr().wrapping_add(channel));
        // SAFETY: the caller's promise.
        let values = |tap: [usize; 2], n: usize| unsafe { load::<V>(x.add(tap[1] + n * next)) };
        // SAFETY: there is a row of all channels for each tap.
        let weights = |tap: [usize; 2]| unsafe { load::<V>(w.add(tap[0])) };

        let params: [_; V] = core::array::from_fn(|v| eight(&self.l.requant[channel + 8 * v..]));
        let mut sums = [params.map(|p| p[0]); N];
        let (valid, padded) = taps.list[..taps.all].split_at(taps.valid);
        let (pairs, rest) = if PAIRS { valid.as_chunks::<2>() } else { (&[][..], valid) };
        for pair in pairs {
            let w = pair.map(weights);
            for (n, sums) in sums.iter_mut().enumerate() {
                let x = pair.map(|tap| values(tap, n));
                for (v, sum) in sums.iter_mut().enumerate() {
                    widen(sum, vmlal_s8(vmull_s8(w[0][v], x[0][v]), w[1][v], x[1][v]));
                }
            }
        }
        for tap in rest {
            let w = weights(*tap);
            for (n, sums) in sums.iter_mut().enumerate() {
                let x = values(*tap, n);
                for (v, sum) in sums.iter_mut().enumerate() {
                    widen(sum, vmull_s8(w[v], x[v]));
                }
            }
        }
        if self.l.zero_in != 0 {
            let x = vdup_n_s8(self.l.zero_in);
            for tap in padded {
                let w = weights(*tap);
                for sums in &mut sums {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        widen(sum, vmull_s8(w[v], x));
                    }
                }
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let value = self.range.requantise(*sum, params[v][1]);
                // SAFETY: there are so many channels from `channel` on in each pixel of `y`.
                unsafe { vst1_s8(y.as_mut_ptr().add(n * self.channels + channel + 8 * v), value) };
            }
        }
    }
}

/// Adds eight products, or sums of two, to the sums.
#[inline(always)]
fn widen(sum: &mut [int32x4_t; 2], products: int16x8_t) {
    *sum = [vaddw_s16(sum[0], vget_low_s16(products)), vaddw_high_s16(sum[1], products)];
}

/// `V` (1 or 2) times 8 values.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(super) unsafe fn load<const V: usize>(x: *const i8) -> [int8x8_t; V] {
    if V == 2 {
        // SAFETY: the caller's promise.
        let both = unsafe { vld1q_s8(x) };
        return core::array::from_fn(|v| if v == 0 { vget_low_s8(both) } else { vget_high_s8(both) });
    }
    // SAFETY: the caller's promise.
    core::array::from_fn(|v| unsafe { vld1_s8(x.add(8 * v)) })
}
