//! What a layer takes on a target, in instructions, with every weight and with only some tiles of it: so that one knows
//! before pruning which pattern pays where.
//!
//! A kernel computes the outputs of a row of tiles for a few pixels at a time. So with `down × across` tiles of which a
//! share `density` is stored,
//!
//! ```text
//! count = layer + ceil(pixels / group) * (column + down * (row + density * across * tile))
//! column = group * (pixel + runs * run + words * word)
//! ```
//!
//! `tile` is the inner loop, its index included; `row` sets up a row of tiles and requantises its outputs; `column` brings
//! the taps of a group of pixels into the order of the weights, `runs` pieces of the input with `words` of four taps in
//! all. The constants are counted in the inner loops of the kernels; those of the Cortex-M4 are compared with the
//! emulator's counts by a test.

use super::target::Target;
use crate::graph::{Shape, Window};
use evenkeel_runtime::format::{encoding, op};

/// A layer with a matrix of weights, by shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Rows of the matrix.
    pub outputs: usize,
    /// Columns of the matrix.
    pub taps: usize,
    /// Output pixels; `None` for a linear operator, which has no columns to gather.
    pub pixels: Option<usize>,
    /// Pieces of the input that make a column; 0 where the columns lie in the input one behind the other.
    pub runs: usize,
}

impl Layer {
    /// A convolution over all channels.
    pub fn conv(window: &Window, from: Shape, to: Shape) -> Layer {
        let in_order = window.kernel == [1, 1] && window.stride == [1, 1] && window.pad == [0; 4];
        let per_row = if window.dilation[1] == 1 { 1 } else { window.kernel[1] };
        Layer {
            outputs: to.c,
            taps: window.taps() * from.c,
            pixels: Some(to.h * to.w),
            runs: if in_order { 0 } else { window.kernel[0] * per_row },
        }
    }

    /// A fully connected layer.
    pub fn linear(taps: usize, outputs: usize) -> Layer {
        Layer { outputs, taps, pixels: None, runs: 0 }
    }

    /// Its code in a file.
    pub fn code(&self) -> u16 {
        if self.pixels.is_some() { op::CONV } else { op::LINEAR }
    }

    /// Multiply-accumulates with every weight.
    pub fn macs(&self) -> u64 {
        (self.outputs * self.taps * self.pixels.unwrap_or(1)) as u64
    }
}

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stored {
    /// Every one.
    Dense,
    /// This share of all tiles.
    Blocks(f64),
}

/// Instructions of an inner loop for a group of pixels.
#[derive(Clone, Copy)]
struct Loop {
    /// Per tile.
    tile: f64,
    /// Per row of tiles.
    row: f64,
}

/// A kernel for one form of a matrix, dense and with blocks.
#[derive(Clone, Copy)]
struct Kernel {
    dense: Loop,
    blocks: Loop,
    /// Pixels that share the loads of weights.
    group: usize,
    /// Per pixel, per piece of a column, and per four taps of it.
    pixel: f64,
    run: f64,
    word: f64,
    /// Per layer.
    layer: f64,
}

/// Instructions of one inference; `None` for the portable target, whose compiler decides them.
pub fn instructions(target: Target, layer: &Layer, stored: Stored) -> Option<f64> {
    let kernel = kernel(target, layer)?;
    let encoded = if stored == Stored::Dense { encoding::DENSE } else { encoding::BLOCKS8 };
    let [down, across] = target.packing().tile(layer.code(), encoded).count(layer.outputs, layer.taps);
    let (Loop { tile, row }, density) = match stored {
        Stored::Dense => (kernel.dense, 1.0),
        Stored::Blocks(density) => (kernel.blocks, density),
    };
    let groups = layer.pixels.unwrap_or(1).div_ceil(kernel.group) as f64;
    let words = layer.taps.div_ceil(4) as f64;
    let column = kernel.group as f64 * (kernel.pixel + layer.runs as f64 * kernel.run + words * kernel.word);
    Some(kernel.layer + groups * (column + down as f64 * (row + density * across as f64 * tile)))
}

