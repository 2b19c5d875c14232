//! Rows of an input as unsigned bytes with their padding around them, so that every window lies inside.

use super::lanes::Lanes;
use crate::format::vnni::ConvScratch;
use crate::kernels::Geometry;

/// Writes the rows that output rows `first` and on reach, `rows` of them, to `to`.
///
/// # Safety
/// See [`Lanes`]. `x` has the geometry's length, and `to` is writable for `rows` times [`ConvScratch::row`] bytes and
/// one vector more.
#[inline(always)]
pub(super) unsafe fn fill<V: Lanes>(
    g: &Geometry,
    s: &ConvScratch,
    zero: i8,
    x: &[i8],
    first: usize,
    rows: usize,
    to: *mut u8,
) {
    let [height, width, channels] = g.input;
    let left = g.pad[1].min(s.width);
    let inner = width.min(s.width - left);
    let right = s.width - left - inner;
    let zero = zero as u8 ^ 0x80;
    for row in 0..rows {
        let from = (first * g.stride[0] + row).wrapping_sub(g.pad[0]);
        // SAFETY: the row is one of `rows`; `left + inner + right` pixels are one row.
        unsafe {
            let to = to.add(row * s.row);
            if from >= height {
                to.write_bytes(zero, s.row);
                continue;
            }
            to.write_bytes(zero, left * channels);
            unsigned::<V>(&x[from * width * channels..][..inner * channels], to.add(left * channels));
            to.add((left + inner) * channels).write_bytes(zero, right * channels);
        }
    }
}

/// Writes `x + 128` of all values to `to`; what lies up to a vector behind them is overwritten as well.
///
/// # Safety
/// See [`Lanes`]. `to` is writable for `x.len()` bytes and a vector more.
#[inline(always)]
pub(super) unsafe fn unsigned<V: Lanes>(x: &[i8], to: *mut u8) {
    let from = x.as_ptr().cast::<u8>();
    let mut at = 0;
    // SAFETY: reads end with `x`; writes end before `x.len() + BYTES`.
    unsafe {
        let sign = V::splat8(-128);
        while at + V::BYTES <= x.len() {
            V::store(to.add(at), V::xor(V::load(from.add(at)), sign));
            at += V::BYTES;
        }
        if at < x.len() {
            V::store(to.add(at), V::xor(V::load_first(from.add(at), x.len() - at), sign));
        }
    }
}
