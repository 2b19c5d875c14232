//! What a layer takes on a target with every weight and with only some tiles of it: so that one knows before pruning which
//! pattern pays where. In instructions; on x86-64, where instructions say little of time, in nanoseconds.
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
//! all.
//!
//! The constants of the Cortex-M4 and Cortex-M55 are counted in the kernels' loops and fitted to the emulator's counts of
//! the MLPerf Tiny networks; a test compares them again. Those of x86-64 are fitted to medians on a server with AVX-512
//! VNNI, those of AArch64 to
//! instructions in QEMU with all extensions.

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

/// What one stored form costs, for a group of pixels.
#[derive(Clone, Copy)]
struct Loop {
    /// Per tile.
    tile: f64,
    /// Per tile, once for as many rows of tiles as go together.
    shared: f64,
    /// Per row of tiles.
    row: f64,
    /// Bringing columns into order.
    column: Column,
}

/// Per pixel, per piece of its column, and per four taps of it.
#[derive(Clone, Copy)]
struct Column {
    pixel: f64,
    run: f64,
    word: f64,
}

/// Columns that are read where they lie.
const IN_PLACE: Column = Column { pixel: 0.0, run: 0.0, word: 0.0 };

/// A kernel for one form of a matrix, dense and with blocks.
#[derive(Clone, Copy)]
struct Kernel {
    dense: Loop,
    blocks: Loop,
    /// Pixels that share the loads of weights.
    group: usize,
    /// Rows of tiles that go together, where all weights are stored.
    together: usize,
    /// Whether columns that lie in order are prepared like all others.
    prepares_all: bool,
    /// Per layer.
    layer: f64,
}

/// What [`cost`] counts.
pub fn unit(target: Target) -> &'static str {
    if target == Target::X86_64 { "ns" } else { "instructions" }
}

/// The cost of one inference in [`unit()`]s; `None` for the portable target, whose compiler decides it.
pub fn cost(target: Target, layer: &Layer, stored: Stored) -> Option<f64> {
    let kernel = kernel(target, layer)?;
    let encoded = if stored == Stored::Dense { encoding::DENSE } else { encoding::BLOCKS8 };
    let [down, across] = target.packing().tile(layer.code(), encoded).count(layer.outputs, layer.taps);
    let (Loop { tile, shared, row, column }, density, together) = match stored {
        Stored::Dense => (kernel.dense, 1.0, kernel.together.min(down)),
        Stored::Blocks(density) => (kernel.blocks, density, 1),
    };
    let tile = tile + shared / together as f64;
    let groups = layer.pixels.unwrap_or(1).div_ceil(kernel.group) as f64;
    let words = layer.taps.div_ceil(4) as f64;
    let column = match layer.runs {
        0 if !kernel.prepares_all => 0.0,
        runs => kernel.group as f64 * (column.pixel + runs as f64 * column.run + words * column.word),
    };
    Some(kernel.layer + groups * (column + down as f64 * (row + density * across as f64 * tile)))
}

/// The share of stored tiles below which blocks cost less than all weights; 0 where they never do, and
/// `None` for the portable target.
pub fn break_even(target: Target, layer: &Layer) -> Option<f64> {
    let at = |stored| cost(target, layer, stored);
    let (dense, none, all) = (at(Stored::Dense)?, at(Stored::Blocks(0.0))?, at(Stored::Blocks(1.0))?);
    Some(((dense - none) / (all - none)).clamp(0.0, 1.0))
}

/// Whether blocks cost less than all weights when this share of tiles is stored.
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

const M4_COLUMN: Column = Column { pixel: 45.0, run: 60.0, word: 6.25 };

/// Two outputs × two pixels. A tile of weights: load taps and weights (2), widen (4), multiply (8); with blocks also load
/// the column and add it.
const M4_CONV: Kernel = Kernel {
    dense: Loop { tile: 14.5, shared: 0.0, row: 31.0, column: M4_COLUMN },
    blocks: Loop { tile: 16.75, shared: 0.0, row: 42.0, column: M4_COLUMN },
    group: 2,
    together: 1,
    prepares_all: true,
    layer: 450.0,
};

/// Dense tiles are four outputs × four taps (load 2, widen 2 + 8, multiply 8), blocks two outputs × four taps.
const M4_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 20.25, shared: 0.0, row: 39.0, column: IN_PLACE },
    blocks: Loop { tile: 14.5, shared: 0.0, row: 35.0, column: IN_PLACE },
    layer: 450.0,
    ..VECTOR
};

const M55_COLUMN: Column = Column { pixel: 46.0, run: 13.0, word: 1.4 };

/// Four outputs × 16 taps of two pixels: six loads and eight `VMLADAVA`; with blocks also the column and addresses.
const M55_CONV: Kernel = Kernel {
    dense: Loop { tile: 14.5, shared: 0.0, row: 42.0, column: M55_COLUMN },
    blocks: Loop { tile: 20.8, shared: 0.0, row: 36.0, column: M55_COLUMN },
    group: 2,
    together: 1,
    prepares_all: false,
    layer: 400.0,
};

/// One pixel: five loads and four `VMLADAVA`.
const M55_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 10.0, shared: 0.0, row: 19.0, column: IN_PLACE },
    blocks: Loop { tile: 18.3, shared: 0.0, row: 20.6, column: IN_PLACE },
    layer: 500.0,
    ..VECTOR
};

/// Eight outputs × four taps of eight pixels: two vectors of weights, two products per pixel (SMMLA where all weights are
/// stored). Blocks want their columns in one piece.
const AARCH64_CONV: Kernel = Kernel {
    dense: Loop { tile: 18.4, shared: 0.0, row: 217.0, column: Column { pixel: 60.0, run: 0.0, word: 0.0 } },
    blocks: Loop { tile: 38.0, shared: 0.0, row: 233.0, column: Column { pixel: 41.0, run: 50.0, word: 0.94 } },
    group: 8,
    together: 1,
    prepares_all: false,
    layer: 400.0,
};

/// One pixel.
const AARCH64_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 4.5, shared: 0.0, row: 75.0, column: IN_PLACE },
    blocks: Loop { tile: 15.0, shared: 0.0, row: 84.0, column: IN_PLACE },
    layer: 600.0,
    ..VECTOR
};

const X86_COLUMN: Column = Column { pixel: 0.0, run: 0.0, word: 0.12 };

/// 16 outputs × four taps of eight pixels with `VPDPBUSD`, which broadcasts the taps as it loads them. Dense rows of
/// tiles go four at a time and share those loads.
const X86_CONV: Kernel = Kernel {
    dense: Loop { tile: 1.4, shared: 4.3, row: 33.0, column: X86_COLUMN },
    blocks: Loop { tile: 5.2, shared: 0.0, row: 33.0, column: X86_COLUMN },
    group: 8,
    together: 4,
    prepares_all: true,
    layer: 400.0,
};

/// One pixel.
const X86_LINEAR: Kernel = Kernel {
    dense: Loop { tile: 1.33, shared: 0.0, row: 64.0, column: IN_PLACE },
    blocks: Loop { tile: 1.55, shared: 0.0, row: 90.0, column: IN_PLACE },
    layer: 80.0,
    ..VECTOR
};

/// What linear operators have in common: one pixel, whose taps lie in order.
const VECTOR: Kernel = Kernel {
    dense: Loop { tile: 0.0, shared: 0.0, row: 0.0, column: IN_PLACE },
    blocks: Loop { tile: 0.0, shared: 0.0, row: 0.0, column: IN_PLACE },
    group: 1,
    together: 1,
    prepares_all: false,
    layer: 0.0,
};

#[cfg(test)]
mod tests;
