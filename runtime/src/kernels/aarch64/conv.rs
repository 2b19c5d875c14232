//! Convolution: rows of tiles times blocks of pixels.

use super::pixels::Pixels;
use super::requant::{Range, eight, store};
use super::simd::vst1_s8;
use super::tiles::{Column, Dot, Runs, Sums, Taps};
use crate::format::{MAX_PIXELS, Packing, Requant};
use crate::kernels::{Columns, Geometry, Layer, Weights};

/// Convolution over all channels; `None` where it is left to the portable kernels.
pub(super) fn conv<I: Dot>(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> Option<()> {
    if !g.fits(x, y) {
        return None;
    }
    let pixels = Pixels::new(g, l, x, scratch.len())?;
    let outputs = g.output[2];
    let taps = g.kernel[0] * g.kernel[1] * g.input[2];
    let scratch = bytemuck::cast_slice_mut(scratch);
    let place = |first: usize, taps: &mut [Taps]| pixels.place(first, taps, scratch);
    // SAFETY: `Pixels` gives taps that are readable in these runs.
    unsafe { products::<I>(l, outputs, taps, pixels.runs, place, y) }
}

/// All outputs of all pixels. `place(first, taps)` says where the pixels from `first` on have their taps.
///
/// # Safety
/// The machine has the instruction set, and what `place` gives is readable until the next call: `runs` of each
/// pixel, which are all in one where weights are not dense.
pub(super) unsafe fn products<I: Dot>(
    l: &Layer,
    outputs: usize,
    taps: usize,
    runs: Runs,
    mut place: impl FnMut(usize, &mut [Taps]),
    y: &mut [i8],
) -> Option<()> {
    let range = Range::new(l.left_shift, l.zero_out, l.lo, l.hi)?;
    if l.packing != Packing::Sdot || (l.tile.rows, l.tile.step) != (8, 4) {
        return None;
    }
    let requant = l.requant.get(..outputs)?;
    let [down, across] = l.tile.count(outputs, taps);
    let mut blocks = |block: &mut dyn FnMut(&[Taps], &mut [i8])| {
        for (i, y) in y.chunks_mut(MAX_PIXELS * outputs).enumerate() {
            let mut taps = [Taps { start: core::ptr::null(), step: 0 }; MAX_PIXELS];
            let taps = &mut taps[..y.len() / outputs];
            place(i * MAX_PIXELS, taps);
            block(taps, y);
        }
    };
    match l.weights {
        Weights::Dense(w) => {
            let row = across.checked_mul(l.tile.bytes())?;
            let w = w.get(..down.checked_mul(row)?)?;
            blocks(&mut |taps, y| {
                let rows = (0..down).map(|i| Dense { w: w[i * row..].as_ptr(), runs });
                // SAFETY: a row has a tile for each four taps of the runs; the rest is the caller's promise.
                unsafe { all_rows::<I, _>(rows, requant, &range, taps, y) }
            });
        }
        Weights::Blocks { counts, columns: Columns::U8(columns), tiles } => {
            let rows = stored_rows(counts.get(..down)?, columns, tiles, across)?;
            // SAFETY: `stored_rows` has checked tiles and columns; the rest is the caller's promise.
            blocks(&mut |taps, y| unsafe { all_rows::<I, _>(rows.clone(), requant, &range, taps, y) });
        }
        Weights::Blocks { counts, columns: Columns::U16(columns), tiles } => {
            let rows = stored_rows(counts.get(..down)?, columns, tiles, across)?;
            // SAFETY: as above.
            blocks(&mut |taps, y| unsafe { all_rows::<I, _>(rows.clone(), requant, &range, taps, y) });
        }
        Weights::TwoOfFour { .. } => return None,
    }
    Some(())
}

/// A row of tiles.
trait Row {
    /// # Safety
    /// As for [`Dot`].
    unsafe fn sums<I: Dot, const P: usize>(&self, bias: Sums, taps: &[Taps; P]) -> [Sums; P];
}

struct Dense {
    w: *const i8,
    runs: Runs,
}

impl Row for Dense {
    #[inline(always)]
    unsafe fn sums<I: Dot, const P: usize>(&self, bias: Sums, taps: &[Taps; P]) -> [Sums; P] {
        // SAFETY: the caller's promise.
        unsafe { I::dense(self.w, bias, self.runs, taps) }
    }
}

struct Stored<'a, C> {
    w: *const i8,
    columns: &'a [C],
}

