//! Sums of products of a row of tiles (8 outputs × 4 taps each) and the taps of some pixels.

use super::simd::*;

mod dotprod;
mod i8mm;
mod neon;

pub(super) use dotprod::Dotprod;
pub(super) use i8mm::I8mm;
pub(super) use neon::Neon;

/// Where the taps of a pixel lie.
#[derive(Clone, Copy)]
pub(super) struct Taps {
    /// The first run.
    pub start: *const i8,
    /// Bytes from run to run.
    pub step: usize,
}

/// The taps of every pixel of a layer: `count` (at least one) runs of `len` (a multiple of 4).
#[derive(Clone, Copy)]
pub(super) struct Runs {
    pub count: usize,
    pub len: usize,
}

/// The sums of 8 outputs.
pub(super) type Sums = [int32x4_t; 2];

/// An instruction set's way to the sums.
pub(super) trait Dot {
    /// Most pixels at a time: 8 or 4.
    const PIXELS: usize;

    /// The sums of `P` pixels, from `bias` on, over a whole row of tiles at `w`.
    ///
    /// # Safety
    /// The machine has the instruction set. `w` points to `runs.count * runs.len / 4` tiles, and each pixel's
    /// runs are readable.
    unsafe fn dense<const P: usize>(w: *const i8, bias: Sums, runs: Runs, taps: &[Taps; P]) -> [Sums; P];

    /// The same over the tiles at `w` that lie in these columns of `columns`.
    ///
    /// # Safety
    /// The machine has the instruction set. `w` points to as many tiles as there are `columns`, and of each pixel
    /// four taps are readable at `start` plus four times each column.
    unsafe fn blocks<const P: usize, C: Column>(w: *const i8, bias: Sums, columns: &[C], taps: &[Taps; P])
    -> [Sums; P];
}

/// How a column of tiles is stored.
pub(super) trait Column: Copy {
    /// The first tap of the column.
    fn tap(self) -> usize;
}

impl Column for u8 {
    #[inline(always)]
    fn tap(self) -> usize {
        self as usize * 4
    }
}

impl Column for u16 {
    #[inline(always)]
    fn tap(self) -> usize {
        self as usize * 4
    }
}

/// The two vectors of tile `i`.
///
/// # Safety
/// The tile is readable.
#[inline(always)]
unsafe fn tile(w: *const i8, i: usize) -> [int8x16_t; 2] {
    // SAFETY: the caller's promise; a tile has 32 bytes.
    unsafe { [vld1q_s8(w.add(i * 32)), vld1q_s8(w.add(i * 32 + 16))] }
}

/// Four taps, four times.
///
/// # Safety
/// Four bytes are readable.
#[inline(always)]
unsafe fn four(x: *const i8) -> int8x16_t {
    // SAFETY: the caller's promise.
    vreinterpretq_s8_s32(vdupq_n_s32(unsafe { x.cast::<i32>().read_unaligned() }))
}
