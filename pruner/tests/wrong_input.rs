//! Wrong input: every error names the file, the thing and the way out, ends with 2, and is no panic.

mod common;

use common::{Desk, SHORT};
use evenkeel::data::{self, Parts, Values};

#[test]
fn files_that_are_not_there() {
    let desk = Desk::with_network();
    desk.run("compile model.onnx --data set.npz -o small.keel");
    let options = "--data set.npz --contract contract.toml -o new.keel";
    for (line, file) in [
        ("inspect none.onnx", "none.onnx"),
        ("inspect none.keel", "none.keel"),
        ("audit none.onnx --data set.npz --groups site", "none.onnx"),
        ("audit model.onnx --data none.npz --groups site", "none.npz"),
        ("prune model.onnx --data set.npz --contract none.toml -o new.keel", "none.toml"),
        ("compare none.onnx small.keel --data set.npz --groups site", "none.onnx"),
        ("compare model.onnx none.keel --data set.npz --groups site", "none.keel"),
        ("compare model.onnx small.keel --data set.npz --groups site --pruned none.onnx", "none.onnx"),
        (&format!("prune none.onnx {options}"), "none.onnx"),
        ("verify none.keel --data set.npz", "none.keel"),
        ("run small.keel --input none.npy", "none.npy"),
        ("bench small.keel --data none.npz", "none.npz"),
        ("report none.report.json", "none.report.json"),
        ("train --arch mlp --data none.npz -o new.onnx", "none.npz"),
        ("compile model.onnx --data none.npy -o new.keel", "none.npy"),
        ("monitor simulate none.keel --data set.npz", "none.keel"),
    ] {
        desk.refused(line, &[file]);
    }
    desk.refused("synth -o none/set.npz", &["none/set.npz"]);
    desk.refused(
        &format!("prune model.onnx --data set.npz --contract contract.toml -o . {SHORT}"),
        &["folder", "help: "],
    );
    desk.refused(
        &format!("prune model.onnx --data set.npz --contract contract.toml -o none/small.keel {SHORT}"),
        &["none", "folder", "help: "],
    );
    assert!(!desk.files().iter().any(|f| f.starts_with("new")), "{:?}", desk.files());
}

#[test]
fn inputs_are_not_written_over() {
    let desk = Desk::with_network();
    let network = desk.read("model.onnx");
    desk.refused("compile model.onnx --data set.npz -o ./model.onnx", &["model.onnx", "input", "help: "]);
    desk.refused("compile model.onnx --data set.npz -o set.npz", &["set.npz", "input", "help: "]);
    desk.refused(
        &format!("prune model.onnx --data set.npz --contract contract.toml -o contract.toml {SHORT}"),
        &["contract.toml", "input", "help: "],
    );
    // The pruned network goes beside the file.
    desk.write("small.pruned.onnx", &network);
    desk.refused(
        &format!("prune small.pruned.onnx --data set.npz --contract contract.toml -o small.keel {SHORT}"),
        &["small.pruned.onnx", "input", "help: "],
    );
    assert!(desk.read("model.onnx") == network && desk.read("small.pruned.onnx") == network);
}

#[test]
fn files_for_other_targets() {
    let desk = Desk::with_network();
    desk.run("compile model.onnx --data set.npz --target cortex-m55 -o small.keel");
    let way_out = &["small.keel", "cortex-m55", "help: ", "evenkeel repack"];
    for target in ["host", "cortex-m4", "aarch64"] {
        desk.refused(&format!("bench small.keel --target {target}"), way_out);
    }
    desk.run("bench small.keel --portable");
    desk.refused("bench small.keel --portable --no-i8mm", &["--no-i8mm", "--target aarch64"]);
    desk.refused("run small.keel --input set.npz --rows 0", &["--rows"]);
}

