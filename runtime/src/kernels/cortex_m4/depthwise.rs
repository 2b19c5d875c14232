//! Depthwise convolution: four channels of one pixel at a time, all taps.
//!
//! Which taps of a window lie on the input is the same along a run of pixels; a list of their offsets serves
//! all channels of a run.

use core::arch::naked_asm;
use core::ops::Range;

use super::{splat, widen};
use crate::format::Requant;
use crate::kernels::{Geometry, Layer};

/// Larger windows are left to the portable kernel; the list of taps lies on the stack.
const MAX_TAPS: usize = 64;

/// Byte offsets of a tap: in the input from the window's first tap (which may lie in the padding), and in
/// the weights.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct TapOffsets {
    x: i32,
    w: i32,
}

/// The taps of a window, those on the input first.
struct Taps {
    list: [TapOffsets; MAX_TAPS],
    inside: usize,
    all: usize,
}

/// Output pixels next to each other in a row or a column, whose windows have the same taps on the input.
struct Run {
    /// Where the first window's first tap is in the input; negative when it lies in the padding before it.
    x: isize,
    /// The first pixel in the output.
    y: usize,
    pixels: usize,
    /// From window to window, and from pixel to pixel.
    x_step: usize,
    y_step: usize,
}

/// What [`quads`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Quads {
    /// The first window's first tap.
    x: *const i8,
    w: *const i8,
    taps: *const TapOffsets,
    taps_inside: *const TapOffsets,
    taps_end: *const TapOffsets,
    /// Bytes of code that the first turn of the loop leaves out; the assembler keeps the address here.
    entry: usize,
    /// The input's zero point, in both halves.
    zero_in: u32,
    /// A multiple of four records.
    requant: *const Requant,
    requant_end: *const Requant,
    zero_out: i32,
    left_shift: u32,
    /// The first pixel.
    y: *mut i8,
    requant_start: *const Requant,
    x_step: usize,
    /// From the end of a pixel to the start of the next; may be negative.
    y_gap: isize,
    /// At least one.
    pixels: usize,
}

/// Code bytes of one tap in the loop of [`quads`].
const TAP_BYTES: usize = 11 * 4;
/// How often that loop is unrolled: a window of 3 × 3 takes one turn.
const UNROLL: usize = 9;
/// Code bytes of the whole loop.
const LOOP_BYTES: usize = UNROLL * TAP_BYTES + 8;

/// `None` when the shape is not for this kernel; nothing is written then.
#[inline(never)]
pub fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) -> Option<()> {
    let weights = l.weights.dense()?;
    let [_, in_w, channels] = g.input;
    let [out_h, out_w, out_c] = g.output;
    if !g.fits(x, y) || out_c != channels || channels < 4 {
        return None;
    }
    let all = g.kernel[0] * g.kernel[1];
    if all > MAX_TAPS || weights.len() != all * channels || l.requant.len() != channels {
        return None;
    }
    let mut taps = Taps { list: [TapOffsets::default(); MAX_TAPS], inside: 0, all };
    // Runs follow the longer axis.
    let down = out_h > out_w;
    let (along, [out_along, out_across]) = if down { (0, [out_h, out_w]) } else { (1, [out_w, out_h]) };
    let x_steps = [in_w * channels * g.stride[0], channels * g.stride[1]];
    let y_steps = [out_w * channels, channels];
    let [x_step, y_step] = if down { [x_steps[0], y_steps[0]] } else { [x_steps[1], y_steps[1]] };
    for line in 0..out_across {
        let mut at = 0;
        while at < out_along {
            let pixels = run_len(g, along, at);
            let [row, column] = if down { [at, line] } else { [line, at] };
            taps.fill(g, g.valid_taps(0, row), g.valid_taps(1, column));
            let in_row = (row * g.stride[0]) as isize - g.pad[0] as isize;
            let in_column = (column * g.stride[1]) as isize - g.pad[1] as isize;
            let run = Run {
                x: (in_row * in_w as isize + in_column) * channels as isize,
                y: (row * out_w + column) * channels,
                pixels,
                x_step,
                y_step,
            };
            taps.run(l, weights, x, y, &run, 0..channels & !3);
            if !channels.is_multiple_of(4) {
                taps.run(l, weights, x, y, &run, channels - 4..channels);
            }
            at += pixels;
        }
    }
    Some(())
}

