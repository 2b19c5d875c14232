//! The verdict in words for who has never read a fairness paper: what was asked, what was found, for whom it is safe,
//! and what to do next. The page's first screen and the terminal show the same words.

use super::{BudgetLine, Report};
use crate::contract::Metric;
use crate::fair::metrics::sign;
use crate::fair::table::{number, percent};
use crate::fair::verdict::{Bounded, GroupVerdict, Outcome, Verdict};

/// What the first screen says.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What the contract demands.
    pub asked: String,
    /// The answer in one sentence.
    pub answer: String,
    /// What the answer rests on and what else was seen.
    pub found: Vec<String>,
    /// Groups that the contract is kept for, is not shown for, and is broken for, each with its reason; those that lose
    /// most first.
    pub safe: Vec<Line>,
    /// See `safe`.
    pub open: Vec<Line>,
    /// See `safe`.
    pub broken: Vec<Line>,
    /// What to do, the most useful first.
    pub next: Vec<String>,
}

/// A group and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub group: String,
    /// The reason, without a full stop.
    pub why: String,
}

/// Loss of everybody that is said aloud, though no clause of the contract limits it.
const MUCH: f64 = 0.03;

/// Growth of the data over which collecting it is no longer the advice.
const TOO_MUCH: u64 = 20;

/// Puts a report into words.
pub fn explain(r: &Report) -> Explanation {
    let v = &r.verdict;
    let of = |outcome: Outcome| -> Vec<Line> {
        let mut groups: Vec<_> = v.groups.iter().filter(|g| g.verdict == outcome && g.n > 0).collect();
        let lost = |g: &GroupVerdict| g.excess_drop.value.unwrap_or(f64::INFINITY);
        groups.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
        groups.into_iter().map(|g| Line { group: g.group.clone(), why: why(g, v) }).collect()
    };
    let mut open = of(Outcome::Undecided);
    let absent = without_rows(v);
    if !absent.is_empty() {
        let why = "no test row of these: nothing is known".to_owned();
        open.push(Line { group: names(&absent), why });
    }
    Explanation {
        asked: asked(r),
        answer: answer(v),
        found: found(r),
        safe: of(Outcome::Pass),
        open,
        broken: of(Outcome::Fail),
        next: next(r),
    }
}

/// Groups of which the test rows hold nobody that the metric counts.
pub(super) fn without_rows(v: &Verdict) -> Vec<String> {
    v.groups.iter().filter(|g| g.n == 0).map(|g| g.group.clone()).collect()
}

/// What a metric is, for people.
pub fn metric_words(metric: Metric) -> String {
    match metric {
        Metric::Accuracy => "right answers".to_owned(),
        Metric::Recall(c) => format!("cases of class {c} that are found"),
        Metric::Fpr(c) => format!("false alarms for class {c}"),
        Metric::MacroRecall => "cases found, each class weighing the same".to_owned(),
    }
}

/// What a line of the budget is, for people.
pub fn budget_words(name: &str) -> &str {
    match name {
        "macs" => "computation",
        "flash" => "storage",
        "ram" => "working memory",
        other => other,
    }
}

/// A share of the dense model in per cent, with at most one decimal.
pub(super) fn share(b: &BudgetLine, value: u64) -> String {
    format!("{} %", number((1000.0 * value as f64 / b.dense.max(1) as f64).round() / 10.0))
}

