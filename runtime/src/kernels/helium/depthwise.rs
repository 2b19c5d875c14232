//! Depthwise convolution: 16 channels of one pixel at a time, all taps.
//!
//! Products of bytes are 16 bits wide, and the sum of two of them still is unless both weights are -128; so taps are
//! taken in pairs, and widened to 32 bits once a pair. Which taps of a window lie on the input is the same along a
//! run of pixels; a list of their offsets serves all channels of a run.
//!
//! Where 2, 4, 8 or 16 pixels fill a vector, they are taken for one with 16 channels.

use core::arch::{asm, naked_asm};
use core::mem::MaybeUninit;
use core::ops::Range;

use super::columns::has_lowest;
use crate::format::Requant;
use crate::kernels::{Geometry, Layer};

/// Channels of a vector.
const LANES: usize = 16;
/// Larger windows are left to the portable kernel; what is prepared of their taps lies on the stack.
const MAX_TAPS: usize = 64;

/// Byte offsets of a tap: in the input from the window's first tap (which may lie in the padding), and in the weights.
#[derive(Clone, Copy)]
#[repr(C)]
struct TapOffsets {
    x: i32,
    w: i32,
}

/// What [`full`] and [`part`] get. The assembler knows the offsets of these fields.
#[derive(Clone, Copy)]
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
    let [_, in_w, channels] = g.input;
    let [out_h, out_w, out_c] = g.output;
    if !g.fits(x, y) || out_c != channels || l.requant.len() != channels {
        return None;
    }
    let all = g.kernel[0] * g.kernel[1];
    if all > MAX_TAPS || weights.len() != all * channels {
        return None;
    }
    let whole = channels / LANES * LANES;
    let rest = channels - whole;
    let joined = if whole == 0 && LANES.is_multiple_of(channels) && g.stride[1] == 1 { LANES / channels } else { 1 };
    // Channels that do not fill a vector have records of their own, for the assembler reads 16.
    let mut requant = [Requant { bias: 0, mul: 0 }; LANES];
    for (to, i) in requant.iter_mut().zip(whole..whole + rest * joined) {
        *to = l.requant[if joined > 1 { i % channels } else { i }];
    }
    let mut spread;
    let (w, w_step) = if joined > 1 {
        spread = [[0; LANES]; MAX_TAPS];
        spread_weights(&mut spread[..all], weights, channels);
        (spread.as_ptr().cast(), LANES)
    } else {
        (weights.as_ptr(), channels)
    };
    let mut taps = Taps::new(g, w_step, !has_lowest(weights));
    let list = taps.list.as_ptr().cast();
    let blocks = |first: usize, count: usize, lanes: usize, pixels: usize, requant: &[Requant]| {
        let records = requant.as_ptr();
        Blocks {
            x: x.as_ptr(),
            y: core::ptr::null_mut(),
            w: w.wrapping_add(first),
            blocks: count,
            taps: list,
            pairs: 0,
            singles: 0,
            padded: 0,
            records: [0, 4, 8, 12].map(|i| records.wrapping_add(i)),
            zero_out: l.zero_out,
            left_shift: l.left_shift,
            lo: l.lo,
            hi: l.hi,
            zero_in: l.zero_in as i32,
            lanes,
            x_gap: (pixels * channels * g.stride[1]) as isize - (count * LANES) as isize,
            y_gap: (pixels * channels) as isize - (count * LANES) as isize,
            pixels: 0,
        }
    };
    let mut full_blocks = blocks(
        0,
        if joined > 1 { 1 } else { whole / LANES },
        LANES,
        joined,
        if joined > 1 { &requant } else { l.requant },
    );
    let mut part_block = blocks(whole, 1, rest, 1, &requant);

    let inner = g.inside(1);
    for row in 0..out_h {
        let rows = g.valid_taps(0, row);
        let x_row = ((row * g.stride[0]) as isize - g.pad[0] as isize) * in_w as isize - g.pad[1] as isize;
        let mut column = 0;
        while column < out_w {
            let pixels = if inner.contains(&column) { inner.end.min(out_w) - column } else { 1 };
            taps.fill(rows.clone(), g.valid_taps(1, column));
            let x_at = (x_row + (column * g.stride[1]) as isize) * channels as isize;
            let y = &mut y[(row * out_w + column) * channels..][..pixels * channels];
            column += pixels;

            let wide = if joined > 1 {
                pixels / joined
            } else if whole > 0 {
                pixels
            } else {
                0
            };
            if wide > 0 {
                taps.describe(&mut full_blocks);
                full_blocks.x = x.as_ptr().wrapping_offset(x_at);
                full_blocks.y = y.as_mut_ptr();
                full_blocks.pixels = wide;
                // SAFETY: from the first tap of a window of this run, the offsets of the first `inside` taps lead to
                // the input, those of all taps to the weights, for `whole` channels or those of `joined` pixels; and
                // as many records follow the first ones. The results of the run lie in `y`.
                unsafe { full(&mut full_blocks) };
            }
            let done = wide * joined * (joined > 1) as usize;
            if rest > 0 && done < pixels {
                taps.describe(&mut part_block);
                part_block.x = x.as_ptr().wrapping_offset(x_at + (done * channels * g.stride[1] + whole) as isize);
                part_block.y = y[done * channels + whole..].as_mut_ptr();
                part_block.pixels = pixels - done;
                // SAFETY: as above, for one block of fewer channels, and 16 records.
                unsafe { part(&mut part_block) };
            }
        }
    }
    Some(())
}

