//! Knowledge distillation from the dense network (Hinton et al. 2015): `hard · CE + soft · T² · KL(dense || pruned)` at
//! `T = 4`, with the shares of Blakeney et al. 2021.
//!
//! There the dense network was trained on balanced data and passed on what it knew of rare classes; here it has seen the
//! same rows as the pruned one.

use crate::net::loss::distil;
use crate::net::term::{Batch, Term, Weights};
use burn::tensor::Tensor;

/// `hard · CE + soft · T² · KL(dense || pruned)`.
pub struct Distil<'a> {
    /// Logits of the dense network on all training rows.
    pub teacher: &'a [f32],
    /// Share of the cross-entropy.
    pub hard: f32,
    /// Share of the divergence.
    pub soft: f32,
}

impl<'a> Distil<'a> {
    /// 0.1 and 0.9 alone; 1 and 1 beside a likeness of activations, as "+KD" in the paper.
    pub fn new(teacher: &'a [f32], beside_hints: bool) -> Self {
        let (hard, soft) = if beside_hints { (1.0, 1.0) } else { (0.1, 0.9) };
        Distil { teacher, hard, soft }
    }
}

impl Term for Distil<'_> {
    fn weigh(&mut self, _: &Batch, weights: &mut Weights) {
        weights.hard *= self.hard;
    }

    fn loss(&mut self, batch: &Batch, weights: &Weights) -> Option<Tensor<1>> {
        let k = batch.logits.dims()[1];
        let stored = || batch.rows.iter().flat_map(|&r| &self.teacher[r * k..(r + 1) * k]).copied().collect();
        let teacher: Vec<f32> = batch.dense.clone().unwrap_or_else(stored);
        let soft: Vec<f32> = weights.row.iter().map(|w| w * self.soft).collect();
        Some(distil(batch.logits.clone(), &teacher, &soft))
    }
}
