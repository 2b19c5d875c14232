//! Matrix times vector with every tile stored: 4 outputs × 4 taps at a time.
//!
//! A word of values is widened once for four outputs, whose words of weights come in one `LDM`: 20 instructions
//! for 16 products.

use core::arch::naked_asm;

use bytemuck::Zeroable;

use super::{Tail, aligned};
use crate::format::{Requant, Tile};
use crate::kernels::Layer;

/// The tile that this kernel reads.
const TILE: Tile = Tile { rows: 4, step: 4 };

/// What [`tiles4`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Tiles {
    x: *const i8,
    /// Behind the last whole word of the vector.
    x_end: *const i8,
    /// 4-aligned.
    weights: *const i8,
    /// Bytes of code that the first turn of the loop leaves out; the assembler keeps the address here.
    entry: usize,
    tail: Tail,
    requant: *const Requant,
    requant_end: *const Requant,
    zero_out: i32,
    left_shift: u32,
    y: *mut i8,
}

/// Code bytes of one tile in the loop of [`tiles4`].
const TILE_BYTES: usize = 20 * 4;
/// How often that loop is unrolled.
const UNROLL: usize = 8;

/// `None` when the weights are not for this kernel; nothing is written then.
#[inline(never)]
pub fn linear(l: &Layer, weights: &[i8], x: &[i8], y: &mut [i8]) -> Option<()> {
    let k = x.len();
    let fits = weights.len() == TILE.dense_len(y.len(), k) && l.requant.len() == y.len();
    if l.tile != TILE || k == 0 || !fits || !aligned(weights) {
        return None;
    }
    // Less than a word is filled up with zeros, as its weights are.
    let mut word = [0; 4];
    let x = if k < 4 {
        word.iter_mut().zip(x).for_each(|(word, x)| *word = *x);
        &word
    } else {
        x
    };
    let (fours, rest) = y.split_at_mut(y.len() & !3);
    let (requant, requant_rest) = l.requant.split_at_checked(fours.len())?;
    let (weights, weights_rest) = weights.split_at_checked(TILE.dense_len(fours.len(), k))?;
    run(l, weights, requant, x, fours);
    if !rest.is_empty() {
        // The last tiles have fewer outputs: the others are computed, but not stored.
        let (mut requant, mut four) = ([Requant::zeroed(); 4], [0; 4]);
        requant.iter_mut().zip(requant_rest).for_each(|(r, rest)| *r = *rest);
        run(l, weights_rest, &requant, x, &mut four);
        rest.iter_mut().zip(four).for_each(|(y, value)| *y = value);
    }
    Some(())
}

/// A multiple of four outputs.
fn run(l: &Layer, weights: &[i8], requant: &[Requant], x: &[i8], y: &mut [i8]) {
    let fits = weights.len() == TILE.dense_len(y.len(), x.len()) && requant.len() == y.len();
    if !(fits && x.len() >= 4 && aligned(weights) && y.len().is_multiple_of(4)) || y.is_empty() {
        return;
    }
    let words = x.len() / 4;
    let requant = requant.as_ptr_range();
    // SAFETY: there are at least four values, and for each four bytes of `y` (there are some) four records and
    // as many tiles as there are words of values, the last of which may be a tail: it is read from the last four
    // values. Weights are 4-aligned.
    unsafe {
        tiles4(Tiles {
            x: x.as_ptr(),
            x_end: x.as_ptr().wrapping_add(words * 4),
            weights: weights.as_ptr(),
            entry: words.wrapping_neg() % UNROLL * TILE_BYTES,
            tail: Tail::of(x.len()),
            requant: requant.start,
            requant_end: requant.end,
            zero_out: l.zero_out,
            left_shift: l.left_shift,
            y: y.as_mut_ptr(),
        });
    }
}

/// An output of a tile: its word of weights in `$w` times the values in `r2` and `r3`.
macro_rules! output {
    ($acc:literal, $w:literal) => {
        concat!(
            concat!("sxtb16 lr, ", $w, ", ror #8\n"),
            concat!("sxtb16 ", $w, ", ", $w, "\n"),
            concat!("smlad ", $acc, ", ", $w, ", r2, ", $acc, "\n"),
            concat!("smlad ", $acc, ", lr, r3, ", $acc, "\n"),
        )
    };
}

/// A tile: the word of values in `r3`, weights at `r1`.
macro_rules! tile {
    () => {
        concat!(
            "ldm.w r1!, {{r8-r11}}\n",
            "sxtb16 r2, r3\n",
            "sxtb16 r3, r3, ror #8\n",
            output!("r4", "r8"),
            output!("r5", "r9"),
            output!("r6", "r10"),
            output!("r7", "r11"),
        )
    };
}

/// From an accumulator to a byte of the result at `r0`.
macro_rules! store {
    ($acc:literal, $mul_offset:literal) => {
        concat!(
            concat!("ldr r10, [r12, #", $mul_offset, "]\n"),
            requantise!($acc, "r10", "r8", "r9"),
            concat!("strb ", $acc, ", [r0], #1\n"),
        )
    };
}

/// # Safety
/// The pointers bound memory as the fields say; the number of records is a multiple of four and not zero, and
/// there is at least one whole word of values.
#[unsafe(naked)]
unsafe extern "C" fn tiles4(tiles: Tiles) {
    // r0 x, r1 weights, r2 and r3 values, r4-r7 accumulators, r8-r11 and lr weights, r12 end of x. The words of
    // `tiles` lie together behind nine saved registers, see conv_rows.rs.
    naked_asm!(
        with_dsp!(),
        "push {{r0-r3}}",
        "push {{r4-r11, lr}}",
        "mov r1, r2",
        "adr.w r2, 2f",
        "add r3, r3, r2",
        "orr r3, r3, #1",
        "str r3, [sp, #48]",
        "ldr r12, [sp, #60]",
        // Four outputs.
        "1:",
        "ldr r4, [r12]",
        "ldr r5, [r12, #8]",
        "ldr r6, [r12, #16]",
        "ldr r7, [r12, #24]",
        "ldrd r0, r12, [sp, #36]",
        "ldr pc, [sp, #48]",
        ".p2align 2",
        "2:",
        ".rept 8", // UNROLL times TILE_BYTES
        "ldr.w r3, [r0], #4",
        tile!(),
        ".endr",
        "cmp r0, r12",
        "bne.w 2b",
        // The tail, if there is one.
        "ldrd r2, r12, [sp, #52]",
        "cbz r2, 3f",
        "ldr r3, [r0, r2]",
        "lsr r3, r3, r12",
        tile!(),
        // From accumulators to bytes.
        "3:",
        "ldr r12, [sp, #60]",
        "ldrd r8, r9, [sp, #68]",
        "ldr r0, [sp, #76]",
        store!("r4", "4"),
        store!("r5", "12"),
        store!("r6", "20"),
        store!("r7", "28"),
        "str r0, [sp, #76]",
        "add r12, r12, #32",
        "str r12, [sp, #60]",
        "ldr lr, [sp, #64]",
        "cmp r12, lr",
        "bne.w 1b",
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}