/// The share of stored tiles below which blocks take fewer instructions than all weights; 0 where they never do, and
/// `None` for the portable target.
pub fn break_even(target: Target, layer: &Layer) -> Option<f64> {
    let at = |stored| instructions(target, layer, stored);
    let (dense, none, all) = (at(Stored::Dense)?, at(Stored::Blocks(0.0))?, at(Stored::Blocks(1.0))?);
    Some(((dense - none) / (all - none)).clamp(0.0, 1.0))
}

/// Whether blocks take fewer instructions than all weights when this share of tiles is stored.
pub fn pays(target: Target, layer: &Layer, density: f64) -> bool {
    break_even(target, layer).is_some_and(|most| density < most)
}

fn kernel(target: Target, layer: &Layer) -> Option<Kernel> {
    let linear = layer.pixels.is_none();
    match (target, linear) {
        (Target::Portable, _) => None,
        (Target::CortexM4, false) => Some(M4_CONV),
        (Target::CortexM4, true) => Some(M4_LINEAR),
        (Target::CortexM55, false) => Some(M55_CONV),
        (Target::CortexM55, true) => Some(M55_LINEAR),
        (Target::Aarch64, false) => Some(AARCH64_CONV),
        (Target::Aarch64, true) => Some(AARCH64_LINEAR),
        (Target::X86_64, false) => Some(X86_CONV),
        (Target::X86_64, true) => Some(X86_LINEAR),
    }
}

// A turn of a loop that is unrolled four times adds a quarter of a comparison and a branch to each tile.

/// Two outputs × two pixels. A tile of weights: load taps and weights (2), widen (4), multiply (8); with blocks also load
/// the column and add it.
const M4_CONV: Kernel = Kernel {
    dense: Loop { tile: 14.5, row: 31.0 },
    blocks: Loop { tile: 16.75, row: 42.0 },
    group: 2,
    pixel: 45.0,
    run: 60.0,
    word: 6.25,
    layer: 450.0,
};

/// Dense tiles are four outputs × four taps (load 2, widen 2 + 8, multiply 8), blocks two outputs × four taps.
const M4_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 20.25, row: 39.0 },
    blocks: Loop { tile: 14.5, row: 35.0 },
    group: 1,
    pixel: 0.0,
    run: 0.0,
    word: 0.0,
    layer: 450.0,
};

/// Four outputs × 16 taps of two pixels: six loads and eight `VMLADAVA`; with blocks also the column and two addresses.
const M55_CONV: Kernel = Kernel {
    dense: Loop { tile: 14.5, row: 56.0 },
    blocks: Loop { tile: 17.5, row: 64.0 },
    group: 2,
    pixel: 20.0,
    run: 20.0,
    word: 0.75,
    layer: 300.0,
};

/// One pixel: five loads and four `VMLADAVA`.
const M55_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 9.5, row: 36.0 },
    blocks: Loop { tile: 11.5, row: 42.0 },
    group: 1,
    pixel: 0.0,
    run: 0.0,
    word: 0.0,
    layer: 250.0,
};

/// Eight outputs × four taps of eight pixels with SDOT: two vectors of weights; per pixel two products and a quarter of a
/// load, with blocks a load of its own.
const AARCH64_CONV: Kernel = Kernel {
    dense: Loop { tile: 20.0, row: 160.0 },
    blocks: Loop { tile: 28.0, row: 170.0 },
    group: 8,
    pixel: 10.0,
    run: 12.0,
    word: 0.5,
    layer: 400.0,
};

/// One pixel.
const AARCH64_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 3.75, row: 40.0 },
    blocks: Loop { tile: 6.0, row: 44.0 },
    group: 1,
    pixel: 0.0,
    run: 0.0,
    word: 0.5,
    layer: 300.0,
};

/// 16 outputs × four taps of eight pixels with `VPDPBUSD`, which broadcasts the taps as it loads them. Dense rows of
/// tiles go four at a time and share those loads.
const X86_CONV: Kernel = Kernel {
    dense: Loop { tile: 11.0, row: 60.0 },
    blocks: Loop { tile: 13.0, row: 72.0 },
    group: 8,
    pixel: 8.0,
    run: 8.0,
    word: 0.25,
    layer: 400.0,
};

/// One pixel.
const X86_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 2.5, row: 20.0 },
    blocks: Loop { tile: 4.5, row: 24.0 },
    group: 1,
    pixel: 0.0,
    run: 0.0,
    word: 0.25,
    layer: 300.0,
};

#[cfg(test)]
mod tests;
