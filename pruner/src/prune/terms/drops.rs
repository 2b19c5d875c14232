//! How much more each group loses than everybody, from the outcomes of the last batches: what constraints on the drop act by.
//!
//! Excess drop of group g: `psi_g = (dense_g - now_g) - (dense - now)`, as in CEAG (Hashemizadeh et al. 2024). What differs
//! from the published code:
//! - It takes the mean over groups of equal weight for `now`, against a population mean for `dense`: off where groups
//!   differ in size. Here both are of the population.
//! - It compares the dense accuracy of a whole group with a ring of the last outcomes, which adds the luck of the draw
//!   of a few rows. Here the ring holds differences on the same row, `dense - now`.
//! - A small group's ring reaches further back than everybody's, so that everything that the network learns (or loses)
//!   meanwhile would look like an excess. Here everybody's drop is that of the same batches.

use crate::contract::Metric;
use crate::data::GroupSet;
use crate::fair::metrics::{hit, mean, sign};
use crate::net::set;
use crate::net::term::Batch;
use std::collections::VecDeque;

/// Outcomes that a ring remembers per group and stratum.
const RING: usize = 200;
/// Outcomes that a group needs before it has an excess.
const FULL: usize = 50;

/// The last outcomes of every group.
#[derive(Clone, Debug)]
pub struct Drops<'a> {
    metric: Metric,
    groups: &'a GroupSet,
    /// What the dense model predicts of each row.
    dense: &'a [usize],
    /// Per group and stratum, the last drops and the batch that each is of.
    rings: Vec<Vec<VecDeque<(f32, usize)>>>,
    /// Sum and number of the drops of all rows before each batch, per stratum.
    before: Vec<Vec<(f64, f64)>>,
}

impl<'a> Drops<'a> {
    /// On the rows of the training split, of which the dense model predicts `dense` of so many `classes`.
    pub fn new(metric: Metric, groups: &'a GroupSet, dense: &'a [usize], classes: usize) -> Self {
        let strata = if metric == Metric::MacroRecall { classes } else { 1 };
        Drops {
            metric,
            groups,
            dense,
            rings: vec![vec![VecDeque::with_capacity(RING); strata]; groups.groups.len()],
            before: vec![vec![(0.0, 0.0); strata]],
        }
    }

    /// Forgets all outcomes: they speak of another network.
    pub fn forget(&mut self) {
        self.rings.iter_mut().flatten().for_each(VecDeque::clear);
        self.before.truncate(1);
    }

    /// Takes in the outcomes of a batch; gives `psi` of each group in it that has shown enough of them. `dense` is what the dense
    /// model predicts of the batch where its inputs are not the rows themselves.
    pub fn observe(
        &mut self,
        rows: &[usize],
        y: &[usize],
        predicted: &[usize],
        dense: Option<&[usize]>,
    ) -> Vec<(usize, f32)> {
        let Some(mut total) = self.before.last().cloned() else { return Vec::new() };
        let batch = self.before.len() - 1;
        let mut present = vec![false; self.rings.len()];
        for (i, ((&row, &y), &p)) in rows.iter().zip(y).zip(predicted).enumerate() {
            let dense = dense.map_or(self.dense[row], |d| d[i]);
            let (Some(now), Some(then)) = (hit(self.metric, y, p), hit(self.metric, y, dense)) else {
                continue;
            };
            let drop = sign(self.metric) * (then - now);
            let stratum = if self.metric == Metric::MacroRecall { y } else { 0 };
            total[stratum].0 += drop;
            total[stratum].1 += 1.0;
            for &g in &self.groups.of_row[row] {
                let ring = &mut self.rings[g as usize][stratum];
                if ring.len() == RING {
                    ring.pop_front();
                }
                ring.push_back((drop as f32, batch));
                present[g as usize] = true;
            }
        }
        self.before.push(total);
        (0..present.len()).filter(|&g| present[g]).filter_map(|g| Some((g, self.excess(g)?))).collect()
    }

    /// That of a group over the batches that its rings reach back to, once they hold enough outcomes. A ring of a rare class
    /// reaches back further than one of a common class, so each stratum has everybody's drop of its own batches; one that
    /// the group has not is everybody's as far back as any ring.
    fn excess(&self, group: usize) -> Option<f32> {
        let rings = &self.rings[group];
        if rings.iter().map(VecDeque::len).sum::<usize>() < FULL {
            return None;
        }
        let begins = |r: &VecDeque<(f32, usize)>| r.front().map(|d| d.1);
        let first = rings.iter().filter_map(begins).min()?;
        let own = rings
            .iter()
            .filter(|r| !r.is_empty())
            .map(|r| r.iter().map(|d| f64::from(d.0)).sum::<f64>() / r.len() as f64);
        let last = self.before.last()?;
        let everybody = rings.iter().zip(last).enumerate().filter_map(|(stratum, (ring, now))| {
            let then = self.before[begins(ring).unwrap_or(first)][stratum];
            (now.1 > then.1).then(|| (now.0 - then.0) / (now.1 - then.1))
        });
        Some((mean(own)? - mean(everybody)?) as f32)
    }
}

