//! The contract as a constraint of the fine-tuning: one multiplier per group (CEAG, Hashemizadeh et al. 2024).
//!
//! Excess drop of group g: `psi_g = (dense_g - now_g) - (dense - now)`. `now` comes from rings of the last
//! outcomes; the overall ring takes every row, so it is the population's mean. (The published code averages
//! over groups of equal weight there, which is off where groups differ in size.) A multiplier rises while
//! `psi_g` is over the bound and falls while it is under: `lambda_g = max(0, lambda_g + rate * (psi_g - bound))`.
//! The penalty `sum_g lambda_g * (CE_g - CE)` is a weight per row on the cross-entropy.

use crate::contract::Metric;
use crate::data::GroupSet;
use crate::fair::metrics::{hit, sign, value};
use crate::net::term::{Batch, Term, Weights};
use std::collections::VecDeque;

/// Outcomes that a ring remembers per group and stratum.
const RING: usize = 200;
/// Outcomes that a group needs before its multiplier moves.
const FULL: usize = 50;
/// Step of the dual ascent per batch.
const RATE: f32 = 0.2;
/// Multipliers stay under this, so that one group cannot take the whole loss.
const CAP: f32 = 5.0;

/// Multipliers and the running excess drop of every group.
#[derive(Clone, Debug)]
pub struct Constraint {
    metric: Metric,
    bound: f32,
    /// Per row, its groups.
    of_row: Vec<Vec<u32>>,
    /// Metric of the dense model per group, the population last.
    dense: Vec<f32>,
    /// Per group (the population last) and stratum, the last outcomes.
    rings: Vec<Vec<VecDeque<f32>>>,
    lambda: Vec<f32>,
}

impl Constraint {
    /// A constraint on the rows of the training split, of which the dense model predicts `dense`.
    pub fn new(metric: Metric, bound: f64, groups: &GroupSet, y: &[usize], dense: &[usize], classes: usize) -> Self {
        let all: Vec<usize> = (0..y.len()).collect();
        let of = |rows: &[usize]| (sign(metric) * value(metric, y, dense, rows).unwrap_or(0.0)) as f32;
        let mut of_dense: Vec<f32> = groups.groups.iter().map(|g| of(&g.rows)).collect();
        of_dense.push(of(&all));
        let strata = if metric == Metric::MacroRecall { classes } else { 1 };
        Constraint {
            metric,
            bound: bound as f32,
            of_row: groups.of_row.clone(),
            rings: vec![vec![VecDeque::with_capacity(RING); strata]; of_dense.len()],
            lambda: vec![0.0; groups.groups.len()],
            dense: of_dense,
        }
    }

    /// The multipliers, one per group.
    pub fn lambda(&self) -> &[f32] {
        &self.lambda
    }

    /// Takes in the outcomes of a batch and moves the multipliers.
    pub fn observe(&mut self, rows: &[usize], y: &[usize], predicted: &[usize]) {
        let all = self.lambda.len();
        for ((&row, &y), &p) in rows.iter().zip(y).zip(predicted) {
            let Some(value) = hit(self.metric, y, p) else { continue };
            let value = value * sign(self.metric);
            let stratum = if self.metric == Metric::MacroRecall { y } else { 0 };
            for &g in self.of_row[row].iter().chain([all as u32].iter()) {
                let ring = &mut self.rings[g as usize][stratum];
                if ring.len() == RING {
                    ring.pop_front();
                }
                ring.push_back(value as f32);
            }
        }
        let Some(now) = self.now(all) else { return };
        let overall = self.dense[all] - now;
        for g in 0..all {
            if let Some(now) = self.now(g) {
                let psi = self.dense[g] - now - overall;
                self.lambda[g] = (self.lambda[g] + RATE * (psi - self.bound)).clamp(0.0, CAP);
            }
        }
    }

    /// Mean over the strata that have outcomes, once there are enough of them.
    fn now(&self, group: usize) -> Option<f32> {
        let rings: Vec<_> = self.rings[group].iter().filter(|r| !r.is_empty()).collect();
        let seen: usize = rings.iter().map(|r| r.len()).sum();
        let mean = |r: &VecDeque<f32>| r.iter().sum::<f32>() / r.len() as f32;
        (seen >= FULL).then(|| rings.iter().map(|r| mean(r)).sum::<f32>() / rings.len() as f32)
    }

    /// What the multipliers add to the weight of each row of a batch, and the factor `1 / (1 + sum lambda)`
    /// that keeps the effective learning rate bounded.
    pub fn weights(&self, rows: &[usize], y: &[usize]) -> (Vec<f32>, f32) {
        let counts = |row: usize, i: usize| hit(self.metric, y[i], y[i]).is_some().then_some(&self.of_row[row]);
        let mut n = vec![0usize; self.lambda.len()];
        let mut counted = 0;
        for (i, &row) in rows.iter().enumerate() {
            if let Some(groups) = counts(row, i) {
                counted += 1;
                groups.iter().for_each(|&g| n[g as usize] += 1);
            }
        }
        let present: f32 = self.lambda.iter().zip(&n).filter(|(_, n)| **n > 0).map(|(l, _)| l).sum();
        let extra = rows.iter().enumerate().map(|(i, &row)| match counts(row, i) {
            Some(groups) => {
                groups.iter().map(|&g| self.lambda[g as usize] / n[g as usize] as f32).sum::<f32>()
                    - present / counted as f32
            }
            None => 0.0,
        });
        (extra.collect(), 1.0 / (1.0 + self.lambda.iter().sum::<f32>()))
    }
}

impl Term for Constraint {
    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        self.observe(batch.rows, &batch.y, &batch.predicted());
        let (extra, scale) = self.weights(batch.rows, &batch.y);
        weights.extra.iter_mut().zip(extra).for_each(|(w, e)| *w += e);
        weights.scale *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::groups::Group;

    fn set() -> GroupSet {
        GroupSet {
            groups: vec![
                Group { name: "g=a".into(), rows: (0..300).collect() },
                Group { name: "g=b".into(), rows: (300..400).collect() },
            ],
            of_row: (0..400).map(|i| vec![u32::from(i >= 300)]).collect(),
        }
    }

    #[test]
    fn only_the_harmed_group_gets_a_multiplier() {
        let (y, dense) = (vec![0; 400], vec![0; 400]);
        let mut c = Constraint::new(Metric::Accuracy, 0.02, &set(), &y, &dense, 2);
        let rows: Vec<usize> = (0..400).collect();
        // Group b loses every second row, group a none.
        let predicted: Vec<usize> = rows.iter().map(|&r| usize::from(r >= 300 && r % 2 == 0)).collect();
        c.observe(&rows, &y, &predicted);
        assert_eq!(c.lambda()[0], 0.0);
        assert!(c.lambda()[1] > 0.0);
        let (w, scale) = c.weights(&[0, 1, 300], &[0, 0, 0]);
        assert!(w[2] > 0.0 && w[0] < 0.0 && scale < 1.0);
        assert!(w.iter().sum::<f32>().abs() < 1e-6, "the penalty moves weight between groups, it adds none");
    }

    #[test]
    fn equal_drops_are_no_excess() {
        let (y, dense) = (vec![0; 400], vec![0; 400]);
        let mut c = Constraint::new(Metric::Accuracy, 0.02, &set(), &y, &dense, 2);
        let rows: Vec<usize> = (0..400).collect();
        let predicted: Vec<usize> = rows.iter().map(|r| r % 2).collect();
        c.observe(&rows, &y, &predicted);
        assert_eq!(c.lambda(), [0.0, 0.0]);
    }
}
