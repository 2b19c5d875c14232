//! The ways to bring whole windows into groups of widened taps that are worth assembler of their own.

use core::arch::{asm, naked_asm};

use super::columns::{Block, Group};

/// Two columns of `groups.len()` words each, one behind the other.
#[inline(always)]
pub fn pair(columns: &[i8], groups: &mut [Group]) {
    let len = groups.len() * 4;
    if columns.len() != 2 * len || len == 0 {
        return;
    }
    let range = groups.as_mut_ptr_range();
    // SAFETY: there are `len` bytes in each column, and a group for each of their words; there is at least one.
    unsafe {
        asm!(
            "2:",
            "ldr r9, [{a}], #4",
            "ldr r12, [{b}], #4",
            "sxtb16 r8, r9",
            "sxtb16 r9, r9, ror #8",
            "sxtb16 r10, r12",
            "sxtb16 r12, r12, ror #8",
            "stm {to}!, {{r8, r9, r10, r12}}",
            "cmp {to}, {end}",
            "bne 2b",
            a = inout(reg) columns.as_ptr() => _, b = inout(reg) columns.as_ptr().wrapping_add(len) => _,
            to = inout(reg) range.start => _, end = in(reg) range.end,
            out("r8") _, out("r9") _, out("r10") _, out("r12") _,
            options(nostack),
        );
    }
}

/// `rows` runs of `len` bytes, `step` bytes apart, as a pixel (0 or 1) of the groups. `None` when these are not whole
/// words.
#[inline(always)]
pub fn rows(x: &[i8], step: usize, rows: usize, len: usize, groups: &mut [Group], pixel: usize) -> Option<()> {
    let last = rows.checked_sub(1)?.checked_mul(step)?;
    let words = len / 4;
    if last.checked_add(len)? > x.len()
        || words == 0
        || !len.is_multiple_of(4)
        || rows.checked_mul(words)? > groups.len()
    {
        return None;
    }
    let to = groups.as_mut_ptr().cast::<u32>().wrapping_add(2 * (pixel & 1));
    // SAFETY: the last run ends in `x`, there is a group for each word, and neither number is zero.
    unsafe { widen_rows(x.as_ptr(), step.wrapping_sub(words * 4), rows, words, to) };
    Some(())
}

/// A column as it is.
#[inline(always)]
pub fn join(block: &Block, column: &mut [i8]) -> Option<()> {
    let Block { from, step, rows, len, to, to_step, .. } = *block;
    if !block.whole {
        column.fill(block.zero);
    }
    if rows == 0 || len == 0 {
        return Some(());
    }
    let ends = |first: usize, step: usize| (rows - 1).checked_mul(step)?.checked_add(first)?.checked_add(len);
    if ends(0, step)? > from.len() || ends(to, to_step)? > column.len() {
        return None;
    }
    let gaps = [step.wrapping_sub(len), to_step.wrapping_sub(len)];
    // SAFETY: the last run ends in `from` and its place in `column`, and neither number is zero.
    unsafe { copy_rows(from.as_ptr(), gaps[0], rows, len, column.as_mut_ptr().wrapping_add(to), gaps[1]) };
    Some(())
}

/// # Safety
/// From `x` on there are `rows` runs of `words` words with `gap` bytes between them; `to` has that many places of
/// two words, 16 bytes apart. Neither number is zero.
#[unsafe(naked)]
unsafe extern "C" fn widen_rows(x: *const i8, gap: usize, rows: usize, words: usize, to: *mut u32) {
    // r4 the place, r5 words to go, r6 and r7 values, r8 words that are left over from fours, r12 fours.
    naked_asm!(
        with_dsp!(),
        "push {{r4-r8, lr}}",
        "ldr r4, [sp, #24]",
        "and r8, r3, #3",
        "lsr r12, r3, #2",
        "1:",
        "movs r5, r12",
        "beq 3f",
        "2:",
        ".rept 4",
        "ldr r7, [r0], #4",
        "sxtb16 r6, r7",
        "sxtb16 r7, r7, ror #8",
        "strd r6, r7, [r4], #16",
        ".endr",
        "subs r5, r5, #1",
        "bne 2b",
        "3:",
        "movs r5, r8",
        "beq 5f",
        "4:",
        "ldr r7, [r0], #4",
        "sxtb16 r6, r7",
        "sxtb16 r7, r7, ror #8",
        "strd r6, r7, [r4], #16",
        "subs r5, r5, #1",
        "bne 4b",
        "5:",
        "add r0, r0, r1",
        "subs r2, r2, #1",
        "bne 1b",
        "pop {{r4-r8, pc}}",
    )
}

/// # Safety
/// From `x` on there are `rows` runs of `len` bytes with `gap` bytes between them, and from `to` on places for them
/// with `to_gap` bytes between them. Neither number is zero.
#[unsafe(naked)]
unsafe extern "C" fn copy_rows(x: *const i8, gap: usize, rows: usize, len: usize, to: *mut i8, to_gap: usize) {
    naked_asm!(
        with_dsp!(),
        "push {{r4-r7, lr}}",
        "ldr r4, [sp, #20]",
        "ldr r7, [sp, #24]",
        "1:",
        "subs r5, r3, #4",
        "blt 3f",
        "2:",
        "ldr r6, [r0], #4",
        "str r6, [r4], #4",
        "subs r5, r5, #4",
        "bge 2b",
        "3:",
        "adds r5, r5, #4",
        "beq 5f",
        "4:",
        "ldrb r6, [r0], #1",
        "strb r6, [r4], #1",
        "subs r5, r5, #1",
        "bne 4b",
        "5:",
        "add r0, r0, r1",
        "add r4, r4, r7",
        "subs r2, r2, #1",
        "bne 1b",
        "pop {{r4-r7, pc}}",
    )
}
