//! Every metric against fairlearn, AIF360, scikit-learn and SciPy: `tests/golden/fairness.json`, which
//! `cargo xtask golden` makes anew.

use super::bootstrap::quantile;
use super::calibration::{Calibration, Scores};
use super::confusion::Confusion;
use super::parity::{self, Aggregate, extremes, least_ratio, range};
use super::{change, cka, disparity, exemplars, metrics, stats};
use crate::contract::Metric;
use crate::net::set::classes;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/fairness.json")).unwrap()
}

fn list<T: DeserializeOwned>(v: &Value) -> Vec<T> {
    serde_json::from_value(v.clone()).unwrap()
}

/// Equal to one part in 10⁹, or both without value. A difference of nothing may be left as rounding of a sum of ones.
#[track_caller]
fn same(name: &str, got: Option<f64>, want: &Value) {
    match (got, want.as_f64()) {
        (None, None) => {}
        (Some(a), Some(b)) if (a - b).abs() <= 1e-9 * b.abs() || (b.abs() < 1e-15 && a.abs() < 1e-15) => {}
        (got, want) => panic!("{name}: {got:?} is not {want:?}"),
    }
}

/// One data set of the golden file.
struct Case {
    json: Value,
    classes: usize,
    y: Vec<usize>,
    /// Predictions and scores, dense and small.
    models: [(Vec<usize>, Scores); 2],
    a: Vec<usize>,
    b: Vec<usize>,
}

const MODELS: [&str; 2] = ["dense", "small"];

impl Case {
    fn new(name: &str) -> Self {
        let json = golden()[name].clone();
        let (n, y) = (json["classes"].as_u64().unwrap() as usize, list::<usize>(&json["y"]));
        let model = |m: &str| {
            let logits: Vec<f32> = list(&json[format!("{m}_logits")]);
            (classes(&logits, n), Scores::from_logits(&logits, &y).unwrap())
        };
        let models = MODELS.map(model);
        let [a, b] = ["a", "b"].map(|k| list(&json[k]));
        Case { classes: n, models, a, b, y, json }
    }

    fn rows(&self, keep: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.y.len()).filter(|&i| keep(i)).collect()
    }

    /// The rows of a group by its name, such as `a=1*b=0`.
    fn group(&self, name: &str) -> Vec<usize> {
        if name == "everybody" {
            return self.rows(|_| true);
        }
        let parts: Vec<(&str, usize)> =
            name.split('*').map(|p| p.split_once('=').unwrap()).map(|(c, v)| (c, v.parse().unwrap())).collect();
        self.rows(|i| parts.iter().all(|(c, v)| (if *c == "a" { &self.a } else { &self.b })[i] == *v))
    }

    fn confusion(&self, model: usize, rows: &[usize]) -> Confusion {
        Confusion::of(&self.y, &self.models[model].0, rows, self.classes)
    }

    /// Group names of an entry.
    fn names(entry: &str) -> Vec<String> {
        let (a, b) = ((0..3).map(|k| format!("a={k}")), (0..2).map(|k| format!("b={k}")));
        match entry {
            "a" => a.collect(),
            "b" => b.collect(),
            _ => a.flat_map(|a| (0..2).map(move |k| format!("{a}*b={k}"))).collect(),
        }
    }

    fn calibration(&self, model: usize, rows: &[usize]) -> Calibration {
        let (pred, scores) = &self.models[model];
        Calibration::of(scores, |i| pred[i] == self.y[i], rows)
    }
}

const CASES: [&str; 3] = ["binary", "multi", "empty_cell"];

#[test]
fn rates_and_calibration_of_every_group() {
    for name in CASES {
        let c = Case::new(name);
        for (k, model) in MODELS.iter().enumerate() {
            let mut groups = c.json[model]["groups"].as_object().unwrap().clone();
            groups.insert("everybody".into(), c.json[model]["everybody"].clone());
            assert_eq!(groups.len(), 12);
            for (group, want) in &groups {
                let rows = c.group(group);
                let (m, cal) = (c.confusion(k, &rows), c.calibration(k, &rows));
                assert_eq!(m.rows() as u64, want["n"].as_u64().unwrap());
                let check = |what: &str, got, want: &Value| same(&format!("{name} {model} {group} {what}"), got, want);
                check("accuracy", m.accuracy(), &want["accuracy"]);
                check("balanced accuracy", m.balanced_accuracy(), &want["balanced_accuracy"]);
                check("ece", cal.ece(), &want["ece"]);
                check("brier", cal.brier(), &want["brier"]);
                check("nll", cal.nll(), &want["nll"]);
                for class in 0..c.classes {
                    check("recall", m.recall(class), &want["recall"][class]);
                    check("precision", m.precision(class), &want["precision"][class]);
                    check("fpr", m.fpr(class), &want["fpr"][class]);
                    check("fnr", m.fnr(class), &want["fnr"][class]);
                    check("selection rate", m.selection_rate(class), &want["selection_rate"][class]);
                }
                // The same by the ways that the audit and the verdict go.
                let (pred, scores) = &c.models[k];
                let right: Vec<bool> = pred.iter().zip(&c.y).map(|(p, y)| p == y).collect();
                check("ece", metrics::ece(&scores.confidence, &right, &rows), &want["ece"]);
                for (metric, want) in [(Metric::Accuracy, &want["accuracy"]), (Metric::Recall(1), &want["recall"][1])] {
                    check("metric", metrics::value(metric, &c.y, pred, &rows), want);
                    check("metric", change::metric_of(metric, &m), want);
                }
            }
        }
    }
}

