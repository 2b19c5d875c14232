//! How much each tile matters, and to whom: as channels are scored, with a gate on each tile.

use super::matrices::Matrix;
use crate::error::Result;
use crate::graph::Graph;
use crate::net::{Split, floats};
use crate::prune::score::{Scores, by_group};
use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;

/// Squared gate gradient per group, matrix and tile: `dL/dgate = sum w * dL/dw` over the tile (see
/// [`crate::prune::score::gates`]).
///
/// # Errors
/// When the device fails.
pub fn taylor(
    graph: &Graph,
    matrices: &[Matrix],
    train: Split,
    device: &Device,
    rng: &mut ChaCha8Rng,
) -> Result<Scores> {
    let sizes: Vec<usize> = matrices.iter().map(Matrix::tiles).collect();
    by_group(graph, &sizes, train, device, rng, |net, grads, gates| {
        for (matrix, gates) in matrices.iter().zip(gates) {
            let Some(grad) = net.affine(matrix.node).and_then(|a| a.weight.grad(grads)) else { continue };
            for (i, (w, d)) in matrix.weights(graph).iter().zip(floats(grad)?).enumerate() {
                gates[matrix.tile_of(i)] += f64::from(w * d);
            }
        }
        Ok(())
    })
}

/// L1 norm of each tile.
pub fn magnitude(graph: &Graph, matrices: &[Matrix]) -> Scores {
    let norms = matrices.iter().map(|matrix| {
        let mut norms = vec![0.0; matrix.tiles()];
        for (i, w) in matrix.weights(graph).iter().enumerate() {
            norms[matrix.tile_of(i)] += f64::from(w.abs());
        }
        norms
    });
    Scores { groups: vec![norms.collect()] }
}
