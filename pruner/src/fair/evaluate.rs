//! Puts the bounds of a verdict together: which contrasts there are, at which level, and what follows.

use super::contrast::{Contrast, Stratum, Values, contrast};
use super::metrics::{Predictions, cells, churn, harmful_flips, hit, sign, value};
use super::verdict::*;
use crate::contract::{Fairness, Metric};
use crate::data::groups::Group;
use std::collections::BTreeSet;

/// One entry of the contract's `groups`, with the groups that it makes. They do not overlap.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As the contract writes it.
    pub name: String,
    /// Its groups.
    pub groups: Vec<Group>,
}

/// What all contrasts of a verdict share.
struct Setting<'a> {
    y: &'a [usize],
    all: Vec<usize>,
    clusters: Option<&'a [u32]>,
    predictions: &'a Predictions,
    fairness: &'a Fairness,
    /// Per row, `sign · (hit of dense - hit of int8)`.
    drops: Vec<f64>,
    /// Per row, the hit of the int8 model.
    hits: Vec<f64>,
    /// Level of one bound.
    alpha: f64,
}

/// The verdict; `predictions` fit the rows.
pub(super) fn evaluate(
    y: &[usize],
    entries: &[Entry],
    clusters: Option<&[u32]>,
    predictions: &Predictions,
    fairness: &Fairness,
) -> Verdict {
    let metric = fairness.metric;
    let bounds = count_bounds(y, entries, fairness);
    let hits =
        |pred: &[usize]| -> Vec<f64> { y.iter().zip(pred).map(|(&y, &p)| hit(metric, y, p).unwrap_or(0.0)).collect() };
    let (dense, int8) = (hits(&predictions.dense), hits(&predictions.int8));
    let s = Setting {
        y,
        all: (0..y.len()).collect(),
        clusters,
        predictions,
        fairness,
        drops: dense.iter().zip(&int8).map(|(d, i)| sign(metric) * (d - i)).collect(),
        hits: int8,
        alpha: (1.0 - fairness.confidence) / bounds.max(1) as f64,
    };
    let groups: Vec<GroupVerdict> =
        entries.iter().flat_map(|e| e.groups.iter().map(|g| s.group(&e.name, g)).collect::<Vec<_>>()).collect();
    let gaps: Vec<EntryGap> = entries.iter().filter_map(|e| s.entry_gap(e)).collect();
    let gap = Gap {
        limit: fairness.max_gap,
        verdict: fairness.max_gap.map(|_| gaps.iter().filter_map(|g| g.verdict).max().unwrap_or(Outcome::Pass)),
        entries: gaps,
    };
    let verdict = groups.iter().map(|g| g.verdict).chain(gap.verdict).max().unwrap_or(Outcome::Undecided);
    Verdict {
        verdict,
        confidence: fairness.confidence,
        metric,
        limits: Limits {
            max_excess_drop: fairness.max_excess_drop,
            max_gap: fairness.max_gap,
            min_metric: fairness.min_metric,
        },
        cluster: fairness.cluster.clone(),
        bounds,
        overall: s.overall(),
        worst_group: worst(&groups, metric),
        levelled_down: levelled_down(&groups, &gap.entries),
        notes: notes(y, entries, &groups, metric),
        gap,
        groups,
    }
}

/// Number of bounds that must hold at once: an excess drop per group that is not everybody, a floor per group, a gap
/// per pair of groups. Groups without rows have no bound and take no share of `alpha`.
fn count_bounds(y: &[usize], entries: &[Entry], fairness: &Fairness) -> usize {
    let counted = |rows: &[usize]| cells(fairness.metric, y, rows).iter().map(|c| c.1.len()).sum::<usize>();
    let everybody = counted(&(0..y.len()).collect::<Vec<_>>());
    entries
        .iter()
        .map(|e| {
            let sizes: Vec<usize> = e.groups.iter().map(|g| counted(&g.rows)).filter(|n| *n > 0).collect();
            let k = sizes.len();
            sizes.iter().filter(|n| **n < everybody).count()
                + fairness.min_metric.map_or(0, |_| k)
                + fairness.max_gap.map_or(0, |_| k * k.saturating_sub(1) / 2)
        })
        .sum()
}

