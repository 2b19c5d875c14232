//! The panel: every fairness metric of a dense and a small model on one set of rows, with intervals.
//!
//! It describes and proves nothing; a proof is the verdict, with the bounds that it needs and no more. Intervals are
//! two-sided at the panel's confidence, and those of one figure hold at once for all groups and everybody: shares of rows
//! by Bonferroni, all else by a bootstrap band ([`super::bootstrap`]); the figures of an entry (a column
//! or an intersection) each hold by themselves. Rows of one cluster are drawn together.

mod exact;
mod figures;
mod tally;
#[cfg(test)]
mod tests;
mod text;

#[cfg(test)]
pub(crate) use tests::sample_panel;
pub use text::panel_table;

use super::bootstrap::{bootstrap, units};
use super::disparity::rates;
use super::exemplars::Exemplars;
use super::similarity::Similarity;
use super::verdict::Bounded;
use crate::contract::{Fairness, Metric};
use crate::data::{GroupSet, Rows, cluster_codes, parse_groups};
use crate::error::Result;
use crate::net::set;
use exact::Shares;
use figures::{Part, Scope, View, blocks, values};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tally::{Basis, Tally, tallies};

/// With fewer clusters than this, percentiles of a bootstrap are too close together to be believed.
const FEW_CLUSTERS: usize = 20;

/// Replicates of the bootstrap.
pub const REPLICATES: usize = 1000;

/// Values by the name of the metric.
pub type Figures = BTreeMap<String, Bounded>;

/// What one model says of every row.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// Class per row.
    pub predictions: &'a [usize],
    /// Outputs before the softmax, `rows × outputs`; without them there is no calibration and no loss.
    pub logits: Option<&'a [f32]>,
}

/// What a panel is made of.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// Class per row.
    pub y: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// The dense model.
    pub dense: Model<'a>,
    /// The small model.
    pub small: Model<'a>,
    /// The groups of the rows.
    pub groups: &'a GroupSet,
    /// The entries that made them, in order.
    pub entries: &'a [String],
    /// What worst group, gap, ratio and drops are of.
    pub metric: Metric,
    /// Cluster per row, where rows are not independent.
    pub clusters: Option<&'a [u32]>,
    /// Classes and groups of the training rows, which bias amplification refers to; without them it takes the rows.
    pub train: Option<(&'a [usize], &'a GroupSet)>,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Replicates of the bootstrap.
    pub replicates: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// All metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// Number of rows.
    pub rows: usize,
    /// Clusters among them; `None` when rows count as independent.
    pub clusters: Option<usize>,
    /// Number of classes.
    pub classes: usize,
    /// What worst group, gap, ratio and drops are of.
    pub metric: Metric,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Replicates of the bootstrap.
    pub replicates: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// All rows.
    pub everybody: GroupPanel,
    /// Every group.
    pub groups: Vec<GroupPanel>,
    /// Every entry: comparisons between its groups.
    pub entries: Vec<EntryPanel>,
    /// Rows that several small models treat otherwise, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemplars: Option<Exemplars>,
    /// How alike the layers are, where the small network was at hand in f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<Similarity>,
    /// Which convention a value follows, and what was left out.
    pub notes: Vec<String>,
}

/// One group. A value that is null has no rows to be had from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupPanel {
    /// Its name.
    pub group: String,
    /// The entry that it belongs to; empty for everybody.
    pub entry: String,
    /// Its rows.
    pub n: usize,
    /// Its clusters.
    pub clusters: Option<usize>,
    /// `accuracy`, `balanced_accuracy`, `recall:C`, `precision:C`, `fpr:C`, `fnr:C`, `selection_rate:C` of every class,
    /// `average_odds_difference` (from all others), `ece`, `brier`, `nll` of the dense model.
    pub dense: Figures,
    /// The same of the small model.
    pub small: Figures,
    /// `drop`, `excess_drop`, `excess_loss`, `churn`, `harmful_flips`, `recall_distortion`, `cev_2021_pct`,
    /// `sde_2021_pct`, `cev_2022_ratio`, `sde_2022_ratio`.
    pub change: Figures,
}

