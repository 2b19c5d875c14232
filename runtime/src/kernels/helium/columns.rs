//! The taps that one output position sees, as one column of bytes: what makes a convolution a dot product.

use core::arch::asm;
use core::ops::Range;

use crate::kernels::Geometry;

/// The windows of a convolution, one output position after the other.
pub struct Windows<'a> {
    g: &'a Geometry,
    x: &'a [i8],
    /// The input's zero point, which stands in the padding.
    zero: i8,
    /// Output rows and columns whose windows lie on the input.
    inside: [Range<usize>; 2],
    /// A column is rows of so many bytes, at such a distance in the input.
    runs: Option<Runs>,
    row: usize,
    column: usize,
    /// Where the window at the start of the row begins in the input, where it lies there.
    row_start: usize,
}

/// Runs of bytes: how many, how long, and how far from each other they begin at both places.
#[derive(Clone, Copy)]
struct Runs {
    count: usize,
    len: usize,
    from_step: usize,
    to_step: usize,
}

impl<'a> Windows<'a> {
    /// From the first output position on.
    pub fn new(g: &'a Geometry, zero: i8, x: &'a [i8]) -> Self {
        let [kernel_h, kernel_w] = g.kernel;
        let [_, width, channels] = g.input;
        let step = g.dilation[0] * width * channels;
        let len = kernel_w * channels;
        // Neighbouring taps of a row are neighbours in memory unless they are dilated.
        let runs = (g.dilation[1] == 1 || kernel_w == 1).then_some(if kernel_h == 1 || step == len {
            Runs { count: 1, len: kernel_h * len, from_step: 0, to_step: 0 }
        } else {
            Runs { count: kernel_h, len, from_step: step, to_step: len }
        });
        let mut windows =
            Windows { g, x, zero, inside: [g.inside(0), g.inside(1)], runs, row: 0, column: 0, row_start: 0 };
        windows.begin_row(0);
        windows
    }

    fn begin_row(&mut self, row: usize) {
        let g = self.g;
        (self.row, self.column) = (row, 0);
        // Modulo 2^n: the row may begin in the padding.
        let first = (row * g.stride[0]).wrapping_sub(g.pad[0]).wrapping_mul(g.input[1]).wrapping_sub(g.pad[1]);
        self.row_start = first.wrapping_mul(g.input[2]);
    }

    /// The column of the next position: as it lies in the input, where it lies there in one piece, else gathered
    /// into `to`, which is as long as a column. There is no end: the caller counts.
    #[inline(always)]
    pub fn next<'b>(&mut self, to: &'b mut [i8]) -> &'b [i8]
    where
        'a: 'b,
    {
        self.take(to).unwrap_or(to)
    }

    /// As [`Windows::next`], with a `to` that is `len` bytes or longer than the `len` of a column; what is longer
    /// is left as it is, and is part of the result.
    #[inline(always)]
    pub fn next_filled<'b>(&mut self, len: usize, to: &'b mut [i8]) -> &'b [i8]
    where
        'a: 'b,
    {
        match self.take(&mut to[..len]) {
            Some(column) if to.len() == len => column,
            Some(column) => {
                copy(&mut to[..len], column);
                to
            }
            None => to,
        }
    }

    /// The next column where it lies in the input, else `None` and the column in `to`.
    #[inline(always)]
    fn take(&mut self, to: &mut [i8]) -> Option<&'a [i8]> {
        let g = self.g;
        if self.column == g.output[1] {
            self.begin_row(self.row + 1);
        }
        let column = self.column;
        self.column += 1;
        match self.runs {
            Some(runs) if self.inside[0].contains(&self.row) && self.inside[1].contains(&column) => {
                let from = &self.x[self.row_start.wrapping_add(column * g.stride[1] * g.input[2])..];
                if runs.count == 1 {
                    return Some(&from[..to.len()]);
                }
                copy_runs(to, from, runs);
            }
            _ => self.gather(column, to),
        }
        None
    }

    #[inline(never)]
    fn gather(&self, column: usize, to: &mut [i8]) {
        let g = self.g;
        let (rows, columns) = (g.valid_taps(0, self.row), g.valid_taps(1, column));
        fill(to, self.zero);
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let [_, width, channels] = g.input;
        let kernel_w = g.kernel[1];
        let first_row = self.row * g.stride[0] + rows.start * g.dilation[0] - g.pad[0];
        let first_column = column * g.stride[1] + columns.start * g.dilation[1] - g.pad[1];
        let start = (first_row * width + first_column) * channels;
        let row_step = g.dilation[0] * width * channels;
        let to = &mut to[(rows.start * kernel_w + columns.start) * channels..];
        let from = &self.x[start..];
        let rows = Runs { count: rows.len(), len: channels, from_step: row_step, to_step: kernel_w * channels };
        if g.dilation[1] == 1 || kernel_w == 1 {
            copy_runs(to, from, Runs { len: columns.len() * channels, ..rows });
            return;
        }
        for column in 0..columns.len() {
            copy_runs(&mut to[column * channels..], &from[column * g.dilation[1] * channels..], rows);
        }
    }
}

