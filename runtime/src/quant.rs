//! The one requantisation: from an int32 accumulator to an int8 activation.
//!
//! `q = clamp(zero + high32((acc << left_shift) * mul + 2^31), lo, hi)`
//!
//! The high word with rounding is exactly what the Cortex-M4 does in one instruction (`SMMULR`), and
//! `clamp` is one more (`SSAT`) where the bounds are the whole int8 range. `mul` is
//! `scale_in * scale_w / scale_out * 2^(32 - left_shift)`, so a typical layer keeps 20 bits or more of
//! precision. All arithmetic wraps: that is a definition, so that every kernel set agrees on any input.

/// High word of the 64-bit product, rounded half up.
#[inline(always)]
pub const fn high_mul(acc: i32, mul: i32) -> i32 {
    ((acc as i64 * mul as i64 + (1 << 31)) >> 32) as i32
}

/// Requantises one accumulator; see the module's page for the formula.
#[inline(always)]
pub const fn requantise(acc: i32, left_shift: u32, mul: i32, zero: i32, lo: i32, hi: i32) -> i8 {
    let v = high_mul(acc.wrapping_shl(left_shift), mul).wrapping_add(zero);
    (if v < lo {
        lo
    } else if v > hi {
        hi
    } else {
        v
    }) as i8
}

/// The residual sum: `clamp((a * mul_a + b * mul_b + bias) >> shift)`. Zero points and rounding are in `bias`.
#[inline(always)]
pub const fn add(a: i8, b: i8, mul: [i32; 2], bias: i32, shift: u32, lo: i32, hi: i32) -> i8 {
    let s = (a as i32).wrapping_mul(mul[0]).wrapping_add((b as i32).wrapping_mul(mul[1]));
    let v = s.wrapping_add(bias) >> shift;
    (if v < lo {
        lo
    } else if v > hi {
        hi
    } else {
        v
    }) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_up() {
        assert_eq!(high_mul(1, i32::MIN), 0); // -0.5 rounds to 0
        assert_eq!(high_mul(3, 1 << 30), 1); // 0.75
        assert_eq!(high_mul(2, 1 << 30), 1); // 0.5
        assert_eq!(high_mul(-2, 1 << 30), 0); // -0.5
        assert_eq!(high_mul(-3, 1 << 30), -1); // -0.75
    }

    #[test]
    fn clamps() {
        assert_eq!(requantise(1 << 20, 0, 1 << 30, 0, -128, 127), 127);
        assert_eq!(requantise(-(1 << 20), 0, 1 << 30, 0, -5, 127), -5);
        assert_eq!(add(100, 100, [1 << 8, 1 << 8], 1 << 7, 8, -128, 127), 127);
    }
}
