//! The taps that one output position sees, as one column of bytes: what makes a convolution a dot product.

use core::arch::asm;
use core::ops::Range;

use bytemuck::cast_slice;

use super::{splat, widen};
use crate::kernels::Geometry;

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

/// Runs of the input, one for each row of a column that lies on it, and their places in the column.
pub struct Block<'a> {
    /// Where the first run begins, and how many bytes they are apart.
    pub from: &'a [i8],
    pub step: usize,
    /// How many there are, and bytes of each.
    pub rows: usize,
    pub len: usize,
    /// The first one's place, and bytes from place to place.
    pub to: usize,
    pub to_step: usize,
    /// Whether they are the whole column; otherwise its other bytes are `zero`.
    pub whole: bool,
    /// Bytes of the column.
    pub k: usize,
    pub zero: i8,
}

impl<'a> Windows<'a> {
    /// From the output position of this index on.
    pub fn from(g: &'a Geometry, zero: i8, x: &'a [i8], position: usize) -> Self {
        let [kernel_h, kernel_w] = g.kernel;
        let row = position.checked_div(g.output[1]).unwrap_or(0);
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
            column: position - row * g.output[1],
            rows: g.valid_taps(0, row),
        }
    }

    /// The next position. There is no end: the caller counts.
    #[inline(always)]
    pub fn next(&mut self) -> Window {
        let g = self.g;
        if self.column == g.output[1] {
            (self.row, self.column) = (self.row + 1, 0);
            self.rows = g.valid_taps(0, self.row);
        }
        let columns = g.valid_taps(1, self.column);
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

    /// The rows of a column where their taps are neighbours in memory.
    #[inline(always)]
    pub fn block(&self, window: &Window) -> Option<Block<'a>> {
        let g = self.g;
        if g.dilation[1] != 1 {
            return None;
        }
        let whole = self.inside(window);
        let (row, channels) = (g.kernel[1] * g.input[2], g.input[2]);
        let (rows, len) =
            if whole && self.together { (1, self.k) } else { (window.rows.len(), window.columns.len() * channels) };
        let from = if whole || rows * len > 0 { self.x.get(window.start..)? } else { &[] };
        let to = if whole { 0 } else { window.rows.start * row + window.columns.start * channels };
        Some(Block { from, step: self.row_step, rows, len, to, to_step: row, whole, k: self.k, zero: self.zero })
    }

    /// A run of the input; there is always one there.
    #[inline(always)]
    fn piece(&self, start: usize, len: usize) -> &'a [i8] {
        self.x.get(start..).and_then(|x| x.get(..len)).unwrap_or_default()
    }

    fn inside(&self, window: &Window) -> bool {
        window.rows.len() == self.g.kernel[0] && window.columns.len() == self.g.kernel[1]
    }

    /// Gives the column to a sink.
    #[inline(never)]
    pub fn gather(&self, window: &Window, sink: &mut impl Sink) {
        let (channels, [kernel_h, kernel_w], dilation) = (self.g.input[2], self.g.kernel, self.g.dilation[1]);
        let Window { rows, columns, .. } = window;
        // Neighbouring taps of a row are neighbours in memory unless they are dilated.
        let (runs, run_len) = if dilation == 1 { (1, columns.len() * channels) } else { (columns.len(), channels) };
        sink.fill(self.zero, rows.start * kernel_w * channels);
        for row in 0..rows.len() {
            sink.fill(self.zero, columns.start * channels);
            for run in 0..runs {
                sink.run(self.piece(window.start + row * self.row_step + run * dilation * channels, run_len));
            }
            sink.fill(self.zero, (kernel_w - columns.end) * channels);
        }
        sink.fill(self.zero, (kernel_h - rows.end) * kernel_w * channels);
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
        for (place, &byte) in self.take(bytes.len()).iter_mut().zip(bytes) {
            *place = byte;
        }
    }

    fn fill(&mut self, value: i8, count: usize) {
        self.take(count).fill(value);
    }
}

/// A column as one pixel of groups, widened. Runs of any length are put together to whole words on the way.
pub struct Widened<'a> {
    groups: &'a mut [Group],
    /// 0 or 1.
    pixel: usize,
    at: usize,
    /// Bytes that wait for their word, and how many bits they are (0, 8, 16 or 24).
    carry: u32,
    bits: u32,
}

