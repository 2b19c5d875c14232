//! Blocks of a quantised network by magnitude alone, without training: to measure kernels, not to ship.

use super::Pattern;
use super::choose::{Grid, choose};
use super::matrices::check_target;
use crate::error::{Error, Result};
use crate::lower::Target;
use crate::prune::score::Scores;
use crate::quant::{QGraph, QOp, QWeights};
use evenkeel_runtime::format::{Tile, encoding, op};

/// Makes the tiles with the smallest L1 norm zero, of every convolution and linear layer that does not read the network's
/// input and has more than one tile in a row. It costs accuracy that training would have to win back.
///
/// # Errors
/// When no layer has blocks, or the target has none.
pub fn zero_blocks(q: &mut QGraph, pattern: Pattern, target: Target) -> Result<()> {
    check_target(target, pattern)?;
    let (mut nodes, mut grids, mut norms) = (Vec::new(), Vec::new(), Vec::new());
    for (i, node) in q.nodes.iter().enumerate() {
        let (code, weights) = match &node.op {
            QOp::Conv { weights, groups: 1, .. } => (op::CONV, weights),
            QOp::Linear(weights) => (op::LINEAR, weights),
            _ => continue,
        };
        let tile = target.packing().tile(code, encoding::BLOCKS8);
        let taps = weights.data.len() / weights.requant.len().max(1);
        let [down, across] = tile.count(weights.requant.len(), taps);
        if node.inputs[0] == 0 || across < 2 {
            continue;
        }
        let norm = norm(weights, tile, taps);
        let zero = norm.iter().map(|n| *n == 0.0).collect();
        let pixels = if code == op::CONV { node.shape.h * node.shape.w } else { 1 };
        grids.push(Grid { down, across, cost: (tile.bytes() * pixels) as f64, pays_from: 0.0, zero });
        norms.push(norm);
        nodes.push((i, tile, taps));
    }
    if nodes.is_empty() {
        return Err(Error::new("no layer of this network has blocks")
            .help("blocks are for convolutions and linear layers that do not read the network's input"));
    }
    let zeros = choose(&grids, &Scores { groups: vec![norms] }, pattern, 1.0);
    for ((i, tile, taps), zeros) in nodes.into_iter().zip(zeros) {
        let zero_in = q.nodes[q.nodes[i].inputs[0]].out.zero;
        let across = taps.div_ceil(tile.step);
        if let QOp::Conv { weights, .. } | QOp::Linear(weights) = &mut q.nodes[i].op {
            for (i, w) in weights.data.iter_mut().enumerate() {
                let (output, tap) = (i / taps, i % taps);
                if zeros[output / tile.rows * across + tap / tile.step] {
                    // The bias has `-zero * sum(w)` in it.
                    let bias = &mut weights.requant[output].bias;
                    *bias = bias.wrapping_add(i32::from(zero_in) * i32::from(*w));
                    *w = 0;
                }
            }
        }
    }
    Ok(())
}

/// L1 norms of tiles, in steps of the result: outputs have scales of their own.
fn norm(weights: &QWeights, tile: Tile, taps: usize) -> Vec<f64> {
    let [down, across] = tile.count(weights.requant.len(), taps);
    let mut norm = vec![0.0; down * across];
    for (i, w) in weights.data.iter().enumerate() {
        let worth = f64::from(weights.requant[i / taps].mul);
        norm[i / taps / tile.rows * across + i % taps / tile.step] += f64::from(w.unsigned_abs()) * worth;
    }
    norm
}
