//! What a product manager reads, for each way that a verdict can end.

use super::super::tests::sample;
use super::*;
use crate::fair::verdict::WorstGroup;

/// A verdict on one group that was changed by hand, so that each case has the numbers that it is about.
fn of(change: impl Fn(&mut Report)) -> Explanation {
    let mut r = sample();
    r.verdict.groups.truncate(1);
    change(&mut r);
    explain(&r)
}

fn bounds(value: f64, lower: f64, upper: f64) -> Bounded {
    Bounded { value: Some(value), lower: Some(lower), upper: Some(upper) }
}

#[test]
fn what_was_asked_has_every_clause_and_limit() {
    let e = of(|r| r.verdict.limits.min_metric = Some(0.7));
    for want in [
        "har.onnx smaller (computation at most 40 % of the original's and working memory at most 8.79 KiB)",
        "no group by gender loses more than 2 points of right answers",
        "at most 10 points apart",
        "at least 70.0 %",
    ] {
        assert!(e.asked.contains(want), "{want}: {}", e.asked);
    }
}

#[test]
fn a_pass_says_what_is_promised_and_what_comes_next() {
    let e = of(|r| {
        r.verdict.verdict = Outcome::Pass;
        r.verdict.groups[0].verdict = Outcome::Pass;
        r.verdict.groups[0].excess_drop = bounds(0.001, -0.004, 0.013);
    });
    assert!(e.answer.contains("keeps the contract for every group (1 in all), with 95 % confidence"), "{}", e.answer);
    assert!(e.safe[0].why.ends_with("at most 1.3 points beyond everybody"), "{:?}", e.safe);
    assert!(e.open.is_empty() && e.broken.is_empty() && e.next[0].contains("Ship har.keel"), "{e:?}");
}

#[test]
fn an_undecided_group_is_told_what_to_collect() {
    let undecided = |r: &mut Report| {
        r.verdict.verdict = Outcome::Undecided;
        let g = &mut r.verdict.groups[0];
        g.verdict = Outcome::Undecided;
        g.excess_drop = bounds(0.01, -0.01, 0.03);
        g.words = String::new();
    };
    let e = of(|r| {
        undecided(r);
        r.verdict.groups[0].samples_missing = Some(4200);
    });
    assert!(e.answer.starts_with("Not shown") && e.answer.contains("for the only group"), "{}", e.answer);
    assert!(
        e.open[0].why.contains("loses 1.0 points more than everybody as measured, but it may be 3 more, 2 allowed"),
        "{:?}",
        e.open
    );
    assert!(e.next[0].contains("about 4\u{202f}200 more rows of gender=female (now 1500)"), "{:?}", e.next);
    // Clusters, and on which side.
    let e = of(|r| {
        undecided(r);
        r.verdict.cluster = Some("person".into());
        let g = &mut r.verdict.groups[0];
        (g.clusters, g.clusters_missing) = (Some(4), Some(9));
    });
    assert!(e.next[0].contains("about 9 more different persons of gender=female (now 4)"), "{:?}", e.next);
    let e = of(|r| {
        undecided(r);
        r.verdict.cluster = Some("person".into());
        let g = &mut r.verdict.groups[0];
        (g.clusters, g.clusters_missing) = (Some(4), Some(9));
        g.words = "excess drop: about 9 more of `person` outside the group would decide".into();
    });
    assert!(e.next[0].contains("persons of others than gender=female"), "{:?}", e.next);
    // A proof out of reach, and an estimate that is over the limit.
    let e = of(|r| {
        undecided(r);
        r.verdict.groups[0].samples_missing = Some(1_000_000);
    });
    assert!(e.next[0].contains("more than 20 times the test data"), "{:?}", e.next);
    let e = of(undecided);
    assert!(e.next[0].contains("larger budget"), "{:?}", e.next);
}