impl<C: Column> Row for Stored<'_, C> {
    #[inline(always)]
    unsafe fn sums<I: Dot, const P: usize>(&self, bias: Sums, taps: &[Taps; P]) -> [Sums; P] {
        // SAFETY: the caller's promise.
        unsafe { I::blocks(self.w, bias, self.columns, taps) }
    }
}

/// The rows of a sparse matrix; `None` unless each has all its tiles, in columns below `across`.
fn stored_rows<'a, C: Column>(
    counts: &'a [u16],
    columns: &'a [C],
    tiles: &'a [i8],
    across: usize,
) -> Option<impl Iterator<Item = Stored<'a, C>> + Clone> {
    let stored = counts.iter().map(|c| *c as usize).sum();
    let columns = columns.get(..stored)?;
    let tiles = tiles.get(..stored.checked_mul(32)?)?;
    if !columns.iter().all(|c| c.tap() < across * 4) {
        return None;
    }
    let row = move |first: &mut usize, count: &u16| {
        let begin = *first;
        *first += *count as usize;
        Some(Stored { w: tiles[begin * 32..].as_ptr(), columns: &columns[begin..*first] })
    };
    Some(counts.iter().scan(0, row))
}

/// A block of pixels times all rows.
///
/// # Safety
/// As for [`Dot`], for every row.
#[inline(always)]
unsafe fn all_rows<I: Dot, R: Row>(
    rows: impl Iterator<Item = R>,
    requant: &[Requant],
    range: &Range,
    taps: &[Taps],
    y: &mut [i8],
) {
    let outputs = requant.len();
    for (i, (row, requant)) in rows.zip(requant.chunks(8)).enumerate() {
        let mut out = Out { params: eight(requant), range, y, outputs, first: i * 8, count: requant.len() };
        let mut taps = taps;
        let mut pixel = 0;
        // SAFETY: the caller's promise, for each group of pixels.
        unsafe {
            while I::PIXELS == 8
                && let Some((group, rest)) = taps.split_first_chunk::<8>()
            {
                pixel += out.put(pixel, row.sums::<I, 8>(out.params[0], group));
                taps = rest;
            }
            while let Some((group, rest)) = taps.split_first_chunk::<4>() {
                pixel += out.put(pixel, row.sums::<I, 4>(out.params[0], group));
                taps = rest;
            }
            while let Some((group, rest)) = taps.split_first_chunk::<2>() {
                pixel += out.put(pixel, row.sums::<I, 2>(out.params[0], group));
                taps = rest;
            }
            if let Some(group) = taps.first_chunk::<1>() {
                out.put(pixel, row.sums::<I, 1>(out.params[0], group));
            }
        }
    }
}

/// Where the sums of a row go.
struct Out<'a> {
    /// Biases and multipliers.
    params: [Sums; 2],
    range: &'a Range,
    y: &'a mut [i8],
    /// Outputs of a pixel, and those of this row.
    outputs: usize,
    first: usize,
    count: usize,
}

impl Out<'_> {
    /// Requantises and stores the sums of the pixels from `pixel` on; gives their number.
    #[inline(always)]
    fn put<const P: usize>(&mut self, pixel: usize, sums: [Sums; P]) -> usize {
        let begin = pixel * self.outputs + self.first;
        let y = &mut self.y[begin..begin + (P - 1) * self.outputs + self.count];
        let values = sums.map(|s| self.range.requantise(s, self.params[1]));
        if self.count == 8 {
            for (p, v) in values.into_iter().enumerate() {
                // SAFETY: the slice ends with the eighth output of the last pixel.
                unsafe { vst1_s8(y.as_mut_ptr().add(p * self.outputs), v) };
            }
        } else {
            for (y, v) in y.chunks_mut(self.outputs).zip(values) {
                let mut all = [0; 8];
                store(v, &mut all);
                for (y, v) in y.iter_mut().take(self.count).zip(all) {
                    *y = v;
                }
            }
        }
        P
    }
}
