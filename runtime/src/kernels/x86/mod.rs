//! Kernels for x86-64: AVX-512 with VNNI, AVX-VNNI or AVX2, whatever the processor has.
//!
//! Their weights are packed in tiles of 16 outputs × 4 taps ([`Packing::Vnni`]), a vector of 64 bytes or two of 32,
//! for the instruction that multiplies unsigned bytes with signed ones: values are read as `x + 128`. Each kernel is
//! written once, for any `lanes::Lanes`, and compiled for three sets of instructions in `sets`.

#![allow(unsafe_code)]

mod avx2;
mod avx512;
mod band;
mod conv;
mod depthwise;
mod elementwise;
mod lanes;
mod linear;
mod matrix;
mod requant;
mod sets;
mod steps;

use super::{AddParams, Geometry, Kernels, Layer, MulParams, Portable};
use crate::format::Packing;
pub use sets::{Avx2, Avx512, AvxVnni};

/// The fastest of [`Avx512`], [`AvxVnni`], [`Avx2`] and [`Portable`] that the processor has.
#[derive(Clone, Copy, Debug, Default)]
pub struct X86;

impl X86 {
    /// The name of the set that runs.
    pub fn set_name() -> &'static str {
        if Avx512::is_available() {
            Avx512::NAME
        } else if AvxVnni::is_available() {
            AvxVnni::NAME
        } else if Avx2::is_available() {
            Avx2::NAME
        } else {
            Portable::NAME
        }
    }
}

/// Calls a function of the fastest set.
macro_rules! fastest {
    ($function:ident($($arg:ident),*)) => {
        if Avx512::is_available() {
            Avx512::$function($($arg),*)
        } else if AvxVnni::is_available() {
            AvxVnni::$function($($arg),*)
        } else if Avx2::is_available() {
            Avx2::$function($($arg),*)
        } else {
            Portable::$function($($arg),*)
        }
    };
}

impl Kernels for X86 {
    const NAME: &'static str = "x86";
    const PACKINGS: &'static [Packing] = &[Packing::Portable, Packing::Vnni];

    fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        fastest!(conv(g, l, x, y, scratch));
    }
    fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        fastest!(depthwise(g, l, x, y, scratch));
    }
    fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        fastest!(linear(l, x, y, scratch));
    }
    fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        fastest!(add(p, a, b, y));
    }
    fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
        fastest!(add_onto(p, a, y));
    }
    fn mul(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        fastest!(mul(p, a, b, y));
    }
    fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
        fastest!(lut(table, x, y));
    }
    fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
        fastest!(max_pool(g, x, y));
    }
    fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) {
        fastest!(avg_pool(g, l, count_base, x, y));
    }
}
