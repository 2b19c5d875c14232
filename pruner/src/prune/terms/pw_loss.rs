//! Performance-weighted loss (Meyer, arXiv 2211.10285): needs no group labels, only the dense model.
//!
//! With `s` the dense model's probability of the true class, a row weighs `w = θ + (1 - θ) (1 - s)^γ`: rows that the
//! dense model is sure of weigh θ, rows that it fails on 1. The target is the dense model's own output where it is
//! right, and the label where it is wrong. Scores of channels by gradients use the same weights and targets; gates
//! that are learnt and scores of blocks do not.
//!
//! `θ = 0.5` and `γ = 1`, one of the published pairs; the author chose a pair per network. Weights are scaled to a mean of
//! 1. Beside `kd` the divergence is weighed alike, but is from the dense model's outputs as they are, right or wrong.

use crate::net::loss::softmax_rows;
use crate::net::term::{Batch, Term, Weights};

/// Weight of a row that the dense model is sure of.
pub const THETA: f32 = 0.5;
/// How fast the weight falls with the dense model's confidence.
pub const GAMMA: f32 = 1.0;

/// Weights and targets of all training rows.
pub struct PwLoss {
    /// Weight of each row, 1 on average, so that the learning rate means the same as without.
    pub weight: Vec<f32>,
    /// `rows × classes` probabilities.
    pub target: Vec<f32>,
}

impl PwLoss {
    /// From the dense model's logits on the rows.
    pub fn new(teacher: &[f32], y: &[usize], classes: usize) -> Self {
        let mut target = softmax_rows(teacher, classes);
        let mut weight = Vec::with_capacity(y.len());
        for (p, &y) in target.chunks_mut(classes).zip(y) {
            weight.push(THETA + (1.0 - THETA) * (1.0 - p[y]).powf(GAMMA));
            if p.iter().enumerate().any(|(c, v)| *v > p[y] || (*v == p[y] && c < y)) {
                p.iter_mut().enumerate().for_each(|(c, v)| *v = f32::from(u8::from(c == y)));
            }
        }
        let mean = weight.iter().sum::<f32>() / weight.len().max(1) as f32;
        weight.iter_mut().for_each(|w| *w /= mean);
        PwLoss { weight, target }
    }

    /// The targets of some rows.
    pub fn targets(&self, rows: &[usize]) -> Vec<f32> {
        let k = self.target.len() / self.weight.len().max(1);
        rows.iter().flat_map(|&r| &self.target[r * k..(r + 1) * k]).copied().collect()
    }
}

impl Term for &PwLoss {
    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        weights.row.iter_mut().zip(batch.rows).for_each(|(w, &r)| *w *= self.weight[r]);
        weights.target = Some(self.targets(batch.rows));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsure_rows_weigh_more_and_errors_are_corrected() {
        // Sure and right, unsure and right, wrong.
        let teacher = [8.0, 0.0, 0.2, 0.0, 0.0, 3.0];
        let pw = PwLoss::new(&teacher, &[0, 0, 0], 2);
        assert!(pw.weight[0] < pw.weight[1] && pw.weight[1] < pw.weight[2], "{:?}", pw.weight);
        assert!((pw.weight.iter().sum::<f32>() - 3.0).abs() < 1e-5);
        assert!(pw.target[0] > 0.99 && pw.target[2] > 0.5 && pw.target[2] < 0.6);
        assert_eq!(pw.targets(&[2]), [1.0, 0.0]);
        let p: f32 = 1.0 / (1.0 + (-0.2_f32).exp());
        let ratio = (0.5 + 0.5 * (1.0 - p)) / (0.5 + 0.5 * (1.0 - 1.0 / (1.0 + (-8.0_f32).exp())));
        assert!((pw.weight[1] / pw.weight[0] - ratio).abs() < 1e-4);
    }
}
