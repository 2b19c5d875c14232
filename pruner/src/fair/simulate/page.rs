//! The study of the verdict as a page in Markdown.

use super::cases::{Case, Clause, Who, recipes};
use super::control::Control;
use super::power::{Plan, needed};
use super::{Score, most_errors, simulate};
use crate::error::Result;
use std::fmt::Write;

/// Share of verdicts that may err.
const LEVEL: f64 = 0.05;

/// One cell with what it gave.
pub struct Cell {
    /// The case.
    pub case: Case,
    /// Its score.
    pub score: Score,
}

/// Runs all cells, calling `each` after every one.
///
/// # Errors
/// None but a mistake in a recipe.
pub fn run(runs: usize, seed: u64, mut each: impl FnMut(usize, usize)) -> Result<Vec<Cell>> {
    let recipes = recipes();
    let mut cells = Vec::with_capacity(recipes.len());
    for (i, recipe) in recipes.iter().enumerate() {
        let case = recipe.case()?;
        let score = simulate(&case, runs, seed);
        cells.push(Cell { case, score });
        each(i + 1, recipes.len());
    }
    Ok(cells)
}

/// Whether every cell errs less often than chance allows an error of 5 %, in false claims and in printed bounds, and
/// every negative control errs more often in some cell. A count that only just meets what chance allows speaks for a
/// larger error than for a smaller one, so it does not hold.
pub fn holds(cells: &[Cell]) -> bool {
    let most = |s: &Score| most_errors(s.runs, LEVEL);
    let seen = |c: Control| cells.iter().any(|cell| cell.score.controls[c as usize] > most(&cell.score));
    cells.iter().all(|c| c.score.claims.max(c.score.uncovered) < most(&c.score))
        && [Control::NotSimultaneous, Control::RowsIndependent, Control::Wald].into_iter().all(seen)
}

/// How often bounds that a verdict prints do not cover the truth, in the cell where they do so most often.
pub fn coverage(cells: &[Cell]) -> String {
    let worst = cells.iter().map(|c| c.score).max_by_key(|s| s.uncovered).unwrap_or_default();
    format!(
        "verdicts with a printed bound of an excess drop under the truth: at most {} of {} in a cell ({:.1} %)",
        worst.uncovered,
        worst.runs,
        100.0 * worst.uncovered as f64 / worst.runs.max(1) as f64
    )
}

/// The page. `power` is run on `runs` verdicts for each size that is tried.
///
/// # Errors
/// None but a mistake in a plan.
pub fn page(cells: &[Cell], command: &str, power: usize, seed: u64) -> Result<String> {
    let runs = cells.first().map_or(0, |c| c.score.runs);
    let most = most_errors(runs, LEVEL);
    let mut out = format!(
        "# Does the verdict hold?\n\n\
         PASS says: with the contract's confidence (95 % here) over the draw of the verdict's data, no group's excess drop, \
         gap or metric is beyond its limit, for all groups and limits at once. This page checks that promise on models \
         whose true rates are known. It is made by\n\n```sh\n{command}\n```\n\n\
         Each cell draws {runs} sets of verdict data from one population and judges each with the code that judges a user's \
         data. The truth of the groups in question lies exactly **on** a limit: a model there must not pass, and none that \
         must not pass has it easier. A **false claim** is a verdict that says PASS of such a group or gap. At most 5 % may, \
         and by chance up to {most} of {runs} then do (one study of a thousand shows more); a cell that counts so many is not \
         said to hold.\n\n\
         What is assumed: rows (or clusters, where the contract names their column) are drawn independently from the \
         population that the promise is about; groups are labelled right (see `group_noise` otherwise); the rows were not \
         used before. Cluster sizes, class mixes and group sizes vary from draw to draw.\n\n"
    );
    let worst = cells.iter().map(|c| c.score.claims).max().unwrap_or(0);
    let say = if holds(cells) { "**It holds**" } else { "**It does not hold**" };
    let _ = writeln!(
        out,
        "{say}: the most false claims in any of {} cells are {worst} of {runs} ({:.1} %).\n",
        cells.len(),
        100.0 * worst as f64 / runs.max(1) as f64
    );
    let over = cells.iter().filter(|c| c.score.claims as f64 > LEVEL * runs as f64).count();
    let _ = writeln!(
        out,
        "Cells over 5 % as counted: {over}. The column counts a verdict where a single group is wrongly said to PASS; a verdict \
         as a whole says PASS only when every group does, so it errs at most as often. A PASS of the whole would keep its \
         promise even without the correction for many groups: one broken group is enough to refuse it, and that group's own \
         bound errs in at most 5 %. What the correction protects is each group's own PASS, and the bounds that are printed \
         beside it, all of them at once.\n"
    );
    out.push_str(
        "The last columns are negative controls on the same data, in per cent of false claims: bounds without the \
         correction for many groups, rows of a cluster taken as independent, and Wald's bounds (estimate plus normal quantile \
         times standard error). Bold ones err more often than chance allows; that they are seen to fail shows that the \
         cells can tell.\n\n\
         | truth on the limit | metric | groups | sizes | data | flips % | correlation | false claims | one at a time | rows independent | Wald |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for c in cells {
        row(&mut out, c, most);
    }
    out.push_str(
        "\nflips: harmful and helpful ones of the groups that are not on the limit. correlation: of two rows of one cluster. \
         Unequal sizes fall as 1, 1/2, 1/3, …: of 24 groups the first has 24 times the rows of the last.\n\n",
    );
    out.push_str(&power_table(power, seed)?);
    Ok(out)
}

