//! Terms: what a method adds to the cross-entropy of the training loop, each by itself, so that any can be combined.

use super::loss::softmax_rows;
use super::{Net, set};
use crate::graph::norm::norm_name;
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
    /// Logits of the dense network, where the inputs are not the rows as they are in the set.
    pub dense: Option<Vec<f32>>,
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
    /// Weight of each row in cross-entropy and distillation; they sum to 1 where all rows weigh the same. Likeness of activations
    /// is of the whole batch.
    pub row: Vec<f32>,
    /// Share of the cross-entropy in what each row weighs.
    pub hard: Vec<f32>,
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
        Weights { hard: vec![1.0; row.len()], extra: vec![0.0; row.len()], scale: 1.0, target: None, row }
    }

    /// The weight of every class of every row in the cross-entropy. A row whose extra weight is negative weighs less,
    /// down to nothing, with the same target: a loss without a floor would reward the network for being ever more wrong,
    /// and a soft target without its label would teach it the other classes.
    pub fn targets(&self, y: &[usize], classes: usize) -> Vec<f32> {
        let mut out = vec![0.0; y.len() * classes];
        for (i, (&y, out)) in y.iter().zip(out.chunks_mut(classes)).enumerate() {
            let (own, extra) = (self.hard[i] * self.row[i], self.extra[i]);
            let weight = (own + extra.min(0.0)).max(0.0);
            match &self.target {
                Some(t) => out.iter_mut().zip(&t[i * classes..]).for_each(|(o, t)| *o = weight * t),
                None => out[y] = weight,
            }
            out[y] += extra.max(0.0);
        }
        out
    }
}

/// One thing that a method adds.
pub trait Term {
    /// A fine-tuning begins: what is remembered of the outputs of another network is forgotten.
    fn begin(&mut self) {}

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
    /// Places are the ends of the stages: the last activations before each change of height or width, where there is more
    /// than one position; and last what the last layer reads, the embedding. The pruned network has them under the same
    /// name, behind the normalisation that a convolution may have got back.
    pub fn new(dense: &Graph, pruned: &Graph, device: &Device) -> Self {
        let mut places = stages(dense);
        places.extend(dense.last_layer().map(|id| dense.nodes[id].inputs[0]));
        let twin = |id: NodeId| {
            let found = |name: &str| pruned.nodes.iter().position(|n| n.name == name);
            let name = &dense.nodes[id].name;
            found(&norm_name(name)).or_else(|| found(name))
        };
        let places = places.into_iter().filter_map(|id| Some((id, twin(id)?))).collect();
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

/// The ends of a network's stages, in order.
pub fn stages(graph: &Graph) -> Vec<NodeId> {
    let area = |id: NodeId| graph.nodes[id].shape.h * graph.nodes[id].shape.w;
    let mut ends: Vec<NodeId> = (0..graph.nodes.len())
        .flat_map(|id| graph.nodes[id].inputs.iter().copied().filter(move |&i| area(i) != area(id)))
        .filter(|&i| graph.nodes[i].op != Op::Input && area(i) > 1)
        .collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;
    use crate::graph::norm::{fold_batch_norm, restore_norm};
    use crate::graph::samples::Builder;
    use crate::net::zoo;

    #[test]
    fn weights_become_targets() {
        let mut w = Weights::new(vec![0.5, 0.5]);
        w.extra = vec![0.25, -2.0];
        assert_eq!(w.targets(&[1, 0], 2), [0.0, 0.75, 0.0, 0.0]);
        w.hard = vec![0.5; 2];
        w.target = Some(vec![0.25, 0.75, 1.0, 0.0]);
        assert_eq!(w.targets(&[1, 0], 2), [0.0625, 0.4375, 0.0, 0.0]);
        // Less of the whole target, not of its label alone.
        w.extra = vec![-0.125, -0.0625];
        assert_eq!(w.targets(&[1, 0], 2), [0.03125, 0.09375, 0.1875, 0.0]);
    }

    fn place_names(dense: &Graph, pruned: &Graph) -> Vec<(String, String)> {
        let r = Reference::new(dense, pruned, &crate::net::device("cpu").unwrap());
        r.places.iter().map(|p| (dense.nodes[p.0].name.clone(), pruned.nodes[p.1].name.clone())).collect()
    }

    /// In one dimension, in two, with residual streams, and behind normalisation: stages and the embedding are found.
    #[test]
    fn places_are_stages_and_the_embedding() {
        for (arch, shape, stages) in
            [("cnn1d", vec![2, 16], 1), ("dscnn1d", vec![2, 32], 1), ("resnet8", vec![3, 16, 16], 3)]
        {
            let dense = fold_batch_norm(zoo::build(arch, &shape, 3, 1).unwrap());
            let stats: Vec<_> = (0..dense.nodes.len())
                .filter(|&i| matches!(dense.nodes[i].op, Op::Conv(_)))
                .map(|i| (i, vec![0.0; dense.nodes[i].shape.c], vec![1.0; dense.nodes[i].shape.c]))
                .collect();
            let normed = restore_norm(&dense, &stats).unwrap();
            let places = place_names(&dense, &normed);
            assert!(places.len() > stages, "{arch}: {places:?}");
            for (a, b) in &places {
                let conv = dense.nodes.iter().any(|n| n.name == *a && matches!(n.op, Op::Conv(_)));
                assert_eq!(*b, if conv { format!("{a}/norm") } else { a.clone() }, "{arch}");
            }
        }
        // Without height or width there is the embedding alone.
        let mut b = Builder::new(1, Shape::vector(4));
        let x = b.linear(0, 6);
        let hidden = b.clip(x, f32::INFINITY);
        let y = b.linear(hidden, 2);
        let graph = b.finish(y);
        assert_eq!(place_names(&graph, &graph), [(graph.nodes[hidden].name.clone(), graph.nodes[hidden].name.clone())]);
    }
}