#[test]
fn differences_and_ratios_between_groups() {
    for name in ["binary", "multi"] {
        let c = Case::new(name);
        for (k, model) in MODELS.iter().enumerate() {
            for entry in ["a", "b", "a*b"] {
                let want = &c.json[model]["entries"][entry];
                let ms: Vec<Confusion> = Case::names(entry).iter().map(|g| c.confusion(k, &c.group(g))).collect();
                let groups: Vec<&Confusion> = ms.iter().collect();
                let check = |what: &str, got| same(&format!("{name} {model} {entry} {what}"), got, &want[what]);
                let accuracy = || ms.iter().map(Confusion::accuracy);
                check("accuracy_worst", extremes(accuracy()).map(|e| e.0));
                check("accuracy_gap", range(accuracy()));
                check("accuracy_ratio", least_ratio(accuracy()));
                check("demographic_parity_difference", parity::demographic_parity_difference(&groups));
                check("demographic_parity_ratio", parity::demographic_parity_ratio(&groups));
                check("equal_opportunity_difference", parity::equal_opportunity_difference(&groups));
                check("equal_opportunity_ratio", parity::equal_opportunity_ratio(&groups));
                for (agg, suffix) in [(Aggregate::WorstCase, ""), (Aggregate::Mean, "_mean")] {
                    let name = |what: &str| format!("equalized_odds_{what}{suffix}");
                    check(&name("difference"), parity::equalized_odds_difference(&groups, agg));
                    check(&name("ratio"), parity::equalized_odds_ratio(&groups, agg));
                }
            }
        }
    }
}

#[test]
fn groups_against_all_others() {
    let mut amplified = 0;
    for name in ["binary", "multi"] {
        let c = Case::new(name);
        for (k, model) in MODELS.iter().enumerate() {
            for (group, want) in c.json[model]["average_odds_difference"].as_object().unwrap() {
                let rows = c.group(group);
                let others = c.rows(|i| !rows.contains(&i));
                let (inside, outside) = (c.confusion(k, &rows), c.confusion(k, &others));
                same(group, parity::average_odds_difference(&inside, &outside), want);
                for (class, want) in list::<Value>(&c.json[model]["bias_amplification"][group]).iter().enumerate() {
                    let share = |m: &Confusion| m.positives(class) as f64 / m.rows() as f64;
                    let trained = [share(&inside), share(&outside)];
                    same(group, parity::bias_amplification(&inside, &outside, class, trained), want);
                    amplified += usize::from(!want.is_null());
                }
            }
        }
    }
    assert!(amplified > 5, "{amplified} values of bias amplification");
}

#[test]
fn changes_from_dense_to_small() {
    for name in CASES {
        let c = Case::new(name);
        let all = c.rows(|_| true);
        let drop = |rows: &[usize]| change::drop(Metric::Accuracy, &c.confusion(0, rows), &c.confusion(1, rows));
        let loss = |rows: &[usize]| {
            let [dense, small] = [0, 1].map(|m| c.calibration(m, rows).nll());
            change::excess_loss(dense, small)
        };
        for (group, want) in c.json["change"].as_object().unwrap() {
            let rows = c.group(group);
            let check = |what: &str, got| same(&format!("{name} {group} {what}"), got, &want[what]);
            check("drop", drop(&rows));
            check("excess_drop", change::excess_drop(drop(&rows), drop(&all)));
            check("excess_loss", loss(&rows));
            check("churn", metrics::churn(&c.models[0].0, &c.models[1].0, &rows));
            check("harmful_flips", metrics::harmful_flips(&c.y, &c.models[0].0, &c.models[1].0, &rows));
        }
        let of_a: Vec<Vec<usize>> = Case::names("a").iter().map(|g| c.group(g)).collect();
        let drops = || of_a.iter().map(|rows| drop(rows));
        let excess = drops().map(|d| change::excess_drop(d, drop(&all)));
        let want = &c.json["entry_a"];
        same("degradation gap", change::degradation_gap(drops()), &want["degradation_gap"]);
        same("max psi", extremes(excess).map(|e| e.1), &want["max_excess_drop"]);
        same("xi", range(of_a.iter().map(|rows| loss(rows))), &want["loss_gap"]);

        let [dense, small] = [0, 1].map(|m| c.confusion(m, &all));
        let want = &c.json["error_shift"];
        let s = disparity::error_shift(&disparity::rates(&dense), &disparity::rates(&small)).unwrap();
        same("cev 2021", Some(s.cev_2021_pct), &want["cev_2021_pct"]);
        same("sde 2021", Some(s.sde_2021_pct), &want["sde_2021_pct"]);
        same("cev 2022", Some(s.cev_2022_ratio), &want["cev_2022_ratio"]);
        same("sde 2022", Some(s.sde_2022_ratio), &want["sde_2022_ratio"]);
        assert_eq!(s.dropped as u64, want["dropped"].as_u64().unwrap());
        same("recall distortion", change::recall_distortion(&dense, &small), &c.json["recall_distortion"]);
    }
}

