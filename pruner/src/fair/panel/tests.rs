//! The panel on made-up rows, and on the data of the golden file.

use super::*;
use crate::data::groups::Group;
use crate::net::set::classes;
use serde_json::Value;

/// The data of a case of the golden file, with its expected values.
struct Made {
    json: Value,
    y: Vec<usize>,
    logits: [Vec<f32>; 2],
    predictions: [Vec<usize>; 2],
    groups: GroupSet,
    entries: Vec<String>,
}

fn made(case: &str) -> Made {
    let json: Value = serde_json::from_str(include_str!("../../../../tests/golden/fairness.json")).unwrap();
    let json = json[case].clone();
    let list = |k: &str| -> Vec<usize> { serde_json::from_value(json[k].clone()).unwrap() };
    let n = json["classes"].as_u64().unwrap() as usize;
    let logits: [Vec<f32>; 2] =
        ["dense_logits", "small_logits"].map(|k| serde_json::from_value(json[k].clone()).unwrap());
    let (a, b) = (list("a"), list("b"));
    let mut groups = GroupSet { groups: vec![], of_row: vec![vec![]; a.len()] };
    let mut add = |name: String, member: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = (0..a.len()).filter(|&i| member(i)).collect();
        rows.iter().for_each(|&i| groups.of_row[i].push(groups.groups.len() as u32));
        groups.groups.push(Group { name, rows });
    };
    (0..3).for_each(|k| add(format!("a={k}"), &|i| a[i] == k));
    (0..3).for_each(|k| (0..2).for_each(|l| add(format!("a={k}*b={l}"), &|i| a[i] == k && b[i] == l)));
    Made {
        y: list("y"),
        predictions: [0, 1].map(|m| classes(&logits[m], n)),
        logits,
        groups,
        entries: vec!["a".into(), "a*b".into()],
        json,
    }
}

impl Made {
    fn comparison(&self) -> Comparison<'_> {
        let model = |m: usize| Model { predictions: &self.predictions[m], logits: Some(&self.logits[m]) };
        Comparison {
            y: &self.y,
            classes: 2,
            dense: model(0),
            small: model(1),
            groups: &self.groups,
            entries: &self.entries,
            metric: Metric::Accuracy,
            clusters: None,
            train: None,
            confidence: 0.95,
            replicates: 200,
            seed: 1,
        }
    }
}

/// A panel of made-up rows, for tests of what carries panels.
pub(crate) fn sample_panel() -> Panel {
    made("binary").comparison().panel().unwrap()
}

#[track_caller]
fn same(got: &Figures, name: &str, want: &Value) {
    let got = got[name].value;
    let equal = match (got, want.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1e-6),
        (a, b) => a == b,
    };
    assert!(equal, "{name}: {got:?} is not {want}");
}

#[test]
fn every_value_is_where_it_belongs() {
    for case in ["binary", "multi"] {
        let m = made(case);
        let p = m.comparison().panel().unwrap();
        assert_eq!(p.classes as u64, m.json["classes"].as_u64().unwrap());
        for g in p.groups.iter().chain([&p.everybody]) {
            for (model, figures) in [("dense", &g.dense), ("small", &g.small)] {
                let all = &m.json[model];
                let want = if g.group == "everybody" { &all["everybody"] } else { &all["groups"][&g.group] };
                for k in ["accuracy", "balanced_accuracy", "ece", "brier", "nll"] {
                    same(figures, k, &want[k]);
                }
                for c in 0..p.classes {
                    for k in ["recall", "precision", "fpr", "fnr", "selection_rate"] {
                        same(figures, &format!("{k}:{c}"), &want[k][c]);
                    }
                }
                if g.entry == "a" {
                    let k = "average_odds_difference";
                    same(figures, k, &all[k][&g.group]);
                }
            }
            for k in ["drop", "excess_drop", "excess_loss", "churn", "harmful_flips"] {
                same(&g.change, k, &m.json["change"][&g.group][k]);
            }
        }
        for e in &p.entries {
            for (model, figures) in [("dense", &e.dense), ("small", &e.small)] {
                let want = &m.json[model]["entries"][&e.entry];
                for k in ["worst", "gap", "ratio"] {
                    same(figures, k, &want[format!("accuracy_{k}")]);
                }
                for k in figures.keys().filter(|k| k.contains('_') && *k != "bias_amplification") {
                    same(figures, k, &want[k]);
                }
            }
        }
        let a = &p.entries[0].change;
        for k in ["degradation_gap", "max_excess_drop", "loss_gap"] {
            same(a, k, &m.json["entry_a"][k]);
        }
        for k in ["cev_2021_pct", "sde_2021_pct", "cev_2022_ratio", "sde_2022_ratio"] {
            same(&p.everybody.change, k, &m.json["error_shift"][k]);
        }
        same(&p.everybody.change, "recall_distortion", &m.json["recall_distortion"]);
    }
}

