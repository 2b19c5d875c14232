//! From vectors of sums to bytes of the output.

use super::lanes::Lanes;
use crate::format::Requant;
use crate::kernels::Layer;

/// What all outputs of an operator share.
pub(super) struct Shared<V: Lanes> {
    shift: u32,
    round: V::V,
    lo: V::V,
    hi: V::V,
}

/// Multipliers of a vector of outputs, and the same for its odd lanes.
pub(super) struct Multipliers<V: Lanes> {
    pub all: V::V,
    pub odd: V::V,
}

impl<V: Lanes> Clone for Multipliers<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Lanes> Copy for Multipliers<V> {}

impl<V: Lanes> Shared<V> {
    /// # Safety
    /// See [`Lanes`].
    #[inline(always)]
    pub unsafe fn new(left_shift: u32, zero_out: i32, lo: i32, hi: i32) -> Self {
        // SAFETY: the instructions are the caller's to have; no memory is touched.
        unsafe {
            Shared {
                shift: left_shift & 31,
                // The zero point is added together with the rounding: it stands in the high word.
                round: V::splat64(((zero_out as i64) << 32).wrapping_add(1 << 31)),
                lo: V::splat8(lo.clamp(-128, 127) as i8),
                hi: V::splat8(hi.clamp(-128, 127) as i8),
            }
        }
    }

    /// Of a layer.
    ///
    /// # Safety
    /// See [`Lanes`].
    #[inline(always)]
    pub unsafe fn of(l: &Layer) -> Self {
        // SAFETY: as this function's.
        unsafe { Self::new(l.left_shift, l.zero_out, l.lo, l.hi) }
    }

    /// Requantises four vectors of sums and narrows them, in the order of [`Lanes::narrow`].
    ///
    /// # Safety
    /// See [`Lanes`].
    #[inline(always)]
    pub unsafe fn narrow(&self, mut sums: [V::V; 4], mul: [Multipliers<V>; 4]) -> V::V {
        // SAFETY: the instructions are the caller's to have; no memory is touched.
        unsafe {
            if self.shift != 0 {
                for v in &mut sums {
                    *v = V::shift_left(*v, self.shift);
                }
            }
            for (v, m) in sums.iter_mut().zip(mul) {
                *v = V::high_mul(*v, m.all, m.odd, self.round);
            }
            V::min8(V::max8(V::narrow(sums), self.lo), self.hi)
        }
    }
}

/// Biases and multipliers of outputs `first` and on, a vector of them; zeros past the last one.
///
/// # Safety
/// See [`Lanes`].
#[inline(always)]
pub(super) unsafe fn vector<V: Lanes>(requant: &[Requant], first: usize) -> (V::V, Multipliers<V>) {
    let lanes = V::BYTES / 4;
    let mut last = [Requant { bias: 0, mul: 0 }; 16];
    let from = match requant.get(first..first + lanes) {
        Some(whole) => whole,
        None => {
            let rest = requant.get(first..).unwrap_or_default();
            last[..rest.len()].copy_from_slice(rest);
            &last[..]
        }
    };
    // SAFETY: `from` has at least `BYTES / 4` records.
    unsafe {
        let (bias, all) = V::requant(from.as_ptr());
        (bias, Multipliers { all, odd: V::odd(all) })
    }
}