/// A limit of the budget, for people.
pub(super) fn limit_words(b: &BudgetLine, limit: u64) -> String {
    match b.name.as_str() {
        "macs" => format!("{} of the original's", share(b, limit)),
        _ if limit < 1024 => format!("{limit} bytes"),
        _ => format!("{} KiB", number(limit as f64 / 1024.0)),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// Names in a sentence; of many, the first few and how many more.
pub(super) fn names(of: &[String]) -> String {
    const SHOWN: usize = 4;
    if of.len() <= SHOWN + 1 {
        return list(of);
    }
    format!("{} and {} more", of[..SHOWN].join(", "), of.len() - SHOWN)
}

/// A number of points, from a share.
fn in_points(share: f64) -> String {
    format!("{} points", number(100.0 * share))
}

fn asked(r: &Report) -> String {
    let v = &r.verdict;
    let budget: Vec<String> = r
        .budget
        .iter()
        .filter_map(|b| Some(format!("{} at most {}", budget_words(&b.name), limit_words(b, b.limit?))))
        .collect();
    let smaller = if budget.is_empty() { String::new() } else { format!(" ({})", list(&budget)) };
    let mut entries: Vec<String> = vec![];
    for g in &v.groups {
        let name = g.entry.replace('*', " and ");
        if !entries.contains(&name) {
            entries.push(name);
        }
    }
    let mut clauses = vec![format!(
        "no group by {} loses more than {} of {} beyond what everybody loses",
        list(&entries),
        in_points(v.limits.max_excess_drop),
        metric_words(v.metric)
    )];
    clauses.extend(v.limits.max_gap.map(|g| format!("best and worst group lie at most {} apart", in_points(g))));
    clauses.extend(v.limits.min_metric.map(|m| format!("every group keeps at least {}", percent(Some(m)))));
    format!("Make {} smaller{smaller} so that {}.", r.model, list(&clauses))
}

fn answer(v: &Verdict) -> String {
    let count = |o| v.groups.iter().filter(|g| g.verdict == o).count();
    let (all, open, broken) = (v.groups.len(), count(Outcome::Undecided), count(Outcome::Fail));
    let groups = |n: usize| if all == 1 { "the only group".to_owned() } else { format!("{n} of {all} groups") };
    let named: Vec<String> = v.groups.iter().filter(|g| g.verdict == Outcome::Fail).map(|g| g.group.clone()).collect();
    match v.verdict {
        Outcome::Pass => format!(
            "The small model keeps the contract for every group ({all} in all), with {} % confidence.",
            number(100.0 * v.confidence)
        ),
        Outcome::Fail if broken > 0 => {
            format!(
                "The small model breaks the contract for {} ({}), and chance does not explain it.",
                names(&named),
                groups(broken)
            )
        }
        Outcome::Fail => "The small model leaves the groups further apart than the contract allows.".to_owned(),
        Outcome::Undecided if open > 0 => format!(
            "Not shown: no group is proven to be harmed, but the test data cannot prove the contract for {}.",
            groups(open)
        ),
        Outcome::Undecided => "Not shown: the test data cannot prove how far apart the groups are.".to_owned(),
    }
}

fn found(r: &Report) -> Vec<String> {
    let (v, o) = (&r.verdict, &r.verdict.overall);
    let who = match (&v.cluster, o.clusters) {
        (Some(name), Some(k)) => format!("{} test rows of {k} different {name}s", o.n),
        _ => format!("{} test rows", o.n),
    };
    let mut out = vec![format!(
        "On {who}, kept apart from training and selection: {} of everybody {} before, {} after.",
        metric_words(v.metric),
        percent(o.dense),
        percent(o.int8)
    )];
    if let Some(lost) = lost_by_all(v) {
        out.push(format!("Everybody loses {lost}. The contract limits only what a group loses beyond that."));
    }
    if let Some(w) = &v.worst_group {
        out.push(format!(
            "The group that is served worst is {}: {} before, {} after.",
            w.group,
            percent(Some(w.dense)),
            percent(Some(w.int8))
        ));
    }
    for e in v.gap.entries.iter().filter(|e| e.verdict.is_some_and(|v| v != Outcome::Pass)) {
        let broken = e.verdict == Some(Outcome::Fail);
        out.push(format!(
            "By {}, {} and {} lie {} apart; {}.",
            e.entry,
            e.best,
            e.worst,
            in_points(e.int8),
            if broken { "that is more than allowed" } else { "the data cannot prove that this is little enough" }
        ));
    }
    if v.levelled_down.value {
        out.push(format!(
            "By {}, the groups came closer only because all of them got worse. That is no gain in fairness.",
            list(&v.levelled_down.entries)
        ));
    }
    let costs: Vec<String> =
        (r.budget.iter()).map(|b| format!("{} of the {}", share(b, b.value), budget_words(&b.name))).collect();
    if !costs.is_empty() {
        out.push(format!("It needs {}.", list(&costs)));
    }
    out
}

/// What everybody loses, in points, where it is much.
fn lost_by_all(v: &Verdict) -> Option<String> {
    let lost = sign(v.metric) * (v.overall.dense? - v.overall.int8?);
    (lost > MUCH).then(|| in_points((1000.0 * lost).round() / 1000.0))
}

/// What a group loses beside everybody, in points.
fn beyond(excess: Option<f64>) -> String {
    match excess.map(|v| (1000.0 * v).round() / 10.0) {
        Some(v) if v > 0.0 => format!("{v:.1} points more than everybody"),
        Some(v) if v < 0.0 => format!("{:.1} points less than everybody", -v),
        _ => "as much as everybody".to_owned(),
    }
}

/// Why a group has its verdict.
fn why(g: &GroupVerdict, v: &Verdict) -> String {
    let limit = v.limits.max_excess_drop;
    let mut out = vec![format!("{} → {}", percent(g.dense), percent(g.int8))];
    let Bounded { value, lower, upper } = g.excess_drop;
    let allowed = format!("{} allowed", number(100.0 * limit));
    match upper {
        Some(u) if u <= 0.0 => out.push("no more than everybody".to_owned()),
        Some(u) if u <= limit => out.push(format!("at most {} beyond everybody", in_points(u))),
        _ if lower.is_some_and(|l| l > limit) => {
            out.push(format!("loses {}, {allowed}", beyond(value)));
        }
        Some(u) => {
            // A bound is rounded up: one just over the limit must not look as if it kept it.
            let most = number((1000.0 * u - 1e-6).ceil() / 10.0);
            out.push(format!("loses {} as measured, but it may be {most} more, {allowed}", beyond(value)));
        }
        None => out.push("too few people to say how far this can be off".to_owned()),
    }
    if let Some(floor) = v.limits.min_metric.filter(|_| g.verdict != Outcome::Pass) {
        let [lower, upper] = g.int8_interval;
        if upper < floor {
            out.push(format!("below the floor of {}", percent(Some(floor))));
        } else if lower < floor {
            out.push(format!("may be below the floor of {}", percent(Some(floor))));
        }
    }
    out.join("; ")
}

fn next(r: &Report) -> Vec<String> {
    let v = &r.verdict;
    if v.verdict == Outcome::Pass {
        return passed(r);
    }
    let (mut out, mut lost, mut far, absent) = (vec![], vec![], vec![], without_rows(v));
    for g in v.groups.iter().filter(|g| g.verdict != Outcome::Pass && g.n > 0) {
        let column = v.cluster.as_deref().unwrap_or("row");
        let more = |missing: u64, have: usize, what: &str| {
            // With clusters, the side that has fewer of them is what is short.
            let missing = thousands(missing);
            if g.words.contains("outside the group") {
                format!("about {missing} more {what} of others than {}", g.group)
            } else {
                format!("about {missing} more {what} of {} (now {have})", g.group)
            }
        };
        let (missing, have) = match (g.clusters_missing, g.clusters) {
            (Some(m), Some(have)) => (Some(m), have),
            _ => (g.samples_missing, g.n),
        };
        match missing {
            None => lost.push(g.group.clone()),
            Some(m) if m > TOO_MUCH * have.max(1) as u64 && have > 0 => far.push(g.group.clone()),
            Some(m) if v.cluster.is_some() && g.clusters_missing.is_some() => {
                out.push(more(m, have, &format!("different {column}s")));
            }
            Some(m) => out.push(more(m, have, "rows")),
        }
    }
    let mut next = vec![];
    if !absent.is_empty() {
        next.push(format!("Put rows of {} into `test`: without any, nothing can be said of them.", names(&absent)));
    }
    if !out.is_empty() {
        next.push(format!("Collect test data, the verdict may then be PASS: {}.", names(&out)));
    }
    let gap = v.gap.verdict.filter(|g| *g != Outcome::Pass);
    if !lost.is_empty() {
        next.push(format!(
            "For {}, more data will hardly help: the small model itself loses too much. Give it a larger budget, train \
             it longer (--recover), or take another --method.",
            names(&lost)
        ));
    } else if let Some(gap) = gap {
        next.push(if gap == Outcome::Fail {
            "Best and worst group are too far apart: give the small model a larger budget or another --method; where \
             the original has the same gap, mend that first."
                .to_owned()
        } else {
            "Collect more test data of the best and the worst group, to show how far apart they are.".to_owned()
        });
    }
    if !far.is_empty() {
        next.push(format!(
            "For {}, a proof would need more than {TOO_MUCH} times the test data: allow more than {}, or judge coarser \
             groups.",
            names(&far),
            in_points(v.limits.max_excess_drop)
        ));
    }
    if v.levelled_down.value {
        next.push("Give the small model a larger budget: it serves every group worse.".to_owned());
    }
    next.push(
        "Judge a new model on new test rows where you can: every further try on the same rows makes a lucky PASS likelier."
            .to_owned(),
    );
    next
}

/// What to do with a model that keeps its contract.
fn passed(r: &Report) -> Vec<String> {
    let v = &r.verdict;
    let check = "Who gets the file can check the promise with `evenkeel verify`.";
    let mut out = match lost_by_all(v) {
        Some(lost) => vec![
            format!(
                "Decide whether a loss of {lost} for everybody is acceptable: the contract does not limit it. If not, give the \
                 small model a larger budget, train it longer (--recover), and put a floor (`min_metric`) into the contract."
            ),
            format!("If it is, ship {}. {check}", r.file),
        ],
        None => vec![format!("Ship {}. {check}", r.file)],
    };
    if v.metric == Metric::Accuracy {
        out.push(
            "Watch it in the field: its monitor raises an alarm when a group falls under what was promised.".into(),
        );
    }
    out
}

/// `12 345`, with narrow no-break spaces.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests;
