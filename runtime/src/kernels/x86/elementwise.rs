//! Sums, products and pools: one vector of values at a time.

use super::lanes::Lanes;
use super::matrix::takes_output;
use super::requant::{Multipliers, Shared};
use crate::kernels::portable::Window;
use crate::kernels::{AddParams, Geometry, Layer, MulParams};

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
    let short = p.mul.iter().all(|&m| i16::try_from(m).is_ok());
    // SAFETY: as this function's.
    unsafe {
        let sum = Sum::<V>::new(p, short);
        if short { sum.all::<true>(a, b, y, n) } else { sum.all::<false>(a, b, y, n) }
    }
}

/// The parameters of a sum in vectors. A multiplier of more than 16 bits is the sum of two that have fewer, the
/// `upper` one shifted.
struct Sum<V: Lanes> {
    mul: V::V,
    upper: V::V,
    bias: V::V,
    shift: u32,
    lo: V::V,
    hi: V::V,
}

/// Bits of the lower part of a multiplier.
const LOWER: u32 = 15;

impl<V: Lanes> Sum<V> {
    /// # Safety
    /// See [`Lanes`].
    #[inline(always)]
    unsafe fn new(p: &AddParams, short: bool) -> Self {
        let pair = |[a, b]: [i32; 2]| (a as u16 as u32 | (b as u16 as u32) << 16) as i32;
        let lower = if short { p.mul } else { p.mul.map(|m| m & ((1 << LOWER) - 1)) };
        // SAFETY: the instructions are the caller's to have; no memory is touched.
        unsafe {
            Sum {
                mul: V::splat32(pair(lower)),
                upper: V::splat32(pair(p.mul.map(|m| m >> LOWER))),
                bias: V::splat32(p.bias),
                shift: p.shift,
                lo: V::splat8(p.lo as i8),
                hi: V::splat8(p.hi as i8),
            }
        }
    }

    /// Sums of `n` values.
    ///
    /// # Safety
    /// As [`add`].
    #[inline(always)]
    unsafe fn all<const SHORT: bool>(&self, a: *const i8, b: *const i8, y: *mut i8, n: usize) {
        let mut at = 0;
        // SAFETY: whole vectors while there are any, then the rest.
        unsafe {
            while at + V::BYTES <= n {
                let v = self.one::<SHORT>(V::load(a.add(at).cast()), V::load(b.add(at).cast()));
                V::store(y.add(at).cast(), v);
                at += V::BYTES;
            }
            if at < n {
                let rest = n - at;
                let (a, b) = (V::load_first(a.add(at).cast(), rest), V::load_first(b.add(at).cast(), rest));
                V::store_part(y.add(at).cast(), self.one::<SHORT>(a, b), 0, rest);
            }
        }
    }

    /// The sums of a vector.
    ///
    /// # Safety
    /// See [`Lanes`].
    #[inline(always)]
    unsafe fn one<const SHORT: bool>(&self, a: V::V, b: V::V) -> V::V {
        // SAFETY: the instructions are the caller's to have; no memory is touched.
        unsafe {
            let mut sums = V::weigh(a, b, self.mul);
            if !SHORT {
                let upper = V::weigh(a, b, self.upper);
                for (sum, upper) in sums.iter_mut().zip(upper) {
                    *sum = V::add(*sum, V::shift_left(upper, LOWER));
                }
            }
            for sum in &mut sums {
                *sum = V::shift_right(V::add(*sum, self.bias), self.shift);
            }
            V::min8(V::max8(V::narrow(sums), self.lo), self.hi)
        }
    }
}

/// Element-wise product; `b` is as long as `a`, or one value per channel.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
pub(super) unsafe fn mul<V: Lanes>(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) {
    let lanes = V::BYTES / 4;
    // SAFETY: the instructions are the caller's to have; arrays are as long as a vector.
    unsafe {
        let shared = Shared::<V>::new(p.left_shift, p.zero_out, p.lo, p.hi);
        let all = V::splat32(p.mul);
        let mul = [Multipliers { all, odd: V::odd(all) }; 4];
        let [zero_a, zero_b] = [V::splat32(p.zero[0]), V::splat32(p.zero[1])];
        for (a, y) in a.chunks(b.len()).zip(y.chunks_mut(b.len())) {
            for ((a, b), y) in a.chunks(V::BYTES).zip(b.chunks(V::BYTES)).zip(y.chunks_mut(V::BYTES)) {
                let n = y.len().min(a.len());
                let (mut whole_a, mut whole_b) = ([0i8; 64], [0i8; 64]);
                whole_a[..n].copy_from_slice(&a[..n]);
                whole_b[..n].copy_from_slice(&b[..n]);
                let mut sums = [all; 4];
                for (q, sum) in sums.iter_mut().enumerate() {
                    let a = V::sub(V::widen(whole_a[q * lanes..].as_ptr().cast()), zero_a);
                    let b = V::sub(V::widen(whole_b[q * lanes..].as_ptr().cast()), zero_b);
                    *sum = V::mul(a, b);
                }
                store::<V>(&mut y[..n], V::in_order(shared.narrow(sums, mul)));
            }
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
    if !g.fits(x, y) || g.input[2] != channels {
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
    if !g.fits(x, y) || g.input[2] != channels || !takes_output(l, 0) {
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
