//! Matrix times vector: four rows at a time, then the remaining ones singly.

use core::arch::naked_asm;

use super::{Tail, skipped_blocks};
use crate::format::Requant;
use crate::kernels::Layer;

/// What [`rows4`] and [`rows1`] get. The assembler knows the offsets of these fields.
#[repr(C)]
struct Rows {
    x: *const i8,
    /// `rows × k`.
    weights: *const i8,
    /// Length of a row.
    k: usize,
    /// Behind the last whole word of the vector.
    x_end: *const i8,
    /// Bytes of code that the first turn of the loop leaves out; the assembler keeps the address here.
    entry: usize,
    tail: Tail,
    requant: *const Requant,
    requant_end: *const Requant,
    zero_out: i32,
    left_shift: u32,
    y: *mut i8,
}

/// Code bytes of one block in the loop of [`rows4`].
const BLOCK4_BYTES: usize = 23 * 4;
/// Code bytes of one block in the loop of [`rows1`].
const BLOCK1_BYTES: usize = 8 * 4;

/// `None` when the shape is not for this kernel; nothing is written then.
pub fn linear(l: &Layer, weights: &[i8], x: &[i8], y: &mut [i8]) -> Option<()> {
    let k = x.len();
    if k < 4 || l.requant.len() != y.len() || weights.len() != y.len() * k {
        return None;
    }
    let (fours, ones) = y.split_at_mut(y.len() & !3);
    let (weights4, weights1) = weights.split_at(fours.len() * k);
    let (requant4, requant1) = l.requant.split_at(fours.len());
    let rows = |weights: &[i8], requant: &[Requant], y: &mut [i8], block: usize| Rows {
        x: x.as_ptr(),
        weights: weights.as_ptr(),
        k,
        x_end: x[..k & !3].as_ptr_range().end,
        entry: skipped_blocks(k) * block,
        tail: Tail::of(k),
        requant: requant.as_ptr_range().start,
        requant_end: requant.as_ptr_range().end,
        zero_out: l.zero_out,
        left_shift: l.left_shift,
        y: y.as_mut_ptr(),
    };
    if !fours.is_empty() {
        // SAFETY: there are `k >= 4` values in `x`, and for each byte of `fours`, a multiple of four, a record
        // and `k` weights. A tail is read from the last four bytes of `x` and of its row.
        unsafe { rows4(rows(weights4, requant4, fours, BLOCK4_BYTES)) };
    }
    if !ones.is_empty() {
        // SAFETY: as above, with any number of rows but zero.
        unsafe { rows1(rows(weights1, requant1, ones, BLOCK1_BYTES)) };
    }
    Some(())
}

/// A row of `rows4`: the word of weights in `r10` times the values in `r8` and `r9`.
macro_rules! row {
    ($acc:literal) => {
        concat!(
            "sxtb16 r11, r10, ror #8\n",
            "sxtb16 r10, r10\n",
            concat!("smlad ", $acc, ", r10, r8, ", $acc, "\n"),
            concat!("smlad ", $acc, ", r11, r9, ", $acc, "\n"),
        )
    };
}

/// From an accumulator to a byte of the result at `r0`: shift in `r9`, zero point in `r8`, records at `r12`.
macro_rules! requantise {
    ($acc:literal, $mul_offset:literal) => {
        concat!(
            concat!("ldr r10, [r12, #", $mul_offset, "]\n"),
            concat!("lsl ", $acc, ", ", $acc, ", r9\n"),
            concat!("smmlar ", $acc, ", ", $acc, ", r10, r8\n"),
            concat!("ssat ", $acc, ", #8, ", $acc, "\n"),
            concat!("strb ", $acc, ", [r0], #1\n"),
        )
    };
}

