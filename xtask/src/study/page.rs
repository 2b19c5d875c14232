//! The page: `docs/study.md` and its plots.

use super::cases::{BUDGETS, CASES, Case};
use super::choice::choice;
use super::claims::{self, DISTILLATION, JOINT, WEIGHTED};
use super::counts::counts;
use super::load::Study;
use super::plots::{Figure, draw};
use super::summary::{EXCESS, WORST};
use super::tables::{differences, results};
use crate::sh::Result;
use std::collections::BTreeSet;
use std::path::Path;

const HOW: &str = "\
Every method prunes the same dense networks under the same contracts: at most 50, 25 or 10 % of the MACs, and at most as
many bytes of flash as uniform magnitude pruning needs at those MACs. So all methods are compared at or under the same
two limits; a method that stops at one of them first ends below the other, and the tables show both. All methods have the
same schedule and the same number of updates. What is measured is the int8 file, on the verdict split, which no method
has seen.

How to read the numbers:

- Accuracies and drops are in percent and points. Brackets are 95 % intervals: after a mean, over seeds (Student's t).
- \"Over people\" is the mean of the intervals that the verdicts give over rows, or over clusters where the contract has
  some. They hold for all groups at once, which makes them long. There are five people in the test split of motionsense
  and 22 records in that of mitbih, so there they say little.
- *On selection rows* is what a method is to be chosen by; who chooses by the verdict split flatters what is chosen.
- *Excess drop* is a group's drop less everybody's; the table has that of the group with the largest. The largest of
  several estimates is more than 0 by chance alone; *by chance* is how much, on average, for a network that takes from
  all groups alike and flips as many rows (where rows are independent and the metric is accuracy).
- CEV and SDE are over classes, in the convention of 2021 (percent², percent), for everybody.
- Differences are paired: the same seed of both methods. *better* and *worse* are said only where the interval excludes
  0, otherwise *not told apart*. Each interval holds by itself: of twenty comparisons of equal methods, one is wrong on
  average. They are about seeds, not about other people.
";

const ELSEWHERE: &str = "\
The default was chosen at 25 %. Elsewhere fewer seeds and methods were run, so little is told apart; what is, is named. *Better*
and *worse* are of the worst group, against published methods over the seeds that both have; beside it stands what other
people, those of the selection rows, say of the same networks.
";

const CHOICE: &str = "\
Candidates are compared on selection rows, at 25 % of the MACs. What counts is the worst group, but no more than the dense
network's: what a candidate gains over it on a few people is their luck (six records in mitbih), not what pruning is for.
*Sum* is over the data sets, of means over seeds; seeds of a difference are those that both have.
";

const SIMON: &str = "\
*Claim* (Blakeney et al. 2021, CIFAR-100, masks): distillation, most of all attention transfer or probabilities with
knowledge distillation, makes CEV several times smaller at higher accuracy, without group labels. Here the teacher is the
dense network itself, trained on the same rows. A CEV ratio under 1 is in favour.
";

const MEYER: &str = "\
*Claim* (Meyer 2022, images of faces and of skin): weighing rows by the dense network's doubt, with corrected targets,
helps worse served groups in some configurations and not in all.
";

const BIFP: &str = "\
*Claim* (Dai et al. 2023, images of faces): learning mask and weights together under the fairness constraint beats two
stages. All have as many updates here.
";

const CKA: &str = "\
*Claim* (Blakeney et al. 2021): a network that is less like the dense one is more biased. But what is pruned more is less
like it and more biased at once. So the last correlation is that of ranks with the share of MACs held fixed; one point is
the mean of a method at a budget over the seeds 0 and 1, dissimilarity is 1 less the mean linear CKA of the layers on
selection rows. Methods with parts in common are no independent points, so the intervals are too short rather than too long.
";

const PRECHECK: &str = "\
The pre-check ranks groups by risk from the dense network alone. Rho is Spearman's correlation of that rank with what
pruning then did. Two groups can only be in order or not, so rho is 1 or -1 there and chance always explains it. All runs
of a case share its groups and their rows, so many runs that agree are not many proofs.
";

const COUNTS: &str = "\
The constraint with two, seven and twenty-four groups, each held against the same method without it. The data are those of
`evenkeel synth`: a sensor worn at so many sites, every second of them harder, and these together with a fifth of the people,
so that a harder one of 24 has one or two of a hundred rows. All three sets have as many rows. Networks are pruned to 10 % of
the MACs, with no limit on flash, under a bound of half a point, which pruning breaks where nothing holds it. On the real
data the constraint has little to do: there the networks stay near the bound of 2 points without it. Times are processor
times of the whole run, evaluation and verdict included, on a machine that did other work as well.
";

const KEPT: &str = "\
Runs are repeated only where the code of their method has changed, so they are of several builds of one version.
";

/// Writes the page and its plots in the folder beside it.
pub fn write(study: &Study, output: &Path) -> Result<()> {
    let stem = output.file_stem().map_or_else(|| "study".into(), |s| s.to_string_lossy().into_owned());
    let folder = output.with_extension("");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let save = |path: &Path, text: &str| std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()));
    let (text, plots) = page(study, &stem);
    for (name, svg) in plots {
        save(&folder.join(name), &svg)?;
    }
    save(output, &text)
}