/// How many output positions from `out` on have no tap in the padding; at least one is counted.
fn run_len(g: &Geometry, axis: usize, out: usize) -> usize {
    if out * g.stride[axis] < g.pad[axis] {
        return 1;
    }
    let extent = (g.kernel[axis] - 1) * g.dilation[axis] + 1;
    let last = (g.input[axis] + g.pad[axis]).saturating_sub(extent).checked_div(g.stride[axis]).unwrap_or(0);
    (last + 1).min(g.output[axis]).saturating_sub(out).max(1)
}

impl Taps {
    /// Lists the taps of windows whose `rows` and `columns` lie on the input.
    fn fill(&mut self, g: &Geometry, rows: Range<usize>, columns: Range<usize>) {
        let [_, in_w, channels] = g.input;
        self.inside = rows.len() * columns.len();
        let list = self.list.get_mut(..self.all).and_then(|list| list.split_at_mut_checked(self.inside));
        let Some((inside, outside)) = list else { return };
        let (mut inside, mut outside) = (inside.iter_mut(), outside.iter_mut());
        let mut w = 0;
        for row in 0..g.kernel[0] {
            for column in 0..g.kernel[1] {
                let valid = rows.contains(&row) && columns.contains(&column);
                let (place, x) = if valid {
                    (inside.next(), (row * g.dilation[0] * in_w + column * g.dilation[1]) * channels)
                } else {
                    (outside.next(), 0)
                };
                if let Some(tap) = place {
                    *tap = TapOffsets { x: x as i32, w };
                }
                w += channels as i32;
            }
        }
    }

    /// A range of channels, a multiple of four of them, of a run of pixels.
    fn run(&self, l: &Layer, weights: &[i8], x: &[i8], y: &mut [i8], run: &Run, range: Range<usize>) {
        let taps = self.list.get(..self.all).unwrap_or_default();
        let end = || run.pixels.checked_sub(1)?.checked_mul(run.y_step)?.checked_add(range.end);
        let y = y.get_mut(run.y..).and_then(|y| y.get_mut(..end()?)).and_then(|y| y.get_mut(range.start..));
        let (Some(requant), Some(y)) = (l.requant.get(range.clone()), y) else { return };
        if !requant.len().is_multiple_of(4) || requant.is_empty() || self.inside > taps.len() {
            return;
        }
        // SAFETY: the taps listed as inside lie on the input by `valid_taps`' definition, for all windows of a run
        // by `run_len`'s. So from `run.x` (whose address may itself be outside of `x`, and is not read) and as
        // many steps as there are further pixels, their offsets lead to pixels of `x`; a tap's weights lie at
        // its offset in `weights`, whose length the caller checked. Of both, the channels of `range` are
        // read. There are as many records as channels: at least four, and in fours. `y` ends with the last
        // channel of the last pixel.
        unsafe {
            quads(Quads {
                x: x.as_ptr().wrapping_offset(run.x).wrapping_add(range.start),
                w: weights.as_ptr().wrapping_add(range.start),
                taps: taps.as_ptr_range().start,
                taps_inside: taps.as_ptr().wrapping_add(self.inside),
                taps_end: taps.as_ptr_range().end,
                entry: match self.inside {
                    0 => LOOP_BYTES,
                    n => (n.next_multiple_of(UNROLL) - n) * TAP_BYTES,
                },
                zero_in: widen(splat(l.zero_in))[0],
                requant: requant.as_ptr_range().start,
                requant_end: requant.as_ptr_range().end,
                zero_out: l.zero_out,
                left_shift: l.left_shift,
                y: y.as_mut_ptr(),
                requant_start: requant.as_ptr_range().start,
                x_step: run.x_step,
                y_gap: run.y_step as isize - range.len() as isize,
                pixels: run.pixels,
            });
        }
    }
}

