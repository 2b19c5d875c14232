//! The verdict as short text for a terminal.

use super::verdict::{Bounded, Verdict};

/// Lines of aligned columns: the first column to the left, all others to the right.
pub fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> =
            cells.map(|(c, (s, &w))| if c == 0 { format!("{s:<w$}") } else { format!("{s:>w$}") }).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// A share as per cent with one decimal; a dash without value.
pub fn percent(v: Option<f64>) -> String {
    v.map_or_else(|| "–".to_owned(), |v| format!("{:.1} %", 100.0 * v))
}

/// A difference of shares in percentage points, with its sign.
pub fn points(v: Option<f64>) -> String {
    v.map_or_else(|| "–".to_owned(), |v| format!("{:+.1}", (1000.0 * v).round() / 10.0 + 0.0))
}

fn drop_cell(b: &Bounded) -> String {
    format!("{} [≤ {}]", points(b.value), b.upper.map_or_else(|| "∞".to_owned(), |u| points(Some(u))))
}

/// The whole verdict as text; ends with a newline.
pub fn table(v: &Verdict) -> String {
    let clustered = v.cluster.is_some();
    let mut head = vec!["group".to_owned(), "n".to_owned()];
    head.extend(v.cluster.clone());
    head.extend(["dense", "f32", "int8 [interval]", "excess drop [bound]", "flips", "verdict"].map(str::to_owned));
    let mut rows = vec![head];
    for g in &v.groups {
        let mut row = vec![g.group.clone(), g.n.to_string()];
        row.extend(clustered.then(|| g.clusters.unwrap_or(0).to_string()));
        let [lo, hi] = g.int8_interval.map(|b| 100.0 * b);
        let interval = g.int8.map_or(String::new(), |_| format!(" [{lo:.1}, {hi:.1}]"));
        row.extend([
            percent(g.dense),
            percent(g.pruned),
            percent(g.int8) + &interval,
            drop_cell(&g.excess_drop),
            percent(g.harmful_flips),
            g.verdict.to_string(),
        ]);
        rows.push(row);
    }
    let o = &v.overall;
    let mut all = vec!["everybody".to_owned(), o.n.to_string()];
    all.extend(clustered.then(|| o.clusters.unwrap_or(0).to_string()));
    all.extend([percent(o.dense), percent(o.pruned), percent(o.int8), String::new(), percent(o.harmful_flips)]);
    rows.push(all);
    align(&rows) + "\n" + &summary(v).join("\n") + "\n"
}

/// The lines under the table: verdict, worst group, gaps, missing data, levelling, notes.
pub fn summary(v: &Verdict) -> Vec<String> {
    let mut out = vec![format!(
        "{}: excess drop of every group at most {} points, {} % confidence over {} bounds at once",
        v.verdict,
        number(100.0 * v.limits.max_excess_drop),
        number(100.0 * v.confidence),
        v.bounds
    )];
    if let Some(w) = &v.worst_group {
        let (int8, dense) = (percent(Some(w.int8)), percent(Some(w.dense)));
        out.push(format!("worst group: {} with {} {int8} (dense {dense})", w.group, v.metric));
    }
    for e in &v.gap.entries {
        let bound = v.gap.limit.map_or(String::new(), |limit| {
            let upper = e.upper.map_or("no bound".to_owned(), |u| format!("at most {}", number(100.0 * u)));
            format!(
                "; {upper}, limit {}: {}",
                number(100.0 * limit),
                e.verdict.map_or(String::new(), |v| v.to_string())
            )
        });
        let (int8, dense) = (number(100.0 * e.int8), number(100.0 * e.dense));
        out.push(format!("gap by {}: {int8} points (dense {dense}){bound}", e.entry));
    }
    out.extend(v.groups.iter().filter(|g| !g.words.is_empty()).map(|g| format!("{}: {}", g.group, g.words)));
    out.extend(v.gap.entries.iter().filter(|e| !e.words.is_empty()).map(|e| e.words.clone()));
    out.push(v.levelled_down.text.clone());
    out.extend(v.notes.iter().cloned());
    out
}

/// A number with at most two decimals and no trailing zeros.
pub fn number(v: f64) -> String {
    let s = format!("{v:.2}");
    s.trim_end_matches('0').trim_end_matches('.').to_owned()
}
