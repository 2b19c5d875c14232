//! The verdict on rows whose truth is known.

use super::*;
use crate::contract::{Contract, Metric};
use crate::fair::metrics::value;
use crate::fair::table;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn fairness(extra: &str) -> Fairness {
    Contract::parse(&format!("[fairness]\ngroups = [\"g\"]\n{extra}")).unwrap().fairness
}

/// One entry whose groups are the values of `g`.
fn entry(g: &[usize], k: usize) -> Entry {
    let rows = |v: usize| (0..g.len()).filter(|&i| g[i] == v).collect();
    let groups = (0..k).map(|v| Group { name: format!("g={v}"), rows: rows(v) }).collect();
    Entry { name: "g".into(), groups }
}

/// Rows of class 0 where dense is always right; in group `k` the small model is wrong on `wrong[k]` of `n[k]` rows.
fn made(n: &[usize], wrong: &[usize]) -> (Vec<usize>, Vec<usize>, Predictions) {
    let g: Vec<usize> = n.iter().enumerate().flat_map(|(k, &n)| std::iter::repeat_n(k, n)).collect();
    let small: Vec<usize> = n.iter().zip(wrong).flat_map(|(&n, &w)| (0..n).map(move |i| usize::from(i < w))).collect();
    (vec![0; g.len()], g, Predictions { dense: vec![0; small.len()], pruned: small.clone(), int8: small })
}

fn judge(n: &[usize], wrong: &[usize], extra: &str) -> Verdict {
    let (y, g, p) = made(n, wrong);
    evaluate(&y, &[entry(&g, n.len())], None, &p, &fairness(extra))
}

/// Group 1 truly breaks the contract, and labels that lie hide it; the bound for such labels does not fall for it.
#[test]
fn wrong_labels_of_groups_do_not_win_a_pass() {
    let (n, wrong) = ([3000, 1000], [30, 45]);
    let (y, truth, p) = made(&n, &wrong);
    // 5 % of group 1's labels are wrong: rows with a harmful flip went to group 0, and as many others came.
    let mut lied = truth.clone();
    let of = |g: usize, flipped: bool| -> Vec<usize> {
        (0..y.len()).filter(|&i| truth[i] == g && (p.int8[i] != 0) == flipped).take(45).collect()
    };
    of(1, true).into_iter().for_each(|i| lied[i] = 0);
    of(0, false).into_iter().for_each(|i| lied[i] = 1);
    let judge = |g: &[usize], extra: &str| evaluate(&y, &[entry(g, 2)], None, &p, &fairness(extra)).groups[1].clone();
    assert_ne!(judge(&truth, "max_excess_drop = 0.02").verdict, Outcome::Pass);
    assert_eq!(judge(&lied, "max_excess_drop = 0.02").verdict, Outcome::Pass, "nobody knows");
    let wary = judge(&lied, "max_excess_drop = 0.02\ngroup_noise = 0.05");
    assert_eq!(wary.verdict, Outcome::Undecided);
    let bound = wary.excess_drop.upper.unwrap();
    assert!(bound > judge(&truth, "max_excess_drop = 0.02").excess_drop.value.unwrap(), "{bound}");
    // What is missing are labels, not clusters or rows.
    assert!(wary.words.contains("group_noise") && wary.words.contains("surer labels"), "{}", wary.words);
    assert_eq!((wary.samples_missing, wary.clusters_missing), (None, None));
}

/// All wrong labels of a group may be of the one class that the metric counts.
#[test]
fn wrong_labels_may_all_be_of_the_rare_class() {
    // 1000 rows a group, 50 of class 1; the small network loses one of group 0 and none of group 1.
    let y: Vec<usize> = (0..2000).map(|i| usize::from(i % 20 == 0)).collect();
    let groups: Vec<usize> = (0..2000).map(|i| i / 1000).collect();
    let p = Predictions {
        dense: y.clone(),
        pruned: y.clone(),
        int8: y.iter().enumerate().map(|(i, y)| if i == 0 { 0 } else { *y }).collect(),
    };
    let of = |extra: &str| {
        let f = fairness(&format!("metric = \"recall:1\"\nmax_excess_drop = 0.9\n{extra}"));
        evaluate(&y, &[entry(&groups, 2)], None, &p, &f).groups[1].clone()
    };
    let (sure, wary) = (of(""), of("group_noise = 0.02"));
    // 20 labels may be wrong: the harmed row may be one of group 1's, and 20 rows that count may be somebody else's.
    let [a, b] = [&sure, &wary].map(|g| g.excess_drop.upper.unwrap());
    assert!(b - a > 0.2, "{a} {b}");
    assert!(wary.int8_interval[0] < sure.int8_interval[0] - 0.2, "{wary:?}");
}

