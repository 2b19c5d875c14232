//! The number of groups: does the constraint work at each, and what does it cost in time?

use super::cases::{CASES, COUNT_BUDGET, COUNT_METHODS};
use super::load::Study;
use super::summary::{Cellful, EXCESS, Measure, OVERALL, WORST, method};
use super::tables::{fixed, judged, name, number, percent, table};

const SECONDS: Measure = |r| r.cpu_seconds;

/// A table, and by how much time grows from few groups to many.
pub fn counts(study: &Study) -> String {
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|c| c.counts()) {
        for (with, without) in COUNT_METHODS {
            let of = |name: &str| method(study, case.name, COUNT_BUDGET, name);
            let (Some(a), Some(b)) = (of(with), of(without)) else { continue };
            rows.push(vec![
                case.sites.unwrap_or(0).to_string(),
                name(study, a.method),
                name(study, b.method),
                a.less(&b, EXCESS).map_or(0, |d| d.n).to_string(),
                percent(b.estimate(EXCESS)),
                judged(a.less(&b, EXCESS), false),
                judged(a.less(&b, WORST), true),
                judged(a.less(&b, OVERALL), true),
            ]);
        }
    }
    if rows.is_empty() {
        return "No run says anything about it yet.\n\n".to_owned();
    }
    let head = [
        "groups",
        "with the constraint",
        "without",
        "seeds",
        "largest excess drop without",
        "… with, by",
        "worst group, by",
        "overall, by",
    ];
    let mut out = table(&head, &rows);
    for (with, without) in COUNT_METHODS {
        out.push_str(&growth(study, with, without).unwrap_or_default());
    }
    out + "\n"
}

/// By how much the time of a run grows from the fewest groups to the most, over the same seeds, and the time of the same run
/// without the constraint, which is evaluation alone.
fn growth(study: &Study, with: &str, without: &str) -> Option<String> {
    let counted: Vec<_> = CASES.iter().filter(|c| c.counts()).collect();
    let [few, .., many] = counted[..] else { return None };
    let times = |name: &str| -> Option<[Cellful; 2]> {
        Some([method(study, few.name, COUNT_BUDGET, name)?, method(study, many.name, COUNT_BUDGET, name)?])
    };
    let ([few_with, many_with], [few_without, many_without]) = (times(with)?, times(without)?);
    let share = |many: &Cellful, few: &Cellful| {
        let grown = many.over(few, SECONDS)?;
        Some(number(Some(grown.map(|g| 100.0 * (g - 1.0))), 1))
    };
    let own = many_with.over(&many_without, SECONDS)?.mean / few_with.over(&few_without, SECONDS)?.mean;
    Some(format!(
        "- `{with}`: a run with {} groups takes {} % longer than one with {}, without the constraint {} %. So the constraint's \
         own share of the time grows by {} points, which {} less than 15.\n",
        many.sites?,
        share(&many_with, &few_with)?,
        few.sites?,
        share(&many_without, &few_without)?,
        fixed(100.0 * (own - 1.0), 1),
        if own < 1.15 { "is" } else { "is not" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::cases::Case;
    use crate::study::load::sample;
    use crate::study::summary::sample_study;

    #[test]
    fn a_constraint_is_held_against_what_it_is_added_to() {
        let mut study = sample_study();
        for (case, seconds) in [("sites-2", 10.0), ("sites-24", 11.0)] {
            let case = Case::named(case).unwrap();
            for seed in 0..2 {
                for (method, worst, excess, more) in [("ceag", 0.81, 0.01, 1.0), ("magnitude", 0.8, 0.03, 0.5)] {
                    let mut stored = sample(method, seed, worst, excess);
                    stored["cpu_seconds"] = ((10.0 + more * (seconds - 10.0)) * (1.0 + seed as f64)).into();
                    study.add(case, COUNT_BUDGET, &stored);
                }
            }
        }
        let text = counts(&study);
        let times = "takes 10.0 [10.0, 10.0] % longer than one with 2, without the constraint 5.0 [5.0, 5.0] %. So the constraint's \
                     own share of the time grows by 4.8 points, which is less than 15.";
        assert!(text.contains(times), "{text}");
        let row = "| 24 | ceag | magnitude | 2 | 3.00 [3.00, 3.00] | -2.00 [-2.00, -2.00]: better | 1.00 [1.00, 1.00]: better |";
        assert!(text.contains(row), "{text}");
    }
}
