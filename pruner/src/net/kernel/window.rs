//! Where the taps of a window read.

use crate::graph::Window;

impl Window {
    /// The row of an input of `height` rows that tap row `i` reads for output row `y`; `None` in the padding.
    pub(super) fn row(&self, i: usize, y: usize, height: usize) -> Option<usize> {
        (y * self.stride[0] + i * self.dilation[0]).checked_sub(self.pad[0]).filter(|r| *r < height)
    }

    /// The output columns `lo..hi`, of `outputs`, for which tap column `j` reads inside of rows of `width`, and
    /// the column that it reads for `lo`.
    pub(super) fn span(&self, j: usize, width: usize, outputs: usize) -> (usize, usize, usize) {
        let (at, stride, pad) = (j * self.dilation[1], self.stride[1], self.pad[1]);
        let lo = pad.saturating_sub(at).div_ceil(stride);
        let hi = (width + pad).saturating_sub(at).div_ceil(stride).min(outputs);
        (lo, hi.max(lo), lo * stride + at - pad)
    }
}
