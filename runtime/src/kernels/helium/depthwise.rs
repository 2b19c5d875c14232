//! Depthwise convolution: 16 channels of one pixel at a time, all taps.
//!
//! Products of bytes are 16 bits wide, and the sum of two of them still is unless both weights are -128; so taps are
//! taken in pairs, and widened to 32 bits once a pair. Which taps of a window lie on the input is the same along a
//! run of pixels; a list of their offsets serves all channels of a run.

use core::arch::naked_asm;

use super::columns::{has_lowest, valid};
use super::in_reach;
use crate::format::Requant;
use crate::kernels::{Geometry, Layer};

/// Channels of a vector.
const LANES: usize = 16;
/// Larger windows are left to the portable kernel; the list of taps lies on the stack.
const MAX_TAPS: usize = 64;

/// Byte offsets of a tap: in the input from the window's first tap (which may lie in the padding), and in the weights.
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

/// What [`full`] and [`part`] get. The assembler knows the offsets of these fields.
#[repr(C)]
struct Blocks {
    /// The first window's first tap.
    x: *const i8,
    /// The first pixel.
    y: *mut i8,
    w: *const i8,
    /// Blocks of 16 channels, at least one.
    blocks: usize,
    taps: *const TapOffsets,
    /// Pairs of taps on the input, further single ones, and taps in the padding.
    pairs: usize,
    singles: usize,
    padded: usize,
    /// Addresses of the records of channels 0, 4, 8 and 12.
    records: [*const Requant; 4],
    zero_out: i32,
    left_shift: u32,
    lo: i32,
    hi: i32,
    zero_in: i32,
    /// Channels of a block, for [`part`].
    lanes: usize,
    /// From the end of a pixel's channels to the start of the next one's, in the input and in the output.
    x_gap: isize,
    y_gap: isize,
    /// At least one.
    pixels: usize,
}

/// `None` when the shape is not for this kernel; nothing is written then.
pub fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) -> Option<()> {
    let weights = l.weights.dense()?;
    let [in_h, in_w, channels] = g.input;
    let [out_h, out_w, out_c] = g.output;
    let all = g.kernel[0] * g.kernel[1];
    let fits = x.len() == in_h * in_w * channels && y.len() == out_h * out_w * channels && out_c == channels;
    if channels == 0
        || !(1..=MAX_TAPS).contains(&all)
        || !fits
        || in_reach(g).is_none()
        || weights.len() != all * channels
        || l.requant.len() != channels
    {
        return None;
    }
    let whole = channels / LANES * LANES;
    // Channels that do not fill a vector have records of their own: the assembler reads 16.
    let mut rest = [Requant { bias: 0, mul: 0 }; LANES];
    rest[..channels - whole].copy_from_slice(&l.requant[whole..]);
    let pairs = !has_lowest(weights);
    let mut taps = Taps { list: [TapOffsets::default(); MAX_TAPS], inside: 0, all };
    // Runs follow the longer axis.
    let along = if out_h > out_w { 0 } else { 1 };
    let x_steps = [in_w * channels * g.stride[0], channels * g.stride[1]];
    let y_steps = [out_w * channels, channels];
    for line in 0..g.output[1 - along] {
        let mut at = 0;
        while at < g.output[along] {
            let pixels = run_len(g, along, at);
            let [row, column] = if along == 0 { [at, line] } else { [line, at] };
            taps.fill(g, row, column);
            let in_row = (row * g.stride[0]) as isize - g.pad[0] as isize;
            let in_column = (column * g.stride[1]) as isize - g.pad[1] as isize;
            let run = Run {
                x: (in_row * in_w as isize + in_column) * channels as isize,
                y: (row * out_w + column) * channels,
                pixels,
                x_step: x_steps[along],
                y_step: y_steps[along],
            };
            let from = |channel: usize, requant: &[Requant], lanes: usize| {
                let records = requant.as_ptr_range().start;
                let count = lanes.div_ceil(LANES) * LANES;
                let pairs = if pairs { taps.inside / 2 } else { 0 };
                Blocks {
                    x: x.as_ptr().wrapping_offset(run.x + channel as isize),
                    y: core::ptr::null_mut(),
                    w: weights[channel..].as_ptr(),
                    blocks: count / LANES,
                    taps: taps.list.as_ptr(),
                    pairs,
                    singles: taps.inside - 2 * pairs,
                    padded: taps.all - taps.inside,
                    records: [0, 4, 8, 12].map(|i| records.wrapping_add(i)),
                    zero_out: l.zero_out,
                    left_shift: l.left_shift,
                    lo: l.lo,
                    hi: l.hi,
                    zero_in: l.zero_in as i32,
                    lanes,
                    x_gap: run.x_step as isize - count as isize,
                    y_gap: run.y_step as isize - count as isize,
                    pixels: run.pixels,
                }
            };
            let y = &mut y[run.y..][..(run.pixels - 1) * run.y_step + channels];
            if whole > 0 {
                let mut blocks = Blocks { y: y.as_mut_ptr(), ..from(0, l.requant, whole) };
                // SAFETY: from the first tap of a window of this run, the offsets of the first `inside` taps lead to
                // the input, those of all taps to the weights, for `whole` channels, and as many records follow the
                // first ones. The results of the run lie in `y`.
                unsafe { full(&mut blocks) };
            }
            if whole < channels {
                let y = y[whole..].as_mut_ptr();
                let mut blocks = Blocks { y, ..from(whole, &rest, channels - whole) };
                // SAFETY: as above, for one block of fewer channels and 16 records.
                unsafe { part(&mut blocks) };
            }
            at += pixels;
        }
    }
    Some(())
}