#[test]
fn a_broken_group_and_a_floor_have_their_reasons() {
    let e = of(|r| {
        r.verdict.verdict = Outcome::Fail;
        let g = &mut r.verdict.groups[0];
        g.verdict = Outcome::Fail;
        g.excess_drop = bounds(0.06, 0.03, 0.09);
    });
    assert!(e.answer.contains("breaks the contract for gender=female (the only group)"), "{}", e.answer);
    assert!(e.broken[0].why.contains("loses 6.0 points more than everybody, 2 allowed"), "{:?}", e.broken);
    assert!(e.next[0].contains("gender=female") && e.next[0].contains("--method"), "{:?}", e.next);
    let e = of(|r| {
        r.verdict.verdict = Outcome::Fail;
        r.verdict.limits.min_metric = Some(0.99);
        let g = &mut r.verdict.groups[0];
        g.verdict = Outcome::Fail;
        g.excess_drop = bounds(0.0, -0.01, 0.01);
        g.int8_interval = [0.9, 0.98];
    });
    assert!(e.broken[0].why.ends_with("below the floor of 99.0 %"), "{:?}", e.broken);
}

/// Those that lose most come first, and a group that loses less than others is not said to lose minus so much.
#[test]
fn many_groups_are_in_order_and_named() {
    let e = of(|r| {
        let group = |k: usize, verdict, excess: Bounded| GroupVerdict {
            group: format!("g={k}"),
            verdict,
            excess_drop: excess,
            ..r.verdict.groups[0].clone()
        };
        r.verdict.verdict = Outcome::Fail;
        r.verdict.groups = vec![
            group(0, Outcome::Undecided, bounds(-0.01, -0.05, 0.02004)),
            group(1, Outcome::Undecided, bounds(0.015, -0.01, 0.05)),
            group(2, Outcome::Fail, bounds(0.06, 0.03, 0.09)),
            group(3, Outcome::Undecided, bounds(0.0, -0.01, 0.05)),
        ];
    });
    assert!(e.answer.contains("for g=2 (1 of 4 groups)"), "{}", e.answer);
    let order: Vec<&str> = e.open.iter().map(|l| l.group.as_str()).collect();
    assert_eq!(order, ["g=1", "g=3", "g=0"]);
    assert!(e.open[1].why.contains("loses as much as everybody as measured"), "{:?}", e.open);
    let less = "loses 1.0 points less than everybody as measured, but it may be 2.1 more, 2 allowed";
    assert!(e.open[2].why.contains(less), "{:?}", e.open);
}

#[test]
fn groups_without_rows_are_named_once() {
    let e = of(|r| {
        r.verdict.verdict = Outcome::Undecided;
        let nobody = GroupVerdict {
            n: 0,
            dense: None,
            int8: None,
            excess_drop: Bounded::default(),
            ..r.verdict.groups[0].clone()
        };
        let named = |k: usize| GroupVerdict { group: format!("g={k}"), verdict: Outcome::Undecided, ..nobody.clone() };
        r.verdict.groups = (0..9).map(named).collect();
    });
    assert_eq!(e.open.len(), 1);
    assert_eq!(e.open[0].group, "g=0, g=1, g=2, g=3 and 5 more");
    assert!(e.next[0].contains("into `test`"), "{:?}", e.next);
}

#[test]
fn a_loss_of_everybody_and_levelling_down_are_said() {
    let e = of(|r| {
        (r.verdict.overall.dense, r.verdict.overall.int8) = (Some(0.9), Some(0.8));
        r.verdict.worst_group = Some(WorstGroup { group: "g=b".into(), int8: 0.7, dense: 0.75 });
        r.verdict.levelled_down.value = true;
        r.verdict.levelled_down.entries = vec!["gender".into()];
    });
    let found = e.found.join("\n");
    for want in ["Everybody loses 10 points", "served worst is g=b: 75.0 % before, 70.0 % after", "no gain in fairness"]
    {
        assert!(found.contains(want), "{want}: {found}");
    }
    // A PASS is no advice to ship what everybody loses by.
    let e = of(|r| {
        r.verdict.verdict = Outcome::Pass;
        (r.verdict.overall.dense, r.verdict.overall.int8) = (Some(0.9), Some(0.25));
    });
    assert!(e.next[0].contains("loss of 65 points for everybody") && e.next[0].contains("min_metric"), "{:?}", e.next);
    assert!(e.next[1].starts_with("If it is, ship"), "{:?}", e.next);
}

#[test]
fn no_monitor_is_promised_where_there_is_none() {
    let next = |metric: Metric| {
        of(|r| {
            r.verdict.verdict = Outcome::Pass;
            r.verdict.metric = metric;
        })
        .next
        .join(" ")
    };
    assert!(next(Metric::Accuracy).contains("monitor") && !next(Metric::MacroRecall).contains("monitor"));
}
