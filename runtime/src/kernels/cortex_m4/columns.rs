//! The taps that one output position sees, as one column of bytes: what makes a convolution a dot product.

use core::ops::Range;

use bytemuck::cast_slice;

use super::{splat, widen};
use crate::kernels::Geometry;
use crate::kernels::portable::taps;

/// Four taps of two pixels, widened: pixel 0 taps (0, 2), (1, 3), then pixel 1.
pub type Group = [u32; 4];

/// Takes a column piece by piece.
pub trait Sink {
    /// Bytes of the input.
    fn run(&mut self, bytes: &[i8]);
    /// Padding.
    fn fill(&mut self, value: i8, count: usize);
}

/// The windows of a convolution, one output position after the other.
pub struct Windows<'a> {
    g: &'a Geometry,
    x: &'a [i8],
    /// The input's zero point, which stands in the padding.
    zero: i8,
    /// Bytes of a column.
    k: usize,
    /// Bytes of the input from a row of taps to the next.
    row_step: usize,
    /// A column that is wholly inside lies together in the input.
    together: bool,
    row: usize,
    column: usize,
    /// The taps of the current row that lie on the input.
    rows: Range<usize>,
}

/// A window at one output position: which of its taps lie on the input, and where the first of these does.
pub struct Window {
    rows: Range<usize>,
    columns: Range<usize>,
    start: usize,
}

impl<'a> Windows<'a> {
    /// From the output position of this index on.
    pub fn from(g: &'a Geometry, zero: i8, x: &'a [i8], position: usize) -> Self {
        let [kernel_h, kernel_w] = g.kernel;
        let row = position / g.output[1];
        let one_row = kernel_h == 1 && (kernel_w == 1 || g.dilation[1] == 1);
        let whole_rows = kernel_w == g.input[1] && g.dilation == [1, 1];
        Windows {
            g,
            x,
            zero,
            k: kernel_h * kernel_w * g.input[2],
            row_step: g.dilation[0] * g.input[1] * g.input[2],
            together: one_row || whole_rows,
            row,
            column: position % g.output[1],
            rows: valid(g, 0, row),
        }
    }

    /// The next position. There is no end: the caller counts.
    #[inline(always)]
    pub fn next(&mut self) -> Window {
        let g = self.g;
        if self.column == g.output[1] {
            (self.row, self.column) = (self.row + 1, 0);
            self.rows = valid(g, 0, self.row);
        }
        let columns = valid(g, 1, self.column);
        let row = self.row * g.stride[0] + self.rows.start * g.dilation[0] - g.pad[0];
        let column = self.column * g.stride[1] + columns.start * g.dilation[1] - g.pad[1];
        self.column += 1;
        Window { rows: self.rows.clone(), columns, start: (row * g.input[1] + column) * g.input[2] }
    }

    /// The column where its bytes lie together in the input.
    #[inline(always)]
    pub fn contiguous(&self, window: &Window) -> Option<&'a [i8]> {
        if !self.together || !self.inside(window) {
            return None;
        }
        self.x.get(window.start..)?.get(..self.k)
    }

    /// Gives the column to a sink.
    #[inline(always)]
    pub fn gather(&self, window: &Window, sink: &mut impl Sink) {
        if let Some(column) = self.contiguous(window) {
            sink.run(column);
        } else if self.inside(window) && self.g.dilation[1] == 1 {
            let run_len = self.g.kernel[1] * self.g.input[2];
            let mut start = window.start;
            for _ in 0..self.g.kernel[0] {
                sink.run(&self.x[start..][..run_len]);
                start += self.row_step;
            }
        } else {
            self.gather_padded(window, sink);
        }
    }

    fn inside(&self, window: &Window) -> bool {
        window.rows.len() == self.g.kernel[0] && window.columns.len() == self.g.kernel[1]
    }

    #[inline(never)]
    fn gather_padded(&self, window: &Window, sink: &mut impl Sink) {
        let (channels, [kernel_h, kernel_w], dilation) = (self.g.input[2], self.g.kernel, self.g.dilation[1]);
        let Window { rows, columns, .. } = window;
        // Neighbouring taps of a row are neighbours in memory unless they are dilated.
        let (runs, run_len) = if dilation == 1 { (1, columns.len() * channels) } else { (columns.len(), channels) };
        sink.fill(self.zero, rows.start * kernel_w * channels);
        for row in 0..rows.len() {
            sink.fill(self.zero, columns.start * channels);
            for run in 0..runs {
                sink.run(&self.x[window.start + row * self.row_step + run * dilation * channels..][..run_len]);
            }
            sink.fill(self.zero, (kernel_w - columns.end) * channels);
        }
        sink.fill(self.zero, (kernel_h - rows.end) * kernel_w * channels);
    }
}