/// How many output positions from `first` on have the same taps on the input.
fn run_len(g: &Geometry, axis: usize, first: usize) -> usize {
    let taps = valid(g, axis, first);
    let rest = first + 1..g.output[axis];
    1 + rest.take_while(|&next| valid(g, axis, next) == taps).count()
}

impl Taps {
    /// For the window at this output position.
    fn fill(&mut self, g: &Geometry, row: usize, column: usize) {
        let (rows, columns) = (valid(g, 0, row), valid(g, 1, column));
        let [kernel_h, kernel_w] = g.kernel;
        let [_, width, channels] = g.input;
        let x_steps = [g.dilation[0] * width * channels, g.dilation[1] * channels];
        let offsets = |row: usize, column: usize| TapOffsets {
            x: (row * x_steps[0] + column * x_steps[1]) as i32,
            w: ((row * kernel_w + column) * channels) as i32,
        };
        self.inside = rows.len() * columns.len();
        let mut list = self.list[..self.all].iter_mut();
        for row in rows.clone() {
            for column in columns.clone() {
                if let Some(to) = list.next() {
                    *to = offsets(row, column);
                }
            }
        }
        if self.inside < self.all {
            for row in 0..kernel_h {
                for column in 0..kernel_w {
                    if !(rows.contains(&row) && columns.contains(&column))
                        && let Some(to) = list.next()
                    {
                        *to = offsets(row, column);
                    }
                }
            }
        }
    }
}

/// Adds the products in q6 (channels 0, 2, 4, …) and q7 (1, 3, 5, …) to the sums.
macro_rules! accumulate {
    () => {
        "vmovlb.s16 q4, q6
        vmovlt.s16 q5, q6
        vadd.i32 q0, q0, q4
        vmovlb.s16 q4, q7
        vadd.i32 q1, q1, q5
        vmovlt.s16 q5, q7
        vadd.i32 q2, q2, q4
        vadd.i32 q3, q3, q5
        "
    };
}

