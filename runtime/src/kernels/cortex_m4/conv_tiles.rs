//! Two outputs × two pixels where every tile is stored and its two words of weights lie together: `LDM` of a
//! group of taps, `LDRD` of the weights, 14 instructions for 16 products.

use core::arch::naked_asm;

use super::columns::Group;
use super::conv::Pair;
use super::{aligned, blocks::TILE};
use crate::format::Requant;
use crate::kernels::Layer;

/// What [`tiles`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Tiles {
    /// Widened taps; 4-aligned.
    groups: *const Group,
    /// Behind the last group.
    groups_end: *const Group,
    /// 4-aligned.
    weights: *const i8,
    /// Bytes of code that the first turn of the loop leaves out; the assembler keeps the address here.
    entry: usize,
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

/// Code bytes of one tile in the loop of [`tiles`].
const TILE_BYTES: usize = 14 * 4;
/// How often that loop is unrolled.
const UNROLL: usize = 4;

/// The weights of a layer of `outputs × taps` if they are for this kernel.
pub fn weights<'a>(l: &Layer<'a>, outputs: usize, taps: usize) -> Option<&'a [i8]> {
    let weights = l.weights.dense()?;
    let fits = l.tile == TILE && taps > 0 && weights.len() == TILE.dense_len(outputs, taps) && aligned(weights);
    fits.then_some(weights)
}

/// An even number of outputs of a pair of pixels.
pub fn run(l: &Layer, weights: &[i8], groups: &[Group], requant: &[Requant], y: Pair) {
    let outputs = requant.len();
    let fits = weights.len() == TILE.dense_len(outputs, groups.len() * TILE.step) && aligned(weights);
    if !fits || groups.is_empty() || outputs == 0 || !outputs.is_multiple_of(2) || !y.takes(outputs) {
        return;
    }
    let (groups, requant) = (groups.as_ptr_range(), requant.as_ptr_range());
    // SAFETY: there are some groups and some pairs of records, and a tile for each pair and group. `y` takes that
    // many outputs of both pixels. Weights are 4-aligned, groups and records by their types.
    unsafe {
        tiles(Tiles {
            groups: groups.start,
            groups_end: groups.end,
            weights: weights.as_ptr(),
            entry: groups.end.offset_from_unsigned(groups.start).wrapping_neg() % UNROLL * TILE_BYTES,
            requant: requant.start,
            requant_end: requant.end,
            zero_out: l.zero_out,
            left_shift: l.left_shift,
            y: y.y.as_mut_ptr(),
            pixel_stride: y.stride,
        });
    }
}

/// # Safety
/// The pointers bound memory as the fields say; there is at least one group and one pair of records.
#[unsafe(naked)]
unsafe extern "C" fn tiles(tiles: Tiles) {
    // r0 groups, r1 weights, r3 records, then end of groups; r4-r7 accumulators, r8-r11 taps, r2, r12 and lr
    // weights. The words of `tiles` lie together behind nine saved registers, see conv_rows.rs.
    naked_asm!(
        with_dsp!(),
        "push {{r0-r3}}",
        "push {{r4-r11, lr}}",
        "mov r1, r2",
        "adr.w r2, 2f",
        "add r3, r3, r2",
        "orr r3, r3, #1",
        "str r3, [sp, #48]",
        "ldr r3, [sp, #52]",
        // A pair of outputs.
        "1:",
        "ldr r4, [r3]",
        "ldr r5, [r3, #8]",
        "mov r6, r4",
        "mov r7, r5",
        "ldrd r0, r3, [sp, #36]",
        "ldr pc, [sp, #48]",
        ".p2align 2",
        "2:",
        ".rept 4", // UNROLL times TILE_BYTES
        "ldm.w r0!, {{r8-r11}}",
        "ldrd r12, r2, [r1], #8",
        two_by_two!("r12", "r2", "lr"),
        ".endr",
        "cmp r0, r3",
        "bne.w 2b",
        store_two_by_two!(),
        "bne.w 1b",
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}
