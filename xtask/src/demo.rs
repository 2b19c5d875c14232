//! The whole chain on data that the project generates itself.

use crate::sh::{Result, cmd, output, root, run, target};
use crate::{firmware, setup};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Instant;

/// The demo's contract: the minority group may lose little more than everybody.
const CONTRACT: &str = r#"# No group may lose more than 5 points of accuracy beyond what everybody loses.
[fairness]
groups          = ["site"]
metric          = "accuracy"
max_excess_drop = 0.05
confidence      = 0.95
cluster         = "subject"

[budget]
macs  = "40%"
flash = "32 KiB"
ram   = "8 KiB"
"#;

/// A folder for the demo's files, and the `evenkeel` command in it.
struct Demo {
    dir: PathBuf,
    evenkeel: PathBuf,
}

impl Demo {
    /// Says what comes, and runs the command in the demo's folder.
    fn step(&self, what: &str, args: &[&str]) -> Result<()> {
        println!("\n== {what}");
        run(cmd(&self.evenkeel).current_dir(&self.dir).args(args))
    }
}

/// Set-up, data, dense training, pruning, verdict, report, firmware with monitor.
pub fn demo() -> Result<()> {
    let begin = Instant::now();
    setup::all()?;
    let firmware = firmware::build()?;
    run(cmd("cargo").args(["build", "--locked", "--package", "evenkeel"]))?;
    let dir = target().join("demo");
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let contract = dir.join("contract.toml");
    std::fs::write(&contract, CONTRACT).map_err(|e| format!("{}: {e}", contract.display()))?;
    let d = Demo { evenkeel: target().join("debug/evenkeel"), dir };
    let after_build = Instant::now();

    d.step(
        "a synthetic sensor data set: 80 % wrist, 20 % ankle, which is harder",
        &["synth", "-o", "synth.npz", "--subjects", "192", "--rows-per-subject", "48", "--seed", "7"],
    )?;
    d.step(
        "train a dense network",
        &["train", "--arch", "cnn1d", "--data", "synth.npz", "-o", "dense.onnx", "--epochs", "6", "--seed", "7"],
    )?;
    d.step(
        "which groups are at risk under pruning?",
        &["audit", "dense.onnx", "--data", "synth.npz", "--groups", "site"],
    )?;
    d.step(
        "prune it under the contract, and judge the int8 file once",
        &[
            "prune",
            "dense.onnx",
            "--data",
            "synth.npz",
            "--contract",
            "contract.toml",
            "-o",
            "model.keel",
            "--seed",
            "7",
            "--allow-unproven",
        ],
    )?;
    d.step("the verdict again, from the file alone", &["verify", "model.keel", "--data", "synth.npz", "--no-fail"])?;
    println!("\n== the same bytes on an emulated Cortex-M4");
    let device = |args: &[&str]| {
        let mut c = cmd(&d.evenkeel);
        c.current_dir(&d.dir).envs(firmware.clone()).args(args);
        c
    };
    run(&mut device(&["bench", "model.keel", "--target", "cortex-m4", "--data", "synth.npz", "--rows", "50"]))?;
    println!("\n== the monitor on the device: 300 healthy events, then the ankle sensor goes bad");
    let stream = [
        "monitor",
        "simulate",
        "model.keel",
        "--data",
        "synth.npz",
        "--target",
        "cortex-m4",
        "--events",
        "900",
        "--seed",
        "7",
    ];
    let bad = [&stream[..], &["--degrade", "site=ankle", "--from", "300"]].concat();
    run(&mut device(&bad))?;
    let with_json = |args: &[&str]| -> Result<Value> {
        serde_json::from_str(&output(device(args).arg("--json"))?).map_err(|e| e.to_string())
    };
    let alarms = |v: &Value| -> Vec<(String, u64)> {
        let groups = v["groups"].as_array().into_iter().flatten();
        groups
            .filter(|g| g["alarms"] != 0)
            .map(|g| (g["group"].as_str().unwrap_or("").to_owned(), g["first_alarm"].as_u64().unwrap_or(0)))
            .collect()
    };
    let (healthy, degraded) = (alarms(&with_json(&stream)?), alarms(&with_json(&bad)?));
    if !healthy.is_empty() {
        return Err(format!("the monitor raised an alarm on a healthy stream: {healthy:?}"));
    }
    match degraded.as_slice() {
        [(group, at)] if group == "site=ankle" && *at > 300 => {
            println!("alarm for {group} at event {at}, for no other group, and none on the healthy stream")
        }
        other => return Err(format!("expected one alarm, for site=ankle after event 300; there were {other:?}")),
    }
    println!(
        "\nThe chain took {} s (set-up and build {} s before it).",
        after_build.elapsed().as_secs(),
        (after_build - begin).as_secs()
    );
    let at = d.dir.strip_prefix(root()).unwrap_or(&d.dir).to_owned();
    println!("Report: {}", at.join("model.report.html").display());
    Ok(())
}