/// From an accumulator to a byte at `r12`: zero point in `r2`, shift in `r3`.
macro_rules! requantise {
    ($acc:literal, $mul:literal) => {
        concat!(
            concat!("lsl ", $acc, ", ", $acc, ", r3\n"),
            concat!("smmlar ", $acc, ", ", $acc, ", ", $mul, ", r2\n"),
            concat!("ssat ", $acc, ", #8, ", $acc, "\n"),
            concat!("strb ", $acc, ", [r12], #1\n"),
        )
    };
}

/// # Safety
/// The offsets lead from `w`, from `x` and from each further step of `x` to readable memory for as many
/// channels as there are records; their number is a multiple of four and not zero; `y` has that many bytes at
/// each of its steps.
#[unsafe(naked)]
unsafe extern "C" fn quads(quads: Quads) {
    // r0 x, r1 w, r2 taps, r3 end of taps, r4-r7 accumulators of channels 0-3, r8-r11 values and weights.
    // The words of `quads` lie together behind nine saved registers, see conv_rows.rs.
    naked_asm!(
        with_dsp!(),
        "push {{r0-r3}}",
        "push {{r4-r11, lr}}",
        "ldr r12, [sp, #56]",
        "adr.w r3, 2f",
        "add r3, r3, r12",
        "orr r3, r3, #1",
        "str r3, [sp, #56]",
        // Four channels.
        "1:",
        "ldr lr, [sp, #64]",
        "ldr r4, [lr]",
        "ldr r5, [lr, #8]",
        "ldr r6, [lr, #16]",
        "ldr r7, [lr, #24]",
        "ldrd r2, r3, [sp, #44]",
        "ldr pc, [sp, #56]",
        // The taps on the input.
        ".p2align 2",
        "2:",
        ".rept 9", // UNROLL times TAP_BYTES
        "ldrd r8, r9, [r2], #8",
        "ldr.w r8, [r0, r8]",
        "ldr.w r9, [r1, r9]",
        "sxtb16 r10, r8, ror #8",
        "sxtb16 r11, r9, ror #8",
        "sxtb16 r8, r8",
        "sxtb16 r9, r9",
        "smlabb r4, r8, r9, r4",
        "smlatt r6, r8, r9, r6",
        "smlabb r5, r10, r11, r5",
        "smlatt r7, r10, r11, r7",
        ".endr",
        "cmp.w r2, r3",
        "bne.w 2b", // LOOP_BYTES up to here
        // The taps in the padding.
        "ldr r3, [sp, #52]",
        "cmp r2, r3",
        "beq 4f",
        "ldr r10, [sp, #60]",
        "3:",
        "ldrd r8, r9, [r2], #8",
        "ldr.w r9, [r1, r9]",
        "sxtb16 r11, r9, ror #8",
        "sxtb16 r9, r9",
        "smlabb r4, r10, r9, r4",
        "smlatt r6, r10, r9, r6",
        "smlabb r5, r10, r11, r5",
        "smlatt r7, r10, r11, r7",
        "cmp r2, r3",
        "bne 3b",
        // From accumulators to bytes.
        "4:",
        "ldr r8, [lr, #4]",
        "ldr r9, [lr, #12]",
        "ldr r10, [lr, #20]",
        "ldr r11, [lr, #28]",
        "ldrd r2, r3, [sp, #72]",
        "ldr r12, [sp, #80]",
        requantise!("r4", "r8"),
        requantise!("r5", "r9"),
        requantise!("r6", "r10"),
        requantise!("r7", "r11"),
        "str r12, [sp, #80]",
        "add r0, r0, #4",
        "add r1, r1, #4",
        "add lr, lr, #32",
        "str lr, [sp, #64]",
        "ldr r12, [sp, #68]",
        "cmp lr, r12",
        "bne.w 1b",
        // The next pixel.
        "ldr r0, [sp, #36]",
        "ldr r1, [sp, #88]",
        "add r0, r0, r1",
        "str r0, [sp, #36]",
        "ldr r1, [sp, #80]",
        "ldr r2, [sp, #92]",
        "add r1, r1, r2",
        "str r1, [sp, #80]",
        "ldr r2, [sp, #84]",
        "str r2, [sp, #64]",
        "ldr r1, [sp, #40]",
        "ldr r3, [sp, #96]",
        "subs r3, r3, #1",
        "str r3, [sp, #96]",
        "bne.w 1b",
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}