#[test]
fn pass_fail_and_undecided() {
    let v = judge(&[2000, 2000], &[40, 44], "max_excess_drop = 0.02");
    assert_eq!((v.verdict, v.bounds, v.overall.n), (Outcome::Pass, 2, 4000));
    let g = &v.groups[1];
    assert!((g.excess_drop.value.unwrap() - 0.001).abs() < 1e-12 && g.excess_drop.upper.unwrap() < 0.02);
    assert_eq!((g.dense, g.int8, g.harmful_flips, g.churn), (Some(1.0), Some(0.978), Some(0.022), Some(0.022)));
    assert_eq!(v.worst_group.as_ref().unwrap().group, "g=1");

    let v = judge(&[2000, 2000], &[40, 400], "max_excess_drop = 0.02");
    assert_eq!((v.verdict, v.groups[0].verdict, v.groups[1].verdict), (Outcome::Fail, Outcome::Pass, Outcome::Fail));
    assert!(v.groups[1].words.contains("more than chance"));

    let v = judge(&[2000, 100], &[40, 3], "max_excess_drop = 0.02");
    let g = &v.groups[1];
    assert_eq!((v.verdict, g.verdict), (Outcome::Undecided, Outcome::Undecided));
    let missing = g.samples_missing.unwrap();
    assert!((100..5000).contains(&missing) && g.words.contains(&missing.to_string()), "{g:?}");

    let v = judge(&[2000, 100], &[40, 6], "max_excess_drop = 0.02");
    assert_eq!((v.groups[1].verdict, v.groups[1].samples_missing), (Outcome::Undecided, None));
    assert!(v.groups[1].words.contains("more likely show a FAIL"));
}

#[test]
fn the_missing_samples_suffice() {
    let small = judge(&[2000, 100], &[40, 3], "max_excess_drop = 0.02");
    let factor = 1 + small.groups[1].samples_missing.unwrap() as usize / 100 + 1;
    let large = judge(&[2000 * factor, 100 * factor], &[40 * factor, 3 * factor], "max_excess_drop = 0.02");
    assert_eq!(large.groups[1].verdict, Outcome::Pass, "{:?}", large.groups[1]);
}

#[test]
fn floors_and_gaps_are_clauses() {
    let extra = "max_excess_drop = 0.1\nmin_metric = 0.9\nmax_gap = 0.05";
    let v = judge(&[2000, 2000], &[40, 60], extra);
    assert_eq!((v.verdict, v.bounds, v.gap.verdict), (Outcome::Pass, 5, Some(Outcome::Pass)));
    let e = &v.gap.entries[0];
    assert_eq!((e.best.as_str(), e.worst.as_str(), e.dense), ("g=0", "g=1", 0.0));
    assert!((e.int8 - 0.01).abs() < 1e-12 && e.upper.unwrap() < 0.05 && e.lower.unwrap() >= 0.0);
    let v = judge(&[2000, 2000], &[40, 300], extra);
    assert_eq!((v.groups[1].verdict, v.gap.verdict, v.verdict), (Outcome::Fail, Some(Outcome::Fail), Outcome::Fail));
}

#[test]
fn everybody_and_nobody() {
    let v = judge(&[500], &[20], "max_excess_drop = 0.01");
    let zero = Bounded { value: Some(0.0), lower: Some(0.0), upper: Some(0.0) };
    assert_eq!((v.verdict, v.groups[0].excess_drop), (Outcome::Pass, zero));
    assert!(v.notes[0].contains("everybody"));
    let v = judge(&[2000, 0, 2000], &[40, 0, 40], "max_excess_drop = 0.02");
    let g = &v.groups[1];
    assert_eq!(
        (v.verdict, g.verdict, g.int8, g.excess_drop.value),
        (Outcome::Undecided, Outcome::Undecided, None, None)
    );
    assert_eq!(v.bounds, 2);
    let v = judge(&[0, 0], &[0, 0], "max_excess_drop = 0.02");
    assert_eq!((v.verdict, v.worst_group), (Outcome::Undecided, None));
}

