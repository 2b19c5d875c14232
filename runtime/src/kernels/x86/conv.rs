//! Convolution: tiles of some outputs × some pixels stay in registers while all taps pass.
//!
//! The input's rows are prepared in bands ([`super::band`]), so that the four bytes that belong to a tile of taps
//! lie at one distance from the first byte of every pixel's window. Where they do not (an odd number of channels in
//! several rows), the columns of some pixels are gathered first.

use core::array::from_fn;

use super::lanes::Lanes;
use super::matrix::{OUTPUTS, TILE, takes};
use super::requant::{Shared, vector};
use super::{band, pixels};
use crate::format::vnni::{ConvScratch, GATHERED};
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
    let [in_c, out_c] = [g.input[2], g.output[2]];
    if !pixels::fit(g, x, y) || !takes(l, out_c, g.kernel[0] * g.kernel[1] * in_c) {
        return false;
    }
    let s = ConvScratch::new(g.kernel, g.stride, g.dilation, in_c, g.output[1]);
    let skip = scratch.as_ptr().align_offset(64);
    let Some((offsets, rest)) = scratch.get_mut(skip..).and_then(|at| at.split_at_mut_checked(s.offsets())) else {
        return false;
    };
    let Some((columns, room)) = rest.split_at_mut_checked(s.columns()) else { return false };
    let most_rows = s.rows(room.len());
    let Ok(offsets) = bytemuck::try_cast_slice_mut::<u8, u32>(offsets) else { return false };
    if most_rows == 0 || u32::try_from(room.len().max(columns.len())).is_err() {
        return false;
    }
    write_offsets(g, &s, offsets);
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
        let size = if s.column == 0 { CHUNK } else { GATHERED };
        for (chunk, y) in y.chunks_mut(size * out_c).enumerate() {
            let count = y.len() / out_c;
            write_bases(g, &s, chunk * size, &mut bases[..count]);
            let mut from = room.as_ptr();
            if s.column > 0 {
                // SAFETY: the bases are of windows in the band, and the columns have room for `GATHERED` and a line.
                unsafe { gather::<V>(g, &s, room.as_ptr(), &bases[..count], columns.as_mut_ptr()) };
                bases[..count].iter_mut().enumerate().for_each(|(i, b)| *b = (i * s.column) as u32);
                from = columns.as_ptr();
            }
            let last = bases[count - 1];
            bases[count..count + MOST].fill(last);
            let chunk = Chunk { from, bases: &bases, count, offsets, to: y.as_mut_ptr(), out_c };
            // SAFETY: bases and offsets name four bytes in the band or the columns, weights are checked.
            unsafe { chunk.all(l, &shared, s.across) };
        }
        first += rows;
    }
    true
}

