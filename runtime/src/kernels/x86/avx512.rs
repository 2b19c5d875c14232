//! AVX-512 with VNNI: 64 bytes, four products a lane.

use core::arch::x86_64::*;

use super::lanes::Lanes;
use crate::format::Requant;

/// 512-bit vectors.
pub(super) struct Zmm;

/// Implements functions of [`Lanes`] with the instructions of this file enabled.
macro_rules! enabled {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? $body:block)*) => {
        $(
            $(#[$doc])*
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
            unsafe fn $name($($arg: $type),*) $(-> $out)? $body
        )*
    };
}

impl Lanes for Zmm {
    type V = __m512i;
    const BYTES: usize = 64;
    const SUMS: usize = 24;

    enabled! {
        fn load(from: *const u8) -> __m512i {
            // SAFETY: the caller's: 64 readable bytes.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }
        fn load_first(from: *const u8, n: usize) -> __m512i {
            // SAFETY: the caller's: the bytes that the mask names are readable; others are not touched.
            unsafe { _mm512_maskz_loadu_epi8(mask(0, n), from.cast()) }
        }
        fn store(to: *mut u8, v: __m512i) {
            // SAFETY: the caller's: 64 writable bytes.
            unsafe { _mm512_storeu_si512(to.cast(), v) }
        }
        fn store_part(to: *mut u8, v: __m512i, start: usize, n: usize) {
            // SAFETY: the caller's: the bytes that the mask names are writable; others are not touched.
            unsafe { _mm512_mask_storeu_epi8(to.wrapping_sub(start).cast(), mask(start, n), v) }
        }
        fn splat8(v: i8) -> __m512i { _mm512_set1_epi8(v) }
        fn splat32(v: i32) -> __m512i { _mm512_set1_epi32(v) }
        fn splat64(v: i64) -> __m512i { _mm512_set1_epi64(v) }
        fn four(from: *const u8) -> __m512i {
            // SAFETY: the caller's: four readable bytes.
            _mm512_set1_epi32(unsafe { from.cast::<i32>().read_unaligned() })
        }
        fn xor(a: __m512i, b: __m512i) -> __m512i { _mm512_xor_si512(a, b) }
        fn and(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn add(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn mul(a: __m512i, b: __m512i) -> __m512i { _mm512_mullo_epi32(a, b) }
        fn sub(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        fn max8(a: __m512i, b: __m512i) -> __m512i { _mm512_max_epi8(a, b) }
        fn min8(a: __m512i, b: __m512i) -> __m512i { _mm512_min_epi8(a, b) }
        fn dot(sums: __m512i, x: __m512i, w: __m512i) -> __m512i { _mm512_dpbusd_epi32(sums, x, w) }
        fn shift_left(v: __m512i, by: u32) -> __m512i { _mm512_sll_epi32(v, _mm_cvtsi32_si128(by as i32)) }
        fn shift_right(v: __m512i, by: u32) -> __m512i { _mm512_sra_epi32(v, _mm_cvtsi32_si128(by as i32)) }
        fn odd(v: __m512i) -> __m512i { _mm512_srli_epi64::<32>(v) }
        fn high_mul(sums: __m512i, mul: __m512i, odd: __m512i, round: __m512i) -> __m512i {
            let evens = _mm512_add_epi64(_mm512_mul_epi32(sums, mul), round);
            let odds = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64::<32>(sums), odd), round);
            // The high words of the odd products are in place already.
            _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odds, 0x5555, evens)
        }
        fn requant(from: *const Requant) -> (__m512i, __m512i) {
            // SAFETY: the caller's: 16 records are readable.
            let [a, b] = unsafe { [_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(from.add(8).cast())] };
            let evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
            (_mm512_permutex2var_epi32(a, evens, b), _mm512_permutex2var_epi32(a, odds, b))
        }
        fn interleave(rows: [__m512i; 4]) -> [__m512i; 4] {
            let [a, b, c, d] = rows;
            let [ab, cd] = [_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d)];
            let [ab_high, cd_high] = [_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d)];
            [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(ab_high, cd_high),
                _mm512_unpackhi_epi16(ab_high, cd_high),
            ]
        }
        fn narrow(sums: [__m512i; 4]) -> __m512i {
            let [a, b, c, d] = sums;
            _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d))
        }
        fn in_order(v: __m512i) -> __m512i {
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, v)
        }
        fn widen(from: *const u8) -> __m512i {
            // SAFETY: the caller's: 16 readable bytes.
            _mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(from.cast()) })
        }
        fn weigh(a: __m512i, b: __m512i, mul: __m512i) -> [__m512i; 4] {
            let [a_sign, b_sign] = [_mm512_movepi8_mask(a), _mm512_movepi8_mask(b)];
            let [a_high, b_high] = [_mm512_maskz_set1_epi8(a_sign, -1), _mm512_maskz_set1_epi8(b_sign, -1)];
            let [a_low, a_upper] = [_mm512_unpacklo_epi8(a, a_high), _mm512_unpackhi_epi8(a, a_high)];
            let [b_low, b_upper] = [_mm512_unpacklo_epi8(b, b_high), _mm512_unpackhi_epi8(b, b_high)];
            [
                _mm512_madd_epi16(_mm512_unpacklo_epi16(a_low, b_low), mul),
                _mm512_madd_epi16(_mm512_unpackhi_epi16(a_low, b_low), mul),
                _mm512_madd_epi16(_mm512_unpacklo_epi16(a_upper, b_upper), mul),
                _mm512_madd_epi16(_mm512_unpackhi_epi16(a_upper, b_upper), mul),
            ]
        }
    }
}

/// A mask of `n` bytes from byte `start`.
#[inline(always)]
fn mask(start: usize, n: usize) -> u64 {
    if n == 0 { 0 } else { (u64::MAX >> (64 - n)) << start }
}

/// `y = table[x + 128]`, 64 values at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
    // SAFETY: the table has four vectors.
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| unsafe { _mm512_loadu_si512(table.as_ptr().add(i * 64).cast()) });
    for (x, y) in x.chunks(64).zip(y.chunks_mut(64)) {
        let these = mask(0, x.len().min(y.len()));
        // SAFETY: the mask names the bytes that both have; others are not touched.
        unsafe {
            let x = _mm512_maskz_loadu_epi8(these, x.as_ptr().cast());
            // Negative values are the lower half of the table.
            let [low, high] = [_mm512_permutex2var_epi8(a, x, b), _mm512_permutex2var_epi8(c, x, d)];
            let v = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), high, low);
            _mm512_mask_storeu_epi8(y.as_mut_ptr().cast(), these, v);
        }
    }
}
