//! How weights lie for a target class: the one definition that packer, kernels and verification share.
//!
//! The weights of a convolution or a linear operator are a matrix of outputs × taps. It is cut into tiles of
//! `rows` outputs × `step` taps, padded with zeros at its ends, and stored tile by tile: all tiles of the first
//! `rows` outputs, then those of the next. Inside a tile the taps of one output lie together.

use super::vnni::{ConvScratch, DepthwiseScratch};
use super::{OpRecord, SECTION_ALIGN, TENSOR_ALIGN, encoding, op};
use crate::kernels::portable::div_ceil;

/// The target class that a file's weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Packing {
    /// One output after the other, for no target in particular.
    Portable = 0,
    /// Cortex-M4, M7, M33: pairs of outputs, a word of weights at a time.
    Dsp = 1,
    /// Cortex-M55, M85: a vector of 16 weights at a time.
    Mve = 2,
    /// AArch64: 8 outputs, two vectors of 4 weights per output.
    Sdot = 3,
    /// x86-64 with AVX2 or AVX-512: 16 outputs. Values are read as `x + 128`, so that they are unsigned; the
    /// biases of convolutions and linear operators have `-128 * sum(weights)` folded in.
    Vnni = 4,
}

/// Whether this is firmware of a microcontroller.
const SMALL: bool = cfg!(all(target_os = "none", target_pointer_width = "32"));

/// Rows and taps of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Outputs.
    pub rows: usize,
    /// Taps.
    pub step: usize,
}

impl Tile {
    /// Tiles below each other in a matrix of `outputs` rows, and beside each other in `taps` columns.
    pub fn count(self, outputs: usize, taps: usize) -> [usize; 2] {
        [div_ceil(outputs, self.rows), div_ceil(taps, self.step)]
    }

    /// Bytes of a tile.
    pub fn bytes(self) -> usize {
        self.rows * self.step
    }

    /// Bytes of a dense matrix.
    pub fn dense_len(self, outputs: usize, taps: usize) -> usize {
        let [down, across] = self.count(outputs, taps);
        down.saturating_mul(across).saturating_mul(self.bytes())
    }

    /// Where the weight of an output's tap lies in a dense matrix.
    pub fn at(self, output: usize, tap: usize, taps: usize) -> usize {
        let across = taps.div_ceil(self.step);
        ((output / self.rows * across + tap / self.step) * self.rows + output % self.rows) * self.step + tap % self.step
    }
}

impl Packing {
    /// All of them.
    pub const ALL: [Packing; 5] = [Packing::Portable, Packing::Dsp, Packing::Mve, Packing::Sdot, Packing::Vnni];

    /// By the code in a header.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// Whether this build reads files of this packing: all of them, but that firmware of 32-bit microcontrollers
    /// leaves out those of 64-bit processors, whose rules for scratch would take flash there.
    pub fn is_read_here(self) -> bool {
        !(SMALL && matches!(self, Packing::Sdot | Packing::Vnni))
    }

    /// The name that commands and errors use.
    pub fn name(self) -> &'static str {
        match self {
            Packing::Portable => "portable",
            Packing::Dsp => "dsp",
            Packing::Mve => "mve",
            Packing::Sdot => "sdot",
            Packing::Vnni => "vnni",
        }
    }

    /// The tile of an operator's weights.
    pub fn tile(self, code: u16, encoded: u8) -> Tile {
        let (rows, step) = match (self, code) {
            // Grouped convolutions are rare: their matrices are small and stay as they are.
            (_, op::GROUPED_CONV) | (Packing::Portable, _) => (1, 1),
            (Packing::Dsp, op::LINEAR) if encoded == encoding::DENSE => (4, 4),
            (Packing::Dsp, _) => (2, 4),
            (Packing::Mve, _) => (4, 16),
            (Packing::Sdot, _) => (8, 4),
            (Packing::Vnni, _) => (16, 4),
        };
        Tile { rows, step }
    }

    /// Whether values are read as `x + 128` by convolutions and linear operators.
    pub fn is_unsigned(self) -> bool {
        self == Packing::Vnni
    }

    /// Where the weights of an operator start in the data section, and with it in a mapped file: at multiples of a
    /// word for small devices, which have no cache lines to share, else of a line.
    pub fn weights_align(self) -> usize {
        match self {
            Packing::Portable | Packing::Dsp => TENSOR_ALIGN,
            Packing::Mve | Packing::Sdot | Packing::Vnni => SECTION_ALIGN,
        }
    }

    /// Scratch that a kernel set of this class may use for an operator on `input` and `output` (H × W × C), in
    /// bytes. It is part of the arena that a file states. More than there can be if this build does not read the
    /// packing.
    pub fn scratch_len(self, op: &OpRecord, input: [usize; 3], output: [usize; 3]) -> usize {
        let up_to = |len: usize, unit: usize| len.saturating_add(unit - 1) & !(unit - 1);
        let column = (op.kernel[0] as usize * op.kernel[1] as usize).saturating_mul(input[2]);
        let values = input.iter().fold(1, |n: usize, d| n.saturating_mul(*d));
        let wide = |of: [u16; 2]| of.map(usize::from);
        if !self.is_read_here() {
            return usize::MAX;
        }
        match (op.code, self) {
            // Two columns, widened to 16 bits.
            (op::CONV, Packing::Portable | Packing::Dsp) => up_to(column, 4).saturating_mul(4),
            // Two columns, each filled up to whole vectors.
            (op::CONV, Packing::Mve) => up_to(column, 16).saturating_mul(2),
            // The columns of several pixels, each filled up to whole vectors.
            (op::CONV, Packing::Sdot) => {
                let pixels = output[0].saturating_mul(output[1]).min(MAX_PIXELS);
                up_to(column, 64).saturating_mul(pixels)
            }
            (op::LINEAR, Packing::Sdot) => up_to(values, 64),
            // The values, and a line that whole vectors reach into.
            (op::LINEAR, Packing::Vnni) => values.saturating_add(64),
            // The vector, filled up to whole words.
            (op::LINEAR, Packing::Dsp) if op.encoding != encoding::DENSE && values % 4 != 0 => up_to(values, 4),
            // The vector, filled up to whole blocks.
            (op::LINEAR, Packing::Mve) if matches!(op.encoding, encoding::BLOCKS8 | encoding::BLOCKS16) => {
                up_to(values, 16)
            }
            (op::CONV, Packing::Vnni) => {
                ConvScratch::new(wide(op.kernel), wide(op.stride), wide(op.dilation), input[2], output[1])
                    .len(output[0])
            }
            (op::DEPTHWISE, Packing::Vnni) => {
                let [stride, dilation] = [op.stride[1] as usize, op.dilation[1] as usize];
                DepthwiseScratch::new(wide(op.kernel), stride, dilation, output[2], input[1], output[1]).len(output[0])
            }
            _ => 0,
        }
    }
}

/// Pixels whose columns the kernels for hosts gather at a time.
pub const MAX_PIXELS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_a_place_of_its_own() {
        for packing in Packing::ALL {
            for code in [op::CONV, op::LINEAR] {
                for (outputs, taps) in [(1, 1), (3, 5), (17, 33), (16, 64)] {
                    let tile = packing.tile(code, encoding::DENSE);
                    let mut seen = std::vec![false; tile.dense_len(outputs, taps)];
                    for o in 0..outputs {
                        for t in 0..taps {
                            assert!(!core::mem::replace(&mut seen[tile.at(o, t, taps)], true));
                        }
                    }
                }
            }
            assert_eq!(Packing::from_code(packing as u16), Some(packing));
        }
    }
}
