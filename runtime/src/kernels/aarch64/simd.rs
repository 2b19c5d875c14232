//! The NEON instructions that the kernels use, as safe functions: this kernel set exists only in builds whose target
//! has NEON.

use core::arch::aarch64 as arch;
pub(super) use core::arch::aarch64::{
    int8x8_t, int8x16_t, int16x8_t, int32x4_t, vld1_s8, vld1q_s8, vld1q_s8_x4, vld2q_s32, vst1_s8, vst1q_s8,
};
use core::arch::aarch64::{int8x16x4_t, int16x4_t, int64x2_t, uint8x16_t};

macro_rules! safe {
    ($(fn $name:ident($($arg:ident: $of:ty),*) -> $to:ty;)*) => {$(
        #[inline(always)]
        pub(super) fn $name($($arg: $of),*) -> $to {
            // SAFETY: the build's target has NEON, and the function works on registers alone.
            unsafe { arch::$name($($arg),*) }
        }
    )*};
}

safe! {
    fn vaddq_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    fn vaddw_high_s16(a: int32x4_t, b: int16x8_t) -> int32x4_t;
    fn vaddw_s16(a: int32x4_t, b: int16x4_t) -> int32x4_t;
    fn vcombine_s8(a: int8x8_t, b: int8x8_t) -> int8x16_t;
    fn vcreate_s8(a: u64) -> int8x8_t;
    fn vdup_n_s8(a: i8) -> int8x8_t;
    fn vdupq_n_s16(a: i16) -> int16x8_t;
    fn vdupq_n_s32(a: i32) -> int32x4_t;
    fn vdupq_n_s8(a: i8) -> int8x16_t;
    fn vdupq_n_u8(a: u8) -> uint8x16_t;
    fn veorq_u8(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    fn vget_high_s8(a: int8x16_t) -> int8x8_t;
    fn vget_low_s16(a: int16x8_t) -> int16x4_t;
    fn vget_low_s8(a: int8x16_t) -> int8x8_t;
    fn vmax_s8(a: int8x8_t, b: int8x8_t) -> int8x8_t;
    fn vmin_s8(a: int8x8_t, b: int8x8_t) -> int8x8_t;
    fn vmlal_high_n_s16(a: int32x4_t, b: int16x8_t, c: i16) -> int32x4_t;
    fn vmlal_n_s16(a: int32x4_t, b: int16x4_t, c: i16) -> int32x4_t;
    fn vmlal_s8(a: int16x8_t, b: int8x8_t, c: int8x8_t) -> int16x8_t;
    fn vmovl_s8(a: int8x8_t) -> int16x8_t;
    fn vmovl_s16(a: int16x4_t) -> int32x4_t;
    fn vmovl_high_s16(a: int16x8_t) -> int32x4_t;
    fn vmlaq_s32(a: int32x4_t, b: int32x4_t, c: int32x4_t) -> int32x4_t;
    fn vmull_high_s16(a: int16x8_t, b: int16x8_t) -> int32x4_t;
    fn vmull_s16(a: int16x4_t, b: int16x4_t) -> int32x4_t;
    fn vmull_s8(a: int8x8_t, b: int8x8_t) -> int16x8_t;
    fn vpaddq_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    fn vqaddq_s16(a: int16x8_t, b: int16x8_t) -> int16x8_t;
    fn vqmovn_high_s32(a: int16x4_t, b: int32x4_t) -> int16x8_t;
    fn vqmovn_s16(a: int16x8_t) -> int8x8_t;
    fn vqmovn_s32(a: int32x4_t) -> int16x4_t;
    fn vqtbl4q_s8(a: int8x16x4_t, b: uint8x16_t) -> int8x16_t;
    fn vqtbx4q_s8(a: int8x16_t, b: int8x16x4_t, c: uint8x16_t) -> int8x16_t;
    fn vreinterpretq_s32_s8(a: int8x16_t) -> int32x4_t;
    fn vreinterpretq_s64_s8(a: int8x16_t) -> int64x2_t;
    fn vreinterpretq_s8_s32(a: int32x4_t) -> int8x16_t;
    fn vreinterpretq_s8_s64(a: int64x2_t) -> int8x16_t;
    fn vreinterpretq_u8_s8(a: int8x16_t) -> uint8x16_t;
    fn vshlq_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    fn vsubl_s8(a: int8x8_t, b: int8x8_t) -> int16x8_t;
    fn vsubq_u8(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t;
    fn vuzp1q_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    fn vuzp2q_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    fn vzip1q_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    fn vzip1q_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t;
    fn vzip2q_s32(a: int32x4_t, b: int32x4_t) -> int32x4_t;
    fn vzip2q_s64(a: int64x2_t, b: int64x2_t) -> int64x2_t;
}
