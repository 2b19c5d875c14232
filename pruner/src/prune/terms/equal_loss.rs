//! Equal losses (Tran et al., NeurIPS 2022): `min J subject to J_a = J` for every group `a`, by dual ascent
//! `λ_a += η |J_a - J|`, with the losses of the batch smoothed over batches.
//!
//! The published dual is of the absolute difference. Its subgradient pushes the losses of groups that fare well up,
//! so the term can level down; the verdict says when it does.

use crate::data::GroupSet;
use crate::net::term::{Batch, Term, Weights};

/// Step of the dual ascent per batch.
const RATE: f32 = 0.05;
/// Multipliers stay under this, so that one group cannot take the whole loss.
const CAP: f32 = 5.0;
/// Share of a batch in the running losses.
const MOMENTUM: f32 = 0.1;

/// Multipliers and running losses per group.
pub struct EqualLoss<'a> {
    groups: &'a GroupSet,
    /// Running mean loss of each group, and of everybody last.
    loss: Vec<Option<f32>>,
    lambda: Vec<f32>,
}

impl<'a> EqualLoss<'a> {
    /// For groups of the training rows.
    pub fn new(groups: &'a GroupSet) -> Self {
        let n = groups.groups.len();
        EqualLoss { groups, loss: vec![None; n + 1], lambda: vec![0.0; n] }
    }

    fn observe(&mut self, group: usize, loss: f32) {
        let old = self.loss[group].unwrap_or(loss);
        self.loss[group] = Some(old + MOMENTUM * (loss - old));
    }
}

impl Term for EqualLoss<'_> {
    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        let (n, all) = (batch.rows.len() as f32, self.lambda.len());
        let losses = batch.losses();
        let mut sums = vec![(0.0, 0.0); all];
        for (&row, loss) in batch.rows.iter().zip(&losses) {
            for &g in &self.groups.of_row[row] {
                sums[g as usize].0 += loss;
                sums[g as usize].1 += 1.0;
            }
        }
        self.observe(all, losses.iter().sum::<f32>() / n);
        let mut push = vec![0.0; all];
        for (g, &(sum, count)) in sums.iter().enumerate().filter(|(_, s)| s.1 > 0.0) {
            self.observe(g, sum / count);
            if let (Some(own), Some(everybody)) = (self.loss[g], self.loss[all]) {
                self.lambda[g] = (self.lambda[g] + RATE * (own - everybody).abs()).min(CAP);
                push[g] = self.lambda[g] * (own - everybody).signum();
            }
        }
        let total: f32 = push.iter().zip(&sums).filter(|(_, s)| s.1 > 0.0).map(|(p, _)| p).sum();
        for (extra, &row) in weights.extra.iter_mut().zip(batch.rows) {
            let own: f32 = self.groups.of_row[row].iter().map(|&g| push[g as usize] / sums[g as usize].1).sum();
            *extra += own - total / n;
        }
        weights.scale /= 1.0 + self.lambda.iter().sum::<f32>();
    }
}
