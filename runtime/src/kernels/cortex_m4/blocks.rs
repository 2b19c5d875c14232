//! Weights of which only some tiles are stored, checked for kernels that follow their columns without looking.

use core::arch::asm;

use super::aligned;
use crate::format::Tile;
use crate::kernels::{Columns, Layer, Weights};

/// The stored tiles of a matrix, or of its first or last outputs.
#[derive(Clone, Copy)]
pub struct Blocks<'a> {
    /// Tiles of each pair of outputs.
    counts: &'a [u16],
    columns: Columns<'a>,
    /// 4-aligned.
    tiles: &'a [i8],
    /// What all columns are below.
    across: usize,
}

/// Two outputs × four taps: what the kernels read.
pub const TILE: Tile = Tile { rows: 2, step: 4 };

impl<'a> Blocks<'a> {
    /// The weights of a layer if they are blocks of a matrix `outputs × taps`, and every column lies in it.
    pub fn of(l: &Layer<'a>, outputs: usize, taps: usize) -> Option<Self> {
        let Weights::Blocks { counts, columns, tiles } = l.weights else { return None };
        let [down, across] = TILE.count(outputs, taps);
        let stored = counts.iter().fold(0usize, |n, &c| n.saturating_add(c as usize));
        let fits = counts.len() == down && stored == columns.len() && stored.checked_mul(8) == Some(tiles.len());
        if l.tile != TILE || across == 0 || !fits || !aligned(tiles) || !all_below(columns, across) {
            return None;
        }
        Some(Blocks { counts, columns, tiles, across })
    }

    /// Those of all whole pairs of outputs, and those of an odd last output.
    pub fn split(self, outputs: usize) -> Option<(Self, Self)> {
        if outputs.is_multiple_of(2) {
            let none = Blocks { counts: &[], columns: Columns::U8(&[]), tiles: &[], ..self };
            return Some((self, none));
        }
        let (last, before) = self.counts.split_last()?;
        let at = self.columns.len().checked_sub(*last as usize)?;
        let (tiles, last_tiles) = self.tiles.split_at_checked(at * TILE.bytes())?;
        let (columns, last_columns) = match self.columns {
            Columns::U8(c) => c.split_at_checked(at).map(|(a, b)| (Columns::U8(a), Columns::U8(b)))?,
            Columns::U16(c) => c.split_at_checked(at).map(|(a, b)| (Columns::U16(a), Columns::U16(b)))?,
        };
        let last = core::slice::from_ref(last);
        let last = Blocks { counts: last, columns: last_columns, tiles: last_tiles, ..self };
        Some((Blocks { counts: before, columns, tiles, ..self }, last))
    }

    /// Pairs of outputs.
    pub fn pairs(&self) -> usize {
        self.counts.len()
    }

    /// What all columns are below.
    pub fn across(&self) -> usize {
        self.across
    }

    /// Counts, stored tiles, and columns (with whether they are of 16 bits).
    pub fn pointers(&self) -> (*const u16, *const i8, *const u8, bool) {
        let (columns, wide) = match self.columns {
            Columns::U8(c) => (c.as_ptr(), false),
            Columns::U16(c) => (c.as_ptr().cast(), true),
        };
        (self.counts.as_ptr(), self.tiles.as_ptr(), columns, wide)
    }
}

/// Whether every column is below `across`. Words of columns at a time: a saturating difference to the largest
/// good column is zero in every lane.
fn all_below(columns: Columns, across: usize) -> bool {
    let last = across - 1;
    match columns {
        Columns::U8(c) => {
            let limit = last.min(255) as u32 * 0x0101_0101;
            let (words, rest) = c.as_chunks::<4>();
            let over = words.iter().fold(0, |over, word| over | excess::<8>(u32::from_ne_bytes(*word), limit));
            over == 0 && rest.iter().all(|&c| c as usize <= last)
        }
        Columns::U16(c) => {
            let limit = last.min(0xffff) as u32 * 0x0001_0001;
            let (words, rest) = c.as_chunks::<2>();
            let over = words.iter().fold(0, |over, pair| {
                let word = pair[0] as u32 | (pair[1] as u32) << 16;
                over | excess::<16>(word, limit)
            });
            over == 0 && rest.iter().all(|&c| c as usize <= last)
        }
    }
}

/// `a - b`, at least zero, in each lane of 8 or 16 bits.
#[inline(always)]
fn excess<const BITS: u32>(a: u32, b: u32) -> u32 {
    let excess;
    // SAFETY: one instruction on registers, which every target with DSP instructions has.
    unsafe {
        if BITS == 8 {
            asm!("uqsub8 {e}, {a}, {b}", a = in(reg) a, b = in(reg) b, e = out(reg) excess,
                options(pure, nomem, nostack, preserves_flags));
        } else {
            asm!("uqsub16 {e}, {a}, {b}", a = in(reg) a, b = in(reg) b, e = out(reg) excess,
                options(pure, nomem, nostack, preserves_flags));
        }
    }
    excess
}
