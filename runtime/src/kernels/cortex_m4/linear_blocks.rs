//! Matrix times vector with some tiles stored: two outputs at a time, from stored tile to stored tile.

use core::arch::naked_asm;

use bytemuck::{Zeroable, cast_slice_mut};

use super::blocks::Blocks;
use crate::format::Requant;
use crate::kernels::Layer;

/// What [`blocks8`] and [`blocks16`] get. The assembler knows the offsets of these fields.
#[repr(C)]
struct Rows {
    x: *const i8,
    tiles: *const i8,
    columns: *const u8,
    counts: *const u16,
    requant: *const Requant,
    requant_end: *const Requant,
    zero_out: i32,
    left_shift: u32,
    y: *mut i8,
    /// Where the assembler keeps the address of its loop.
    entry: usize,
}

/// `None` when the weights are not for this kernel; nothing is written then.
///
/// A vector that is no multiple of four long is copied to the scratch.
#[inline(never)]
pub fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> Option<()> {
    let blocks = Blocks::of(l, y.len(), x.len())?;
    if l.requant.len() != y.len() {
        return None;
    }
    let x = if x.len().is_multiple_of(4) {
        x
    } else {
        let filled = cast_slice_mut::<u8, i8>(scratch).get_mut(..x.len().next_multiple_of(4))?;
        let (values, rest) = filled.split_at_mut_checked(x.len())?;
        values.copy_from_slice(x);
        rest.fill(0);
        filled
    };
    let (pairs, last) = y.split_at_mut(y.len() & !1);
    let (requant, requant_last) = l.requant.split_at_checked(pairs.len())?;
    let (blocks, last_blocks) = blocks.split(l.requant.len())?;
    run(l, &blocks, requant, x, pairs);
    if let ([y], [r]) = (last, requant_last) {
        let mut pair = [0; 2];
        run(l, &last_blocks, &[*r, Requant::zeroed()], x, &mut pair);
        *y = pair[0];
    }
    Some(())
}

/// Pairs of outputs; `x` is whole words.
fn run(l: &Layer, blocks: &Blocks, requant: &[Requant], x: &[i8], y: &mut [i8]) {
    if y.is_empty() || requant.len() != y.len() || y.len() != 2 * blocks.pairs() || blocks.across() > x.len() / 4 {
        return;
    }
    let (counts, tiles, columns, wide) = blocks.pointers();
    let requant = requant.as_ptr_range();
    let rows = Rows {
        x: x.as_ptr(),
        tiles,
        columns,
        counts,
        requant: requant.start,
        requant_end: requant.end,
        zero_out: l.zero_out,
        left_shift: l.left_shift,
        y: y.as_mut_ptr(),
        entry: 0,
    };
    // SAFETY: `Blocks` has as many columns and tiles as the sum of its counts; each column is below the words of
    // `x`; there is a count, two records and two bytes of `y` for each pair, of which there are
    // some.
    unsafe { if wide { blocks16(rows) } else { blocks8(rows) } }
}

/// An output of a tile: its word of weights in `$w` times the values in `r10` and `r11`.
macro_rules! output {
    ($acc:literal, $w:literal) => {
        concat!(
            concat!("sxtb16 r12, ", $w, "\n"),
            concat!("sxtb16 ", $w, ", ", $w, ", ror #8\n"),
            concat!("smlad ", $acc, ", r12, r10, ", $acc, "\n"),
            concat!("smlad ", $acc, ", ", $w, ", r11, ", $acc, "\n"),
        )
    };
}

/// A kernel for columns that are loaded by `$load`.
macro_rules! kernel {
    ($name:ident, $load:literal) => {
        /// # Safety
        /// The pointers bound memory as the fields say; the number of records is even and not zero.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(rows: Rows) {
            // r0 x, r1 tiles, r2 columns, r4 and r5 accumulators, r6 records, r7 counts, lr end of the pair's
            // tiles; r3 and r8-r12 values and weights. The words of `rows` lie together behind nine saved
            // registers, see conv_rows.rs.
            naked_asm!(
                with_dsp!(),
                "push {{r0-r3}}",
                "push {{r4-r11, lr}}",
                "mov r7, r3",
                "ldr r6, [sp, #52]",
                "adr.w r12, 2f",
                "orr r12, r12, #1",
                "str r12, [sp, #72]",
                // A pair of outputs: the first turn of the loop leaves out what its tiles are short of a
                // multiple of four.
                "1:",
                "ldrh r8, [r7], #2",
                "ldr r4, [r6]",
                "ldr r5, [r6, #8]",
                "cmp r8, #0",
                "beq 3f",
                "add lr, r1, r8, lsl #3",
                "rsb r8, r8, #0",
                "and r8, r8, #3",
                "movs r3, #52", // code bytes of a tile
                "ldr r12, [sp, #72]",
                "mla r8, r8, r3, r12",
                "bx r8",
                ".p2align 2",
                "2:",
                ".rept 4",
                $load,
                "ldrd r8, r9, [r1], #8",
                "ldr.w r3, [r0, r3, lsl #2]",
                "sxtb16 r10, r3",
                "sxtb16 r11, r3, ror #8",
                output!("r4", "r8"),
                output!("r5", "r9"),
                ".endr",
                "cmp r1, lr",
                "bne.w 2b",
                // From accumulators to bytes.
                "3:",
                "ldm r6!, {{r8-r11}}",
                "ldrd r10, r12, [sp, #60]",
                "ldr r8, [sp, #68]",
                requantise!("r4", "r9", "r10", "r12"),
                requantise!("r5", "r11", "r10", "r12"),
                "strb r4, [r8], #1",
                "strb r5, [r8], #1",
                "str r8, [sp, #68]",
                "ldr r12, [sp, #56]",
                "cmp r6, r12",
                "bne.w 1b",
                "pop {{r4-r11, lr}}",
                "add sp, sp, #16",
                "bx lr",
            )
        }
    };
}

kernel!(blocks8, "ldrb.w r3, [r2], #1");
kernel!(blocks16, "ldrh.w r3, [r2], #2");
