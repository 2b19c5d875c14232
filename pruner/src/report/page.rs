//! The page itself.

use super::plot::{self, Dot};
use super::{BudgetLine, Report};
use crate::error::Result;
use crate::fair::table::{number, percent, points};
use crate::fair::verdict::{Bounded, GroupVerdict, Outcome, Verdict};
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) const STYLE: &str = include_str!("style.css");

/// The report as one HTML page. All of the user's texts are escaped.
///
/// # Errors
/// None today; the signature leaves room for plots that can fail.
pub fn html(r: &Report) -> Result<String> {
    let v = &r.verdict;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (r.title) ": " (v.verdict) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(r))
                main {
                    (groups(v))
                    (findings(v))
                    (budget(r))
                    (pruning(r))
                    (judged(r))
                }
            }
        }
    };
    Ok(page.into_string())
}

fn meaning(v: &Verdict) -> String {
    let limit = format!("{} points", number(100.0 * v.limits.max_excess_drop));
    match v.verdict {
        Outcome::Pass => format!(
            "The int8 model keeps the contract: with {} % confidence no group loses more than {limit} beyond the overall \
             drop, and every other clause holds.",
            number(100.0 * v.confidence)
        ),
        Outcome::Fail => {
            "The int8 model breaks the contract for at least one group, beyond what chance explains.".into()
        }
        Outcome::Undecided => {
            "The held-out rows can neither prove nor disprove that the int8 model keeps the contract.".into()
        }
    }
}

fn header(r: &Report) -> Markup {
    let v = &r.verdict;
    html! {
        header {
            h1 { (r.title) }
            p { span class={ "badge " (v.verdict) } { (v.verdict) } " " (meaning(v)) }
            p.soft { "From " (r.model) " to " (r.file) ", " (bytes(r.bytes)) ". Metric: " (v.metric) "." }
        }
    }
}

/// A size as people read it, with the exact number for what is not small.
fn bytes(n: u64) -> String {
    if n < 10_240 { format!("{n} bytes") } else { format!("{:.1} KiB ({} bytes)", n as f64 / 1024.0, thousands(n)) }
}

/// 1234567 as `1 234 567`, with narrow no-break spaces.
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

fn bound(v: Option<f64>) -> String {
    v.map_or_else(|| "no bound".to_owned(), |v| points(Some(v)))
}

fn metric_dot(series: usize, name: &str, value: Option<f64>, interval: [f64; 2]) -> Option<Dot> {
    let value = value?;
    let title = format!("{name} {} [{:.1}, {:.1}]", percent(Some(value)), 100.0 * interval[0], 100.0 * interval[1]);
    Some(Dot { series, value, interval: Some(interval), title })
}

fn drop_dot(b: &Bounded) -> Option<Dot> {
    let interval = [b.lower.unwrap_or(f64::NEG_INFINITY), b.upper.unwrap_or(f64::INFINITY)];
    let title = format!("excess drop {} [{}, {}]", points(b.value), bound(b.lower), bound(b.upper));
    Some(Dot { series: 2, value: b.value?, interval: Some(interval), title })
}

fn group_row(g: &GroupVerdict, clustered: bool) -> Markup {
    html! {
        tr {
            td { (g.group) }
            td { (g.n) }
            @if clustered { td { (g.clusters.unwrap_or(0)) } }
            td { (percent(g.dense)) }
            td { (percent(g.pruned)) }
            td { (percent(g.int8)) }
            td { (points(g.drop.value)) }
            td { (points(g.excess_drop.value)) }
            td { (bound(g.excess_drop.upper)) }
            td { (percent(g.harmful_flips)) }
            td class=(g.verdict) { (g.verdict) }
        }
    }
}

fn groups(v: &Verdict) -> Markup {
    let o = &v.overall;
    let metric: Vec<(String, Vec<Dot>)> = v
        .groups
        .iter()
        .map(|g| {
            let dots = [
                metric_dot(0, "dense", g.dense, g.dense_interval),
                metric_dot(1, "f32", g.pruned, g.pruned_interval),
                metric_dot(2, "int8", g.int8, g.int8_interval),
            ];
            (g.group.clone(), dots.into_iter().flatten().collect())
        })
        .collect();
    let excess: Vec<(String, Vec<Dot>)> =
        v.groups.iter().map(|g| (g.group.clone(), drop_dot(&g.excess_drop).into_iter().collect())).collect();
    let limit = format!("limit {}", number(100.0 * v.limits.max_excess_drop));
    html! {
        section {
            h2 { "Groups" }
            div.wide { table {
                thead { tr {
                    th { "group" } th { "n" }
                    @if let Some(c) = &v.cluster { th { (c) } }
                    th { "dense" } th { "f32" } th { "int8" } th { "drop" } th { "excess drop" } th { "at most" }
                    th { "harmful flips" } th { "verdict" }
                } }
                tbody {
                    @for g in &v.groups { (group_row(g, v.cluster.is_some())) }
                    tr.all {
                        td { "everybody" } td { (o.n) }
                        @if v.cluster.is_some() { td { (o.clusters.unwrap_or(0)) } }
                        td { (percent(o.dense)) } td { (percent(o.pruned)) } td { (percent(o.int8)) }
                        td { } td { } td { } td { (percent(o.harmful_flips)) } td class=(v.verdict) { (v.verdict) }
                    }
                }
            } }
            p.soft {
                "Drop: dense to int8, in points; positive is harm. Excess drop: a group's drop less the drop of everybody. "
                "Harmful flips: rows that the dense model gets right and the int8 model wrong."
            }
            figure {
                (plot::dots("Metric per group", &metric, v.limits.min_metric.map(|m| (m, "floor")), " %"))
                (plot::legend(&["dense", "pruned, f32", "int8"]))
                figcaption { "Metric per group (" (v.metric) "), with intervals at the level that the verdict uses." }
            }
            figure {
                (plot::dots("Excess drop per group", &excess, Some((v.limits.max_excess_drop, &limit)), ""))
                figcaption { "Excess drop in points, with bounds that hold for all groups at once. PASS needs the right end "
                    "at or left of the limit." }
            }
        }
    }
}

