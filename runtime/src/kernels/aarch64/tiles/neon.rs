//! Sums with the instructions of every AArch64 core: `SMULL`, `SMLAL` and `SADALP`.

use core::arch::asm;

use super::super::simd::*;

use super::{Column, Dot, Runs, Sums, Taps, four, tile};

/// Plain NEON. `PAIRS`: products of two tiles may be added in 16 bits, because no weight is -128
/// (`2 * 127 * 128 < 2^15`).
pub(in super::super) struct Neon<const PAIRS: bool>;

/// Of each output two partial sums: outputs 0 and 1, 2 and 3, 4 and 5, 6 and 7.
type Halves = [int32x4_t; 4];

/// One tile for all pixels.
///
/// In assembler, as is [`two`]: compilers take vectors apart into halves, and then run out of registers.
#[inline(always)]
fn one<const P: usize>(sums: &mut [Halves; P], w: [int8x16_t; 2], x: [int8x16_t; P]) {
    for (sums, x) in sums.iter_mut().zip(x) {
        let [s0, s1, s2, s3] = sums;
        // SAFETY: instructions on registers, which every build of this kernel set has.
        unsafe {
            asm!(
                "smull {t0:v}.8h, {w0:v}.8b, {x:v}.8b",
                "smull2 {t1:v}.8h, {w0:v}.16b, {x:v}.16b",
                "smull {t2:v}.8h, {w1:v}.8b, {x:v}.8b",
                "smull2 {t3:v}.8h, {w1:v}.16b, {x:v}.16b",
                "sadalp {s0:v}.4s, {t0:v}.8h",
                "sadalp {s1:v}.4s, {t1:v}.8h",
                "sadalp {s2:v}.4s, {t2:v}.8h",
                "sadalp {s3:v}.4s, {t3:v}.8h",
                s0 = inout(vreg) *s0, s1 = inout(vreg) *s1, s2 = inout(vreg) *s2, s3 = inout(vreg) *s3,
                w0 = in(vreg) w[0], w1 = in(vreg) w[1], x = in(vreg) x,
                t0 = out(vreg) _, t1 = out(vreg) _, t2 = out(vreg) _, t3 = out(vreg) _,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
}

/// Two tiles for all pixels, the products of both added in 16 bits.
#[inline(always)]
fn two<const P: usize>(sums: &mut [Halves; P], w: [[int8x16_t; 2]; 2], x: [[int8x16_t; P]; 2]) {
    for (p, sums) in sums.iter_mut().enumerate() {
        let [s0, s1, s2, s3] = sums;
        // SAFETY: instructions on registers, which every build of this kernel set has.
        unsafe {
            asm!(
                "smull {t0:v}.8h, {w0:v}.8b, {x:v}.8b",
                "smull2 {t1:v}.8h, {w0:v}.16b, {x:v}.16b",
                "smull {t2:v}.8h, {w1:v}.8b, {x:v}.8b",
                "smull2 {t3:v}.8h, {w1:v}.16b, {x:v}.16b",
                "smlal {t0:v}.8h, {w2:v}.8b, {z:v}.8b",
                "smlal2 {t1:v}.8h, {w2:v}.16b, {z:v}.16b",
                "smlal {t2:v}.8h, {w3:v}.8b, {z:v}.8b",
                "smlal2 {t3:v}.8h, {w3:v}.16b, {z:v}.16b",
                "sadalp {s0:v}.4s, {t0:v}.8h",
                "sadalp {s1:v}.4s, {t1:v}.8h",
                "sadalp {s2:v}.4s, {t2:v}.8h",
                "sadalp {s3:v}.4s, {t3:v}.8h",
                s0 = inout(vreg) *s0, s1 = inout(vreg) *s1, s2 = inout(vreg) *s2, s3 = inout(vreg) *s3,
                w0 = in(vreg) w[0][0], w1 = in(vreg) w[0][1], w2 = in(vreg) w[1][0], w3 = in(vreg) w[1][1],
                x = in(vreg) x[0][p], z = in(vreg) x[1][p],
                t0 = out(vreg) _, t1 = out(vreg) _, t2 = out(vreg) _, t3 = out(vreg) _,
                options(nomem, nostack, preserves_flags),
            );
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
