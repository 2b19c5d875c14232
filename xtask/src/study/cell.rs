//! One cell of the study: a method on a case at a budget with a seed, and its file of results.

use super::cases::{BUDGETS, Case, PEOPLE};
use super::options::{Options, Schedule};
use crate::sh::Result;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What one run of `evenkeel prune` is of.
pub struct Cell {
    pub case: &'static Case,
    /// As [`Cell::method`] is asked for on the command line: a sum of parts, `default` replaced by what it stands for.
    pub method: String,
    pub budget: u32,
    pub seed: u64,
}

/// All cells of a selection, so ordered that one who stops early has a balanced picture: budget by budget, seed by
/// seed, all methods on all cases. `default` stands for `default_method`, so a method is never run twice.
pub fn cells(options: &Options, default_method: &str) -> Vec<Cell> {
    let asked: Vec<&Case> = options.cases.iter().filter_map(|c| Case::named(c)).collect();
    let mut cells: Vec<Cell> = Vec::new();
    for budget in BUDGETS.into_iter().filter(|b| options.budgets.contains(b)) {
        for &seed in &options.seeds {
            let from = cells.len();
            for name in &options.methods {
                let method = if name == "default" { default_method } else { name };
                for case in &asked {
                    let known = cells[from..].iter().any(|c| c.case.name == case.name && c.method == method);
                    if !known && case.has(name, budget) {
                        cells.push(Cell { case, method: method.to_owned(), budget, seed });
                    }
                }
            }
        }
    }
    cells
}

impl Cell {
    /// Where its result lies.
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.case.name).join(&self.method).join(self.budget.to_string()).join(format!("{}.json", self.seed))
    }

    /// What a result is of. Two results with the same key are of the same program and the same options, wherever the
    /// files lie.
    pub fn key(&self, version: &str, schedule: Schedule) -> Value {
        let Schedule { steps, tune, recover } = schedule;
        let mut key = json!({
            "version": version,
            "case": self.case.name,
            "model": self.case.model,
            "data": self.case.data,
            "contract": self.case.contract(self.budget),
            "method": self.method,
            "seed": self.seed,
            "schedule": [steps, tune, recover],
        });
        if self.case.counts() {
            key["people"] = json!(PEOPLE);
        }
        key
    }

    /// Whether the file holds a result of this key; with `retry`, one that is no failure.
    pub fn is_done(&self, dir: &Path, key: &Value, retry: bool) -> bool {
        let Ok(text) = std::fs::read(self.path(dir)) else { return false };
        let Ok(stored) = serde_json::from_slice::<Value>(&text) else { return false };
        stored["key"] == *key && !(retry && stored["report"].is_null())
    }

    /// Writes a result, whole or not at all.
    pub fn store(&self, dir: &Path, result: &Value) -> Result<()> {
        let path = self.path(dir);
        let partial = path.with_extension("partial");
        let text = serde_json::to_vec_pretty(result).map_err(|e| e.to_string())?;
        let folder = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&partial, text))
            .and_then(|()| std::fs::rename(&partial, &path))
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    /// In one line.
    pub fn name(&self) -> String {
        format!("{} {} {} % seed {}", self.case.name, self.method, self.budget, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        Options {
            cases: names(&["motionsense", "sites-24"]),
            methods: names(&["default", "magnitude", "taylor+kd", "kd"]),
            budgets: vec![50, 10],
            seeds: vec![0, 1],
            ..Options::default()
        }
    }

    #[test]
    fn seeds_come_before_budgets_and_nothing_comes_twice() {
        let cells = cells(&options(), "taylor+kd");
        let names: Vec<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(
            names[..6],
            [
                "motionsense taylor+kd 50 % seed 0",
                "motionsense magnitude 50 % seed 0",
                "motionsense kd 50 % seed 0",
                "motionsense taylor+kd 50 % seed 1",
                "motionsense magnitude 50 % seed 1",
                "motionsense kd 50 % seed 1",
            ]
        );
        assert_eq!(names[6..8], ["motionsense taylor+kd 10 % seed 0", "sites-24 taylor+kd 10 % seed 0"]);
        assert_eq!(cells.len(), 2 * 3 + 2 * 5);
    }

    #[test]
    fn a_result_of_another_key_is_run_again() {
        let dir = std::env::temp_dir().join(format!("evenkeel-study-{}", std::process::id()));
        let cell = &cells(&options(), "taylor+kd")[0];
        let schedule = Schedule { steps: 2, tune: 5, recover: 20 };
        let key = cell.key("evenkeel 0.1.0", schedule);
        assert!(!cell.is_done(&dir, &key, false));
        cell.store(&dir, &json!({ "key": key, "report": { "verdict": "PASS" } })).unwrap();
        assert!(cell.is_done(&dir, &key, false) && cell.is_done(&dir, &key, true));
        assert!(!cell.is_done(&dir, &cell.key("evenkeel 0.2.0", schedule), false));
        assert!(!cell.is_done(&dir, &cell.key("evenkeel 0.1.0", Schedule { recover: 21, ..schedule }), false));
        // A failure is a result, too, unless one asks to try again.
        cell.store(&dir, &json!({ "key": key, "report": null, "error": "no" })).unwrap();
        assert!(cell.is_done(&dir, &key, false) && !cell.is_done(&dir, &key, true));
        std::fs::write(cell.path(&dir), "{ cut").unwrap();
        assert!(!cell.is_done(&dir, &key, false));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