#[test]
fn files_that_are_something_else() {
    let desk = Desk::with_network();
    desk.run("compile model.onnx --data set.npz -o small.keel");
    for (line, words) in [
        ("inspect contract.toml", &["contract.toml", "ONNX", "help: "][..]),
        ("inspect small.onnx", &["small.onnx"]),
        ("inspect .", &["."]),
        ("audit set.npz --data set.npz --groups site", &["set.npz", "ONNX"]),
        ("audit model.onnx --data model.onnx --groups site", &["model.onnx", ".npz", "help: "]),
        ("verify model.onnx --data set.npz", &["model.onnx", ".keel", "help: "]),
        ("verify small.keel --data set.npz", &["small.keel", "no contract", "evenkeel prune"]),
        ("monitor simulate small.keel --data set.npz", &["small.keel", "no monitor", "help: "]),
        ("run model.onnx --input set.npz", &["model.onnx", ".keel"]),
        ("run small.keel --input contract.toml", &["contract.toml", ".npz", "help: "]),
        ("run small.keel --input set.npz --array z", &["set.npz", "`z`"]),
        ("report contract.toml", &["contract.toml", "no report", "help: "]),
        ("prune model.onnx --data set.npz --contract set.npz -o new.keel", &["set.npz"]),
    ] {
        desk.refused(line, words);
    }
    // A file that was cut, at any place.
    let whole = desk.read("small.keel");
    for len in [0, 3, 40, whole.len() / 2, whole.len() - 1] {
        desk.write("cut.keel", &whole[..len]);
        desk.refused("inspect cut.keel", &["cut.keel"]);
    }
    let whole = desk.read("model.onnx");
    for len in [0, 3, whole.len() / 2] {
        desk.write("cut.onnx", &whole[..len]);
        desk.refused("inspect cut.onnx", &["cut.onnx"]);
    }
}

#[test]
fn contracts_that_cannot_be_kept() {
    let desk = Desk::with_network();
    let prune = "prune model.onnx --data set.npz --contract wrong.toml -o new.keel";
    let fair = "[fairness]\ngroups = [\"site\"]\nmax_excess_drop = 0.1\n";
    for (text, words) in [
        (fair.replace("site", "gender"), &["set.npz", "`gender`", "help: ", "site"][..]),
        (fair.replace("site", "site*gender"), &["set.npz", "gender", "help: "]),
        (format!("{fair}cluster = \"person\"\n"), &["set.npz", "cluster", "`person`", "help: ", "subject"]),
        (String::new(), &["wrong.toml", "is empty", "help: ", "[fairness]", "max_excess_drop"]),
        ("# to be written\n".to_owned(), &["wrong.toml", "is empty"]),
        (fair.to_owned(), &["wrong.toml", "no [budget]", "help: ", "macs = \"40%\""]),
        (format!("{fair}[budget]\n"), &["wrong.toml", "no [budget]"]),
        (format!("{fair}metric = \"f1\"\n"), &["wrong.toml", "f1", "macro_recall"]),
        (format!("{fair}speed = 3\n"), &["wrong.toml", "speed"]),
        (fair.replace("0.1", "7"), &["wrong.toml", "max_excess_drop", "help: "]),
        (format!("{fair}[budget]\nmacs = \"0%\"\n"), &["wrong.toml", "0%", "40%"]),
        (
            format!("{fair}[budget]\nmacs = 1\n"),
            &["model.onnx", "cannot be met", "macs", "> 1", "conv2", "not prunable", "help: ", "--min-share"],
        ),
        (format!("{fair}[budget]\nflash = 100\nram = 10\n"), &["cannot be met", "flash", "ram"]),
        (format!("{fair}[budget]\nlatency = \"8 ms\"\n"), &["wrong.toml", "latency", "help: "]),
        ("groups".to_owned(), &["wrong.toml", "help: "]),
    ] {
        desk.write("wrong.toml", text.as_bytes());
        desk.refused(prune, words);
    }
    desk.write("wrong.toml", &[0xff, 0xfe, b'[', 0]);
    desk.refused(prune, &["wrong.toml", "UTF-8", "help: "]);
    desk.refused(&prune.replace("wrong.toml", "."), &["cannot read the contract", "help: "]);
    // Blocks are something to do without a budget.
    desk.write("free.toml", fair.as_bytes());
    let free = "prune model.onnx --data set.npz --contract free.toml -o free.keel --target cortex-m4 --allow-unproven";
    desk.run(&format!("{free} {SHORT} --blocks 50% --block-steps 1"));
    assert!(!desk.files().iter().any(|f| f.starts_with("new")), "{:?}", desk.files());
}