/// The groups of one entry beside each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryPanel {
    /// The entry, e.g. `gender`.
    pub entry: String,
    /// `worst`, `gap`, `ratio` of the metric, `demographic_parity_difference`, `_ratio`, `equal_opportunity_difference`,
    /// `_ratio`, `equalized_odds_difference`, `_ratio` (worst case), both also with `_mean`, `bias_amplification` of the
    /// dense model.
    pub dense: Figures,
    /// The same of the small model.
    pub small: Figures,
    /// `degradation_gap`, `max_excess_drop`, `loss_gap`.
    pub change: Figures,
}

/// The panel of a dense and a small model that gave `rows` these outputs, in the terms of a contract. `train` has the
/// classes and groups of the training rows.
///
/// # Errors
/// As [`Comparison::panel`], and columns that the rows lack.
pub fn panel_of(
    rows: &Rows,
    fairness: &Fairness,
    outputs: [&[f32]; 2],
    train: (&[usize], &GroupSet),
    seed: u64,
) -> Result<Panel> {
    let predictions = outputs.map(|o| set::classes(o, (o.len() / rows.len().max(1)).max(1)));
    let model = |m: usize| Model { predictions: &predictions[m], logits: Some(outputs[m]) };
    let clusters = fairness.cluster.as_deref().map(|c| cluster_codes(rows, Some(c))).transpose()?;
    let comparison = Comparison {
        y: &rows.y,
        classes: rows.classes,
        dense: model(0),
        small: model(1),
        groups: &parse_groups(rows, &fairness.groups)?,
        entries: &fairness.groups,
        metric: fairness.metric,
        clusters: clusters.as_deref(),
        train: Some(train),
        confidence: fairness.confidence,
        replicates: REPLICATES,
        seed,
    };
    comparison.panel()
}

