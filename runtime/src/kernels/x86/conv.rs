//! Convolution: tiles of some outputs × some pixels stay in registers while all taps pass.
//!
//! The input's rows are prepared in bands ([`super::band`]), so that the four bytes that belong to a tile of taps
//! lie at one distance from the first byte of every pixel's window ([`super::steps`]).

use core::array::from_fn;

use super::band;
use super::lanes::Lanes;
use super::matrix::{OUTPUTS, TILE, takes};
use super::requant::{Multipliers, Shared, vector};
use super::steps::{All, Piece, Pieces, Steps, Stored, write_offsets, write_pieces, write_stored};
use crate::format::vnni::ConvScratch;
use crate::kernels::{Columns, Geometry, Layer, Weights};

/// Pixels that all weights pass over, one row of tiles after the other.
const CHUNK: usize = 256;
/// Pixels of a register tile, at most.
const MOST: usize = 8;

/// Runs the operator, or says that it does not take it.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
pub(super) unsafe fn conv<V: Lanes>(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> bool {
    let out_c = g.output[2];
    if !g.fits(x, y) || !takes(l, out_c, g.kernel[0] * g.kernel[1] * g.input[2]) {
        return false;
    }
    let s = ConvScratch::new(g.kernel, g.stride, g.dilation, g.input[2], g.output[1]);
    let Some((offsets, pieces, room)) = parts(&s, scratch) else { return false };
    let most_rows = s.rows(room.len());
    if most_rows == 0 || u32::try_from(room.len()).is_err() {
        return false;
    }
    let (all, stored) = pieces.split_at_mut(pieces.len() / 2);
    let all = if s.direct {
        write_offsets(g, &s, offsets);
        None
    } else {
        let count = write_pieces(g, &s, offsets, all);
        Some(&all[..count])
    };
    // SAFETY: the shared parameters need the caller's instructions only.
    let shared = unsafe { Shared::<V>::of(l) };
    let mut bases = [0u32; CHUNK + MOST];
    let mut first = 0;
    while first < g.output[0] {
        let rows = most_rows.min(g.output[0] - first);
        let count = rows * g.output[1];
        let y = &mut y[first * g.output[1] * out_c..][..count * out_c];
        let input_rows = (rows - 1) * g.stride[0] + s.extent;
        // SAFETY: the room has `rows` output rows' bytes and a line more (see `ConvScratch::rows`).
        unsafe { band::fill::<V>(g, &s, l.zero_in, x, first, input_rows, room.as_mut_ptr()) };
        for (chunk, y) in y.chunks_mut(CHUNK * out_c).enumerate() {
            let count = y.len() / out_c;
            write_bases(g, &s, chunk * CHUNK, &mut bases[..count]);
            let last = bases[count - 1];
            bases[count..count + MOST].fill(last);
            let chunk = Chunk { from: room.as_ptr(), bases: &bases, count, to: y.as_mut_ptr(), out_c };
            // SAFETY: bases and offsets name four bytes in the band, or up to three behind it; weights are checked.
            unsafe { chunk.all(l, &shared, &offsets[..s.across + 1], all, stored) };
        }
        first += rows;
    }
    true
}

/// The parts of the scratch: a number for each tile of taps and one more, pieces, a band.
fn parts<'a>(s: &ConvScratch, scratch: &'a mut [u8]) -> Option<(&'a mut [u32], &'a mut [Piece], &'a mut [u8])> {
    let skip = scratch.as_ptr().align_offset(64);
    let (offsets, rest) = scratch.get_mut(skip..)?.split_at_mut_checked(s.offsets())?;
    let (pieces, room) = rest.split_at_mut_checked(s.pieces())?;
    let pieces = bytemuck::try_cast_slice_mut(&mut pieces[..s.most_pieces() * 2 * size_of::<Piece>()]).ok()?;
    Some((bytemuck::try_cast_slice_mut(offsets).ok()?, pieces, room))
}

/// Where the windows of pixels `first` and on begin in the band.
fn write_bases(g: &Geometry, s: &ConvScratch, first: usize, bases: &mut [u32]) {
    let (down, right) = (g.stride[0] * s.row, g.stride[1] * g.input[2]);
    let [mut row, mut column] = [first / g.output[1] * down, first % g.output[1]];
    for base in bases {
        *base = (row + column * right) as u32;
        column += 1;
        if column == g.output[1] {
            (row, column) = (row + down, 0);
        }
    }
}

/// Some pixels, and where their outputs go.
struct Chunk<'a> {
    /// What bases count from.
    from: *const u8,
    /// Of `count` pixels, and of the last one again and again.
    bases: &'a [u32; CHUNK + MOST],
    count: usize,
    /// `count` times `out_c` bytes.
    to: *mut i8,
    out_c: usize,
}

/// The tiles of weights that are passed: in one row of tiles, or those below each other in some.
struct Tiles {
    /// The first one.
    first: *const u8,
    /// Bytes to the tile of the next 16 outputs.
    row: usize,
}

