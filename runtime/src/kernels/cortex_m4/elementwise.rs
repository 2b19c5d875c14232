//! The residual sum, four bytes at a time.

use core::arch::naked_asm;

use crate::kernels::{AddParams, portable};

/// What [`sum`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Sum {
    a: *const i8,
    /// May be `y`.
    b: *const i8,
    y: *mut i8,
    /// Behind the last word of `a`.
    a_end: *const i8,
    mul: [i16; 2],
    bias: i32,
    shift: u32,
}

/// What [`wide_sum`] gets: as [`Sum`], with multipliers of any size.
#[repr(C)]
struct WideSum {
    a: *const i8,
    b: *const i8,
    y: *mut i8,
    a_end: *const i8,
    mul: [i32; 2],
    bias: i32,
    shift: u32,
}

/// `None` when the lengths do not fit; nothing is written then.
#[inline(never)]
pub fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) -> Option<()> {
    let whole = y.len() & !3;
    if a.len() != y.len() || b.len() != y.len() {
        return None;
    }
    let ((a, a_rest), (b, b_rest)) = (a.split_at_checked(whole)?, b.split_at_checked(whole)?);
    let (y, y_rest) = y.split_at_mut_checked(whole)?;
    // SAFETY: `b` and `y` are as long as `a`.
    unsafe { words(p, a, b.as_ptr(), y.as_mut_ptr()) };
    portable::add(p, a_rest, b_rest, y_rest);
    Some(())
}

/// Overwrites the second input. `None` when the lengths do not fit; nothing is written then.
#[inline(never)]
pub fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) -> Option<()> {
    let whole = y.len() & !3;
    if a.len() != y.len() {
        return None;
    }
    let (a, a_rest) = a.split_at_checked(whole)?;
    let (y, y_rest) = y.split_at_mut_checked(whole)?;
    let place = y.as_mut_ptr();
    // SAFETY: `y`, in both places, is as long as `a`.
    unsafe { words(p, a, place, place) };
    portable::add_onto(p, a_rest, y_rest);
    Some(())
}

/// # Safety
/// There are as many bytes at `b`, which may be `y`, and at `y` as in `a`.
unsafe fn words(p: &AddParams, a: &[i8], b: *const i8, y: *mut i8) {
    if !a.len().is_multiple_of(4) || a.is_empty() {
        return;
    }
    let (range, AddParams { mul, bias, shift, .. }) = (a.as_ptr_range(), *p);
    let (a, a_end) = (range.start, range.end);
    // SAFETY: the three have one length, which is a multiple of four and not zero; each word of `b` is read
    // before its place in `y` is written.
    unsafe {
        match (i16::try_from(mul[0]), i16::try_from(mul[1])) {
            (Ok(m), Ok(n)) => sum(Sum { a, b, y, a_end, mul: [m, n], bias, shift }),
            _ => wide_sum(WideSum { a, b, y, a_end, mul, bias, shift }),
        }
    }
}

/// # Safety
/// The pointers bound equally many bytes: a multiple of four, and not zero.
#[unsafe(naked)]
unsafe extern "C" fn sum(sum: Sum) {
    // r0 a, r1 b, r2 y, r3 end of a, r4 both multipliers, r5 bias, r6 shift; a pair of values of `a` and `b`
    // is one operand of SMLAD. The last three words of `sum` come on the stack, behind nine saved registers.
    naked_asm!(
        with_dsp!(),
        "push {{r4-r11, lr}}",
        "ldr r4, [sp, #36]",
        "ldrd r5, r6, [sp, #40]",
        "1:",
        "ldr r8, [r0], #4",
        "ldr r9, [r1], #4",
        "sxtb16 r10, r8",
        "sxtb16 r11, r9",
        "sxtb16 r8, r8, ror #8",
        "sxtb16 r9, r9, ror #8",
        "pkhbt r12, r10, r11, lsl #16", // element 0
        "pkhtb r10, r11, r10, asr #16", // element 2
        "pkhbt lr, r8, r9, lsl #16",    // element 1
        "pkhtb r8, r9, r8, asr #16",    // element 3
        "smlad r12, r12, r4, r5",
        "smlad r10, r10, r4, r5",
        "smlad lr, lr, r4, r5",
        "smlad r8, r8, r4, r5",
        "asr r12, r12, r6",
        "asr r10, r10, r6",
        "asr lr, lr, r6",
        "asr r8, r8, r6",
        "ssat r12, #8, r12",
        "ssat r10, #8, r10",
        "ssat lr, #8, lr",
        "ssat r8, #8, r8",
        "strb r12, [r2], #1",
        "strb lr, [r2], #1",
        "strb r10, [r2], #1",
        "strb r8, [r2], #1",
        "cmp r0, r3",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// # Safety
/// As for [`sum`].
#[unsafe(naked)]
unsafe extern "C" fn wide_sum(sum: WideSum) {
    // r0 a, r1 b, r2 y, r3 end of a, r4 and r5 multipliers, r6 bias, r7 shift; the last four words of `sum` come
    // on the stack, behind nine saved registers.
    naked_asm!(
        with_dsp!(),
        "push {{r4-r11, lr}}",
        "add r12, sp, #36",
        "ldm r12, {{r4-r7}}",
        "1:",
        "ldr r8, [r0], #4",
        "ldr r9, [r1], #4",
        "sxtb r10, r8",
        "mla r11, r10, r4, r6",
        "sxtb r10, r9",
        "mla r11, r10, r5, r11",
        "sxtb r10, r8, ror #8",
        "mla r12, r10, r4, r6",
        "sxtb r10, r9, ror #8",
        "mla r12, r10, r5, r12",
        "sxtb r10, r8, ror #16",
        "mla lr, r10, r4, r6",
        "sxtb r10, r9, ror #16",
        "mla lr, r10, r5, lr",
        "asr r8, r8, #24",
        "mla r8, r8, r4, r6",
        "asr r9, r9, #24",
        "mla r8, r9, r5, r8",
        "asr r11, r11, r7",
        "asr r12, r12, r7",
        "asr lr, lr, r7",
        "asr r8, r8, r7",
        "ssat r11, #8, r11",
        "ssat r12, #8, r12",
        "ssat lr, #8, lr",
        "ssat r8, #8, r8",
        "strb r11, [r2], #1",
        "strb r12, [r2], #1",
        "strb lr, [r2], #1",
        "strb r8, [r2], #1",
        "cmp r0, r3",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}