#[test]
fn fpr_counts_harm_upwards() {
    // Everybody is class 0; the small model raises false alarms for class 1 in group 1.
    let (y, g, p) = made(&[1000, 1000], &[10, 200]);
    let v = evaluate(&y, &[entry(&g, 2)], None, &p, &fairness("max_excess_drop = 0.02\nmetric = \"fpr:1\""));
    let g = &v.groups[1];
    assert_eq!((g.dense, g.int8, g.verdict), (Some(0.0), Some(0.2), Outcome::Fail));
    assert!((g.drop.value.unwrap() - 0.2).abs() < 1e-12 && g.excess_drop.value.unwrap() > 0.0);
    assert_eq!(v.worst_group.unwrap().group, "g=1");
}

#[test]
fn clusters_widen_the_bounds_and_one_cluster_bounds_nothing() {
    let (y, g, p) = made(&[1000, 1000], &[50, 50]);
    let f = fairness("max_excess_drop = 0.05\ncluster = \"subject\"");
    let run = |per: u32| {
        let clusters: Vec<u32> = (0..2000).map(|i| i / per).collect();
        evaluate(&y, &[entry(&g, 2)], Some(&clusters), &p, &f)
    };
    // All flips are in the first subject of each group.
    let v = run(100);
    assert_eq!((v.groups[0].clusters, v.groups[0].verdict), (Some(10), Outcome::Undecided));
    assert!(v.groups[0].clusters_missing.is_some() && v.groups[0].words.contains("`subject`"));
    let v = run(1000);
    assert_eq!((v.groups[0].excess_drop.upper, v.groups[0].verdict), (None, Outcome::Undecided));
    assert!(v.groups[0].clusters_missing == Some(1) && v.groups[0].words.contains("no bound"));
    assert_eq!(run(1).verdict, Outcome::Pass);
}

#[test]
fn levelling_down_is_named() {
    // Dense: 90 % and 80 %; small: 70 % and 68 %. The gap closed because everybody lost.
    let g: Vec<usize> = (0..4000).map(|i| usize::from(i >= 2000)).collect();
    let pred = |right: [usize; 2]| (0..4000).map(|i| usize::from(i % 2000 >= right[i / 2000])).collect::<Vec<_>>();
    let small = pred([1400, 1360]);
    let p = Predictions { dense: pred([1800, 1600]), pruned: small.clone(), int8: small };
    let f = fairness("max_excess_drop = 0.2");
    let v = evaluate(&[0; 4000], &[entry(&g, 2)], None, &p, &f);
    assert!(v.levelled_down.value && v.levelled_down.entries == ["g"]);
    let p = Predictions { dense: p.dense, pruned: pred([1700, 1610]), int8: pred([1700, 1610]) };
    assert!(!evaluate(&[0; 4000], &[entry(&g, 2)], None, &p, &f).levelled_down.value);
}

