//! Rows that pruning treats otherwise, over several runs (seeds) of one method.

use super::metrics::mean;
use super::stats::two_sided_t;
use super::table::{align, number, percent};
use crate::data::GroupSet;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often several runs treat rows otherwise than the dense model, by group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exemplars {
    /// Small models compared.
    pub runs: usize,
    /// All rows.
    pub everybody: Share,
    /// Every group with rows.
    pub groups: BTreeMap<String, Share>,
}

/// Of one group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Share of rows that are [`modal_exemplars`].
    pub modal: f64,
    /// Share of rows where [`all_disagree`].
    pub all_disagree: f64,
    /// Mean [`taxicab`] distance, 0 to 2.
    pub taxicab: f64,
}

impl Exemplars {
    /// Of one dense model and the small models that were made from it with different seeds.
    ///
    /// # Errors
    /// As [`modal_exemplars`].
    pub fn new(dense: &[usize], small: &Runs<'_>, groups: &GroupSet) -> Result<Self> {
        let marks = |rows: Vec<usize>| {
            let mut marks = vec![0.0; dense.len()];
            rows.into_iter().for_each(|i| marks[i] = 1.0);
            marks
        };
        let (modal, all) = (marks(modal_exemplars(&[dense], small)?), marks(all_disagree(dense, small)?));
        let taxicab = taxicab(&[dense], small)?;
        let of = |rows: &mut dyn Iterator<Item = usize>| {
            let rows: Vec<usize> = rows.collect();
            let mean = |v: &[f64]| mean(rows.iter().map(|&i| v[i])).unwrap_or(0.0);
            Share { modal: mean(&modal), all_disagree: mean(&all), taxicab: mean(&taxicab) }
        };
        Ok(Exemplars {
            runs: small.len(),
            everybody: of(&mut (0..dense.len())),
            groups: groups.groups.iter().map(|g| (g.name.clone(), of(&mut g.rows.iter().copied()))).collect(),
        })
    }
}

/// The groups as text; ends with a newline.
pub(super) fn table(x: &Exemplars) -> String {
    let head = [&format!("exemplars of {} runs", x.runs), "modal class differs", "all runs differ", "taxicab"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let all = [("everybody".to_owned(), x.everybody)];
    for (name, s) in x.groups.iter().map(|(n, s)| (n.clone(), *s)).chain(all) {
        rows.push(vec![name, percent(Some(s.modal)), percent(Some(s.all_disagree)), number(s.taxicab)]);
    }
    align(&rows)
}

/// Predicted class per row, of each run.
pub type Runs<'a> = [&'a [usize]];

/// Checks that there is a run, and that all runs have `rows` predictions.
fn check(runs: &Runs<'_>, rows: usize) -> Result<()> {
    match runs.iter().position(|r| r.len() != rows) {
        _ if runs.is_empty() => Err(Error::new("no run of one of the two models")),
        Some(k) => Err(Error::new(format!("run {k} has {} predictions for {rows} rows", runs[k].len()))),
        None => Ok(()),
    }
}

fn rows(runs: &Runs<'_>) -> usize {
    runs.first().map_or(0, |r| r.len())
}

/// Runs that give a row each class.
fn votes(runs: &Runs<'_>, row: usize) -> Vec<usize> {
    let mut votes = vec![0; runs.iter().map(|r| r[row] + 1).max().unwrap_or(0)];
    runs.iter().for_each(|r| votes[r[row]] += 1);
    votes
}

/// The class that most runs give a row, the lowest of equal ones.
fn modal(votes: &[usize]) -> usize {
    (0..votes.len()).rev().max_by_key(|&c| votes[c]).unwrap_or(0)
}

/// Pruning-identified exemplars (Hooker et al., arXiv 1911.05248; CIE in 2010.03058): rows whose modal class over the
/// dense runs and over the small runs differ. They used 30 runs each; with one dense run this is its class.
///
/// # Errors
/// No run, and runs of different rows.
pub fn modal_exemplars(dense: &Runs<'_>, small: &Runs<'_>) -> Result<Vec<usize>> {
    let rows = rows(dense);
    check(dense, rows)?;
    check(small, rows)?;
    Ok((0..rows).filter(|&i| modal(&votes(dense, i)) != modal(&votes(small, i))).collect())
}

/// Taxicab CIE (Hooker et al., arXiv 2010.03058) per row: `Σ_c |share of dense runs that say c - share of small runs|`,
/// 0 to 2. Of shares instead of counts, so that there may be more runs of one than of the other.
///
/// # Errors
/// As [`modal_exemplars`].
pub fn taxicab(dense: &Runs<'_>, small: &Runs<'_>) -> Result<Vec<f64>> {
    let rows = rows(dense);
    check(dense, rows)?;
    check(small, rows)?;
    let distance = |row: usize| {
        let (d, s) = (votes(dense, row), votes(small, row));
        let share =
            |votes: &[usize], runs: &Runs<'_>, c: usize| votes.get(c).map_or(0.0, |v| *v as f64 / runs.len() as f64);
        (0..d.len().max(s.len())).map(|c| (share(&d, dense, c) - share(&s, small, c)).abs()).sum()
    };
    Ok((0..rows).map(distance).collect())
}

/// Exemplars as Simon Says counts them (Blakeney et al., arXiv 2106.07849): rows where every small run disagrees with
/// the dense model.
///
/// # Errors
/// As [`modal_exemplars`].
pub fn all_disagree(dense: &[usize], small: &Runs<'_>) -> Result<Vec<usize>> {
    check(small, dense.len())?;
    Ok((0..dense.len()).filter(|&i| small.iter().all(|r| r[i] != dense[i])).collect())
}

/// Per class, how likely so large a change of its accuracy is if pruning changes all classes alike (Hooker et al.):
/// Welch's t-test of the class's accuracy over the runs, less the mean accuracy over all rows and runs of that model.
/// `None` for a class without rows, fewer than two runs, or runs that do not vary.
///
/// # Errors
/// As [`modal_exemplars`].
pub fn class_p_values(y: &[usize], dense: &Runs<'_>, small: &Runs<'_>, classes: usize) -> Result<Vec<Option<f64>>> {
    check(dense, y.len())?;
    check(small, y.len())?;
    let accuracy = |run: &[usize], class: Option<usize>| {
        let counted = y.iter().zip(run).filter(|(y, _)| class.is_none_or(|c| **y == c));
        mean(counted.map(|(y, p)| f64::from(u8::from(y == p))))
    };
    let changes = |runs: &Runs<'_>, class: usize| -> Option<Vec<f64>> {
        let overall = mean(runs.iter().filter_map(|r| accuracy(r, None)))?;
        runs.iter().map(|r| accuracy(r, Some(class)).map(|a| a - overall)).collect()
    };
    Ok((0..classes).map(|c| welch(&changes(dense, c)?, &changes(small, c)?)).collect())
}

/// Two-sided p-value of Welch's t-test.
fn welch(a: &[f64], b: &[f64]) -> Option<f64> {
    let moments = |v: &[f64]| {
        let (n, m) = (v.len() as f64, mean(v.iter().copied())?);
        (n > 1.0).then(|| (m, v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (n - 1.0) / n, n - 1.0))
    };
    let ((ma, va, da), (mb, vb, db)) = (moments(a)?, moments(b)?);
    let variance = va + vb;
    let df = variance * variance / (va * va / da + vb * vb / db);
    (variance > 0.0).then(|| two_sided_t((ma - mb) / variance.sqrt(), df))
}