fn row(out: &mut String, c: &Cell, most: usize) {
    let (a, s) = (&c.case.about, &c.score);
    let clause = match a.clause {
        Clause::ExcessDrop => "excess drop",
        Clause::Gap => "gap",
        Clause::Floor => "floor",
    };
    let who = match a.on_the_limit {
        Who::One => "one group",
        Who::Half => "half of the groups",
        Who::All => "all groups",
    };
    let percent = |n: usize| format!("{:.1}", 100.0 * n as f64 / s.runs.max(1) as f64);
    let control = |k: Control| match c.case.controls.contains(&k) {
        false => "–".to_owned(),
        true if s.controls[k as usize] > most => format!("**{}**", percent(s.controls[k as usize])),
        true => percent(s.controls[k as usize]),
    };
    let _ = writeln!(
        out,
        "| {clause}, {who} | {} | {} | {} | {} | {} / {} | {} | {} ({} %) | {} | {} | {} |",
        a.metric,
        a.groups,
        if a.equal { "equal" } else { "unequal" },
        a.data,
        a.flips[0],
        a.flips[1],
        a.icc,
        s.claims,
        percent(s.claims),
        control(Control::NotSimultaneous),
        control(Control::RowsIndependent),
        control(Control::Wald),
    );
}

/// How much data a fair model needs for a PASS, four times of five.
fn power_table(runs: usize, seed: u64) -> Result<String> {
    let mut out = format!(
        "## How much data\n\n\
         Data in the smallest group (groups of equal size) so that a model with no excess drop at all passes a bound of 2 \
         points with probability 0.8, found by simulation with {runs} verdicts for each size that is tried. `evenkeel plan` \
         answers this for other numbers.\n\n\
         | harmful / helpful flips | groups | independent rows | clusters of 20 rows, correlation 0.05 |\n\
         | --- | --- | --- | --- |\n"
    );
    for flips in [[0.01, 0.005], [0.03, 0.02], [0.06, 0.05]] {
        for groups in [2, 7, 24] {
            let plan = Plan { shares: vec![1.0; groups], flips, bound: 0.02, ..Plan::default() };
            let clustered = Plan { cluster: Some((20, 20)), icc: 0.05, ..plan.clone() };
            let say = |plan: &Plan| -> Result<String> {
                Ok(needed(plan, 0.8, runs, seed)?.map_or_else(|| "more than 100,000".to_owned(), |n| n.to_string()))
            };
            let _ = writeln!(
                out,
                "| {} % / {} % | {groups} | {} | {} |",
                100.0 * flips[0],
                100.0 * flips[1],
                say(&plan)?,
                say(&clustered)?
            );
        }
    }
    Ok(out)
}
