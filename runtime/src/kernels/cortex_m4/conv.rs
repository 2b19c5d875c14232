//! Convolution: tiles of two outputs × two pixels.
//!
//! The columns of a pair of pixels are widened once into the scratch, in the order in which `SXTB16` widens
//! weights, and serve all outputs.

use bytemuck::{Zeroable, cast_slice_mut, try_cast_slice_mut};

use super::blocks::Blocks;
use super::columns::{Bytes, Group, Sink, Widened, Windows};
use super::{conv_blocks, conv_rows, conv_tiles, linear, widen};
use crate::format::{Packing, Requant};
use crate::kernels::{Geometry, Layer};

/// Columns of at most so many bytes are put together before they are widened, unless their rows are whole words.
const SMALL: usize = 160;

/// Weights, checked, in the forms that there are kernels for.
enum Matrix<'a> {
    /// Output by output.
    Rows(&'a [i8]),
    /// The tiles of whole pairs of outputs, and those of an odd last output.
    Tiles(&'a [i8], &'a [i8]),
    /// Likewise.
    Blocks(Blocks<'a>, Blocks<'a>),
}

/// Some outputs of two pixels.
pub struct Pair<'a> {
    /// Those of pixel 0 first.
    pub y: &'a mut [i8],
    /// From pixel 0 to pixel 1; zero where there is only pixel 0 (it is written last).
    pub stride: usize,
}

impl Pair<'_> {
    /// Whether so many outputs of each pixel lie in it.
    pub fn takes(&self, outputs: usize) -> bool {
        self.stride.checked_add(outputs).is_some_and(|end| end <= self.y.len())
    }
}

