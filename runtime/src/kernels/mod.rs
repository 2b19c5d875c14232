//! Kernel sets: the operators on slices, one implementation per instruction set.
//!
//! [`portable`] is the definition: plain loops, obviously right. Every other set gives the same bytes.
//! The slices that a kernel gets have been checked against the geometry once, when the file was verified.

use crate::format::{OpRecord, Requant};

#[cfg(all(target_arch = "arm", keel_dsp))]
pub mod cortex_m4;
pub mod portable;

pub use portable::Portable;

/// The fastest kernel set of this build.
#[cfg(all(target_arch = "arm", keel_dsp))]
pub type Native = cortex_m4::CortexM4;
/// The fastest kernel set of this build.
#[cfg(not(all(target_arch = "arm", keel_dsp)))]
pub type Native = Portable;

/// Shapes (H × W × C) and the sliding window of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Input height, width, channels.
    pub input: [usize; 3],
    /// Output height, width, channels.
    pub output: [usize; 3],
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Padding above and to the left.
    pub pad: [usize; 2],
}

/// Weights and requantisation of one operator.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// See [`crate::format::op`] for the order.
    pub weights: &'a [i8],
    /// One per output channel (mean: one per number of valid taps).
    pub requant: &'a [Requant],
    /// Shift of the accumulator before the multiplication.
    pub left_shift: u32,
    /// Zero point of the input: what padding is filled with.
    pub zero_in: i8,
    /// Zero point of the output.
    pub zero_out: i32,
    /// Smallest output value.
    pub lo: i32,
    /// Largest output value.
    pub hi: i32,
}

/// Parameters of the residual sum, see [`crate::quant::add`].
#[derive(Clone, Copy, Debug)]
pub struct AddParams {
    /// Multipliers of the two inputs.
    pub mul: [i16; 2],
    /// Zero points and rounding.
    pub bias: i32,
    /// Right shift.
    pub shift: u32,
    /// Smallest output value.
    pub lo: i32,
    /// Largest output value.
    pub hi: i32,
}

/// Scratch that any kernel set may use for an operator, in bytes: two columns of the convolution, widened
/// to 16 bits, the taps of each rounded up to four. It is part of the arena that a file states.
pub fn scratch_len(op: &OpRecord, in_channels: usize) -> usize {
    use crate::format::op;
    let taps = op.kernel[0] as usize * op.kernel[1] as usize;
    match op.code {
        op::CONV => (taps.saturating_mul(in_channels).saturating_add(3) & !3).saturating_mul(4),
        _ => 0,
    }
}

/// A kernel set. All functions are total on slices that fit the geometry; `scratch` is 4-aligned and at
/// least [`scratch_len`] long. The defaults are the portable kernels.
pub trait Kernels {
    /// The name that logs and benches print.
    const NAME: &'static str;

    /// Convolution over all channels; weights OHWI.
    fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        let _ = scratch;
        portable::conv(g, l, 1, x, y);
    }
    /// Convolution in `groups` groups of channels; weights OHWI.
    fn grouped_conv(g: &Geometry, l: &Layer, groups: usize, x: &[i8], y: &mut [i8]) {
        portable::conv(g, l, groups, x, y);
    }
    /// One filter per channel; weights HWC.
    fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8]) {
        portable::depthwise(g, l, x, y);
    }
    /// Matrix times vector; weights `[out][in]`.
    fn linear(l: &Layer, x: &[i8], y: &mut [i8]) {
        portable::linear(l, x, y);
    }
    /// Element-wise sum.
    fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        portable::add(p, a, b, y);
    }
    /// Maximum over a window, padding ignored.
    fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
        portable::max_pool(g, x, y);
    }
    /// Mean over the valid taps; `l.requant[n - count_base]` serves `n` taps.
    fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) {
        portable::avg_pool(g, l, count_base, x, y);
    }
}
