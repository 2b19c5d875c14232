//! The panel as text for a terminal.

use super::{Bounded, Figures, GroupPanel, Panel};
use crate::contract::Metric;
use crate::fair::table::{align, number, percent, points};

/// Figures of an entry, and how they are called.
const ENTRY_LINES: [(&str, &str); 8] = [
    ("worst", "worst group"),
    ("gap", "gap"),
    ("ratio", "ratio"),
    ("demographic_parity_difference", "demographic parity difference"),
    ("equal_opportunity_difference", "equal opportunity difference"),
    ("equalized_odds_difference", "equalized odds difference"),
    ("equalized_odds_difference_mean", "equalized odds difference, mean"),
    ("bias_amplification", "bias amplification"),
];

/// Of the change, with the factor to the unit shown.
const CHANGE_LINES: [(&str, &str, f64); 4] = [
    ("cev_2021_pct", "CEV (2021, %²)", 1.0),
    ("sde_2021_pct", "SDE (2021, %)", 1.0),
    ("recall_distortion", "recall distortion", 1.0),
    ("excess_loss", "loss, small less dense", 1.0),
];

fn get(figures: &Figures, name: &str) -> Bounded {
    figures.get(name).copied().unwrap_or_default()
}

/// A number with three decimals; what rounds to nothing has no sign.
fn plain(v: Option<f64>) -> String {
    v.map_or_else(|| "–".to_owned(), |v| format!("{:.3}", (1000.0 * v).round() / 1000.0 + 0.0))
}

/// A value with its interval, all written by `show`.
fn with_interval(b: &Bounded, show: fn(Option<f64>) -> String) -> String {
    let interval = match (b.lower, b.upper) {
        (Some(lo), Some(hi)) => format!(" [{}, {}]", show(Some(lo)), show(Some(hi))),
        _ => String::new(),
    };
    show(b.value) + &interval
}

/// Dense and small value beside each other.
fn pair(dense: &Figures, small: &Figures, name: &str, show: fn(Option<f64>) -> String) -> String {
    format!("{} → {}", show(get(dense, name).value), show(get(small, name).value))
}

fn share(v: Option<f64>) -> String {
    v.map_or_else(|| "–".to_owned(), |v| format!("{:.1}", 100.0 * v))
}

fn group_row(g: &GroupPanel) -> Vec<String> {
    vec![
        g.group.clone(),
        g.n.to_string(),
        percent(get(&g.dense, "accuracy").value),
        with_interval(&get(&g.small, "accuracy"), share),
        pair(&g.dense, &g.small, "balanced_accuracy", share),
        with_interval(&get(&g.change, "drop"), points),
        points(get(&g.change, "excess_drop").value),
        percent(get(&g.change, "churn").value),
        percent(get(&g.change, "harmful_flips").value),
        pair(&g.dense, &g.small, "ece", share),
        pair(&g.dense, &g.small, "nll", plain),
    ]
}

/// The whole panel as text; ends with a newline.
pub fn panel_table(p: &Panel) -> String {
    // Accuracy stands there whatever is measured, so columns of another metric say which.
    let of = p.metric;
    let [dense, small, drop, excess, by] = if of == Metric::Accuracy {
        ["dense", "small [interval]", "drop [interval]", "excess", "by"].map(str::to_owned)
    } else {
        let [dense, small] = ["dense accuracy", "small accuracy [interval]"].map(str::to_owned);
        [dense, small, format!("drop [interval] of {of}"), format!("excess of {of}"), format!("{of} by")]
    };
    let head = ["group", "n", &dense, &small, "balanced", &drop, &excess, "churn", "harmful", "ECE", "log loss"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(p.groups.iter().chain([&p.everybody]).map(group_row));
    let mut out = align(&rows);
    for e in &p.entries {
        let mut rows = vec![[format!("{by} {}", e.entry), "dense".to_owned(), "small [interval]".to_owned()].to_vec()];
        for (name, words) in ENTRY_LINES {
            let (dense, small) = (get(&e.dense, name), get(&e.small, name));
            if small.value.is_some() {
                rows.push(vec![words.to_owned(), share(dense.value), with_interval(&small, share)]);
            }
        }
        for (name, words) in [("degradation_gap", "degradation gap"), ("max_excess_drop", "largest excess drop")] {
            rows.push(vec![words.to_owned(), String::new(), with_interval(&get(&e.change, name), share)]);
        }
        rows.push(vec!["gap of losses".into(), String::new(), with_interval(&get(&e.change, "loss_gap"), plain)]);
        out += &format!("\n{}", align(&rows));
    }
    out.push('\n');
    for (name, words, factor) in CHANGE_LINES {
        let b = get(&p.everybody.change, name);
        let scaled = |v: Option<f64>| v.map(|v| factor * v);
        let b = Bounded { value: scaled(b.value), lower: scaled(b.lower), upper: scaled(b.upper) };
        if b.value.is_some() {
            out += &format!("{words}: {}\n", with_interval(&b, plain));
        }
    }
    if let Some(x) = &p.exemplars {
        out += &format!("\n{}", super::super::exemplars::table(x));
    }
    if let Some(s) = &p.similarity {
        out += &format!("\n{}", super::super::similarity::table(s));
    }
    let clusters = p.clusters.map_or_else(|| "independent rows".to_owned(), |c| format!("{c} clusters"));
    out += &format!(
        "\nintervals: {} % at once over the groups; {} rows, {clusters}; accuracy and drop exact, the rest of {} \
         bootstrap replicates\n",
        number(100.0 * p.confidence),
        p.rows,
        p.replicates
    );
    p.notes.iter().for_each(|n| out += &format!("{n}\n"));
    out
}
