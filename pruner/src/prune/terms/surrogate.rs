//! BiFP's surrogate of accuracy parity (Dai et al., arXiv 2312.10181), for any number of groups and classes.
//!
//! The paper writes the violation for two groups `S = ±1` and a binary output: the losses of one group weigh
//! `1 / P(S = 1)`, those of the other `-1 / P(S = -1)`, through a convex surrogate `u` of the 0/1 loss. With the
//! cross-entropy as `u` that is the mean loss of one group less that of the other.
//!
//! Here `F = 2/G Σ_g max(0, CE_g - CE_rest)` over the `G` groups of a contract entry, with the rest all rows of other
//! groups: for two groups one of the two terms is the paper's `|F|`, the other is zero; for more the sum does not grow
//! with their number. Which groups lose more than the rest is judged by the gaps smoothed over batches ([`Gaps`]): of
//! a few rows each, half of all groups would seem to at any time. As in the paper `F` has no multiplier.

use super::gaps::Gaps;
use crate::data::GroupSet;
use crate::net::term::{Batch, Term, Weights};

/// The surrogate of parity.
pub struct Surrogate<'a> {
    gaps: Gaps<'a>,
    /// `2/G` per group.
    share: Vec<f32>,
}

impl<'a> Surrogate<'a> {
    /// For groups of the training rows.
    pub fn new(groups: &'a GroupSet) -> Self {
        let mut share = vec![0.0; groups.groups.len()];
        let entries = groups.of_row.iter().map(Vec::len).max().unwrap_or(0);
        for entry in (0..entries).map(|e| groups.of_entry(e)) {
            entry.iter().for_each(|&g| share[g] = 2.0 / entry.len() as f32);
        }
        Surrogate { gaps: Gaps::new(groups), share }
    }

    /// What the surrogate adds to the weight of each row, from the loss of each.
    pub fn weights(&mut self, rows: &[usize], losses: &[f32]) -> Vec<f32> {
        let (n, all) = (rows.len() as f32, losses.iter().sum::<f32>());
        let seen = self.gaps.seen(rows, losses);
        let mut out = vec![0.0; rows.len()];
        for (g, own) in seen.iter().enumerate().filter(|(_, s)| s.count > 0.0 && s.count < n) {
            if self.gaps.observe(g, own.sum / own.count - (all - own.sum) / (n - own.count)) <= 0.0 {
                continue;
            }
            for (out, &row) in out.iter_mut().zip(rows) {
                let member = self.gaps.of_row(row).any(|h| h == g);
                *out += self.share[g] * if member { 1.0 / own.count } else { -1.0 / (n - own.count) };
            }
        }
        out
    }
}

impl Term for Surrogate<'_> {
    fn begin(&mut self) {
        self.gaps.forget();
    }

    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        let added = self.weights(batch.rows, &batch.losses());
        weights.extra.iter_mut().zip(added).for_each(|(w, a)| *w += a);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::terms::testing::groups;

    /// `Σ ± loss / P(S)` of the paper, over the rows of a batch.
    #[test]
    fn two_groups_are_as_in_the_paper() {
        let set = groups(&[3, 2]);
        let w = Surrogate::new(&set).weights(&[0, 1, 2, 3], &[0.5, 1.0, 0.6, 2.0]);
        let n = 4.0;
        let (minus, plus) = (-1.0 / (n * 0.75), 1.0 / (n * 0.25));
        for (got, want) in w.iter().zip([minus, minus, minus, plus]) {
            assert!((got - want).abs() < 1e-6, "{w:?}");
        }
    }

    #[test]
    fn many_groups_weigh_no_more_than_two_and_one_alone_nothing() {
        let set = groups(&[1; 24]);
        let losses: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let w = Surrogate::new(&set).weights(&(0..24).collect::<Vec<_>>(), &losses);
        assert!(w.iter().filter(|w| **w > 0.0).sum::<f32>() <= 1.0 + 1e-5);
        assert!(w.iter().sum::<f32>().abs() < 1e-5 && w[23] > 0.0 && w[0] < 0.0);
        let set = groups(&[2, 2]);
        assert_eq!(Surrogate::new(&set).weights(&[0, 1], &[1.0, 2.0]), [0.0, 0.0]);
    }
}
