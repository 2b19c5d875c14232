//! Kernels for AArch64: NEON, and the integer dot products of newer cores where the machine has them.
//!
//! They read weights packed for [`Packing::Sdot`] as they lie in the file: a tile of 8 outputs × 4 taps is two
//! vectors. What they share:
//!
//! - A microkernel (`tiles`) makes the sums of 8 outputs for up to 8 pixels at a time, so a tile of weights is
//!   loaded once for all of them. There is one for each instruction set; all give the same sums.
//! - `pixels` says where the taps of a pixel lie: in the input itself where they do in runs of whole groups of
//!   four, otherwise in a column that is gathered first.
//! - `requant` is the requantisation ([`crate::quant`]) of 8 sums: a rounding narrowing shift of the 64-bit
//!   product is exactly its rounded high word.
//! - Each kernel checks the lengths of its slices against the geometry before it takes a pointer. What it does not
//!   take (other packings, two of four, fewer than 8 channels in a row) is left to [`Portable`].

#![allow(unsafe_code)]

use super::{AddParams, Geometry, Kernels, Layer, MulParams, Portable, Weights, portable};
use crate::format::Packing;

mod conv;
mod depthwise;
mod elementwise;
mod linear;
mod pixels;
mod pool;
mod requant;
mod simd;
mod tiles;

/// The AArch64 kernel set: the fastest instructions that the machine has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aarch64;

/// An instruction set for sums of products. There is no way to one that this machine lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// `SMULL`, `SMLAL`, `SADALP`: every AArch64 core.
    Neon,
    /// `SDOT`: from the Cortex-A55 and A75 on.
    Dotprod,
    /// `SMMLA` besides: from the Cortex-A510 and A710 on, and Neoverse V1 and N2.
    I8mm,
}

/// Whether this machine has a feature: asked for at run time where there is a standard library.
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(any(test, feature = "std"))]
        let has = std::arch::is_aarch64_feature_detected!($feature);
        #[cfg(not(any(test, feature = "std")))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}

impl Level {
    /// The fastest that this machine has.
    pub fn best() -> Self {
        Level(match (has!("dotprod"), has!("i8mm")) {
            (true, true) => Set::I8mm,
            (true, false) => Set::Dotprod,
            _ => Set::Neon,
        })
    }

    /// All that this machine has, for tests and measurements.
    pub fn all() -> impl Iterator<Item = Self> {
        let best = Self::best();
        [Set::Neon, Set::Dotprod, Set::I8mm].into_iter().filter(move |s| *s as u8 <= best.0 as u8).map(Level)
    }

    /// The name that logs and benches print.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Neon => "neon",
            Set::Dotprod => "dotprod",
            Set::I8mm => "i8mm",
        }
    }
}

/// [`Kernels::conv`] with one instruction set.
pub fn conv(level: Level, g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
    let done = match level.0 {
        Set::Neon if has_lowest(l) => conv::conv::<tiles::Neon<false>>(g, l, x, y, scratch),
        Set::Neon => conv::conv::<tiles::Neon<true>>(g, l, x, y, scratch),
        Set::Dotprod => conv::conv::<tiles::Dotprod>(g, l, x, y, scratch),
        Set::I8mm => conv::conv::<tiles::I8mm>(g, l, x, y, scratch),
    };
    if done.is_none() {
        Portable::conv(g, l, x, y, scratch);
    }
}

/// [`Kernels::linear`] with one instruction set.
pub fn linear(level: Level, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
    // Each weight is used once: looking for the lowest value first would cost as much as it saves, and so would
    // bringing weights into the order of SMMLA.
    let done = match level.0 {
        Set::Neon => linear::linear::<tiles::Neon<false>>(l, x, y, scratch),
        Set::Dotprod | Set::I8mm => linear::linear::<tiles::Dotprod>(l, x, y, scratch),
    };
    if done.is_none() {
        Portable::linear(l, x, y, scratch);
    }
}

impl Kernels for Aarch64 {
    const NAME: &'static str = "aarch64";
    const PACKINGS: &'static [Packing] = &[Packing::Portable, Packing::Sdot];

    fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        conv(Level::best(), g, l, x, y, scratch);
    }

    fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        if depthwise::depthwise(g, l, x, y).is_none() {
            Portable::depthwise(g, l, x, y, scratch);
        }
    }

    fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        linear(Level::best(), l, x, y, scratch);
    }

    fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        let done = elementwise::add(p, a, b, y);
        portable::add(p, &a[done..], &b[done..], &mut y[done..]);
    }

    fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
        let done = elementwise::add_onto(p, a, y);
        portable::add_onto(p, &a[done..], &mut y[done..]);
    }

    fn mul(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        for (y, a) in y.chunks_mut(b.len().max(1)).zip(a.chunks(b.len().max(1))) {
            let done = elementwise::mul(p, a, b, y);
            if done < y.len() {
                portable::mul(p, &a[done..], &b[done..], &mut y[done..]);
            }
        }
    }

    fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
        let done = elementwise::lut(table, x, y);
        portable::lut(table, &x[done..], &mut y[done..]);
    }

    fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
        if pool::max_pool(g, x, y).is_none() {
            Portable::max_pool(g, x, y);
        }
    }

    fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) {
        if pool::avg_pool(g, l, count_base, x, y).is_none() {
            Portable::avg_pool(g, l, count_base, x, y);
        }
    }
}

/// Whether a weight is -128: two products of such with a value of -128 leave 16 bits.
fn has_lowest(l: &Layer) -> bool {
    match l.weights {
        Weights::Dense(w) | Weights::Blocks { tiles: w, .. } | Weights::TwoOfFour { values: w, .. } => {
            w.iter().fold(false, |found, &w| found | (w == i8::MIN))
        }
    }
}
