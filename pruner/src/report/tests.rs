//! The report of a made-up model.

use super::*;
use crate::contract::Contract;
use crate::data::groups::Group;
use crate::fair::verdict::sample_verdict;

pub(super) fn sample() -> Report {
    let contract = "[fairness]\ngroups = [\"gender\", \"age\"]\nmax_excess_drop = 0.02\nmax_gap = 0.1\n\n[budget]\nmacs = \"40%\"\n";
    let sizes = [("gender=female", 0..1500), ("gender=male", 1500..3000), ("age=<b>old</b> & grey", 1200..1700)];
    let group = |(name, rows): (&str, std::ops::Range<usize>)| Group { name: name.into(), rows: rows.collect() };
    let small: Vec<usize> =
        (0..3000).map(|i| usize::from(i % 25 == 0 || (1600..1700).contains(&i) && i % 7 == 0)).collect();
    let dense: Vec<usize> = (0..3000).map(|i| usize::from(i % 31 == 0)).collect();
    let [f, m, o] = sizes.map(group);
    let verdict = sample_verdict(
        &Contract::parse(contract).unwrap(),
        vec![("gender", vec![f, m]), ("age", vec![o])],
        dense,
        small,
    );
    let layer = |name: &str, before, after| LayerLine { name: name.into(), before, after };
    Report {
        title: "Motion <sensor>".into(),
        model: "har.onnx".into(),
        file: "har.keel".into(),
        bytes: 41_216,
        verdict,
        metrics: None,
        contract: contract.into(),
        budget: vec![
            BudgetLine { name: "macs".into(), limit: Some(500_000), dense: 1_250_000, value: 498_432 },
            BudgetLine { name: "flash".into(), limit: None, dense: 120_000, value: 41_216 },
            BudgetLine { name: "ram".into(), limit: Some(9_000), dense: 24_576, value: 9_216 },
        ],
        layers: vec![layer("conv1", 32, 20), layer("conv2", 64, 28), layer("fc", 128, 40)],
        history: (0..9)
            .map(|k| HistoryLine {
                step: k,
                macs: 1.0 - 0.075 * k as f64,
                overall: 0.968 - 0.002 * k as f64,
                worst: 0.955 - 0.004 * k as f64,
                max_excess_drop: 0.002 * k as f64,
                phase: if k < 8 { "prune" } else { "quantise" }.into(),
            })
            .collect(),
        method: "Taylor scores per group, worst group protected; fine-tuned with distillation.".into(),
        seed: 7,
        command: "evenkeel prune har.onnx --data har.npz --contract contract.toml -o har.keel --seed 7".into(),
        notes: vec!["A note.".into()],
        audit: None,
        foresight: None,
    }
}

#[test]
fn the_page_is_whole_escaped_and_self_contained() {
    let page = html(&sample()).unwrap();
    for want in [
        "UNDECIDED",
        "Motion &lt;sensor&gt;",
        "age=&lt;b&gt;old&lt;/b&gt; &amp; grey",
        "498\u{202f}432",
        "exceeded",
        "--seed 7",
    ] {
        assert!(page.contains(want), "{want}");
    }
    assert_eq!((page.matches("<svg role").count(), page.matches("<desc>").count()), (5, 2));
    for unwanted in ["<script", "http:", "https:", "url(", "@import", "<b>old", "NaN"] {
        assert!(!page.contains(unwanted), "{unwanted}");
    }
}

/// What to do next stays on the first screen, however many groups there are, and no group is left out.
#[test]
fn many_groups_of_a_card_are_folded() {
    let mut r = sample();
    let first = r.verdict.groups[0].clone();
    let groups =
        |n: usize| (0..n).map(|k| crate::fair::verdict::GroupVerdict { group: format!("g={k}"), ..first.clone() });
    r.verdict.groups = groups(24).collect();
    let page = html(&r).unwrap();
    let cards = page.split("class=\"cards\"").nth(1).unwrap().split("What to do next").next().unwrap();
    let folded = cards.split("<details>").nth(1).unwrap();
    assert!(
        folded.contains("and 20 more") && folded.contains("<b>g=23</b>") && !folded.contains("<b>g=3</b>"),
        "{cards}"
    );
    r.verdict.groups = groups(5).collect();
    assert!(!html(&r).unwrap().contains("<details>"));
}

