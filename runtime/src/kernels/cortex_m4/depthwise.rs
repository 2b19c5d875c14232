//! Depthwise convolution: four channels of one pixel at a time, all taps.
//!
//! Which taps of a window lie on the input is the same for most pixels; a list of their offsets is made when
//! it changes and serves all channels.

use core::arch::naked_asm;
use core::ops::Range;

use super::columns::valid;
use super::{in_reach, splat, widen};
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
struct Window {
    /// Where the first tap is in the input; negative when it lies in the padding before it.
    origin: isize,
    rows: Range<usize>,
    columns: Range<usize>,
    taps: [TapOffsets; MAX_TAPS],
    inside: usize,
    all: usize,
}

/// What [`quads`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Quads {
    /// The window's first tap.
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
    y: *mut i8,
}

/// Code bytes of one tap in the loop of [`quads`], which is unrolled twice.
const TAP_BYTES: usize = 11 * 4;
/// Code bytes of the whole loop.
const LOOP_BYTES: usize = 2 * TAP_BYTES + 8;

/// `None` when the shape is not for this kernel; nothing is written then.
pub fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) -> Option<()> {
    let [in_h, in_w, channels] = g.input;
    let [out_h, out_w, out_c] = g.output;
    let all = g.kernel[0] * g.kernel[1];
    let fits = x.len() == in_h * in_w * channels && y.len() == out_h * out_w * channels && out_c == channels;
    if channels < 4
        || !(1..=MAX_TAPS).contains(&all)
        || !fits
        || in_reach(g).is_none()
        || l.weights.len() != all * channels
        || l.requant.len() != channels
    {
        return None;
    }
    let mut window =
        Window { origin: 0, rows: 0..0, columns: 0..0, taps: [TapOffsets::default(); MAX_TAPS], inside: 0, all: 0 };
    // Along the longer axis the window changes less often.
    let (outer, inner) = if out_h > out_w { (out_w, out_h) } else { (out_h, out_w) };
    for i in 0..outer {
        for j in 0..inner {
            let [row, column] = if out_h > out_w { [j, i] } else { [i, j] };
            window.move_to(g, row, column);
            let y = &mut y[(row * out_w + column) * channels..][..channels];
            window.channels(l, x, y, 0..channels & !3);
            if !channels.is_multiple_of(4) {
                window.channels(l, x, y, channels - 4..channels);
            }
        }
    }
    Some(())
}

impl Window {
    /// To an output position.
    fn move_to(&mut self, g: &Geometry, row: usize, column: usize) {
        let (rows, columns) = (valid(g, 0, row), valid(g, 1, column));
        let row = (row * g.stride[0]) as isize - g.pad[0] as isize;
        let column = (column * g.stride[1]) as isize - g.pad[1] as isize;
        self.origin = (row * g.input[1] as isize + column) * g.input[2] as isize;
        if self.all == 0 || (&rows, &columns) != (&self.rows, &self.columns) {
            self.list(g, rows, columns);
        }
    }

    /// Lists the taps for windows whose `rows` and `columns` lie on the input.
    fn list(&mut self, g: &Geometry, rows: Range<usize>, columns: Range<usize>) {
        let [_, in_w, channels] = g.input;
        self.all = g.kernel[0] * g.kernel[1];
        self.inside = rows.len() * columns.len();
        let (inside, outside) = self.taps[..self.all].split_at_mut(self.inside);
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
        (self.rows, self.columns) = (rows, columns);
    }

    /// A range of channels, a multiple of four of them, of the pixel `y`.
    fn channels(&self, l: &Layer, x: &[i8], y: &mut [i8], range: Range<usize>) {
        let requant = &l.requant[range.clone()];
        let y = &mut y[range.clone()];
        let taps = &self.taps[..self.all];
        assert!(y.len().is_multiple_of(4) && !y.is_empty());
        // SAFETY: the taps listed as inside lie in the image by `valid`'s definition, so from `origin` (whose
        // address may itself be outside of `x`, and is not read) their offsets lead to pixels of `x`; a tap's
        // weights lie at its offset in `l.weights`, whose length the caller checked. Of both, the channels of
        // `range` are read. Records and results are as many as channels: at least four, and in fours.
        unsafe {
            quads(Quads {
                x: x.as_ptr().wrapping_offset(self.origin).wrapping_add(range.start),
                w: l.weights.as_ptr().wrapping_add(range.start),
                taps: taps.as_ptr_range().start,
                taps_inside: taps[..self.inside].as_ptr_range().end,
                taps_end: taps.as_ptr_range().end,
                entry: match self.inside {
                    0 => LOOP_BYTES,
                    n if n.is_multiple_of(2) => 0,
                    _ => TAP_BYTES,
                },
                zero_in: widen(splat(l.zero_in))[0],
                requant: requant.as_ptr_range().start,
                requant_end: requant.as_ptr_range().end,
                zero_out: l.zero_out,
                left_shift: l.left_shift,
                y: y.as_mut_ptr(),
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
/// The offsets lead from `x` and `w` to readable memory for as many channels as there are records; the
/// number of records is a multiple of four and not zero; `y` has a byte for each.
#[unsafe(naked)]
unsafe extern "C" fn quads(quads: Quads) {
    // r0 x, r1 w, r2 taps, r3 end of taps, r4-r7 accumulators of channels 0-3, r8-r11 values and weights.
    // The words of `quads` lie together behind nine saved registers, see conv.rs.
    naked_asm!(
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
        ".rept 2", // TAP_BYTES each
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
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}
