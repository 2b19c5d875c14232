//! The verdict: does the int8 model keep the contract for every group?
//!
//! [`judge`] is the only reader of the verdict split, and consumes it. Every number that can make or break the
//! contract comes with one-sided bounds that hold for all groups and clauses at once (Bonferroni: `alpha` is shared
//! among the bounds that must hold). PASS when every bound keeps its limit, FAIL when a bound on the other side breaks
//! one, UNDECIDED otherwise, with the data that is missing.

use super::evaluate::{Entry, evaluate};
use super::metrics::{Predictions, sign};
use crate::contract::{Contract, Metric};
use crate::data::{Rows, VerdictSplit, parse_groups};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a verdict says. Ordered from good to bad, so the verdict of many is their maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Every bound keeps its limit.
    Pass,
    /// The data cannot tell.
    Undecided,
    /// Some bound breaks its limit.
    Fail,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Pass => "PASS",
            Outcome::Undecided => "UNDECIDED",
            Outcome::Fail => "FAIL",
        })
    }
}

/// An estimate with one-sided bounds. `None` (null) means: no value without rows, no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounded {
    /// The estimate.
    pub value: Option<f64>,
    /// Lower bound.
    pub lower: Option<f64>,
    /// Upper bound.
    pub upper: Option<f64>,
}

/// The verdict and all that it rests on. As JSON it has the keys that other tools rely on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of the contract as a whole.
    pub verdict: Outcome,
    /// Confidence that all bounds hold at once.
    pub confidence: f64,
    /// The contract's metric.
    pub metric: Metric,
    /// The contract's limits.
    pub limits: Limits,
    /// Column of the clusters; `None` when rows count as independent.
    pub cluster: Option<String>,
    /// Number of bounds that share `1 - confidence`.
    pub bounds: usize,
    /// Everybody.
    pub overall: Overall,
    /// Every group, in the contract's order.
    pub groups: Vec<GroupVerdict>,
    /// The group that the int8 model serves worst.
    pub worst_group: Option<WorstGroup>,
    /// Best group less worst group.
    pub gap: Gap,
    /// Whether the gap closed because everybody lost.
    pub levelled_down: LevelledDown,
    /// What a reader should know besides.
    pub notes: Vec<String>,
}

/// The fairness limits of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// On every excess drop.
    pub max_excess_drop: f64,
    /// On every gap.
    pub max_gap: Option<f64>,
    /// Under every group's metric.
    pub min_metric: Option<f64>,
}

/// All rows together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overall {
    /// Rows of the split.
    pub rows: usize,
    /// Rows that the metric counts.
    pub n: usize,
    /// Clusters among them.
    pub clusters: Option<usize>,
    /// Metric of the dense model.
    pub dense: Option<f64>,
    /// Metric of the pruned model in f32.
    pub pruned: Option<f64>,
    /// Metric of the int8 model.
    pub int8: Option<f64>,
    /// Share of rows that dense gets right and int8 wrong.
    pub harmful_flips: Option<f64>,
    /// Share of rows that dense and int8 predict differently.
    pub churn: Option<f64>,
}

/// One group. Intervals have the level of the verdict's bounds on each side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupVerdict {
    /// Its name, e.g. `gender=female`.
    pub group: String,
    /// The contract's entry that it belongs to, e.g. `gender`.
    pub entry: String,
    /// Its rows.
    pub rows: usize,
    /// Those that the metric counts.
    pub n: usize,
    /// Clusters among them; `None` when rows count as independent.
    pub clusters: Option<usize>,
    /// Metric of the dense model.
    pub dense: Option<f64>,
    /// Metric of the pruned model in f32.
    pub pruned: Option<f64>,
    /// Metric of the int8 model.
    pub int8: Option<f64>,
    /// Interval of `dense`.
    pub dense_interval: [f64; 2],
    /// Interval of `pruned`.
    pub pruned_interval: [f64; 2],
    /// Interval of `int8`.
    pub int8_interval: [f64; 2],
    /// The group's own change, dense to int8; positive is harm. Each bound holds at `confidence` by itself.
    pub drop: Bounded,
    /// Its drop less the drop of everybody; positive is harm.
    pub excess_drop: Bounded,
    /// Share of its rows that dense gets right and int8 wrong.
    pub harmful_flips: Option<f64>,
    /// Share of its rows that dense and int8 predict differently.
    pub churn: Option<f64>,
    /// About how many more rows decide, for an undecided group that more data may let pass.
    pub samples_missing: Option<u64>,
    /// About how many more clusters decide.
    pub clusters_missing: Option<u64>,
    /// Of this group.
    pub verdict: Outcome,
    /// The verdict in words, where it needs some.
    pub words: String,
}

/// The group that a model serves worst.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstGroup {
    /// Its name.
    pub group: String,
    /// Metric of the int8 model.
    pub int8: f64,
    /// Metric of the dense model.
    pub dense: f64,
}

