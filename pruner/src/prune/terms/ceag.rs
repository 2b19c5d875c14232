//! The contract as a constraint of the fine-tuning: one multiplier per group (CEAG, Hashemizadeh et al. 2024).
//!
//! A multiplier rises while the excess drop of its group (see [`Drops`]) is over the bound and falls while it is under:
//! `λ_g = max(0, λ_g + rate · (psi_g - bound))`, in batches that hold the group. The penalty `Σ_g λ_g (CE_g - CE)` over the
//! groups of a batch is a weight per row on the cross-entropy, and `1 / (1 + Σ λ)` on the whole loss keeps the step bounded.
//! The dense model's losses and the bound are constants and drop out of the gradient. Where a fine-tuning begins, outcomes
//! are forgotten, for they speak of a network with more channels; multipliers stay.
//!
//! `- Σ λ_g CE` takes weight from everybody, so groups without a multiplier count for nothing once `Σ λ` is 1: with many
//! groups all may end worse. It is kept as published; [`lift`](super::lift) does without.

use super::drops::{Drops, Multipliers};
use crate::contract::Metric;
use crate::data::GroupSet;
use crate::fair::metrics::hit;
use crate::net::term::{Batch, Term, Weights};

/// Step of the dual ascent per batch.
const RATE: f32 = 0.05;
/// Multipliers stay under this, so that one group cannot take the whole loss.
const CAP: f32 = 2.0;

/// Multipliers and the running excess drop of every group.
#[derive(Clone, Debug)]
pub struct Constraint<'a> {
    metric: Metric,
    groups: &'a GroupSet,
    /// Importance of each row: rows of rare classes weigh more unless the contract's metric is accuracy.
    weight: &'a [f32],
    multipliers: Multipliers<'a>,
}

impl<'a> Constraint<'a> {
    /// A constraint on the rows of the training split, of which the dense model predicts `dense`. Each row has a
    /// `weight`; a network has as many `classes`.
    pub fn new(
        metric: Metric,
        bound: f64,
        groups: &'a GroupSet,
        dense: &'a [usize],
        weight: &'a [f32],
        classes: usize,
    ) -> Self {
        let drops = Drops::new(metric, groups, dense, classes);
        Constraint { metric, groups, weight, multipliers: Multipliers::new(drops, bound, RATE, CAP) }
    }

    /// The multipliers, one per group.
    pub fn lambda(&self) -> &[f32] {
        self.multipliers.of_group()
    }

    /// What the multipliers add to the weight of each row of a batch, and the factor `1 / (1 + Σ λ)`.
    pub fn weights(&self, rows: &[usize], y: &[usize]) -> (Vec<f32>, f32) {
        let counts = |i: usize| hit(self.metric, y[i], y[i]).is_some();
        let lambda = self.lambda();
        let (mut of_group, mut all) = (vec![0.0f32; lambda.len()], 0.0);
        for (_, &row) in rows.iter().enumerate().filter(|(i, _)| counts(*i)) {
            all += self.weight[row];
            self.groups.of_row[row].iter().for_each(|&g| of_group[g as usize] += self.weight[row]);
        }
        let present: f32 = lambda.iter().zip(&of_group).filter(|(_, w)| **w > 0.0).map(|(l, _)| l).sum();
        let extra = rows.iter().enumerate().map(|(i, &row)| {
            if !counts(i) {
                return 0.0;
            }
            let groups = self.groups.of_row[row].iter().map(|&g| g as usize);
            self.weight[row] * (groups.map(|g| lambda[g] / of_group[g]).sum::<f32>() - present / all)
        });
        (extra.collect(), 1.0 / (1.0 + lambda.iter().sum::<f32>()))
    }
}

