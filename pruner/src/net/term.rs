//! Terms: what a method adds to the cross-entropy of the training loop, each by itself, so that any can be combined.

use super::loss::softmax_rows;
use super::{Net, set};
use crate::graph::{Graph, NodeId, Op};
use burn::tensor::{Device, Tensor};

/// A batch and what the network made of it.
pub struct Batch<'a> {
    /// Row numbers in the training set.
    pub rows: &'a [usize],
    /// Their classes.
    pub y: Vec<usize>,
    /// `rows × classes`, with gradients.
    pub logits: Tensor<2>,
    /// The same on the host, without.
    pub host: Vec<f32>,
    /// Activations of the network at the places of the [`Reference`], `[rows, C, H, W]`, with gradients.
    pub watched: Vec<Tensor<4>>,
    /// Those of the dense network at the same places.
    pub reference: Vec<Tensor<4>>,
}

impl Batch<'_> {
    /// The class that the network gives each row.
    pub fn predicted(&self) -> Vec<usize> {
        set::classes(&self.host, self.logits.dims()[1])
    }

    /// The cross-entropy of each row.
    pub fn losses(&self) -> Vec<f32> {
        let k = self.logits.dims()[1];
        softmax_rows(&self.host, k).chunks(k).zip(&self.y).map(|(p, &y)| -p[y].max(f32::MIN_POSITIVE).ln()).collect()
    }
}

/// How the rows of a batch enter the loss.
pub struct Weights {
    /// Weight of each row in every loss; they sum to 1 where all rows weigh the same.
    pub row: Vec<f32>,
    /// Share of the cross-entropy in what a row weighs.
    pub hard: f32,
    /// What is added to the weight of each row's cross-entropy on its label.
    pub extra: Vec<f32>,
    /// Factor on the whole loss.
    pub scale: f32,
    /// `rows × classes` probabilities that the cross-entropy aims at, in place of the labels.
    pub target: Option<Vec<f32>>,
}

impl Weights {
    /// Plain cross-entropy.
    pub fn new(row: Vec<f32>) -> Self {
        Weights { hard: 1.0, extra: vec![0.0; row.len()], scale: 1.0, target: None, row }
    }

    /// The weight of every class of every row in the cross-entropy, never negative: a loss without a floor would
    /// reward the network for being ever more wrong.
    pub fn targets(&self, y: &[usize], classes: usize) -> Vec<f32> {
        let mut out = match &self.target {
            Some(t) => t.chunks(classes).zip(&self.row).flat_map(|(t, w)| t.iter().map(move |t| t * w)).collect(),
            None => vec![0.0; y.len() * classes],
        };
        out.iter_mut().for_each(|v| *v *= self.hard);
        for (i, &y) in y.iter().enumerate() {
            let own = if self.target.is_some() { 0.0 } else { self.hard * self.row[i] };
            let cell = &mut out[i * classes + y];
            *cell = (*cell + own + self.extra[i]).max(0.0);
        }
        out
    }
}

/// One thing that a method adds.
pub trait Term {
    /// Looks at the batch and changes what its rows weigh.
    fn weigh(&mut self, _batch: &Batch, _weights: &mut Weights) {}

    /// Adds a loss.
    fn loss(&mut self, _batch: &Batch, _weights: &Weights) -> Option<Tensor<1>> {
        None
    }
}

/// The dense network, and where its activations are compared with those of a pruned one.
pub struct Reference {
    dense: Net,
    /// Places in the dense network and in the pruned one.
    places: Vec<(NodeId, NodeId)>,
}

impl Reference {
    /// Places are the last activations before each change of height or width, that is the ends of the stages, where the
    /// pruned network still has them under the same name.
    pub fn new(dense: &Graph, pruned: &Graph, device: &Device) -> Self {
        let area = |id: NodeId| dense.nodes[id].shape.h * dense.nodes[id].shape.w;
        let mut ends: Vec<NodeId> = (0..dense.nodes.len())
            .flat_map(|id| dense.nodes[id].inputs.iter().copied().filter(move |&i| area(i) != area(id)))
            .filter(|&i| dense.nodes[i].op != Op::Input)
            .collect();
        ends.sort_unstable();
        ends.dedup();
        let twin = |id: NodeId| pruned.nodes.iter().position(|n| n.name == dense.nodes[id].name);
        let places = ends.into_iter().filter_map(|id| Some((id, twin(id)?))).collect();
        Reference { dense: Net::new(dense, device), places }
    }

    /// The places in the pruned network.
    pub fn watched(&self) -> Vec<NodeId> {
        self.places.iter().map(|p| p.1).collect()
    }

    /// The dense network's activations at the places for these inputs, beside tensors with gradients.
    pub fn values(&self, x: Vec<f32>) -> Vec<Tensor<4>> {
        let watch: Vec<NodeId> = self.places.iter().map(|p| p.0).collect();
        let values = self.dense.forward_hooked(self.dense.input(x), &[], &watch).1;
        values.into_iter().map(Tensor::from_inner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_become_targets() {
        let mut w = Weights::new(vec![0.5, 0.5]);
        w.extra = vec![0.25, -2.0];
        assert_eq!(w.targets(&[1, 0], 2), [0.0, 0.75, 0.0, 0.0]);
        w.hard = 0.5;
        w.target = Some(vec![0.25, 0.75, 1.0, 0.0]);
        assert_eq!(w.targets(&[1, 0], 2), [0.0625, 0.4375, 0.0, 0.0]);
    }
}
