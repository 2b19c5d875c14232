//! The chain as a user goes it: from data to a judged file, its verification and its monitor.

mod common;

use common::{Desk, SHORT};
use evenkeel::aligned::AlignedBytes;
use evenkeel_runtime::Model;
use evenkeel_runtime::format::repair;
use serde_json::Value;

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("{v} is no number"))
}

/// The keys of verdicts that other tools rely on, with their types.
fn has_the_promised_keys(v: &Value) {
    has_the_promised_keys_for(v, &["dense", "pruned", "int8"]);
}

/// The same where these networks are known.
fn has_the_promised_keys_for(v: &Value, networks: &[&str]) {
    assert!(["PASS", "FAIL", "UNDECIDED"].contains(&v["verdict"].as_str().expect("a verdict")));
    assert!(v["file"].is_string() && v["bytes"].is_u64());
    assert!((number(&v["confidence"]) - 0.95).abs() < 1e-6);
    for name in ["macs", "flash", "ram"] {
        let line = &v["budget"][name];
        assert!(line["limit"].is_u64() && line["value"].is_u64(), "{name}: {line}");
        assert!(line["value"].as_u64() <= line["limit"].as_u64(), "{name}: {line}");
    }
    let share = |v: &Value| assert!((0.0..=1.0).contains(&number(v)), "{v}");
    assert!(v["overall"]["n"].is_u64());
    networks.iter().for_each(|key| share(&v["overall"][key]));
    let groups = v["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 2);
    for g in groups {
        assert!(g["group"].as_str().is_some_and(|name| name.starts_with("site=")));
        assert!(g["n"].is_u64() && g["verdict"].is_string());
        networks.iter().for_each(|key| share(&g[key]));
        assert!(number(&g["excess_drop"]["value"]) <= number(&g["excess_drop"]["upper"]));
    }
    assert_eq!(groups.iter().map(|g| number(&g["n"])).sum::<f64>(), number(&v["overall"]["n"]));
    let worst = groups.iter().map(|g| number(&g["int8"])).fold(1.0, f64::min);
    assert!(v["worst_group"]["group"].is_string());
    assert_eq!(number(&v["worst_group"]["int8"]), worst);
}

#[test]
fn from_data_to_a_verified_file() {
    let desk = Desk::with_network();
    let trained = desk.read("model.onnx");

    let audit = desk.json("audit model.onnx --data set.npz --groups site");
    assert_eq!(audit["groups"].as_array().map(Vec::len), Some(2));

    let options = format!("--data set.npz --contract contract.toml -o model.keel {SHORT}");
    let pruned = desk.json(&format!("prune model.onnx {options}"));
    has_the_promised_keys(&pruned);
    assert_eq!(pruned["verdict"], "PASS");
    assert!(desk.read("model.onnx") == trained, "the dense network has the file's name, and must outlive it");
    let wanted = ["model.keel", "model.pruned.onnx", "model.report.html", "model.report.json"];
    let files = desk.files();
    assert!(wanted.iter().all(|name| files.iter().any(|f| f == name)), "{files:?}");

    // Metrics beside the verdict, on the same rows; and by themselves, on the rows of `val`.
    let metrics = &pruned["metrics"];
    assert_eq!(metrics["rows"], pruned["overall"]["rows"]);
    let accuracy = number(&metrics["everybody"]["small"]["accuracy"]["value"]);
    assert!((accuracy - number(&pruned["overall"]["int8"])).abs() < 1e-9);
    assert!(metrics["groups"][1]["change"]["excess_drop"]["value"].is_f64());
    let line = "compare model.onnx model.keel --data set.npz --groups site,site*age_band --cluster subject";
    let alike = |pruned: &str| -> Vec<f64> {
        let panel = desk.json(&format!("{line} --pruned {pruned}"));
        assert!(panel["entries"].as_array().is_some_and(|e| e.len() == 2) && panel["clusters"].is_u64());
        let layers = panel["similarity"]["layers"].as_array().expect("layers");
        layers.iter().map(|l| number(&l["everybody"]["value"])).collect()
    };
    let (pruned_layers, own_layers) = (alike("model.pruned.onnx"), alike("model.onnx"));
    assert!(pruned_layers.len() == own_layers.len() && pruned_layers.iter().any(|v| *v < 0.9999), "{pruned_layers:?}");
    assert!(own_layers.iter().all(|v| (v - 1.0).abs() < 1e-6), "{own_layers:?}");

    // The budget is of the file, as whoever has only the file sees it.
    let seen = desk.json("inspect model.keel");
    let value = |name: &str| pruned["budget"][name]["value"].clone();
    assert_eq!((&seen["macs"], &seen["bytes"], &seen["arena"]), (&value("macs"), &value("flash"), &value("ram")));
    assert_eq!(desk.read("model.keel").len() as u64, value("flash"));
    assert_eq!(seen["contract"].as_str().map(str::as_bytes), Some(&desk.read("contract.toml")[..]));

    let verified = desk.json("verify model.keel --data set.npz");
    has_the_promised_keys(&verified);
    assert_eq!(verified["reproduced"], true);
    assert_eq!(verified["budget"]["macs"]["value"], value("macs"));
    assert_eq!(number(&verified["overall"]["int8"]) as f32, number(&pruned["overall"]["int8"]) as f32);
    let anew = desk.json("verify model.keel --data set.npz --dense model.onnx");
    has_the_promised_keys_for(&anew, &["dense", "int8"]);
    assert_eq!(anew["overall"]["int8"], pruned["overall"]["int8"]);
    assert_eq!(anew["groups"][0]["excess_drop"], pruned["groups"][0]["excess_drop"]);

    let ran = desk.json("run model.keel --input set.npz --rows 5");
    assert_eq!(ran["classes"].as_array().map(Vec::len), Some(5));
    assert_eq!(ran["outputs"][4].as_array().map(Vec::len), Some(4));

    let report = desk.json("report model.report.json -o again.html");
    assert_eq!(report["verdict"], pruned["verdict"]);
    assert_eq!(report["groups"], pruned["groups"]);
    assert!(desk.read("again.html") == desk.read("model.report.html"), "the page follows from its JSON");

    let people = desk.run("verify model.keel --data set.npz");
    assert!(people.contains("PASS at confidence 0.95"), "{people}");
}

#[test]
fn float_files_say_what_the_network_says_without_data() {
    let desk = Desk::with_network();
    let compiled = desk.json("compile model.onnx --dtype f32 -o f32.keel");
    desk.json("compile model.onnx --dtype f16 --target x86-64 -o f16.keel");
    desk.json("compile model.onnx --data set.npz -o int8.keel");
    let seen = desk.json("inspect f32.keel");
    assert_eq!((&seen["dtype"], &seen["arena"]), (&Value::from("f32"), &compiled["arena"]));
    let outputs = |file: &str| {
        let ran = desk.json(&format!("run {file} --input set.npz --rows 40"));
        let rows = ran["outputs"].as_array().cloned().unwrap_or_default();
        let values = rows.iter().flat_map(|row| row.as_array().cloned().unwrap_or_default());
        (ran["classes"].clone(), values.map(|v| number(&v)).collect::<Vec<f64>>())
    };
    let (f32s, f16s, int8) = (outputs("f32.keel"), outputs("f16.keel"), outputs("int8.keel"));
    assert_eq!(f32s.1.len(), 160);
    let largest = f32s.1.iter().fold(0f64, |m, v| m.max(v.abs()));
    let far = |a: &[f64]| a.iter().zip(&f32s.1).fold(0f64, |m, (a, b)| m.max((a - b).abs())) / largest;
    assert!(far(&f16s.1) < 5e-3 && far(&int8.1) < 0.2, "{} {}", far(&f16s.1), far(&int8.1));
    assert_eq!(desk.json("bench f16.keel")["kernels"], "f16");
    desk.refused("bench f16.keel --target cortex-m4", &["int8 models only"]);
    desk.refused("repack f16.keel --target x86-64 -o no.keel", &["computes in f16"]);
    desk.refused("verify f16.keel --data set.npz", &[]);
    desk.refused("export f16.keel --to c -o code", &["a model in f16"]);
    desk.refused("compile model.onnx --dtype f32 --data set.npz -o no.keel", &["leave --data"]);
    desk.refused("compile model.onnx --dtype f32 --form blocks -o no.keel", &["--form"]);
    desk.refused("bench f16.keel --portable", &["--portable"]);
}

#[test]
fn other_rows_are_not_the_certificates() {
    let desk = Desk::with_network();
    desk.run(&format!("prune model.onnx --data set.npz --contract contract.toml -o small.keel {SHORT}"));
    desk.run("synth -o other.npz --subjects 12 --rows-per-subject 24 --seed 2");
    desk.refused("verify small.keel --data other.npz", &["other.npz", "not the rows", "help: ", "--dense"]);
    // Nobody gives the pruned network in f32 then.
    let anew = desk.json("verify small.keel --data other.npz --dense model.onnx --no-fail");
    has_the_promised_keys_for(&anew, &["dense", "int8"]);
    assert!(anew["overall"]["pruned"].is_null() && anew["groups"][0]["pruned"].is_null());
}

#[test]
fn a_seed_decides_every_byte() {
    let desk = Desk::with_network();
    let prune = |name: &str, seed: u32| {
        let options = format!("--data set.npz --contract contract.toml --seed {seed} --allow-unproven {SHORT}");
        desk.run(&format!("prune model.onnx -o {name}.keel {options}"));
        desk.read(&format!("{name}.keel"))
    };
    let first = prune("first", 5);
    assert!(first == prune("second", 5), "the same seed gives the same file");
    assert!(first != prune("third", 6), "another seed gives another file");
}

#[test]
fn a_changed_weight_breaks_the_certificate_or_the_self_test_or_changes_nothing() {
    let desk = Desk::with_network();
    desk.run(&format!("prune model.onnx --data set.npz --contract contract.toml -o small.keel {SHORT}"));
    let bytes = desk.read("small.keel");
    let spans = weights(&bytes);
    let verify = |name: &str, change: &dyn Fn(&mut [u8])| {
        let mut changed = bytes.clone();
        change(&mut changed);
        desk.write(name, &changed);
        let out = desk.evenkeel(&format!("verify {name} --data set.npz"));
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, said) = verify("torn.keel", &|b| b[spans[0].start] ^= 0x80);
    assert!(code == Some(2) && said.contains("torn.keel") && said.contains("checksum"), "{said}");
    // Whoever also repairs the checksum is found out by the results.
    for span in &spans {
        let (code, said) = verify("one.keel", &|b| {
            b[span.start + span.len() / 2] ^= 0x80;
            repair(b);
        });
        let by_results = said.contains("one.keel: the certificate is not true") && said.contains("help: ");
        // Results that agree group by group may differ row by row: then the self-test says so.
        let found = by_results || said.contains("one.keel: self-test");
        assert!(code == Some(0) || (code == Some(2) && found), "{code:?} {said}");
    }
    let (code, said) = verify("blank.keel", &|b| {
        spans.iter().for_each(|span| b[span.clone()].fill(0));
        repair(b);
    });
    assert!(code == Some(2) && said.contains("the certificate is not true"), "{said}");
}

/// Where in the file the weights of each operator that has some are.
fn weights(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let file = AlignedBytes::new(bytes);
    let aligned = file.bytes();
    let model = Model::from_bytes(aligned).expect("the file that was made");
    let spans = model
        .ops()
        .iter()
        .map(|op| model.weights(op).and_then(|w| w.dense()).unwrap_or_default())
        .filter(|w| !w.is_empty());
    let spans = spans.map(|w| {
        let start = w.as_ptr().addr() - aligned.as_ptr().addr();
        start..start + w.len()
    });
    spans.collect()
}

#[test]
fn an_old_file_outlives_a_verdict_that_is_not_pass() {
    let desk = Desk::with_network();
    desk.contract("strict.toml", 0.000001, "macs = \"60%\"");
    desk.write("small.keel", b"what was here before");
    let prune = format!("prune model.onnx --data set.npz --contract strict.toml -o small.keel {SHORT}");
    let (_, said) = desk.ends(1, &prune);
    assert!(said.contains("small.keel was not written") && said.contains("--allow-unproven"), "{said}");
    assert_eq!(desk.read("small.keel"), b"what was here before");
    assert_ne!(desk.json(&format!("{prune} --allow-unproven"))["verdict"], "PASS");
    let (said, _) = desk.ends(1, "verify small.keel --data set.npz");
    assert!(said.contains("exported as unproven"), "{said}");
    assert!(!desk.files().iter().any(|f| f.starts_with(".tmp")), "{:?}", desk.files());
}

#[test]
fn the_monitor_raises_an_alarm_only_for_the_group_that_went_bad() {
    let desk = Desk::new();
    desk.run("synth -o set.npz --subjects 40 --rows-per-subject 40 --seed 3");
    desk.run("train --arch cnn1d --data set.npz -o model.onnx --epochs 5 --seed 3");
    desk.contract("contract.toml", 0.5, "macs = \"70%\"");
    desk.run(
        "prune model.onnx --data set.npz --contract contract.toml -o small.keel --steps 2 --tune 4 --recover 40 --seed 3",
    );
    let stream = "monitor simulate small.keel --data set.npz --events 1200 --seed 3";
    let alarms = |line: &str| -> Vec<(String, u64)> {
        let said = desk.json(line);
        assert_eq!(said["events"], 1200);
        let groups = said["groups"].as_array().expect("groups").iter();
        let of = |g: &Value| (g["group"].as_str().unwrap_or("").to_owned(), g["first_alarm"].as_u64().unwrap_or(0));
        groups.filter(|g| g["alarms"] != 0).map(of).collect()
    };
    assert_eq!(alarms(stream), []);
    let bad = alarms(&format!("{stream} --degrade site=ankle --from 300 --strength 1"));
    assert!(matches!(&bad[..], [(group, at)] if group == "site=ankle" && *at > 300), "{bad:?}");
    desk.refused(&format!("{stream} --degrade site=hip"), &["site=hip", "site=ankle"]);
}

#[test]
fn a_signed_file_is_trusted_and_a_changed_one_is_not() {
    let desk = Desk::with_network();
    desk.run("compile model.onnx --data set.npz -o model.keel");
    desk.run("keygen -o release.key");
    desk.refused("keygen -o release.key", &["release.key", "move the old key away"]);
    desk.run("keygen -o other.key");
    desk.run("sign model.keel --key release.key -o signed.keel");
    assert!(desk.run("verify signed.keel --key release.key.pub").contains("signed with this key"));
    desk.refused("verify model.keel --key release.key.pub", &["model.keel", "not signed"]);
    desk.refused("verify signed.keel --key other.key.pub", &["signed.keel", "another key"]);
    desk.refused("sign model.keel --key model.onnx -o x.keel", &["model.onnx"]);
    // A key is not an output, and the secret key is not the public one.
    desk.refused("sign model.keel --key release.key -o release.key", &["release.key", "input", "help: "]);
    desk.refused("sign model.keel --key release.key.pub -o x.keel", &["release.key.pub", "public key", "help: "]);
    desk.refused("verify signed.keel --key release.key", &["another key"]);
    let mut changed = desk.read("signed.keel");
    let last = changed.len() - 97;
    changed[last] ^= 1;
    repair(&mut changed);
    desk.write("changed.keel", &changed);
    desk.refused("verify changed.keel --key release.key.pub", &["changed.keel", "changed after it was signed"]);
    // A signature takes nothing from what a file is.
    assert_eq!(desk.json("inspect signed.keel")["macs"], desk.json("inspect model.keel")["macs"]);
}

#[test]
fn blocks_of_zeros_make_the_file_smaller() {
    let desk = Desk::with_network();
    let paid = desk.json("patterns model.onnx --target cortex-m4");
    let layers = paid["layers"].as_array().expect("layers");
    assert!(layers.iter().all(|l| l["half"].as_u64() < l["dense"].as_u64()), "{paid}");
    desk.refused("patterns model.onnx --target portable", &["portable", "cortex-m4"]);

    let prune = format!("prune model.onnx --data set.npz --contract contract.toml --allow-unproven {SHORT}");
    let whole = desk.json(&format!("{prune} --target cortex-m4 -o whole.keel"));
    let sparse = desk.json(&format!("{prune} --target cortex-m4 --blocks 2:4 --block-steps 2 -o sparse.keel"));
    has_the_promised_keys(&sparse);
    for name in ["macs", "flash"] {
        let value = |of: &Value| of["budget"][name]["value"].as_u64();
        assert!(value(&sparse) < value(&whole), "{name}: {sparse} {whole}");
    }
    assert_eq!(desk.json("verify sparse.keel --data set.npz --no-fail")["reproduced"], true);
    assert_eq!(desk.json("inspect sparse.keel")["macs"], sparse["budget"]["macs"]["value"]);
    desk.refused(&format!("{prune} --blocks 50% -o x.keel"), &["portable", "--target"]);
    desk.refused(&format!("{prune} --target cortex-m4 --blocks 1% -o x.keel"), &["no layer", "patterns"]);

    let compile = "compile model.onnx --data set.npz --target x86-64";
    let dense = desk.json(&format!("{compile} -o dense.keel"));
    let half = desk.json(&format!("{compile} --blocks 75% -o half.keel"));
    let forced = desk.json(&format!("{compile} --blocks 75% --form dense -o forced.keel"));
    assert!(half["macs"].as_u64() < dense["macs"].as_u64() && half["bytes"].as_u64() < dense["bytes"].as_u64());
    assert_eq!((&forced["macs"], &forced["bytes"]), (&dense["macs"], &dense["bytes"]));
    let outputs = |name: &str| desk.json(&format!("run {name}.keel --input set.npz --rows 3"))["outputs"].clone();
    assert_eq!(outputs("half"), outputs("forced"));
}
