//! Depthwise convolution: four kernel rows at a time.
//!
//! For each output row, the input rows under its windows are interleaved: the bytes of four rows become the four
//! bytes that a dot product takes. They are written to four planes in the order of [`Lanes::interleave`]: plane `q`
//! has, for each 16 bytes of a row, the bytes from `4 * q` on. Windows then move by whole lanes. The zero point of
//! the input lies around the rows, in the planes themselves.

use super::lanes::Lanes;
use super::matrix::takes_output;
use super::requant::{Multipliers, Shared};
use crate::format::vnni::DepthwiseScratch;
use crate::kernels::{Geometry, Layer};

/// Runs the operator, or says that it does not take it.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
pub(super) unsafe fn depthwise<V: Lanes>(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> bool {
    let channels = g.output[2];
    let Some(weights) = l.weights.dense() else { return false };
    if !g.fits(x, y)
        || g.input[2] != channels
        || !takes_output(l, channels)
        || weights.len() != g.kernel[0] * g.kernel[1] * channels
    {
        return false;
    }
    let s = DepthwiseScratch::new(g.kernel, g.stride[1], g.dilation[1], channels, g.input[1], g.output[1]);
    let skip = scratch.as_ptr().align_offset(64);
    // `len` counts a line for the alignment.
    if scratch.len() < s.len(g.output[0]) || skip >= 64 {
        return false;
    }
    let most_rows = s.rows(g.output[0]);
    // SAFETY: the scratch is `s.len()` long, and its parts follow one another as `DepthwiseScratch::len` counts them.
    unsafe {
        let planes = scratch.as_mut_ptr().add(skip);
        let weights_at = planes.add(most_rows * s.planes());
        let requant_at = weights_at.add(s.weights());
        let border = requant_at.add(s.requant());
        border.write_bytes(l.zero_in as u8, s.input_row);
        let job =
            Job::<V> { g, l, s: &s, planes, weights: weights_at, requant: requant_at, border, shared: Shared::of(l) };
        job.prepare(weights);
        let row = g.output[1] * channels;
        for (i, y) in y.chunks_mut(most_rows * row).enumerate() {
            let rows = y.len() / row;
            for r in 0..rows {
                job.interleave(i * most_rows + r, x, r);
            }
            match g.kernel[1] {
                3 if s.groups == 1 => job.rows::<3>(rows, y),
                _ => job.rows::<0>(rows, y),
            }
        }
    }
    true
}

struct Job<'a, V: Lanes> {
    g: &'a Geometry,
    l: &'a Layer<'a>,
    s: &'a DepthwiseScratch,
    planes: *mut u8,
    weights: *mut u8,
    requant: *mut u8,
    border: *const u8,
    shared: Shared<V>,
}

