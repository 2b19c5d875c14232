//! The stored forms of a weight matrix (outputs × taps), and how any of them is read weight by weight.

use crate::format::{Tile, encoding};

/// A weight matrix as it lies in a file.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// Every tile, zeros included. Depthwise weights are H × W × C instead, and have no tiles.
    Dense(&'a [i8]),
    /// Only some tiles; the others are zero.
    Blocks {
        /// Stored tiles of each row of tiles.
        counts: &'a [u16],
        /// The column of each stored tile, ascending in a row, below the number of tiles across.
        columns: Columns<'a>,
        /// The stored tiles, row by row.
        tiles: &'a [i8],
    },
    /// Two of each four taps of an output; the others are zero. An output has `ceil(taps / 4)` groups.
    TwoOfFour {
        /// Four bits a group, the first of two groups in the low half of a byte: bits 0..2 the first stored tap,
        /// bits 2..4 the second. An output begins at a byte of its own.
        positions: &'a [u8],
        /// Two a group.
        values: &'a [i8],
    },
}

/// Columns of tiles.
#[derive(Clone, Copy, Debug)]
pub enum Columns<'a> {
    /// At most 256 tiles across.
    U8(&'a [u8]),
    /// At most 65,536 tiles across.
    U16(&'a [u16]),
}

impl Columns<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Columns::U8(c) => c.len(),
            Columns::U16(c) => c.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column of stored tile `i`.
    #[inline(always)]
    pub fn get(&self, i: usize) -> usize {
        match self {
            Columns::U8(c) => c[i] as usize,
            Columns::U16(c) => c[i] as usize,
        }
    }
}

impl<'a> Weights<'a> {
    /// Every weight, where all are stored.
    pub fn dense(&self) -> Option<&'a [i8]> {
        match self {
            Weights::Dense(w) => Some(w),
            _ => None,
        }
    }

    /// The code of this form in a file.
    pub fn encoding(&self) -> u8 {
        match self {
            Weights::Dense(_) => encoding::DENSE,
            Weights::Blocks { columns: Columns::U8(_), .. } => encoding::BLOCKS8,
            Weights::Blocks { columns: Columns::U16(_), .. } => encoding::BLOCKS16,
            Weights::TwoOfFour { .. } => encoding::TWO_OF_FOUR,
        }
    }

    /// How many weights are stored, zeros that fill up tiles included.
    pub fn stored(&self) -> usize {
        match self {
            Weights::Dense(w) | Weights::Blocks { tiles: w, .. } | Weights::TwoOfFour { values: w, .. } => w.len(),
        }
    }
}

/// Reads a weight matrix output by output, in ascending order.
pub(crate) struct Reader<'a> {
    weights: Weights<'a>,
    tile: Tile,
    taps: usize,
    /// The first stored tile of the current row of tiles, and that row.
    first: usize,
    row: usize,
}

impl<'a> Reader<'a> {
    pub fn new(weights: Weights<'a>, tile: Tile, taps: usize) -> Self {
        Reader { weights, tile, taps, first: 0, row: 0 }
    }

    /// Calls `each(tap, weight)` for every stored weight of `output`, which is no smaller than in the last call.
    #[inline(always)]
    pub fn output(&mut self, output: usize, mut each: impl FnMut(usize, i8)) {
        let (tile, taps) = (self.tile, self.taps);
        let mut tile_at = |bytes: &[i8], at: usize, column: usize| {
            let start = at * tile.bytes() + output % tile.rows * tile.step;
            let first = column * tile.step;
            for (i, &w) in bytes[start..][..tile.step.min(taps - first)].iter().enumerate() {
                each(first + i, w);
            }
        };
        match self.weights {
            Weights::Dense(w) => {
                let across = taps.div_ceil(tile.step);
                for column in 0..across {
                    tile_at(w, output / tile.rows * across + column, column);
                }
            }
            Weights::Blocks { counts, columns, tiles } => {
                while self.row < output / tile.rows {
                    self.first += counts[self.row] as usize;
                    self.row += 1;
                }
                for at in self.first..self.first + counts[self.row] as usize {
                    tile_at(tiles, at, columns.get(at));
                }
            }
            Weights::TwoOfFour { positions, values } => {
                let groups = taps.div_ceil(4);
                for group in 0..groups {
                    let four = positions[output * groups.div_ceil(2) + group / 2] >> (group % 2 * 4);
                    for (i, position) in [four & 3, four >> 2 & 3].into_iter().enumerate() {
                        let tap = group * 4 + position as usize;
                        if tap < taps {
                            each(tap, values[(output * groups + group) * 2 + i]);
                        }
                    }
                }
            }
        }
    }
}
