//! Convolutions over all channels without the feature `gemm`: plain loops, and no scratch that would make them faster.

use super::{Layer, conv};
use crate::format::Dtype;
use crate::kernels::Geometry;

/// Convolution over all channels.
pub fn conv_all(g: &Geometry, l: &Layer, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
    conv(g, l, 1, x, y, scratch);
}

/// Scratch with which [`conv_all`] is as fast as it can be, in elements.
pub fn fast_scratch_len(_: Dtype, _: &Geometry) -> usize {
    0
}
