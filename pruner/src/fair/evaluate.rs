//! Puts the bounds of a verdict together: which contrasts there are, at which level, and what follows.

use super::contrast::{Contrast, Stratum, Tally, contrast, contrast_correlated, pooled_correlation};
use super::metrics::{Predictions, cells, churn, harmful_flips, hit, sign};
use super::noise::label_noise;
use super::table::number;
use super::verdict::*;
use crate::contract::Fairness;
use crate::data::groups::Group;
use clause::decide;

mod clause;

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
    clusters: Option<&'a [u32]>,
    predictions: &'a Predictions,
    fairness: &'a Fairness,
    /// Per row, the hits of the dense, the pruned and the int8 model, and `sign · (dense - int8)`.
    hits: [Vec<f64>; 3],
    drops: Vec<f64>,
    /// Everybody.
    all: Counted,
    /// Per model, how much hits of two rows of a cluster correlate, over all groups of an entry; the largest of all.
    correlation: [f64; 3],
    /// Level of one bound.
    alpha: f64,
}

/// One of the three models.
#[derive(Clone, Copy)]
enum By {
    Dense = 0,
    Pruned = 1,
    Int8 = 2,
}

/// What is counted of a set of rows.
#[derive(Clone, Debug, Default)]
struct Counted {
    rows: usize,
    /// By class for macro recall, otherwise one; none without rows that count. They weigh the same.
    cells: Vec<Cell>,
}

/// Counts of one cell.
#[derive(Clone, Debug)]
struct Cell {
    class: usize,
    hits: [Tally; 3],
    drops: Tally,
}

impl Cell {
    /// Hits of the model that ships.
    fn int8(&self) -> &Tally {
        &self.hits[By::Int8 as usize]
    }
}

impl Counted {
    /// Rows that the metric counts.
    fn n(&self) -> usize {
        self.cells.iter().map(|c| c.drops.rows as usize).sum()
    }

    /// Clusters of these rows, where there are any.
    fn clusters(&self) -> Option<usize> {
        let of = |c: &Cell| c.drops.clusters.iter().flatten().map(|c| c.code).collect::<Vec<u32>>();
        let mut codes: Vec<u32> = self.cells.iter().flat_map(of).collect();
        codes.sort_unstable();
        codes.dedup();
        Some(codes.len())
    }

    /// The metric of one model: the mean over the cells; `None` when no row counts.
    fn value(&self, model: By) -> Option<f64> {
        let sum: f64 = self.cells.iter().map(|c| &c.hits[model as usize]).map(|t| t.pos / t.rows).sum();
        (!self.cells.is_empty()).then(|| sum / self.cells.len() as f64)
    }

    /// Strata of the metric, each weighed with `factor`.
    fn strata(&self, of: impl Fn(&Cell) -> &Tally, factor: f64, side: usize) -> Vec<Stratum> {
        let weight = factor / self.cells.len().max(1) as f64;
        self.cells.iter().map(|c| Stratum { weight, tally: of(c).clone(), side }).collect()
    }

    /// Strata of the drop of these rows less the drop of `all`: in every cell, the group's rows and the others'.
    fn excess_strata(&self, all: &Counted) -> Vec<Stratum> {
        let (k, present) = (all.cells.len() as f64, self.cells.len() as f64);
        let mut strata = vec![];
        for cell in &all.cells {
            let own = self.cells.iter().find(|c| c.class == cell.class);
            let inside = own.map_or_else(|| cell.drops.without(&cell.drops), |c| c.drops.clone());
            let outside = cell.drops.without(&inside);
            let share = |t: &Tally| t.rows / (k * cell.drops.rows);
            let own = if own.is_some() { 1.0 / present } else { 0.0 };
            strata.push(Stratum { weight: own - share(&inside), tally: inside, side: 0 });
            strata.push(Stratum { weight: -share(&outside), tally: outside, side: 1 });
        }
        strata
    }
}

/// Who shares the error that the confidence allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Correction {
    /// All bounds together (Bonferroni).
    Simultaneous,
    /// Nobody: each bound errs as often as all may. A negative control of simulations.
    None,
}

