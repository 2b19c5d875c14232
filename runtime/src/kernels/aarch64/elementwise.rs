//! Sums, products and tables, element by element. Each gives how many elements it has done; the rest is for the
//! portable kernels.

use super::simd::*;

use super::requant::{Range, store};
use crate::kernels::{AddParams, MulParams};

/// Eight values.
#[inline(always)]
fn load(x: &[i8; 8]) -> int8x8_t {
    // SAFETY: there are 8.
    unsafe { vld1_s8(x.as_ptr()) }
}

/// The residual sum of eight pairs.
struct Sum {
    mul: [i32; 2],
    bias: int32x4_t,
    shift: int32x4_t,
    range: Range,
}

impl Sum {
    /// `None` where the bounds are no 8-bit values.
    fn new(p: &AddParams) -> Option<Self> {
        let range = Range::new(0, 0, p.lo, p.hi).filter(|_| p.shift < 32)?;
        Some(Sum { mul: p.mul, bias: vdupq_n_s32(p.bias), shift: vdupq_n_s32(-(p.shift as i32)), range })
    }

    /// Whether the multipliers need more than 16 bits.
    fn is_wide(&self) -> bool {
        self.mul.iter().any(|&m| i16::try_from(m).is_err())
    }

    #[inline(always)]
    fn of<const WIDE: bool>(&self, a: int8x8_t, b: int8x8_t) -> int8x8_t {
        let mut sums = [self.bias; 2];
        for (v, mul) in [a, b].into_iter().zip(self.mul) {
            let v = vmovl_s8(v);
            sums = if WIDE {
                let mul = vdupq_n_s32(mul);
                [vmlaq_s32(sums[0], vmovl_s16(vget_low_s16(v)), mul), vmlaq_s32(sums[1], vmovl_high_s16(v), mul)]
            } else {
                let mul = mul as i16;
                [vmlal_n_s16(sums[0], vget_low_s16(v), mul), vmlal_high_n_s16(sums[1], v, mul)]
            };
        }
        self.range.narrow(sums.map(|s| vshlq_s32(s, self.shift)))
    }
}

/// [`crate::kernels::portable::add`].
pub(super) fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) -> usize {
    let Some(sum) = Sum::new(p) else { return 0 };
    let chunks = y.as_chunks_mut().0.iter_mut().zip(a.as_chunks().0).zip(b.as_chunks().0);
    if sum.is_wide() {
        chunks.map(|((y, a), b)| store(sum.of::<true>(load(a), load(b)), y)).count() * 8
    } else {
        chunks.map(|((y, a), b)| store(sum.of::<false>(load(a), load(b)), y)).count() * 8
    }
}

/// [`crate::kernels::portable::add_onto`].
pub(super) fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) -> usize {
    let Some(sum) = Sum::new(p) else { return 0 };
    let chunks = y.as_chunks_mut().0.iter_mut().zip(a.as_chunks().0);
    if sum.is_wide() {
        chunks.map(|(y, a)| store(sum.of::<true>(load(a), load(y)), y)).count() * 8
    } else {
        chunks.map(|(y, a)| store(sum.of::<false>(load(a), load(y)), y)).count() * 8
    }
}

/// [`crate::kernels::portable::mul`] of as many values as `b` has.
pub(super) fn mul(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) -> usize {
    let zero = p.zero.map(|z| i8::try_from(z).ok().map(vdup_n_s8));
    let range = Range::new(p.left_shift, p.zero_out, p.lo, p.hi);
    let ([Some(zero_a), Some(zero_b)], Some(range)) = (zero, range) else { return 0 };
    let mul = [vdupq_n_s32(p.mul); 2];
    let chunks = y.as_chunks_mut().0.iter_mut().zip(a.as_chunks().0).zip(b.as_chunks().0);
    let product = |((y, a), b): ((&mut [i8; 8], _), _)| {
        let (a, b) = (vsubl_s8(load(a), zero_a), vsubl_s8(load(b), zero_b));
        let products = [vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b)];
        store(range.requantise(products, mul), y);
    };
    chunks.map(product).count() * 8
}

/// [`crate::kernels::portable::lut`]: four tables of 64 entries, each of which passes over what is not its own.
pub(super) fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) -> usize {
    // SAFETY: 256 entries are four times 64.
    let quarter = |i: usize| unsafe { vld1q_s8_x4(table.as_ptr().add(64 * i)) };
    let [a, b, c, d] = [quarter(0), quarter(1), quarter(2), quarter(3)];
    let (sign, quarter) = (vdupq_n_u8(0x80), vdupq_n_u8(64));
    let chunks = y.as_chunks_mut::<16>().0.iter_mut().zip(x.as_chunks::<16>().0);
    let look_up = |(y, x): (&mut [i8; 16], &[i8; 16])| {
        // SAFETY: there are 16 values.
        let i = veorq_u8(vreinterpretq_u8_s8(unsafe { vld1q_s8(x.as_ptr()) }), sign);
        let v = vqtbl4q_s8(a, i);
        let i = vsubq_u8(i, quarter);
        let v = vqtbx4q_s8(v, b, i);
        let i = vsubq_u8(i, quarter);
        let v = vqtbx4q_s8(v, c, i);
        let v = vqtbx4q_s8(v, d, vsubq_u8(i, quarter));
        // SAFETY: there is room for 16 values.
        unsafe { vst1q_s8(y.as_mut_ptr(), v) };
    };
    chunks.map(look_up).count() * 16
}