/// # Safety
/// The pointers bound memory as the fields say; the number of rows is a multiple of four and not zero, and
/// `k` is at least four.
#[unsafe(naked)]
unsafe extern "C" fn rows4(rows: Rows) {
    // r0 x, r1 weights of row 0, r2 k, r3 3 k, r4-r7 accumulators, r8 and r9 values, r10 and r11 weights,
    // r12 end of x. The words of `rows` lie together behind nine saved registers, see conv_rows.rs.
    naked_asm!(
        with_dsp!(),
        "push {{r0-r3}}",
        "push {{r4-r11, lr}}",
        "add r3, r2, r2, lsl #1",
        "ldr r12, [sp, #52]",
        "adr.w lr, 2f",
        "add lr, lr, r12",
        "orr lr, lr, #1",
        "str lr, [sp, #52]",
        // Four rows.
        "1:",
        "ldr lr, [sp, #64]",
        "ldr r4, [lr]",
        "ldr r5, [lr, #8]",
        "ldr r6, [lr, #16]",
        "ldr r7, [lr, #24]",
        "ldr r0, [sp, #36]",
        "ldr r12, [sp, #48]",
        "ldr pc, [sp, #52]",
        ".p2align 2",
        "2:",
        ".rept 4", // BLOCK4_BYTES each
        "ldr.w r9, [r0], #4",
        "sxtb16 r8, r9",
        "sxtb16 r9, r9, ror #8",
        "ldr.w r10, [r1, r2]",
        row!("r5"),
        "ldr.w r10, [r1, r2, lsl #1]",
        row!("r6"),
        "ldr.w r10, [r1, r3]",
        row!("r7"),
        "ldr.w r10, [r1], #4",
        row!("r4"),
        ".endr",
        "cmp r0, r12",
        "bne.w 2b",
        // The tail of the four rows, if there is one: r12 is its shift.
        "ldr r10, [sp, #56]",
        "cmp r10, #0",
        "beq 3f",
        "ldr r12, [sp, #60]",
        "add r1, r1, r10",
        "ldr r9, [r0, r10]",
        "lsr r9, r9, r12",
        "sxtb16 r8, r9",
        "sxtb16 r9, r9, ror #8",
        "ldr.w r10, [r1, r2]",
        "lsr r10, r10, r12",
        row!("r5"),
        "ldr.w r10, [r1, r2, lsl #1]",
        "lsr r10, r10, r12",
        row!("r6"),
        "ldr.w r10, [r1, r3]",
        "lsr r10, r10, r12",
        row!("r7"),
        "ldr.w r10, [r1], #4",
        "lsr r10, r10, r12",
        row!("r4"),
        // From accumulators to bytes.
        "3:",
        "ldr r12, [sp, #64]",
        "ldrd r8, r9, [sp, #72]",
        "ldr r0, [sp, #80]",
        requantise!("r4", "4"),
        requantise!("r5", "12"),
        requantise!("r6", "20"),
        requantise!("r7", "28"),
        "str r0, [sp, #80]",
        "add r12, r12, #32",
        "str r12, [sp, #64]",
        "add r1, r1, r3", // rows 1 to 3 have been read through r2 and r3
        "ldr lr, [sp, #68]",
        "cmp r12, lr",
        "bne.w 1b",
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}

/// # Safety
/// The pointers bound memory as the fields say; there is at least one row, and `k` is at least four.
#[unsafe(naked)]
unsafe extern "C" fn rows1(rows: Rows) {
    // As in `rows4`, with the accumulator in r4.
    naked_asm!(
        with_dsp!(),
        "push {{r0-r3}}",
        "push {{r4-r11, lr}}",
        "ldr r12, [sp, #52]",
        "adr.w lr, 2f",
        "add lr, lr, r12",
        "orr lr, lr, #1",
        "str lr, [sp, #52]",
        "1:",
        "ldr lr, [sp, #64]",
        "ldr r4, [lr]",
        "ldr r0, [sp, #36]",
        "ldr r12, [sp, #48]",
        "ldr pc, [sp, #52]",
        ".p2align 2",
        "2:",
        ".rept 4", // BLOCK1_BYTES each
        "ldr.w r9, [r0], #4",
        "sxtb16 r8, r9",
        "sxtb16 r9, r9, ror #8",
        "ldr.w r10, [r1], #4",
        row!("r4"),
        ".endr",
        "cmp r0, r12",
        "bne.w 2b",
        "ldr r10, [sp, #56]",
        "cmp r10, #0",
        "beq 3f",
        "ldr r12, [sp, #60]",
        "add r1, r1, r10",
        "ldr r9, [r0, r10]",
        "lsr r9, r9, r12",
        "sxtb16 r8, r9",
        "sxtb16 r9, r9, ror #8",
        "ldr.w r10, [r1], #4",
        "lsr r10, r10, r12",
        row!("r4"),
        "3:",
        "ldr r12, [sp, #64]",
        "ldrd r8, r9, [sp, #72]",
        "ldr r0, [sp, #80]",
        requantise!("r4", "4"),
        "str r0, [sp, #80]",
        "add r12, r12, #8",
        "str r12, [sp, #64]",
        "ldr lr, [sp, #68]",
        "cmp r12, lr",
        "bne.w 1b",
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}
