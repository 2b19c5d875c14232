//! What papers claim beside what the runs show. The words around the numbers are fixed; verdict words are computed.

use super::cases::{BOUND, BUDGETS, Case, METHODS};
use super::load::{Run, Study};
use super::stats::{Correlation, Estimate, Word, partial_spearman, spearman};
use super::summary::{CEV, Cellful, DISSIMILARITY, EXCESS, MACS_SHARE, Measure, OVERALL, WORST, method, methods};
use super::tables::{NOTHING, fixed, judged, name, number, percent, range, table};
use std::collections::BTreeSet;

/// A method and the one that it is held against.
type Pair = (&'static str, &'static str);

/// Does distillation mitigate?
pub const DISTILLATION: [Pair; 4] =
    [("kd", "magnitude"), ("at+kd", "magnitude"), ("sp+kd", "magnitude"), ("pkt+kd", "magnitude")];

/// Does the performance-weighted loss help?
pub const WEIGHTED: [Pair; 1] = [("pw-loss", "magnitude")];

/// Does one stage beat two, at as many updates?
pub const JOINT: [Pair; 3] = [("bifp", "fair-then-prune"), ("bifp", "prune-then-fair"), ("bifp", "magnitude")];

/// Pairs of methods on all cases and budgets, and how often each measure was better, worse, or neither.
pub fn pairs(study: &Study, pairs: &[Pair]) -> String {
    let mut rows = Vec::new();
    let mut tally = vec![[[0; 3]; 2]; pairs.len()];
    for (k, (a, b)) in pairs.iter().enumerate() {
        for (case, budget) in places(study) {
            let (Some(x), Some(y)) = (method(study, case, budget, a), method(study, case, budget, b)) else { continue };
            let differences = [x.less(&y, WORST), x.less(&y, EXCESS)];
            for (i, d) in differences.iter().enumerate() {
                let word = d.map_or(Word::Unclear, |d| d.word(i == 0));
                tally[k][i][word as usize] += 1;
            }
            rows.push(vec![
                format!("{a} against {b}"),
                case.to_owned(),
                budget.to_string(),
                differences[0].map_or(0, |d| d.n).to_string(),
                ratio(&x, &y),
                judged(x.less(&y, OVERALL), true),
                judged(differences[0], true),
                judged(differences[1], false),
            ]);
        }
    }
    if rows.is_empty() {
        return "No run says anything about it yet.\n\n".to_owned();
    }
    let head = ["methods", "case", "MACs, %", "seeds", "CEV ratio", "overall", "worst group", "largest excess drop"];
    let mut out = table(&head, &rows);
    for ((a, b), [worst, excess]) in pairs.iter().zip(&tally) {
        let of: usize = worst.iter().sum();
        if of > 0 {
            out.push_str(&format!(
                "- `{a}` against `{b}`, {of} comparisons: worst group better in {}, worse in {}; largest excess drop \
                 better in {}, worse in {}; not told apart in the others.\n",
                worst[0], worst[1], excess[0], excess[1]
            ));
        }
    }
    out + "\n"
}

/// Under 1, the first has the smaller CEV.
fn ratio(x: &Cellful, y: &Cellful) -> String {
    let Some(r) = x.over(y, CEV) else { return NOTHING.to_owned() };
    let word = r.map(f64::ln).word(false).text();
    format!("{}: {word}", number(Some(r), 2))
}

