//! The search as a user goes it: one front, one pick, one verdict, and a folder that it goes on from.

mod common;

use common::{Desk, SHORT};
use serde_json::Value;

/// The command on the desk's contract, with these options.
fn search(options: &str) -> String {
    format!("search model.onnx --data set.npz --contract contract.toml {SHORT} --population 6 {options}")
}

/// What a work folder holds.
fn state(desk: &Desk, folder: &str) -> Value {
    serde_json::from_slice(&desk.read(&format!("{folder}/state.json"))).expect("JSON")
}

/// Its candidates as they were before any recovery.
fn candidates(desk: &Desk, folder: &str) -> Vec<Value> {
    let mut all = state(desk, folder)["candidates"].as_array().cloned().unwrap_or_default();
    all.iter_mut().for_each(|c| c["recovered"] = Value::Null);
    all
}

#[test]
fn from_a_network_to_the_smallest_that_holds() {
    let desk = Desk::with_network();
    let found = desk.json(&search("--generations 2 -o model.keel --max-drop 1"));
    assert_eq!(found["verdict"], "PASS");
    let front = &found["search"];
    let picked = front["picked"].as_u64().expect("a pick") as usize;
    let pick = &front["candidates"][picked];
    for name in ["macs", "flash", "ram"] {
        let line = &found["budget"][name];
        assert!(line["value"].as_u64() <= line["limit"].as_u64(), "{line}");
        assert_eq!(line["value"], pick[name], "what was searched with is what the file costs");
    }
    // With a contract that all keep, the smallest of the front is picked.
    assert_eq!(front["front"][0], picked);
    let costs: Vec<f64> =
        front["candidates"].as_array().expect("a list").iter().filter_map(|c| c["cost"].as_f64()).collect();
    assert!(costs.len() >= 12 && costs.iter().all(|c| (0.0..=1.0).contains(c) && *c >= costs[picked]), "{costs:?}");
    let slack = pick["recovered"]["stand"]["slack"].as_f64().expect("a bound");
    assert!(slack >= front["margin"].as_f64().expect("a margin"));
    let files = desk.files();
    for name in ["model.keel", "model.pruned.onnx", "model.report.html", "model.front.html", "model.front.json"] {
        assert!(files.iter().any(|f| f == name), "{name} {files:?}");
    }
    assert_eq!(desk.json("verify model.keel --data set.npz")["reproduced"], true);
    // Once more: nothing is evaluated again, and all comes out the same.
    let (before, file) = (desk.read("model.search/state.json"), desk.read("model.keel"));
    let said = desk.run(&search("--generations 2 -o model.keel --max-drop 1"));
    assert!(said.contains(&format!("candidate {picked} is picked")) && said.contains("on the front"), "{said}");
    assert!(desk.read("model.search/state.json") == before && desk.read("model.keel") == file);
}

#[test]
fn a_search_goes_on_where_it_stopped() {
    let desk = Desk::with_network();
    desk.run(&search("--generations 2 -o whole.keel --max-drop 1"));
    let whole = candidates(&desk, "whole.search");
    // A longer search goes on from a shorter one.
    desk.run(&search("--generations 0 -o parts.keel --max-drop 1"));
    assert_eq!(candidates(&desk, "parts.search"), whole[..6]);
    let longer = desk.json(&search("--generations 2 -o parts.keel --max-drop 1"));
    assert_eq!(candidates(&desk, "parts.search"), whole);
    // Another pick was judged on the test rows before, and the report says so.
    let judged = state(&desk, "parts.search")["judged"].as_array().map_or(0, Vec::len);
    assert_eq!(judged == 2, longer["report_notes"].to_string().contains("had judged 1 other"), "{longer}");
    // One that died in the middle of a generation: some candidates and the last recovery are lost.
    let mut cut = state(&desk, "whole.search");
    cut["candidates"].as_array_mut().expect("a list").truncate(9);
    cut["judged"] = Value::Array(vec![]);
    std::fs::create_dir(desk.path("cut.search")).expect("a folder");
    for file in std::fs::read_dir(desk.path("whole.search")).expect("the folder").flatten() {
        std::fs::copy(file.path(), desk.path("cut.search").join(file.file_name())).expect("a copy");
    }
    desk.write("cut.search/state.json", cut.to_string().as_bytes());
    desk.run(&search("--generations 2 -o cut.keel --max-drop 1"));
    assert_eq!(candidates(&desk, "cut.search"), whole);
    assert!(desk.read("cut.keel") == desk.read("whole.keel"));
}

#[test]
fn the_test_rows_are_spared_where_nothing_holds() {
    let desk = Desk::with_network();
    let (said, complained) = desk.ends(1, &search("--generations 0 -o none.keel --margin 0.95"));
    assert!(said.contains("candidates are on the front"), "{said}");
    for word in ["nothing is picked", "test rows were not touched", "--margin"] {
        assert!(complained.contains(word), "{complained}");
    }
    assert_eq!(state(&desk, "none.search")["judged"], Value::Array(vec![]));
    let files = desk.files();
    assert!(!files.iter().any(|f| ["none.keel", "none.report.json"].contains(&f.as_str())), "{files:?}");
    assert!(files.iter().any(|f| f == "none.front.html"));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let desk = Desk::with_network();
    for (options, words) in [
        ("-o x.keel --population 0", &["--population", "help: "][..]),
        ("-o x.keel --finalists 0", &["--finalists", "help: "]),
        ("-o x.keel --reach 0", &["--reach"]),
        ("-o x.keel --margin 3", &["--margin", "help: "]),
        ("-o x.keel --tune 2 --steps 0", &["--steps"]),
        ("-o none/x.keel", &["none", "folder"]),
        ("-o x.keel --work contract.toml", &["contract.toml", "work folder", "--work"]),
        ("-o x.keel --work contract.toml/work", &["contract.toml/work", "work folder", "--work"]),
    ] {
        // What SHORT sets cannot be set twice.
        let line = match options.contains("--steps") || options.contains("--population") {
            true => format!("search model.onnx --data set.npz --contract contract.toml {options}"),
            false => search(options),
        };
        desk.refused(&line, words);
    }
    assert!(!desk.files().iter().any(|f| f.starts_with('x')), "{:?}", desk.files());
    desk.run(&search("--generations 0 -o model.keel --max-drop 1"));
    // Another contract, other data, another method: the folder is of another search.
    desk.contract("other.toml", 0.9, "macs = \"60%\"");
    let other = search("--generations 0 -o model.keel").replace("contract.toml", "other.toml");
    desk.refused(&other, &["model.search", "another contract", "--work", "help: "]);
    desk.refused(&search("-o model.keel --method magnitude"), &["another --method", "default", "magnitude"]);
    desk.refused(&search("-o model.keel --seed 2"), &["another --seed: 0, now 2"]);
    desk.write("model.search/state.json", b"{");
    desk.refused(&search("-o model.keel"), &["state.json", "no state of a search", "help: "]);
    desk.contract("small.toml", 0.9, "macs = 1");
    let impossible = search("-o y.keel").replace("contract.toml", "small.toml");
    desk.refused(&impossible, &["model.onnx", "cannot be met", "help: "]);
}
