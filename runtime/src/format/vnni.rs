//! How the kernels for x86-64 divide their scratch, and so how much of it there must be.

#![cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "other targets ask for the lengths alone"))]

/// Scratch starts at a cache line, and vectors may be read and written past the last value.
const LINE: usize = 64;
/// Input rows with their padding are prepared in bands of about this many bytes, which stay in the first cache
/// while all weights pass over them.
const BAND: usize = 32 << 10;
/// Bytes of a piece of a tile of taps: three words.
const PIECE: usize = 12;

/// The scratch of a convolution: offsets of the taps' tiles, or pieces of them, and a band of input rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvScratch {
    /// Whether the four values of each tile of taps lie beside each other.
    pub direct: bool,
    /// Pixels of a row of the band.
    pub width: usize,
    /// Bytes of a row of the band.
    pub row: usize,
    /// Rows of the band that a window reaches over.
    pub extent: usize,
    /// Tiles of taps.
    pub across: usize,
    /// Runs of values that lie beside each other.
    runs: usize,
    stride: usize,
}

impl ConvScratch {
    /// For windows on `channels` channels, in output rows of `out_width` pixels.
    pub fn new(
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        channels: usize,
        out_width: usize,
    ) -> Self {
        let taps = kernel[0].saturating_mul(kernel[1]).saturating_mul(channels);
        let extent = |a: usize| kernel[a].saturating_sub(1).saturating_mul(dilation[a]).saturating_add(1);
        let (runs, run) = match dilation[1] {
            1 => (kernel[0], kernel[1].saturating_mul(channels)),
            _ => (kernel[0].saturating_mul(kernel[1]), channels),
        };
        let width = out_width.saturating_sub(1).saturating_mul(stride[1]).saturating_add(extent(1));
        ConvScratch {
            direct: runs == 1 || run.is_multiple_of(4),
            width,
            row: width.saturating_mul(channels),
            extent: extent(0),
            across: taps.div_ceil(4),
            runs,
            stride: stride[0],
        }
    }

    /// Bytes of the offsets, and one more.
    pub fn offsets(&self) -> usize {
        up_to(self.across.saturating_add(1).saturating_mul(4), LINE)
    }

    /// Pieces of all tiles: one more where one run ends and another begins.
    pub fn most_pieces(&self) -> usize {
        if self.direct { 0 } else { self.across.saturating_add(self.runs) }
    }

    /// Bytes of all pieces, and of those of stored tiles.
    pub fn pieces(&self) -> usize {
        up_to(self.most_pieces().saturating_mul(2 * PIECE), LINE)
    }

    /// Bytes of a band of so many output rows.
    pub fn band(&self, rows: usize) -> usize {
        let input_rows = rows.saturating_sub(1).saturating_mul(self.stride).saturating_add(self.extent);
        self.row.saturating_mul(input_rows).saturating_add(LINE)
    }

    /// Output rows of the largest band that fits into so many bytes; 0 for none.
    pub fn rows(&self, bytes: usize) -> usize {
        let Some(more) = bytes.checked_sub(self.band(1)) else { return 0 };
        1 + more / self.row.saturating_mul(self.stride).max(1)
    }

    /// All of it, for so many output rows.
    pub fn len(&self, rows: usize) -> usize {
        let band = self.band(rows.max(1)).min(BAND).max(self.band(1));
        [LINE, self.offsets(), self.pieces(), band].iter().fold(0, |sum: usize, n| sum.saturating_add(*n))
    }
}

/// The scratch of a depthwise convolution: the rows of an output row's windows, channels of four rows interleaved,
/// and the weights in the same order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DepthwiseScratch {
    /// Bytes from pixel to pixel: the channels, filled up to whole lanes of 16 where vectors cannot cross pixels.
    pub pitch: usize,
    /// Whether a vector holds the channels of several pixels.
    pub across_pixels: bool,
    /// Pixels of a row.
    pub width: usize,
    /// Groups of four kernel rows.
    pub groups: usize,
    /// Bytes of one of the four planes of a group.
    pub plane: usize,
    /// Vectors of channels, of 64.
    pub blocks: usize,
    /// Bytes of an input row.
    pub input_row: usize,
    kernel_width: usize,
}

impl DepthwiseScratch {
    /// For windows on `channels` channels, from input rows of `in_width` to output rows of `out_width` pixels.
    pub fn new(
        kernel: [usize; 2],
        stride: usize,
        dilation: usize,
        channels: usize,
        in_width: usize,
        out_width: usize,
    ) -> Self {
        let across_pixels = matches!(channels, 4 | 8 | 16 | 32) && stride == 1;
        let pitch = if across_pixels { channels } else { up_to(channels, 16) };
        let extent = kernel[1].saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let width = out_width.saturating_sub(1).saturating_mul(stride).saturating_add(extent);
        DepthwiseScratch {
            pitch,
            across_pixels,
            width,
            groups: kernel[0].div_ceil(4),
            plane: up_to(width.saturating_mul(pitch), LINE).saturating_add(4 * LINE),
            blocks: channels.div_ceil(LINE),
            input_row: up_to(in_width.saturating_mul(channels), LINE),
            kernel_width: kernel[1],
        }
    }

    /// Output rows whose planes are prepared together, of so many.
    pub fn rows(&self, rows: usize) -> usize {
        (BAND / self.planes().max(1)).min(rows).max(1)
    }

    /// Bytes of the interleaved rows of one output row.
    pub fn planes(&self) -> usize {
        self.groups.saturating_mul(4).saturating_mul(self.plane)
    }

    /// Bytes of the weights in the order of the planes.
    pub fn weights(&self) -> usize {
        self.groups.saturating_mul(self.kernel_width).saturating_mul(self.blocks).saturating_mul(4 * LINE)
    }

    /// Bytes of biases and multipliers (each also shifted) in the order of the planes.
    pub fn requant(&self) -> usize {
        self.blocks.saturating_mul(3 * 4 * LINE)
    }

    /// All of it, for so many output rows.
    pub fn len(&self, rows: usize) -> usize {
        let planes = self.rows(rows).saturating_mul(self.planes());
        let parts = [LINE, planes, self.weights(), self.requant(), self.input_row, LINE];
        parts.iter().fold(0, |sum: usize, n| sum.saturating_add(*n))
    }
}

fn up_to(len: usize, unit: usize) -> usize {
    len.saturating_add(unit - 1) & !(unit - 1)
}
