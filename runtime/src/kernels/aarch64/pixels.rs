//! Where the taps of output pixels lie: in the input where they can, in gathered columns where they cannot.

use core::ops::Range;

use super::simd::{vld1q_s8, vst1q_s8};
use super::tiles::{Runs, Taps};
use crate::format::MAX_PIXELS;
use crate::kernels::portable::Window;
use crate::kernels::{Geometry, Layer, Weights};

/// The pixels of a convolution.
pub(super) struct Pixels<'a> {
    g: &'a Geometry,
    x: &'a [i8],
    zero_in: i8,
    /// The taps of each pixel.
    pub runs: Runs,
    /// Bytes from run to run in the input.
    step: usize,
    /// Output rows and columns whose windows lie wholly on the input.
    inside: [Range<usize>; 2],
    /// Whether these are not gathered.
    direct: bool,
    /// Bytes of a gathered column.
    column: usize,
}

impl<'a> Pixels<'a> {
    /// `None` where the scratch is too short for the pixels that are gathered; the input fits the geometry.
    pub fn new(g: &'a Geometry, l: &Layer, x: &'a [i8], scratch_len: usize) -> Option<Self> {
        let [_, width, channels] = g.input;
        let [kernel_h, kernel_w] = g.kernel;
        let row = kernel_w * channels;
        let taps = row * kernel_h;
        // A stored tile of a sparse matrix may be anywhere, so its pixels must be one run.
        let whole = matches!(l.weights, Weights::Dense(_)) || kernel_h == 1;
        let in_runs = whole && row.is_multiple_of(4) && (g.dilation[1] == 1 || kernel_w == 1);
        let runs =
            if in_runs { Runs { count: kernel_h, len: row } } else { Runs { count: 1, len: taps.next_multiple_of(4) } };
        let inside = [g.inside(0), g.inside(1)];
        let column = taps.next_multiple_of(64);
        let all_direct = in_runs && (0..2).all(|axis| inside[axis].len() == g.output[axis]);
        let slots = (g.output[0] * g.output[1]).min(MAX_PIXELS);
        if !all_direct && scratch_len < slots.checked_mul(column)? {
            return None;
        }
        let step = g.dilation[0] * width * channels;
        Some(Pixels { g, x, zero_in: l.zero_in, runs, step, inside, direct: in_runs, column })
    }

    /// The pixels from `first` (counted row by row) on, one for each of `taps`. Those that cannot be taken from
    /// the input are gathered, each into its own piece of `scratch`.
    pub fn place(&self, first: usize, taps: &mut [Taps], scratch: &mut [i8]) {
        const GATHERED: usize = usize::MAX;
        let [_, width, channels] = self.g.input;
        let mut places = [GATHERED; MAX_PIXELS];
        let (mut row, mut column) = (first / self.g.output[1], first % self.g.output[1]);
        let mut slot = 0;
        while slot < taps.len() {
            let end = (column + taps.len() - slot).min(self.g.output[1]);
            // Of this row, what lies inside.
            let inside = if self.inside[0].contains(&row) { self.inside[1].clone() } else { end..end };
            let begin = inside.start.clamp(column, end);
            let inside = begin..inside.end.clamp(begin, end);
            for column in (column..inside.start).chain(inside.end..end).map(|c| c - column) {
                let slot = slot + column;
                self.gather(first + slot, &mut scratch[slot * self.column..][..self.column]);
            }
            if !inside.is_empty() {
                let at = |axis: usize, out: usize| out * self.g.stride[axis] - self.g.pad[axis];
                let start = (at(0, row) * width + at(1, inside.start)) * channels;
                let next = self.g.stride[1] * channels;
                let slots = slot + inside.start - column..slot + inside.end - column;
                if self.direct {
                    for (i, place) in places[slots].iter_mut().enumerate() {
                        *place = start + i * next;
                    }
                } else {
                    let columns = scratch[slots.start * self.column..].chunks_exact_mut(self.column);
                    for (i, out) in columns.take(slots.len()).enumerate() {
                        self.gather_inside(&self.x[start + i * next..], out);
                    }
                }
            }
            slot += end - column;
            (row, column) = (row + 1, 0);
        }
        for (slot, (taps, &place)) in taps.iter_mut().zip(&places).enumerate() {
            *taps = if place == GATHERED {
                Taps { start: scratch[slot * self.column..].as_ptr(), step: self.runs.len }
            } else {
                Taps { start: self.x[place..].as_ptr(), step: self.step }
            };
        }
    }

    /// As [`Self::gather`], of a pixel whose window lies wholly on the input, with the first tap at the start of `x`.
    #[inline(never)]
    fn gather_inside(&self, x: &[i8], out: &mut [i8]) {
        let [kernel_h, kernel_w] = self.g.kernel;
        let channels = self.g.input[2];
        let row_len = kernel_w * channels;
        let taps = kernel_h * row_len;
        if self.g.dilation[1] == 1 {
            for row in 0..kernel_h {
                copy(&mut out[row * row_len..], &x[row * self.step..], row_len);
            }
        } else {
            let across = self.g.dilation[1] * channels;
            for tap in 0..kernel_h * kernel_w {
                let (row, column) = (tap / kernel_w, tap % kernel_w);
                copy(&mut out[tap * channels..], &x[row * self.step + column * across..], channels);
            }
        }
        for v in &mut out[taps..taps.next_multiple_of(4)] {
            *v = 0;
        }
    }

    /// The taps of a pixel in the order of the weights, filled up with zeros to a multiple of four.
    #[inline(never)]
    fn gather(&self, position: usize, out: &mut [i8]) {
        let [kernel_h, kernel_w] = self.g.kernel;
        let channels = self.g.input[2];
        let row_len = kernel_w * channels;
        let window = Window::new(self.g, position);
        for row in 0..kernel_h {
            let out = &mut out[row * row_len..];
            if !window.rows.contains(&row) {
                out[..row_len].fill(self.zero_in);
                continue;
            }
            let columns = window.columns.clone();
            let (begin, end) = (columns.start * channels, columns.end * channels);
            out[..begin].fill(self.zero_in);
            if self.g.dilation[1] == 1 {
                copy(&mut out[begin..], &self.x[window.at(row, columns.start)..], end - begin);
            } else {
                for column in columns {
                    copy(&mut out[column * channels..], &self.x[window.at(row, column)..], channels);
                }
            }
            out[end..row_len].fill(self.zero_in);
        }
        let taps = kernel_h * row_len;
        for v in &mut out[taps..taps.next_multiple_of(4)] {
            *v = 0;
        }
    }
}

/// Copies `len` values. Of few values, whole vectors where both have them: what is too much is overwritten later.
#[inline(always)]
fn copy(to: &mut [i8], from: &[i8], len: usize) {
    let room = to.len().min(from.len());
    if len <= 16 && room >= 16 {
        // SAFETY: both have 16 values.
        unsafe { vst1q_s8(to.as_mut_ptr(), vld1q_s8(from.as_ptr())) };
    } else if len <= 32 && room >= 32 {
        // SAFETY: both have 32 values.
        unsafe {
            vst1q_s8(to.as_mut_ptr(), vld1q_s8(from.as_ptr()));
            vst1q_s8(to.as_mut_ptr().add(16), vld1q_s8(from.as_ptr().add(16)));
        }
    } else {
        to[..len].copy_from_slice(&from[..len]);
    }
}