/// Where the tiles of taps lie, from the first byte of a window.
fn write_offsets(g: &Geometry, s: &ConvScratch, offsets: &mut [u32]) {
    let channels = g.input[2];
    let mut offsets = offsets[..s.across].iter_mut();
    if s.column > 0 {
        offsets.enumerate().for_each(|(i, o)| *o = (i * 4) as u32);
        return;
    }
    let (runs, len) = if g.dilation[1] == 1 { (1, g.kernel[1] * channels) } else { (g.kernel[1], channels) };
    for row in 0..g.kernel[0] {
        for run in 0..runs {
            let start = row * g.dilation[0] * s.row + run * g.dilation[1] * channels;
            for (i, o) in offsets.by_ref().take(len.div_ceil(4)).enumerate() {
                *o = (start + i * 4) as u32;
            }
        }
    }
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

/// Copies the windows at `bases` to columns without gaps.
///
/// # Safety
/// See [`Lanes`]. The windows lie in the band at `from`, with a line behind them; `to` has room for as many columns
/// and a line.
#[inline(always)]
unsafe fn gather<V: Lanes>(g: &Geometry, s: &ConvScratch, from: *const u8, bases: &[u32], to: *mut u8) {
    let channels = g.input[2];
    let (runs, len) = if g.dilation[1] == 1 { (1, g.kernel[1] * channels) } else { (g.kernel[1], channels) };
    for (i, &base) in bases.iter().enumerate() {
        // SAFETY: runs are pieces of the window; each is written in whole vectors, whose rest the next run (at the
        // end the line behind the columns) takes.
        unsafe {
            let mut to = to.add(i * s.column);
            for row in 0..g.kernel[0] {
                for run in 0..runs {
                    let from = from.add(base as usize + row * g.dilation[0] * s.row + run * g.dilation[1] * channels);
                    if len <= 16 {
                        to.cast::<u128>().write_unaligned(from.cast::<u128>().read_unaligned());
                    } else {
                        for at in (0..len).step_by(V::BYTES) {
                            V::store(to.add(at), V::load(from.add(at)));
                        }
                    }
                    to = to.add(len);
                }
            }
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
    /// Of the tiles of taps from a base.
    offsets: &'a [u32],
    /// `count` times `out_c` bytes.
    to: *mut i8,
    out_c: usize,
}

impl Chunk<'_> {
    /// All outputs of the pixels.
    ///
    /// # Safety
    /// See [`Lanes`]. Weights are those that [`takes`] takes, pointers as the fields say.
    #[inline(always)]
    unsafe fn all<V: Lanes>(&self, l: &Layer, shared: &Shared<V>, across: usize) {
        // SAFETY: tiles lie one after another, `across` of them or as many as are stored in a row of tiles; columns
        // are below `across`, which is the number of offsets.
        unsafe {
            match l.weights {
                Weights::Dense(w) => {
                    let offset = |i: usize| *self.offsets.get_unchecked(i) as usize;
                    let (mut output, row) = (0, across * TILE);
                    while output < self.out_c {
                        let w = w.as_ptr().cast::<u8>().add(output / OUTPUTS * row);
                        let steps = Steps { w, row, count: across };
                        output += match (self.out_c - output).div_ceil(OUTPUTS) {
                            _ if V::BYTES < TILE => self.narrow(l, shared, output, &steps, offset),
                            1 => self.some::<V, 1, 8, 4>(l, shared, output, &steps, offset),
                            2 | 3 => self.some::<V, 2, 8, 4>(l, shared, output, &steps, offset),
                            _ => self.some::<V, 4, 6, 3>(l, shared, output, &steps, offset),
                        };
                    }
                }
                Weights::Blocks { counts, columns: Columns::U8(columns), tiles } => {
                    self.blocks(l, shared, counts, columns, tiles);
                }
                Weights::Blocks { counts, columns: Columns::U16(columns), tiles } => {
                    self.blocks(l, shared, counts, columns, tiles);
                }
                Weights::TwoOfFour { .. } => {}
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
    ) {
        let mut w = tiles.as_ptr().cast::<u8>();
        for (row, &count) in counts.iter().enumerate() {
            let (these, rest) = columns.split_at(count as usize);
            let steps = Steps { w, row: 0, count: these.len() };
            // SAFETY: `i` is below the row's number of tiles; the columns have been checked.
            let offset = |i: usize| unsafe { *self.offsets.get_unchecked((*these.get_unchecked(i)).into()) as usize };
            // SAFETY: as this function's.
            unsafe {
                if V::BYTES < TILE {
                    self.narrow(l, shared, row * OUTPUTS, &steps, offset);
                } else {
                    self.some::<V, 1, 8, 4>(l, shared, row * OUTPUTS, &steps, offset);
                }
                w = w.add(these.len() * TILE);
            }
            columns = rest;
        }
    }

    /// The outputs of one row of tiles with vectors of half a tile.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn narrow<V: Lanes>(
        &self,
        l: &Layer,
        shared: &Shared<V>,
        output: usize,
        steps: &Steps,
        offset: impl Fn(usize) -> usize,
    ) -> usize {
        // SAFETY: as this function's.
        unsafe {
            if V::SUMS < 12 {
                self.some::<V, 2, 4, 2>(l, shared, output, steps, offset)
            } else {
                self.some::<V, 2, 6, 2>(l, shared, output, steps, offset)
            }
        }
    }

    /// `R` vectors of outputs, from `output` on, of all pixels: `P` at a time, of the last ones `H` at a time. Gives
    /// the number of outputs of so many vectors.
    ///
    /// # Safety
    /// As [`Chunk::all`].
    #[inline(always)]
    unsafe fn some<V: Lanes, const R: usize, const P: usize, const H: usize>(
        &self,
        l: &Layer,
        shared: &Shared<V>,
        output: usize,
        steps: &Steps,
        offset: impl Fn(usize) -> usize,
    ) -> usize {
        let lanes = V::BYTES / 4;
        // SAFETY: as this function's; there are bases for `MOST` pixels more.
        unsafe {
            let params: [_; R] = from_fn(|r| vector::<V>(l.requant, output + r * lanes));
            let (bias, mul) = (params.map(|p| p.0), params.map(|p| p.1));
            let mut pixel = 0;
            while pixel < self.count {
                if self.count - pixel > H {
                    let sums = self.tile::<V, R, P>(pixel, bias, steps, &offset);
                    self.finish(sums, shared, mul, output, pixel);
                    pixel += P;
                } else {
                    let sums = self.tile::<V, R, H>(pixel, bias, steps, &offset);
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
    unsafe fn tile<V: Lanes, const R: usize, const P: usize>(
        &self,
        pixel: usize,
        bias: [V::V; R],
        steps: &Steps,
        offset: &impl Fn(usize) -> usize,
    ) -> [[V::V; R]; P] {
        // SAFETY: `i` counts the steps; bases and offsets are as the fields say.
        unsafe {
            let pixels: [*const u8; P] = from_fn(|p| self.from.add(*self.bases.get_unchecked(pixel + p) as usize));
            let weights: [*const u8; R] = from_fn(|r| steps.vector::<V>(r));
            let mut sums = [bias; P];
            let mut i = 0;
            if R * P < 10 {
                // Too few sums to hide the latency of one dot product behind the others: twice as many.
                let mut others = [[V::splat32(0); R]; P];
                while i + 2 <= steps.count {
                    step::<V, R, P>(&mut sums, &pixels, offset(i), &weights, i);
                    step::<V, R, P>(&mut others, &pixels, offset(i + 1), &weights, i + 1);
                    i += 2;
                }
                for p in 0..P {
                    for r in 0..R {
                        sums[p][r] = V::add(sums[p][r], others[p][r]);
                    }
                }
            }
            while i < steps.count {
                step::<V, R, P>(&mut sums, &pixels, offset(i), &weights, i);
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
        mul: [super::requant::Multipliers<V>; R],
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
                let to = self.to.add((pixel + first) * self.out_c + output).cast::<u8>();
                if n == width && (per == 1 || n == self.out_c) && pixel + first + per <= self.count {
                    V::store(to, v);
                } else {
                    for p in 0..per.min(self.count.saturating_sub(pixel + first)) {
                        V::store_part(to.add(p * self.out_c), v, p * width, n);
                    }
                }
            }
        }
    }
}

/// The tiles of weights that are passed.
struct Steps {
    /// The first one.
    w: *const u8,
    /// Bytes to the tile of the next 16 outputs.
    row: usize,
    count: usize,
}

impl Steps {
    /// The first of the tiles' vectors of outputs `r`.
    #[inline(always)]
    fn vector<V: Lanes>(&self, r: usize) -> *const u8 {
        let per = TILE / V::BYTES;
        self.w.wrapping_add(r / per * self.row + r % per * V::BYTES)
    }
}

/// One tile of taps.
///
/// # Safety
/// See [`Lanes`]. Pixels have four bytes at `offset`, weights a vector at tile `i`.
#[inline(always)]
unsafe fn step<V: Lanes, const R: usize, const P: usize>(
    sums: &mut [[V::V; R]; P],
    pixels: &[*const u8; P],
    offset: usize,
    weights: &[*const u8; R],
    i: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let w: [V::V; R] = from_fn(|r| V::load(weights[r].add(i * TILE)));
        for p in 0..P {
            let x = V::four(pixels[p].add(offset));
            for r in 0..R {
                sums[p][r] = V::dot(sums[p][r], x, w[r]);
            }
        }
    }
}
