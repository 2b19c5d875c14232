//! Kernels of float models: plain loops on f32 slices, weights in f32 or f16.
//!
//! Sums run in f32 over [`dot::LANES`] lanes in a fixed order, multiplication and addition apart (never fused), so that
//! compilers vectorise them and the result is that of the source. The set for hosts (feature `gemm`) adds up
//! in another order: float models agree between machines to rounding, not to the bit as int8 models do.
//!
//! Bounds keep NaN: `x` becomes `lo` only where it is less, and `hi` only where it is more.

mod activation;
mod conv;
mod dot;
#[cfg(feature = "gemm")]
mod gemm;
mod linear;
mod moves;
#[cfg(not(feature = "gemm"))]
mod plain;
mod pool;

pub use activation::Function;
pub use conv::{conv, depthwise};
#[cfg(feature = "gemm")]
pub use gemm::{conv_all, fast_scratch_len};
pub use linear::linear;
pub use moves::{pad, resize, slice};
pub use pool::{avg_pool, max_pool, softmax};

#[cfg(not(feature = "gemm"))]
pub use plain::{conv_all, fast_scratch_len};

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Weights as a file stores them.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// f32.
    F32(&'a [f32]),
    /// Bits of f16.
    F16(&'a [u16]),
}

impl<'a> Weights<'a> {
    /// `len` weights from `first` in f32: in place, or converted into `buffer`, which then must hold them.
    #[inline(always)]
    fn read<'b>(self, first: usize, len: usize, buffer: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Weights::F32(weights) => &weights[first..first + len],
            Weights::F16(bits) => {
                let weights: &[f16] = bits[first..first + len].reinterpret_cast();
                let buffer = &mut buffer[..len];
                weights.convert_to_f32_slice(buffer);
                buffer
            }
        }
    }

    /// Whether reading takes a buffer.
    #[cfg(feature = "gemm")]
    fn is_converted(self) -> bool {
        matches!(self, Weights::F16(_))
    }
}

/// Weights, biases and bounds of one operator.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// OHWI, depthwise HWC, linear `[out][in]`.
    pub weights: Weights<'a>,
    /// One per output channel.
    pub bias: &'a [f32],
    /// Bounds of the result.
    pub clip: Clip,
}

/// Bounds of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Smallest value.
    pub lo: f32,
    /// Largest value.
    pub hi: f32,
}

impl Clip {
    /// Bounds that change nothing.
    pub const NONE: Clip = Clip { lo: f32::NEG_INFINITY, hi: f32::INFINITY };

    /// `x` within the bounds; NaN stays NaN.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let x = if x < self.lo { self.lo } else { x };
        if x > self.hi { self.hi } else { x }
    }
}
