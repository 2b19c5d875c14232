//! Reads the results of a study back: one [`Run`] per file.

use super::cases::{BUDGETS, CASES, Case};
use super::stats::largest_by_chance;
use crate::sh::Result;
use serde_json::Value;
use std::fs::read_dir;
use std::path::{Path, PathBuf};

/// All results, and what they have in common.
pub struct Study {
    /// Ordered by case, method, budget and seed.
    pub runs: Vec<Run>,
    /// Cells that ended in an error.
    pub failures: Vec<Failure>,
    /// What `default` stands for.
    pub default: String,
    /// How many results are of another contract than the case has by now; they are left out.
    pub others: usize,
    /// Programs and schedules of the runs, each once. More than one means that the runs do not compare.
    pub programs: Vec<String>,
}

/// A cell that gave no network.
pub struct Failure {
    pub case: String,
    pub method: String,
    pub budget: u32,
    pub seed: u64,
    pub error: String,
}

/// One network, judged. Metrics are shares; `None` where the report does not have them.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub case: &'static str,
    pub method: String,
    pub budget: u32,
    pub seed: u64,
    pub verdict: String,
    /// Groups with rows on the verdict split.
    pub groups: usize,
    /// MACs as a share of the dense network's.
    pub macs_share: f64,
    pub bytes: f64,
    /// Metric of the worst group on selection rows, f32, after the recovery.
    pub selection: Option<f64>,
    /// The same of the dense network, and overall of this one.
    pub selection_dense: Option<f64>,
    pub selection_overall: Option<f64>,
    pub overall: f64,
    pub overall_dense: f64,
    pub worst: f64,
    pub worst_dense: f64,
    /// Of the worst group, over the rows or clusters of the verdict split.
    pub worst_interval: Option<[f64; 2]>,
    pub excess: f64,
    /// What `excess` would be on average if every group lost the same and as many rows flipped; only where rows are
    /// independent and the metric is accuracy.
    pub excess_by_chance: Option<f64>,
    /// Every group's excess drop.
    pub drops: Vec<(String, f64)>,
    /// Of the group with the largest excess drop, likewise.
    pub excess_interval: Option<[f64; 2]>,
    pub churn: Option<f64>,
    pub harmful_flips: Option<f64>,
    /// CEV and SDE in the convention of 2021, in percent² and percent.
    pub cev: Option<f64>,
    pub sde: Option<f64>,
    /// 1 less the mean CKA of all layers with the dense network.
    pub dissimilarity: Option<f64>,
    /// Spearman's correlation of the pre-check's risk with excess drop and with harmful flips, and whether chance explains it.
    pub foresight: [Option<(f64, f64)>; 2],
    pub cpu_seconds: Option<f64>,
}

/// Reads every result of the known cases under a folder.
pub fn load(dir: &Path) -> Result<Study> {
    let noted = dir.join("study.json");
    let default = match std::fs::read(&noted) {
        Ok(text) => serde_json::from_slice::<Value>(&text).map_err(|e| format!("{}: {e}", noted.display()))?["default"]
            .as_str()
            .unwrap_or("default")
            .to_owned(),
        Err(e) => return Err(format!("{}: {e}; run `cargo xtask study` first", noted.display())),
    };
    let mut study = Study { runs: vec![], failures: vec![], default, others: 0, programs: vec![] };
    for case in &CASES {
        for method in entries(&dir.join(case.name)) {
            for budget in BUDGETS {
                let mut files = entries(&method.join(budget.to_string()));
                files.retain(|f| f.extension().is_some_and(|e| e == "json"));
                for file in files {
                    let text = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
                    let value: Value = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", file.display()))?;
                    if value["key"]["contract"] == case.contract(budget).as_str() {
                        study.add(case, budget, &value);
                    } else {
                        study.others += 1;
                    }
                }
            }
        }
    }
    let order = |case: &str| CASES.iter().position(|c| c.name == case);
    study.runs.sort_by_cached_key(|r| (order(r.case), r.method.clone(), r.budget, r.seed));
    study.programs.sort();
    Ok(study)
}

/// What is in a folder, sorted; nothing where there is none.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.sort();
    found
}

impl Study {
    /// Adds a stored result.
    pub fn add(&mut self, case: &'static Case, budget: u32, stored: &Value) {
        let key = &stored["key"];
        let [steps, tune, recover] = [0, 1, 2].map(|i| key["schedule"][i].as_u64().unwrap_or(0));
        let program = format!(
            "{}, {steps} pruning steps with {tune} updates after each, {recover} updates of recovery",
            key["version"].as_str().unwrap_or("an unknown version")
        );
        if !self.programs.contains(&program) {
            self.programs.push(program);
        }
        let method = stored["method"].as_str().unwrap_or("?").to_owned();
        let seed = stored["seed"].as_u64().unwrap_or(0);
        match Run::read(case.name, &method, budget, seed, stored) {
            Some(run) => self.runs.push(run),
            None => self.failures.push(Failure {
                case: case.name.to_owned(),
                method,
                budget,
                seed,
                error: stored["error"].as_str().unwrap_or("the result is no report").to_owned(),
            }),
        }
    }
}

