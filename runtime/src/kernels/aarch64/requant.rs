//! Requantisation of 8 sums at a time.

use core::arch::asm;

use super::simd::*;
use super::tiles::Sums;

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
    pub fn requantise(&self, sums: Sums, mul: Sums) -> int8x8_t {
        if self.left_shift == 0 {
            return self.narrow(high_mul(sums, mul));
        }
        let by = vdupq_n_s32(self.left_shift);
        self.narrow(high_mul(sums.map(|s| vshlq_s32(s, by)), mul))
    }

    /// Zero point, clamp and narrowing of values that the zero point does not carry past 32 bits.
    #[inline(always)]
    pub fn narrow(&self, v: Sums) -> int8x8_t {
        let v = vqmovn_high_s32(vqmovn_s32(v[0]), v[1]);
        vmin_s8(vmax_s8(vqmovn_s16(vqaddq_s16(v, self.zero)), self.lo), self.hi)
    }
}

/// [`crate::quant::high_mul`] of eight values.
///
/// In assembler, because compilers take the halves apart where one operand stays the same, which makes it longer.
#[inline(always)]
fn high_mul(mut a: Sums, b: Sums) -> Sums {
    // SAFETY: instructions on registers, which every build of this kernel set has.
    unsafe {
        asm!(
            "smull2 {t0:v}.2d, {a0:v}.4s, {b0:v}.4s",
            "smull {a0:v}.2d, {a0:v}.2s, {b0:v}.2s",
            "smull2 {t1:v}.2d, {a1:v}.4s, {b1:v}.4s",
            "smull {a1:v}.2d, {a1:v}.2s, {b1:v}.2s",
            "rshrn {a0:v}.2s, {a0:v}.2d, #32",
            "rshrn {a1:v}.2s, {a1:v}.2d, #32",
            "rshrn2 {a0:v}.4s, {t0:v}.2d, #32",
            "rshrn2 {a1:v}.4s, {t1:v}.2d, #32",
            a0 = inout(vreg) a[0], a1 = inout(vreg) a[1], b0 = in(vreg) b[0], b1 = in(vreg) b[1],
            t0 = out(vreg) _, t1 = out(vreg) _, options(pure, nomem, nostack, preserves_flags),
        );
    }
    a
}

/// Biases and multipliers of 8 outputs; zeros past the end of `requant`.
#[inline(always)]
pub(super) fn eight(requant: &[Requant]) -> [Sums; 2] {
    if let Some(whole) = requant.first_chunk() {
        return split(whole);
    }
    let mut padded = [Requant { bias: 0, mul: 0 }; 8];
    for (to, from) in padded.iter_mut().zip(requant) {
        *to = *from;
    }
    split(&padded)
}

/// Biases and multipliers.
#[inline(always)]
fn split(requant: &[Requant; 8]) -> [Sums; 2] {
    let start = requant.as_ptr().cast::<i32>();
    // SAFETY: 8 records of two i32 each (`repr(C)`) are 16 i32.
    let [a, b] = unsafe { [vld2q_s32(start), vld2q_s32(start.add(8))] };
    [[a.0, b.0], [a.1, b.1]]
}

/// Stores eight values.
#[inline(always)]
pub(super) fn store(v: int8x8_t, y: &mut [i8; 8]) {
    // SAFETY: there is room for 8 bytes.
    unsafe { vst1_s8(y.as_mut_ptr(), v) };
}
