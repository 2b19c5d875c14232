//! Sums with `SMMLA`: two outputs times two pixels, 8 products for each pair.
//!
//! Two neighbouring tiles have the 8 taps of an output; zipped, those of two outputs make a vector.

use super::super::simd::*;
use core::arch::asm;

use super::{Column, Dot, Dotprod, Runs, Sums, Taps, tile};

/// FEAT_I8MM and FEAT_DotProd.
pub(in super::super) struct I8mm;

/// `acc[i][j] += w[i] · x[j]`, of two rows of 8 each.
///
/// # Safety
/// The machine has FEAT_I8MM.
#[inline(always)]
unsafe fn smmla(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // Not `pure`, so that the order stays: compilers that move these about run out of registers.
    // SAFETY: one instruction on registers, which the caller says the machine has.
    unsafe {
        asm!(".arch_extension i8mm", "smmla {acc:v}.4s, {w:v}.16b, {x:v}.16b",
            acc = inout(vreg) acc, w = in(vreg) w, x = in(vreg) x,
            options(nomem, nostack, preserves_flags));
    }
    acc
}

/// The 8 taps of two tiles, for each pair of outputs.
#[inline(always)]
fn zip(a: [int8x16_t; 2], b: [int8x16_t; 2]) -> [int8x16_t; 4] {
    let [a0, a1, b0, b1] = [a[0], a[1], b[0], b[1]].map(vreinterpretq_s32_s8);
    [vzip1q_s32(a0, b0), vzip2q_s32(a0, b0), vzip1q_s32(a1, b1), vzip2q_s32(a1, b1)].map(vreinterpretq_s8_s32)
}

/// Eight taps of all pairs of pixels; `x(p)` are those of pixel `p`.
///
/// # Safety
/// The machine has FEAT_I8MM.
#[inline(always)]
unsafe fn accumulate<const P: usize>(
    sums: &mut [[int32x4_t; 4]; P],
    w: [int8x16_t; 4],
    pair: impl Fn(usize) -> int8x16_t,
) {
    for (i, sums) in sums[..P.div_ceil(2)].iter_mut().enumerate() {
        let x = pair(i);
        for (sum, w) in sums.iter_mut().zip(w) {
            // SAFETY: the caller's promise.
            *sum = unsafe { smmla(*sum, w, x) };
        }
    }
}

impl Dot for I8mm {
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn dense<const P: usize>(mut w: *const i8, bias: Sums, runs: Runs, taps: &[Taps; P]) -> [Sums; P] {
        // Of each pair of pixels, the sums of each pair of outputs; the second half of the array is unused.
        let [a, b] = bias;
        let mut sums = [[vzip1q_s32(a, a), vzip2q_s32(a, a), vzip1q_s32(b, b), vzip2q_s32(b, b)]; P];
        // A last pixel without a neighbour is its own.
        let second = |i: usize| (2 * i + 1).min(P - 1);
        let mut x = taps.map(|t| t.start);
        let mut left = runs.count;
        // There is at least one run.
        loop {
            let mut at = 0;
            while at + 16 <= runs.len {
                // SAFETY: `at..at + 16` lies in the run, and its four tiles are the next at `w`.
                unsafe {
                    let x = x.map(|x| vreinterpretq_s64_s8(vld1q_s8(x.add(at))));
                    let low = |i: usize| vreinterpretq_s8_s64(vzip1q_s64(x[2 * i], x[second(i)]));
                    let high = |i: usize| vreinterpretq_s8_s64(vzip2q_s64(x[2 * i], x[second(i)]));
                    accumulate(&mut sums, zip(tile(w, 0), tile(w, 1)), low);
                    accumulate(&mut sums, zip(tile(w, 2), tile(w, 3)), high);
                    w = w.add(128);
                }
                at += 16;
            }
            while at < runs.len {
                let pairs = at + 8 <= runs.len;
                // SAFETY: `at..at + 8`, or `at..at + 4`, lies in the run, and its tiles are the next at `w`.
                unsafe {
                    if pairs {
                        let pair = |i: usize| vcombine_s8(vld1_s8(x[2 * i].add(at)), vld1_s8(x[second(i)].add(at)));
                        accumulate(&mut sums, zip(tile(w, 0), tile(w, 1)), pair);
                    } else {
                        let four = |p: usize| vcreate_s8(x[p].add(at).cast::<u32>().read_unaligned() as u64);
                        let pair = |i: usize| vcombine_s8(four(2 * i), four(second(i)));
                        accumulate(&mut sums, zip(tile(w, 0), [vdupq_n_s8(0); 2]), pair);
                    }
                    w = w.add(if pairs { 64 } else { 32 });
                }
                at += if pairs { 8 } else { 4 };
            }
            left -= 1;
            if left == 0 {
                break;
            }
            for (x, t) in x.iter_mut().zip(taps) {
                *x = x.wrapping_add(t.step);
            }
        }
        core::array::from_fn(|p| {
            let [a, b, c, d] = sums[p / 2];
            if p % 2 == 0 { [vuzp1q_s32(a, b), vuzp1q_s32(c, d)] } else { [vuzp2q_s32(a, b), vuzp2q_s32(c, d)] }
        })
    }

    /// Stored tiles have no neighbours: one at a time, as with `SDOT`.
    #[inline(always)]
    unsafe fn blocks<const P: usize, C: Column>(
        w: *const i8,
        bias: Sums,
        columns: &[C],
        taps: &[Taps; P],
    ) -> [Sums; P] {
        // SAFETY: the same promises, and this level has FEAT_DotProd.
        unsafe { Dotprod::blocks(w, bias, columns, taps) }
    }
}