impl Run {
    /// `None` where the report lacks what every report has.
    fn read(case: &'static str, method: &str, budget: u32, seed: u64, stored: &Value) -> Option<Self> {
        let r = &stored["report"];
        let number = |path: &str| r.pointer(path).and_then(Value::as_f64);
        let empty = vec![];
        let groups = r["groups"].as_array().unwrap_or(&empty);
        let worst = groups.iter().find(|g| g["group"] == r["worst_group"]["group"]);
        let drop = |g: &Value| g["excess_drop"]["value"].as_f64();
        let most = groups
            .iter()
            .filter(|g| drop(g).is_some())
            .max_by(|a, b| drop(a).partial_cmp(&drop(b)).unwrap_or(std::cmp::Ordering::Equal))?;
        let foresight = |of: &str| {
            let score = r.pointer(&format!("/foresight/{of}/score"))?;
            Some((score["rho"].as_f64()?, score["p"].as_f64()?))
        };
        Some(Run {
            case,
            method: method.to_owned(),
            budget,
            seed,
            verdict: r["verdict"].as_str()?.to_owned(),
            groups: groups.iter().filter(|g| g["rows"].as_u64().unwrap_or(0) > 0).count(),
            macs_share: number("/budget/macs/value")? / number("/budget/macs/dense")?,
            bytes: number("/budget/flash/value")?,
            selection: r["history"].as_array().and_then(|h| h.last()?["worst"].as_f64()),
            selection_dense: r["history"].as_array().and_then(|h| h.first()?["worst"].as_f64()),
            selection_overall: r["history"].as_array().and_then(|h| h.last()?["overall"].as_f64()),
            overall: number("/overall/int8")?,
            overall_dense: number("/overall/dense")?,
            worst: number("/worst_group/int8")?,
            worst_dense: groups.iter().filter_map(|g| g["dense"].as_f64()).fold(f64::INFINITY, f64::min),
            worst_interval: worst.and_then(|g| pair(&g["int8_interval"][0], &g["int8_interval"][1])),
            excess: drop(most)?,
            excess_by_chance: by_chance(r, groups),
            drops: groups.iter().filter_map(|g| Some((g["group"].as_str()?.to_owned(), drop(g)?))).collect(),
            excess_interval: pair(&most["excess_drop"]["lower"], &most["excess_drop"]["upper"]),
            churn: number("/overall/churn"),
            harmful_flips: number("/overall/harmful_flips"),
            cev: number("/metrics/everybody/change/cev_2021_pct/value"),
            sde: number("/metrics/everybody/change/sde_2021_pct/value"),
            dissimilarity: dissimilarity(&stored["similarity"]["layers"]),
            foresight: [foresight("excess_drop"), foresight("harmful_flips")],
            cpu_seconds: stored["cpu_seconds"].as_f64(),
        })
    }
}

/// Groups share no rows here, and everybody's drop is taken from all of them alike, so the largest excess drop is on
/// average what the largest of the groups' own drops is.
fn by_chance(report: &Value, groups: &[Value]) -> Option<f64> {
    if report["metric"] != "accuracy" || !report["cluster"].is_null() {
        return None;
    }
    let deviation = |g: &Value| {
        let (n, harm) = (g["n"].as_f64()?, g["harmful_flips"].as_f64()?);
        let help = g["churn"].as_f64()? - harm;
        Some(((harm + help - (harm - help).powi(2)).max(0.0) / n).sqrt())
    };
    Some(largest_by_chance(&groups.iter().map(deviation).collect::<Option<Vec<f64>>>()?))
}

fn pair(lower: &Value, upper: &Value) -> Option<[f64; 2]> {
    Some([lower.as_f64()?, upper.as_f64()?])
}

/// 1 less the mean over layers that have a CKA.
fn dissimilarity(layers: &Value) -> Option<f64> {
    let alike: Vec<f64> = layers.as_array()?.iter().filter_map(|l| l["everybody"]["value"].as_f64()).collect();
    (!alike.is_empty()).then(|| 1.0 - alike.iter().sum::<f64>() / alike.len() as f64)
}

/// A result as the runner stores it, for tests: two groups of which the second is the worse served.
#[cfg(test)]
pub fn sample(method: &str, seed: u64, worst: f64, excess: f64) -> Value {
    serde_json::json!({
        "key": { "version": "evenkeel 0.1.0", "schedule": [2, 5, 20] },
        "method": method,
        "seed": seed,
        "cpu_seconds": 10.0,
        "similarity": { "layers": [{ "everybody": { "value": 0.9 } }, { "everybody": {} }, { "everybody": { "value": 0.7 } }] },
        "report": {
            "verdict": "UNDECIDED",
            "metric": "accuracy",
            "cluster": null,
            "budget": { "macs": { "value": 250, "dense": 1000 }, "flash": { "value": 80 } },
            "overall": { "dense": 0.9, "int8": 0.85, "churn": 0.1, "harmful_flips": 0.06 },
            "worst_group": { "group": "g=b", "int8": worst },
            "history": [{ "worst": 0.855 }, { "worst": worst + 0.01, "overall": 0.9 }],
            "groups": [
                { "group": "g=a", "rows": 5, "n": 400, "churn": 0.1, "harmful_flips": 0.06, "dense": 0.92, "int8_interval": [0.8, 0.95],
                  "excess_drop": { "value": -excess, "lower": -0.2, "upper": 0.1 } },
                { "group": "g=b", "rows": 5, "n": 400, "churn": 0.1, "harmful_flips": 0.06, "dense": 0.88, "int8_interval": [0.7, 0.9],
                  "excess_drop": { "value": excess, "lower": -0.1, "upper": 0.2 } },
            ],
            "metrics": {
                "everybody": { "change": { "cev_2021_pct": { "value": 100.0 * excess } } },
            },
            "foresight": { "excess_drop": { "score": { "rho": 1.0, "p": 0.5 } } },
        },
    })
}
