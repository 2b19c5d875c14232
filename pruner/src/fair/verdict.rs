//! The verdict: does the int8 model keep the contract for every group?
//!
//! [`judge`] is the only reader of the verdict split, and consumes it. Every number that can make or break the
//! contract comes with one-sided bounds that hold for all groups and clauses at once (Bonferroni: `alpha` is shared
//! among the bounds that must hold). PASS when every bound keeps its limit, FAIL when a bound on the other side breaks
//! one, UNDECIDED otherwise, with the data that is missing.

use super::evaluate::{Entry, evaluate};
use super::metrics::{Predictions, sign};
use crate::contract::{Contract, Metric};
use crate::data::groups::{Group, UNKNOWN, check_told_apart, cluster_codes};
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

impl Verdict {
    /// What is there before anything is known.
    pub(crate) fn empty() -> Self {
        Verdict {
            verdict: Outcome::Undecided,
            confidence: 0.0,
            metric: Metric::Accuracy,
            limits: Limits { max_excess_drop: 0.0, max_gap: None, min_metric: None },
            cluster: None,
            bounds: 0,
            overall: Overall {
                rows: 0,
                n: 0,
                clusters: None,
                dense: None,
                pruned: None,
                int8: None,
                harmful_flips: None,
                churn: None,
            },
            groups: Vec::new(),
            worst_group: None,
            gap: Gap { limit: None, verdict: None, entries: Vec::new() },
            levelled_down: LevelledDown { value: false, entries: Vec::new(), text: String::new() },
            notes: Vec::new(),
        }
    }
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

/// Finds out early whether these rows, of the same data set as the verdict's, have all that the contract asks for.
///
/// # Errors
/// As [`judge`], groups that tell nobody apart, and groups that are the classes where the metric counts rows of one class only.
pub fn check(rows: &Rows, contract: &Contract) -> Result<()> {
    entries(rows, contract)?;
    let fairness = &contract.fairness;
    if let Some(class) = fairness.metric.class() {
        let set = parse_groups(rows, &fairness.groups)?;
        if let Some(k) = (0..fairness.groups.len()).find(|k| set.are_classes(*k, &rows.y)) {
            return Err(Error::new(format!(
                "groups `{}` are the classes, and the metric {} counts rows by whether they are of class {class}",
                fairness.groups[k], fairness.metric
            ))
            .help("take accuracy, which is each class's recall then"));
        }
    }
    check_told_apart(rows, &contract.fairness.groups)
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
    clusters(rows, contract)?;
    let set = parse_groups(rows, &fairness.groups)?;
    let mut entries: Vec<Entry> = (fairness.groups.iter().enumerate())
        .map(|(k, spec)| {
            let groups = set.of_entry(k).into_iter().filter_map(|g| set.groups.get(g).cloned()).collect();
            Entry { name: spec.clone(), groups }
        })
        .collect();
    add_absent(rows, &mut entries);
    Ok(entries)
}

/// Adds a group without rows for every value of a named column that these rows lack but the data set has: the verdict
/// must say that it knows nothing of these people.
fn add_absent(rows: &Rows, entries: &mut [Entry]) {
    let mut seen = std::collections::BTreeSet::new();
    // Entries of one column first, so that a value is missed once, where its column stands alone.
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&k| entries[k].name.matches('*').count());
    for k in order {
        let names: Vec<String> = entries[k].name.split('*').map(|n| n.trim().to_owned()).collect();
        for name in names.into_iter().filter(|n| seen.insert(n.clone())) {
            let Some(column) = rows.columns.get(&name) else { continue };
            let present: std::collections::BTreeSet<u32> = column.codes.iter().copied().collect();
            // Nobody is missed when there is nobody whose value is unknown.
            let missed = |(v, code): &(&String, u32)| !present.contains(code) && v.as_str() != UNKNOWN;
            let absent = column.values.iter().zip(0u32..).filter(missed);
            entries[k].groups.extend(absent.map(|(v, _)| Group { name: format!("{name}={v}"), rows: vec![] }));
        }
    }
}

/// The cluster of each row, where the contract names a column for it.
fn clusters(rows: &Rows, contract: &Contract) -> Result<Option<Vec<u32>>> {
    contract.fairness.cluster.as_deref().map(|name| cluster_codes(rows, Some(name))).transpose()
}