fn findings(v: &Verdict) -> Markup {
    let words = v.groups.iter().filter(|g| !g.words.is_empty());
    let flips = v.groups.iter().filter(|g| g.harmful_flips.is_some());
    let most = flips.max_by(|a, b| a.harmful_flips.unwrap_or(0.0).total_cmp(&b.harmful_flips.unwrap_or(0.0)));
    html! {
        section {
            h2 { "What stands out" }
            ul {
                @if let Some(w) = &v.worst_group {
                    li { "Worst group: " b { (w.group) } " with " (percent(Some(w.int8))) " (dense " (percent(Some(w.dense))) ")." }
                }
                @for e in &v.gap.entries {
                    li {
                        "Gap by " (e.entry) ": " (number(100.0 * e.int8)) " points between " (e.best) " and " (e.worst)
                        " (dense " (number(100.0 * e.dense)) ")."
                        @if let (Some(limit), Some(verdict)) = (v.gap.limit, e.verdict) {
                            " With confidence at most " (e.upper.map_or("(no bound)".to_owned(), |u| number(100.0 * u))) ", limit " (number(100.0 * limit)) ": "
                            b class=(verdict) { (verdict) } "."
                        }
                        @if !e.words.is_empty() { " " (e.words) "." }
                    }
                }
                @if let Some(g) = most {
                    li { "Most harmful flips: " (g.group) ", " (percent(g.harmful_flips)) " of its rows (everybody: "
                        (percent(v.overall.harmful_flips)) ")." }
                }
                li { (v.levelled_down.text) }
                @for g in words { li { b { (g.group) } ": " (g.words) "." } }
                @for note in &v.notes { li { (note) } }
            }
        }
    }
}

fn budget_row(b: &BudgetLine) -> Markup {
    let share =
        if b.dense > 0 { format!("{:.1} %", 100.0 * b.value as f64 / b.dense as f64) } else { "–".to_owned() };
    html! {
        tr {
            td { (b.name) }
            td { (thousands(b.dense)) }
            td { (thousands(b.value)) }
            td { (share) }
            td { (b.limit.map_or_else(|| "–".to_owned(), thousands)) }
            @match b.kept() {
                Some(true) => td.PASS { "kept" },
                Some(false) => td.FAIL { "exceeded" },
                None => td { "–" },
            }
        }
    }
}

fn budget(r: &Report) -> Markup {
    html! {
        section {
            h2 { "Budget" }
            div.wide { table {
                thead { tr { th { "" } th { "dense" } th { "this model" } th { "share" } th { "limit" } th { "" } } }
                tbody { @for b in &r.budget { (budget_row(b)) } }
            } }
            p.soft { "MACs; flash and RAM in bytes, read from the file that was made." }
        }
    }
}

fn pruning(r: &Report) -> Markup {
    let layers: Vec<_> = r.layers.iter().map(|l| (l.name.clone(), l.before, l.after)).collect();
    let steps: Vec<String> = r
        .history
        .iter()
        .map(|h| {
            format!(
                "step {}, {}: MACs {}, overall {}, worst group {}, largest excess drop {}",
                h.step,
                h.phase,
                percent(Some(h.macs)),
                percent(Some(h.overall)),
                percent(Some(h.worst)),
                points(Some(h.max_excess_drop))
            )
        })
        .collect();
    let column = |f: fn(&super::HistoryLine) -> f64| r.history.iter().map(f).collect::<Vec<_>>();
    let series = [("MACs", column(|h| h.macs)), ("worst", column(|h| h.worst)), ("overall", column(|h| h.overall))];
    html! {
        section {
            h2 { "Pruning" }
            p { (r.method) }
            @if !layers.is_empty() {
                figure {
                    (plot::bars("Channels per layer", &layers))
                    figcaption { "Output channels per layer: outline before, filled after." }
                }
            }
            @if !steps.is_empty() {
                figure {
                    (plot::lines("History of the schedule", &steps, &series))
                    (plot::legend(&["MACs, share of dense", "worst group", "everybody"]))
                    figcaption { (r.verdict.metric) " on selection rows after each step of the schedule." }
                }
            }
        }
    }
}

fn judged(r: &Report) -> Markup {
    let v = &r.verdict;
    html! {
        section {
            h2 { "How it was judged" }
            p {
                "On " (v.overall.n) " held-out rows"
                @if let (Some(name), Some(k)) = (&v.cluster, v.overall.clusters) {
                    " from " (k) " different values of " code { (name) }
                    " (rows of one are not independent; the bounds account for it)"
                }
                ", which neither training nor selection has seen and which were read once, for this verdict. "
                "The int8 predictions are those of the bytes in the file. "
                @if v.bounds > 1 { "The " (v.bounds) " bounds hold together" } @else { "The bound holds" }
                " with " (number(100.0 * v.confidence)) " % confidence."
            }
            @for note in &r.notes { p { (note) } }
            p { "Contract:" }
            pre { (r.contract) }
            p { "Seed " (r.seed) ". Command:" }
            pre { (r.command) }
        }
    }
}