/// The taps of output row or column `out` that lie on the input: [`taps`], but without divisions where no tap lies in the padding.
#[inline(always)]
pub fn valid(g: &Geometry, axis: usize, out: usize) -> Range<usize> {
    let start = out * g.stride[axis];
    let extent = (g.kernel[axis] - 1) * g.dilation[axis] + 1;
    if start >= g.pad[axis] && start + extent <= g.input[axis] + g.pad[axis] {
        0..g.kernel[axis]
    } else {
        taps(g, axis, out)
    }
}

/// A column as it is.
pub struct Bytes<'a>(pub &'a mut [i8]);

impl Bytes<'_> {
    fn take(&mut self, count: usize) -> &mut [i8] {
        self.0.split_off_mut(..count).unwrap_or_default()
    }
}

impl Sink for Bytes<'_> {
    fn run(&mut self, bytes: &[i8]) {
        self.take(bytes.len()).copy_from_slice(bytes);
    }

    fn fill(&mut self, value: i8, count: usize) {
        self.take(count).fill(value);
    }
}

/// A column as pixel `P` of groups, widened. Runs of any length are put together to whole words on the way.
pub struct Widened<'a, const P: usize> {
    groups: &'a mut [Group],
    at: usize,
    /// Bytes that wait for their word, and how many bits they are (0, 8, 16 or 24).
    carry: u32,
    bits: u32,
}

impl<'a, const P: usize> Widened<'a, P> {
    pub fn new(groups: &'a mut [Group]) -> Self {
        Widened { groups, at: 0, carry: 0, bits: 0 }
    }

    /// A column in one piece.
    pub fn whole(mut self, bytes: &[i8]) {
        self.run(bytes);
        self.finish();
    }

    /// The last word is filled up with zeros.
    pub fn finish(self) {
        if self.bits > 0 {
            set::<P>(&mut self.groups[self.at], self.carry);
        }
    }

    /// One to three bytes, the lowest of `bytes`; the others are zero.
    #[inline(always)]
    fn push(&mut self, bytes: u32, count: u32) {
        let word = self.carry | bytes << self.bits;
        let bits = self.bits + 8 * count;
        if bits < 32 {
            (self.carry, self.bits) = (word, bits);
        } else {
            set::<P>(&mut self.groups[self.at], word);
            // There is a carry: fewer than four bytes came.
            (self.carry, self.bits) = (bytes >> (32 - self.bits), bits - 32);
            self.at += 1;
        }
    }
}

impl<const P: usize> Sink for Widened<'_, P> {
    #[inline(always)]
    fn run(&mut self, bytes: &[i8]) {
        let (words, rest) = cast_slice::<i8, u8>(bytes).as_chunks::<4>();
        let groups = &mut self.groups[self.at..][..words.len()];
        self.at += words.len();
        if self.bits == 0 {
            for (group, word) in groups.iter_mut().zip(words) {
                set::<P>(group, u32::from_le_bytes(*word));
            }
        } else {
            for (group, word) in groups.iter_mut().zip(words) {
                let word = u32::from_le_bytes(*word);
                set::<P>(group, self.carry | word << self.bits);
                self.carry = word >> (32 - self.bits);
            }
        }
        if !rest.is_empty() {
            self.push(rest.iter().rev().fold(0, |word, &byte| word << 8 | byte as u32), rest.len() as u32);
        }
    }

    #[inline(always)]
    fn fill(&mut self, value: i8, count: usize) {
        if count > 0 {
            self.pad(value, count);
        }
    }
}

impl<const P: usize> Widened<'_, P> {
    #[inline(never)]
    fn pad(&mut self, value: i8, count: usize) {
        let word = splat(value);
        for group in &mut self.groups[self.at..][..count / 4] {
            set::<P>(group, self.carry | word << self.bits);
            self.carry = if self.bits == 0 { 0 } else { word >> (32 - self.bits) };
        }
        self.at += count / 4;
        let rest = (count % 4) as u32;
        if rest > 0 {
            self.push(word >> (32 - 8 * rest), rest);
        }
    }
}

#[inline(always)]
fn set<const P: usize>(group: &mut Group, word: u32) {
    let [even, odd] = widen(word);
    group[2 * P] = even;
    group[2 * P + 1] = odd;
}
