//! The kernels compiled for each set of instructions, and the kernel sets that they make.

use super::avx2::{Ymm, YmmVnni};
use super::avx512::{Zmm, lut as avx512_lut};
use super::{conv, depthwise, elementwise, linear};
use crate::format::Packing;
use crate::kernels::{AddParams, Geometry, Kernels, Layer, MulParams, portable};

/// Whether the processor has a feature: asked at run time with the standard library, else known when the crate is
/// compiled.
macro_rules! has {
    ($($feature:tt),*) => {{
        #[cfg(feature = "std")]
        let has = $(std::is_x86_feature_detected!($feature))&&*;
        #[cfg(not(feature = "std"))]
        let has = $(cfg!(target_feature = $feature))&&*;
        has
    }};
}

/// One kernel set: functions with its instructions enabled, which are used where the processor has them.
macro_rules! set {
    ($(#[$doc:meta])* $set:ident, $module:ident, $name:literal, $lanes:ty, $features:literal, $has:expr $(, $lut:item)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $set;

        impl $set {
            /// Whether the processor has the instructions. Without them the portable kernels run.
            #[inline]
            pub fn is_available() -> bool {
                $has
            }
        }

        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            pub fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> bool {
                // SAFETY: this function has the instructions.
                unsafe { conv::conv::<$lanes>(g, l, x, y, scratch) }
            }

            #[target_feature(enable = $features)]
            pub fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> bool {
                // SAFETY: this function has the instructions.
                unsafe { depthwise::depthwise::<$lanes>(g, l, x, y, scratch) }
            }

            #[target_feature(enable = $features)]
            pub fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> bool {
                // SAFETY: this function has the instructions.
                unsafe { linear::linear::<$lanes>(l, x, y, scratch) }
            }

            #[target_feature(enable = $features)]
            pub fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
                let n = y.len().min(a.len()).min(b.len());
                // SAFETY: this function has the instructions; no slice is shorter than `n`.
                unsafe { elementwise::add::<$lanes>(p, a.as_ptr(), b.as_ptr(), y.as_mut_ptr(), n) }
            }

            #[target_feature(enable = $features)]
            pub fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
                let (n, y) = (y.len().min(a.len()), y.as_mut_ptr());
                // SAFETY: this function has the instructions; no slice is shorter than `n`.
                unsafe { elementwise::add::<$lanes>(p, a.as_ptr(), y, y, n) }
            }

            #[target_feature(enable = $features)]
            pub fn mul(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) {
                // SAFETY: this function has the instructions.
                unsafe { elementwise::mul::<$lanes>(p, a, b, y) }
            }

            #[target_feature(enable = $features)]
            pub fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) -> bool {
                // SAFETY: this function has the instructions.
                unsafe { elementwise::max_pool::<$lanes>(g, x, y) }
            }

            #[target_feature(enable = $features)]
            pub fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) -> bool {
                // SAFETY: this function has the instructions.
                unsafe { elementwise::avg_pool::<$lanes>(g, l, count_base, x, y) }
            }
        }

        impl Kernels for $set {
            const NAME: &'static str = $name;
            const PACKINGS: &'static [Packing] = &[Packing::Portable, Packing::Vnni];

            fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
                // SAFETY: the processor has the instructions.
                if !(Self::is_available() && unsafe { $module::conv(g, l, x, y, scratch) }) {
                    portable::conv(g, l, 1, x, y);
                }
            }

            fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
                // SAFETY: the processor has the instructions.
                if !(Self::is_available() && unsafe { $module::depthwise(g, l, x, y, scratch) }) {
                    portable::depthwise(g, l, x, y);
                }
            }

            fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
                // SAFETY: the processor has the instructions.
                if !(Self::is_available() && unsafe { $module::linear(l, x, y, scratch) }) {
                    portable::linear(l, x, y);
                }
            }

            fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
                if Self::is_available() && in_bytes(p) {
                    // SAFETY: the processor has the instructions.
                    unsafe { $module::add(p, a, b, y) }
                } else {
                    portable::add(p, a, b, y);
                }
            }

            fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
                if Self::is_available() && in_bytes(p) {
                    // SAFETY: the processor has the instructions.
                    unsafe { $module::add_onto(p, a, y) }
                } else {
                    portable::add_onto(p, a, y);
                }
            }

            fn mul(p: &MulParams, a: &[i8], b: &[i8], y: &mut [i8]) {
                if Self::is_available() && p.left_shift < 32 && !b.is_empty() && are_bytes(p.lo, p.hi) {
                    // SAFETY: the processor has the instructions.
                    unsafe { $module::mul(p, a, b, y) }
                } else {
                    portable::mul(p, a, b, y);
                }
            }

            $($lut)?

            fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
                // SAFETY: the processor has the instructions.
                if !(Self::is_available() && unsafe { $module::max_pool(g, x, y) }) {
                    portable::max_pool(g, x, y);
                }
            }

            fn avg_pool(g: &Geometry, l: &Layer, count_base: usize, x: &[i8], y: &mut [i8]) {
                // SAFETY: the processor has the instructions.
                if !(Self::is_available() && unsafe { $module::avg_pool(g, l, count_base, x, y) }) {
                    portable::avg_pool(g, l, count_base, x, y);
                }
            }
        }
    };
}

/// Whether sums have a possible shift and a range of values of bytes.
fn in_bytes(p: &AddParams) -> bool {
    p.shift < 32 && are_bytes(p.lo, p.hi) && elementwise::takes_sum(p)
}

/// Whether there is a range of values, of bytes.
fn are_bytes(lo: i32, hi: i32) -> bool {
    -128 <= lo && lo <= hi && hi <= 127
}

set! {
    /// AVX-512 with VNNI, for bytes and all vector lengths.
    Avx512, avx512, "avx512-vnni", Zmm, "avx512f,avx512bw,avx512vl,avx512vnni",
    has!("avx512f", "avx512bw", "avx512vl", "avx512vnni"),
    fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
        if Self::is_available() && has!("avx512vbmi") {
            // SAFETY: the processor has the instructions.
            unsafe { avx512_lut(table, x, y) }
        } else {
            portable::lut(table, x, y);
        }
    }
}

set! {
    /// AVX2 with AVX-VNNI.
    AvxVnni, avx_vnni, "avx-vnni", YmmVnni, "avx2,avxvnni", has!("avx2", "avxvnni")
}

set! {
    /// AVX2 alone.
    Avx2, avx2_alone, "avx2", Ymm, "avx2", has!("avx2")
}
