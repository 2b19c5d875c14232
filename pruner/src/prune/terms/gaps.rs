//! How far the loss of each group is from that of others, batch by batch.

use crate::data::GroupSet;

/// Share of a batch in the running gaps.
const MOMENTUM: f32 = 0.1;

/// Running differences of losses. Both sides of a difference are of the same batch, so that what all groups learn
/// between two batches that hold a rare group is not taken for a gap.
#[derive(Clone, Debug)]
pub struct Gaps<'a> {
    groups: &'a GroupSet,
    gap: Vec<Option<f32>>,
}

/// A group in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Sum of the losses of its rows.
    pub sum: f32,
    /// Its rows.
    pub count: f32,
}

impl<'a> Gaps<'a> {
    /// Nothing seen yet.
    pub fn new(groups: &'a GroupSet) -> Self {
        Gaps { groups, gap: vec![None; groups.groups.len()] }
    }

    /// Forgets what it has seen of another network.
    pub fn forget(&mut self) {
        self.gap.fill(None);
    }

    /// The groups of a row.
    pub fn of_row(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        self.groups.of_row[row].iter().map(|&g| g as usize)
    }

    /// What a batch holds of each group.
    pub fn seen(&self, rows: &[usize], losses: &[f32]) -> Vec<Seen> {
        let mut seen = vec![Seen::default(); self.gap.len()];
        for (&row, loss) in rows.iter().zip(losses) {
            for g in self.of_row(row) {
                seen[g].sum += loss;
                seen[g].count += 1.0;
            }
        }
        seen
    }

    /// Takes in the gap of a group in a batch, and gives the running one.
    pub fn observe(&mut self, group: usize, gap: f32) -> f32 {
        let old = self.gap[group].unwrap_or(gap);
        let now = old + MOMENTUM * (gap - old);
        self.gap[group] = Some(now);
        now
    }
}