/// The function for blocks; loads and stores begin with `$pair` or `$one` and have the suffix `$t`.
macro_rules! blocks {
    ($name:ident, $doc:literal, $pair:literal, $one:literal, $t:literal) => {
        #[doc = $doc]
        ///
        /// # Safety
        /// The offsets lead from `x`, from `w` and from each further step of `x` to readable memory for as many
        /// channels as the blocks have; `y` has that many bytes at each of its steps; there are 16 records a block.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(blocks: &mut Blocks) {
            // r0 x, r1 w, r2 taps, r3 offset of the block's records, r4-r7 addresses, r8 y, r9 `blocks`, r10 zero
            // point of the input, r11 blocks left. q0 sums of channels 0, 4, 8, 12; q1 of 2, 6, 10, 14; q2 of
            // 1, 5, 9, 13; q3 of 3, 7, 11, 15.
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "sub sp, sp, #4",
                "vpush {{d8-d15}}",
                "mov r9, r0",
                "ldrd r10, r0, [r9, #64]",
                "vctp.8 r0",
                "ldrd r0, r8, [r9]",
                "1:",
                "ldrd r1, r11, [r9, #8]",
                "mov r3, #0",
                // A block of channels.
                "2:",
                "vldrw.u32 q4, [r9, #32]",
                "ldrd r2, r4, [r9, #16]",
                "vadd.i32 q4, q4, r3",
                "vldrw.u32 q0, [q4]",
                "vldrw.u32 q1, [q4, #16]",
                "vldrw.u32 q2, [q4, #8]",
                "vldrw.u32 q3, [q4, #24]",
                // Pairs of taps on the input.
                "wls lr, r4, 4f",
                "3:",
                "ldm r2!, {{r4-r7}}",
                "add r4, r4, r0",
                "add r5, r5, r1",
                concat!($pair, "vldrb", $t, ".u8 q4, [r4]\n", "vldrb", $t, ".u8 q5, [r5]"),
                "add r6, r6, r0",
                "vmullb.s8 q6, q4, q5",
                "add r7, r7, r1",
                "vmullt.s8 q7, q4, q5",
                concat!($pair, "vldrb", $t, ".u8 q4, [r6]\n", "vldrb", $t, ".u8 q5, [r7]"),
                "vmullb.s8 q5, q4, q5",
                "vadd.i16 q6, q6, q5",
                concat!($one, "vldrb", $t, ".u8 q5, [r7]"),
                "vmullt.s8 q5, q4, q5",
                "vadd.i16 q7, q7, q5",
                accumulate!(),
                "le lr, 3b",
                // Single taps on the input.
                "4:",
                "ldrd r4, r6, [r9, #24]",
                "wls lr, r4, 6f",
                "5:",
                "ldrd r4, r5, [r2], #8",
                "add r4, r4, r0",
                "add r5, r5, r1",
                concat!($pair, "vldrb", $t, ".u8 q4, [r4]\n", "vldrb", $t, ".u8 q5, [r5]"),
                "vmullb.s8 q6, q4, q5",
                "vmullt.s8 q7, q4, q5",
                accumulate!(),
                "le lr, 5b",
                // Taps in the padding.
                "6:",
                "wls lr, r6, 8f",
                "7:",
                "ldrd r4, r5, [r2], #8",
                "vdup.8 q4, r10",
                "add r5, r5, r1",
                concat!($one, "vldrb", $t, ".u8 q5, [r5]"),
                "vmullb.s8 q6, q4, q5",
                "vmullt.s8 q7, q4, q5",
                accumulate!(),
                "le lr, 7b",
                // From sums to bytes.
                "8:",
                "vldrw.u32 q4, [r9, #32]",
                "ldrd r4, r5, [r9, #48]",
                "vadd.i32 q4, q4, r3",
                "vshl.s32 q0, r5",
                "vldrw.u32 q5, [q4, #4]",
                "vshl.s32 q1, r5",
                "vrmulh.s32 q0, q0, q5",
                "vldrw.u32 q5, [q4, #20]",
                "vshl.s32 q2, r5",
                "vrmulh.s32 q1, q1, q5",
                "vldrw.u32 q5, [q4, #12]",
                "vshl.s32 q3, r5",
                "vrmulh.s32 q2, q2, q5",
                "vldrw.u32 q5, [q4, #28]",
                "vadd.i32 q0, q0, r4",
                "vrmulh.s32 q3, q3, q5",
                "vadd.i32 q1, q1, r4",
                "vadd.i32 q2, q2, r4",
                "vadd.i32 q3, q3, r4",
                "ldrd r6, r7, [r9, #56]",
                "vqmovnb.s32 q0, q0",
                "vqmovnt.s32 q0, q1",
                "vqmovnb.s32 q2, q2",
                "vqmovnt.s32 q2, q3",
                "vdup.8 q4, r6",
                "vqmovnb.s16 q0, q0",
                "vqmovnt.s16 q0, q2",
                "vdup.8 q5, r7",
                "vmax.s8 q0, q0, q4",
                "add r0, r0, #16",
                "vmin.s8 q0, q0, q5",
                "add r1, r1, #16",
                concat!($one, "vstrb", $t, ".8 q0, [r8]"),
                "add r8, r8, #16",
                "add r3, r3, #128",
                "subs r11, r11, #1",
                "bne.w 2b",
                // The next pixel.
                "ldrd r4, r5, [r9, #72]",
                "ldr r6, [r9, #80]",
                "add r0, r0, r4",
                "add r8, r8, r5",
                "subs r6, r6, #1",
                "str r6, [r9, #80]",
                "bne.w 1b",
                "vpop {{d8-d15}}",
                "add sp, sp, #4",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

blocks!(full, "Blocks of 16 channels, for each pixel of a run.", "", "", "");
blocks!(part, "A block of fewer channels, for each pixel of a run.", "vpstt\n", "vpst\n", "t");