/// The taps of a window, those on the input first.
struct Taps<'a> {
    g: &'a Geometry,
    /// Set up to the number of taps once it is filled.
    list: [MaybeUninit<TapOffsets>; MAX_TAPS],
    inside: usize,
    all: usize,
    x_steps: [usize; 2],
    w_step: usize,
    in_pairs: bool,
}

impl<'a> Taps<'a> {
    fn new(g: &'a Geometry, w_step: usize, in_pairs: bool) -> Self {
        let [_, width, channels] = g.input;
        Taps {
            g,
            list: [const { MaybeUninit::uninit() }; MAX_TAPS],
            inside: 0,
            all: g.kernel[0] * g.kernel[1],
            x_steps: [g.dilation[0] * width * channels, g.dilation[1] * channels],
            w_step,
            in_pairs,
        }
    }

    /// For windows of which these rows and columns of taps lie on the input.
    #[inline(always)]
    fn fill(&mut self, rows: Range<usize>, columns: Range<usize>) {
        let [kernel_h, kernel_w] = self.g.kernel;
        self.inside = rows.len() * columns.len();
        self.put(0, &rows, &columns);
        if self.inside < self.all {
            let mut at = self.inside;
            for (rows, columns) in [
                (0..rows.start, 0..kernel_w),
                (rows.clone(), 0..columns.start),
                (rows.clone(), columns.end..kernel_w),
                (rows.end..kernel_h, 0..kernel_w),
            ] {
                self.put(at, &rows, &columns);
                at += rows.len() * columns.len();
            }
        }
    }

    /// Taps from place `at` of the list on.
    fn put(&mut self, at: usize, rows: &Range<usize>, columns: &Range<usize>) {
        let mut list = self.list.get_mut(at..).unwrap_or_default().iter_mut();
        for row in rows.start..rows.end {
            let mut x = row * self.x_steps[0] + columns.start * self.x_steps[1];
            let mut w = (row * self.g.kernel[1] + columns.start) * self.w_step;
            for to in list.by_ref().take(columns.len()) {
                to.write(TapOffsets { x: x as i32, w: w as i32 });
                x += self.x_steps[1];
                w += self.w_step;
            }
        }
    }

    #[inline(always)]
    fn describe(&self, blocks: &mut Blocks) {
        blocks.pairs = if self.in_pairs { self.inside / 2 } else { 0 };
        blocks.singles = self.inside - 2 * blocks.pairs;
        blocks.padded = self.all - self.inside;
    }
}

/// Weights of fewer than 16 channels, as often as they fit into a vector. There are `channels` for each of `to`.
fn spread_weights(to: &mut [[i8; LANES]], weights: &[i8], channels: usize) {
    assert!(to.len() * channels == weights.len() && (1..=LANES).contains(&channels) && !to.is_empty());
    let offsets: [u8; LANES] = core::array::from_fn(|lane| (lane % channels) as u8);
    // SAFETY: the loop reads at offsets below `channels` from the weights of each tap, and writes a vector for each.
    unsafe {
        asm!(
            "vldrb.u8 q0, [{offsets}]",
            "dls lr, {taps}",
            "2:",
            "vldrb.u8 q1, [{w}, q0]",
            "add {w}, {w}, {channels}",
            "vstrb.8 q1, [{to}], #16",
            "le lr, 2b",
            offsets = in(reg) offsets.as_ptr(), taps = in(reg) to.len(), w = inout(reg) weights.as_ptr() => _,
            channels = in(reg) channels, to = inout(reg) to.as_mut_ptr() => _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, options(nostack),
        );
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
                "cbz r5, 9f",
                "vshl.s32 q0, r5",
                "vshl.s32 q1, r5",
                "vshl.s32 q2, r5",
                "vshl.s32 q3, r5",
                "9:",
                "vldrw.u32 q5, [q4, #4]",
                "vrmulh.s32 q0, q0, q5",
                "vldrw.u32 q5, [q4, #20]",
                "vrmulh.s32 q1, q1, q5",
                "vldrw.u32 q5, [q4, #12]",
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
