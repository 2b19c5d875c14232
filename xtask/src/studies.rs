//! Studies that take long: methods over seeds, and a second opinion in f32.

use crate::bench::{Bench, n, text};
use crate::sh::{Result, cmd, root, run, shared};
use serde_json::Value;

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