impl Tiles {
    /// The first tile's vector of outputs `r`.
    #[inline(always)]
    fn vector<V: Lanes>(&self, r: usize) -> *const u8 {
        let per = TILE / V::BYTES;
        self.first.wrapping_add(r / per * self.row + r % per * V::BYTES)
    }
}

impl Chunk<'_> {
    /// All outputs of the pixels. `offsets` are those of the tiles, or first pieces of them where there are pieces.
    ///
    /// # Safety
    /// See [`Lanes`]. Weights are those that [`takes`] takes, pointers as the fields say.
    #[inline(always)]
    unsafe fn all<V: Lanes>(
        &self,
        l: &Layer,
        shared: &Shared<V>,
        offsets: &[u32],
        pieces: Option<&[Piece]>,
        stored: &mut [Piece],
    ) {
        let offset_of = &offsets[..offsets.len() - 1];
        // SAFETY: tiles lie one after another, as many as there are offsets, or as are stored in a row of tiles.
        unsafe {
            match (l.weights, pieces) {
                (Weights::Dense(w), None) => self.dense(l, shared, w, offset_of.len(), &All { offsets: offset_of }),
                (Weights::Dense(w), Some(all)) => self.dense(l, shared, w, offset_of.len(), &Pieces(all)),
                (Weights::Blocks { counts, columns: Columns::U8(columns), tiles }, None) => {
                    self.blocks(l, shared, counts, columns, tiles, offset_of);
                }
                (Weights::Blocks { counts, columns: Columns::U16(columns), tiles }, None) => {
                    self.blocks(l, shared, counts, columns, tiles, offset_of);
                }
                (Weights::Blocks { counts, columns, tiles }, Some(all)) => {
                    let (mut tile, mut first) = (tiles.as_ptr().cast::<u8>(), 0);
                    for (row, &count) in counts.iter().enumerate() {
                        let range = first..first + count as usize;
                        let pieces = match columns {
                            Columns::U8(columns) => write_stored(&columns[range.clone()], offsets, all, stored),
                            Columns::U16(columns) => write_stored(&columns[range.clone()], offsets, all, stored),
                        };
                        self.one(l, shared, row * OUTPUTS, tile, &Pieces(&stored[..pieces]));
                        tile = tile.add(count as usize * TILE);
                        first = range.end;
                    }
                }
                (Weights::TwoOfFour { .. }, _) => {}
            }
        }
    }

    /// As [`Chunk::all`], of all tiles, `across` in a row.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn dense<V: Lanes, S: Steps>(&self, l: &Layer, shared: &Shared<V>, w: &[i8], across: usize, steps: &S) {
        let (mut output, row) = (0, across * TILE);
        // SAFETY: as this function's; there is a row of tiles for each 16 outputs.
        unsafe {
            while output < self.out_c {
                let tiles = Tiles { first: w.as_ptr().cast::<u8>().add(output / OUTPUTS * row), row };
                output += match (self.out_c - output).div_ceil(OUTPUTS) {
                    _ if V::BYTES < TILE => self.narrow(l, shared, output, &tiles, steps),
                    1 => self.some::<V, S, 1, 8, 4>(l, shared, output, &tiles, steps),
                    2 | 3 => self.some::<V, S, 2, 8, 4>(l, shared, output, &tiles, steps),
                    _ => self.some::<V, S, 4, 6, 3>(l, shared, output, &tiles, steps),
                };
            }
        }
    }

    /// As [`Chunk::all`], of stored tiles.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn blocks<V: Lanes, C: Copy + Into<usize>>(
        &self,
        l: &Layer,
        shared: &Shared<V>,
        counts: &[u16],
        mut columns: &[C],
        tiles: &[i8],
        offsets: &[u32],
    ) {
        let mut tile = tiles.as_ptr().cast::<u8>();
        for (row, &count) in counts.iter().enumerate() {
            let (these, rest) = columns.split_at(count as usize);
            // SAFETY: as this function's; the next row's tiles follow.
            unsafe {
                self.one(l, shared, row * OUTPUTS, tile, &Stored { offsets, columns: these });
                tile = tile.add(these.len() * TILE);
            }
            columns = rest;
        }
    }

    /// The outputs of one row of tiles.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn one<V: Lanes, S: Steps>(&self, l: &Layer, shared: &Shared<V>, output: usize, tile: *const u8, steps: &S) {
        let tiles = Tiles { first: tile, row: 0 };
        // SAFETY: as this function's.
        unsafe {
            if V::BYTES < TILE {
                self.narrow(l, shared, output, &tiles, steps);
            } else {
                self.some::<V, S, 1, 8, 4>(l, shared, output, &tiles, steps);
            }
        }
    }

    /// The outputs of one row of tiles with vectors of half a tile.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn narrow<V: Lanes, S: Steps>(
        &self,
        l: &Layer,
        shared: &Shared<V>,
        output: usize,
        tiles: &Tiles,
        steps: &S,
    ) -> usize {
        // SAFETY: as this function's.
        unsafe {
            if V::SUMS < 12 {
                self.some::<V, S, 2, 4, 2>(l, shared, output, tiles, steps)
            } else {
                self.some::<V, S, 2, 6, 2>(l, shared, output, tiles, steps)
            }
        }
    }

    /// `R` vectors of outputs, from `output` on, of all pixels: `P` at a time, of the last ones `H` at a time. Gives
    /// the number of outputs of so many vectors.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn some<V: Lanes, S: Steps, const R: usize, const P: usize, const H: usize>(
        &self,
        l: &Layer,
        shared: &Shared<V>,
        output: usize,
        tiles: &Tiles,
        steps: &S,
    ) -> usize {
        let lanes = V::BYTES / 4;
        // SAFETY: as this function's; there are bases for `MOST` pixels more.
        unsafe {
            let params: [_; R] = from_fn(|r| vector::<V>(l.requant, output + r * lanes));
            let (bias, mul) = (params.map(|p| p.0), params.map(|p| p.1));
            let mut pixel = 0;
            while pixel < self.count {
                if self.count - pixel > H {
                    let sums = self.tile::<V, S, R, P>(pixel, bias, tiles, steps);
                    self.finish(sums, shared, mul, output, pixel);
                    pixel += P;
                } else {
                    let sums = self.tile::<V, S, R, H>(pixel, bias, tiles, steps);
                    self.finish(sums, shared, mul, output, pixel);
                    pixel += H;
                }
            }
        }
        R * lanes
    }

    /// The sums of `R` vectors of outputs of `P` pixels.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn tile<V: Lanes, S: Steps, const R: usize, const P: usize>(
        &self,
        pixel: usize,
        bias: [V::V; R],
        tiles: &Tiles,
        steps: &S,
    ) -> [[V::V; R]; P] {
        // SAFETY: `i` counts the steps; bases and offsets are as the fields say.
        unsafe {
            let pixels: [*const u8; P] = from_fn(|p| self.from.add(*self.bases.get_unchecked(pixel + p) as usize));
            let weights: [*const u8; R] = from_fn(|r| tiles.vector::<V>(r));
            let mut sums = [bias; P];
            let mut i = 0;
            if R * P < 10 {
                // Too few sums to hide the latency of one dot product behind the others: twice as many.
                let mut others = [[V::splat32(0); R]; P];
                while i + 2 <= steps.count() {
                    step::<V, S, R, P>(&mut sums, &pixels, &weights, steps.at(i));
                    step::<V, S, R, P>(&mut others, &pixels, &weights, steps.at(i + 1));
                    i += 2;
                }
                for p in 0..P {
                    for r in 0..R {
                        sums[p][r] = V::add(sums[p][r], others[p][r]);
                    }
                }
            }
            while i < steps.count() {
                step::<V, S, R, P>(&mut sums, &pixels, &weights, steps.at(i));
                i += 1;
            }
            sums
        }
    }

    /// Requantises and stores.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn finish<V: Lanes, const R: usize, const P: usize>(
        &self,
        sums: [[V::V; R]; P],
        shared: &Shared<V>,
        mul: [Multipliers<V>; R],
        output: usize,
        pixel: usize,
    ) {
        let width = R * V::BYTES / 4;
        let (per, n) = (4 / R, width.min(self.out_c - output));
        for first in (0..P).step_by(per) {
            // SAFETY: only pixels below `count` and outputs below `out_c` are stored.
            unsafe {
                let four = from_fn(|i| sums[first + i / R][i % R]);
                let v = V::in_order(shared.narrow(four, from_fn(|i| mul[i % R])));
                let to = self.to.wrapping_add((pixel + first) * self.out_c + output).cast::<u8>();
                if n == width && (per == 1 || n == self.out_c) && pixel + first + per <= self.count {
                    V::store(to, v);
                } else {
                    for p in 0..per.min(self.count.saturating_sub(pixel + first)) {
                        V::store_part(to.wrapping_add(p * self.out_c), v, p * width, n);
                    }
                }
            }
        }
    }
}

/// One step: offset, number of the tile, mask.
///
/// # Safety
/// See [`Lanes`]. Pixels have four bytes at the offset, weights a vector at the tile.
#[inline(always)]
unsafe fn step<V: Lanes, S: Steps, const R: usize, const P: usize>(
    sums: &mut [[V::V; R]; P],
    pixels: &[*const u8; P],
    weights: &[*const u8; R],
    (offset, tile, mask): (usize, usize, u32),
) {
    // SAFETY: the caller's.
    unsafe {
        let mut w: [V::V; R] = from_fn(|r| V::load(weights[r].add(tile * TILE)));
        if S::MASKED {
            let mask = V::splat32(mask as i32);
            for w in &mut w {
                *w = V::and(*w, mask);
            }
        }
        for p in 0..P {
            let x = V::four(pixels[p].add(offset));
            for r in 0..R {
                sums[p][r] = V::dot(sums[p][r], x, w[r]);
            }
        }
    }
}
