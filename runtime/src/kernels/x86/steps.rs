//! The way through a row of tiles: where the four values that belong to a tile of taps lie in a window.
//!
//! Taps that are neighbours in a row of the window are neighbours in memory: a run. A tile that lies in one run has
//! one place. One that begins in a run and ends in another is passed once for each of them, with the weights of the
//! others masked: a piece.

use bytemuck::{Pod, Zeroable};

use crate::format::vnni::ConvScratch;
use crate::kernels::Geometry;

/// A tile of weights, or some taps of it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Piece {
    /// Bytes from the start of a window to the four values.
    offset: u32,
    /// Which of the stored tiles.
    tile: u32,
    /// Bytes of the taps that are meant.
    mask: u32,
}

/// The steps of one row of tiles.
pub(super) trait Steps {
    /// Whether weights are masked.
    const MASKED: bool;
    /// Number of steps.
    fn count(&self) -> usize;
    /// Offset, number of the stored tile, and mask of a step.
    ///
    /// # Safety
    /// `i` is below [`Steps::count`].
    unsafe fn at(&self, i: usize) -> (usize, usize, u32);
}

/// All tiles, each in one run.
pub(super) struct All<'a> {
    /// One for each tile.
    pub offsets: &'a [u32],
}

impl Steps for All<'_> {
    const MASKED: bool = false;

    #[inline(always)]
    fn count(&self) -> usize {
        self.offsets.len()
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize) -> (usize, usize, u32) {
        // SAFETY: the caller's.
        (unsafe { *self.offsets.get_unchecked(i) } as usize, i, u32::MAX)
    }
}

/// Some tiles, each in one run.
pub(super) struct Stored<'a, C> {
    /// One for each tile.
    pub offsets: &'a [u32],
    /// The stored ones, all below the number of offsets.
    pub columns: &'a [C],
}

impl<C: Copy + Into<usize>> Steps for Stored<'_, C> {
    const MASKED: bool = false;

    #[inline(always)]
    fn count(&self) -> usize {
        self.columns.len()
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize) -> (usize, usize, u32) {
        // SAFETY: the caller's; columns are below the number of offsets.
        let offset = unsafe { *self.offsets.get_unchecked((*self.columns.get_unchecked(i)).into()) };
        (offset as usize, i, u32::MAX)
    }
}

/// Tiles in pieces.
pub(super) struct Pieces<'a>(pub &'a [Piece]);

impl Steps for Pieces<'_> {
    const MASKED: bool = true;

    #[inline(always)]
    fn count(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize) -> (usize, usize, u32) {
        // SAFETY: the caller's.
        let piece = unsafe { self.0.get_unchecked(i) };
        (piece.offset as usize, piece.tile as usize, piece.mask)
    }
}

/// Length and starts of the runs of a window.
fn runs<'a>(g: &'a Geometry, s: &'a ConvScratch) -> (usize, impl Iterator<Item = usize> + 'a) {
    let channels = g.input[2];
    let (across, len) = if g.dilation[1] == 1 { (1, g.kernel[1] * channels) } else { (g.kernel[1], channels) };
    let start = move |row: usize, run: usize| row * g.dilation[0] * s.row + run * g.dilation[1] * channels;
    (len, (0..g.kernel[0]).flat_map(move |row| (0..across).map(move |run| start(row, run))))
}

/// Writes the place of each tile, where none has pieces.
pub(super) fn write_offsets(g: &Geometry, s: &ConvScratch, offsets: &mut [u32]) {
    let (len, starts) = runs(g, s);
    let mut offsets = offsets[..s.across].iter_mut();
    for start in starts {
        for (i, o) in offsets.by_ref().take(len.div_ceil(4)).enumerate() {
            *o = (start + i * 4) as u32;
        }
    }
}

/// Writes the pieces of all tiles, and the first piece of each tile (and the number of them) to `firsts`; gives their
/// number.
pub(super) fn write_pieces(g: &Geometry, s: &ConvScratch, firsts: &mut [u32], pieces: &mut [Piece]) -> usize {
    let (len, starts) = runs(g, s);
    let mut count = 0;
    for (run, start) in starts.enumerate() {
        let (first, end) = (run * len, (run + 1) * len);
        for tile in first / 4..end.div_ceil(4) {
            let (from, to) = (first.max(tile * 4) - tile * 4, end.min(tile * 4 + 4) - tile * 4);
            // Earlier runs take as much memory as they have taps, so there is as much before this one's start.
            let offset = (start + tile * 4 - first) as u32;
            if let (0, Some(first)) = (from, firsts.get_mut(tile)) {
                *first = count as u32;
            }
            let mask = (u32::MAX >> (32 - 8 * (to - from))) << (8 * from);
            pieces[count] = Piece { offset, tile: tile as u32, mask };
            count += 1;
        }
    }
    firsts[s.across] = count as u32;
    count
}

/// Writes the pieces of stored tiles; gives their number.
pub(super) fn write_stored<C: Copy + Into<usize>>(
    columns: &[C],
    firsts: &[u32],
    all: &[Piece],
    pieces: &mut [Piece],
) -> usize {
    let mut count = 0;
    for (tile, &column) in columns.iter().enumerate() {
        let column: usize = column.into();
        for piece in &all[firsts[column] as usize..firsts[column + 1] as usize] {
            pieces[count] = Piece { tile: tile as u32, ..*piece };
            count += 1;
        }
    }
    count
}