/// The verdict; `predictions` fit the rows.
pub(super) fn evaluate(
    y: &[usize],
    entries: &[Entry],
    clusters: Option<&[u32]>,
    predictions: &Predictions,
    fairness: &Fairness,
) -> Verdict {
    evaluate_with(y, entries, clusters, predictions, fairness, Correction::Simultaneous)
}

/// The verdict with bounds at a level that simulations choose.
pub(super) fn evaluate_with(
    y: &[usize],
    entries: &[Entry],
    clusters: Option<&[u32]>,
    predictions: &Predictions,
    fairness: &Fairness,
    correction: Correction,
) -> Verdict {
    let metric = fairness.metric;
    let hits =
        |pred: &[usize]| -> Vec<f64> { y.iter().zip(pred).map(|(&y, &p)| hit(metric, y, p).unwrap_or(0.0)).collect() };
    let hits = [&predictions.dense, &predictions.pruned, &predictions.int8].map(|p| hits(p));
    let drops = hits[0].iter().zip(&hits[2]).map(|(d, i)| sign(metric) * (d - i)).collect();
    let mut s = Setting {
        y,
        clusters,
        predictions,
        fairness,
        hits,
        drops,
        all: Counted::default(),
        correlation: [0.0; 3],
        alpha: f64::NAN,
    };
    let everybody: Vec<usize> = (0..y.len()).collect();
    s.all = s.count(&everybody);
    let counted: Vec<Vec<Counted>> =
        entries.iter().map(|e| e.groups.iter().map(|g| s.count(&g.rows)).collect()).collect();
    s.correlation = [0, 1, 2].map(|model| {
        let of_entry = |groups: &Vec<Counted>| {
            let strata = groups.iter().flat_map(|g| g.strata(|c| &c.hits[model], 1.0, 0)).collect::<Vec<_>>();
            pooled_correlation(&strata, false)
        };
        counted.iter().map(of_entry).fold(0.0, f64::max)
    });
    let bounds = count_bounds(s.all.n(), &counted, fairness);
    let sharers = if correction == Correction::None { 1 } else { bounds.max(1) };
    s.alpha = (1.0 - fairness.confidence) / sharers as f64;
    let of_entry = |(e, counted): (&Entry, &Vec<Counted>)| -> Vec<GroupVerdict> {
        e.groups.iter().zip(counted).map(|(g, c)| s.group(&e.name, g, c)).collect()
    };
    let groups: Vec<GroupVerdict> = entries.iter().zip(&counted).flat_map(of_entry).collect();
    let gaps: Vec<EntryGap> = entries.iter().zip(&counted).filter_map(|(e, c)| s.entry_gap(e, c)).collect();
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
        overall: s.overall(&everybody),
        worst_group: WorstGroup::of(&groups, metric),
        levelled_down: LevelledDown::of(&groups, &gap.entries),
        notes: notes(&s.all, &counted.concat(), &groups, fairness.group_noise),
        gap,
        groups,
    }
}

/// Number of bounds that must hold at once: an excess drop per group that is not everybody, a floor per group, a gap
/// per pair of groups. Groups without rows have no bound and take no share of `alpha`.
fn count_bounds(everybody: usize, counted: &[Vec<Counted>], fairness: &Fairness) -> usize {
    let of_entry = |groups: &Vec<Counted>| {
        let sizes: Vec<usize> = groups.iter().map(Counted::n).filter(|n| *n > 0).collect();
        let k = sizes.len();
        sizes.iter().filter(|n| **n < everybody).count()
            + fairness.min_metric.map_or(0, |_| k)
            + fairness.max_gap.map_or(0, |_| k * k.saturating_sub(1) / 2)
    };
    counted.iter().map(of_entry).sum()
}

fn finite(v: f64) -> Option<f64> {
    v.is_finite().then_some(v)
}

fn bounded(c: &Contrast) -> Bounded {
    Bounded { value: Some(c.value), lower: finite(c.lower()), upper: finite(c.upper()) }
}