/// Strata of the metric of `rows`, each weighed with `factor`.
fn metric_strata(metric: Metric, y: &[usize], rows: &[usize], factor: f64, side: usize) -> Vec<Stratum> {
    let cells = cells(metric, y, rows);
    let weight = factor / cells.len().max(1) as f64;
    cells.into_iter().map(|(_, rows)| Stratum { weight, rows, side }).collect()
}

/// Strata of the metric of `group` less the metric of `all`: in every cell, the group's rows and the others'.
fn excess_strata(metric: Metric, y: &[usize], group: &[usize], all: &[usize]) -> Vec<Stratum> {
    let members: BTreeSet<usize> = group.iter().copied().collect();
    let (of_all, present) = (cells(metric, y, all), cells(metric, y, group).len());
    let k = of_all.len() as f64;
    let mut strata = vec![];
    for (_, rows) in of_all {
        let n = rows.len() as f64;
        let (inside, outside): (Vec<_>, Vec<_>) = rows.into_iter().partition(|i| members.contains(i));
        let own = if inside.is_empty() { 0.0 } else { 1.0 / present as f64 };
        let weight = |rows: &[usize]| rows.len() as f64 / (k * n);
        strata.push(Stratum { weight: own - weight(&inside), rows: inside, side: 0 });
        strata.push(Stratum { weight: -weight(&outside), rows: outside, side: 1 });
    }
    strata
}

fn finite(v: f64) -> Option<f64> {
    v.is_finite().then_some(v)
}

fn bounded(c: &Contrast) -> Bounded {
    Bounded { value: Some(c.value), lower: finite(c.lower()), upper: finite(c.upper()) }
}

