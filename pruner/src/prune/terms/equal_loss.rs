//! Equal losses (Tran et al., NeurIPS 2022): `min J subject to J_a = J` for every group `a`, by dual ascent
//! `λ_a += η |J_a - J|` in batches that hold the group, with the gap smoothed over batches (see [`Gaps`]).
//!
//! The penalty `Σ λ_a |J_a - J|` is a weight per row: `λ_a sign(J_a - J)` on the group, the opposite on everybody. The
//! published dual is of the absolute difference, so a group that fares well is pushed up as others are pushed down, and
//! the term can level down; the verdict says when it does. The weight of a row stays at zero or over it
//! ([`Weights::targets`]): the network unlearns nothing on purpose. `1 / (1 + Σ λ)` on the whole loss, which the paper has
//! not, keeps the step bounded.

use super::gaps::Gaps;
use crate::data::GroupSet;
use crate::net::term::{Batch, Term, Weights};

/// Step of the dual ascent per batch.
const RATE: f32 = 0.05;
/// Multipliers stay under this, so that one group cannot take the whole loss.
const CAP: f32 = 5.0;

/// Multipliers and running gaps per group.
pub struct EqualLoss<'a> {
    gaps: Gaps<'a>,
    lambda: Vec<f32>,
}

impl<'a> EqualLoss<'a> {
    /// For groups of the training rows.
    pub fn new(groups: &'a GroupSet) -> Self {
        EqualLoss { gaps: Gaps::new(groups), lambda: vec![0.0; groups.groups.len()] }
    }

    /// Moves the multipliers; gives what they add to the weight of each row, from the loss of each.
    fn weights(&mut self, rows: &[usize], losses: &[f32]) -> Vec<f32> {
        let n = rows.len() as f32;
        let everybody = losses.iter().sum::<f32>() / n;
        let seen = self.gaps.seen(rows, losses);
        let mut push = vec![0.0; seen.len()];
        for (g, own) in seen.iter().enumerate().filter(|(_, s)| s.count > 0.0) {
            let gap = self.gaps.observe(g, own.sum / own.count - everybody);
            self.lambda[g] = (self.lambda[g] + RATE * gap.abs()).min(CAP);
            push[g] = if gap == 0.0 { 0.0 } else { self.lambda[g] * gap.signum() };
        }
        let total: f32 = push.iter().sum();
        rows.iter()
            .map(|&row| self.gaps.of_row(row).map(|g| push[g] / seen[g].count).sum::<f32>() - total / n)
            .collect()
    }
}

impl Term for EqualLoss<'_> {
    fn begin(&mut self) {
        self.gaps.forget();
    }

    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        let added = self.weights(batch.rows, &batch.losses());
        weights.extra.iter_mut().zip(added).for_each(|(w, a)| *w += a);
        weights.scale /= 1.0 + self.lambda.iter().sum::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::terms::testing::groups;

    /// By hand: losses 1 of a, 4 of the one row of b; everybody's is 2.
    #[test]
    fn the_penalty_is_the_gradient_of_the_gaps() {
        let set = groups(&[2, 1, 1]);
        let mut term = EqualLoss::new(&set);
        // The third group is not in the batch.
        let w = term.weights(&[0, 1, 2], &[1.0, 1.0, 4.0]);
        let (a, b) = (RATE * 1.0, RATE * 2.0);
        assert_eq!(term.lambda, [a, b, 0.0]);
        // -a (J_a - J) + b (J_b - J)
        let all = (a - b) / 3.0;
        for (got, want) in w.iter().zip([-a / 2.0 + all, -a / 2.0 + all, b + all]) {
            assert!((got - want).abs() < 1e-6, "{w:?}");
        }
    }

    #[test]
    fn equal_losses_and_one_group_alone_push_nothing() {
        let set = groups(&[2, 2]);
        let mut term = EqualLoss::new(&set);
        assert_eq!(term.weights(&[0, 2], &[1.5, 1.5]), [0.0, 0.0]);
        assert_eq!(term.weights(&[0, 1], &[1.0, 2.0]), [0.0, 0.0]);
        assert_eq!(term.lambda, [0.0, 0.0]);
    }
}
