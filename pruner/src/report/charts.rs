//! The charts of the verdict: each group's way from the dense to the int8 model, and the budget.

use super::BudgetLine;
use super::plain::{budget_words, limit_words, share as in_words, thousands};
use super::plot::{AXIS, Dot, LABELS, Scale, TOP, WIDTH, axis, dot, frame, n, short};
use crate::fair::table::percent;
use crate::fair::verdict::{Outcome, Verdict};
use maud::{Markup, html};

/// Room at the right for numbers and verdicts.
const ASIDE: f64 = 168.0;

/// A verdict as sign and word, so that it needs no colour.
pub fn sign_and_word(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Pass => ("✓", "kept"),
        Outcome::Undecided => ("?", "not shown"),
        Outcome::Fail => ("✗", "broken"),
    }
}

/// One lane of [`journeys`].
struct Lane {
    label: String,
    below: String,
    dots: Vec<Dot>,
    change: String,
    outcome: Option<Outcome>,
    worst: bool,
}

fn lanes(v: &Verdict) -> Vec<Lane> {
    let mark = |series: usize, name: &str, value: Option<f64>, interval: Option<[f64; 2]>| {
        let value = value?;
        let range = interval.map_or_else(String::new, |[lo, hi]| format!(" [{:.1}, {:.1}]", 100.0 * lo, 100.0 * hi));
        Some(Dot { series, value, interval, title: format!("{name} {}{range}", percent(Some(value))) })
    };
    let change = |dense: Option<f64>, int8: Option<f64>| match (dense, int8) {
        (Some(d), Some(i)) => format!("{:.1} → {:.1} %", 100.0 * d, 100.0 * i),
        _ => "no rows".to_owned(),
    };
    let o = &v.overall;
    let all = [mark(0, "dense", o.dense, None), mark(1, "pruned", o.pruned, None), mark(2, "int8", o.int8, None)];
    let size = |n: usize, clusters: Option<usize>| match (&v.cluster, clusters) {
        (Some(name), Some(k)) => format!("{} rows, {k} of {name}", thousands(n as u64)),
        _ => format!("{} rows", thousands(n as u64)),
    };
    let everybody = Lane {
        label: "everybody".to_owned(),
        below: size(o.n, o.clusters),
        dots: all.into_iter().flatten().collect(),
        change: change(o.dense, o.int8),
        outcome: None,
        worst: false,
    };
    let groups = v.groups.iter().filter(|g| g.n > 0).map(|g| {
        let marks = [
            mark(0, "dense", g.dense, Some(g.dense_interval)),
            mark(1, "pruned", g.pruned, Some(g.pruned_interval)),
            mark(2, "int8", g.int8, Some(g.int8_interval)),
        ];
        Lane {
            label: g.group.clone(),
            below: size(g.n, g.clusters),
            dots: marks.into_iter().flatten().collect(),
            change: change(g.dense, g.int8),
            outcome: Some(g.verdict),
            worst: v.worst_group.as_ref().is_some_and(|w| w.group == g.group),
        }
    });
    std::iter::once(everybody).chain(groups).collect()
}

