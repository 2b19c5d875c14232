//! Kernels for the Cortex-M4, M7 and M33 and their DSP instructions, in assembler.
//!
//! They read weights as they lie in the file: nothing is repacked or copied. The packing for this class of cores
//! (tiles of two or four outputs, all of them or some) is the fast one; the portable packing runs, too: a word of
//! four of its weights may be loaded from any address, which the M4 allows (`LDR`; not `LDRD` and `LDM`, which serve
//! tiles and the kernels' own aligned memory only). What they share:
//!
//! - `SXTB16` widens bytes 0 and 2 of a word to halfwords, `SXTB16 …, ROR #8` bytes 1 and 3; `SMLAD`
//!   multiplies two pairs of halfwords and accumulates both products.
//! - `SMMLAR` and `SSAT` are the requantisation ([`crate::quant`]) and the clamp to int8. An operator with a
//!   narrower range of values gets [`narrow`] over its result, four bytes at a time.
//! - No load leaves its slice. Where a row of weights ends within a word, [`Tail`] tells how it is read; where
//!   channels end within a group of four (or outputs within a pair), the last group is moved back so that it
//!   ends with them, and a few results are computed twice.
//! - What is too small for that (fewer than four bytes in a row) is left to [`Portable`].

#![allow(unsafe_code)]

use core::arch::asm;

use bytemuck::cast_slice_mut;

use super::{AddParams, Geometry, Kernels, Layer, Portable, Weights};
use crate::format::Packing;

#[macro_use]
mod asm;
mod blocks;
mod columns;
mod conv;
mod conv_blocks;
mod conv_rows;
mod conv_tiles;
mod depthwise;
mod depthwise3;
mod elementwise;
mod linear;
mod linear_blocks;
mod linear_tiles;
mod pools;
mod widen;

/// The Cortex-M4 kernel set. With `ROWS` it runs models in the portable packing, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct CortexM4<const ROWS: bool = true>;

/// The kernel set for models that are packed for the target, and no others: some 3 KiB less of code.
pub type CortexM4Packed = CortexM4<false>;

impl<const ROWS: bool> Kernels for CortexM4<ROWS> {
    const NAME: &'static str = "cortex-m4";
    const PACKINGS: &'static [Packing] = if ROWS { &[Packing::Portable, Packing::Dsp] } else { &[Packing::Dsp] };

    fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        match conv::conv::<ROWS>(g, l, x, y, scratch) {
            Some(()) => narrow(y, l.lo, l.hi),
            None => Portable::conv(g, l, x, y, scratch),
        }
    }

    fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        match depthwise3::depthwise(g, l, x, y).or_else(|| depthwise::depthwise(g, l, x, y)) {
            Some(()) => narrow(y, l.lo, l.hi),
            None => Portable::depthwise(g, l, x, y, scratch),
        }
    }

    fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        let done = match l.weights {
            Weights::Dense(weights) if ROWS && l.packing == Packing::Portable => linear::linear(l, weights, x, y),
            Weights::Dense(weights) => linear_tiles::linear(l, weights, x, y),
            _ => linear_blocks::linear(l, x, y, scratch),
        };
        match done {
            Some(()) => narrow(y, l.lo, l.hi),
            None => Portable::linear(l, x, y, scratch),
        }
    }

    fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        match elementwise::add(p, a, b, y) {
            Some(()) => narrow(y, p.lo, p.hi),
            None => Portable::add(p, a, b, y),
        }
    }

    fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
        match elementwise::add_onto(p, a, y) {
            Some(()) => narrow(y, p.lo, p.hi),
            None => Portable::add_onto(p, a, y),
        }
    }

    fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
        pools::max_pool(g, x, y);
    }

    fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) {
        pools::avg_pool(g, l, count_base, x, y).unwrap_or_else(|| Portable::avg_pool(g, l, count_base, x, y));
    }
}

/// Whether words may be loaded by instructions that want them aligned.
fn aligned(weights: &[i8]) -> bool {
    weights.as_ptr().addr().is_multiple_of(4)
}

/// How the kernels read the end of a row of weights whose length is no multiple of four: as the word that
/// ends with the row, `back` bytes from the first unread weight, shifted right by `shift` bits. What the
/// shift brings in is zero, and nothing outside the row is read.
#[derive(Clone, Copy)]
#[repr(C)]
struct Tail {
    /// -3..=-1, or 0 for no tail.
    back: i32,
    shift: u32,
}

impl Tail {
    /// Of a row of `len` (at least four) weights.
    fn of(len: usize) -> Self {
        match (len % 4) as i32 {
            0 => Tail { back: 0, shift: 0 },
            n => Tail { back: n - 4, shift: 8 * (4 - n) as u32 },
        }
    }
}

/// How many blocks of four taps a loop that is unrolled four times leaves out at its first turn.
fn skipped_blocks(len: usize) -> usize {
    (len / 4).wrapping_neg() % 4
}

/// Bytes 0 and 2, and bytes 1 and 3, of a word, as pairs of halfwords.
#[inline(always)]
fn widen(word: u32) -> [u32; 2] {
    let (even, odd);
    // SAFETY: two instructions on registers, which every thumbv7em target has.
    unsafe {
        asm!("sxtb16 {even}, {word}", "sxtb16 {odd}, {word}, ror #8",
            word = in(reg) word, even = out(reg) even, odd = lateout(reg) odd,
            options(pure, nomem, nostack, preserves_flags));
    }
    [even, odd]
}

/// The larger of each of the four bytes of two words.
#[inline(always)]
fn max4(a: u32, b: u32) -> u32 {
    let max;
    // SAFETY: two instructions on registers; SEL reads the flags that SSUB8 sets.
    unsafe {
        asm!("ssub8 {max}, {a}, {b}", "sel {max}, {a}, {b}", a = in(reg) a, b = in(reg) b, max = out(reg) max,
            options(pure, nomem, nostack));
    }
    max
}

/// The smaller of each of the four bytes of two words.
#[inline(always)]
fn min4(a: u32, b: u32) -> u32 {
    let min;
    // SAFETY: as in `max4`.
    unsafe {
        asm!("ssub8 {min}, {a}, {b}", "sel {min}, {b}, {a}", a = in(reg) a, b = in(reg) b, min = out(reg) min,
            options(pure, nomem, nostack));
    }
    min
}

/// Four copies of a byte.
fn splat(v: i8) -> u32 {
    u32::from_ne_bytes([v as u8; 4])
}

/// Clamps values that are clamped to int8 already to a range inside of it.
#[inline(never)]
fn narrow(y: &mut [i8], lo: i32, hi: i32) {
    if (lo, hi) == (i8::MIN as i32, i8::MAX as i32) {
        return;
    }
    let (low, high) = (splat(lo as i8), splat(hi as i8));
    let (words, rest) = cast_slice_mut::<i8, u8>(y).as_chunks_mut::<4>();
    for word in words {
        *word = min4(max4(u32::from_ne_bytes(*word), low), high).to_ne_bytes();
    }
    for v in rest {
        *v = (*v as i8 as i32).max(lo).min(hi) as u8;
    }
}
