//! The taps that one output position sees, as one column of bytes: what makes a convolution a dot product.

use bytemuck::cast_slice;

use super::splat;
use crate::kernels::Geometry;
use crate::kernels::portable::{pixel, taps};

/// Takes bytes in runs of any length and gives them on as whole words, the first byte lowest.
struct Words<F: FnMut(u32)> {
    emit: F,
    /// Bytes that wait for their word, and how many bits they are (0, 8, 16 or 24).
    carry: u32,
    bits: u32,
}

impl<F: FnMut(u32)> Words<F> {
    fn new(emit: F) -> Self {
        Words { emit, carry: 0, bits: 0 }
    }

    /// `count` (1..=4) bytes, the lowest of `bytes`; the others are zero.
    #[inline(always)]
    fn push(&mut self, bytes: u32, count: u32) {
        let word = self.carry | bytes << self.bits;
        let bits = self.bits + 8 * count;
        if bits < 32 {
            (self.carry, self.bits) = (word, bits);
        } else {
            (self.emit)(word);
            // In two steps, because a shift by 32 (there is no carry then) is not defined.
            (self.carry, self.bits) = (bytes >> 1 >> (31 - self.bits), bits - 32);
        }
    }

    #[inline(always)]
    fn run(&mut self, bytes: &[i8]) {
        let (words, rest) = cast_slice::<i8, u8>(bytes).as_chunks::<4>();
        if self.bits == 0 {
            for word in words {
                (self.emit)(u32::from_le_bytes(*word));
            }
        } else {
            for word in words {
                self.push(u32::from_le_bytes(*word), 4);
            }
        }
        for byte in rest {
            self.push(*byte as u32, 1);
        }
    }

    fn fill(&mut self, value: i8, mut count: usize) {
        while count >= 4 {
            self.push(splat(value), 4);
            count -= 4;
        }
        for _ in 0..count {
            self.push(value as u8 as u32, 1);
        }
    }

    /// The last word is filled up with zeros.
    fn finish(mut self) {
        if self.bits > 0 {
            (self.emit)(self.carry);
        }
    }
}

/// The column of an output position where its bytes lie together in the input, nothing of it in the padding.
#[inline(always)]
pub fn contiguous<'x>(g: &Geometry, x: &'x [i8], position: usize) -> Option<&'x [i8]> {
    let [kernel_h, kernel_w] = g.kernel;
    let one_row = kernel_h == 1 && (kernel_w == 1 || g.dilation[1] == 1);
    let whole_rows = kernel_w == g.input[1] && g.dilation == [1, 1];
    if !one_row && !whole_rows {
        return None;
    }
    let (rows, columns) = (taps(g, 0, position / g.output[1]), taps(g, 1, position % g.output[1]));
    if rows.len() < kernel_h || columns.len() < kernel_w {
        return None;
    }
    x.get(pixel(g, position, 0, 0)..)?.get(..kernel_h * kernel_w * g.input[2])
}

/// Gives the column of an output position to `emit`, a word at a time; `zero` stands in the padding.
#[inline(always)]
pub fn gather(g: &Geometry, zero: i8, x: &[i8], position: usize, emit: impl FnMut(u32)) {
    let mut words = Words::new(emit);
    if let Some(column) = contiguous(g, x, position) {
        words.run(column);
        return words.finish();
    }
    let [kernel_h, kernel_w] = g.kernel;
    let channels = g.input[2];
    let (rows, columns) = (taps(g, 0, position / g.output[1]), taps(g, 1, position % g.output[1]));
    // Neighbouring taps of a row are neighbours in memory unless they are dilated.
    let joined = if g.dilation[1] == 1 { columns.len().max(1) } else { 1 };
    for row in 0..kernel_h {
        if !rows.contains(&row) {
            words.fill(zero, kernel_w * channels);
            continue;
        }
        words.fill(zero, columns.start * channels);
        for column in columns.clone().step_by(joined) {
            words.run(&x[pixel(g, position, row, column)..][..joined * channels]);
        }
        words.fill(zero, (kernel_w - columns.end) * channels);
    }
    words.finish();
}
