//! Kernel sets: the operators on slices, one implementation per instruction set.
//!
//! [`portable`] is the definition: plain loops, obviously right. Every other set gives the same bytes.
//! The slices that a kernel gets have been checked against the geometry once, when the file was verified.

use crate::format::{Packing, Requant, Tile};

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub mod aarch64;
#[cfg(all(target_arch = "arm", keel_dsp))]
pub mod cortex_m4;
#[cfg(feature = "float")]
pub mod float;
mod geometry;
#[cfg(all(target_arch = "arm", keel_mve))]
pub mod helium;
pub mod portable;
mod weights;
#[cfg(target_arch = "x86_64")]
pub mod x86;

pub use geometry::Geometry;
pub use portable::Portable;
#[cfg(feature = "write")]
pub(crate) use weights::Reader;
pub use weights::{Columns, Weights};

/// The fastest kernel set of this build.
#[cfg(all(target_arch = "arm", keel_dsp))]
pub type Native = cortex_m4::CortexM4;
/// The fastest kernel set of this build.
#[cfg(all(target_arch = "arm", keel_mve))]
pub type Native = helium::Helium;
/// The fastest kernel set of this build.
#[cfg(target_arch = "x86_64")]
pub type Native = x86::X86;
/// The fastest kernel set of this build.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub type Native = aarch64::Aarch64;
/// The fastest kernel set of this build.
#[cfg(not(any(
    all(target_arch = "arm", any(keel_dsp, keel_mve)),
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
)))]
pub type Native = Portable;

/// The fastest kernel set of this build for files that are packed for it. It refuses those that are packed for no
/// target, and is smaller.
#[cfg(all(target_arch = "arm", keel_dsp))]
pub type NativePacked = cortex_m4::CortexM4Packed;
/// The fastest kernel set of this build for files that are packed for it.
#[cfg(not(all(target_arch = "arm", keel_dsp)))]
pub type NativePacked = Native;

/// Weights and requantisation of one operator.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// See [`crate::format::op`] for the order of outputs and taps.
    pub weights: Weights<'a>,
    /// How the weights of a convolution or a linear operator are cut into tiles.
    pub tile: Tile,
    /// The target class that they are packed for.
    pub packing: Packing,
    /// One per output channel (mean: one per number of valid taps; product: one).
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
    /// Multipliers of the two inputs; in calibrated networks they fit 16 bits.
    pub mul: [i32; 2],
    /// Zero points and rounding.
    pub bias: i32,
    /// Right shift.
    pub shift: u32,
    /// Smallest output value.
    pub lo: i32,
    /// Largest output value.
    pub hi: i32,
}

/// Parameters of the product: `requantise((a - zero[0]) * (b - zero[1]))`, see [`crate::quant::requantise`].
#[derive(Clone, Copy, Debug)]
pub struct MulParams {
    /// Zero points of the two inputs.
    pub zero: [i32; 2],
    /// `scale_a * scale_b / scale_out * 2^(32 - left_shift)`.
    pub mul: i32,
    /// Shift of the product before the multiplication.
    pub left_shift: u32,
    /// Zero point of the output.
    pub zero_out: i32,
    /// Smallest output value.
    pub lo: i32,
    /// Largest output value.
    pub hi: i32,
}

/// A kernel set. All functions are total on slices that fit the geometry; `scratch` is 4-aligned and at
/// least [`Packing::scratch_len`] long. The defaults are the portable kernels, which run every packing.
pub trait Kernels {
    /// The name that logs and benches print.
    const NAME: &'static str;
    /// The packings that it runs; the last is the one that it is made for.
    const PACKINGS: &'static [Packing];

    /// Convolution over all channels.
    fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        let _ = scratch;
        portable::conv(g, l, 1, x, y);
    }
    /// Convolution in `groups` groups of channels.
    fn grouped_conv(g: &Geometry, l: &Layer, groups: usize, x: &[i8], y: &mut [i8]) {
        portable::conv(g, l, groups, x, y);
    }
    /// One filter per channel; weights HWC.
    fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        let _ = scratch;
        portable::depthwise(g, l, x, y);
    }
    /// Matrix times vector.
    fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        let _ = scratch;
        portable::linear(l, x, y);
    }
    /// Element-wise sum.
    fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        portable::add(p, a, b, y);
    }
    /// Element-wise sum that overwrites its second input.
    fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
        portable::add_onto(p, a, y);
    }
    /// Element-wise product; `b` is as long as `a`, or one value per channel.
    fn mul(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        portable::mul(p, a, b, y);
    }
    /// `y = table[x + 128]`.
    fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
        portable::lut(table, x, y);
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
