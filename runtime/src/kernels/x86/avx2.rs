//! AVX2, with or without the VNNI instructions for 256 bits.

use core::arch::x86_64::*;

use super::lanes::Lanes;
use crate::format::Requant;

/// Implements [`Lanes`] for 256-bit vectors with one dot product.
macro_rules! ymm {
    ($(#[$doc:meta])* $set:ident, $features:literal, $sums:literal, $dot:expr) => {
        $(#[$doc])*
        pub(super) struct $set;

        impl Lanes for $set {
            type V = __m256i;
            const BYTES: usize = 32;
            const SUMS: usize = $sums;

            ymm! { @enabled $features
                fn load(from: *const u8) -> __m256i {
                    // SAFETY: the caller's: 32 readable bytes.
                    unsafe { _mm256_loadu_si256(from.cast()) }
                }
                fn load_first(from: *const u8, n: usize) -> __m256i {
                    let mut bytes = [0u8; 32];
                    // SAFETY: the caller's: `n` readable bytes, at most 32.
                    unsafe { core::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), n) };
                    // SAFETY: a whole vector of its own.
                    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
                }
                fn store(to: *mut u8, v: __m256i) {
                    // SAFETY: the caller's: 32 writable bytes.
                    unsafe { _mm256_storeu_si256(to.cast(), v) }
                }
                fn store_part(to: *mut u8, v: __m256i, start: usize, n: usize) {
                    let mut bytes = [0u8; 32];
                    // SAFETY: a whole vector of its own; the caller's: `start + n` is at most 32, and `n` bytes
                    // are writable.
                    unsafe {
                        _mm256_storeu_si256(bytes.as_mut_ptr().cast(), v);
                        core::ptr::copy_nonoverlapping(bytes.as_ptr().add(start), to, n);
                    }
                }
                fn splat8(v: i8) -> __m256i { _mm256_set1_epi8(v) }
                fn splat32(v: i32) -> __m256i { _mm256_set1_epi32(v) }
                fn splat64(v: i64) -> __m256i { _mm256_set1_epi64x(v) }
                fn four(from: *const u8) -> __m256i {
                    // SAFETY: the caller's: four readable bytes.
                    _mm256_set1_epi32(unsafe { from.cast::<i32>().read_unaligned() })
                }
                fn xor(a: __m256i, b: __m256i) -> __m256i { _mm256_xor_si256(a, b) }
                fn and(a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
                fn add(a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
                fn mul(a: __m256i, b: __m256i) -> __m256i { _mm256_mullo_epi32(a, b) }
                fn sub(a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi32(a, b) }
                fn max8(a: __m256i, b: __m256i) -> __m256i { _mm256_max_epi8(a, b) }
                fn min8(a: __m256i, b: __m256i) -> __m256i { _mm256_min_epi8(a, b) }
                fn dot(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
$dot(sums, x, w)
                }
                fn shift_left(v: __m256i, by: u32) -> __m256i { _mm256_sll_epi32(v, _mm_cvtsi32_si128(by as i32)) }
                fn shift_right(v: __m256i, by: u32) -> __m256i { _mm256_sra_epi32(v, _mm_cvtsi32_si128(by as i32)) }
                fn odd(v: __m256i) -> __m256i { _mm256_srli_epi64::<32>(v) }
                fn high_mul(sums: __m256i, mul: __m256i, odd: __m256i, round: __m256i) -> __m256i {
                    let evens = _mm256_add_epi64(_mm256_mul_epi32(sums, mul), round);
                    let odds = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64::<32>(sums), odd), round);
                    // The high words of the odd products are in place already.
                    _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(evens), odds)
                }
                fn requant(from: *const Requant) -> (__m256i, __m256i) {
                    // SAFETY: the caller's: 8 records are readable.
                    let [a, b] = unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(4).cast())] };
                    let order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
                    let [a, b] = [_mm256_permutevar8x32_epi32(a, order), _mm256_permutevar8x32_epi32(b, order)];
                    (_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b))
                }
                fn interleave(rows: [__m256i; 4]) -> [__m256i; 4] {
                    let [a, b, c, d] = rows;
                    let [ab, cd] = [_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d)];
                    let [ab_high, cd_high] = [_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d)];
                    [
                        _mm256_unpacklo_epi16(ab, cd),
                        _mm256_unpackhi_epi16(ab, cd),
                        _mm256_unpacklo_epi16(ab_high, cd_high),
                        _mm256_unpackhi_epi16(ab_high, cd_high),
                    ]
                }
                fn narrow(sums: [__m256i; 4]) -> __m256i {
                    let [a, b, c, d] = sums;
                    _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d))
                }
                fn in_order(v: __m256i) -> __m256i {
                    _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
                }
                fn widen(from: *const u8) -> __m256i {
                    // SAFETY: the caller's: 8 readable bytes.
                    _mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(from.cast()) })
                }
                fn weigh(a: __m256i, b: __m256i, mul: __m256i) -> [__m256i; 4] {
                    let zero = _mm256_setzero_si256();
                    let [a_sign, b_sign] = [_mm256_cmpgt_epi8(zero, a), _mm256_cmpgt_epi8(zero, b)];
                    let [a_low, a_high] = [_mm256_unpacklo_epi8(a, a_sign), _mm256_unpackhi_epi8(a, a_sign)];
                    let [b_low, b_high] = [_mm256_unpacklo_epi8(b, b_sign), _mm256_unpackhi_epi8(b, b_sign)];
                    [
                        _mm256_madd_epi16(_mm256_unpacklo_epi16(a_low, b_low), mul),
                        _mm256_madd_epi16(_mm256_unpackhi_epi16(a_low, b_low), mul),
                        _mm256_madd_epi16(_mm256_unpacklo_epi16(a_high, b_high), mul),
                        _mm256_madd_epi16(_mm256_unpackhi_epi16(a_high, b_high), mul),
                    ]
                }
            }
        }
    };
    (@enabled $features:literal $(fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? $body:block)*) => {
        $(
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn $name($($arg: $type),*) $(-> $out)? $body
        )*
    };
}

ymm! {
    /// 256-bit vectors with dot products of AVX-VNNI.
    YmmVnni, "avx2,avxvnni", 12, _mm256_dpbusd_avx_epi32
}

ymm! {
    /// 256-bit vectors with dot products made of AVX2.
    Ymm, "avx2", 8, dot_of_pairs
}

/// Four products a lane by 16-bit multiplications. (`VPMADDUBSW` would saturate.)
#[inline]
#[target_feature(enable = "avx2")]
fn dot_of_pairs(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
    let evens = _mm256_madd_epi16(
        _mm256_and_si256(x, _mm256_set1_epi16(0xff)),
        _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)),
    );
    let odds = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(w));
    _mm256_add_epi32(sums, _mm256_add_epi32(evens, odds))
}
