//! BiFP's surrogate of accuracy parity (Dai et al., arXiv 2312.10181), for any number of groups and classes.
//!
//! The paper writes the violation for two groups `S = ±1` and a binary output: the losses of one group weigh
//! `1 / P(S = 1)`, those of the other `-1 / P(S = -1)`, through a convex surrogate `u` of the 0/1 loss. With the
//! cross-entropy as `u` the violation of group `g` is its mean loss less everybody's, and the term is the sum of these
//! over the groups with a larger loss than everybody: the same as the paper's for two groups, and defined for many.

use crate::data::GroupSet;
use crate::net::term::{Batch, Term, Weights};

/// The surrogate of parity.
pub struct Surrogate<'a> {
    /// Groups of the training rows.
    pub groups: &'a GroupSet,
}

impl Surrogate<'_> {
    /// What the surrogate adds to the weight of each row, from the loss of each.
    pub fn weights(&self, rows: &[usize], losses: &[f32]) -> Vec<f32> {
        let n = rows.len() as f32;
        let mean = losses.iter().sum::<f32>() / n;
        let mut sums = vec![(0.0f32, 0.0f32); self.groups.groups.len()];
        for (&row, loss) in rows.iter().zip(losses) {
            for &g in &self.groups.of_row[row] {
                sums[g as usize].0 += loss;
                sums[g as usize].1 += 1.0;
            }
        }
        let worse = |g: u32| {
            let (sum, count) = sums[g as usize];
            count > 0.0 && sum / count > mean
        };
        let harmed = (0..sums.len()).filter(|&g| worse(g as u32)).count() as f32;
        let own = |row: usize| -> f32 {
            self.groups.of_row[row].iter().filter(|&&g| worse(g)).map(|&g| 1.0 / sums[g as usize].1).sum()
        };
        rows.iter().map(|&row| own(row) - harmed / n).collect()
    }
}

impl Term for Surrogate<'_> {
    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        let added = self.weights(batch.rows, &batch.losses());
        weights.extra.iter_mut().zip(added).for_each(|(w, a)| *w += a);
    }
}
