//! The layers of a graph that have blocks, and where their weights lie in tiles.

use super::Pattern;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Op};
use crate::lower::Target;
use crate::lower::pays::{Layer, break_even, pays};
use crate::quant::fuse::{Step, fuse};
use evenkeel_runtime::format::{Tile, encoding};

/// A layer's weights as rows of tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matrix {
    /// The layer.
    pub node: NodeId,
    /// Its shape.
    pub layer: Layer,
    /// Rows and taps of a tile.
    pub tile: Tile,
    /// Share of tiles, at least, that are zero before blocks pay.
    pub pays_from: f64,
    /// Pixels of a window (of a linear layer: of its input), which the runtime counts before the channels.
    pixels: usize,
}

impl Matrix {
    /// Rows of tiles, and tiles in a row.
    pub fn grid(&self) -> [usize; 2] {
        self.tile.count(self.layer.outputs, self.layer.taps)
    }

    /// How many tiles there are.
    pub fn tiles(&self) -> usize {
        let [down, across] = self.grid();
        down * across
    }

    /// Multiply-accumulates of a tile.
    pub fn macs_of_tile(&self) -> f64 {
        (self.tile.bytes() * self.layer.pixels.unwrap_or(1)) as f64
    }

    /// The tile, in row-major order, of a weight of the graph, whose taps are C × H × W where the runtime's are
    /// H × W × C.
    pub fn tile_of(&self, weight: usize) -> usize {
        let (output, at) = (weight / self.layer.taps, weight % self.layer.taps);
        let channels = self.layer.taps / self.pixels;
        let tap = at % self.pixels * channels + at / self.pixels;
        output / self.tile.rows * self.grid()[1] + tap / self.tile.step
    }

    /// The layer's weights.
    pub fn weights<'g>(&self, graph: &'g Graph) -> &'g [f32] {
        match &graph.nodes[self.node].op {
            Op::Conv(c) => &c.weight,
            Op::Linear(l) => &l.weight,
            _ => &[],
        }
    }

    /// Which tiles are zero.
    pub fn zeros(&self, graph: &Graph) -> Vec<bool> {
        let mut zero = vec![true; self.tiles()];
        for (i, _) in self.weights(graph).iter().enumerate().filter(|(_, w)| **w != 0.0) {
            zero[self.tile_of(i)] = false;
        }
        zero
    }

    /// Makes tiles zero.
    pub fn zero(&self, graph: &mut Graph, tiles: &[bool]) {
        let weights = match &mut graph.nodes[self.node].op {
            Op::Conv(c) => &mut c.weight,
            Op::Linear(l) => &mut l.weight,
            _ => return,
        };
        weights.iter_mut().enumerate().filter(|(i, _)| tiles[self.tile_of(*i)]).for_each(|(_, w)| *w = 0.0);
    }

    /// Multiply-accumulates with weights of zero tiles.
    pub fn saved(&self, graph: &Graph) -> u64 {
        let zeros = self.zeros(graph);
        let gone = (0..self.weights(graph).len()).filter(|&i| zeros[self.tile_of(i)]).count();
        (gone * self.layer.pixels.unwrap_or(1)) as u64
    }
}

/// The layers of a folded graph where it pays on the target that tiles are zero in this pattern. On the portable target,
/// whose tiles are single weights, N:M pays everywhere: that is what sparse tensor cores take. Layers that read the
/// network's input stay whole, and so do depthwise and grouped convolutions, which have no tiles, and matrices of a
/// single column of tiles, where a tile less would be outputs less.
///
/// # Errors
/// The portable target with other patterns, and what fusing refuses.
pub fn matrices(graph: &Graph, target: Target, pattern: Pattern) -> Result<Vec<Matrix>> {
    check_target(target, pattern)?;
    let steps = fuse(graph)?.steps;
    let matrix = |step: &Step| {
        let from = step.inputs.first().filter(|&&i| i != 0).map(|&i| steps[i].shape)?;
        let (layer, pixels) = match &graph.nodes[step.op].op {
            Op::Conv(c) if c.groups == 1 => (Layer::conv(&c.window, from, step.shape), c.window.taps()),
            Op::Linear(l) => (Layer::linear(l.inp, l.out), from.h * from.w),
            _ => return None,
        };
        let tile = target.packing().tile(layer.code(), encoding::BLOCKS8);
        let pays_from = break_even(target, &layer).map_or(0.0, |density| 1.0 - density);
        let matrix = Matrix { node: step.op, layer, tile, pays_from, pixels };
        let pays = target == Target::Portable || pays(target, &layer, 1.0 - pattern.share());
        (matrix.grid()[1] > 1 && pays).then_some(matrix)
    };
    Ok(steps.iter().filter_map(matrix).collect())
}

/// An error where [`matrices`] finds none.
///
/// # Errors
/// As [`matrices`].
pub fn check(graph: &Graph, target: Target, pattern: Pattern) -> Result<()> {
    if matrices(graph, target, pattern)?.is_empty() {
        let percent = pattern.share() * 100.0;
        let what = format!("with {percent:.1}% of its blocks zero no layer of this network is faster on {target}");
        return Err(Error::new(what)
            .help("`evenkeel patterns` shows what pays where; choose a larger share, or leave --blocks out"));
    }
    Ok(())
}

/// An error for targets whose kernels have no blocks, but for N:M of single weights.
pub(super) fn check_target(target: Target, pattern: Pattern) -> Result<()> {
    if target == Target::Portable && !matches!(pattern, Pattern::OfEach { .. }) {
        let others: Vec<_> = Target::ALL.iter().skip(1).map(|t| t.name()).collect();
        return Err(Error::new("the portable target has no blocks: their size is that of a target's kernels")
            .help(format!("give --target {}, or a pattern of single weights such as 2:4", others.join(" or "))));
    }
    Ok(())
}