impl Setting<'_> {
    /// Counts rows, once for all that is asked of them.
    fn count(&self, rows: &[usize]) -> Counted {
        let tally = |rows: &[usize], values: &[f64]| Tally::of(rows, values, self.clusters);
        let cell = |(class, rows): (usize, Vec<usize>)| Cell {
            class,
            hits: [0, 1, 2].map(|model| tally(&rows, &self.hits[model])),
            drops: tally(&rows, &self.drops),
        };
        let cells = cells(self.fairness.metric, self.y, rows).into_iter().map(cell).collect();
        Counted { rows: rows.len(), cells }
    }

    /// Bounds on hits of one model, whose clusters are at least as alike as those of all groups.
    fn of_hits(&self, strata: &[Stratum], model: By, alpha: f64) -> Contrast {
        contrast_correlated(strata, false, alpha, self.correlation[model as usize])
    }

    /// Bounds on a group's metric, as its floor is judged by.
    fn metric(&self, model: By, counted: &Counted) -> Contrast {
        let [level, noise_level] = self.levels(self.alpha);
        let noise = self.noise(counted, |c| &c.hits[model as usize], noise_level);
        self.of_hits(&counted.strata(|c| &c.hits[model as usize], 1.0, 0), model, level).widened(noise)
    }

    fn interval(&self, model: By, counted: &Counted) -> [f64; 2] {
        if counted.cells.is_empty() {
            return [0.0, 1.0];
        }
        let c = self.metric(model, counted);
        [c.lower().max(0.0), c.upper().min(1.0)]
    }

    /// Clusters among the rows that count, where rows are clustered.
    fn clusters_of(&self, counted: &Counted) -> Option<usize> {
        self.clusters.and(counted.clusters())
    }

    fn overall(&self, everybody: &[usize]) -> Overall {
        let p = self.predictions;
        Overall {
            rows: self.all.rows,
            n: self.all.n(),
            clusters: self.clusters_of(&self.all),
            dense: self.all.value(By::Dense),
            pruned: self.all.value(By::Pruned),
            int8: self.all.value(By::Int8),
            harmful_flips: harmful_flips(self.y, &p.dense, &p.int8, everybody),
            churn: churn(&p.dense, &p.int8, everybody),
        }
    }

    fn group(&self, entry: &str, group: &Group, counted: &Counted) -> GroupVerdict {
        let (p, rows) = (self.predictions, &group.rows);
        let mut g = GroupVerdict {
            group: group.name.clone(),
            entry: entry.to_owned(),
            rows: rows.len(),
            n: counted.n(),
            clusters: self.clusters_of(counted),
            dense: counted.value(By::Dense),
            pruned: counted.value(By::Pruned),
            int8: counted.value(By::Int8),
            dense_interval: self.interval(By::Dense, counted),
            pruned_interval: self.interval(By::Pruned, counted),
            int8_interval: self.interval(By::Int8, counted),
            drop: Bounded::default(),
            excess_drop: Bounded::default(),
            harmful_flips: harmful_flips(self.y, &p.dense, &p.int8, rows),
            churn: churn(&p.dense, &p.int8, rows),
            samples_missing: None,
            clusters_missing: None,
            verdict: Outcome::Undecided,
            words: "no row of this group that the metric counts: nothing can be said".to_owned(),
        };
        if g.n == 0 {
            return g;
        }
        let drops = |strata: &[Stratum], alpha: f64| {
            let [level, noise_level] = self.levels(alpha);
            contrast(strata, true, level).widened(self.noise(counted, |c| &c.drops, noise_level))
        };
        g.drop = bounded(&drops(&counted.strata(|c| &c.drops, 1.0, 0), 1.0 - self.fairness.confidence));
        let excess = drops(&counted.excess_strata(&self.all), self.alpha);
        g.excess_drop = bounded(&excess);
        let mut clauses = vec![self.clause("excess drop", &excess, self.fairness.max_excess_drop, true, g.n)];
        if let Some(floor) = self.fairness.min_metric {
            let metric = self.metric(By::Int8, counted);
            clauses.push(self.clause(&self.fairness.metric.to_string(), &metric, floor, false, g.n));
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

    /// Levels of a bound's contrast and of its allowance for wrong labels, where there is one: each gets half of `alpha`.
    fn levels(&self, alpha: f64) -> [f64; 2] {
        if self.fairness.group_noise > 0.0 { [0.5 * alpha; 2] } else { [alpha, 0.0] }
    }

    /// How far wrong group labels can move the metric of a group up and down: the mean over its cells of
    /// [`label_noise`], each way with the probability `alpha` to err. Any of the group's wrong labels may be in any
    /// cell, so each cell allows for all of them.
    fn noise(&self, own: &Counted, of: impl Fn(&Cell) -> &Tally, alpha: f64) -> [f64; 2] {
        if self.fairness.group_noise <= 0.0 {
            return [0.0; 2];
        }
        let mut sum = [0.0; 2];
        // Two limits a cell.
        let limit = alpha / (2 * own.cells.len().max(1)) as f64;
        let wrong = self.fairness.group_noise * own.rows as f64;
        for cell in &own.cells {
            let Some(all) = self.all.cells.iter().find(|c| c.class == cell.class) else { continue };
            let moved = label_noise(of(cell), of(all), wrong, limit);
            sum.iter_mut().zip(moved).for_each(|(s, m)| *s += m / own.cells.len() as f64);
        }
        sum
    }

    fn entry_gap(&self, entry: &Entry, counted: &[Counted]) -> Option<EntryGap> {
        let metric = self.fairness.metric;
        let groups: Vec<(&Group, f64, f64, &Counted)> = (entry.groups.iter().zip(counted))
            .filter_map(|(g, c)| Some((g, c.value(By::Int8)?, c.value(By::Dense)?, c)))
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
        let (mut lower, mut upper, mut verdict) = (0.0_f64, 0.0_f64, Outcome::Pass);
        let mut decisive: Option<(Contrast, Outcome, [usize; 2])> = None;
        for i in 0..groups.len() {
            for j in i + 1..groups.len() {
                // Larger first: the other sign of the same difference is further from the limit.
                let (i, j) = if groups[i].1 >= groups[j].1 { (i, j) } else { (j, i) };
                let of = |g: usize, sign, side| groups[g].3.strata(Cell::int8, sign, side);
                let [level, noise_level] = self.levels(self.alpha);
                let noise = |g: usize| self.noise(groups[g].3, Cell::int8, 0.5 * noise_level);
                let (a, b) = (noise(i), noise(j));
                let c = self
                    .of_hits(&[of(i, 1.0, 0), of(j, -1.0, 1)].concat(), By::Int8, level)
                    .widened([a[0] + b[1], a[1] + b[0]]);
                lower = lower.max(c.lower());
                upper = upper.max(c.upper());
                let own = decide(&c, limit, true);
                verdict = verdict.max(own);
                if decisive.as_ref().is_none_or(|(d, of, _)| (own, c.upper()) > (*of, d.upper())) {
                    decisive = Some((c, own, [i, j]));
                }
            }
        }
        // Of many pairs, the one that is furthest from the limit says what is missing.
        let words = decisive.map(|(c, _, [i, j])| {
            let (a, b) = (&groups[i], &groups[j]);
            self.clause(&format!("gap of {} and {}", a.0.name, b.0.name), &c, limit, true, a.3.rows + b.3.rows).words
        });
        (gap.lower, gap.upper, gap.verdict) = (Some(lower), finite(upper).map(|u| u.min(1.0)), Some(verdict));
        gap.words = words.unwrap_or_default();
        Some(gap)
    }
}

fn notes(all: &Counted, counted: &[Counted], groups: &[GroupVerdict], noise: f64) -> Vec<String> {
    let mut notes = vec![];
    if noise > 0.0 {
        notes.push(format!(
            "Up to {} % of each group's labels may be wrong: every bound is wider by the worst that this can do.",
            number(100.0 * noise)
        ));
    }
    for (c, g) in counted.iter().zip(groups).filter(|(_, g)| g.n > 0) {
        if c.rows == all.rows {
            notes.push(format!("{} is everybody: its excess drop is 0 by definition, so it proves nothing.", g.group));
        }
        let (present, classes) = (c.cells.len(), all.cells.len());
        if present < classes {
            notes.push(format!(
                "{} has rows of {present} of {classes} classes; macro_recall averages over these.",
                g.group
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