impl Term for Constraint<'_> {
    fn begin(&mut self) {
        self.multipliers.forget();
    }

    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        self.multipliers.watch(batch);
        let (extra, scale) = self.weights(batch.rows, &batch.y);
        weights.extra.iter_mut().zip(extra).for_each(|(w, e)| *w += e);
        weights.scale *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::groups::Group;

    /// Rows 0 to 299 are `g=a`, the others `g=b`; every second row is `h=0` as well.
    fn set() -> GroupSet {
        let group = |name: &str, rows: Vec<usize>| Group { name: name.into(), rows };
        GroupSet {
            groups: vec![
                group("g=a", (0..300).collect()),
                group("g=b", (300..400).collect()),
                group("h=0", (0..400).step_by(2).collect()),
                group("h=1", (1..400).step_by(2).collect()),
            ],
            of_row: (0..400).map(|i| vec![u32::from(i >= 300), 2 + u32::from(i % 2 == 1)]).collect(),
        }
    }

    #[test]
    fn only_the_harmed_group_gets_a_multiplier() {
        let (y, set) = (vec![0; 400], set());
        let mut c = Constraint::new(Metric::Accuracy, 0.02, &set, &y, &[1.0; 400], 2);
        let rows: Vec<usize> = (0..400).collect();
        // Group b loses every second pair of rows, group a none; both halves of `h` lose alike.
        let predicted: Vec<usize> = rows.iter().map(|&r| usize::from(r >= 300 && r % 4 < 2)).collect();
        c.multipliers.observe(&rows, &y, &predicted, None);
        // 50 of 100 rows, less 50 of 400: the rings of b hold all its rows.
        assert!((c.lambda()[1] - RATE * (0.5 - 0.125 - 0.02)).abs() < 1e-6, "{:?}", c.lambda());
        assert_eq!((c.lambda()[0], c.lambda().len()), (0.0, 4));
        let (w, scale) = c.weights(&[0, 1, 300], &[0, 0, 0]);
        assert!(w[2] > 0.0 && w[0] < 0.0 && scale < 1.0);
        assert!(w.iter().sum::<f32>().abs() < 1e-6, "the penalty moves weight between groups, it adds none");
        // λ_b (CE_b - CE) with one row of b among three.
        let b = c.lambda()[1];
        assert!((w[2] - c.lambda()[2] / 2.0 - (b - (b + c.lambda()[2] + c.lambda()[3]) / 3.0)).abs() < 1e-5);
    }

    #[test]
    fn equal_drops_and_rows_that_the_dense_model_fails_are_no_excess() {
        let (y, set) = (vec![0; 400], set());
        // The dense model fails every second row, most of all of b.
        let dense: Vec<usize> = (0..400).map(|r| usize::from(r % 2 == 1 || r >= 350)).collect();
        let mut c = Constraint::new(Metric::Accuracy, 0.02, &set, &dense, &[1.0; 400], 2);
        let rows: Vec<usize> = (0..400).collect();
        c.multipliers.observe(&rows, &y, &dense, None);
        assert_eq!(c.lambda(), [0.0; 4]);
    }

    /// Classes count alike under macro recall, however rare, in the drop as in the penalty.
    #[test]
    fn strata_count_alike() {
        let set = set();
        let y: Vec<usize> = (0..400).map(|r| usize::from(r % 10 == 0)).collect();
        let weight: Vec<f32> = y.iter().map(|&y| if y == 1 { 5.0 } else { 5.0 / 9.0 }).collect();
        let mut c = Constraint::new(Metric::MacroRecall, 0.02, &set, &y, &weight, 3);
        let rows: Vec<usize> = (200..400).collect();
        let of = |rows: &[usize]| rows.iter().map(|&r| y[r]).collect::<Vec<_>>();
        // The ten rows of class 1 in b are lost: half of its macro recall, a quarter of everybody's.
        let predicted: Vec<usize> = rows.iter().map(|&r| if r >= 300 { 0 } else { y[r] }).collect();
        c.multipliers.observe(&rows, &of(&rows), &predicted, None);
        assert!((c.lambda()[1] - RATE * (0.25 - 0.02)).abs() < 1e-6);
        let (w, _) = c.weights(&rows, &of(&rows));
        assert!((w[100] / w[101] - 9.0).abs() < 1e-3 && y[300] == 1, "{} {}", w[100], w[101]);
    }
}
