//! Two outputs × two pixels where only some tiles are stored: each column says which group of taps its tile
//! meets. 16 instructions for 16 products.

use core::arch::naked_asm;

use super::blocks::Blocks;
use super::columns::Group;
use super::conv::Pair;
use crate::format::Requant;
use crate::kernels::Layer;

/// What [`blocks8`] and [`blocks16`] get. The assembler knows the offsets of these fields.
#[repr(C)]
struct Rows {
    /// Widened taps; 4-aligned.
    groups: *const Group,
    tiles: *const i8,
    columns: *const u8,
    counts: *const u16,
    /// An even number of records.
    requant: *const Requant,
    requant_end: *const Requant,
    zero_out: i32,
    left_shift: u32,
    /// The output of pixel 0.
    y: *mut i8,
    /// From pixel 0 to pixel 1 in the output.
    pixel_stride: usize,
    /// Where the assembler keeps the address of its loop and the end of a pair's tiles.
    entry: usize,
    row_end: usize,
}

/// An even number of outputs of a pair of pixels. The blocks are those of a matrix with as many columns as there
/// are groups.
pub fn run(l: &Layer, blocks: &Blocks, groups: &[Group], requant: &[Requant], y: Pair) {
    let outputs = requant.len();
    if outputs == 0 || outputs != 2 * blocks.pairs() || blocks.across() > groups.len() || !y.takes(outputs) {
        return;
    }
    let (counts, tiles, columns, wide) = blocks.pointers();
    let requant = requant.as_ptr_range();
    let rows = Rows {
        groups: groups.as_ptr(),
        tiles,
        columns,
        counts,
        requant: requant.start,
        requant_end: requant.end,
        zero_out: l.zero_out,
        left_shift: l.left_shift,
        y: y.y.as_mut_ptr(),
        pixel_stride: y.stride,
        entry: 0,
        row_end: 0,
    };
    // SAFETY: `Blocks` has as many columns and tiles as the sum of its counts, and its columns are below the
    // number of groups. There is a count for each pair of records, of which there are some, and `y` takes that
    // many outputs of both pixels.
    unsafe { if wide { blocks16(rows) } else { blocks8(rows) } }
}

/// A kernel for columns that are loaded by `$load`.
macro_rules! kernel {
    ($name:ident, $load:literal) => {
        /// # Safety
        /// The pointers bound memory as the fields say; there is at least one pair of records.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(rows: Rows) {
            // r0 groups, r1 tiles, r2 columns, r4-r7 accumulators, r8-r11 taps, r3, r12 and lr weights; between
            // the pairs r3 is the records. The words of `rows` lie together behind nine saved registers, see
            // conv.rs.
            naked_asm!(
                with_dsp!(),
                "push {{r0-r3}}",
                "push {{r4-r11, lr}}",
                "adr.w r12, 2f",
                "orr r12, r12, #1",
                "str r12, [sp, #76]",
                "ldr r3, [sp, #52]",
                // A pair of outputs: the first turn of the loop leaves out what its tiles are short of a
                // multiple of four.
                "1:",
                "ldr r0, [sp, #48]",
                "ldrh r12, [r0], #2",
                "str r0, [sp, #48]",
                "ldr r4, [r3]",
                "ldr r5, [r3, #8]",
                "mov r6, r4",
                "mov r7, r5",
                "cmp r12, #0",
                "beq.w 3f",
                "ldr r0, [sp, #36]",
                "ldr r8, [sp, #76]",
                "add r3, r1, r12, lsl #3",
                "str r3, [sp, #80]",
                "rsb r12, r12, #0",
                "and r12, r12, #3",
                "add r8, r8, r12, lsl #6", // code bytes of a tile
                "bx r8",
                ".p2align 2",
                "2:",
                ".rept 4",
                $load,
                "ldrd r12, lr, [r1], #8",
                "add.w r8, r0, r8, lsl #4",
                "ldm.w r8, {{r8-r11}}",
                two_by_two!("r12", "lr", "r3"),
                ".endr",
                "ldr r3, [sp, #80]",
                "cmp r1, r3",
                "bne.w 2b",
                "3:",
                store_two_by_two!(),
                "bne.w 1b",
                "pop {{r4-r11, lr}}",
                "add sp, sp, #16",
                "bx lr",
            )
        }
    };
}

kernel!(blocks8, "ldrb.w r8, [r2], #1");
kernel!(blocks16, "ldrh.w r8, [r2], #2");
