//! Matrix times vector with every weight stored: four outputs at a time.

use core::arch::naked_asm;

use super::conv::{ROWS, STEP};
use crate::format::Requant;
use crate::kernels::Layer;

/// What [`rows`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Rows {
    x: *const i8,
    /// The last block of taps, which may be shorter than a vector.
    tail: *const i8,
    weights: *const i8,
    requant: *const Requant,
    /// Blocks of taps before the last.
    blocks: usize,
    /// Taps in the last block, 1 to 16.
    tail_len: usize,
    y: *mut i8,
    /// At least one, as many as there are records.
    outputs: usize,
    zero_out: i32,
    left_shift: u32,
    lo: i32,
    hi: i32,
}

/// `None` when the shape is not for this kernel; nothing is written then.
pub fn linear(l: &Layer, weights: &[i8], x: &[i8], y: &mut [i8]) -> Option<()> {
    let (k, outputs) = (x.len(), y.len());
    let blocks = k.div_ceil(STEP);
    if k == 0
        || outputs == 0
        || l.requant.len() != outputs
        || weights.len() != outputs.div_ceil(ROWS) * blocks * ROWS * STEP
    {
        return None;
    }
    let whole = outputs / ROWS * ROWS;
    let args = Rows {
        x: x.as_ptr(),
        tail: x[(blocks - 1) * STEP..].as_ptr(),
        weights: weights.as_ptr(),
        requant: l.requant.as_ptr(),
        blocks: blocks - 1,
        tail_len: k - (blocks - 1) * STEP,
        y: y.as_mut_ptr(),
        outputs: whole,
        zero_out: l.zero_out,
        left_shift: l.left_shift,
        lo: l.lo,
        hi: l.hi,
    };
    if whole > 0 {
        // SAFETY: there are `k` values, and for each output a record, `k` weights (filled up to whole tiles) and
        // room for a result.
        unsafe { rows(&args) };
    }
    if whole < outputs {
        let rest = outputs - whole;
        // The last tile has rows that are no outputs: its records and results go through memory of their own.
        let (mut requant, mut results) = ([Requant { bias: 0, mul: 0 }; ROWS], [0; ROWS]);
        requant[..rest].copy_from_slice(&l.requant[whole..]);
        let weights = weights[whole * blocks * STEP..].as_ptr();
        let args = Rows { weights, requant: requant.as_ptr(), y: results.as_mut_ptr(), outputs: ROWS, ..args };
        // SAFETY: as above, with four records and room for four results.
        unsafe { rows(&args) };
        y[whole..].copy_from_slice(&results[..rest]);
    }
    Some(())
}

/// # Safety
/// The pointers bound memory as the fields say; the number of outputs is a multiple of four and not zero.
#[unsafe(naked)]
unsafe extern "C" fn rows(rows: &Rows) {
    // r0, r2, r4, r6 sums, r1 x, r5 weights, r9 records, r3 results, r10 outputs left, r8 and r12 blocks, r11 `rows`;
    // P0 the taps of the last block.
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "sub sp, sp, #4",
        "vpush {{d8-d15}}",
        "mov r11, r0",
        "ldr r0, [r11, #20]",
        "vctp.8 r0",
        "ldrd r0, r2, [r11, #40]",
        "vdup.32 q6, r0",
        "vdup.32 q7, r2",
        "ldrd r5, r9, [r11, #8]",
        "ldr r8, [r11, #16]",
        "ldrd r3, r10, [r11, #24]",
        "lsl r12, r8, #6",
        // Four outputs: their last block first, for the sums begin there.
        "1:",
        "ldr r1, [r11, #4]",
        "add r7, r5, r12",
        "vpst",
        "vldrbt.u8 q0, [r1]",
        "vldrb.u8 q1, [r7]",
        "vldrb.u8 q2, [r7, #16]",
        "vmladav.s8 r0, q0, q1",
        "vldrb.u8 q3, [r7, #32]",
        "vmladav.s8 r2, q0, q2",
        "vldrb.u8 q4, [r7, #48]",
        "vmladav.s8 r4, q0, q3",
        "ldr r1, [r11]",
        "vmladav.s8 r6, q0, q4",
        "wls lr, r8, 3f",
        "2:",
        "vldrb.u8 q0, [r1], #16",
        "vldrb.u8 q1, [r5], #16",
        "vldrb.u8 q2, [r5], #16",
        "vmladava.s8 r0, q0, q1",
        "vldrb.u8 q3, [r5], #16",
        "vmladava.s8 r2, q0, q2",
        "vldrb.u8 q4, [r5], #16",
        "vmladava.s8 r4, q0, q3",
        "vmladava.s8 r6, q0, q4",
        "le lr, 2b",
        "3:",
        "add r5, r5, #64",
        "vmov q0[2], q0[0], r0, r4",
        "vmov q0[3], q0[1], r2, r6",
        "vld20.32 {{q1, q2}}, [r9]",
        "vld21.32 {{q1, q2}}, [r9]!",
        "ldrd r0, r2, [r11, #32]",
        "vadd.i32 q0, q0, q1",
        "vshl.s32 q0, r2",
        "vrmulh.s32 q0, q0, q2",
        "vadd.i32 q0, q0, r0",
        "vmax.s32 q0, q0, q6",
        "vmin.s32 q0, q0, q7",
        "vstrb.32 q0, [r3], #4",
        "subs r10, r10, #4",
        "bne 1b",
        "vpop {{d8-d15}}",
        "add sp, sp, #4",
        "pop {{r4-r11, pc}}",
    )
}
