//! Verification of weights and tables: their lengths follow from the shapes, and no index leads out of them.

use super::read::{Model, has_weights, piece};
use super::{OpRecord, TENSOR_ALIGN, TensorRecord, Tile, encoding, op};
use crate::kernels::portable::{div_ceil, runs};
use crate::kernels::{Columns, Weights};

/// Weights, index or table of an operator.
pub(super) fn check(model: &Model, op: &OpRecord, x: &TensorRecord) -> Result<(), &'static str> {
    for (offset, len) in [(op.weights, op.weights_len), (op.index, op.index_len)] {
        if !(offset as usize).is_multiple_of(TENSOR_ALIGN) || piece(model.data, offset, len as usize).is_none() {
            return Err("weights and index must lie in the data section at a multiple of 4");
        }
    }
    if op.encoding != encoding::DENSE && !matches!(op.code, op::CONV | op::LINEAR) {
        return Err("only convolutions and linear operators can leave weights out");
    }
    match op.code {
        op::LUT if op.weights_len != 256 => Err("a table has 256 bytes"),
        op::SOFTMAX => exponentials(model, op, x),
        _ if !has_weights(op.code) && op.code != op::LUT && op.weights_len != 0 => Err("has no weights"),
        _ if !has_weights(op.code) => Ok(()),
        _ => matrix(model, op, x),
    }
}

fn exponentials(model: &Model, op: &OpRecord, x: &TensorRecord) -> Result<(), &'static str> {
    let table = model.exponentials(op).filter(|_| op.weights_len == 1024);
    let Some(table) = table else { return Err("a table of exponentials has 1024 bytes") };
    let fits = |n: u64| table[0] as u64 * n < 1 << 31;
    let falls = table.windows(2).all(|w| w[1] <= w[0]);
    if table[0] > 0 && falls && fits(256) && fits(x.c as u64) {
        Ok(())
    } else {
        Err("exponentials must fall, from a first one that is above 0 and small enough to be summed")
    }
}

/// Bytes of the data section that [`check`] goes through; several operators may share them.
pub(super) fn checked_bytes(model: &Model, op: &OpRecord, x: &TensorRecord) -> u64 {
    let tile = model.packing.tile(op.code, op.encoding);
    let filled = matches!(op.code, op::CONV | op::LINEAR) && !matrix_size(op, x).1.is_multiple_of(tile.step);
    let ends = if filled { (op.out_channels as u64).next_multiple_of(tile.rows as u64) * tile.step as u64 } else { 0 };
    let numbers = if model.dtype.is_float() { op.requant_len as u64 * 4 } else { 0 };
    numbers + op.index_len as u64 + if op.encoding == encoding::DENSE { ends } else { 0 }
}

fn matrix(model: &Model, op: &OpRecord, x: &TensorRecord) -> Result<(), &'static str> {
    let wrong_length = Err("the number of weights does not follow from the shapes");
    let (outputs, taps) = matrix_size(op, x);
    let tile = model.packing.tile(op.code, op.encoding);
    let (weights_len, index_len) = (op.weights_len as usize, op.index_len as usize);
    match op.encoding {
        encoding::DENSE => {
            let dense =
                if op.code == op::DEPTHWISE { outputs.saturating_mul(taps) } else { tile.dense_len(outputs, taps) };
            if weights_len != dense || index_len != 0 {
                return wrong_length;
            }
            if op.code == op::DEPTHWISE {
                return Ok(());
            }
            let Some(Weights::Dense(weights)) = model.weights(op) else { return wrong_length };
            let [_, across] = tile.count(outputs, taps);
            // The last tile of each row of tiles.
            let ends = runs(weights, across * tile.bytes()).filter_map(|row| row.get((across - 1) * tile.bytes()..));
            filled_with_zeros(tile, taps, ends)
        }
        encoding::BLOCKS8 | encoding::BLOCKS16 => {
            let [down, across] = tile.count(outputs, taps);
            let most = if op.encoding == encoding::BLOCKS8 { 1 << 8 } else { 1 << 16 };
            if across > most || index_len < down.saturating_mul(2) {
                return wrong_length;
            }
            let Some(Weights::Blocks { counts, columns, tiles }) = model.weights(op) else { return wrong_length };
            // At most 2^31 counts below 2^16.
            let stored = counts.iter().map(|&c| c as u64).sum::<u64>();
            if stored != columns.len() as u64 || columns.len().checked_mul(tile.bytes()) != Some(weights_len) {
                return wrong_length;
            }
            let ascending = match columns {
                Columns::U8(c) => rows_ascend(counts, c, across),
                Columns::U16(c) => rows_ascend(counts, c, across),
            };
            if !ascending {
                return Err("columns of blocks must ascend and lie in the matrix");
            }
            let mut stored = runs(tiles, tile.bytes());
            let mut at = 0;
            let ends = core::iter::from_fn(|| {
                stored.find(|_| {
                    at += 1;
                    columns.get(at - 1) + 1 == across
                })
            });
            filled_with_zeros(tile, taps, ends)
        }
        encoding::TWO_OF_FOUR => {
            let groups = taps.div_ceil(4);
            let expected = [outputs.checked_mul(groups * 2), outputs.checked_mul(groups.div_ceil(2))];
            if expected == [Some(weights_len), Some(index_len)] { Ok(()) } else { wrong_length }
        }
        _ => Err("unknown encoding of weights"),
    }
}

/// Outputs, and weights of each. The shapes are sound.
pub(crate) fn matrix_size(op: &OpRecord, x: &TensorRecord) -> (usize, usize) {
    // Wide enough: kernels have at most 2^16 taps a side, the arena 2^30 bytes; products saturate.
    let window = op.kernel[0] as usize * op.kernel[1] as usize;
    let taps = match op.code {
        op::CONV => window.saturating_mul(x.c as usize),
        op::GROUPED_CONV => window.saturating_mul((x.c / op.groups.max(1) as u32) as usize),
        op::DEPTHWISE => window,
        _ => x.elements(),
    };
    (op.out_channels as usize, taps)
}

/// Kernels read whole tiles, and beside the last taps of an output whatever lies there; so weights that only fill up a
/// tile must be zero. `ends` are tiles of the last column.
fn filled_with_zeros<'a>(
    tile: Tile,
    taps: usize,
    mut ends: impl Iterator<Item = &'a [i8]>,
) -> Result<(), &'static str> {
    let used = taps - (div_ceil(taps, tile.step) - 1) * tile.step;
    let filled =
        used == tile.step || ends.all(|end| runs(end, tile.step).all(|row| row.iter().skip(used).all(|&w| w == 0)));
    if filled { Ok(()) } else { Err("weights that fill up a tile must be 0") }
}

/// Whether the columns of each row ascend and stay below `across`. Their number is the sum of `counts`.
fn rows_ascend<T: Copy + Ord>(counts: &[u16], mut columns: &[T], across: usize) -> bool
where
    usize: From<T>,
{
    counts.iter().all(|&count| {
        let Some((row, rest)) = columns.split_at_checked(count as usize) else { return false };
        columns = rest;
        ascends(row) && row.last().is_none_or(|&last| usize::from(last) < across)
    })
}

/// Whether each value is above the one before it. It looks at all whatever it finds, so that the loop is one over
/// vectors.
#[inline(never)]
fn ascends<T: Copy + Ord>(row: &[T]) -> bool {
    let Some(after) = row.get(1..) else { return true };
    let mut falls = false;
    for (a, b) in row.iter().zip(after) {
        falls |= *a >= *b;
    }
    !falls
}
