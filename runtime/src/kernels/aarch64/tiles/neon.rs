//! Sums with the instructions of every AArch64 core: `SMULL`, `SMLAL` and `SADALP`.

use super::super::simd::*;

use super::{Column, Dot, Runs, Sums, Taps, four, tile};

/// Plain NEON. `PAIRS`: products of two tiles may be added in 16 bits, because no weight is -128
/// (`2 * 127 * 128 < 2^15`).
pub(in super::super) struct Neon<const PAIRS: bool>;

/// Of each output two partial sums: outputs 0 and 1, 2 and 3, 4 and 5, 6 and 7.
type Halves = [int32x4_t; 4];

#[inline(always)]
fn one<const P: usize>(sums: &mut [Halves; P], w: [int8x16_t; 2], x: [int8x16_t; P]) {
    for (sums, x) in sums.iter_mut().zip(x) {
        for (i, w) in w.into_iter().enumerate() {
            sums[2 * i] = vpadalq_s16(sums[2 * i], vmull_s8(vget_low_s8(w), vget_low_s8(x)));
            sums[2 * i + 1] = vpadalq_s16(sums[2 * i + 1], vmull_high_s8(w, x));
        }
    }
}

#[inline(always)]
fn two<const P: usize>(sums: &mut [Halves; P], w: [[int8x16_t; 2]; 2], x: [[int8x16_t; P]; 2]) {
    for (p, sums) in sums.iter_mut().enumerate() {
        let [xa, xb] = [x[0][p], x[1][p]];
        for i in 0..2 {
            let [wa, wb] = [w[0][i], w[1][i]];
            let low = vmull_s8(vget_low_s8(wa), vget_low_s8(xa));
            let low = vmlal_s8(low, vget_low_s8(wb), vget_low_s8(xb));
            sums[2 * i] = vpadalq_s16(sums[2 * i], low);
            let high = vmlal_high_s8(vmull_high_s8(wa, xa), wb, xb);
            sums[2 * i + 1] = vpadalq_s16(sums[2 * i + 1], high);
        }
    }
}

#[inline(always)]
fn finish<const P: usize>(bias: Sums, sums: [Halves; P]) -> [Sums; P] {
    let whole = |[a, b, c, d]: Halves| [vaddq_s32(bias[0], vpaddq_s32(a, b)), vaddq_s32(bias[1], vpaddq_s32(c, d))];
    sums.map(whole)
}

impl<const PAIRS: bool> Dot for Neon<PAIRS> {
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn dense<const P: usize>(mut w: *const i8, bias: Sums, runs: Runs, taps: &[Taps; P]) -> [Sums; P] {
        let mut sums = [[vdupq_n_s32(0); 4]; P];
        let mut x = taps.map(|t| t.start);
        let mut left = runs.count;
        // There is at least one run.
        loop {
            let mut at = 0;
            while PAIRS && at + 8 <= runs.len {
                // SAFETY: `at..at + 8` lies in the run, and its two tiles are the next at `w`.
                unsafe {
                    let x = [x.map(|x| four(x.add(at))), x.map(|x| four(x.add(at + 4)))];
                    two(&mut sums, [tile(w, 0), tile(w, 1)], x);
                    w = w.add(64);
                }
                at += 8;
            }
            while at < runs.len {
                // SAFETY: `at..at + 4` lies in the run, and its tile is the next at `w`.
                unsafe {
                    one(&mut sums, tile(w, 0), x.map(|x| four(x.add(at))));
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
        finish(bias, sums)
    }

    #[inline(always)]
    unsafe fn blocks<const P: usize, C: Column>(
        w: *const i8,
        bias: Sums,
        columns: &[C],
        taps: &[Taps; P],
    ) -> [Sums; P] {
        let mut sums = [[vdupq_n_s32(0); 4]; P];
        // SAFETY: the caller's promise for each column.
        let at = |column: C| taps.map(|t| unsafe { four(t.start.add(column.tap())) });
        let mut i = 0;
        while PAIRS && i + 2 <= columns.len() {
            // SAFETY: there is a tile for each column.
            let w = unsafe { [tile(w, i), tile(w, i + 1)] };
            two(&mut sums, w, [at(columns[i]), at(columns[i + 1])]);
            i += 2;
        }
        while i < columns.len() {
            // SAFETY: there is a tile for each column.
            one(&mut sums, unsafe { tile(w, i) }, at(columns[i]));
            i += 1;
        }
        finish(bias, sums)
    }
}
