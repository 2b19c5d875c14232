//! Maximum and mean over a window, four channels at a time.

use core::arch::asm;

use bytemuck::{cast_slice, cast_slice_mut};

use super::max4;
use crate::kernels::portable::{Window, runs_mut};
use crate::kernels::{Geometry, Layer};
use crate::quant;

/// So many values of int8 add up in 16 bits.
const MAX_TAPS: usize = 255;

/// Maximum over the valid taps.
pub fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
    let channels = g.output[2];
    for (position, y) in runs_mut(y, channels).enumerate() {
        let window = Window::new(g, position);
        y.fill(i8::MIN);
        let (y, y_rest) = cast_slice_mut::<i8, u8>(y).as_chunks_mut::<4>();
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let Some(x) = x.get(window.at(row, column)..).and_then(|x| x.get(..channels)) else { return };
                let (x, x_rest) = cast_slice::<i8, u8>(x).as_chunks::<4>();
                for (y, x) in y.iter_mut().zip(x) {
                    *y = max4(u32::from_ne_bytes(*y), u32::from_ne_bytes(*x)).to_ne_bytes();
                }
                for (y, x) in y_rest.iter_mut().zip(x_rest) {
                    *y = (*y as i8).max(*x as i8) as u8;
                }
            }
        }
    }
}

/// Mean over the valid taps. `None` when the shape is not for this kernel; what has been written then has to be
/// written again.
#[inline(never)]
pub fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) -> Option<()> {
    let channels = g.output[2];
    if channels < 4 || g.kernel[0].checked_mul(g.kernel[1])? > MAX_TAPS {
        return None;
    }
    for (position, y) in runs_mut(y, channels).enumerate() {
        let window = Window::new(g, position);
        let (rows, columns) = (window.rows.clone(), window.columns.clone());
        let r = l.requant.get((rows.len() * columns.len()).checked_sub(count_base)?)?;
        let mut channel = 0;
        loop {
            // Channels 0 and 2, and 1 and 3, in the halves of a word.
            let mut sums = [0; 2];
            for row in rows.clone() {
                // One tap after the other; dilated ones lie further apart.
                let taps = x.get(window.at(row, columns.start).wrapping_add(channel)..)?;
                add_taps(&mut sums, taps, channels * g.dilation[1], columns.len())?;
            }
            let [even, odd] = sums;
            let values = [even as i16, odd as i16, (even >> 16) as i16, (odd >> 16) as i16];
            for (y, value) in y.get_mut(channel..)?.iter_mut().zip(values) {
                let acc = (value as i32).wrapping_add(r.bias);
                *y = quant::requantise(acc, l.left_shift, r.mul, l.zero_out, l.lo, l.hi);
            }
            if channel + 4 == channels {
                break;
            }
            // The last four of a number of channels that is no multiple of four overlap those before.
            channel = (channel + 4).min(channels - 4);
        }
    }
    Some(())
}

/// Of `count` words, `step` bytes apart: adds bytes 0 and 2 to the halves of the first sum, bytes 1 and 3 to those
/// of the second. `None` when they do not lie in `x`.
#[inline(always)]
fn add_taps(sums: &mut [u32; 2], x: &[i8], step: usize, count: usize) -> Option<()> {
    let Some(last) = count.checked_sub(1) else { return Some(()) };
    if last.checked_mul(step)?.checked_add(4)? > x.len() {
        return None;
    }
    let [even, odd] = sums;
    // SAFETY: the last of the words, of which there is at least one, ends in `x`.
    unsafe {
        asm!(
            "2:",
            "ldr {word}, [{x}]",
            "add {x}, {x}, {step}",
            "sxtab16 {even}, {even}, {word}",
            "sxtab16 {odd}, {odd}, {word}, ror #8",
            "subs {count}, {count}, #1",
            "bne 2b",
            x = inout(reg) x.as_ptr() => _, step = in(reg) step, count = inout(reg) count => _,
            word = out(reg) _, even = inout(reg) *even, odd = inout(reg) *odd,
            options(readonly, nostack),
        );
    }
    Some(())
}