/// Copies bytes; both are equally long.
#[inline(always)]
pub fn copy(to: &mut [i8], from: &[i8]) {
    copy_runs(to, from, Runs { count: 1, len: from.len(), from_step: 0, to_step: 0 });
}

/// Copies runs of bytes; there is at least one, and they are not empty.
#[inline(always)]
fn copy_runs(to: &mut [i8], from: &[i8], runs: Runs) {
    let Runs { count, len, from_step, to_step } = runs;
    assert!(count > 0 && len > 0 && from.len() >= (count - 1) * from_step + len);
    assert!(to.len() >= (count - 1) * to_step + len);
    // SAFETY: the tail-predicated loop reads and writes exactly `len` bytes a run; the lengths have just been checked.
    unsafe {
        asm!(
            "2:",
            "mov {read}, {from}",
            "mov {write}, {to}",
            "dlstp.8 lr, {len}",
            "3:",
            "vldrb.u8 q0, [{read}], #16",
            "vstrb.8 q0, [{write}], #16",
            "letp lr, 3b",
            "add {from}, {from}, {from_step}",
            "add {to}, {to}, {to_step}",
            "subs {count}, {count}, #1",
            "bne 2b",
            read = out(reg) _, write = out(reg) _,
            from = inout(reg) from.as_ptr() => _, to = inout(reg) to.as_mut_ptr() => _,
            from_step = in(reg) from_step, to_step = in(reg) to_step, len = in(reg) len,
            count = inout(reg) count => _, out("lr") _, out("d0") _, out("d1") _, options(nostack),
        );
    }
}

/// Sets bytes.
#[inline(always)]
pub fn fill(to: &mut [i8], value: i8) {
    // SAFETY: the tail-predicated loop writes exactly `len` bytes.
    unsafe {
        asm!(
            "vdup.8 q0, {value}",
            "wlstp.8 lr, {len}, 3f",
            "2:",
            "vstrb.8 q0, [{to}], #16",
            "letp lr, 2b",
            "3:",
            value = in(reg) value as i32, len = in(reg) to.len(), to = inout(reg) to.as_mut_ptr() => _,
            out("lr") _, out("d0") _, out("d1") _, options(nostack),
        );
    }
}

/// Whether a byte is -128.
pub fn has_lowest(bytes: &[i8]) -> bool {
    let lowest: i32;
    // SAFETY: the tail-predicated loop reads exactly `len` bytes; lanes that are left out do not change the minimum.
    unsafe {
        asm!(
            "vmov.i8 q1, #0",
            "wlstp.8 lr, {len}, 3f",
            "2:",
            "vldrb.u8 q0, [{from}], #16",
            "vmin.s8 q1, q1, q0",
            "letp lr, 2b",
            "3:",
            "vminv.s8 {lowest}, q1",
            len = in(reg) bytes.len(), from = inout(reg) bytes.as_ptr() => _, lowest = inout(reg) 0 => lowest,
            out("lr") _, out("d0") _, out("d1") _, out("d2") _, out("d3") _, options(nostack, readonly),
        );
    }
    lowest == i8::MIN as i32
}
