//! The number of groups: does the constraint work at each, and what does it cost in time?

use super::cases::{BUDGETS, CASES, GROUP_METHODS};
use super::load::Study;
use super::stats::Estimate;
use super::summary::{Cellful, EXCESS, Measure, method};
use super::tables::{NOTHING, judged, name, number, percent, table};

const SECONDS: Measure = |r| r.cpu_seconds;

/// Two counts of groups on the same network and rows.
const FEW: &str = "groups-2";
const MANY: &str = "groups-24";

/// A table, and by how much time grows from few groups to many.
pub fn counts(study: &Study) -> String {
    let budget = BUDGETS[0];
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|c| c.counts_groups) {
        // A case with the same network and contract is the same run, where this one has none of its own.
        let twin = CASES
            .iter()
            .find(|c| !c.counts_groups && c.model == case.model && c.contract(budget) == case.contract(budget));
        let of =
            |name: &str| method(study, case.name, budget, name).or_else(|| method(study, twin?.name, budget, name));
        let magnitude = of("magnitude");
        for asked in GROUP_METHODS {
            let Some(c) = of(asked) else { continue };
            let [pass, undecided, fail] = c.verdicts();
            let other = magnitude.as_ref().filter(|m| m.method != c.method);
            rows.push(vec![
                format!("{} of {}", case.groups, case.data),
                c.runs.iter().map(|r| r.groups).max().unwrap_or(0).to_string(),
                name(study, c.method),
                c.runs.len().to_string(),
                percent(c.estimate(EXCESS)),
                other.map_or_else(|| NOTHING.to_owned(), |o| judged(c.less(o, EXCESS), false)),
                format!("{pass} / {undecided} / {fail}"),
                number(c.estimate(SECONDS), 0),
            ]);
        }
    }
    if rows.is_empty() {
        return "No run says anything about it yet.\n\n".to_owned();
    }
    let head = [
        "groups",
        "with rows on the verdict split",
        "method",
        "seeds",
        "largest excess drop",
        "less magnitude's",
        "PASS / UNDECIDED / FAIL",
        "processor seconds of the whole run",
    ];
    let mut out = table(&head, &rows);
    for asked in GROUP_METHODS {
        let (few, many) = (method(study, FEW, budget, asked), method(study, MANY, budget, asked));
        if let Some(growth) = few.zip(many).and_then(|(few, many)| growth(&few, &many)) {
            let percent = growth.map(|g| 100.0 * (g - 1.0));
            out.push_str(&format!(
                "- `{asked}`: from 2 to 24 groups the time of a run changes by {} %, which {} less than 15 %.\n",
                number(Some(percent), 1),
                if percent.mean < 15.0 { "is" } else { "is not" }
            ));
        }
    }
    out + "\n"
}

/// Ratio of the times over the same seeds.
fn growth(few: &Cellful, many: &Cellful) -> Option<Estimate> {
    many.over(few, SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::cases::Case;
    use crate::study::load::sample;
    use crate::study::summary::sample_study;

    #[test]
    fn time_grows_from_few_to_many() {
        let mut study = sample_study();
        for (case, seconds) in [(FEW, 10.0), (MANY, 11.0)] {
            let case = Case::named(case).unwrap();
            for seed in 0..2 {
                let mut stored = sample("ceag", seed, 0.8, 0.01);
                stored["cpu_seconds"] = (seconds * (1.0 + seed as f64)).into();
                study.add(case, 25, &stored);
            }
        }
        let text = counts(&study);
        assert!(text.contains("changes by 10.0 [10.0, 10.0] %, which is less than 15 %"), "{text}");
        assert!(
            text.contains("| subject of motionsense | 2 | ceag | 2 | 1.00 [1.00, 1.00] | – | 0 / 2 / 0 |"),
            "{text}"
        );
        // Magnitude has runs of the same network and contract only.
        assert!(text.contains("| gender of motionsense | 2 | magnitude | 3 |"), "{text}");
    }
}