impl Comparison<'_> {
    /// Computes everything.
    ///
    /// # Errors
    /// Sizes that do not fit, classes without an output, outputs that are not finite.
    pub fn panel(&self) -> Result<Panel> {
        let basis = Basis::new(self)?;
        let all: Vec<usize> = (0..self.y.len()).collect();
        let point = tallies(&basis, &all);
        let mut panel = self.frame(&basis, &point);
        self.fill_exact(&basis, &mut panel);
        self.fill_bootstrapped(&basis, &point, &mut panel);
        Ok(panel)
    }

    fn clusters_of(&self, rows: &[usize]) -> Option<usize> {
        self.clusters.map(|c| rows.iter().map(|&i| c[i]).collect::<BTreeSet<_>>().len())
    }

    /// The panel without values.
    fn frame(&self, basis: &Basis<'_>, point: &[Tally]) -> Panel {
        let all: Vec<usize> = (0..self.y.len()).collect();
        let group = |name: &str, entry: &str, rows: &[usize]| GroupPanel {
            group: name.to_owned(),
            entry: entry.to_owned(),
            n: rows.len(),
            clusters: self.clusters_of(rows),
            dense: Figures::new(),
            small: Figures::new(),
            change: Figures::new(),
        };
        let entry = |entry: &String| EntryPanel {
            entry: entry.clone(),
            dense: Figures::new(),
            small: Figures::new(),
            change: Figures::new(),
        };
        let groups = self.groups.groups.iter().zip(&basis.entry_of);
        Panel {
            rows: all.len(),
            clusters: self.clusters_of(&all),
            classes: basis.classes,
            metric: self.metric,
            confidence: self.confidence,
            replicates: self.replicates,
            seed: self.seed,
            everybody: group("everybody", "", &all),
            groups: groups.map(|(g, &e)| group(&g.name, &self.entries[e], &g.rows)).collect(),
            entries: self.entries.iter().map(entry).collect(),
            exemplars: None,
            similarity: None,
            notes: notes(basis, point),
        }
    }

    /// Shares of rows.
    fn fill_exact(&self, basis: &Basis<'_>, panel: &mut Panel) {
        let all: Vec<usize> = (0..self.y.len()).collect();
        let rows = || self.groups.groups.iter().map(|g| &g.rows).chain([&all]);
        let sets = rows().filter(|r| !r.is_empty()).count().max(1);
        let shares = Shares { basis, alpha: (1.0 - self.confidence) / (2 * sets) as f64 };
        for (g, rows) in panel.groups.iter_mut().chain([&mut panel.everybody]).zip(rows()) {
            g.dense = shares.of_model(self.dense.predictions, rows);
            g.small = shares.of_model(self.small.predictions, rows);
            g.change = shares.of_change(rows);
        }
    }

    /// All other figures.
    fn fill_bootstrapped(&self, basis: &Basis<'_>, point: &[Tally], panel: &mut Panel) {
        let blocks = blocks();
        let of = |tallies: &[Tally]| values(&View { basis, tallies }, &blocks);
        let estimates = of(point);
        let units = units(self.y.len(), self.clusters);
        let draws = bootstrap(&units, self.replicates, self.seed, self.confidence, |rows| of(&tallies(basis, rows)));
        let mut begin = 0;
        for block in &blocks {
            let family: Vec<usize> = (begin..begin + block.items(basis)).collect();
            begin += family.len();
            let intervals = match block.scope {
                Scope::Group => draws.simultaneous(&family),
                Scope::Entry => family.iter().map(|&k| draws.interval(k)).collect(),
            };
            for ((item, k), interval) in family.into_iter().enumerate().zip(intervals) {
                let value = Some(estimates[k]).filter(|v| !v.is_nan());
                // No interval of what has no value on the rows themselves.
                let [lower, upper] = value.and(interval).map_or([None, None], |i| i.map(Some));
                let maps = panel.maps(block.scope, item);
                let map = match block.part {
                    Part::Dense => maps.0,
                    Part::Small => maps.1,
                    Part::Change => maps.2,
                };
                map.insert(block.name.to_owned(), Bounded { value, lower, upper });
            }
        }
    }
}

impl Panel {
    /// Dense, small and change of an item.
    fn maps(&mut self, scope: Scope, item: usize) -> (&mut Figures, &mut Figures, &mut Figures) {
        match scope {
            Scope::Group => {
                let everybody = &mut self.everybody;
                let g = self.groups.get_mut(item).unwrap_or(everybody);
                (&mut g.dense, &mut g.small, &mut g.change)
            }
            Scope::Entry => {
                let e = &mut self.entries[item];
                (&mut e.dense, &mut e.small, &mut e.change)
            }
        }
    }
}

/// Conventions, and what is left out.
fn notes(basis: &Basis<'_>, point: &[Tally]) -> Vec<String> {
    let convention = match basis.classes {
        2 => "demographic parity, equal opportunity and equalized odds as fairlearn has them, class 1 positive",
        _ => {
            "demographic parity and equal opportunity are means over classes, equalized odds over all cells of true and \
             predicted class (Dominguez-Catena et al.), its worst case the largest"
        }
    };
    let mut notes = vec![convention.to_owned()];
    let clusters = basis.of.clusters.map(|c| c.iter().collect::<BTreeSet<_>>().len());
    if let Some(n) = clusters.filter(|n| *n < FEW_CLUSTERS) {
        notes.push(format!(
            "with {n} clusters the bootstrap's intervals are too short; those of shares and drops are not"
        ));
    }
    if let Some(everybody) = point.last() {
        let dense = rates(&everybody.models[0].confusion);
        let dropped: Vec<String> =
            (0..dense.len()).filter(|&c| dense[c].fpr <= 0.0 || dense[c].fnr <= 0.0).map(|c| c.to_string()).collect();
        if !dropped.is_empty() {
            notes.push(format!(
                "CEV and SDE of everybody leave out the classes {}: without an error of the dense model there is no \
                 relative change",
                dropped.join(", ")
            ));
        }
    }
    notes
}
