//! Tables of the page, in Markdown: what each method gives on a case at a budget, and how methods differ.

use super::load::Study;
use super::stats::Estimate;
use super::summary::{CEV, Cellful, EXCESS, OVERALL, WORST, method, methods};

/// A Markdown table.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heads: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let mut out = line(&heads) + &line(&vec!["---".to_owned(); head.len()]);
    rows.iter().for_each(|r| out.push_str(&line(r)));
    out + "\n"
}

/// What stands where there is nothing to say.
pub const NOTHING: &str = "–";

/// A share in percent, or a difference of shares in points, with its interval.
pub fn percent(e: Option<Estimate>) -> String {
    number(e.map(|e| e.map(|v| 100.0 * v)), 2)
}

/// A mean with its interval.
pub fn number(e: Option<Estimate>, digits: usize) -> String {
    match e {
        None => NOTHING.to_owned(),
        Some(Estimate { mean, interval: None, .. }) => fixed(mean, digits),
        Some(Estimate { mean, interval: Some([lo, hi]), .. }) => {
            format!("{} [{}, {}]", fixed(mean, digits), fixed(lo, digits), fixed(hi, digits))
        }
    }
}

/// A number without the sign of a zero.
pub fn fixed(v: f64, digits: usize) -> String {
    let text = format!("{v:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest.to_owned(),
        _ => text,
    }
}

/// A difference with its word.
pub fn judged(e: Option<Estimate>, more_is_better: bool) -> String {
    match e {
        Some(d) => format!("{}: {}", percent(e), d.word(more_is_better).text()),
        None => NOTHING.to_owned(),
    }
}

/// `[lo, hi]` in percent.
pub fn range(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(|| NOTHING.to_owned(), |[lo, hi]| format!("[{:.1}, {:.1}]", 100.0 * lo, 100.0 * hi))
}

/// The name of a method for the page.
pub fn name(study: &Study, method: &str) -> String {
    if method == study.default { format!("**default** ({method})") } else { method.to_owned() }
}

/// What each method gives.
pub fn results(study: &Study, case: &str, budget: u32) -> String {
    let rows: Vec<Vec<String>> = methods(study, case, budget).iter().map(|c| result(study, c)).collect();
    table(
        &[
            "method",
            "seeds",
            "MACs, %",
            "bytes",
            "overall",
            "worst group",
            "… over people",
            "… on selection rows",
            "largest excess drop",
            "… by chance",
            "… over people",
            "CEV",
            "SDE",
            "churn",
            "harmful flips",
            "PASS / UNDECIDED / FAIL",
        ],
        &rows,
    )
}

fn result(study: &Study, c: &Cellful) -> Vec<String> {
    let [pass, undecided, fail] = c.verdicts();
    let mean =
        |e: Option<Estimate>, digits: usize| e.map_or_else(|| NOTHING.to_owned(), |e| format!("{:.digits$}", e.mean));
    vec![
        name(study, c.method),
        c.runs.len().to_string(),
        mean(c.estimate(|r| Some(100.0 * r.macs_share)), 1),
        mean(c.estimate(|r| Some(r.bytes)), 0),
        percent(c.estimate(OVERALL)),
        percent(c.estimate(WORST)),
        range(c.mean_interval(|r| r.worst_interval)),
        percent(c.estimate(|r| r.selection)),
        percent(c.estimate(EXCESS)),
        percent(c.estimate(|r| r.excess_by_chance).map(Estimate::alone)),
        range(c.mean_interval(|r| r.excess_interval)),
        number(c.estimate(CEV), 0),
        number(c.estimate(|r| r.sde), 1),
        percent(c.estimate(|r| r.churn)),
        percent(c.estimate(|r| r.harmful_flips)),
        format!("{pass} / {undecided} / {fail}"),
    ]
}

/// Every method less magnitude, and less the default, over the same seeds.
pub fn differences(study: &Study, case: &str, budget: u32) -> String {
    let (magnitude, default) = (method(study, case, budget, "magnitude"), method(study, case, budget, "default"));
    let cells = |c: &Cellful, other: &Option<Cellful>| match other {
        Some(o) if o.method != c.method => [judged(c.less(o, WORST), true), judged(c.less(o, EXCESS), false)],
        _ => [NOTHING.to_owned(), NOTHING.to_owned()],
    };
    let rows: Vec<Vec<String>> = methods(study, case, budget)
        .iter()
        .map(|c| {
            let [a, b] = cells(c, &magnitude);
            let [d, e] = cells(c, &default);
            vec![name(study, c.method), a, b, d, e]
        })
        .collect();
    table(
        &[
            "method",
            "worst group, less magnitude's",
            "excess drop, less magnitude's",
            "worst group, less the default's",
            "excess drop, less the default's",
        ],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::summary::sample_study;

    #[test]
    fn results_stand_in_their_columns() {
        let text = results(&sample_study(), "motionsense", 25);
        let line = text.lines().find(|l| l.contains("kd")).unwrap();
        let cells: Vec<&str> = line.split(" | ").collect();
        assert_eq!(cells[0], "| **default** (kd)");
        assert_eq!(cells[1..5], ["3", "25.0", "80", "85.00 [85.00, 85.00]"]);
        assert_eq!(cells[5], "85.00 [82.52, 87.48]");
        assert_eq!(cells[6..8], ["[70.0, 90.0]", "86.00 [83.52, 88.48]"]);
        assert_eq!(cells.last(), Some(&"0 / 3 / 0 |"));
    }

    #[test]
    fn words_follow_intervals() {
        let text = differences(&sample_study(), "motionsense", 25);
        let line = |m: &str| text.lines().find(|l| l.starts_with(&format!("| {m}"))).unwrap().to_owned();
        assert!(line("**default**").contains("4.00 [1.52, 6.48]: better | -1.67 [-3.10, -0.23]: better | – | –"));
        assert!(line("fpgm").contains("0.00 [-2.48, 2.48]: not told apart"));
        assert!(line("magnitude").contains("| – | – | -4.00 [-6.48, -1.52]: worse |"));
    }
}