#[test]
fn intervals_hold_the_value_and_grow_with_clusters() {
    let m = made("multi");
    let p = m.comparison().panel().unwrap();
    for g in p.groups.iter().chain([&p.everybody]) {
        for (name, b) in g.dense.iter().chain(&g.small).chain(&g.change) {
            let Some(v) = b.value else { continue };
            if let (Some(lo), Some(hi)) = (b.lower, b.upper) {
                assert!(lo <= hi, "{} {name}", g.group);
                // Shares hold their estimate; a bootstrap may not, but not for a plain mean.
                assert!((lo..=hi).contains(&v) || !["drop", "brier", "nll"].contains(&name.as_str()), "{name}");
            }
        }
    }
    // Ten rows a person, in the order of the rows.
    let clusters: Vec<u32> = (0..m.y.len() as u32).map(|i| i / 10).collect();
    let clustered = Comparison { clusters: Some(&clusters), ..m.comparison() }.panel().unwrap();
    assert_eq!((clustered.clusters, p.clusters), (Some(30), None));
    let few = Comparison { clusters: Some(&clusters.iter().map(|c| c / 6).collect::<Vec<_>>()), ..m.comparison() };
    let warned = |p: &Panel| p.notes.iter().any(|n| n.contains("too short"));
    assert!(warned(&few.panel().unwrap()) && !warned(&clustered) && !warned(&p));
    let width = |p: &Panel| {
        let b = p.everybody.small["accuracy"];
        b.upper.unwrap() - b.lower.unwrap()
    };
    assert!(width(&clustered) >= width(&p));
    assert_eq!(m.comparison().panel().unwrap(), p, "the seed alone decides");
}

#[test]
fn models_without_outputs_have_no_calibration() {
    let m = made("binary");
    let small = Model { logits: None, ..m.comparison().small };
    let p = Comparison { small, ..m.comparison() }.panel().unwrap();
    assert!(p.everybody.dense["ece"].value.is_some());
    for (figures, name) in [(&p.everybody.small, "ece"), (&p.everybody.change, "excess_loss")] {
        assert_eq!(figures[name], Bounded::default());
    }
    let short = Model { predictions: &m.predictions[0][1..], logits: None };
    let e = Comparison { dense: short, ..m.comparison() }.panel().unwrap_err().to_string();
    assert!(e.contains("dense model gave 239"), "{e}");
}

#[test]
fn the_panel_survives_json_and_reads_well() {
    let p = made("empty_cell").comparison().panel().unwrap();
    let back: Panel = serde_json::from_str(&serde_json::to_string(&p).unwrap()).unwrap();
    assert_eq!(back.groups.len(), p.groups.len());
    assert_eq!(back.everybody.change.keys().collect::<Vec<_>>(), p.everybody.change.keys().collect::<Vec<_>>());
    // A class that the group has nobody of.
    assert_eq!(p.groups[2].dense["recall:0"], Bounded::default());
    let text = panel_table(&p);
    for want in ["a=2*b=1", "everybody", "by a*b", "equalized odds difference", "CEV (2021, %²)", "bootstrap"] {
        assert!(text.contains(want), "{want}: {text}");
    }
}

#[test]
fn bias_amplification_refers_to_training_rows() {
    let m = made("multi");
    let here = m.comparison().panel().unwrap();
    let there = Comparison { train: Some((&m.y, &m.groups)), ..m.comparison() }.panel().unwrap();
    assert_eq!(here, there);
    // Where training has none of these groups, no class is over-represented in them.
    let none = GroupSet { groups: vec![], of_row: vec![vec![]; m.y.len()] };
    let other = Comparison { train: Some((&m.y, &none)), ..m.comparison() }.panel().unwrap();
    assert!(here.entries[0].small["bias_amplification"].value.is_some());
    assert_eq!(other.entries[0].small["bias_amplification"].value, None);
}