/// `None` when the shape is not for this kernel, or without `ROWS` the weights are in rows; nothing is written then.
#[inline(never)]
pub fn conv<const ROWS: bool>(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> Option<()> {
    if !g.fits(x, y) {
        return None;
    }
    let [_, _, in_c] = g.input;
    let [out_h, out_w, out_c] = g.output;
    let (k, pixels) = (g.kernel[0] * g.kernel[1] * in_c, out_h * out_w);
    if l.requant.len() != out_c {
        return None;
    }
    let matrix = Matrix::of::<ROWS>(l, k, out_c)?;
    let (single, pointwise) = (pixels == 1 || out_c == 1, g.kernel == [1, 1]);
    // Rows without a pair are a dot product per output, which pays where a column need not be gathered or serves
    // many outputs.
    if single && !pointwise && out_c < 8 && matches!(matrix, Matrix::Rows(_)) {
        return None;
    }
    let groups = scratch.get_mut(..k.div_ceil(4) * size_of::<Group>())?;
    let groups: &mut [Group] = try_cast_slice_mut(groups).ok()?;
    let mut windows = Windows::from(g, l.zero_in, x, 0);
    if let (Matrix::Rows(weights), true) = (&matrix, ROWS && single) {
        return dot_products(l, weights, k, &mut windows, y, groups);
    }
    let mut small = [0; SMALL];
    if pixels == 1 {
        // Whatever the scratch holds is pixel 1.
        widen_column(&mut windows, groups, 0, &mut small);
        matrix.outputs::<ROWS>(l, groups, Pair { y, stride: 0 });
        return Some(());
    }
    let in_order = pointwise && g.stride == [1, 1] && g.pad == [0, 0] && g.input == [out_h, out_w, in_c];
    for first in (0..pixels).step_by(2) {
        let first = if first + 1 < pixels {
            first
        } else {
            // The last pair of an odd number overlaps the one before.
            windows = Windows::from(g, l.zero_in, x, pixels - 2);
            pixels - 2
        };
        if in_order {
            let columns = x.get(first * k..(first + 2) * k)?;
            if k.is_multiple_of(4) {
                widen::pair(columns, groups);
            } else {
                let (column0, column1) = columns.split_at_checked(k)?;
                widen_whole(column0, groups, 0);
                widen_whole(column1, groups, 1);
            }
        } else {
            widen_column(&mut windows, groups, 0, &mut small);
            widen_column(&mut windows, groups, 1, &mut small);
        }
        let y = y.get_mut(first * out_c..(first + 2) * out_c)?;
        matrix.outputs::<ROWS>(l, groups, Pair { y, stride: out_c });
    }
    Some(())
}

impl<'a> Matrix<'a> {
    fn of<const ROWS: bool>(l: &Layer<'a>, taps: usize, outputs: usize) -> Option<Self> {
        if l.packing == Packing::Portable {
            if !ROWS {
                return None;
            }
            let weights = l.weights.dense()?;
            return (taps >= 4 && weights.len() == outputs * taps).then_some(Matrix::Rows(weights));
        }
        if let Some(weights) = conv_tiles::weights(l, outputs, taps) {
            let (pairs, last) = weights.split_at_checked((outputs & !1) * taps.next_multiple_of(4))?;
            return Some(Matrix::Tiles(pairs, last));
        }
        let (pairs, last) = Blocks::of(l, outputs, taps)?.split(outputs)?;
        Some(Matrix::Blocks(pairs, last))
    }

    /// All outputs of a pair of pixels.
    #[inline(always)]
    fn outputs<const ROWS: bool>(&self, l: &Layer, groups: &[Group], out: Pair) {
        let Pair { y, stride } = out;
        let whole = l.requant.len() & !1;
        let (requant, last) = l.requant.split_at(whole);
        match self {
            Matrix::Rows(weights) if ROWS => return conv_rows::run(l, weights, groups, y),
            Matrix::Rows(_) => return,
            Matrix::Tiles(pairs, _) => conv_tiles::run(l, pairs, groups, requant, Pair { y, stride }),
            Matrix::Blocks(pairs, _) => conv_blocks::run(l, pairs, groups, requant, Pair { y, stride }),
        }
        if let [last] = last {
            self.last_output(l, groups, last, Pair { y, stride });
        }
    }

    /// The last of an odd number of outputs: its tile has another row, whose results are dropped.
    #[inline(never)]
    fn last_output(&self, l: &Layer, groups: &[Group], requant: &Requant, out: Pair) {
        let requant = [*requant, Requant::zeroed()];
        let mut results = [0; 4];
        let pair = Pair { y: &mut results, stride: if out.stride == 0 { 0 } else { 2 } };
        match self {
            Matrix::Rows(_) => {}
            Matrix::Tiles(_, last) => conv_tiles::run(l, last, groups, &requant, pair),
            Matrix::Blocks(_, last) => conv_blocks::run(l, last, groups, &requant, pair),
        }
        let at = l.requant.len() - 1;
        for (result, at) in [(results[2], at + out.stride), (results[0], at)] {
            if let Some(y) = out.y.get_mut(at) {
                *y = result;
            }
        }
    }
}

/// A column in one piece as a pixel of the groups.
#[inline(never)]
fn widen_whole(bytes: &[i8], groups: &mut [Group], pixel: usize) {
    let mut column = Widened::new(groups, pixel);
    column.run(bytes);
    column.finish();
}

/// The next column as a pixel of the groups. What `small` holds behind the taps is zero.
#[inline(never)]
fn widen_column(windows: &mut Windows, groups: &mut [Group], pixel: usize, small: &mut [i8; SMALL]) {
    let window = windows.next();
    if let Some(block) = windows.block(&window) {
        if block.whole && widen::rows(block.from, block.step, block.rows, block.len, groups, pixel).is_some() {
            return;
        }
        if let Some(column) = small.get_mut(..block.k)
            && widen::join(&block, column).is_some()
        {
            widen::rows(small, 0, 1, groups.len() * 4, groups, pixel);
            return;
        }
    }
    let mut column = Widened::new(groups, pixel);
    windows.gather(&window, &mut column);
    column.finish();
}

/// Pixel by pixel, with rows of weights.
fn dot_products(
    l: &Layer,
    weights: &[i8],
    k: usize,
    windows: &mut Windows,
    y: &mut [i8],
    groups: &mut [Group],
) -> Option<()> {
    let bytes = cast_slice_mut::<u32, i8>(groups.as_flattened_mut()).get_mut(..k)?;
    for y in y.chunks_exact_mut(l.requant.len()) {
        let window = windows.next();
        if let Some(column) = windows.contiguous(&window) {
            linear::linear(l, weights, column, y)?;
        } else {
            windows.gather(&window, &mut Bytes(bytes));
            linear::linear(l, weights, bytes, y)?;
        }
    }
    Some(())
}
