//! The stored forms of a weight matrix (outputs × taps), and how any of them is read weight by weight.

use super::portable::div_ceil;
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

    /// The column of stored tile `i`; 0 where there is none.
    #[inline(always)]
    pub fn get(&self, i: usize) -> usize {
        match self {
            Columns::U8(c) => c.get(i).map_or(0, |&c| c as usize),
            Columns::U16(c) => c.get(i).map_or(0, |&c| c as usize),
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

/// Reads a weight matrix output by output, in ascending order. Weights that are not there are left out.
pub(crate) struct Reader<'a> {
    weights: Weights<'a>,
    tile: Tile,
    taps: usize,
    /// Tiles beside each other.
    across: usize,
    /// The first stored tile of the current row of tiles, and that row.
    first: usize,
    row: usize,
}

impl<'a> Reader<'a> {
    pub fn new(weights: Weights<'a>, tile: Tile, taps: usize) -> Self {
        Reader { weights, tile, taps, across: div_ceil(taps, tile.step), first: 0, row: 0 }
    }

    /// Calls `each(tap, weight)` for every stored weight of `output`, which is no smaller than in the last call.
    #[inline]
    pub fn output(&mut self, output: usize, each: &mut dyn FnMut(usize, i8)) {
        let stored = |of: &[u16], row: usize| of.get(row).copied().unwrap_or(0) as usize;
        let (tile, taps, across) = (self.tile, self.taps, self.across);
        let (tiles, counts, columns) = match self.weights {
            Weights::Dense(tiles) => (tiles, None, None),
            Weights::Blocks { counts, columns, tiles } => (tiles, Some(counts), Some(columns)),
            Weights::TwoOfFour { positions, values } => return two_of_four(positions, values, output, taps, each),
        };
        while self.row < output.checked_div(tile.rows).unwrap_or(0) {
            self.first += counts.map_or(across, |counts| stored(counts, self.row));
            self.row += 1;
        }
        let count = counts.map_or(across, |counts| stored(counts, self.row));
        let line = (output - self.row * tile.rows) * tile.step;
        for i in 0..count {
            let at = self.first + i;
            let first = columns.map_or(i, |columns| columns.get(at)) * tile.step;
            let weights = tiles.get(at * tile.bytes() + line..).unwrap_or_default();
            for (i, &w) in weights.iter().take(tile.step.min(taps.saturating_sub(first))).enumerate() {
                each(first + i, w);
            }
        }
    }
}

/// The weights of an output of which two of four are stored.
#[inline]
fn two_of_four(positions: &[u8], values: &[i8], output: usize, taps: usize, each: &mut dyn FnMut(usize, i8)) {
    let groups = taps.div_ceil(4);
    let positions = positions.get(output * groups.div_ceil(2)..).unwrap_or_default();
    let values = values.get(output * groups * 2..).unwrap_or_default();
    for (i, &w) in values.iter().take(groups * 2).enumerate() {
        let group = i / 2;
        let four = positions.get(group / 2).map_or(0, |p| p >> (group % 2 * 4));
        let tap = group * 4 + (four >> (i % 2 * 2) & 3) as usize;
        if tap < taps {
            each(tap, w);
        }
    }
}
