//! Depthwise convolution: 16 or 8 channels of up to 4 pixels at a time.
//!
//! Products of 8 bits are summed in 16 bits for two taps (`SMULL`, `SMLAL`), then widened. Where a weight is -128,
//! two such products could overflow, and they are widened tap by tap.

use super::simd::*;

use super::pixels::{in_reach, inside};
use super::requant::{Range, eight, store};
use crate::kernels::portable::Window;
use crate::kernels::{Geometry, Layer};

/// Most taps of a filter.
const MAX_TAPS: usize = 64;

/// A tap in the padding.
const PADDING: usize = usize::MAX;

/// `None` where it is left to the portable kernels.
pub(super) fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) -> Option<()> {
    let range = Range::new(l.left_shift, l.zero_out, l.lo, l.hi)?;
    in_reach(g)?;
    let channels = g.output[2];
    let taps = g.kernel[0].checked_mul(g.kernel[1])?;
    let weights = l.weights.dense()?.get(..taps.checked_mul(channels)?)?;
    let fits = g.input[2] == channels
        && x.len() >= g.input[0].checked_mul(g.input[1])?.checked_mul(channels)?
        && y.len() == g.output[0].checked_mul(g.output[1])?.checked_mul(channels)?
        && l.requant.len() >= channels;
    if !fits || channels < 8 || taps > MAX_TAPS {
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

impl Filters<'_> {
    fn pixels<const PAIRS: bool>(&self, g: &Geometry, y: &mut [i8]) {
        let [_, width, channels] = g.input;
        let [kernel_h, kernel_w] = g.kernel;
        let mut table = [0; MAX_TAPS];
        let taps = &mut table[..kernel_h * kernel_w];
        let each_tap = |taps: &mut [usize], of: &dyn Fn(usize, usize) -> usize| {
            for (i, tap) in taps.iter_mut().enumerate() {
                *tap = of(i / kernel_w, i % kernel_w);
            }
        };
        let from_first = |row: usize, column: usize| (row * g.dilation[0] * width + column * g.dilation[1]) * channels;
        each_tap(taps, &from_first);
        let inner = [inside(g, 0), inside(g, 1)];
        let next = g.stride[1] * channels;
        for (row, y) in y.chunks_exact_mut(g.output[1] * channels).enumerate() {
            let mut column = 0;
            while column < g.output[1] {
                let y = &mut y[column * channels..];
                if !(inner[0].contains(&row) && inner[1].contains(&column)) {
                    let window = Window::new(g, row * g.output[1] + column);
                    let mut own = [PADDING; MAX_TAPS];
                    let own = &mut own[..kernel_h * kernel_w];
                    each_tap(own, &|row, column| {
                        let valid = window.rows.contains(&row) && window.columns.contains(&column);
                        if valid { window.at(row, column) } else { PADDING }
                    });
                    // SAFETY: valid taps lie in the input.
                    unsafe { self.all_channels::<1, PAIRS, true>(own, 0, 0, y) };
                    column += 1;
                    continue;
                }
                let at = |axis: usize, out: usize| out * g.stride[axis] - g.pad[axis];
                let first = (at(0, row) * width + at(1, column)) * channels;
                // SAFETY: all taps of a pixel inside lie in the input, and so do those of its neighbours inside.
                column += unsafe {
                    if column + 4 <= inner[1].end {
                        self.all_channels::<4, PAIRS, false>(taps, first, next, y)
                    } else {
                        self.all_channels::<1, PAIRS, false>(taps, first, next, y)
                    }
                };
            }
        }
    }

    /// Computes `N` neighbouring pixels, which are `next` values apart, and gives `N`.
    ///
    /// # Safety
    /// At `first + tap`, and `next`, `2 * next` and so on behind it, there are all channels of a pixel in the input.
    /// `PADDED` if a tap may be [`PADDING`].
    unsafe fn all_channels<const N: usize, const PAIRS: bool, const PADDED: bool>(
        &self,
        taps: &[usize],
        first: usize,
        next: usize,
        y: &mut [i8],
    ) -> usize {
        let mut channel = 0;
        while channel + 16 <= self.channels {
            // SAFETY: the caller's promise, and there are 16 channels left.
            unsafe { self.some_channels::<N, 2, PAIRS, PADDED>(taps, first, next, channel, y) };
            channel += 16;
        }
        while channel < self.channels {
            // Where fewer than 8 are left, some are computed twice.
            channel = channel.min(self.channels - 8);
            // SAFETY: the caller's promise, and there are 8 channels left.
            unsafe { self.some_channels::<N, 1, PAIRS, PADDED>(taps, first, next, channel, y) };
            channel += 8;
        }
        N
    }

    /// `V` times 8 channels of `N` pixels.
    ///
    /// # Safety
    /// As above, and there are so many channels from `channel` on.
    #[inline(always)]
    unsafe fn some_channels<const N: usize, const V: usize, const PAIRS: bool, const PADDED: bool>(
        &self,
        taps: &[usize],
        first: usize,
        next: usize,
        channel: usize,
        y: &mut [i8],
    ) {
        let (x, w) = (self.x.as_ptr().wrapping_add(first + channel), self.weights.as_ptr().wrapping_add(channel));
        let values = |tap: usize, n: usize| match taps[tap] {
            PADDING if PADDED => [vdup_n_s8(self.l.zero_in); V],
            // SAFETY: the caller's promise.
            at => unsafe { load::<V>(x.add(at + n * next)) },
        };
        // SAFETY: there is a row of all channels for each tap.
        let weights = |tap: usize| unsafe { load::<V>(w.add(tap * self.channels)) };

        let params: [_; V] = core::array::from_fn(|v| eight(&self.l.requant[channel + 8 * v..]));
        let mut sums = [params.map(|p| p[0]); N];
        let mut tap = 0;
        while PAIRS && tap + 2 <= taps.len() {
            let w = [weights(tap), weights(tap + 1)];
            for (n, sums) in sums.iter_mut().enumerate() {
                let x = [values(tap, n), values(tap + 1, n)];
                for (v, sum) in sums.iter_mut().enumerate() {
                    widen(sum, vmlal_s8(vmull_s8(w[0][v], x[0][v]), w[1][v], x[1][v]));
                }
            }
            tap += 2;
        }
        while tap < taps.len() {
            let w = weights(tap);
            for (n, sums) in sums.iter_mut().enumerate() {
                let x = values(tap, n);
                for (v, sum) in sums.iter_mut().enumerate() {
                    widen(sum, vmull_s8(w[v], x[v]));
                }
            }
            tap += 1;
        }
        for (n, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let y = &mut y[n * self.channels + channel + 8 * v..][..8];
                store(self.range.requantise(*sum, params[v][1]), y);
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
