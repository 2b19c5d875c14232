//! What the kernels ask of an instruction set: vectors of bytes that are also vectors of 32-bit sums.

use crate::format::Requant;

/// One vector type and its instructions.
///
/// # Safety
/// Every function needs a processor with the instructions of the implementing type; those that take pointers
/// need them to be valid for the bytes that they name. Callers are generic and `#[inline(always)]`, up to a
/// function of [`super::sets`] that has these instructions enabled.
///
/// Closures do not have them, so one that calls these functions is right but may be slow: it is left to chance whether
/// the compiler puts it in its place.
pub(super) trait Lanes {
    /// A vector.
    type V: Copy;
    /// Its bytes; a quarter as many sums, and outputs whose four taps it holds.
    const BYTES: usize;
    /// Vectors of sums that fit into registers beside their operands, at most.
    const SUMS: usize;

    /// Loads a vector.
    unsafe fn load(from: *const u8) -> Self::V;
    /// Loads the first `n` bytes, at most [`Lanes::BYTES`]; the others are zero.
    unsafe fn load_first(from: *const u8, n: usize) -> Self::V;
    /// Stores a vector.
    unsafe fn store(to: *mut u8, v: Self::V);
    /// Stores `n` bytes from byte `start` of the vector.
    unsafe fn store_part(to: *mut u8, v: Self::V, start: usize, n: usize);
    /// The same byte everywhere.
    unsafe fn splat8(v: i8) -> Self::V;
    /// The same 32 bits everywhere.
    unsafe fn splat32(v: i32) -> Self::V;
    /// The same 64 bits everywhere.
    unsafe fn splat64(v: i64) -> Self::V;
    /// Four bytes from memory everywhere.
    unsafe fn four(from: *const u8) -> Self::V;
    /// Bitwise exclusive or.
    unsafe fn xor(a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise and.
    unsafe fn and(a: Self::V, b: Self::V) -> Self::V;
    /// 32-bit sums.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Low words of 32-bit products.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// 32-bit differences.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// Larger signed bytes.
    unsafe fn max8(a: Self::V, b: Self::V) -> Self::V;
    /// Smaller signed bytes.
    unsafe fn min8(a: Self::V, b: Self::V) -> Self::V;
    /// To each sum, the products of four unsigned bytes of `x` with four signed ones of `w`. Exact.
    unsafe fn dot(sums: Self::V, x: Self::V, w: Self::V) -> Self::V;
    /// 32-bit shifts to the left.
    unsafe fn shift_left(v: Self::V, by: u32) -> Self::V;
    /// `sum >> by` of 32-bit sums, signed.
    unsafe fn shift_right(v: Self::V, by: u32) -> Self::V;
    /// The upper halves of all 64-bit lanes in their lower halves.
    unsafe fn odd(v: Self::V) -> Self::V;
    /// High words of `sum * mul + round`, in 64 bits; `odd` is [`Lanes::odd`] of `mul`.
    unsafe fn high_mul(sums: Self::V, mul: Self::V, odd: Self::V, round: Self::V) -> Self::V;
    /// Biases and multipliers of a quarter of [`Lanes::BYTES`] outputs.
    unsafe fn requant(from: *const Requant) -> (Self::V, Self::V);
    /// Bytes at the same place of four vectors become four neighbours. In each 128-bit lane, the first result has
    /// the first four places, and so on.
    unsafe fn interleave(rows: [Self::V; 4]) -> [Self::V; 4];
    /// Saturates sums to bytes; the inverse of the order of [`Lanes::interleave`].
    unsafe fn narrow(sums: [Self::V; 4]) -> Self::V;
    /// Puts the bytes of [`Lanes::narrow`] in the order of its arguments: all of the first, then the second.
    unsafe fn in_order(v: Self::V) -> Self::V;
    /// Signed bytes as 32-bit sums, a quarter of [`Lanes::BYTES`] of them.
    unsafe fn widen(from: *const u8) -> Self::V;
    /// `a * mul[0] + b * mul[1]` of signed bytes, as 32-bit sums in the order of [`Lanes::interleave`]; `mul` is a
    /// pair of 16-bit values everywhere.
    unsafe fn weigh(a: Self::V, b: Self::V, mul: Self::V) -> [Self::V; 4];
}
