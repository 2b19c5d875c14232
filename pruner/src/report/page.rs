//! The page itself.

use super::charts::{self, sign_and_word};
use super::plain::{self, Line, budget_words, explain, thousands};
use super::plot::{self, Dot};
use super::{BudgetLine, Report};
use crate::error::Result;
use crate::fair::risk::{LEAD, level};
use crate::fair::table::{number, percent, points};
use crate::fair::verdict::{Bounded, GroupVerdict, Outcome, Verdict};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// The report as one HTML page. All of the user's texts are escaped.
///
/// # Errors
/// None today; the signature leaves room for plots that can fail.
pub fn html(r: &Report) -> Result<String> {
    let v = &r.verdict;
    let body = html! {
        (header(r))
        main {
            (groups(v))
            (findings(v))
            (budget(r))
            (foreseen(r))
            (pruning(r))
            (judged(r))
        }
    };
    Ok(document(&format!("{}: {}", r.title, v.verdict), "", body))
}

/// A page with the style of all reports, and rules of its own.
pub(super) fn document(title: &str, rules: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(rules)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// The first screen: the answer, for whom, and what to do.
fn header(r: &Report) -> Markup {
    let (v, e) = (&r.verdict, explain(r));
    let count = |outcome| v.groups.iter().filter(|g| g.verdict == outcome).count();
    html! {
        header {
            h1 { (r.title) }
            p.answer { span class={ "badge " (v.verdict) } { (v.verdict) } " " (e.answer) }
            h2 { "What was asked" }
            p { (e.asked) }
            h2 { "What was found" }
            ul { @for line in &e.found { li { (line) } } }
            h2 { "For whom the contract holds" }
            div.cards {
                (card(Outcome::Pass, "Kept", count(Outcome::Pass), &e.safe))
                (card(Outcome::Undecided, "Not shown", count(Outcome::Undecided), &e.open))
                (card(Outcome::Fail, "Broken", count(Outcome::Fail), &e.broken))
            }
            h2 { "What to do next" }
            ol { @for line in &e.next { li { (line) } } }
            p.soft { "From " (r.model) " to " (r.file) ", " (bytes(r.bytes)) "." }
        }
    }
}

/// Groups of a card that are seen at once: with more, what to do next would leave the first screen.
const SHOWN: usize = 4;

fn card(outcome: Outcome, name: &str, count: usize, lines: &[Line]) -> Markup {
    // One alone is not worth hiding.
    let (shown, more) = if lines.len() > SHOWN + 1 { lines.split_at(SHOWN) } else { (lines, &[][..]) };
    let line = |l: &Line| html! { li { b { (l.group) } br; span.soft { (l.why) } } };
    html! {
        div class={ "card " (outcome) } {
            h3 { (sign_and_word(outcome).0) " " (name) ": " (count) }
            @if lines.is_empty() { p.soft { "no group" } }
            ul { @for l in shown { (line(l)) } }
            @if !more.is_empty() {
                details { summary { "and " (more.len()) " more" } ul { @for l in more { (line(l)) } } }
            }
        }
    }
}

/// A size as people read it, with the exact number for what is not small.
fn bytes(n: u64) -> String {
    if n < 10_240 { format!("{n} bytes") } else { format!("{:.1} KiB ({} bytes)", n as f64 / 1024.0, thousands(n)) }
}

fn bound(v: Option<f64>) -> String {
    v.map_or_else(|| "no bound".to_owned(), |v| format!("≤ {}", points(Some(v))))
}

/// What a group lost by itself (series 0) or beyond everybody (series 2).
fn drop_dot(series: usize, name: &str, b: &Bounded) -> Option<Dot> {
    let interval = [b.lower.unwrap_or(f64::NEG_INFINITY), b.upper.unwrap_or(f64::INFINITY)];
    let title = format!("{name} {} [{}, {}]", points(b.value), bound(b.lower), bound(b.upper));
    Some(Dot { series, value: b.value?, interval: Some(interval), title })
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
            td { (points(g.excess_drop.value)) " (" (bound(g.excess_drop.upper)) ")" }
            td { (percent(g.harmful_flips)) }
            td class=(g.verdict) { (g.verdict) }
        }
    }
}