impl<'a> Widened<'a> {
    pub fn new(groups: &'a mut [Group], pixel: usize) -> Self {
        Widened { groups, pixel, at: 0, carry: 0, bits: 0 }
    }

    /// The last word is filled up with zeros.
    pub fn finish(mut self) {
        if self.bits > 0 {
            self.put(self.carry);
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
            self.put(word);
            // There is a carry: fewer than four bytes came.
            (self.carry, self.bits) = (bytes >> (32 - self.bits), bits - 32);
        }
    }

    /// A whole word in its place.
    #[inline(always)]
    fn put(&mut self, word: u32) {
        if let Some(group) = self.groups.get_mut(self.at) {
            let [even, odd] = widen(word);
            let half = if self.pixel == 0 { &mut group[..2] } else { &mut group[2..] };
            half.copy_from_slice(&[even, odd]);
        }
        self.at += 1;
    }

    /// `bytes` is a whole number of words, and no byte waits.
    #[inline(always)]
    fn words(&mut self, bytes: &[i8]) {
        let count = bytes.len() / 4;
        let Some(groups) = self.groups.get_mut(self.at..self.at + count) else { return };
        let to = groups.as_mut_ptr().cast::<u32>().wrapping_add(2 * (self.pixel & 1));
        self.at += count;
        if count > 0 {
            // SAFETY: there are `count` words of bytes, and as many groups with two words each from `to` on.
            unsafe {
                asm!(
                    "subs {count}, {count}, #4",
                    "blt 3f",
                    "2:",
                    ".rept 4",
                    "ldr {odd}, [{from}], #4",
                    "sxtb16 {even}, {odd}",
                    "sxtb16 {odd}, {odd}, ror #8",
                    "strd {even}, {odd}, [{to}], #16",
                    ".endr",
                    "subs {count}, {count}, #4",
                    "bge 2b",
                    "3:",
                    "adds {count}, {count}, #4",
                    "beq 5f",
                    "4:",
                    "ldr {odd}, [{from}], #4",
                    "sxtb16 {even}, {odd}",
                    "sxtb16 {odd}, {odd}, ror #8",
                    "strd {even}, {odd}, [{to}], #16",
                    "subs {count}, {count}, #1",
                    "bne 4b",
                    "5:",
                    from = inout(reg) bytes.as_ptr() => _, to = inout(reg) to => _, count = inout(reg) count => _,
                    even = out(reg) _, odd = out(reg) _,
                    options(nostack),
                );
            }
        }
    }
}

/// The word that begins with these bytes, if there are four.
#[inline(always)]
fn first_word(bytes: &[i8]) -> Option<u32> {
    cast_slice::<i8, u8>(bytes).first_chunk().map(|word| u32::from_le_bytes(*word))
}

impl Sink for Widened<'_> {
    #[inline(never)]
    fn run(&mut self, bytes: &[i8]) {
        let mut bytes = bytes;
        if self.bits > 0
            && let Some(word) = first_word(bytes)
        {
            // What waits takes the first bytes; from there on words are whole again.
            self.put(self.carry | word << self.bits);
            bytes = bytes.get(4 - self.bits as usize / 8..).unwrap_or_default();
            (self.carry, self.bits) = (0, 0);
        }
        if self.bits == 0 {
            let (whole, rest) = bytes.split_at(bytes.len() & !3);
            self.words(whole);
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.push(bytes.iter().rev().fold(0, |word, &byte| word << 8 | byte as u8 as u32), bytes.len() as u32);
        }
    }

    #[inline(always)]
    fn fill(&mut self, value: i8, count: usize) {
        if count > 0 {
            self.pad(value, count);
        }
    }
}

impl Widened<'_> {
    #[inline(never)]
    fn pad(&mut self, value: i8, count: usize) {
        let word = splat(value);
        for _ in 0..count / 4 {
            self.put(self.carry | word << self.bits);
            self.carry = if self.bits == 0 { 0 } else { word >> (32 - self.bits) };
        }
        let rest = (count % 4) as u32;
        if rest > 0 {
            self.push(word >> (32 - 8 * rest), rest);
        }
    }
}
