//! Depthwise convolution with a window of 3 × 3: four channels at a time, along lines of output pixels.
//!
//! Three taps across the line are a *column*. It is widened once, its first two taps as the two halves of one
//! word per channel, and serves all windows along the line that it lies in: a column of a window then takes 8
//! multiplications of two or one products. Lines run along the longer axis.

use core::arch::naked_asm;

use bytemuck::Zeroable;

use super::{splat, widen};
use crate::format::Requant;
use crate::kernels::{Geometry, Layer};

/// Four channels: taps 0 and 1 of each, then tap 2 of channels 0 and 2, and of 1 and 3.
type Column = [u32; 6];

/// Columns that are widened at a time, on the stack.
const COLUMNS: usize = 18;

/// Weights and requantisation of four channels. The assembler knows the layout.
#[derive(Clone, Copy, Zeroable)]
#[repr(C)]
struct Filter {
    bias: [i32; 4],
    columns: [Column; 3],
    mul: [i32; 4],
    zero_out: i32,
    left_shift: u32,
}

/// Steps in bytes, along the line and across it.
#[derive(Clone, Copy)]
struct Steps {
    along: usize,
    across: usize,
}

/// What [`outputs`] gets. The assembler knows the offsets of these fields.
#[repr(C)]
struct Outputs {
    columns: *const Column,
    filter: *const Filter,
    /// Bytes from the end of a window to the start of the next one.
    back: isize,
    y: *mut i8,
    y_step: usize,
    /// That many steps from `y` as there are windows (at least one).
    y_end: *mut i8,
}

/// `None` when the shape is not for this kernel; what has been written then has to be written again.
#[inline(never)]
pub fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) -> Option<()> {
    let weights = l.weights.dense()?;
    let [in_h, in_w, channels] = g.input;
    let [out_h, out_w, out_c] = g.output;
    // Of height and width, that along the lines and that across them.
    let axes = |of: [usize; 2]| if out_h > out_w { of } else { [of[1], of[0]] };
    let ([in_along, in_across], [out_along, out_across]) = (axes([in_h, in_w]), axes([out_h, out_w]));
    let ([stride, stride_across], [pad, pad_across]) = (axes(g.stride), axes(g.pad));
    if !g.fits(x, y)
        || out_c != channels
        || g.kernel != [3, 3]
        || g.dilation != [1, 1]
        || in_across < 3
        || channels < 4
        || weights.len() != 9 * channels
        || l.requant.len() != channels
    {
        return None;
    }
    let steps = |width: usize| {
        let [along, across] = axes([width * channels, channels]);
        Steps { along, across }
    };
    let (x_steps, y_steps, w_steps) = (steps(in_w), steps(out_w), steps(3));
    let (pad, length) = (pad as isize, in_along as isize);
    let most = (COLUMNS - 3).checked_div(stride)? + 1;
    let padding: Column = [widen(splat(l.zero_in))[0]; 6];
    let mut columns = [padding; COLUMNS];
    let mut whole = Filter { zero_out: l.zero_out, left_shift: l.left_shift, ..Filter::zeroed() };
    let mut edge = whole;
    let mut at = 0;
    while at < out_along {
        let windows = most.min(out_along - at);
        let count = (windows - 1) * stride + 3;
        let first = (at * stride) as isize - pad;
        // Columns in the padding are the same for all lines and channels.
        let before = (-first).min(count as isize).max(0) as usize;
        let end = (length - first).min(count as isize).max(before as isize) as usize;
        let (columns, _) = columns.split_at_mut_checked(count)?;
        for column in columns.iter_mut().take(before) {
            *column = padding;
        }
        for column in columns.iter_mut().skip(end) {
            *column = padding;
        }
        let x_first = (first + before as isize) as usize * x_steps.along;
        let mut channel = 0;
        loop {
            whole.set(l.requant.get(channel..)?.first_chunk()?, weights.get(channel..)?, w_steps);
            let mut edge_shift = 0;
            for line in 0..out_across {
                let start = (line * stride_across) as isize - pad_across as isize;
                // Three lines of the input always; taps in the padding have weights of zero there.
                let base = start.min(in_across as isize - 3).max(0);
                let shift = base - start;
                if shift != 0 && shift != edge_shift {
                    whole.shift(&mut edge, shift, l.zero_in);
                    edge_shift = shift;
                }
                let filter = if shift == 0 { &whole } else { &edge };
                if end > before {
                    let from = base as usize * x_steps.across + x_first + channel;
                    widen_columns(x.get(from..)?, x_steps, columns.get_mut(before..end)?);
                }
                let to = line * y_steps.across + at * y_steps.along + channel;
                run(filter, columns, stride, y.get_mut(to..)?, y_steps.along, windows);
            }
            if channel + 4 == channels {
                break;
            }
            // The last four of a number of channels that is no multiple of four overlap those before.
            channel = (channel + 4).min(channels - 4);
        }
        at += windows;
    }
    Some(())
}

impl Filter {
    /// That of the first four channels.
    fn set(&mut self, requant: &[Requant; 4], weights: &[i8], steps: Steps) {
        widen_columns(weights, steps, &mut self.columns);
        for ((bias, mul), r) in self.bias.iter_mut().zip(&mut self.mul).zip(requant) {
            (*bias, *mul) = (r.bias, r.mul);
        }
    }

