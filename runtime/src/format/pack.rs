//! Packing of weights for a target class, on hosts (feature `write`).

use alloc::vec::Vec;

use super::{Packing, Requant, Tile, encoding};

/// Which stored form weights get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Every weight.
    Dense,
    /// Tiles that are not all zero.
    Blocks,
    /// Two of each four taps; only for matrices that have no more.
    TwoOfFour,
}

/// Weights as they go into the data section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// One of [`encoding`].
    pub encoding: u8,
    /// For [`super::OpRecord::weights`].
    pub weights: Vec<i8>,
    /// For [`super::OpRecord::index`]; empty for dense weights.
    pub index: Vec<u8>,
}

/// Packs the matrix of a convolution or a linear operator with this code: `weights` is outputs × `taps`.
///
/// `None` when it does not have the form, or has more than 65,536 tiles across.
pub fn pack(weights: &[i8], taps: usize, packing: Packing, code: u16, form: Form) -> Option<Packed> {
    let outputs = weights.len().checked_div(taps)?;
    match form {
        Form::Dense => {
            let tile = packing.tile(code, encoding::DENSE);
            let mut out = alloc::vec![0; tile.dense_len(outputs, taps)];
            for (i, &w) in weights.iter().enumerate() {
                out[tile.at(i / taps, i % taps, taps)] = w;
            }
            Some(Packed { encoding: encoding::DENSE, weights: out, index: Vec::new() })
        }
        Form::Blocks => blocks(weights, taps, packing.tile(code, encoding::BLOCKS8)),
        Form::TwoOfFour => two_of_four(weights, taps),
    }
}

/// The share of tiles that are not all zero, of a matrix outputs × `taps`.
pub fn density(weights: &[i8], taps: usize, tile: Tile) -> f64 {
    let outputs = weights.len() / taps.max(1);
    let [down, across] = tile.count(outputs, taps);
    let mut kept = alloc::vec![false; down * across];
    for (i, _) in weights.iter().enumerate().filter(|(_, w)| **w != 0) {
        kept[i / taps / tile.rows * across + i % taps / tile.step] = true;
    }
    kept.iter().filter(|k| **k).count() as f64 / kept.len().max(1) as f64
}

fn blocks(weights: &[i8], taps: usize, tile: Tile) -> Option<Packed> {
    let outputs = weights.len() / taps;
    let [down, across] = tile.count(outputs, taps);
    let (mut counts, mut columns, mut tiles) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..down {
        let before = columns.len();
        for column in 0..across {
            let mut content = alloc::vec![0; tile.bytes()];
            for r in 0..tile.rows.min(outputs - row * tile.rows) {
                let start = (row * tile.rows + r) * taps + column * tile.step;
                let len = tile.step.min(taps - column * tile.step);
                content[r * tile.step..][..len].copy_from_slice(&weights[start..][..len]);
            }
            if content.iter().any(|w| *w != 0) {
                columns.push(column);
                tiles.extend(content);
            }
        }
        counts.push(u16::try_from(columns.len() - before).ok()?);
    }
    let mut index: Vec<u8> = counts.iter().flat_map(|c| c.to_le_bytes()).collect();
    let encoding = if across <= 256 { encoding::BLOCKS8 } else { encoding::BLOCKS16 };
    for column in columns {
        let column = u16::try_from(column).ok()?.to_le_bytes();
        index.extend_from_slice(if encoding == encoding::BLOCKS8 { &column[..1] } else { &column });
    }
    Some(Packed { encoding, weights: tiles, index })
}

fn two_of_four(weights: &[i8], taps: usize) -> Option<Packed> {
    let (mut values, mut index) = (Vec::new(), Vec::new());
    for output in weights.chunks(taps) {
        let begin = index.len();
        for (group, four) in output.chunks(4).enumerate() {
            let mut kept = four.iter().enumerate().filter(|(_, w)| **w != 0);
            // Absent ones are zeros at two positions of their own.
            let first = kept.next().unwrap_or((0, &0));
            let second = kept.next().unwrap_or((if first.0 == 3 { 2 } else { first.0 + 1 }, &0));
            if kept.next().is_some() {
                return None;
            }
            values.extend([*first.1, *second.1]);
            let position = (first.0 | second.0 << 2) as u8;
            if group % 2 == 0 {
                index.push(position);
            } else {
                index[begin + group / 2] |= position << 4;
            }
        }
    }
    Some(Packed { encoding: encoding::TWO_OF_FOUR, weights: values, index })
}

/// Folds into the biases of a convolution or a linear operator what a packing adds to every value. `weights` is
/// the matrix before it was packed.
pub fn fold_offset(packing: Packing, weights: &[i8], taps: usize, requant: &mut [Requant]) {
    add_to_biases(if packing.is_unsigned() { -128 } else { 0 }, weights, taps, requant);
}

/// Takes out of the biases what [`fold_offset`] has put there.
pub fn unfold_offset(packing: Packing, weights: &[i8], taps: usize, requant: &mut [Requant]) {
    add_to_biases(if packing.is_unsigned() { 128 } else { 0 }, weights, taps, requant);
}

fn add_to_biases(offset: i32, weights: &[i8], taps: usize, requant: &mut [Requant]) {
    for (r, row) in requant.iter_mut().zip(weights.chunks(taps.max(1))) {
        let sum: i32 = row.iter().map(|&w| w as i32).sum();
        r.bias = r.bias.wrapping_add(sum.wrapping_mul(offset));
    }
}
