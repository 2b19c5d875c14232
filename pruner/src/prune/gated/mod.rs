//! Methods that learn a gate on every channel: what they share.
//!
//! A gate multiplies what each layer reads of a channel. Its derivative by the loss is the sum over all layers that
//! read the channel.

pub mod bifp;
pub mod ffw;

use super::score::Scores;
use super::select::{Candidates, Frame, Limits, Rules, select};
use crate::couple::Coupling;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::net::{Split, floats};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

/// What learning needs.
pub struct Learning<'a> {
    /// The network, folded.
    pub graph: &'a Graph,
    /// Its classes.
    pub coupling: &'a Coupling,
    /// Channels of each class in the dense network.
    pub dense_widths: &'a [usize],
    /// The training rows.
    pub train: Split<'a>,
    /// Importance of each row.
    pub row_weight: &'a [f32],
    /// What the network must fit after this step.
    pub limits: Limits,
    /// How coarse and how deep.
    pub rules: Rules,
    /// What the file is for.
    pub frame: &'a Frame,
    /// Steps, each of weights or head and of gates.
    pub steps: usize,
    /// Rows per step.
    pub batch: usize,
    /// Learning rate of the weights.
    pub rate: f64,
    /// Where to train.
    pub device: &'a Device,
}

impl Learning<'_> {
    /// 1 for the channels that stay when the limits hold by these gates, 0 for the others.
    fn mask(&self, gates: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        let scores = scores(gates);
        let from =
            Candidates { graph: self.graph, coupling: self.coupling, scores: &scores, dense_widths: self.dense_widths };
        let kept = select(&from, &self.limits, &self.rules, self.frame)?;
        let mut mask: Vec<Vec<f32>> = gates.iter().map(|g| vec![0.0; g.len()]).collect();
        for (mask, kept) in mask.iter_mut().zip(&kept) {
            kept.iter().for_each(|&u| mask[u] = 1.0);
        }
        Ok(mask)
    }

    /// A gate for every layer that reads channels that can be removed, from one value per class and channel.
    fn readers(&self, values: &[Vec<f32>]) -> Vec<(NodeId, Tensor<4>)> {
        let device = self.device.clone().autodiff();
        readers(self.graph, self.coupling)
            .into_iter()
            .map(|(id, width)| {
                let mut row = vec![1.0; width];
                let live = self.coupling.classes.iter().zip(values).filter(|(c, _)| c.frozen.is_none());
                for (class, values) in live {
                    for m in class.consumers.iter().filter(|m| m.node == id) {
                        for (cells, v) in row[m.offset..].chunks_mut(m.span).zip(values) {
                            cells.fill(*v);
                        }
                    }
                }
                let gate = Tensor::from_data(TensorData::new(row, [1, width, 1, 1]), &device);
                (id, gate.require_grad())
            })
            .collect()
    }

    /// Derivative of the loss by the gate of every class and channel.
    fn derivatives(&self, gates: &[(NodeId, Tensor<4>)], grads: &Gradients) -> Result<Vec<Vec<f64>>> {
        let sizes: Vec<usize> = self.coupling.classes.iter().map(|c| c.channels).collect();
        let mut rows = derivatives(self.coupling, &sizes, gates, grads, 1)?;
        Ok(rows.pop().unwrap_or_default())
    }
}

/// Layers that read channels that can be removed, with the width of what they read.
pub fn readers(graph: &Graph, coupling: &Coupling) -> Vec<(NodeId, usize)> {
    let live = coupling.classes.iter().filter(|c| c.frozen.is_none());
    let mut ids: Vec<NodeId> = live.flat_map(|c| c.consumers.iter().map(|m| m.node)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| (id, graph.nodes[graph.nodes[id].inputs[0]].shape.c)).collect()
}

/// `[row][class][channel]`: derivative by each row's gate, 0 in frozen classes.
///
/// # Errors
/// When the device fails.
pub fn derivatives(
    coupling: &Coupling,
    sizes: &[usize],
    gates: &[(NodeId, Tensor<4>)],
    grads: &Gradients,
    rows: usize,
) -> Result<Vec<Vec<Vec<f64>>>> {
    let zeros: Vec<Vec<f64>> = sizes.iter().map(|&n| vec![0.0; n]).collect();
    let mut out = vec![zeros; rows];
    for (id, gate) in gates {
        let Some(grad) = gate.grad(grads) else { continue };
        let (grad, width) = (floats(grad)?, gate.dims()[1]);
        for (i, class) in coupling.classes.iter().enumerate().filter(|(_, c)| c.frozen.is_none()) {
            for member in class.consumers.iter().filter(|m| m.node == *id) {
                for (row, grad) in out.iter_mut().zip(grad.chunks(width)) {
                    let own = grad[member.offset..].chunks(member.span);
                    let sums = own.map(|g| g.iter().map(|v| f64::from(*v)).sum::<f64>());
                    row[i].iter_mut().zip(sums).for_each(|(t, g)| *t += g);
                }
            }
        }
    }
    Ok(out)
}

/// Gates as scores.
fn scores(gates: &[Vec<f32>]) -> Scores {
    Scores { groups: vec![gates.iter().map(|g| g.iter().map(|v| f64::from(*v)).collect()).collect()] }
}

#[cfg(test)]
mod tests;
