//! Lift: rows of a group weigh more in cross-entropy and distillation while the group loses more than the contract allows.
//!
//! The multiplier of a group follows its excess drop `psi_g` (see [`Drops`]): `μ_g += rate · (psi_g - bound)` in batches that
//! hold the group, from 0 to a cap. A row that the metric counts weighs `1 + Σ μ_g` over its groups, up to the cap again, and a
//! batch as much as ever.
//!
//! It is a constraint of CEAG's kind (Hashemizadeh et al. 2024) that cannot level down. The penalty there is
//! `Σ λ_g (CE_g - CE)`, whose second half takes weight from everybody: once `Σ λ` is 1, groups without a multiplier count for
//! nothing. Here they keep at least `1 / (1 + cap)` of the others' weight. And `μ_g` stands for `λ_g` over the group's share of
//! the rows, so that a group of one row in 24 is lifted by as much a batch as one of a half, once it has shown enough
//! outcomes, and no row takes the whole loss.

use super::drops::{Drops, Multipliers};
use crate::contract::Metric;
use crate::data::GroupSet;
use crate::fair::metrics::hit;
use crate::net::term::{Batch, Term, Weights};

/// Step of the ascent per batch: 5 points over the bound double the weight within 20 batches.
const RATE: f32 = 1.0;
/// Multipliers stay under this: more would leave the group's few rows to themselves.
const CAP: f32 = 3.0;

/// Multipliers and the running excess drop of every group.
#[derive(Clone, Debug)]
pub struct Lift<'a> {
    metric: Metric,
    groups: &'a GroupSet,
    multipliers: Multipliers<'a>,
}

impl<'a> Lift<'a> {
    /// For the rows of the training split, of which the dense model predicts `dense` of so many `classes`.
    pub fn new(metric: Metric, bound: f64, groups: &'a GroupSet, dense: &'a [usize], classes: usize) -> Self {
        let drops = Drops::new(metric, groups, dense, classes);
        Lift { metric, groups, multipliers: Multipliers::new(drops, bound, RATE, CAP) }
    }

    /// Lifts the weights of rows of classes `y` that the metric counts; their sum stays.
    fn lift(&self, rows: &[usize], y: &[usize], weight: &mut [f32]) {
        let before: f32 = weight.iter().sum();
        let rows = rows.iter().zip(y);
        for (w, (&row, _)) in weight.iter_mut().zip(rows).filter(|(_, (_, y))| hit(self.metric, **y, **y).is_some()) {
            let multipliers = self.groups.of_row[row].iter().map(|&g| self.multipliers.of_group()[g as usize]);
            *w *= 1.0 + multipliers.sum::<f32>().min(CAP);
        }
        let after: f32 = weight.iter().sum();
        if after > 0.0 {
            weight.iter_mut().for_each(|w| *w *= before / after);
        }
    }
}

impl Term for Lift<'_> {
    fn begin(&mut self) {
        self.multipliers.forget();
    }

    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        self.multipliers.watch(batch);
        self.lift(batch.rows, &batch.y, &mut weights.row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::terms::testing::groups;

    /// The group that loses is lifted, and the batch weighs what it did.
    #[test]
    fn only_the_harmed_group_is_lifted() {
        let (y, set) = (vec![0; 400], groups(&[300, 100]));
        let mut lift = Lift::new(Metric::Accuracy, 0.02, &set, &y, 2);
        let rows: Vec<usize> = (0..400).collect();
        let predicted: Vec<usize> = rows.iter().map(|&r| usize::from(r >= 300 && r % 2 == 0)).collect();
        lift.multipliers.observe(&rows, &y, &predicted, None);
        // 50 of 100 rows, less 50 of 400.
        let step = 0.5 - 0.125 - 0.02;
        assert!(
            (lift.multipliers.of_group()[1] - RATE * step).abs() < 1e-6 && lift.multipliers.of_group()[0] == 0.0,
            "{:?}",
            lift.multipliers
        );
        let mut w = [0.25; 4];
        lift.lift(&[0, 1, 2, 300], &[0; 4], &mut w);
        assert!(
            (w[3] / w[0] - 1.0 - lift.multipliers.of_group()[1]).abs() < 1e-6
                && (w.iter().sum::<f32>() - 1.0).abs() < 1e-6
        );
        // Harm that is over lets it sink again, harm that goes on takes it to the cap and no further.
        (0..2000).for_each(|_| lift.multipliers.observe(&rows, &y, &predicted, None));
        assert_eq!(lift.multipliers.of_group(), [0.0, CAP]);
        (0..2000).for_each(|_| lift.multipliers.observe(&rows, &y, &y, None));
        assert_eq!(lift.multipliers.of_group(), [0.0, 0.0]);
    }

    /// Rows of other classes than a recall is of stay as they are, and more multipliers than one lift to the cap at most.
    #[test]
    fn rows_that_count_are_lifted_up_to_the_cap() {
        let mut set = groups(&[300, 100]);
        let again = set.groups[1].clone();
        set.groups.push(again);
        set.of_row[300..].iter_mut().for_each(|of| of.push(2));
        let y: Vec<usize> = (0..400).map(|r| r % 2).collect();
        let mut lift = Lift::new(Metric::Recall(1), 0.02, &set, &y, 2);
        let all: Vec<usize> = (0..400).collect();
        let lost: Vec<usize> = all.iter().map(|&r| if r < 300 { y[r] } else { 0 }).collect();
        (0..10).for_each(|_| lift.multipliers.observe(&all, &y, &lost, None));
        assert_eq!(lift.multipliers.of_group(), [0.0, CAP, CAP]);
        let mut w = [0.25; 4];
        lift.lift(&[0, 1, 300, 301], &[0, 1, 0, 1], &mut w);
        assert!((w[3] / w[0] - 1.0 - CAP).abs() < 1e-6 && w[0] == w[1] && w[0] == w[2], "{w:?}");
    }
}
