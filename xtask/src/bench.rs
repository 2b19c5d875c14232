//! Measurements that end up in `benches/README.md`: each command prints the table as Markdown.

use crate::firmware::{self, Firmware};
use crate::setup;
use crate::sh::{Result, cmd, output, root, run, shared, target};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// MLPerf Tiny networks and what CMSIS-NN needs on the same emulated core (instructions per inference).
pub const MLPERF: &[(&str, u64)] = &[("kws", 7_842_088), ("vww", 24_710_857), ("ic", 29_869_260), ("ad", 579_258)];

/// The networks of ../shared/models and the data that belongs to each.
pub const MODELS: &[(&str, &str)] = &[
    ("har_cnn", "motionsense"),
    ("har_cnn_bn", "motionsense"),
    ("har_dscnn", "motionsense"),
    ("ecg_resnet1d", "mitbih"),
    ("face_resnet8", "fairface32"),
    ("face_mbv2", "fairface32"),
];

/// Bytes to what the face networks take: (x/255 - 0.5) / 0.25.
pub const BYTES: &[&str] = &["--scale", "0.003921569", "--mean", "0.5", "--std", "0.25"];

struct Bench {
    evenkeel: PathBuf,
    firmware: Firmware,
    dir: PathBuf,
    shared: PathBuf,
}

impl Bench {
    fn new() -> Result<Self> {
        let shared = shared().ok_or("the models in ../shared (or EVENKEEL_DATA) are not there")?;
        setup::emulator()?;
        let firmware = firmware::build()?;
        run(cmd("cargo").args(["build", "--locked", "--package", "evenkeel"]))?;
        let dir = target().join("bench");
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Bench { evenkeel: target().join("debug/evenkeel"), firmware, dir, shared })
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        let mut c = cmd(&self.evenkeel);
        let text = output(c.envs(self.firmware.clone()).args(args).arg("--json"))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", args.join(" ")))
    }

    /// Compiles a network and counts its instructions with the portable kernels and the target's own.
    fn count(&self, model: &Path, data: &Path, rows: &str, flags: &[&str]) -> Result<[Value; 2]> {
        let name = model.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let (keel, model, data) = (text(&self.dir.join(format!("{name}.keel"))), text(model), text(data));
        self.json(&[&["compile", &model, "--data", &data, "-o", &keel], flags].concat())?;
        let bench = ["bench", &keel, "--target", "cortex-m4", "--data", &data, "--rows"];
        Ok([self.json(&[&bench[..], &["1", "--portable"]].concat())?, self.json(&[&bench[..], &[rows]].concat())?])
    }
}

fn text(p: &Path) -> String {
    p.to_string_lossy().into_owned()
}

fn n(v: &Value) -> u64 {
    v.as_u64().unwrap_or(0)
}

/// What a count may be off: SysTick ticks every 40 instructions, and a layer that falls back to the portable
/// kernels spends some on finding out.
const SLACK: u64 = 100;

/// Layers that the target's kernels run slower than the portable ones.
fn slower(portable: &Value, native: &Value) -> Vec<String> {
    let layers = |v: &Value| v["layers"].as_array().cloned().unwrap_or_default();
    layers(portable)
        .iter()
        .zip(&layers(native))
        .filter(|(p, q)| n(&q["count"]) > n(&p["count"]) + SLACK)
        .map(|(p, _)| p["name"].as_str().unwrap_or("").to_owned())
        .collect()
}

