//! Matrix times vector: bound by the weights, which pass once.

use core::array::from_fn;

use super::band;
use super::lanes::Lanes;
use super::matrix::{OUTPUTS, TILE, takes};
use super::requant::{Shared, vector};
use crate::kernels::{Columns, Layer, Weights};

/// Runs the operator, or says that it does not take it.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
pub(super) unsafe fn linear<V: Lanes>(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> bool {
    let across = x.len().div_ceil(4);
    if x.is_empty() || y.is_empty() || !takes(l, y.len(), x.len()) || scratch.len() < x.len() + TILE {
        return false;
    }
    // SAFETY: the scratch has room for `x` and a vector more; `takes` has checked weights and columns.
    unsafe {
        band::unsigned::<V>(x, scratch.as_mut_ptr());
        let shared = Shared::<V>::of(l);
        let x = scratch.as_ptr();
        match l.weights {
            Weights::Dense(w) => {
                let (row, mut output) = (across * TILE, 0);
                while output < y.len() {
                    let w = w.as_ptr().cast::<u8>().add(output / OUTPUTS * row);
                    let steps = Steps { w, row, count: across };
                    output += if y.len() - output > OUTPUTS && V::BYTES == TILE {
                        rows::<V, 4, 4>(l, &shared, x, &steps, |i| i, output, y)
                    } else {
                        one::<V>(l, &shared, x, &steps, |i| i, output, y)
                    };
                }
            }
            Weights::Blocks { counts, columns: Columns::U8(columns), tiles } => {
                blocks(l, &shared, x, counts, columns, tiles, y);
            }
            Weights::Blocks { counts, columns: Columns::U16(columns), tiles } => {
                blocks(l, &shared, x, counts, columns, tiles, y);
            }
            Weights::TwoOfFour { .. } => {}
        }
    }
    true
}

/// With stored tiles only.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn blocks<V: Lanes, C: Copy + Into<usize>>(
    l: &Layer,
    shared: &Shared<V>,
    x: *const u8,
    counts: &[u16],
    mut columns: &[C],
    tiles: &[i8],
    y: &mut [i8],
) {
    let mut w = tiles.as_ptr().cast::<u8>();
    for (row, &count) in counts.iter().enumerate() {
        let (these, rest) = columns.split_at(count as usize);
        let steps = Steps { w, row: 0, count: these.len() };
        // SAFETY: `i` is below the number of the row's tiles.
        let column = |i: usize| unsafe { (*these.get_unchecked(i)).into() };
        // SAFETY: as this function's; the tiles of the next row follow.
        unsafe {
            one::<V>(l, shared, x, &steps, column, row * OUTPUTS, y);
            w = w.add(these.len() * TILE);
        }
        columns = rest;
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

/// One row of tiles.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn one<V: Lanes>(
    l: &Layer,
    shared: &Shared<V>,
    x: *const u8,
    steps: &Steps,
    column: impl Fn(usize) -> usize,
    output: usize,
    y: &mut [i8],
) -> usize {
    // SAFETY: as this function's.
    unsafe {
        if V::BYTES == TILE {
            rows::<V, 1, 4>(l, shared, x, steps, column, output, y)
        } else {
            rows::<V, 2, 4>(l, shared, x, steps, column, output, y)
        }
    }
}

/// `R` vectors of outputs from `output` on; gives how many outputs these are.
///
/// # Safety
/// See [`Lanes`]. `x` has four bytes for each column, and there are `steps.count` tiles in each row of tiles that has
/// an output.
#[inline(always)]
unsafe fn rows<V: Lanes, const R: usize, const SUMS: usize>(
    l: &Layer,
    shared: &Shared<V>,
    x: *const u8,
    steps: &Steps,
    column: impl Fn(usize) -> usize,
    output: usize,
    y: &mut [i8],
) -> usize {
    let (lanes, per) = (V::BYTES / 4, TILE / V::BYTES);
    // SAFETY: as this function's. Vectors of outputs past the last one read the weights of the last row of tiles.
    unsafe {
        let last = (y.len() - 1) / OUTPUTS - output / OUTPUTS;
        let weights: [*const u8; R] =
            from_fn(|r| steps.w.wrapping_add((r / per).min(last) * steps.row + r % per * V::BYTES));
        let mut sums = [[V::splat32(0); R]; SUMS];
        let mut i = 0;
        while i + SUMS <= steps.count {
            for (k, sums) in sums.iter_mut().enumerate() {
                let x = V::four(x.add(column(i + k) * 4));
                for r in 0..R {
                    sums[r] = V::dot(sums[r], x, V::load(weights[r].add((i + k) * TILE)));
                }
            }
            i += SUMS;
        }
        while i < steps.count {
            let x = V::four(x.add(column(i) * 4));
            for r in 0..R {
                sums[0][r] = V::dot(sums[0][r], x, V::load(weights[r].add(i * TILE)));
            }
            i += 1;
        }
        for first in (0..R).step_by(4) {
            let output = output + first * lanes;
            let params: [_; 4] = from_fn(|i| vector::<V>(l.requant, output + i % R * lanes));
            let four = from_fn(|i| sums.iter().fold(params[i].0, |sum, s| V::add(sum, s[first + i % R])));
            let v = V::in_order(shared.narrow(four, params.map(|p| p.1)));
            let n = (R.min(4) * lanes).min(y.len().saturating_sub(output));
            V::store_part(y.as_mut_ptr().wrapping_add(output).cast(), v, 0, n);
        }
    }
    R * lanes
}
