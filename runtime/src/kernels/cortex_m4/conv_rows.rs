//! Two outputs × two pixels where weights lie output by output: four taps take 15 instructions for 16 products.

use core::arch::naked_asm;

use super::columns::Group;
use super::{Tail, skipped_blocks};
use crate::format::Requant;
use crate::kernels::Layer;

/// What [`tile_row`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct TileRow {
    /// Widened taps; 4-aligned.
    groups: *const Group,
    /// Behind the last whole group.
    groups_end: *const Group,
    /// `outputs × k`.
    weights: *const i8,
    /// Length of a row of weights.
    k: usize,
    /// Bytes of code that the first turn of the loop leaves out; the assembler keeps the address here.
    entry: usize,
    tail: Tail,
    /// An even number of records.
    requant: *const Requant,
    requant_end: *const Requant,
    zero_out: i32,
    left_shift: u32,
    /// The output of pixel 0.
    y: *mut i8,
    /// From pixel 0 to pixel 1 in the output.
    pixel_stride: usize,
}

/// Code bytes of one block in the loop of [`tile_row`].
const BLOCK_BYTES: usize = 15 * 4;

/// All outputs (at least two) of a pair of pixels; `weights` is `outputs × k` with `k >= 4`.
pub fn run(l: &Layer, weights: &[i8], groups: &[Group], y: &mut [i8]) {
    let out_c = l.requant.len();
    let k = weights.len() / out_c.max(1);
    outputs(l, weights, k, groups, y, 0..out_c & !1);
    if out_c % 2 == 1 {
        // The last pair of an odd number overlaps the one before.
        outputs(l, weights, k, groups, y, out_c - 2..out_c);
    }
}

/// A range of outputs (of even length) of a pair of pixels.
fn outputs(l: &Layer, weights: &[i8], k: usize, groups: &[Group], y: &mut [i8], range: core::ops::Range<usize>) {
    let pixel_stride = y.len() / 2;
    let weights = &weights[range.start * k..range.end * k];
    let requant = &l.requant[range.clone()];
    let y = &mut y[range.start..pixel_stride + range.end];
    let whole = &groups[..k / 4];
    assert!(groups.len() == k.div_ceil(4) && k >= 4 && requant.len().is_multiple_of(2) && !requant.is_empty());
    // SAFETY: the slices above bound all that `tile_row` reads and writes: `k / 4` whole groups (at least
    // one, and one more when `k` has a tail), `k` weights and one record for each output of the range, and
    // as many bytes from `y` and from `y + pixel_stride`. Groups are 4-aligned. A tail is read from the last
    // four weights of its row, of which there are at least four.
    unsafe {
        tile_row(TileRow {
            groups: whole.as_ptr_range().start,
            groups_end: whole.as_ptr_range().end,
            weights: weights.as_ptr(),
            k,
            entry: skipped_blocks(k) * BLOCK_BYTES,
            tail: Tail::of(k),
            requant: requant.as_ptr_range().start,
            requant_end: requant.as_ptr_range().end,
            zero_out: l.zero_out,
            left_shift: l.left_shift,
            y: y.as_mut_ptr(),
            pixel_stride,
        });
    }
}

/// One output of the tile: the word of weights in `r12` times the groups in `r8`-`r11`.
macro_rules! output {
    ($acc0:literal, $acc1:literal) => {
        concat!(
            "sxtb16 lr, r12, ror #8\n",
            "sxtb16 r12, r12\n",
            concat!("smlad ", $acc0, ", r12, r8, ", $acc0, "\n"),
            concat!("smlad ", $acc0, ", lr, r9, ", $acc0, "\n"),
            concat!("smlad ", $acc1, ", r12, r10, ", $acc1, "\n"),
            concat!("smlad ", $acc1, ", lr, r11, ", $acc1, "\n"),
        )
    };
}

/// All outputs of a [`TileRow`], two at a time.
///
/// # Safety
/// The pointers of the row bound memory as its fields say; there is at least one group and one pair of records.
#[unsafe(naked)]
unsafe extern "C" fn tile_row(row: TileRow) {
    // r0 groups, r1 weights, r2 k, r3 end of groups, r4/r6 output 0 of pixels 0/1, r5/r7 output 1,
    // r8-r11 taps, r12 and lr weights. By the calling convention the first four words of `row` come in
    // registers and the others on the stack: pushed, they are together, behind nine saved registers.
    naked_asm!(
        with_dsp!(),
        "push {{r0-r3}}",
        "push {{r4-r11, lr}}",
        "mov r1, r2",
        "mov r2, r3",
        "ldr r12, [sp, #52]",
        "adr.w r3, 2f",
        "add r3, r3, r12",
        "orr r3, r3, #1",
        "str r3, [sp, #52]",
        // A pair of outputs.
        "1:",
        "ldr lr, [sp, #64]",
        "ldr r4, [lr]",
        "ldr r5, [lr, #8]",
        "mov r6, r4",
        "mov r7, r5",
        "ldrd r0, r3, [sp, #36]",
        "ldr pc, [sp, #52]",
        ".p2align 2",
        "2:",
        ".rept 4", // BLOCK_BYTES each
        "ldm.w r0!, {{r8-r11}}",
        "ldr.w r12, [r1, r2]",
        output!("r5", "r7"),
        "ldr.w r12, [r1], #4",
        output!("r4", "r6"),
        ".endr",
        "cmp r0, r3",
        "bne 2b",
        // The tail of both rows, if there is one.
        "ldr r3, [sp, #56]",
        "cbz r3, 3f",
        "ldm.w r0, {{r8-r11}}",
        "ldr r0, [sp, #60]",
        "add r3, r1, r3",
        "ldr.w r12, [r3, r2]",
        "lsr r12, r12, r0",
        output!("r5", "r7"),
        "ldr.w r12, [r3]",
        "lsr r12, r12, r0",
        output!("r4", "r6"),
        "add r1, r3, #4",
        // From accumulators to bytes.
        "3:",
        "ldr r3, [sp, #64]",
        "ldr r8, [r3, #4]",
        "ldr r9, [r3, #12]",
        "add r3, r3, #16",
        "str r3, [sp, #64]",
        "ldrd r10, r11, [sp, #72]",
        "ldrd r0, r12, [sp, #80]",
        requantise!("r4", "r8", "r10", "r11"),
        requantise!("r6", "r8", "r10", "r11"),
        requantise!("r5", "r9", "r10", "r11"),
        requantise!("r7", "r9", "r10", "r11"),
        "strb r6, [r0, r12]",
        "strb r4, [r0], #1",
        "strb r7, [r0, r12]",
        "strb r5, [r0], #1",
        "str r0, [sp, #80]",
        "add r1, r1, r2", // the row of output 1 has been read through r2
        "ldr r12, [sp, #68]",
        "cmp r3, r12",
        "bne.w 1b",
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}