    /// Into `filter`, with tap `k + by` where tap `k` was. The taps that drop out meet the zero point, which goes into the bias.
    #[inline(never)]
    fn shift(&self, filter: &mut Self, by: isize, zero: i8) {
        (filter.bias, filter.columns, filter.mul) = (self.bias, self.columns, self.mul);
        for _ in 0..by.unsigned_abs().min(3) {
            for column in &mut filter.columns {
                let [a, b, c, d, even, odd] = *column;
                // Taps 0 and 1 (or 1 and 2) of two channels become a tap of both.
                let first = [a & 0xffff | c << 16, b & 0xffff | d << 16];
                let second = [a >> 16 | c & 0xffff_0000, b >> 16 | d & 0xffff_0000];
                let last = [even, odd];
                let (new, dropped) =
                    if by > 0 { ([second, last, [0; 2]], first) } else { ([[0; 2], first, second], last) };
                let [[p0, q0], [p1, q1], [p2, q2]] = new;
                *column = [
                    p0 & 0xffff | p1 << 16,
                    q0 & 0xffff | q1 << 16,
                    p0 >> 16 | p1 & 0xffff_0000,
                    q0 >> 16 | q1 & 0xffff_0000,
                    p2,
                    q2,
                ];
                let [even, odd] = dropped;
                let weights = [even as i16, odd as i16, (even >> 16) as i16, (odd >> 16) as i16];
                for (bias, w) in filter.bias.iter_mut().zip(weights) {
                    *bias = bias.wrapping_add(zero as i32 * w as i32);
                }
            }
        }
    }
}

/// Columns next to each other, from three lines of `x` on.
fn widen_columns(x: &[i8], steps: Steps, columns: &mut [Column]) {
    let Some(last) = columns.len().checked_sub(1) else { return };
    if last * steps.along + 2 * steps.across + 4 > x.len() {
        return;
    }
    let columns = columns.as_mut_ptr_range();
    // SAFETY: there is at least one column, and the last word of the last one lies in `x`.
    unsafe { widen_three(x.as_ptr(), steps.across, steps.along, columns.start, columns.end) }
}

/// The outputs of windows that begin `stride` columns apart, `y_step` bytes apart.
fn run(filter: &Filter, columns: &[Column], stride: usize, y: &mut [i8], y_step: usize, windows: usize) {
    let Some(last) = windows.checked_sub(1) else { return };
    if last * stride + 3 > columns.len() || last * y_step + 4 > y.len() {
        return;
    }
    // SAFETY: there is at least one window; the columns of the last one are there, and its place in `y`.
    unsafe {
        outputs(Outputs {
            columns: columns.as_ptr(),
            filter,
            back: (stride as isize - 3) * size_of::<Column>() as isize,
            y: y.as_mut_ptr(),
            y_step,
            y_end: y.as_mut_ptr().wrapping_add(windows * y_step),
        });
    }
}

/// # Safety
/// From `x` on, at each of as many steps of `along` as there are columns up to `end` (at least one), there are words
/// at 0, 1 and 2 steps of `across`.
#[unsafe(naked)]
unsafe extern "C" fn widen_three(x: *const i8, across: usize, along: usize, columns: *mut Column, end: *mut Column) {
    naked_asm!(
        with_dsp!(),
        "push {{r4-r11, lr}}",
        "ldr r12, [sp, #36]",
        "1:",
        "ldr r4, [r0]",
        "ldr r5, [r0, r1]",
        "ldr r8, [r0, r1, lsl #1]",
        "add r0, r0, r2",
        "sxtb16 r6, r4",
        "sxtb16 r7, r4, ror #8",
        "sxtb16 r10, r5",
        "sxtb16 r11, r5, ror #8",
        "pkhbt r4, r6, r10, lsl #16",
        "pkhtb r6, r10, r6, asr #16",
        "pkhbt r5, r7, r11, lsl #16",
        "pkhtb r7, r11, r7, asr #16",
        "sxtb16 r9, r8, ror #8",
        "sxtb16 r8, r8",
        "stm r3!, {{r4-r9}}",
        "cmp r3, r12",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// # Safety
/// The pointers bound memory as the fields say.
#[unsafe(naked)]
unsafe extern "C" fn outputs(outputs: Outputs) {
    // r0 columns, r1 filter, r4-r7 accumulators of channels 0-3, r8-r11 values, r2, r3, r12 and lr weights. The
    // words of `outputs` lie together behind nine saved registers, see conv_rows.rs.
    naked_asm!(
        with_dsp!(),
        "push {{r0-r3}}",
        "push {{r4-r11, lr}}",
        "1:",
        "ldm r1!, {{r4-r7}}",
        ".rept 3",
        "ldm r0!, {{r8-r11}}",
        "ldm r1!, {{r2, r3, r12, lr}}",
        "smlad r4, r8, r2, r4",
        "smlad r5, r9, r3, r5",
        "smlad r6, r10, r12, r6",
        "smlad r7, r11, lr, r7",
        "ldrd r8, r9, [r0], #8",
        "ldrd r2, r3, [r1], #8",
        "smlabb r4, r8, r2, r4",
        "smlatt r6, r8, r2, r6",
        "smlabb r5, r9, r3, r5",
        "smlatt r7, r9, r3, r7",
        ".endr",
        "ldm r1!, {{r8-r11}}",
        "ldrd r2, r3, [r1], #-104",
        requantise!("r4", "r8", "r2", "r3"),
        requantise!("r5", "r9", "r2", "r3"),
        requantise!("r6", "r10", "r2", "r3"),
        requantise!("r7", "r11", "r2", "r3"),
        "ldrd r2, r12, [sp, #44]",
        "ldrd r3, lr, [sp, #52]",
        "add r0, r0, r2",
        "strb r4, [r12]",
        "strb r5, [r12, #1]",
        "strb r6, [r12, #2]",
        "strb r7, [r12, #3]",
        "add r12, r12, r3",
        "str r12, [sp, #48]",
        "cmp r12, lr",
        "bne 1b",
        "pop {{r4-r11, lr}}",
        "add sp, sp, #16",
        "bx lr",
    )
}