#[test]
fn networks_and_flags_that_are_not_supported() {
    let desk = Desk::with_network();
    // Another operator whose name is as long, so that the rest of the file stays right.
    let mut bytes = desk.read("model.onnx");
    let relu: Vec<usize> = (0..bytes.len() - 3).filter(|&i| &bytes[i..i + 4] == b"Relu").collect();
    assert!(!relu.is_empty());
    relu.iter().for_each(|&i| bytes[i..i + 4].copy_from_slice(b"Sinh"));
    desk.write("sinh.onnx", &bytes);
    desk.refused("inspect sinh.onnx", &["sinh.onnx", "Sinh", "not supported", "help: "]);
    let train = "train --data set.npz -o new.onnx";
    desk.refused(&format!("{train} --arch cnn1d --device tpu"), &["`tpu`", "cpu", "help: "]);
    desk.refused(&format!("{train} --arch vgg"), &["`vgg`", "cnn1d", "help: "]);
    desk.refused(&format!("{train} --arch cnn1d --metric f1"), &["f1", "macro_recall"]);
    desk.refused("audit model.onnx --data set.npz --groups gender", &["set.npz", "`gender`", "help: ", "site"]);
    desk.refused("synth -o new.npz --subjects 2", &["subjects", "help: "]);
    let prune = "prune model.onnx --data set.npz --contract contract.toml -o new.keel";
    desk.refused(&format!("{prune} --steps 0"), &["--steps"]);
    desk.refused(&format!("{prune} --lr 0"), &["--lr"]);
    desk.refused(&format!("{prune} --std 0"), &["std"]);
    // What clap refuses keeps the same code.
    let (_, said) = desk.ends(2, "prune model.onnx");
    assert!(said.contains("--contract"), "{said}");
}

#[test]
fn data_of_the_wrong_shape() {
    let desk = Desk::with_network();
    desk.run(&format!("prune model.onnx --data set.npz --contract contract.toml -o small.keel {SHORT}"));
    // 3 axes of 60 samples, where the network takes 64; in all a whole number of the network's samples.
    let rows = 48;
    let parts = Parts {
        sample: vec![3, 60],
        x: vec![0.5; rows * 180],
        y: (0..rows).map(|i| i % 4).collect(),
        split: (0..rows).map(|i| ["train", "val", "test"][i % 3]).collect(),
        columns: vec![("site".into(), Values::Text((0..rows).map(|i| ["a", "b"][i / 3 % 2].into()).collect()))],
    };
    data::save(&desk.path("short.npz"), &parts).expect("a file");
    let shapes = &["short.npz", "60", "64"][..];
    desk.refused("audit model.onnx --data short.npz --groups site", shapes);
    desk.refused("prune model.onnx --data short.npz --contract contract.toml -o new.keel", shapes);
    desk.refused("compile model.onnx --data short.npz -o new.keel", shapes);
    for line in [
        "verify small.keel --data short.npz",
        "verify small.keel --data short.npz --dense model.onnx",
        "run small.keel --input short.npz",
        "bench small.keel --data short.npz",
        "monitor simulate small.keel --data short.npz",
    ] {
        desk.refused(line, &["short.npz"]);
    }
    // More classes than the network has outputs.
    let parts = Parts { sample: vec![3, 64], x: vec![0.5; rows * 192], y: (0..rows).map(|i| i % 9).collect(), ..parts };
    data::save(&desk.path("nine.npz"), &parts).expect("a file");
    desk.refused("audit model.onnx --data nine.npz --groups site", &["nine.npz", "`y`", "4 outputs"]);
}

/// A budget out of reach is refused before the network has seen a row: this one would give values that are not finite,
/// which the pre-check refuses.
#[test]
fn an_impossible_budget_is_refused_before_the_pre_check() {
    let desk = Desk::with_network();
    let x = vec![f32::MAX; 48 * 192];
    let split = (0..48).map(|i| ["train", "val", "test"][i % 3]).collect();
    let site = Values::Text((0..48).map(|i| ["a", "b"][i / 3 % 2].into()).collect());
    let y = (0..48).map(|i| i % 4).collect();
    let parts = Parts { sample: vec![3, 64], x, y, split, columns: vec![("site".into(), site)] };
    data::save(&desk.path("large.npz"), &parts).expect("a file");
    let prune = |contract: &str| format!("prune model.onnx --data large.npz --contract {contract} -o new.keel {SHORT}");
    desk.refused(&prune("contract.toml"), &["finite"]);
    desk.contract("tiny.toml", 0.5, "macs = 1");
    desk.refused(&prune("tiny.toml"), &["model.onnx", "cannot be met", "help: "]);
    desk.refused(&prune("tiny.toml").replace("prune", "search"), &["model.onnx", "cannot be met", "help: "]);
}

