//! Sums with `SDOT`: four products each for four outputs, the four taps taken from one lane.

use super::super::simd::*;
use core::arch::asm;

use super::{Column, Dot, Runs, Sums, Taps, four, tile};

/// FEAT_DotProd.
pub(in super::super) struct Dotprod;

/// `acc += w · x[LANE]`, four taps to each lane.
///
/// # Safety
/// The machine has FEAT_DotProd.
#[inline(always)]
unsafe fn sdot<const LANE: i32>(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: one instruction on registers, which the caller says the machine has.
    unsafe {
        asm!(".arch_extension dotprod", "sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            acc = inout(vreg) acc, w = in(vreg) w, x = in(vreg) x, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// One tile for all pixels.
///
/// # Safety
/// The machine has FEAT_DotProd.
#[inline(always)]
unsafe fn accumulate<const P: usize, const LANE: i32>(sums: &mut [Sums; P], w: [int8x16_t; 2], x: &[int8x16_t; P]) {
    for (sums, &x) in sums.iter_mut().zip(x) {
        // SAFETY: the caller's promise.
        *sums = unsafe { [sdot::<LANE>(sums[0], w[0], x), sdot::<LANE>(sums[1], w[1], x)] };
    }
}

impl Dot for Dotprod {
    const PIXELS: usize = 8;

    #[inline(always)]
    unsafe fn dense<const P: usize>(mut w: *const i8, bias: Sums, runs: Runs, taps: &[Taps; P]) -> [Sums; P] {
        let mut sums = [bias; P];
        let mut x = taps.map(|t| t.start);
        let mut left = runs.count;
        // There is at least one run.
        loop {
            let mut at = 0;
            while at + 16 <= runs.len {
                // SAFETY: `at..at + 16` lies in the run, and its four tiles are the next at `w`.
                unsafe {
                    let x = x.map(|x| vld1q_s8(x.add(at)));
                    accumulate::<P, 0>(&mut sums, tile(w, 0), &x);
                    accumulate::<P, 1>(&mut sums, tile(w, 1), &x);
                    accumulate::<P, 2>(&mut sums, tile(w, 2), &x);
                    accumulate::<P, 3>(&mut sums, tile(w, 3), &x);
                    w = w.add(128);
                }
                at += 16;
            }
            while at < runs.len {
                // SAFETY: `at..at + 4` lies in the run, and its tile is the next at `w`.
                unsafe {
                    accumulate::<P, 0>(&mut sums, tile(w, 0), &x.map(|x| four(x.add(at))));
                    w = w.add(32);
                }
                at += 4;
            }
            left -= 1;
            if left == 0 {
                break;
            }
            for (x, t) in x.iter_mut().zip(taps) {
                *x = x.wrapping_add(t.step);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn blocks<const P: usize, C: Column>(
        w: *const i8,
        bias: Sums,
        columns: &[C],
        taps: &[Taps; P],
    ) -> [Sums; P] {
        let mut sums = [bias; P];
        for (i, column) in columns.iter().enumerate() {
            // SAFETY: the caller's promise for each column and its tile.
            unsafe {
                let x = taps.map(|t| four(t.start.add(column.tap())));
                accumulate::<P, 0>(&mut sums, tile(w, i), &x);
            }
        }
        sums
    }
}