/// Instructions per inference on the emulated Cortex-M4.
pub fn counts() -> Result<()> {
    let b = Bench::new()?;
    println!(
        "\n| network | MACs | instructions | per MAC | portable kernels | CMSIS-NN | file | arena | equal inputs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut late = Vec::new();
    let mut row = |name: &str, [portable, native]: [Value; 2], cmsis: Option<u64>| {
        let macs: u64 = native["layers"].as_array().into_iter().flatten().map(|l| n(&l["macs"])).sum();
        let total = n(&native["total"]);
        println!(
            "| {name} | {macs} | {total} | {:.2} | {} | {} | {} | {} | {} |",
            total as f64 / macs as f64,
            n(&portable["total"]),
            cmsis.map_or("–".into(), |c| format!("{c} ({:.2} ×)", c as f64 / total as f64)),
            n(&native["bytes"]),
            n(&native["arena"]),
            n(&native["inferences"]),
        );
        late.extend(slower(&portable, &native).into_iter().map(|l| format!("{name}/{l}")));
    };
    for (name, cmsis) in MLPERF {
        let model = b.shared.join(format!("models/mlperf_tiny/{name}_f32.onnx"));
        let data = b.shared.join(format!("golden/mlperf_tiny/{name}_f32.npz"));
        row(name, b.count(&model, &data, "4", &[])?, Some(*cmsis));
    }
    for (name, data) in MODELS {
        let model = b.shared.join(format!("models/{name}.onnx"));
        let data = b.shared.join(format!("data/{data}.npz"));
        let flags = if name.starts_with("face") { BYTES } else { &[] };
        row(name, b.count(&model, &data, "200", flags)?, None);
    }
    println!(
        "\nlayers slower than with portable kernels: {}",
        if late.is_empty() { "none".into() } else { late.join(", ") }
    );
    Ok(())
}

/// Magnitude against the contract method over seeds on motionsense, at equal MACs.
pub fn seeds(count: u64) -> Result<()> {
    let b = Bench::new()?;
    let contract = b.dir.join("seeds.toml");
    let contract_text = "[fairness]\ngroups = [\"gender\"]\nmax_excess_drop = 0.03\n[budget]\nmacs = \"40%\"\n";
    std::fs::write(&contract, contract_text).map_err(|e| format!("{}: {e}", contract.display()))?;
    println!("\n| network | method | seeds | MACs | overall | worst group | max excess drop | verdicts |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for model in ["har_cnn", "har_dscnn"] {
        for method in ["magnitude", "contract"] {
            let (mut overall, mut worst, mut psi, mut verdicts, mut macs) = (vec![], vec![], vec![], vec![], 0);
            for seed in 0..count {
                let keel = text(&b.dir.join(format!("{model}-{method}-{seed}.keel")));
                let v = b.json_any(&[
                    "prune",
                    &text(&b.shared.join(format!("models/{model}.onnx"))),
                    "--data",
                    &text(&b.shared.join("data/motionsense.npz")),
                    "--contract",
                    &text(&contract),
                    "-o",
                    &keel,
                    "--method",
                    method,
                    "--seed",
                    &seed.to_string(),
                    "--allow-unproven",
                ])?;
                overall.push(v["overall"]["int8"].as_f64().unwrap_or(f64::NAN));
                worst.push(v["worst_group"]["int8"].as_f64().unwrap_or(f64::NAN));
                let drops =
                    v["groups"].as_array().into_iter().flatten().filter_map(|g| g["excess_drop"]["value"].as_f64());
                psi.push(drops.fold(f64::NEG_INFINITY, f64::max));
                verdicts.push(v["verdict"].as_str().unwrap_or("?").to_owned());
                macs = n(&v["budget"]["macs"]["value"]);
            }
            println!(
                "| {model} | {method} | {count} | {macs} | {} | {} | {} | {} |",
                spread(&overall),
                spread(&worst),
                spread(&psi),
                verdicts.join(" ")
            );
        }
    }
    println!("\nint8 on the verdict split; mean ± half width of the 95 % t interval over seeds.");
    Ok(())
}

impl Bench {
    /// As [`Bench::json`], for commands that also say their verdict through the exit code.
    fn json_any(&self, args: &[&str]) -> Result<Value> {
        let out = cmd(&self.evenkeel)
            .args(args)
            .arg("--json")
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|e| e.to_string())?;
        serde_json::from_slice(&out.stdout).map_err(|e| format!("{}: {e}", args.join(" ")))
    }
}

/// Quantiles of Student's t for 95 % two-sided intervals, by degrees of freedom from 1.
const T95: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

fn spread(v: &[f64]) -> String {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    if v.len() < 2 {
        return format!("{mean:.4}");
    }
    let sd = (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let t = T95.get(v.len() - 2).copied().unwrap_or(1.96);
    format!("{mean:.4} ± {:.4}", t * sd / n.sqrt())
}

/// The networks of ../shared through burn-candle.
pub fn second_opinion() -> Result<()> {
    let shared = shared().ok_or("the models in ../shared (or EVENKEEL_DATA) are not there")?;
    let mut c = cmd("cargo");
    c.current_dir(root().join("benches/burn-candle")).args(["run", "--release", "--locked", "--"]).arg(shared);
    run(&mut c)
}
