//! The number of groups: does the constraint work at each, and what does it cost in time?

use super::cases::{CASES, COUNT_BUDGET, COUNT_METHODS};
use super::load::Study;
use super::summary::{EXCESS, Measure, OVERALL, WORST, method};
use super::tables::{judged, name, number, percent, table};

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
    for (with, _) in COUNT_METHODS {
        out.push_str(&growth(study, with).unwrap_or_default());
    }
    out + "\n"
}

/// By how much the time of a run grows from the fewest groups to the most, over the same seeds.
fn growth(study: &Study, asked: &str) -> Option<String> {
    let counted: Vec<_> = CASES.iter().filter(|c| c.counts()).collect();
    let [few, .., many] = counted[..] else { return None };
    let of = |case: &str| method(study, case, COUNT_BUDGET, asked);
    let percent = of(many.name)?.over(&of(few.name)?, SECONDS)?.map(|g| 100.0 * (g - 1.0));
    Some(format!(
        "- `{asked}`: from {} to {} groups the time of a run changes by {} %, which {} less than 15 %.\n",
        few.sites?,
        many.sites?,
        number(Some(percent), 1),
        if percent.mean < 15.0 { "is" } else { "is not" }
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
                for (method, worst, excess) in [("ceag", 0.81, 0.01), ("magnitude", 0.8, 0.03)] {
                    let mut stored = sample(method, seed, worst, excess);
                    stored["cpu_seconds"] = (seconds * (1.0 + seed as f64)).into();
                    study.add(case, COUNT_BUDGET, &stored);
                }
            }
        }
        let text = counts(&study);
        assert!(text.contains("changes by 10.0 [10.0, 10.0] %, which is less than 15 %"), "{text}");
        let row = "| 24 | ceag | magnitude | 2 | 3.00 [3.00, 3.00] | -2.00 [-2.00, -2.00]: better | 1.00 [1.00, 1.00]: better |";
        assert!(text.contains(row), "{text}");
    }
}