#[test]
fn exemplars_over_runs() {
    let json = golden()["exemplars"].clone();
    let [dense, small]: [Vec<Vec<usize>>; 2] = MODELS.map(|m| list(&json[m]));
    let runs = |r: &[Vec<usize>]| -> Vec<&'static [usize]> { r.iter().map(|r| &*r.clone().leak()).collect() };
    let (dense, small) = (runs(&dense), runs(&small));
    assert_eq!(exemplars::modal_exemplars(&dense, &small).unwrap(), list::<usize>(&json["modal_pie"]));
    assert_eq!(exemplars::all_disagree(dense[0], &small).unwrap(), list::<usize>(&json["all_disagree"]));
    for (got, want) in exemplars::taxicab(&dense, &small).unwrap().iter().zip(list::<Value>(&json["taxicab"])) {
        same("taxicab", Some(*got), &want);
    }
    let whole = crate::data::GroupSet {
        groups: vec![crate::data::groups::Group { name: "all".into(), rows: (0..60).collect() }],
        of_row: vec![vec![0]; 60],
    };
    let of_groups = exemplars::Exemplars::new(dense[0], &small, &whole).unwrap();
    assert_eq!((of_groups.runs, of_groups.groups["all"]), (5, of_groups.everybody));
    let count = json["all_disagree"].as_array().unwrap().len() as f64;
    assert!((of_groups.everybody.all_disagree - count / 60.0).abs() < 1e-12);
    let p = exemplars::class_p_values(&list::<usize>(&json["y"]), &dense, &small, 3).unwrap();
    for (got, want) in p.iter().zip(list::<Value>(&json["class_p_values"])) {
        same("p", *got, &want);
    }
    assert!(exemplars::taxicab(&[], &small).unwrap_err().to_string().contains("no run"));
    assert!(exemplars::all_disagree(&[0], &small).unwrap_err().to_string().contains("run 0"));
}

#[test]
fn similarity_of_layers_of_different_width() {
    let json = golden()["similarity"].clone();
    let [x, y] = ["x", "y"].map(|k| cka::Gram::of(&list::<f32>(&json[k]), 40));
    same("cka", cka::linear_cka(&x, &y), &json["cka"]);
    let first: Vec<usize> = (0..15).collect();
    same("cka of some", cka::linear_cka(&x.subset(&first), &y.subset(&first)), &json["cka_of_first_15"]);
    let blocks: Vec<u32> = (0..40).map(|i| i % 8).collect();
    same("jackknife", cka::jackknife_error(&x, &y, &blocks), &json["jackknife_of_8_blocks"]);
    assert_eq!(cka::jackknife_error(&x, &y, &[3; 40]), None);
    assert_eq!(cka::linear_cka(&x, &cka::Gram::of(&[0.1; 120], 40)), None);
}

#[test]
fn intervals_and_quantiles() {
    let json = golden()["intervals"].clone();
    let alpha = (1.0 - json["confidence"].as_f64().unwrap()) / 2.0;
    for p in json["proportions"].as_array().unwrap() {
        let [hits, n] = ["hits", "n"].map(|k| p[k].as_f64().unwrap());
        let exact = [stats::exact_lower(hits, n, alpha), stats::exact_upper(hits, n, alpha)];
        let wilson = stats::wilson(hits, n, stats::normal_quantile(1.0 - alpha));
        // The exact limits come from a bisection that stops at 1e-8.
        for ((got, want), eps) in exact
            .iter()
            .zip(list::<f64>(&p["exact"]))
            .map(|p| (p, 2e-8))
            .chain([wilson.0, wilson.1].iter().zip(list::<f64>(&p["wilson"])).map(|p| (p, 1e-9)))
        {
            assert!((got - want).abs() <= eps, "{hits} of {n}: {got} is not {want}");
        }
    }
    let mut sample: Vec<f64> = list(&json["sample"]);
    sample.sort_by(f64::total_cmp);
    for (level, want) in list::<f64>(&json["levels"]).iter().zip(list::<Value>(&json["quantiles"])) {
        same("quantile", Some(quantile(&sample, *level)), &want);
    }
}