impl Setting<'_> {
    fn value(&self, pred: &[usize], rows: &[usize]) -> Option<f64> {
        value(self.fairness.metric, self.y, pred, rows)
    }

    fn counted(&self, rows: &[usize]) -> Vec<usize> {
        cells(self.fairness.metric, self.y, rows).into_iter().flat_map(|c| c.1).collect()
    }

    fn clusters_of(&self, rows: &[usize]) -> Option<usize> {
        self.clusters.map(|c| rows.iter().map(|&i| c[i]).collect::<BTreeSet<_>>().len())
    }

    fn contrast(&self, strata: &[Stratum], values: Values<'_>, alpha: f64) -> Contrast {
        contrast(strata, values, self.clusters, alpha)
    }

    fn interval(&self, pred: &[usize], rows: &[usize]) -> [f64; 2] {
        let metric = self.fairness.metric;
        let strata = metric_strata(metric, self.y, rows, 1.0, 0);
        if strata.is_empty() {
            return [0.0, 1.0];
        }
        let hits: Vec<f64> = self.y.iter().zip(pred).map(|(&y, &p)| hit(metric, y, p).unwrap_or(0.0)).collect();
        let c = self.contrast(&strata, Values::Hits(&hits), self.alpha);
        [c.lower().max(0.0), c.upper().min(1.0)]
    }

    fn overall(&self) -> Overall {
        let p = self.predictions;
        let counted = self.counted(&self.all);
        Overall {
            rows: self.all.len(),
            n: counted.len(),
            clusters: self.clusters_of(&counted),
            dense: self.value(&p.dense, &self.all),
            pruned: self.value(&p.pruned, &self.all),
            int8: self.value(&p.int8, &self.all),
            harmful_flips: harmful_flips(self.y, &p.dense, &p.int8, &self.all),
            churn: churn(&p.dense, &p.int8, &self.all),
        }
    }

    fn group(&self, entry: &str, group: &Group) -> GroupVerdict {
        let (p, rows, metric) = (self.predictions, &group.rows, self.fairness.metric);
        let counted = self.counted(rows);
        let mut g = GroupVerdict {
            group: group.name.clone(),
            entry: entry.to_owned(),
            rows: rows.len(),
            n: counted.len(),
            clusters: self.clusters_of(&counted),
            dense: self.value(&p.dense, rows),
            pruned: self.value(&p.pruned, rows),
            int8: self.value(&p.int8, rows),
            dense_interval: self.interval(&p.dense, rows),
            pruned_interval: self.interval(&p.pruned, rows),
            int8_interval: self.interval(&p.int8, rows),
            drop: Bounded::default(),
            excess_drop: Bounded::default(),
            harmful_flips: harmful_flips(self.y, &p.dense, &p.int8, rows),
            churn: churn(&p.dense, &p.int8, rows),
            samples_missing: None,
            clusters_missing: None,
            verdict: Outcome::Undecided,
            words: "no row of this group that the metric counts: nothing can be said".to_owned(),
        };
        if counted.is_empty() {
            return g;
        }
        let own = metric_strata(metric, self.y, rows, 1.0, 0);
        g.drop = bounded(&self.contrast(&own, Values::Drops(&self.drops), 1.0 - self.fairness.confidence));
        let excess =
            self.contrast(&excess_strata(metric, self.y, rows, &self.all), Values::Drops(&self.drops), self.alpha);
        g.excess_drop = bounded(&excess);
        let mut clauses = vec![self.clause("excess drop", &excess, self.fairness.max_excess_drop, true, g.n)];
        if let Some(floor) = self.fairness.min_metric {
            let c = self.contrast(&own, Values::Hits(&self.hits), self.alpha);
            clauses.push(self.clause(&metric.to_string(), &c, floor, false, g.n));
        }
        g.verdict = clauses.iter().map(|c| c.verdict).max().unwrap_or(Outcome::Undecided);
        g.words =
            clauses.iter().filter(|c| !c.words.is_empty()).map(|c| c.words.as_str()).collect::<Vec<_>>().join("; ");
        if g.verdict == Outcome::Undecided && clauses.iter().all(|c| c.verdict == Outcome::Pass || c.may_pass) {
            g.samples_missing = clauses.iter().filter_map(|c| c.samples).max();
            g.clusters_missing = clauses.iter().filter_map(|c| c.clusters).max();
        }
        g
    }

    /// One clause: `c` must stay at or under `limit` (`upward`), or at or over it.
    fn clause(&self, name: &str, c: &Contrast, limit: f64, upward: bool, n: usize) -> Clause {
        let slack = if upward { limit - c.value } else { c.value - limit };
        let (toward, away) = if upward { (c.up, c.down) } else { (c.down, c.up) };
        let mut out = Clause {
            verdict: Outcome::Undecided,
            samples: None,
            clusters: None,
            may_pass: false,
            words: String::new(),
        };
        if toward <= slack {
            out.verdict = Outcome::Pass;
        } else if -slack > away {
            out.verdict = Outcome::Fail;
            out.words = format!("{name} breaks the limit {limit} beyond doubt");
        } else if slack <= 0.0 {
            out.words =
                format!("{name}: the estimate is beyond the limit {limit}; more data would more likely show a FAIL");
        } else {
            out.may_pass = true;
            match c.growth(slack, upward) {
                Some(g) => {
                    let more = |have: usize| ((g.factor - 1.0) * have as f64).ceil().max(1.0) as u64;
                    out.samples = Some(more(n));
                    out.words = match self.clusters.and(c.clusters) {
                        None => format!("{name}: about {} more rows would decide", more(n)),
                        Some(sides) => {
                            let few = usize::from(sides[1] > 0 && sides[1] < sides[0]);
                            out.clusters = Some(more(sides[few]));
                            let who = if few == 0 { "in the group" } else { "outside the group" };
                            let column = self.fairness.cluster.as_deref().unwrap_or("cluster");
                            format!("{name}: about {} more of `{column}` {who} would decide", more(sides[few]))
                        }
                    };
                }
                None => {
                    let column = self.fairness.cluster.as_deref().unwrap_or("cluster");
                    let have = c.clusters.map_or(0, |s| if s[1] > 0 { s[0].min(s[1]) } else { s[0] });
                    out.clusters = Some(2_usize.saturating_sub(have).max(1) as u64);
                    out.words = format!(
                        "{name}: no bound from fewer than two values of `{column}` (in the group, outside it, and per \
                         class for macro_recall)"
                    );
                }
            }
        }
        out
    }

    fn entry_gap(&self, entry: &Entry) -> Option<EntryGap> {
        let (metric, p) = (self.fairness.metric, self.predictions);
        let groups: Vec<(&Group, f64, f64)> = entry
            .groups
            .iter()
            .filter_map(|g| Some((g, self.value(&p.int8, &g.rows)?, self.value(&p.dense, &g.rows)?)))
            .collect();
        let good = |v: f64| sign(metric) * v;
        let best = groups.iter().max_by(|a, b| good(a.1).total_cmp(&good(b.1)))?;
        let worst = groups.iter().min_by(|a, b| good(a.1).total_cmp(&good(b.1)))?;
        let dense = groups.iter().map(|g| g.2).fold(f64::NEG_INFINITY, f64::max)
            - groups.iter().map(|g| g.2).fold(f64::INFINITY, f64::min);
        let mut gap = EntryGap {
            entry: entry.name.clone(),
            best: best.0.name.clone(),
            worst: worst.0.name.clone(),
            dense,
            int8: (best.1 - worst.1).abs(),
            lower: None,
            upper: None,
            verdict: None,
            words: String::new(),
        };
        let Some(limit) = self.fairness.max_gap.filter(|_| groups.len() > 1) else {
            return (groups.len() > 1).then_some(gap);
        };
        let (mut lower, mut upper, mut verdict, mut words) = (0.0_f64, 0.0_f64, Outcome::Pass, vec![]);
        for (k, a) in groups.iter().enumerate() {
            for b in &groups[k + 1..] {
                // Larger first: the other sign of the same difference is further from the limit.
                let (a, b) = if a.1 >= b.1 { (a.0, b.0) } else { (b.0, a.0) };
                let mut strata = metric_strata(metric, self.y, &a.rows, 1.0, 0);
                strata.extend(metric_strata(metric, self.y, &b.rows, -1.0, 1));
                let c = self.contrast(&strata, Values::Hits(&self.hits), self.alpha);
                let name = format!("gap of {} and {}", a.name, b.name);
                let clause = self.clause(&name, &c, limit, true, a.rows.len() + b.rows.len());
                lower = lower.max(c.lower());
                upper = upper.max(c.upper());
                verdict = verdict.max(clause.verdict);
                words.extend(Some(clause.words).filter(|w| !w.is_empty()));
            }
        }
        (gap.lower, gap.upper, gap.verdict) = (Some(lower), finite(upper).map(|u| u.min(1.0)), Some(verdict));
        gap.words = words.join("; ");
        Some(gap)
    }
}

