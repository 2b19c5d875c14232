//! The taps that one output position sees, as one column of bytes: what makes a convolution a dot product.

use core::arch::asm;
use core::ops::Range;

use crate::kernels::Geometry;
use crate::kernels::portable::taps;

/// The windows of a convolution, one output position after the other.
pub struct Windows<'a> {
    g: &'a Geometry,
    x: &'a [i8],
    /// The input's zero point, which stands in the padding.
    zero: i8,
    row: usize,
    column: usize,
    /// The taps of the current row that lie on the input.
    rows: Range<usize>,
}

impl<'a> Windows<'a> {
    /// From the first output position on.
    pub fn new(g: &'a Geometry, zero: i8, x: &'a [i8]) -> Self {
        Windows { g, x, zero, row: 0, column: 0, rows: valid(g, 0, 0) }
    }

    /// The column of the next position: as it lies in the input, where it lies there in one piece, else gathered
    /// into `to`, which is as long as a column. There is no end: the caller counts.
    pub fn next<'b>(&mut self, to: &'b mut [i8]) -> &'b [i8]
    where
        'a: 'b,
    {
        let g = self.g;
        if self.column == g.output[1] {
            (self.row, self.column) = (self.row + 1, 0);
            self.rows = valid(g, 0, self.row);
        }
        let rows = self.rows.clone();
        let columns = valid(g, 1, self.column);
        let first_row = self.row * g.stride[0] + rows.start * g.dilation[0] - g.pad[0];
        let first_column = self.column * g.stride[1] + columns.start * g.dilation[1] - g.pad[1];
        self.column += 1;

        let [_, width, channels] = g.input;
        let start = (first_row * width + first_column) * channels;
        let row_step = g.dilation[0] * width * channels;
        let [kernel_h, kernel_w] = g.kernel;
        // Neighbouring taps of a row are neighbours in memory unless they are dilated.
        let joined = g.dilation[1] == 1 || kernel_w == 1;
        if rows.len() == kernel_h && columns.len() == kernel_w && joined {
            let run_len = kernel_w * channels;
            if kernel_h == 1 || row_step == run_len {
                return &self.x[start..][..to.len()];
            }
            let mut from = start;
            for to in to.chunks_exact_mut(run_len) {
                copy(to, &self.x[from..][..run_len]);
                from += row_step;
            }
            return to;
        }
        to.fill(self.zero);
        let (runs, run_len) = if joined { (1, columns.len() * channels) } else { (columns.len(), channels) };
        for row in 0..rows.len() {
            let to = &mut to[((rows.start + row) * kernel_w + columns.start) * channels..];
            for run in 0..runs {
                let from = start + row * row_step + run * g.dilation[1] * channels;
                copy(&mut to[run * channels..][..run_len], &self.x[from..][..run_len]);
            }
        }
        to
    }
}

/// The taps of output row or column `out` that lie on the input: [`taps`], but without divisions where no tap lies
/// in the padding.
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

/// Copies bytes; both are equally long.
#[inline(always)]
pub fn copy(to: &mut [i8], from: &[i8]) {
    assert!(to.len() == from.len());
    // SAFETY: the tail-predicated loop reads and writes exactly `len` bytes.
    unsafe {
        asm!(
            "wlstp.8 lr, {len}, 3f",
            "2:",
            "vldrb.u8 q0, [{from}], #16",
            "vstrb.8 q0, [{to}], #16",
            "letp lr, 2b",
            "3:",
            len = in(reg) from.len(), from = inout(reg) from.as_ptr() => _, to = inout(reg) to.as_mut_ptr() => _,
            out("lr") _, out("d0") _, out("d1") _, options(nostack),
        );
    }
}