/// Every group's metric from dense (top of its lane) over pruned to int8 (bottom), joined by a line, with intervals.
pub fn journeys(name: &str, v: &Verdict) -> Markup {
    const LANE: f64 = 44.0;
    const STEP: f64 = 11.0;
    let lanes = lanes(v);
    let floor = v.limits.min_metric;
    let lines: Vec<f64> = floor.into_iter().collect();
    let scale = Scale::around(lanes.iter().flat_map(|l| &l.dots), &lines, LABELS, WIDTH - ASIDE);
    let top = TOP + if floor.is_some() { 16.0 } else { 0.0 };
    let bottom = top + lanes.len() as f64 * LANE;
    let says: Vec<String> = lanes
        .iter()
        .map(|l| {
            let verdict = l.outcome.map_or_else(String::new, |o| format!(", {}", sign_and_word(o).1));
            format!("{}: {}{verdict}", l.label, l.change)
        })
        .collect();
    frame(
        name,
        &says.join("; "),
        bottom + AXIS,
        html! {
            @for k in (1..lanes.len()).step_by(2) {
                rect class="band" x="0" y=(n(top + k as f64 * LANE)) width=(WIDTH) height=(LANE) {}
            }
            (axis(&scale, bottom, " %"))
            @for (k, lane) in lanes.iter().enumerate() {
                @let middle = top + (k as f64 + 0.5) * LANE;
                @let y = |d: &Dot| middle + (d.series as f64 - 1.0) * STEP;
                // Beside the rows, `served worst` would not fit.
                @let up = if lane.worst { 7.0 } else { 0.0 };
                text class={ "label" @if lane.outcome.is_none() { " strong" } } x=(LABELS - 12.0) y=(n(middle - 1.0 - up)) text-anchor="end" {
                    (short(&lane.label)) title { (lane.label) }
                }
                text class="tick" x=(LABELS - 12.0) y=(n(middle + 13.0 - up)) text-anchor="end" { (lane.below) }
                @if lane.worst {
                    text class="tick strong" x=(LABELS - 12.0) y=(n(middle + 19.0)) text-anchor="end" { "served worst" }
                }
                @let path: Vec<String> = lane.dots.iter().map(|d| format!("{},{}", n(scale.at(d.value)), n(y(d)))).collect();
                polyline class="way" points=(path.join(" ")) {}
                @for d in &lane.dots { (dot(d, &scale, y(d))) }
                text x=(n(WIDTH - ASIDE + 14.0)) y=(n(middle - 1.0)) { (lane.change) }
                @if let Some(o) = lane.outcome {
                    @let (sign, word) = sign_and_word(o);
                    text class={ "strong " (o) } x=(n(WIDTH - ASIDE + 14.0)) y=(n(middle + 14.0)) { (sign) " " (word) }
                }
            }
            @if let Some(v) = floor {
                line class="limit" x1=(n(scale.at(v))) x2=(n(scale.at(v))) y1=(TOP + 8.0) y2=(n(bottom)) {}
                text class="limit" x=(n(scale.at(v))) y=(TOP + 4.0) text-anchor="middle" { "floor " (percent(Some(v))) }
            }
        },
    )
}

/// A bar per line of the budget, as a share of the dense model: its outline is the dense model, a line the limit.
pub fn budget(name: &str, lines: &[BudgetLine]) -> Markup {
    const LANE: f64 = 44.0;
    let share = |b: &BudgetLine, v: u64| v as f64 / b.dense.max(1) as f64;
    let most = lines.iter().map(|b| share(b, b.value)).fold(1.0, f64::max);
    let x = |s: f64| n(LABELS + (s / most).min(1.0) * (WIDTH - ASIDE - LABELS));
    let width = |s: f64| n((s / most).min(1.0) * (WIDTH - ASIDE - LABELS));
    let words = |b: &BudgetLine| {
        let limit = b.limit.map_or_else(|| "no limit".to_owned(), |l| format!("limit {}", limit_words(b, l)));
        format!("{} of the original, {limit}", in_words(b, b.value))
    };
    let says: Vec<String> = lines.iter().map(|b| format!("{}: {}", budget_words(&b.name), words(b))).collect();
    frame(
        name,
        &says.join("; "),
        TOP * 2.0 + lines.len() as f64 * LANE,
        html! {
            @for (k, b) in lines.iter().enumerate() {
                @let y = TOP + k as f64 * LANE;
                g {
                    title { (words(b)) }
                    text class="label" x=(LABELS - 12.0) y=(n(y + 24.0)) text-anchor="end" { (budget_words(&b.name)) }
                    rect class="before" x=(LABELS) y=(n(y + 10.0)) width=(width(1.0)) height="20" {}
                    rect class="s2" x=(LABELS) y=(n(y + 10.0)) width=(width(share(b, b.value))) height="20" {}
                    @if let Some(limit) = b.limit.filter(|l| share(b, *l) <= most) {
                        @let at = x(share(b, limit));
                        line class="limit" x1=(at) x2=(at) y1=(n(y + 4.0)) y2=(n(y + 36.0)) {}
                    }
                    text x=(n(WIDTH - ASIDE + 14.0)) y=(n(y + 18.0)) { (in_words(b, b.value)) " of the original" }
                    @match b.kept() {
                        Some(true) => text class="PASS" x=(n(WIDTH - ASIDE + 14.0)) y=(n(y + 33.0)) { "✓ limit kept" },
                        Some(false) => text class="FAIL" x=(n(WIDTH - ASIDE + 14.0)) y=(n(y + 33.0)) { "✗ limit exceeded" },
                        None => text class="tick" x=(n(WIDTH - ASIDE + 14.0)) y=(n(y + 33.0)) { "no limit asked" },
                    }
                }
            }
        },
    )
}
