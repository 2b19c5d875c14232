//! Sums, products and pools: one vector of values at a time.

use super::lanes::Lanes;
use super::matrix::takes_output;
use super::pixels;
use super::requant::{Multipliers, Shared};
use crate::kernels::portable::Window;
use crate::kernels::{AddParams, Geometry, Layer};

/// Whether the multipliers of a sum have at most 31 bits, which is all that [`add`] multiplies by.
pub(super) fn takes_sum(p: &AddParams) -> bool {
    p.mul.iter().all(|m| m.unsigned_abs() < 1 << 30)
}

/// `y = a + b` of `n` values, see [`crate::quant::add`]; `y` may be `b`.
///
/// # Safety
/// See [`Lanes`]. `a` and `b` are readable, `y` writable for `n` bytes. Multipliers are those of [`takes_sum`].
#[inline(always)]
pub(super) unsafe fn add<V: Lanes>(p: &AddParams, a: *const i8, b: *const i8, y: *mut i8, n: usize) {
    let pair = |of: fn(i32) -> i32| (of(p.mul[0]) as u16 as u32 | (of(p.mul[1]) as u16 as u32) << 16) as i32;
    let short = p.mul.iter().all(|&m| i16::try_from(m).is_ok());
    // SAFETY: whole vectors while there are any, then the rest.
    unsafe {
        let bias = V::splat32(p.bias);
        // A multiplier of more than 16 bits is the sum of two that have fewer, the one shifted.
        let (mul, high) =
            (V::splat32(if short { pair(|m| m) } else { pair(|m| m & 0x7fff) }), V::splat32(pair(|m| m >> 15)));
        let [lo, hi] = [p.lo, p.hi].map(|v| V::splat8(v as i8));
        let sum = |a, b| {
            let mut sums = V::weigh(a, b, mul);
            if !short {
                let [s0, s1, s2, s3] = V::weigh(a, b, high).map(|v| V::shift_left(v, 15));
                sums = [V::add(sums[0], s0), V::add(sums[1], s1), V::add(sums[2], s2), V::add(sums[3], s3)];
            }
            let sums = sums.map(|v| V::shift_right(V::add(v, bias), p.shift));
            V::min8(V::max8(V::narrow(sums), lo), hi)
        };
        let mut at = 0;
        while at + V::BYTES <= n {
            V::store(y.add(at).cast(), sum(V::load(a.add(at).cast()), V::load(b.add(at).cast())));
            at += V::BYTES;
        }
        if at < n {
            let [a, b] = [a, b].map(|v| V::load_first(v.add(at).cast(), n - at));
            V::store_part(y.add(at).cast(), sum(a, b), 0, n - at);
        }
    }
}

/// Maximum over the valid taps, or says that it does not take it.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
pub(super) unsafe fn max_pool<V: Lanes>(g: &Geometry, x: &[i8], y: &mut [i8]) -> bool {
    let channels = g.output[2];
    if !pixels::fit(g, x, y) || g.input[2] != channels {
        return false;
    }
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        for first in (0..channels).step_by(V::BYTES) {
            let n = V::BYTES.min(channels - first);
            // SAFETY: the instructions are the caller's to have; slices are as long as what is read and written.
            unsafe {
                let mut largest = V::splat8(-128);
                for row in window.rows.clone() {
                    for column in window.columns.clone() {
                        let x = &x[window.at(row, column) + first..][..n];
                        largest = V::max8(largest, load::<V>(x));
                    }
                }
                store::<V>(&mut y[first..first + n], largest);
            }
        }
    }
    true
}

/// Mean over the valid taps, or says that it does not take it.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
pub(super) unsafe fn avg_pool<V: Lanes>(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) -> bool {
    let channels = g.output[2];
    if !pixels::fit(g, x, y) || g.input[2] != channels || !takes_output(l, 0) {
        return false;
    }
    // SAFETY: the instructions are the caller's to have.
    let shared = unsafe { Shared::<V>::of(l) };
    let lanes = V::BYTES / 4;
    for (position, y) in y.chunks_exact_mut(channels).enumerate() {
        let window = Window::new(g, position);
        let r = l.requant[window.rows.len() * window.columns.len() - count_base];
        for first in (0..channels).step_by(V::BYTES) {
            let n = V::BYTES.min(channels - first);
            // SAFETY: the instructions are the caller's to have; slices are as long as what is read and written.
            unsafe {
                let mut sums = [V::splat32(r.bias); 4];
                for row in window.rows.clone() {
                    for column in window.columns.clone() {
                        let mut x = &x[window.at(row, column) + first..][..n];
                        let mut whole = [0i8; 64];
                        if n < V::BYTES {
                            whole[..n].copy_from_slice(x);
                            x = &whole;
                        }
                        for (q, sum) in sums.iter_mut().enumerate() {
                            *sum = V::add(*sum, V::widen(x[q * lanes..][..lanes].as_ptr().cast()));
                        }
                    }
                }
                let mul = V::splat32(r.mul);
                let v = shared.narrow(sums, [Multipliers { all: mul, odd: V::odd(mul) }; 4]);
                store::<V>(&mut y[first..first + n], V::in_order(v));
            }
        }
    }
    true
}

/// # Safety
/// See [`Lanes`]; `x` is no longer than a vector.
#[inline(always)]
unsafe fn load<V: Lanes>(x: &[i8]) -> V::V {
    // SAFETY: as this function's.
    unsafe { if x.len() == V::BYTES { V::load(x.as_ptr().cast()) } else { V::load_first(x.as_ptr().cast(), x.len()) } }
}

/// # Safety
/// See [`Lanes`]; `y` is no longer than a vector.
#[inline(always)]
unsafe fn store<V: Lanes>(y: &mut [i8], v: V::V) {
    let to = y.as_mut_ptr().cast();
    // SAFETY: as this function's.
    unsafe { if y.len() == V::BYTES { V::store(to, v) } else { V::store_part(to, v, 0, y.len()) } }
}