/// Cases and budgets with runs.
fn places(study: &Study) -> Vec<(&'static str, u32)> {
    let mut found: Vec<(&'static str, u32)> = Vec::new();
    for budget in BUDGETS {
        for run in study.runs.iter().filter(|r| r.budget == budget && !is_count(r)) {
            if !found.contains(&(run.case, budget)) {
                found.push((run.case, budget));
            }
        }
    }
    found
}

/// Cases that count groups have a section of their own.
fn is_count(run: &Run) -> bool {
    Case::named(run.case).is_some_and(Case::counts)
}

/// Does dissimilarity to the dense model track bias beyond what the share of MACs explains? One point per method and
/// budget: its mean over seeds.
pub fn similarity(study: &Study) -> String {
    let mut rows = Vec::new();
    let mut beyond = [0; 3];
    let cases: BTreeSet<&str> = places(study).iter().map(|p| p.0).collect();
    for case in cases {
        for (what, bias) in [("largest excess drop", EXCESS), ("CEV", CEV)] {
            let points = points(study, case, bias);
            let [d, b, m] = [0, 1, 2].map(|i| points.iter().map(|p| p[i]).collect::<Vec<f64>>());
            let partial = partial_spearman(&d, &b, &m);
            if points.len() < 5 {
                continue;
            }
            let sign = partial.map_or(0, Correlation::sign);
            beyond[usize::try_from(1 - sign).unwrap_or(1)] += 1;
            rows.push(vec![
                case.to_owned(),
                what.to_owned(),
                points.len().to_string(),
                correlation(spearman(&d, &b)),
                correlation(spearman(&m, &b)),
                correlation(partial),
                ["beyond it", "not told apart from it", "against it"][usize::try_from(1 - sign).unwrap_or(1)]
                    .to_owned(),
            ]);
        }
    }
    if rows.is_empty() {
        return "No run says anything about it yet.\n\n".to_owned();
    }
    let head = [
        "case",
        "bias",
        "points",
        "with dissimilarity",
        "with the share of MACs",
        "with dissimilarity, given the share of MACs",
        "tracks bias",
    ];
    let [yes, unclear, against] = beyond;
    format!(
        "{}Of {} correlations, {yes} track bias beyond the share of MACs, {unclear} are not told apart from it, {against} \
         go against it.\n\n",
        table(&head, &rows),
        rows.len()
    )
}

/// Dissimilarity, bias and share of MACs of every method and budget that have all three.
fn points(study: &Study, case: &str, bias: Measure) -> Vec<[f64; 3]> {
    let cells = BUDGETS.into_iter().flat_map(|budget| methods(study, case, budget)).map(|mut c| {
        c.runs.retain(|r| r.dissimilarity.is_some());
        c
    });
    let mean = |c: &Cellful, m: Measure| c.estimate(m).map(|e| e.mean);
    cells.filter_map(|c| Some([mean(&c, DISSIMILARITY)?, mean(&c, bias)?, mean(&c, MACS_SHARE)?])).collect()
}

fn correlation(c: Option<Correlation>) -> String {
    let interval = |[lo, hi]: [f64; 2]| format!(" [{}, {}]", fixed(lo, 2), fixed(hi, 2));
    c.map_or_else(
        || NOTHING.to_owned(),
        |c| format!("{}{}", fixed(c.rho, 2), c.interval.map_or_else(String::new, interval)),
    )
}

/// Does the pre-check predict? Its rank correlation with what pruning did, per case and budget.
pub fn foresight(study: &Study) -> String {
    let mut rows = Vec::new();
    for (case, budget) in places(study) {
        let runs: Vec<&Run> = study.runs.iter().filter(|r| r.case == case && r.budget == budget).collect();
        for (i, harm) in ["excess drop", "harmful flips"].iter().enumerate() {
            let seen: Vec<(f64, f64)> = runs.iter().filter_map(|r| r.foresight[i]).collect();
            let Some(groups) = runs.iter().map(|r| r.groups).max().filter(|_| !seen.is_empty()) else { continue };
            let mut rho: Vec<f64> = seen.iter().map(|s| s.0).collect();
            rho.sort_by(f64::total_cmp);
            let positive = rho.iter().filter(|r| **r > 0.0).count();
            let clear = seen.iter().filter(|s| s.1 <= 0.05).count();
            rows.push(vec![
                case.to_owned(),
                budget.to_string(),
                groups.to_string(),
                (*harm).to_owned(),
                rho.len().to_string(),
                fixed(rho.iter().sum::<f64>() / rho.len() as f64, 2),
                format!("{} to {}", fixed(rho[0], 2), fixed(rho[rho.len() - 1], 2)),
                format!("{positive} of {}", rho.len()),
                format!("{clear} of {}", rho.len()),
            ]);
        }
    }
    if rows.is_empty() {
        return "No run says anything about it yet.\n\n".to_owned();
    }
    table(
        &["case", "MACs, %", "groups", "harm", "runs", "mean rho", "range", "rho over 0", "chance does not explain it"],
        &rows,
    )
}

/// The default against every method on a case at the budget that counts.
pub fn default_against_all(study: &Study, case: &str) -> String {
    let budget = BUDGETS[0];
    let Some(default) = method(study, case, budget, "default") else {
        return "The default has no run here yet.\n\n".to_owned();
    };
    let mut rows = Vec::new();
    let mut words = [0; 3];
    for other in methods(study, case, budget).iter().filter(|o| o.method != default.method) {
        let d = default.less(other, WORST);
        let word = d.map_or(Word::Unclear, |d| d.word(true));
        words[word as usize] += 1;
        let higher = match d {
            Some(d) if d.mean > 0.0 => "higher",
            Some(_) => "not higher",
            None => NOTHING,
        };
        rows.push(vec![
            name(study, other.method),
            d.map_or(0, |d| d.n).to_string(),
            higher.to_owned(),
            judged(d, true),
            judged(default.less(other, EXCESS), false),
        ]);
    }
    let excess = default.estimate(EXCESS);
    let people = default.mean_interval(|r| r.excess_interval);
    let [pass, undecided, fail] = default.verdicts();
    let of_published =
        |word: &'static str| rows.iter().filter(move |r| r[2] == word && METHODS.contains(&r[0].as_str()));
    let missed: Vec<String> = of_published("not higher").map(|r| format!("{} ({})", r[0], r[3])).collect();
    let higher = of_published("higher").count();
    let head = ["against", "seeds", "mean worst group of the default", "worst group, by", "largest excess drop, by"];
    let mut out = table(&head, &rows);
    out.push_str(&format!(
        "The default's worst group is higher on average than that of {higher} of {} published methods. Of all {} methods \
         it is shown better than {}, worse than {}, and not told apart from {}.\n\nIts largest excess drop is {} points, which {}; over people it is {}, which {}. \
         Its verdicts are {pass} PASS, {undecided} UNDECIDED, {fail} FAIL.\n",
        higher + missed.len(),
        rows.len(),
        words[0],
        words[1],
        words[2],
        percent(excess),
        excess.map_or("says nothing", |e| against_bound(e.mean, e.interval)),
        range(people),
        people.map_or("says nothing", |[lo, hi]| match (lo > BOUND, hi <= BOUND) {
            (true, _) => "shows that it breaks the bound",
            (_, true) => "shows that it keeps the bound",
            _ => "cannot tell",
        }),
    ));
    if let Some((group, drop)) = default.most_harmed() {
        out.push_str(&format!(
            "\nOver all seeds, the group that loses most is {group}: {} points more than everybody.",
            percent(Some(drop))
        ));
    }
    if let Some(chance) = default.estimate(|r| r.excess_by_chance) {
        out.push_str(&format!(
            " Where pruning takes from all groups alike and as many rows flip, the largest excess drop of a run is {} points \
             on average, by chance.",
            percent(Some(chance.alone()))
        ));
    }
    out.push('\n');
    if !missed.is_empty() {
        out.push_str(&format!("\nMissed against: {}.\n", missed.join(", ")));
    }
    out + "\n"
}

/// The default's worst group against that of every published method at the other budgets.
pub fn default_elsewhere(study: &Study, cases: &[&Case]) -> String {
    let mut rows = Vec::new();
    for (case, budget) in cases.iter().flat_map(|c| BUDGETS[1..].iter().map(move |b| (c.name, *b))) {
        let Some(default) = method(study, case, budget, "default") else { continue };
        let all = methods(study, case, budget);
        let against: Vec<(&Cellful, Estimate)> = (all.iter())
            .filter(|o| o.method != default.method && METHODS.contains(&o.method))
            .filter_map(|o| Some((o, default.less(o, WORST)?)))
            .collect();
        let named = |word: Word| {
            let names: Vec<String> = (against.iter())
                .filter(|(_, d)| d.word(true) == word)
                .map(|(other, d)| {
                    let selected = percent(default.less(other, |r| r.selection));
                    format!("{} ({}; on selection rows {selected})", other.method, percent(Some(*d)))
                })
                .collect();
            if names.is_empty() { NOTHING.to_owned() } else { names.join(", ") }
        };
        rows.push(vec![
            case.to_owned(),
            budget.to_string(),
            default.runs.len().to_string(),
            format!("{} of {}", against.iter().filter(|(_, d)| d.mean > 0.0).count(), against.len()),
            named(Word::Better),
            named(Word::Worse),
            percent(default.estimate(EXCESS)),
        ]);
    }
    if rows.is_empty() {
        return "No run at other budgets yet.\n\n".to_owned();
    }
    let head =
        ["case", "MACs, %", "seeds", "higher on average than", "better than", "worse than", "largest excess drop"];
    table(&head, &rows)
}

/// A mean excess drop and its interval against the bound, in words.
fn against_bound(mean: f64, interval: Option<[f64; 2]>) -> &'static str {
    match (mean <= BOUND, interval) {
        (true, Some([_, hi])) if hi <= BOUND => "keeps the bound of 2 points over seeds",
        (false, Some([lo, _])) if lo > BOUND => "breaks the bound of 2 points over seeds",
        (true, _) => "is under the bound of 2 points on average, though seeds do not settle it",
        (false, _) => "is over the bound of 2 points on average, though seeds do not settle it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::cases::CASES;
    use crate::study::summary::sample_study;

    #[test]
    fn claims_are_counted() {
        let text = pairs(&sample_study(), &DISTILLATION);
        assert!(text.contains("| kd against magnitude | motionsense | 25 | 3 | 0.44 ["));
        assert!(text.contains("`kd` against `magnitude`, 1 comparisons: worst group better in 1, worse in 0;"));
        assert!(!text.contains("at+kd"));
        assert!(pairs(&sample_study(), &JOINT).starts_with("No run"));
    }

    #[test]
    fn the_default_is_held_against_every_method() {
        let text = default_against_all(&sample_study(), "motionsense");
        assert!(text.contains("higher on average than that of 2 of 2 published methods. Of all 2 methods"));
        assert!(text.contains("it is shown better than 2, worse than 0, and not told apart from 0"));
        assert!(text.contains("though seeds do not settle it; over people it is [") && !text.contains("Missed"));
        let mut worse = sample_study();
        worse.default = "magnitude".to_owned();
        let text = default_against_all(&worse, "motionsense");
        assert!(text.contains("Missed against: kd (-4.00 [-6.48, -1.52]: worse), fpgm (0.00 "), "{text}");
        assert!(default_against_all(&sample_study(), "mitbih").starts_with("The default has no run"));
    }

    #[test]
    fn other_budgets_are_told_in_a_line_each() {
        let mut study = sample_study();
        let cases = [&CASES[0], &CASES[1]];
        assert!(default_elsewhere(&study, &cases).starts_with("No run"));
        study.runs.iter_mut().for_each(|r| r.budget = 10);
        let text = default_elsewhere(&study, &cases);
        assert!(
            text.contains("| motionsense | 10 | 3 | 2 of 2 | magnitude (4.00 [1.52, 6.48]; on selection rows 4.00 ["),
            "{text}"
        );
        assert!(text.contains(") | – | 1.33 ["), "{text}");
    }

    #[test]
    fn foresight_is_that_of_the_reports() {
        let text = foresight(&sample_study());
        assert!(text.contains("| motionsense | 25 | 2 | excess drop | 9 | 1.00 | 1.00 to 1.00 | 9 of 9 | 0 of 9 |"));
        assert!(similarity(&sample_study()).starts_with("No run"));
    }
}
