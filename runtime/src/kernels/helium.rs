//! Kernels for the Cortex-M55 and M85 and their vector instructions (Helium), in assembler.
//!
//! What they share:
//!
//! - `VMLADAVA.S8` multiplies two vectors of 16 bytes and adds all products to an (even) register. Sums wrap.
//! - `VRMULH.S32` is the requantisation's rounded high word ([`crate::quant`]), four outputs at a time.
//! - No load leaves its slice. Where taps or channels end within a vector, the loads of that vector are predicated,
//!   and the lanes that are left out are zero.
//! - What is no vector's work is left to [`Portable`].

#![allow(unsafe_code)]

use super::{AddParams, Geometry, Kernels, Layer, Portable, Weights};
use crate::format::Packing;

/// From the sums in r0, r2, r4, r6 and in r8, r10, r12, lr to vectors of results in q0 and q1, with the range of values
/// in q6 and q7. `$load` loads the zero point to r6, the shift to r8, and what else the caller wants to the registers
/// that have become free; `$records` then holds the address of the records.
macro_rules! requantise_pair {
    ($load:literal, $records:literal) => {
        concat!(
            "vmov q0[2], q0[0], r0, r4\n",
            "vmov q0[3], q0[1], r2, r6\n",
            "vmov q1[2], q1[0], r8, r12\n",
            "vmov q1[3], q1[1], r10, lr\n",
            concat!($load, "\n"),
            concat!("vld20.32 {{q2, q3}}, [", $records, "]\n"),
            concat!("vld21.32 {{q2, q3}}, [", $records, "]!\n"),
            "vadd.i32 q0, q0, q2\n",
            "vadd.i32 q1, q1, q2\n",
            "vshl.s32 q0, r8\n",
            "vshl.s32 q1, r8\n",
            "vrmulh.s32 q0, q0, q3\n",
            "vrmulh.s32 q1, q1, q3\n",
            "vadd.i32 q0, q0, r6\n",
            "vadd.i32 q1, q1, r6\n",
            "vmax.s32 q0, q0, q6\n",
            "vmax.s32 q1, q1, q6\n",
            "vmin.s32 q0, q0, q7\n",
            "vmin.s32 q1, q1, q7\n",
        )
    };
}

mod blocks;
mod columns;
mod conv;
mod depthwise;
mod elementwise;
mod linear;

use blocks::Stored;

/// The Helium kernel set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Helium;

impl Kernels for Helium {
    const NAME: &'static str = "cortex-m55";
    const PACKINGS: &'static [Packing] = &[Packing::Portable, Packing::Mve];

    fn conv(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        let done = match (l.packing, l.weights) {
            (Packing::Mve, Weights::Dense(weights)) => conv::conv(g, l, weights, x, y, scratch),
            (Packing::Mve, Weights::Blocks { counts, columns, tiles }) => {
                blocks::conv(g, l, &Stored { counts, columns, tiles }, x, y, scratch)
            }
            _ => None,
        };
        if done.is_none() {
            Portable::conv(g, l, x, y, scratch);
        }
    }

    fn depthwise(g: &Geometry, l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        if depthwise::depthwise(g, l, x, y).is_none() {
            Portable::depthwise(g, l, x, y, scratch);
        }
    }

    fn linear(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) {
        let done = match (l.packing, l.weights) {
            (Packing::Mve, Weights::Dense(weights)) => linear::linear(l, weights, x, y),
            (Packing::Mve, Weights::Blocks { counts, columns, tiles }) => {
                blocks::linear(l, &Stored { counts, columns, tiles }, x, y, scratch)
            }
            _ => None,
        };
        if done.is_none() {
            Portable::linear(l, x, y, scratch);
        }
    }

    fn add(p: &AddParams, a: &[i8], b: &[i8], y: &mut [i8]) {
        elementwise::add(p, a, b, y);
    }

    fn add_onto(p: &AddParams, a: &[i8], y: &mut [i8]) {
        elementwise::add_onto(p, a, y);
    }

    fn lut(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
        elementwise::lut(table, x, y);
    }

    fn max_pool(g: &Geometry, x: &[i8], y: &mut [i8]) {
        elementwise::max_pool(g, x, y);
    }
}