/// Twenty lines of groups without rows would hide those that say something.
#[test]
fn groups_without_test_rows_share_one_line() {
    let mut r = sample();
    let absent = |k: usize| {
        let mut g = r.verdict.groups[0].clone();
        (g.group, g.n, g.rows, g.excess_drop.upper) = (format!("age=none{k}"), 0, 0, None);
        g
    };
    let more: Vec<_> = (0..8).map(absent).collect();
    r.verdict.groups.extend(more);
    let page = html(&r).unwrap();
    let table = page.split("<table>").nth(1).unwrap().split("</table>").next().unwrap();
    assert_eq!(table.matches("no test rows: nothing is known").count(), 1);
    assert!(table.contains("age=none0, age=none1, age=none2, age=none3 and 4 more") && !table.contains("age=none4"));
    assert!(!table.contains("≤ no bound"));
}

#[test]
fn the_json_has_the_keys_that_tools_rely_on() {
    let r = sample();
    let text = r.json().unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["verdict", "confidence", "file", "bytes", "budget", "overall", "groups", "worst_group"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(
        (json["budget"]["macs"]["limit"].as_u64(), json["budget"]["macs"]["value"].as_u64()),
        (Some(500_000), Some(498_432))
    );
    assert!(json["verdict"].is_string() && json["groups"][0]["excess_drop"]["upper"].is_f64());
    assert_eq!(serde_json::from_value::<crate::fair::Verdict>(json).unwrap().groups.len(), r.verdict.groups.len());
}

/// The pre-check of the sample's groups, with risks in this order.
fn pre_check(risks: &[(&str, f64)]) -> Audit {
    let group = |(name, score): &(&str, f64)| {
        serde_json::json!({
            "group": name, "n": 100, "clusters": null, "share": 0.1, "value": 0.9, "interval": [0.8, 0.95],
            "uncertainty": 0.2, "boundary": 0.1, "margin": 1.0, "grad_norm": null, "ece": 0.1, "class_mix": 0.0,
            "positive_rate": null, "imbalance": null, "amplification": 0.0, "score": score, "words": "small <b>",
            "advice": "collect"
        })
    };
    let groups: Vec<_> = risks.iter().map(group).collect();
    let audit = serde_json::json!({
        "n": 300, "clusters": null, "metric": "accuracy", "value": 0.9, "confidence": 0.95, "ece": 0.1,
        "uncertainty": 0.2, "margin": 1.0, "groups": groups, "empty": []
    });
    serde_json::from_value(audit).unwrap()
}

#[test]
fn the_pre_check_is_held_against_the_verdict() {
    let risks = [("age=<b>old</b> & grey", 1.0), ("gender=male", 0.1), ("gender=female", -1.0), ("gone=x", 2.0)];
    let r = sample().with_audit(pre_check(&risks));
    let f = r.foresight.as_ref().unwrap();
    assert_eq!((f.groups, f.excess_drop.score.rho), (3, Some(1.0)));
    assert!(f.words.contains("nothing can be said"), "{}", f.words);
    let page = html(&r).unwrap();
    assert!(
        page.contains("Was it foreseen?") && page.contains("nothing can be said") && page.contains("small &lt;b&gt;")
    );
    assert!(r.text().contains("pre-check: 3 groups"), "{}", r.text());
    // It is in the JSON, and comes back from it.
    assert_eq!(Report::parse(&r.json().unwrap()).unwrap(), r);
}

#[test]
fn reports_of_earlier_versions_still_have_a_page() {
    let text = sample().json().unwrap();
    assert!(!text.contains("\"audit\"") && !text.contains("\"foresight\""));
    let old = Report::parse(&text).unwrap();
    assert!(old.audit.is_none() && !html(&old).unwrap().contains("Was it foreseen?"));
    assert!(old.text().contains("What to do next"));
}

#[test]
fn metrics_come_back_and_may_be_missing() {
    let mut r = sample();
    let old = r.json().unwrap();
    assert!(!old.contains("\"metrics\"") && Report::parse(&old).unwrap().metrics.is_none());
    r.metrics = Some(crate::fair::panel::sample_panel());
    let back = Report::parse(&r.json().unwrap()).unwrap();
    let accuracy = |r: &Report| r.metrics.as_ref().map(|m| m.everybody.small["accuracy"]);
    assert!(accuracy(&back).is_some() && accuracy(&back) == accuracy(&r));
}

#[test]
fn saving_writes_both_files_and_names_a_folder_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    sample().save(&path).unwrap();
    assert!(path.with_extension("json").exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"));
    if let Some(keep) = std::env::var_os("EVENKEEL_KEEP_REPORT") {
        std::fs::copy(&path, keep).unwrap();
    }
    let error = sample().save(&dir.path().join("no/report.html")).unwrap_err().to_string();
    assert!(error.contains("no/report.html") && error.contains("folder"), "{error}");
}
