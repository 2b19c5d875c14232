//! The definition of every operator: plain loops.

use super::{AddParams, Geometry, Kernels, Layer};

/// The portable kernel set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl Kernels for Portable {
    const NAME: &'static str = "portable";
}

/// Convolution.
pub fn conv(_g: &Geometry, _l: &Layer, _groups: usize, _x: &[i8], _y: &mut [i8]) {}
/// Depthwise convolution.
pub fn depthwise(_g: &Geometry, _l: &Layer, _x: &[i8], _y: &mut [i8]) {}
/// Fully connected.
pub fn linear(_l: &Layer, _x: &[i8], _y: &mut [i8]) {}
/// Sum.
pub fn add(_p: &AddParams, _a: &[i8], _b: &[i8], _y: &mut [i8]) {}
/// Maximum.
pub fn max_pool(_g: &Geometry, _x: &[i8], _y: &mut [i8]) {}
/// Mean.
pub fn avg_pool(_g: &Geometry, _l: &Layer, _count_base: usize, _x: &[i8], _y: &mut [i8]) {}
