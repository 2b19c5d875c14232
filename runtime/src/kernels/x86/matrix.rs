//! The weights that these kernels take, checked once so that nothing leads out of them.

use crate::format::{Packing, encoding, op};
use crate::kernels::{Columns, Layer, Weights};

/// Bytes of a tile: 16 outputs × 4 taps.
pub(super) const TILE: usize = 64;
/// Outputs of a tile.
pub(super) const OUTPUTS: usize = 16;

/// Whether the layer's weights are a matrix of `outputs` × `taps` in a form that these kernels take, and its range
/// of values one of bytes.
pub(super) fn takes(l: &Layer, outputs: usize, taps: usize) -> bool {
    let tile = Packing::Vnni.tile(op::CONV, encoding::DENSE);
    let [down, across] = tile.count(outputs, taps);
    l.packing == Packing::Vnni
        && l.tile == tile
        && takes_output(l, outputs)
        && match l.weights {
            Weights::Dense(w) => w.len() == tile.dense_len(outputs, taps),
            Weights::Blocks { counts, columns, tiles } => {
                let stored = counts.iter().map(|&c| c as usize).sum::<usize>();
                counts.len() == down
                    && columns.len() == stored
                    && Some(tiles.len()) == stored.checked_mul(TILE)
                    && match columns {
                        // The largest one, as vectors find it faster than the first that is too large.
                        Columns::U8(c) => across > 255 || usize::from(c.iter().fold(0, |m, &c| c.max(m))) < across,
                        Columns::U16(c) => usize::from(c.iter().fold(0, |m, &c| c.max(m))) < across,
                    }
            }
            Weights::TwoOfFour { .. } => false,
        }
}

/// Whether the layer has a requantisation record for each of its outputs, and a range of values of bytes.
pub(super) fn takes_output(l: &Layer, outputs: usize) -> bool {
    l.requant.len() >= outputs && -128 <= l.lo && l.lo <= l.hi && l.hi <= 127
}