/// Gaps between groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The contract's limit.
    pub limit: Option<f64>,
    /// `None` when the contract has no limit.
    pub verdict: Option<Outcome>,
    /// Per entry of the contract with at least two groups that have rows.
    pub entries: Vec<EntryGap>,
}

/// The gap within one entry of the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryGap {
    /// The entry, e.g. `gender`.
    pub entry: String,
    /// Its best group, int8.
    pub best: String,
    /// Its worst group, int8.
    pub worst: String,
    /// Best less worst of the dense model.
    pub dense: f64,
    /// Best less worst of the int8 model.
    pub int8: f64,
    /// Lower bound over all pairs; only with a limit.
    pub lower: Option<f64>,
    /// Upper bound over all pairs; only with a limit.
    pub upper: Option<f64>,
    /// `None` when the contract has no limit.
    pub verdict: Option<Outcome>,
    /// The verdict in words, where it needs some.
    pub words: String,
}

/// Levelling down: in some entry the gap is smaller than the dense model's while every group got worse, each beyond
/// noise (the lower bound of its own drop is over 0 at the verdict's confidence).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelledDown {
    /// Whether it happened.
    pub value: bool,
    /// Entries where it did.
    pub entries: Vec<String>,
    /// One sentence.
    pub text: String,
}

/// Judges the int8 model on the verdict split, which this consumes: there is no second try on the same rows.
/// `predict` gets the rows and returns each model's predictions.
///
/// # Errors
/// A contract that the data cannot answer (unknown columns, a class that is not there), predictions that do not fit
/// the rows, and what `predict` returns.
pub fn judge(
    split: VerdictSplit,
    contract: &Contract,
    predict: impl FnOnce(&Rows) -> Result<Predictions>,
) -> Result<Verdict> {
    let rows = split.open();
    let entries = entries(&rows, contract)?;
    let predictions = predict(&rows)?;
    verdict(&rows, contract, &entries, &predictions)
}

/// The same on rows to select on. It guides the search and proves nothing: the search has seen these rows.
///
/// # Errors
/// As [`judge`].
pub fn judge_selection(rows: &Rows, contract: &Contract, predictions: &Predictions) -> Result<Verdict> {
    verdict(rows, contract, &entries(rows, contract)?, predictions)
}

/// Groups per entry of the contract, once all that the contract asks of the data is known to be there.
fn entries(rows: &Rows, contract: &Contract) -> Result<Vec<Entry>> {
    let fairness = &contract.fairness;
    if let Some(class) = fairness.metric.class().filter(|c| *c >= rows.classes) {
        return Err(Error::new(format!(
            "[fairness] metric names class {class}, the data has {} classes",
            rows.classes
        ))
        .help(format!("use a class from 0 to {}", rows.classes.saturating_sub(1))));
    }
    if sign(fairness.metric) < 0.0 && fairness.min_metric.is_some() {
        return Err(Error::new("[fairness] min_metric is a floor, and less is better for a false-positive rate")
            .help("remove min_metric, or bound the recall instead"));
    }
    if let Some(name) = fairness.cluster.as_ref().filter(|name| !rows.columns.contains_key(*name)) {
        let known = rows.columns.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Error::new(format!("[fairness] cluster = \"{name}\" is not a column of the data"))
            .help(format!("the columns are: {known}")));
    }
    let parse = |spec: &String| {
        let set = parse_groups(rows, std::slice::from_ref(spec))?;
        Ok(Entry { name: spec.clone(), groups: set.groups })
    };
    fairness.groups.iter().map(parse).collect()
}

fn verdict(rows: &Rows, contract: &Contract, entries: &[Entry], predictions: &Predictions) -> Result<Verdict> {
    predictions.check(rows.len(), rows.classes)?;
    let fairness = &contract.fairness;
    let clusters = fairness.cluster.as_ref().and_then(|c| rows.columns.get(c)).map(|c| c.codes.as_slice());
    if clusters.is_some_and(|c| c.len() != rows.len()) {
        return Err(Error::new("the cluster column has not one value per row"));
    }
    Ok(evaluate(&rows.y, entries, clusters, predictions, fairness))
}

/// A verdict on made-up rows of class 0, for tests of what shows verdicts.
#[cfg(test)]
pub(crate) fn sample_verdict(
    contract: &Contract,
    groups: Vec<(&str, Vec<crate::data::groups::Group>)>,
    dense: Vec<usize>,
    small: Vec<usize>,
) -> Verdict {
    let entries: Vec<Entry> = groups.into_iter().map(|(n, groups)| Entry { name: n.to_owned(), groups }).collect();
    let p = Predictions { dense, pruned: small.clone(), int8: small };
    evaluate(&vec![0; p.dense.len()], &entries, None, &p, &contract.fairness)
}