fn verdict(rows: &Rows, contract: &Contract, entries: &[Entry], predictions: &Predictions) -> Result<Verdict> {
    predictions.check(rows.len())?;
    let fairness = &contract.fairness;
    let clusters = clusters(rows, contract)?;
    let mut verdict = evaluate(&rows.y, entries, clusters.as_deref(), predictions, fairness);
    verdict.notes.extend(unknown_notes(rows, contract));
    Ok(verdict)
}

/// Says of each column of the contract how many rows have no known value in it, and where only other splits have such.
fn unknown_notes(rows: &Rows, contract: &Contract) -> Vec<String> {
    let names: std::collections::BTreeSet<&str> =
        contract.fairness.groups.iter().flat_map(|g| g.split('*')).map(str::trim).collect();
    let count = |name: &str| {
        let column = rows.columns.get(name)?;
        let unknown = column.values.iter().position(|v| v == UNKNOWN)? as u32;
        Some(column.codes.iter().filter(|c| **c == unknown).count())
    };
    let note = |name: &str| {
        // A column lists the values of all splits.
        count(name).map(|n| match n {
            0 => format!(
                "`{name}` is unknown in rows of other splits, but in none of these {}: what happens to people whose \
                 `{name}` nobody knows was not measured, and this verdict says nothing of them.",
                rows.len()
            ),
            n => format!(
                "`{name}` is unknown in {n} of {} rows: they are a group of their own, `{name}={UNKNOWN}`, that must \
                 keep the contract like any other, and whether the known groups would keep it with these people among \
                 them is not known.",
                rows.len()
            ),
        })
    };
    names.into_iter().filter_map(note).collect()
}

