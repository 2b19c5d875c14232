//! Requantisation of 8 sums at a time.

use super::simd::*;

use crate::format::Requant;

/// What all outputs of a layer share.
#[derive(Clone, Copy)]
pub(super) struct Range {
    left_shift: i32,
    zero: int16x8_t,
    lo: int8x8_t,
    hi: int8x8_t,
}

impl Range {
    /// `None` where bounds or zero point are no 8-bit values: the saturating steps below would show.
    pub fn new(left_shift: u32, zero: i32, lo: i32, hi: i32) -> Option<Self> {
        let [zero, lo, hi] = [i8::try_from(zero).ok()?, i8::try_from(lo).ok()?, i8::try_from(hi).ok()?];
        (lo <= hi).then(|| Range {
            left_shift: (left_shift % 32) as i32,
            zero: vdupq_n_s16(zero as i16),
            lo: vdup_n_s8(lo),
            hi: vdup_n_s8(hi),
        })
    }

    /// [`crate::quant::requantise`] of 8 sums.
    ///
    /// A rounded high word is at most 2^30 in magnitude. So saturating it to 16 bits, adding the zero point and
    /// saturating again changes nothing that the final clamp would not.
    #[inline(always)]
    pub fn requantise(&self, sums: [int32x4_t; 2], mul: [int32x4_t; 2]) -> int8x8_t {
        let [a, b] = if self.left_shift == 0 {
            sums
        } else {
            let by = vdupq_n_s32(self.left_shift);
            sums.map(|s| vshlq_s32(s, by))
        };
        self.narrow([high_mul(a, mul[0]), high_mul(b, mul[1])])
    }

    /// Zero point, clamp and narrowing of values that the zero point does not carry past 32 bits.
    #[inline(always)]
    pub fn narrow(&self, v: [int32x4_t; 2]) -> int8x8_t {
        let v = vqmovn_high_s32(vqmovn_s32(v[0]), v[1]);
        vmin_s8(vmax_s8(vqmovn_s16(vqaddq_s16(v, self.zero)), self.lo), self.hi)
    }
}

/// [`crate::quant::high_mul`] of four values.
#[inline(always)]
fn high_mul(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    rounded_high_words(vmull_s32(vget_low_s32(a), vget_low_s32(b)), vmull_high_s32(a, b))
}

/// Biases and multipliers of 8 outputs; zeros past the end of `requant`.
#[inline(always)]
pub(super) fn eight(requant: &[Requant]) -> [[int32x4_t; 2]; 2] {
    let mut padded = [Requant { bias: 0, mul: 0 }; 8];
    let whole: &[Requant; 8] = match requant.first_chunk() {
        Some(whole) => whole,
        None => {
            padded[..requant.len()].copy_from_slice(requant);
            &padded
        }
    };
    let start = whole.as_ptr().cast::<i32>();
    // SAFETY: 8 records of two i32 each (`repr(C)`) are 16 i32.
    let [a, b] = unsafe { [vld2q_s32(start), vld2q_s32(start.add(8))] };
    [[a.0, b.0], [a.1, b.1]]
}

/// Stores as many of the 8 values as `y` has room for.
#[inline(always)]
pub(super) fn store(v: int8x8_t, y: &mut [i8]) {
    if let Some(y) = y.first_chunk_mut::<8>() {
        // SAFETY: there is room for 8 bytes.
        unsafe { vst1_s8(y.as_mut_ptr(), v) };
        return;
    }
    let mut bytes = [0; 8];
    // SAFETY: there is room for 8 bytes.
    unsafe { vst1_s8(bytes.as_mut_ptr(), v) };
    let len = y.len();
    y.copy_from_slice(&bytes[..len]);
}