/// What one clause of the contract says of one group or pair.
struct Clause {
    verdict: Outcome,
    samples: Option<u64>,
    clusters: Option<u64>,
    /// The estimate keeps the limit, so more data may prove it.
    may_pass: bool,
    words: String,
}

fn worst(groups: &[GroupVerdict], metric: Metric) -> Option<WorstGroup> {
    let good = |g: &GroupVerdict| g.int8.map(|v| sign(metric) * v);
    let worst = groups
        .iter()
        .filter(|g| g.int8.is_some())
        .min_by(|a, b| good(a).unwrap_or(f64::INFINITY).total_cmp(&good(b).unwrap_or(f64::INFINITY)))?;
    Some(WorstGroup { group: worst.group.clone(), int8: worst.int8?, dense: worst.dense? })
}

fn levelled_down(groups: &[GroupVerdict], gaps: &[EntryGap]) -> LevelledDown {
    let worse = |g: &GroupVerdict| g.n == 0 || g.drop.lower.is_some_and(|l| l > 0.0);
    let entries: Vec<String> = gaps
        .iter()
        .filter(|e| e.int8 < e.dense && groups.iter().filter(|g| g.entry == e.entry).all(worse))
        .map(|e| e.entry.clone())
        .collect();
    let text = if entries.is_empty() {
        "No levelling down: no gap got smaller while every group got worse beyond noise.".to_owned()
    } else {
        format!(
            "Levelled down by {}: the gap got smaller, but every group got worse beyond noise; that is no gain in fairness.",
            entries.join(", ")
        )
    };
    LevelledDown { value: !entries.is_empty(), entries, text }
}

fn notes(y: &[usize], entries: &[Entry], groups: &[GroupVerdict], metric: Metric) -> Vec<String> {
    let mut notes = vec![];
    let everybody: Vec<usize> = (0..y.len()).collect();
    let classes = cells(metric, y, &everybody).len();
    for (g, verdict) in entries.iter().flat_map(|e| &e.groups).zip(groups) {
        if verdict.n > 0 && g.rows.len() == y.len() {
            notes.push(format!("{} is everybody: its excess drop is 0 by definition, so it proves nothing.", g.name));
        }
        let present = cells(metric, y, &g.rows).len();
        if present < classes && verdict.n > 0 {
            notes.push(format!(
                "{} has rows of {present} of {classes} classes; macro_recall averages over these.",
                g.name
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