#[test]
fn json_has_the_promised_keys_and_comes_back() {
    let v = judge(&[2000, 100, 0], &[40, 3, 0], "max_excess_drop = 0.02\nmax_gap = 0.1");
    let json = serde_json::to_value(&v).unwrap();
    for key in ["verdict", "confidence", "metric", "overall", "groups", "worst_group", "gap", "levelled_down"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    for key in
        ["group", "n", "clusters", "dense", "pruned", "int8", "int8_interval", "harmful_flips", "samples_missing"]
    {
        assert!(json["groups"][0].get(key).is_some(), "{key}");
    }
    assert_eq!((json["verdict"].as_str(), json["groups"][0]["verdict"].as_str()), (Some("UNDECIDED"), Some("PASS")));
    assert!(json["groups"][0]["excess_drop"]["upper"].is_f64() && json["groups"][2]["excess_drop"]["upper"].is_null());
    assert_eq!(serde_json::from_value::<Verdict>(json).unwrap(), v);
    let text = table(&v);
    assert!(text.contains("UNDECIDED") && text.contains("worst group: g=1") && text.contains("more rows"), "{text}");
}

proptest! {
    /// The contrast behind psi equals the definition for every metric, and strata cover what they must.
    #[test]
    fn excess_drop_is_the_definition(
        rows in prop::collection::vec((0usize..3, 0usize..3, 0usize..3, 0usize..3), 2..120), m in 0usize..4,
    ) {
        let metric = [Metric::Accuracy, Metric::Recall(1), Metric::Fpr(2), Metric::MacroRecall][m];
        let y: Vec<usize> = rows.iter().map(|r| r.0).collect();
        let g: Vec<usize> = rows.iter().map(|r| r.1).collect();
        let dense: Vec<usize> = rows.iter().map(|r| r.2).collect();
        let small: Vec<usize> = rows.iter().map(|r| r.3).collect();
        let p = Predictions { dense: dense.clone(), pruned: small.clone(), int8: small.clone() };
        let mut f = fairness("max_excess_drop = 0.02");
        f.metric = metric;
        let e = entry(&g, 3);
        let v = evaluate(&y, std::slice::from_ref(&e), None, &p, &f);
        let all: Vec<usize> = (0..y.len()).collect();
        let drop = |rows: &[usize]| {
            Some(sign(metric) * (value(metric, &y, &dense, rows)? - value(metric, &y, &small, rows)?))
        };
        for (group, judged) in e.groups.iter().zip(&v.groups) {
            let want = drop(&group.rows).zip(drop(&all)).map(|(g, o)| g - o);
            prop_assert_eq!(want.is_some(), judged.excess_drop.value.is_some());
            if let (Some(w), Some(got)) = (want, judged.excess_drop.value) {
                prop_assert!((w - got).abs() < 1e-12, "{} {}", w, got);
                let (lo, hi) = (judged.excess_drop.lower.unwrap(), judged.excess_drop.upper.unwrap());
                prop_assert!(lo <= got && got <= hi);
                prop_assert!((judged.drop.value.unwrap() - drop(&group.rows).unwrap()).abs() < 1e-12);
            }
        }
    }
}

/// Models whose group 0 breaks the contract by nothing: its excess drop is exactly the limit. Such a model may pass
/// in at most 5 % of the draws.
#[test]
fn a_model_at_the_limit_seldom_passes() {
    const DRAWS: usize = 1000;
    const LIMIT: f64 = 0.03;
    let mut rng = ChaCha8Rng::seed_from_u64(2024);
    for (name, sizes, metric) in [
        ("two equal groups", vec![600, 600], "accuracy"),
        ("unequal groups", vec![150, 1200, 300], "accuracy"),
        ("macro recall", vec![300, 900], "macro_recall"),
    ] {
        let n: usize = sizes.iter().sum();
        let rest = (n - sizes[0]) as f64 / n as f64;
        let g: Vec<usize> = sizes.iter().enumerate().flat_map(|(k, &n)| std::iter::repeat_n(k, n)).collect();
        let y: Vec<usize> = (0..n).map(|i| i % 3).collect();
        let e = entry(&g, sizes.len());
        let f = fairness(&format!("max_excess_drop = {LIMIT}\nmetric = \"{metric}\""));
        let (mut passes, mut fails) = (0, 0);
        for _ in 0..DRAWS {
            // Dense is right on 85 %; the small model flips 4 % to wrong (more in group 0) and 25 % of errors to right.
            let (mut dense, mut small) = (vec![], vec![]);
            for i in 0..n {
                let right = rng.random::<f64>() < 0.85;
                let harm = 0.04 + if g[i] == 0 { LIMIT / rest / 0.85 } else { 0.0 };
                let stays = if right { rng.random::<f64>() >= harm } else { rng.random::<f64>() < 0.25 };
                let wrong = (y[i] + 1) % 3;
                dense.push(if right { y[i] } else { wrong });
                small.push(if stays { y[i] } else { wrong });
            }
            let p = Predictions { dense, pruned: small.clone(), int8: small };
            match evaluate(&y, std::slice::from_ref(&e), None, &p, &f).verdict {
                Outcome::Pass => passes += 1,
                Outcome::Fail => fails += 1,
                Outcome::Undecided => {}
            }
        }
        let share = |k: usize| k as f64 / DRAWS as f64;
        println!("{name:18} PASS {:4.1} %  FAIL {:4.1} %", 100.0 * share(passes), 100.0 * share(fails));
        let most = 0.05 + 3.0 * (0.05 * 0.95 / DRAWS as f64).sqrt();
        assert!(share(passes) <= most && share(fails) <= most, "{name}: {passes} {fails}");
    }
}
