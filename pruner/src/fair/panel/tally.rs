//! What a set of rows comes down to: counts and sums per group, from which every figure follows.
//!
//! Figures of a bootstrap replicate cost one pass over the rows drawn, whatever their number.

use super::Comparison;
use crate::error::{Error, Result};
use crate::fair::calibration::{Calibration, Scores};
use crate::fair::confusion::Confusion;
use crate::fair::metrics::{confusion_size, harmful};

/// What stays the same in all replicates.
pub(super) struct Basis<'a> {
    pub of: &'a Comparison<'a>,
    pub classes: usize,
    /// Of the dense and the small model, where there are outputs.
    scores: [Option<Scores>; 2],
    /// Groups of each entry.
    pub members: Vec<Vec<usize>>,
    /// Entry of each group.
    pub entry_of: Vec<usize>,
    /// `[group][class]`: how frequent the class is in the group in training, and among the others.
    pub trained: Vec<Vec<[f64; 2]>>,
}

impl<'a> Basis<'a> {
    /// Checks that all sizes fit.
    pub fn new(of: &'a Comparison<'a>) -> Result<Self> {
        let rows = of.y.len();
        for (name, model) in [("dense", &of.dense), ("small", &of.small)] {
            if model.predictions.len() != rows {
                let n = model.predictions.len();
                return Err(Error::new(format!("the {name} model gave {n} predictions for {rows} rows")));
            }
        }
        if of.groups.of_row.len() != rows || of.clusters.is_some_and(|c| c.len() != rows) {
            return Err(Error::new(format!("groups or clusters are not those of the {rows} rows")));
        }
        if !(of.confidence > 0.0 && of.confidence < 1.0) {
            return Err(Error::new("the confidence must lie between 0 and 1"));
        }
        let score = |logits: Option<&[f32]>| logits.map(|l| Scores::from_logits(l, of.y)).transpose();
        let members: Vec<Vec<usize>> = (0..of.entries.len()).map(|e| of.groups.of_entry(e)).collect();
        let mut entry_of = vec![0; of.groups.groups.len()];
        members.iter().enumerate().for_each(|(e, groups)| groups.iter().for_each(|&g| entry_of[g] = e));
        let classes = confusion_size(of.classes, of.y, [of.dense.predictions, of.small.predictions]);
        Ok(Basis {
            classes,
            scores: [score(of.dense.logits)?, score(of.small.logits)?],
            members,
            entry_of,
            trained: trained(of, classes),
            of,
        })
    }
}

/// Class frequencies of the groups, by name, in the training rows; where there are none, in the rows themselves.
fn trained(of: &Comparison<'_>, classes: usize) -> Vec<Vec<[f64; 2]>> {
    let (y, groups) = of.train.unwrap_or((of.y, of.groups));
    let count = |rows: &mut dyn Iterator<Item = usize>| {
        let mut counts = vec![0.0; classes];
        rows.filter(|&i| y[i] < classes).for_each(|i| counts[y[i]] += 1.0);
        counts
    };
    let all = count(&mut (0..y.len()));
    let of_group = |name: &str| {
        let rows = groups.groups.iter().find(|g| g.name == name).map_or(&[][..], |g| &g.rows);
        let (own, n) = (count(&mut rows.iter().copied()), rows.len() as f64);
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        (0..classes).map(|c| [share(own[c], n), share(all[c] - own[c], y.len() as f64 - n)]).collect()
    };
    of.groups.groups.iter().map(|g| of_group(&g.name)).collect()
}

/// One model on one group.
#[derive(Clone)]
pub(super) struct ModelTally {
    pub confusion: Confusion,
    /// Without outputs, of no rows.
    pub calibration: Calibration,
}

/// One group.
#[derive(Clone)]
pub(super) struct Tally {
    /// Dense, small.
    pub models: [ModelTally; 2],
    pub churn: usize,
    pub harmful: usize,
}

impl Tally {
    fn new(classes: usize) -> Self {
        let model = ModelTally { confusion: Confusion::new(classes), calibration: Calibration::default() };
        Tally { models: [model.clone(), model], churn: 0, harmful: 0 }
    }

    fn add(&mut self, b: &Basis<'_>, row: usize) {
        let (y, pred) = (b.of.y[row], [b.of.dense.predictions[row], b.of.small.predictions[row]]);
        for ((model, scores), pred) in self.models.iter_mut().zip(&b.scores).zip(pred) {
            model.confusion.add(y, pred);
            if let Some(scores) = scores {
                model.calibration.add(scores, row, pred == y);
            }
        }
        self.churn += usize::from(pred[0] != pred[1]);
        self.harmful += usize::from(harmful(y, pred[0], pred[1]));
    }
}

/// Every group, and after them everybody.
pub(super) fn tallies(b: &Basis<'_>, rows: &[usize]) -> Vec<Tally> {
    let groups = b.of.groups.groups.len();
    let mut all = vec![Tally::new(b.classes); groups + 1];
    for &row in rows {
        all[groups].add(b, row);
        b.of.groups.of_row[row].iter().for_each(|&g| all[g as usize].add(b, row));
    }
    all
}