/// A multiplier per group that follows its excess drop: `μ_g += rate · (psi_g - bound)` from 0 to a cap, in batches that hold
/// the group.
#[derive(Clone, Debug)]
pub struct Multipliers<'a> {
    drops: Drops<'a>,
    bound: f32,
    rate: f32,
    cap: f32,
    of_group: Vec<f32>,
}

impl<'a> Multipliers<'a> {
    /// All 0.
    pub fn new(drops: Drops<'a>, bound: f64, rate: f32, cap: f32) -> Self {
        let of_group = vec![0.0; drops.rings.len()];
        Multipliers { drops, bound: bound as f32, rate, cap, of_group }
    }

    /// One per group.
    pub fn of_group(&self) -> &[f32] {
        &self.of_group
    }

    /// Takes in what the network made of a batch.
    pub fn watch(&mut self, batch: &Batch) {
        let dense = batch.dense.as_ref().map(|logits| set::classes(logits, batch.logits.dims()[1]));
        self.observe(batch.rows, &batch.y, &batch.predicted(), dense.as_deref());
    }

    /// Takes in the outcomes of a batch, as [`Drops::observe`], and moves the multipliers of its groups.
    pub fn observe(&mut self, rows: &[usize], y: &[usize], predicted: &[usize], dense: Option<&[usize]>) {
        for (g, psi) in self.drops.observe(rows, y, predicted, dense) {
            self.of_group[g] = (self.of_group[g] + self.rate * (psi - self.bound)).clamp(0.0, self.cap);
        }
    }

    /// Forgets all outcomes; the multipliers stay.
    pub fn forget(&mut self) {
        self.drops.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::terms::testing::groups;

    /// A small group's ring reaches back to when all were worse: that is no excess of its own.
    #[test]
    fn what_all_groups_learn_meanwhile_is_no_excess() {
        let (y, set) = (vec![0; 400], groups(&[300, 100]));
        let mut drops = Drops::new(Metric::Accuracy, &set, &y, 2);
        let mut last = Vec::new();
        for batch in 0..40 {
            // 30 rows of a, two of b; all wrong in the first half, all right in the second.
            let rows: Vec<usize> = (0..30).map(|i| (batch * 30 + i) % 300).chain([300 + batch, 340 + batch]).collect();
            let wrong = usize::from(batch < 20);
            last = drops.observe(&rows, &[0; 32], &[wrong; 32], None);
        }
        let b = last.iter().find(|(g, _)| *g == 1).unwrap().1;
        assert!(b.abs() < 1e-6, "{b}");
        drops.forget();
        assert_eq!(drops.observe(&[300], &[0], &[1], None), []);
    }
    /// The ring of a common class begins later than that of a rare one; each is held against everybody of its own time.
    #[test]
    fn each_class_is_held_against_everybody_of_its_batches() {
        // 20 rows a batch of either group: 19 of class 0, one of class 1, all wrong in the first half and right in the second.
        let set = groups(&[200, 200]);
        let dense: Vec<usize> = (0..400).map(|i| usize::from(i % 20 == 0)).collect();
        let mut drops = Drops::new(Metric::MacroRecall, &set, &dense, 2);
        let mut last = Vec::new();
        for batch in 0..40 {
            let rows: Vec<usize> = (0..20).chain(200..220).map(|i| (i + 20 * (batch % 10)) % 400).collect();
            let y: Vec<usize> = rows.iter().map(|r| dense[*r]).collect();
            let predicted = y.iter().map(|y| if batch < 20 { 1 - y } else { *y }).collect::<Vec<_>>();
            last = drops.observe(&rows, &y, &predicted, None);
        }
        assert!(last.len() == 2 && last.iter().all(|(_, psi)| psi.abs() < 1e-6), "{last:?}");
    }

    /// A mixed row that both networks take for another is no drop.
    #[test]
    fn mixed_rows_are_compared_with_what_the_dense_network_makes_of_them() {
        let (y, set) = (vec![0; 400], groups(&[200, 200]));
        let rows: Vec<usize> = (100..300).collect();
        let mixed: Vec<usize> = rows.iter().map(|r| usize::from(*r < 200)).collect();
        let drop = |dense: Option<&[usize]>| {
            Drops::new(Metric::Accuracy, &set, &y, 2).observe(&rows, &[0; 200], &mixed, dense)[0].1
        };
        assert_eq!((drop(None), drop(Some(&mixed))), (0.5, 0.0));
    }
}