/// A verdict on made-up rows of class 0, for tests of what shows verdicts.
#[cfg(test)]
pub(crate) fn sample_verdict(
    contract: &Contract,
    groups: Vec<(&str, Vec<Group>)>,
    dense: Vec<usize>,
    small: Vec<usize>,
) -> Verdict {
    let entries: Vec<Entry> = groups.into_iter().map(|(n, groups)| Entry { name: n.to_owned(), groups }).collect();
    let p = Predictions { dense, pruned: small.clone(), int8: small };
    evaluate(&vec![0; p.dense.len()], &entries, None, &p, &contract.fairness)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Data, Values, load_bytes, synth, to_bytes};

    fn contract(extra: &str) -> Contract {
        Contract::parse(&format!("[fairness]\ngroups = [\"site\", \"site*age_band\"]\nmax_excess_drop = 0.05\n{extra}"))
            .unwrap()
    }

    fn data() -> Data {
        let spec = synth::SynthSpec { rows_per_subject: 40, seed: 3, ..Default::default() };
        load_bytes(&to_bytes(&synth::generate(&spec).unwrap()).unwrap()).unwrap()
    }

    fn right(rows: &Rows) -> Predictions {
        Predictions { dense: rows.y.clone(), pruned: rows.y.clone(), int8: rows.y.clone() }
    }

    #[test]
    fn the_split_is_judged_once_with_its_columns() {
        let split = data().verdict;
        let n = split.len();
        let v = judge(split, &contract("cluster = \"subject\""), |rows| Ok(right(rows))).unwrap();
        assert_eq!((v.overall.n, v.overall.int8, v.cluster.as_deref()), (n, Some(1.0), Some("subject")));
        let ankle = v.groups.iter().find(|g| g.group == "site=ankle").unwrap();
        assert_eq!((ankle.entry.as_str(), ankle.clusters, ankle.excess_drop.value), ("site", Some(2), Some(0.0)));
        // Two people, however alike, prove little; rows that count as independent prove much.
        assert_eq!(ankle.verdict, Outcome::Undecided);
        let v = judge(data().verdict, &contract(""), |rows| Ok(right(rows))).unwrap();
        assert!(v.groups.iter().any(|g| g.group == "site=wrist" && g.clusters.is_none() && g.verdict == Outcome::Pass));
        assert!(v.groups.iter().all(|g| (g.entry == "site") != g.group.contains('*')));
    }

    #[test]
    fn values_that_the_rows_lack_are_undecided() {
        let rows = data().select;
        let site = &rows.columns["site"];
        let wrist = site.values.iter().position(|v| v == "wrist").unwrap() as u32;
        let kept: Vec<usize> = (0..rows.len()).filter(|&i| site.codes[i] == wrist).collect();
        let rows = rows.subset(&kept);
        let v = judge_selection(&rows, &contract(""), &right(&rows)).unwrap();
        let absent: Vec<_> = v.groups.iter().filter(|g| g.rows == 0).collect();
        assert_eq!(absent.iter().filter(|g| g.group == "site=ankle").count(), 1);
        assert_eq!((v.verdict, absent[0].verdict), (Outcome::Undecided, Outcome::Undecided));
    }

    #[test]
    fn people_of_unknown_groups_are_a_group() {
        // Every way to say that nobody knows, as a file has it.
        let mut parts =
            synth::generate(&synth::SynthSpec { rows_per_subject: 40, seed: 3, ..Default::default() }).unwrap();
        let site = parts.columns.iter_mut().find(|(name, _)| name == "site").unwrap();
        let Values::Text(sites) = &mut site.1 else { panic!("sites are texts") };
        for (i, text) in ["", "nan", "unknown", "Unknown", "<NA>"].into_iter().cycle().take(sites.len()).enumerate() {
            if i % 10 == 0 {
                sites[i] = text.to_owned();
            }
        }
        let test = parts.split.iter().enumerate().filter(|(_, s)| **s == "test");
        let n = test.filter(|(i, _)| i % 10 == 0).count();
        let split = load_bytes(&to_bytes(&parts).unwrap()).unwrap().verdict;
        let v = judge(split, &contract(""), |rows| Ok(right(rows))).unwrap();
        let unknown: Vec<_> = v.groups.iter().filter(|g| g.group == "site=unknown").collect();
        assert_eq!((unknown.len(), unknown[0].rows, v.groups.iter().filter(|g| g.group == "site=").count()), (1, n, 0));
        assert!(v.groups.iter().any(|g| g.group.starts_with("site=unknown*age_band=")));
        let text = crate::fair::table(&v);
        assert!(text.contains("site=unknown") && text.contains(&format!("`site` is unknown in {n} of")), "{text}");
        // Where these rows know every site, there is no such group and no note.
        let rows = data().select;
        let v = judge_selection(&rows, &contract(""), &right(&rows)).unwrap();
        assert!(v.notes.iter().all(|n| !n.contains("`site` is unknown")));
    }

    #[test]
    fn people_of_unknown_groups_in_other_splits_only_are_told_of() {
        let mut parts =
            synth::generate(&synth::SynthSpec { rows_per_subject: 40, seed: 3, ..Default::default() }).unwrap();
        let train = parts.split.iter().position(|s| *s == "train").unwrap();
        let site = parts.columns.iter_mut().find(|(name, _)| name == "site").unwrap();
        let Values::Text(sites) = &mut site.1 else { panic!("sites are texts") };
        sites[train] = "unknown".to_owned();
        let split = load_bytes(&to_bytes(&parts).unwrap()).unwrap().verdict;
        let v = judge(split, &contract(""), |rows| Ok(right(rows))).unwrap();
        assert!(v.groups.iter().all(|g| g.group != "site=unknown"));
        let of_site: Vec<_> =
            v.notes.iter().filter(|n| n.contains("`site` is unknown in rows of other splits")).collect();
        assert_eq!(of_site.len(), 1, "{:?}", v.notes);
    }

    #[test]
    fn what_the_data_cannot_answer_is_an_error() {
        let fail = |extra: &str| {
            let never = |_: &Rows| -> Result<Predictions> { panic!("asked for predictions") };
            judge(data().verdict, &contract(extra), never).unwrap_err().to_string()
        };
        assert!(fail("metric = \"recall:4\"").contains("class 4"));
        assert!(fail("metric = \"fpr:1\"\nmin_metric = 0.5").contains("less is better"));
        assert!(fail("cluster = \"person\"").contains("person"));
        let rows = data().select;
        let short = Predictions { int8: vec![], ..right(&rows) };
        assert!(judge_selection(&rows, &contract(""), &short).unwrap_err().to_string().contains("int8"));
    }
}