#[test]
fn data_without_what_the_contract_needs() {
    let desk = Desk::with_network();
    let rows = 48;
    let whole = Parts {
        sample: vec![3, 64],
        x: (0..rows * 192).map(|i| (i % 7) as f32).collect(),
        y: (0..rows).map(|i| i % 4).collect(),
        split: (0..rows).map(|i| ["train", "val", "test"][i % 3]).collect(),
        columns: vec![("site".into(), Values::Text((0..rows).map(|i| ["a", "b"][i / 3 % 2].into()).collect()))],
    };
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = whole.clone();
        change(&mut parts);
        data::to_bytes(&parts).expect("a file")
    };
    let bytes = with(&|_| {});
    // The middle of `x`, which is stored as it is, with the archive's own sizes left as they were.
    let cut = [&bytes[..4000], &bytes[8000..]].concat();
    for (file, bytes, words) in [
        ("untested.npz", with(&|p| p.split = ["train", "val"].repeat(rows / 2)), &["no row `test`", "help: "][..]),
        ("unselected.npz", with(&|p| p.split = ["train", "test"].repeat(rows / 2)), &["no row `val`", "help: "]),
        ("alike.npz", with(&|p| p.columns[0].1 = Values::Int(vec![3; rows])), &["`site`", "site=3", "help: ", "class"]),
        (
            "unknown.npz",
            with(&|p| p.columns[0].1 = Values::Text(vec![String::new(); rows])),
            &["site=unknown", "help: "],
        ),
        ("nine.npz", with(&|p| p.y[5] = 8), &["`y`", "up to 8", "4 outputs", "help: "]),
        ("many.npz", with(&|p| p.y[5] = 5000), &["`y`", "row 5", "class 5000", "help: "]),
        ("gap.npz", with(&|p| p.x[200] = f32::NAN), &["`x`", "row 1", "NaN", "help: "]),
        ("cut.npz", cut, &["help: "]),
    ] {
        desk.write(file, &bytes);
        let line = format!("prune model.onnx --data {file} --contract contract.toml -o new.keel {SHORT}");
        desk.refused(&line, &[&[file], words].concat());
    }
    assert!(!desk.files().iter().any(|f| f.starts_with("new")), "{:?}", desk.files());
}

#[test]
fn plans_that_cannot_be() {
    let desk = Desk::new();
    desk.refused("plan --group-noise 0.6", &["wrong labels"]);
    for groups in ["1", "65", "100000000"] {
        desk.refused(&format!("plan --groups {groups}"), &["from 2 to 64 groups"]);
    }
    for (flag, word) in
        [("--churn nan", "--churn"), ("--drop nan", "--churn"), ("--bound 0", "the bound"), ("--runs 1", "--runs")]
    {
        desk.refused(&format!("plan {flag}"), &[word]);
    }
    let few = "plan --bound 0.05 --runs 40";
    let rows = |line: &str| desk.json(line)[0]["smallest"].as_u64();
    let (sure, wary) = (rows(few), rows(&format!("{few} --group-noise 0.005")));
    assert!(sure.is_some() && wary > sure, "{sure:?} {wary:?}");
    let hopeless = desk.run(&format!("{few} --group-noise 0.1"));
    assert!(hopeless.contains("no amount of data is enough"), "{hopeless}");
}

#[test]
fn what_compile_needs_depends_on_the_network() {
    let desk = Desk::with_network();
    desk.refused("compile model.onnx -o new.keel", &["model.onnx", "f32", "--data", "help: "]);
    assert!(!desk.files().iter().any(|f| f.starts_with("new")), "{:?}", desk.files());
}

/// Each class has rows that a recall of one class counts, or none: no group of classes can be compared by it.
#[test]
fn a_recall_of_one_class_says_nothing_of_classes() {
    let desk = Desk::with_network();
    for metric in ["recall:1", "fpr:1"] {
        let text = format!(
            "[fairness]\ngroups = [\"class\"]\nmetric = \"{metric}\"\nmax_excess_drop = 0.1\n[budget]\nmacs = \"50%\"\n"
        );
        desk.write("classes.toml", text.as_bytes());
        let line = "prune model.onnx --data set.npz --contract classes.toml -o new.keel";
        desk.refused(line, &["set.npz", "are the classes", metric, "accuracy"]);
    }
}

/// What is no file is written to and not replaced.
#[cfg(unix)]
#[test]
fn a_device_stays_a_device() {
    use std::os::unix::fs::FileTypeExt;
    let desk = Desk::new();
    let made = std::process::Command::new("mkfifo").arg(desk.path("pipe")).status();
    if !made.is_ok_and(|m| m.success()) {
        return;
    }
    let reader = std::thread::spawn({
        let pipe = desk.path("pipe");
        move || std::fs::read(pipe)
    });
    desk.run("synth -o pipe --subjects 8 --rows-per-subject 8");
    assert!(!reader.join().expect("a reader").expect("bytes").is_empty());
    assert!(std::fs::metadata(desk.path("pipe")).expect("the pipe").file_type().is_fifo());
}
