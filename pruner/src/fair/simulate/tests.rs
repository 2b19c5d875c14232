//! A short version of the study, and that it is about the code that users run.

use super::cases::recipes;
use super::*;
use crate::contract::Contract;
use crate::data::{Column, Rows};
use crate::fair::judge_selection;

#[test]
fn a_draw_is_judged_as_a_users_rows_are() {
    for recipe in recipes().into_iter().filter(|r| r.groups == 7) {
        let case = recipe.case().unwrap();
        let d = drawn(&case, 3, 5);
        let column = |codes: Vec<u32>| {
            let most = codes.iter().max().map_or(0, |m| m + 1);
            Column { values: (0..most).map(|v| v.to_string()).collect(), codes }
        };
        let mut groups = vec![0; d.y.len()];
        for (k, g) in d.entry.groups.iter().enumerate() {
            g.rows.iter().for_each(|&i| groups[i] = k as u32);
        }
        let mut columns = vec![("g".to_owned(), column(groups))];
        columns.extend(d.clusters.clone().map(|c| ("c".to_owned(), column(c))));
        let rows = Rows {
            sample: vec![1],
            x: vec![0.0; d.y.len()],
            y: d.y.clone(),
            classes: 4,
            columns: columns.into_iter().collect(),
        };
        let contract = Contract {
            fairness: case.fairness.clone(),
            budget: Default::default(),
            input: Default::default(),
            text: String::new(),
        };
        let v = judge_selection(&rows, &contract, &d.predictions).unwrap();
        assert_eq!(v, judge(&d, true, &case.fairness, Correction::Simultaneous));
    }
}

#[test]
fn truths_lie_on_the_limit() {
    for recipe in recipes() {
        let case = recipe.case().unwrap();
        let truth = case.world.truth();
        let rates = case
            .world
            .groups
            .iter()
            .flat_map(|g| &g.classes)
            .all(|c| c.harm >= 0.0 && c.help >= 0.0 && c.both >= 0.0 && c.both + c.harm + c.help <= 1.0);
        assert!(rates, "{recipe:?}");
        let on = (0..recipe.groups).filter(|&g| broken(g, &case.fairness, &truth)).count();
        let want = match (recipe.clause, recipe.who) {
            (cases::Clause::Gap, _) => 0,
            (_, cases::Who::One) => 1,
            (_, cases::Who::Half) => recipe.groups.div_ceil(2),
            (_, cases::Who::All) => recipe.groups,
        };
        assert_eq!(on, want, "{recipe:?} {truth:?}");
        // Nobody is beyond it.
        assert!(truth.excess.iter().all(|e| *e <= case.fairness.max_excess_drop + 1e-9));
    }
}

#[test]
fn errors_that_chance_allows() {
    assert_eq!((most_errors(2000, 0.05), most_errors(0, 0.05)), (131, 0));
}

#[test]
fn a_count_on_the_threshold_does_not_hold() {
    let most = most_errors(2000, 0.05);
    let holds = |claims, uncovered, control| {
        let case = recipes()[0].case().unwrap();
        let score = Score { runs: 2000, passes: 0, claims, uncovered, controls: [control; 3] };
        page::holds(&[page::Cell { case, score }])
    };
    assert!(holds(most - 1, most - 1, most + 1));
    assert!(!holds(most, 0, most + 1), "false claims on the threshold");
    assert!(!holds(0, most, most + 1), "bounds under the truth on the threshold");
    assert!(!holds(0, 0, most), "a control on the threshold is not seen to fail");
}

#[test]
fn the_worst_coverage_is_told() {
    let cell = |uncovered| page::Cell {
        case: recipes()[0].case().unwrap(),
        score: Score { runs: 2000, uncovered, ..Score::default() },
    };
    assert!(page::coverage(&[cell(7), cell(50), cell(3)]).contains("at most 50 of 2000 in a cell (2.5 %)"));
}

/// What the page says of itself, in the words that are published.
#[test]
fn the_published_page_has_the_words_of_this_one() {
    let score = Score { runs: 2000, claims: 1, ..Score::default() };
    let cell = page::Cell { case: recipes()[0].case().unwrap(), score };
    let text = page::page(&[cell], "cargo xtask study verdict", 1, 1).unwrap();
    let published = include_str!("../../../../docs/verdict.md");
    // Paragraphs without a figure of the study, which one cell does not have.
    let paragraphs = |start: &str| text.split("\n\n").find(|p| p.starts_with(start)).map(str::to_owned).unwrap();
    for start in ["PASS says", "Each cell draws", "What is assumed", "The last columns"] {
        let ours = paragraphs(start);
        let words = ours.split("\n|").next().unwrap();
        assert!(published.contains(words), "{words}");
    }
    let counted = paragraphs("Cells over 5 %");
    assert!(published.contains(counted.trim_end()), "{counted}");
}

/// Some hundred verdicts where many groups lie on the limit: few say PASS, and bounds one at a time say it too often.
#[test]
fn the_promise_holds_and_the_control_fails() {
    let recipe = recipes().into_iter().find(|r| r.groups == 24 && r.who == cases::Who::Half && r.cluster.is_none());
    let score = simulate(&recipe.unwrap().case().unwrap(), 200, 7);
    assert!(score.claims < most_errors(200, 0.05) && score.uncovered < most_errors(200, 0.05), "{score:?}");
    assert!(score.controls[control::Control::NotSimultaneous as usize] > most_errors(200, 0.05), "{score:?}");
}

/// Labels that are wrong in the worst way that their share allows, in populations where few rows can be exchanged: how
/// few is itself only seen in the sample.
#[test]
fn wrong_labels_win_no_pass() {
    use crate::contract::Metric;
    use crate::fair::noise::rise;
    const NOISE: f64 = 0.05;
    const RUNS: usize = 300;
    for (own, others, flips, elsewhere) in [
        (2000.0, 6000.0, [0.02, 0.01], 0.012),
        (400.0, 7600.0, [0.01, 0.0], 0.002),
        (200.0, 9800.0, [0.002, 0.0], 0.0008),
    ] {
        let rows: f64 = own + others;
        let group = |rows_in: f64, [harm, help]: [f64; 2]| world::Group {
            share: rows_in / rows,
            classes: vec![world::Class { mix: 1.0, both: 0.85, harm, help }],
        };
        // As labelled; what the labels hide comes on top.
        let world = world::World {
            metric: Metric::Accuracy,
            groups: vec![group(own, flips), group(others, [elsewhere, 0.0])],
            icc: 0.0,
        };
        let hidden = rise(own, flips.map(|f| own * f), [own * flips[1], others * elsewhere], NOISE * own);
        let limit = world.truth().excess[0] + hidden;
        let contract = format!("[fairness]\ngroups = [\"g\"]\nmax_excess_drop = {limit}\ngroup_noise = {NOISE}\n");
        let fairness = Contract::parse(&contract).unwrap().fairness;
        let sampling = draw::Sampling::Independent { rows: rows as usize };
        let passes = |run: &usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(11);
            rng.set_stream(*run as u64);
            let d = draw(&world, &sampling, &mut rng);
            judge(&d, false, &fairness, Correction::Simultaneous).groups[0].verdict == Outcome::Pass
        };
        let wrong = (0..RUNS).filter(passes).count();
        assert!(wrong <= most_errors(RUNS, 0.025), "{own} rows: {wrong} of {RUNS}");
    }
}