/// The page, and file names and contents of its plots.
fn page(study: &Study, folder: &str) -> (String, Vec<(String, String)>) {
    let mut out = String::from("# The study\n\n");
    let mut plots = Vec::new();
    out.push_str("`cargo xtask study` runs it, `cargo xtask study page` makes this page from its results.\n\n");
    out.push_str(HOW);
    out.push_str(&format!(
        "\n{} runs, {} failed. The default is `{}`. Run with: {}.\n",
        study.runs.len() + study.failures.len(),
        study.failures.len(),
        study.default,
        study.programs.join("; ")
    ));
    out.push_str(KEPT);
    if study.others > 0 {
        out.push_str(&format!("{} results are of other contracts and left out.\n", study.others));
    }
    if study.programs.len() > 1 {
        out.push_str("\nThe runs are of several versions or schedules, so they do not all compare.\n");
    }
    let seen: BTreeSet<(&str, u32)> = study.runs.iter().map(|r| (r.case, r.budget)).collect();
    let cases: Vec<&Case> =
        CASES.iter().filter(|c| !c.counts() && BUDGETS.iter().any(|b| seen.contains(&(c.name, *b)))).collect();

    out.push_str("\n## The default against every method\n\nAt 25 % of the MACs, over the seeds that both have.\n\n");
    for case in &cases {
        out.push_str(&format!("### {}\n\n{}", case.name, claims::default_against_all(study, case.name)));
    }
    let sections = [
        ("The default at other budgets", ELSEWHERE, claims::default_elsewhere(study, &cases)),
        ("How the default was chosen", CHOICE, choice(study)),
        ("Does distillation mitigate?", SIMON, claims::pairs(study, &DISTILLATION)),
        ("Does the performance-weighted loss help?", MEYER, claims::pairs(study, &WEIGHTED)),
        ("Does one stage beat two?", BIFP, claims::pairs(study, &JOINT)),
        ("Does dissimilarity track bias?", CKA, claims::similarity(study)),
        ("Does the pre-check predict?", PRECHECK, claims::foresight(study)),
        ("How many groups?", COUNTS, counts(study)),
    ];
    for (head, words, body) in sections {
        out.push_str(&format!("## {head}\n\n{words}\n{body}"));
    }
    for case in cases {
        out.push_str(&format!("## {}\n\n{}\n", case.name, describe(study, case)));
        for (file, title, measure, mark) in [
            ("worst", "worst group, %", WORST, None),
            ("excess", "largest excess drop, points", EXCESS, Some(super::cases::BOUND)),
        ] {
            let mut budgets = BUDGETS;
            budgets.sort_by_key(|b| std::cmp::Reverse(*b));
            if let Some(svg) = draw(study, case.name, &budgets, &Figure { title, measure, mark }) {
                let name = format!("{}-{file}.svg", case.name);
                out.push_str(&format!("![{}: {title}]({folder}/{name})\n\n", case.name));
                plots.push((name, svg));
            }
        }
        for budget in BUDGETS.into_iter().filter(|b| seen.contains(&(case.name, *b))) {
            out.push_str(&format!("### {} at {budget} % of the MACs\n\n", case.name));
            out.push_str(&results(study, case.name, budget));
            out.push_str(&differences(study, case.name, budget));
        }
    }
    if !study.failures.is_empty() {
        out.push_str("## What failed\n\n");
        for f in &study.failures {
            out.push_str(&format!("- {} {} at {} %, seed {}: {}\n", f.case, f.method, f.budget, f.seed, f.error));
        }
    }
    (out.trim_end().to_owned() + "\n", plots)
}

/// The case in words.
fn describe(study: &Study, case: &Case) -> String {
    let clusters = case.cluster.map_or_else(|| "rows are independent".to_owned(), |c| format!("clustered by {c}"));
    let limits: Vec<String> = BUDGETS
        .iter()
        .zip(case.flash)
        .map(|(b, f)| format!("{b} % of the MACs and {}.{} % of the flash", f / 10, f % 10))
        .collect();
    let dense = study.runs.iter().find(|r| r.case == case.name).map_or_else(String::new, |r| {
        format!(
            " The dense network has {:.2} overall, {:.2} in its worst group.",
            100.0 * r.overall_dense,
            100.0 * r.worst_dense
        )
    });
    format!(
        "Network `{}` on `{}`, groups {}, metric {}, {clusters}. Limits: {}.{dense}\n",
        case.model,
        case.data,
        case.groups,
        case.metric,
        limits.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::summary::sample_study;

    #[test]
    fn the_page_has_every_section_and_its_plots() {
        let (text, plots) = page(&sample_study(), "study");
        for head in [
            "## The default against",
            "## How the default was chosen",
            "## Does one stage",
            "## How many groups?",
            "## motionsense",
            "## What failed",
        ] {
            assert!(text.contains(head), "{head}");
        }
        let names: Vec<&str> = plots.iter().map(|p| p.0.as_str()).collect();
        assert_eq!(names, ["motionsense-worst.svg", "motionsense-excess.svg"]);
        assert!(text.contains("(study/motionsense-worst.svg)") && text.contains("10 runs, 1 failed"));
        assert!(text.contains("bifp at 25 %, seed 1: no gates") && !text.contains("mitbih at"));
    }
}