impl<V: Lanes> Job<'_, V> {
    /// Vectors of channels.
    fn blocks(&self) -> usize {
        self.g.output[2].div_ceil(V::BYTES)
    }

    /// Brings weights, biases and multipliers into the order of the planes, a vector of channels after the other.
    ///
    /// # Safety
    /// See [`Lanes`]; the pointers are to the parts of the scratch.
    #[inline(always)]
    unsafe fn prepare(&self, weights: &[i8]) {
        let channels = self.g.output[2];
        let kernel_w = self.g.kernel[1];
        for block in 0..self.blocks() {
            let first = block * V::BYTES;
            self.order_requant(block);
            // SAFETY: parts of the scratch of this block.
            unsafe {
                let requant = self.requant.add(block * 12 * V::BYTES);
                let ones = V::splat8(-128);
                for group in 0..self.s.groups {
                    for column in 0..kernel_w {
                        let at = |i: usize| ((group * 4 + i) * kernel_w + column) * channels;
                        let four = [
                            self.taps(weights, at(0), first),
                            self.taps(weights, at(1), first),
                            self.taps(weights, at(2), first),
                            self.taps(weights, at(3), first),
                        ];
                        for (q, w) in V::interleave(four).into_iter().enumerate() {
                            V::store(self.filter(block, group * kernel_w + column).add(q * V::BYTES), w);
                            // Values are read as `x + 128`.
                            let bias = requant.add(q * V::BYTES);
                            V::store(bias, V::sub(V::load(bias), V::dot(V::splat32(0), ones, w)));
                        }
                    }
                }
                for q in 0..4 {
                    let mul = V::load(requant.add((4 + q) * V::BYTES));
                    V::store(requant.add((8 + q) * V::BYTES), V::odd(mul));
                }
            }
        }
    }

    /// A vector of the weights of one tap, which begin at `start`: the channels from `first` on, or all of them again
    /// and again; zeros past the last tap.
    ///
    /// # Safety
    /// See [`Lanes`].
    #[inline(always)]
    unsafe fn taps(&self, weights: &[i8], start: usize, first: usize) -> V::V {
        let channels = self.g.output[2];
        // SAFETY: vectors of the line and of the filter.
        unsafe {
            let Some(filter) = weights.get(start..start + channels) else { return V::splat8(0) };
            if !self.s.across_pixels {
                let rest = &filter[first..];
                return V::load_first(rest.as_ptr().cast(), rest.len().min(V::BYTES));
            }
            let mut line = [0i8; 64];
            for pixel in line.chunks_exact_mut(channels) {
                pixel.copy_from_slice(filter);
            }
            V::load(line.as_ptr().cast())
        }
    }

    /// Biases, then multipliers of a vector of channels.
    #[inline(always)]
    fn order_requant(&self, block: usize) {
        let channels = self.g.output[2];
        let lanes = V::BYTES / 4;
        for at in (0..V::BYTES).step_by(4) {
            // Four channels that lie in one lane of one plane.
            let (lane, q) = (at / 16, at % 16 / 4);
            let first = if self.s.across_pixels { at % channels } else { block * V::BYTES + at };
            for i in 0..4 {
                let r = self.l.requant[..channels].get(first + i).copied();
                let r = r.map_or([0, 0], |r| [r.bias, r.mul]);
                let to = q * lanes + lane * 4 + i;
                // SAFETY: within the first eight vectors of the block's twelve.
                unsafe {
                    let requant = self.requant.add(block * 12 * V::BYTES).cast::<i32>();
                    requant.add(to).write(r[0]);
                    requant.add(4 * lanes + to).write(r[1]);
                }
            }
        }
    }

    /// The four vectors of weights of a column of taps.
    #[inline(always)]
    fn filter(&self, block: usize, column: usize) -> *mut u8 {
        let columns = self.s.groups * self.g.kernel[1];
        self.weights.wrapping_add((block * columns + column) * 4 * V::BYTES)
    }

    /// Writes the planes of one output row, to place `slot`.
    ///
    /// # Safety
    /// See [`Lanes`]; `x` has the geometry's length, the pointers are to the parts of the scratch.
    #[inline(always)]
    unsafe fn interleave(&self, output_row: usize, x: &[i8], slot: usize) {
        let (g, s) = (self.g, self.s);
        let [height, width, channels] = g.input;
        let left = g.pad[1].min(s.width);
        let inner = width.min(s.width - left);
        let right = s.width - left - inner;
        // Pixels without gaps are one run.
        let (runs, run) = if s.pitch == channels { (1, inner * channels) } else { (inner, channels) };
        let (start, end) = (self.origin() + left * s.pitch, self.origin() + (left + inner) * s.pitch);
        for group in 0..s.groups {
            let row = |i: usize| {
                let tap = group * 4 + i;
                let row = (output_row * g.stride[0] + tap * g.dilation[0]).wrapping_sub(g.pad[0]);
                let inside = tap < g.kernel[0] && row < height;
                if inside { x[row * width * channels..].as_ptr().cast() } else { self.border }
            };
            let rows: [*const u8; 4] = [row(0), row(1), row(2), row(3)];
            // SAFETY: runs are pieces of input rows, or of the border, which is as long; the planes have room for the
            // row and two vectors.
            unsafe {
                let sign = V::splat8(-128);
                let plane = self.planes.add(slot * s.planes() + group * 4 * s.plane);
                self.pad(plane, 0, start);
                for i in 0..runs {
                    let to = plane.add(start + i * s.pitch);
                    let at = |r: usize| rows[r].wrapping_add(i * channels);
                    let rows = [at(0), at(1), at(2), at(3)];
                    let mut at = 0;
                    while at + V::BYTES <= run {
                        let four = [
                            V::xor(V::load(rows[0].add(at)), sign),
                            V::xor(V::load(rows[1].add(at)), sign),
                            V::xor(V::load(rows[2].add(at)), sign),
                            V::xor(V::load(rows[3].add(at)), sign),
                        ];
                        self.store_planes(to.add(at), V::interleave(four));
                        at += V::BYTES;
                    }
                    if at < run {
                        let four = [
                            V::xor(V::load_first(rows[0].add(at), run - at), sign),
                            V::xor(V::load_first(rows[1].add(at), run - at), sign),
                            V::xor(V::load_first(rows[2].add(at), run - at), sign),
                            V::xor(V::load_first(rows[3].add(at), run - at), sign),
                        ];
                        self.store_planes(to.add(at), V::interleave(four));
                    }
                }
                // The vectors reach into the padding to the right.
                self.pad(plane, end, end + right * s.pitch);
            }
        }
    }

    /// Fills the planes with the zero point from byte `start` of the row, a multiple of 4, to `end` and on to the end
    /// of the lane; up to a vector behind them is overwritten.
    ///
    /// # Safety
    /// See [`Lanes`]; `plane` is the first of four planes of a group.
    #[inline(always)]
    unsafe fn pad(&self, plane: *mut u8, start: usize, end: usize) {
        // SAFETY: the planes have room for the row and two vectors.
        unsafe {
            let zero = V::splat8((self.l.zero_in as u8 ^ 0x80) as i8);
            for q in 0..4 {
                let mut at = start.saturating_sub(4 * q).next_multiple_of(16);
                while at < end {
                    V::store(plane.add(q * self.s.plane + at), zero);
                    at += V::BYTES;
                }
            }
        }
    }

    /// # Safety
    /// See [`Lanes`]; there is room for a vector in each plane, from `to` in the first one.
    #[inline(always)]
    unsafe fn store_planes(&self, to: *mut u8, four: [V::V; 4]) {
        // SAFETY: as this function's.
        unsafe {
            V::store(to, four[0]);
            V::store(to.add(self.s.plane), four[1]);
            V::store(to.add(2 * self.s.plane), four[2]);
            V::store(to.add(3 * self.s.plane), four[3]);
        }
    }

    /// Where the padding to the left begins in a plane, so that the input begins at a multiple of 16.
    #[inline(always)]
    fn origin(&self) -> usize {
        let left = self.g.pad[1].min(self.s.width) * self.s.pitch;
        left.next_multiple_of(16) - left
    }

    /// Output rows of which the planes have been written; `W` is the kernel's width when all of its weights stay in
    /// registers, else 0.
    ///
    /// # Safety
    /// See [`Lanes`]; the planes have been written.
    #[inline(always)]
    unsafe fn rows<const W: usize>(&self, rows: usize, y: &mut [i8]) {
        let (g, s) = (self.g, self.s);
        let channels = g.output[2];
        let row = g.output[1] * channels;
        // SAFETY: as this function's.
        unsafe {
            if s.across_pixels {
                let steps = (row.div_ceil(V::BYTES), V::BYTES, V::BYTES);
                return self.block::<W>(0, rows, steps, row, y.as_mut_ptr());
            }
            for block in 0..self.blocks() {
                let rest = channels - block * V::BYTES;
                let steps = (g.output[1], g.stride[1] * s.pitch, channels);
                self.block::<W>(block, rows, steps, rest.min(V::BYTES), y.as_mut_ptr().add(block * V::BYTES));
            }
        }
    }

    /// A vector of channels along the rows: `steps` are their number in a row, the bytes from one to the next in a
    /// plane and in the output. `n` outputs are valid: of each step, or (where vectors go across pixels) of a row.
    ///
    /// # Safety
    /// See [`Lanes`]; the planes have been written, `y` has room for the valid outputs.
    #[inline(always)]
    unsafe fn block<const W: usize>(
        &self,
        block: usize,
        rows: usize,
        steps: (usize, usize, usize),
        n: usize,
        y: *mut i8,
    ) {
        let (g, s) = (self.g, self.s);
        let (count, step_in, step_out) = steps;
        let columns = s.groups * g.kernel[1];
        // SAFETY: windows lie in the planes, which have room for two vectors more.
        unsafe {
            let requant = self.requant.add(block * 12 * V::BYTES);
            let bias = four::<V>(requant);
            let (all, odd) = (four::<V>(requant.add(4 * V::BYTES)), four::<V>(requant.add(8 * V::BYTES)));
            let mut mul = [Multipliers::<V> { all: all[0], odd: odd[0] }; 4];
            for (q, mul) in mul.iter_mut().enumerate() {
                *mul = Multipliers { all: all[q], odd: odd[q] };
            }
            let filter = self.filter(block, 0);
            let first = if s.across_pixels { 0 } else { block * V::BYTES };
            let move_by = g.dilation[1] * s.pitch;
            let mut held = [[V::splat8(0); 4]; W];
            let mut offsets = [[0; 4]; W];
            for (j, (held, offsets)) in held.iter_mut().zip(&mut offsets).enumerate() {
                for q in 0..4 {
                    held[q] = V::load(filter.add((j * 4 + q) * V::BYTES));
                    offsets[q] = self.place(0, j * move_by, q);
                }
            }
            let row_out = g.output[1] * g.output[2];
            for row in 0..rows {
                let mut from = self.planes.add(row * s.planes() + first).cast_const();
                let mut to = y.add(row * row_out).cast::<u8>();
                for i in 0..count {
                    let mut sums = bias;
                    if W > 0 {
                        for (w, offsets) in held.iter().zip(&offsets) {
                            for (q, sum) in sums.iter_mut().enumerate() {
                                *sum = V::dot(*sum, V::load(from.add(offsets[q])), w[q]);
                            }
                        }
                    } else {
                        for column in 0..columns {
                            let (group, j) = (column / g.kernel[1], column % g.kernel[1]);
                            for (q, sum) in sums.iter_mut().enumerate() {
                                let x = V::load(from.add(self.place(group, j * move_by, q)));
                                *sum = V::dot(*sum, x, V::load(filter.add((column * 4 + q) * V::BYTES)));
                            }
                        }
                    }
                    let v = self.shared.narrow(sums, mul);
                    let valid = if s.across_pixels { n - i * step_out } else { n };
                    if valid >= V::BYTES {
                        V::store(to, v)
                    } else {
                        V::store_part(to, v, 0, valid)
                    }
                    (from, to) = (from.wrapping_add(step_in), to.wrapping_add(step_out));
                }
            }
        }
    }

    /// Where the bytes from `4 * q + distance` on lie, for each 16 bytes of a group's rows.
    #[inline(always)]
    fn place(&self, group: usize, distance: usize, q: usize) -> usize {
        let byte = self.origin() + distance + 4 * q;
        (group * 4 + byte % 16 / 4) * self.s.plane + byte / 16 * 16
    }
}

/// Four vectors one after the other.
///
/// # Safety
/// See [`Lanes`]; so many bytes are readable.
#[inline(always)]
unsafe fn four<V: Lanes>(from: *const u8) -> [V::V; 4] {
    // SAFETY: as this function's.
    unsafe {
        [V::load(from), V::load(from.add(V::BYTES)), V::load(from.add(2 * V::BYTES)), V::load(from.add(3 * V::BYTES))]
    }
}
