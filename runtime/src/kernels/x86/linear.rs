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
                    if y.len() - output > OUTPUTS || V::BYTES < TILE {
                        rows::<V, 4>(l, &shared, x, w, across, output, y);
                        output += V::BYTES;
                    } else {
                        rows::<V, 1>(l, &shared, x, w, across, output, y);
                        output += OUTPUTS;
                    }
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

/// Sums of an output that are added at the end, so that the latency of a dot product is hidden.
const SUMS: usize = 4;

/// All tiles, `across` in a row: `R` vectors of outputs from `output` on. Rows of tiles pass side by side, which
/// memory serves faster than one after the other.
///
/// # Safety
/// See [`Lanes`]. `x` has four bytes for each tile in a row, and there is a row of tiles, from `w` on, for each 16
/// outputs.
#[inline(always)]
unsafe fn rows<V: Lanes, const R: usize>(
    l: &Layer,
    shared: &Shared<V>,
    x: *const u8,
    w: *const u8,
    across: usize,
    output: usize,
    y: &mut [i8],
) {
    let per = TILE / V::BYTES;
    // SAFETY: as this function's. Vectors of outputs past the last one read the weights of the last row of tiles.
    unsafe {
        let last = (y.len() - 1) / OUTPUTS - output / OUTPUTS;
        let weights: [*const u8; R] =
            from_fn(|r| w.wrapping_add((r / per).min(last) * across * TILE + r % per * V::BYTES));
        let mut sums = [[V::splat32(0); R]; SUMS];
        let mut i = 0;
        while i + SUMS <= across {
            for (k, sums) in sums.iter_mut().enumerate() {
                let x = V::four(x.add((i + k) * 4));
                for r in 0..R {
                    sums[r] = V::dot(sums[r], x, V::load(weights[r].add((i + k) * TILE)));
                }
            }
            i += SUMS;
        }
        while i < across {
            let x = V::four(x.add(i * 4));
            for r in 0..R {
                sums[0][r] = V::dot(sums[0][r], x, V::load(weights[r].add(i * TILE)));
            }
            i += 1;
        }
        let mut all = sums[0];
        for sums in &sums[1..] {
            for r in 0..R {
                all[r] = V::add(all[r], sums[r]);
            }
        }
        finish::<V, R>(l, shared, all, output, y);
    }
}

/// With stored tiles only: four vectors of outputs side by side, as far as their rows have tiles.
///
/// # Safety
/// See [`Lanes`]. `x` has four bytes for each column, and there are as many tiles as columns and counts say.
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
    let per = TILE / V::BYTES;
    let mut tile = tiles.as_ptr().cast::<u8>();
    for (group, counts) in counts.chunks(4 / per).enumerate() {
        let mut rows = [(columns, tile); 4];
        for (row, &count) in rows.iter_mut().zip(counts) {
            let (these, rest) = columns.split_at(count as usize);
            *row = (these, tile);
            (columns, tile) = (rest, tile.wrapping_add(these.len() * TILE));
        }
        // Past the last row the last one is passed again, for outputs that there are not.
        let last = rows[counts.len() - 1];
        rows[counts.len()..].fill(last);
        let common = counts.iter().fold(u16::MAX, |least, &c| least.min(c)) as usize;
        // SAFETY: as this function's; `i` is below the number of each row's tiles.
        unsafe {
            // Copies that stay in registers.
            let from: [*const C; 4] = from_fn(|r| rows[r / per].0.as_ptr());
            let weights: [*const u8; 4] = from_fn(|r| rows[r / per].1.wrapping_add(r % per * V::BYTES));
            let mut sums = [[V::splat32(0); 4]; 2];
            let mut i = 0;
            while i + 2 <= common {
                for (k, sums) in sums.iter_mut().enumerate() {
                    for r in 0..4 {
                        let x = V::four(x.add((*from[r].add(i + k)).into() * 4));
                        sums[r] = V::dot(sums[r], x, V::load(weights[r].add((i + k) * TILE)));
                    }
                }
                i += 2;
            }
            for r in 0..4 {
                for (k, &column) in rows[r / per].0.iter().enumerate().skip(i) {
                    let x = V::four(x.add(column.into() * 4));
                    sums[0][r] = V::dot(sums[0][r], x, V::load(weights[r].add(k * TILE)));
                }
            }
            let mut all = sums[0];
            for r in 0..4 {
                all[r] = V::add(all[r], sums[1][r]);
            }
            finish::<V, 4>(l, shared, all, group * V::BYTES, y);
        }
    }
}

/// Adds biases to `R` vectors of sums, requantises and stores them.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
unsafe fn finish<V: Lanes, const R: usize>(
    l: &Layer,
    shared: &Shared<V>,
    sums: [V::V; R],
    output: usize,
    y: &mut [i8],
) {
    let lanes = V::BYTES / 4;
    // SAFETY: as this function's; only outputs that there are get stored.
    unsafe {
        let params: [_; 4] = from_fn(|i| vector::<V>(l.requant, output + i % R * lanes));
        let four = from_fn(|i| V::add(sums[i % R], params[i].0));
        let v = V::in_order(shared.narrow(four, params.map(|p| p.1)));
        let n = (R * lanes).min(y.len().saturating_sub(output));
        V::store_part(y.as_mut_ptr().wrapping_add(output).cast(), v, 0, n);
    }
}