fn groups(v: &Verdict) -> Markup {
    let absent = plain::without_rows(v);
    let lost: Vec<(String, Vec<Dot>)> = (v.groups.iter().filter(|g| g.n > 0))
        .map(|g| {
            let dots = [drop_dot(0, "lost in all", &g.drop), drop_dot(2, "beyond everybody", &g.excess_drop)];
            (g.group.clone(), dots.into_iter().flatten().collect())
        })
        .collect();
    let limit = format!("allowed {}", number(100.0 * v.limits.max_excess_drop));
    html! {
        section {
            h2 { "Each group, before and after" }
            figure {
                (plot::legend(&[(0, "original (dense)"), (1, "pruned"), (2, "as it ships (int8)")]))
                (charts::journeys("Each group from the original to the model that ships", v))
                figcaption {
                    "Share of " (plain::metric_words(v.metric)) ". From the top of a lane to its bottom: the original, the "
                    "pruned model, the model that ships. Bars: where the true value may lie. Bars that reach the edge go on."
                    @if !absent.is_empty() { " Without test rows: " (plain::names(&absent)) "." }
                }
            }
            h2 { "What each group lost" }
            figure {
                (plot::legend(&[(0, "lost in all"), (2, "lost beyond everybody")]))
                (plot::dots("Points that each group lost, in all and beyond everybody", &lost, Some((v.limits.max_excess_drop, &limit)), ""))
                figcaption {
                    "In points; right of 0 is harm. A group passes when the whole bar of the filled mark ends at or left of "
                    "the line. " (v.levelled_down.text)
                }
            }
            h2 { "The groups in numbers" }
            (table(v))
        }
    }
}

fn table(v: &Verdict) -> Markup {
    let (o, absent) = (&v.overall, plain::without_rows(v));
    html! {
            div.wide { table {
                thead { tr {
                    th { "group" } th { "n" }
                    @if let Some(c) = &v.cluster { th { (c) } }
                    th { "dense" } th { "f32" } th { "int8" } th { "drop" } th { "excess drop" }
                    th { "flips" } th { "verdict" }
                } }
                tbody {
                    @for g in v.groups.iter().filter(|g| g.n > 0) { (group_row(g, v.cluster.is_some())) }
                    @if !absent.is_empty() {
                        // One row for all: many lines that say nothing hide those that say something.
                        tr {
                            td.why { (plain::names(&absent)) } td { "0" }
                            td.none colspan=(if v.cluster.is_some() { 7 } else { 6 }) { "no test rows: nothing is known" }
                            td.UNDECIDED { (Outcome::Undecided) }
                        }
                    }
                    tr.all {
                        td { "everybody" } td { (o.n) }
                        @if v.cluster.is_some() { td { (o.clusters.unwrap_or(0)) } }
                        td { (percent(o.dense)) } td { (percent(o.pruned)) } td { (percent(o.int8)) }
                        td { } td { } td { (percent(o.harmful_flips)) } td class=(v.verdict) { (v.verdict) }
                    }
                }
            } }
            p.soft {
                "Metric: " (v.metric) ". Drop: dense to int8, in points; positive is harm. Excess drop: a group's drop less the "
                "drop of everybody, and its bound. Flips (harmful): rows that the dense model gets right and the int8 model wrong."
            }
    }
}

fn findings(v: &Verdict) -> Markup {
    let words = v.groups.iter().filter(|g| !g.words.is_empty());
    let flips = v.groups.iter().filter(|g| g.harmful_flips.is_some());
    let most = flips.max_by(|a, b| a.harmful_flips.unwrap_or(0.0).total_cmp(&b.harmful_flips.unwrap_or(0.0)));
    html! {
        section {
            h2 { "In detail" }
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
                @for g in words.filter(|g| g.n > 0) { li { b { (g.group) } ": " (g.words) "." } }
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
            td { (b.name) " (" (budget_words(&b.name)) ")" }
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
            h2 { "What it costs" }
            figure {
                (charts::budget("Cost of the model that ships, as a share of the original", &r.budget))
                figcaption { "Outline: the original. Filled: the model that ships. Dashed line: the limit." }
            }
            div.wide { table {
                thead { tr { th { "" } th { "dense" } th { "this model" } th { "share" } th { "limit" } th { "" } } }
                tbody { @for b in &r.budget { (budget_row(b)) } }
            } }
            p.soft { "MACs; flash and RAM in bytes, read from the file that was made." }
        }
    }
}

/// The pre-check and how well it had predicted.
fn foreseen(r: &Report) -> Markup {
    let Some(a) = &r.audit else { return html! {} };
    html! {
        section {
            h2 { "Was it foreseen?" }
            p { (LEAD) }
            @if let Some(f) = &r.foresight { p { b { (f.words) } } }
            div.wide { table.text {
                thead { tr {
                    th { "group" } th { "risk" } th { "score" } th { "rows" }
                    @if a.clusters.is_some() { th { (r.verdict.cluster.as_deref().unwrap_or("clusters")) } }
                    th { "share" } th { (a.metric) } th { "unsure" } th.why { "why" }
                } }
                tbody { @for g in &a.groups { tr {
                    td { (g.group) } td { (level(g.score)) } td { (format!("{:+.2}", g.score)) } td { (g.n) }
                    @if a.clusters.is_some() { td { (g.clusters.unwrap_or(0)) } }
                    td { (percent(Some(g.share))) } td { (percent(g.value)) } td { (percent(Some(g.uncertainty))) }
                    td.why { (g.words) }
                } } }
            } }
            p.soft { "The dense model on " (a.n) " selection rows, before anything was pruned." }
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
                    (plot::legend(&[(0, "MACs, share of dense"), (1, "worst group"), (2, "everybody")]))
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
                ", which neither training nor selection has seen and which were read for the verdict alone. "
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
