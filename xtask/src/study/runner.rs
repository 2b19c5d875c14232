//! Runs the cells that have no result yet, several at a time, each as a process of one thread.

use super::cases::{Case, PEOPLE};
use super::cell::{Cell, cells};
use super::options::Options;
use crate::bench::text;
use crate::peers;
use crate::sh::{self, Result, cmd, output, shared};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Instant;

/// Runs `$@` and says the processor time of it on standard error, which no portable program does.
const TIMED: &str = "\"$@\"; code=$?; times >&2; exit $code";

/// Layers are compared for this many seeds from 0: it takes time, and does not differ much between seeds.
const COMPARED: u64 = 2;

/// What all cells share.
struct Runner<'a> {
    options: &'a Options,
    evenkeel: PathBuf,
    version: String,
    shared: PathBuf,
}

/// Runs a selection.
pub fn run(options: &Options) -> Result<()> {
    let shared = shared().ok_or("the data in ../shared (or EVENKEEL_DATA) are not there")?;
    let absolute = |p: &Path| std::path::absolute(p).map_err(|e| format!("{}: {e}", p.display()));
    let evenkeel = match &options.binary {
        Some(path) => absolute(path)?,
        None => peers::build_command()?,
    };
    let version = output(cmd(&evenkeel).arg("--version"))?.trim().to_owned();
    let default_method = default_method(&evenkeel)?;
    let options = &Options { dir: absolute(&options.dir)?, ..options.clone() };
    let runner = Runner { options, evenkeel, version, shared: absolute(&shared)? };
    runner.note(&default_method)?;

    let all = cells(options, &default_method);
    let waiting: Vec<&Cell> = all.iter().filter(|c| !runner.is_done(c)).collect();
    eprintln!("study: {} of {} cells are there already", all.len() - waiting.len(), all.len());
    waiting.iter().try_for_each(|c| runner.make(c.case))?;
    let next = Mutex::new(waiting.iter().enumerate());
    let worker = || -> Result<usize> {
        let mut failed = 0;
        loop {
            let taken = next.lock().map_err(|e| e.to_string())?.next();
            let Some((i, cell)) = taken else { return Ok(failed) };
            let (line, ok) = runner.run(cell)?;
            failed += usize::from(!ok);
            eprintln!("{}/{} {}: {line}", i + 1, waiting.len(), cell.name());
        }
    };
    let failed = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(worker)).collect();
        let mut failed = 0;
        for w in workers {
            failed += w.join().map_err(|_| "a worker of the study panicked".to_owned())??;
        }
        Ok::<usize, String>(failed)
    })?;
    eprintln!("study: {} cells run, {failed} failed; results are in {}", waiting.len(), options.dir.display());
    Ok(())
}

/// What `default` stands for in this version of the command.
fn default_method(evenkeel: &Path) -> Result<String> {
    let listed: Value =
        serde_json::from_str(&output(cmd(evenkeel).args(["methods", "--json"]))?).map_err(|e| e.to_string())?;
    let default = listed.as_array().into_iter().flatten().find(|m| m["name"] == "default");
    default
        .and_then(|m| m["stands_for"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| "`evenkeel methods` lists no default method".to_owned())
}

impl Runner<'_> {
    /// Writes down what the page cannot know from single results.
    fn note(&self, default_method: &str) -> Result<()> {
        let path = self.options.dir.join("study.json");
        let text = json!({ "version": self.version, "default": default_method }).to_string();
        std::fs::create_dir_all(&self.options.dir)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The network and the data of a case.
    fn files(&self, case: &Case) -> [PathBuf; 2] {
        // Data of another size are other files.
        let made = || self.options.dir.join(format!("made/{}x{}", PEOPLE[0], PEOPLE[1]));
        let folder = if case.counts() { made() } else { self.shared.clone() };
        [folder.join(format!("models/{}.onnx", case.model)), folder.join(format!("data/{}.npz", case.data))]
    }

    /// Makes the files of a case that has none in the folder of data, where they are not there yet.
    fn make(&self, case: &Case) -> Result<()> {
        let [model, data] = self.files(case);
        let Some(sites) = case.sites.filter(|_| !model.is_file()) else { return Ok(()) };
        for folder in [&model, &data].iter().filter_map(|f| f.parent()) {
            std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let [people, rows] = PEOPLE.map(|n| n.to_string());
        let mut c = cmd(&self.evenkeel);
        sh::run(
            c.args(["synth", "--subjects", &people, "--rows-per-subject", &rows, "--sites", &sites.to_string(), "-o"])
                .arg(&data),
        )?;
        let mut c = cmd(&self.evenkeel);
        sh::run(c.args(["train", "--arch", "cnn1d", "--data"]).arg(&data).arg("-o").arg(&model))
    }

    fn key(&self, cell: &Cell) -> Value {
        cell.key(&self.version, self.options.schedule)
    }

    fn is_done(&self, cell: &Cell) -> bool {
        cell.is_done(&self.options.dir, &self.key(cell), self.options.retry)
    }

    /// Runs a cell and stores what it gave. The line for people, and whether there is a report.
    fn run(&self, cell: &Cell) -> Result<(String, bool)> {
        let dir = &self.options.dir;
        let work = dir.join("work").join(format!("{}-{}-{}-{}", cell.case.name, cell.method, cell.budget, cell.seed));
        std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
        let contract = work.join("contract.toml");
        std::fs::write(&contract, cell.case.contract(cell.budget))
            .map_err(|e| format!("{}: {e}", contract.display()))?;

        let s = self.options.schedule;
        let mut c = cmd("sh");
        c.args(["-c", TIMED, "sh"]).arg(&self.evenkeel).arg("prune");
        let [model, data] = self.files(cell.case);
        c.arg(model).arg("--data").arg(data);
        c.arg("--contract").arg(&contract).arg("-o").arg(work.join("model.keel"));
        c.args(["--json", "--allow-unproven", "--method", &cell.method, "--seed", &cell.seed.to_string()]);
        for (flag, value) in [("--steps", s.steps), ("--tune", s.tune), ("--recover", s.recover)] {
            c.args([flag, &value.to_string()]);
        }
        // The cells run beside each other, so each takes one core.
        c.env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
        let begun = Instant::now();
        let out = c.output().map_err(|e| format!("cannot run {}: {e}", self.evenkeel.display()))?;
        let wall = begun.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&out.stderr);
        let Some(code) = out.status.code().filter(|code| *code < 128) else {
            // Nothing is known of the method then, so nothing is stored.
            return Ok(("was killed; the next study runs it again".to_owned(), false));
        };
        let report: Value =
            if code == 0 { serde_json::from_slice(&out.stdout).unwrap_or_default() } else { Value::Null };
        let error = report.is_null().then(|| complaint(&said, &[&text(&work), &text(&self.shared)]));
        let compared = error.is_none() && cell.seed < COMPARED && !cell.case.counts();
        let similarity = if compared { self.similarity(cell, &work)? } else { Value::Null };
        let result = json!({
            "key": self.key(cell),
            "case": cell.case.name,
            "method": cell.method,
            "budget": cell.budget,
            "seed": cell.seed,
            "code": code,
            "seconds": wall,
            "cpu_seconds": cpu_seconds(&said),
            "error": error,
            "report": report,
            "similarity": similarity,
        });
        cell.store(dir, &result)?;
        std::fs::remove_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
        Ok(match &error {
            Some(e) => (format!("FAILED with exit code {code}: {e}"), false),
            None => (line(&report, wall), true),
        })
    }

    /// How alike the layers of the dense and the pruned network are, on selection rows; null where the command cannot
    /// say, which is no reason to lose the run.
    fn similarity(&self, cell: &Cell, work: &Path) -> Result<Value> {
        let mut c = cmd(&self.evenkeel);
        let [model, data] = self.files(cell.case);
        c.arg("compare").arg(model).arg(work.join("model.keel")).arg("--data").arg(data);
        c.args(["--groups", cell.case.groups, "--metric", cell.case.metric, "--json"]);
        c.arg("--pruned").arg(work.join("model.pruned.onnx"));
        c.env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
        let out = c.output().map_err(|e| format!("cannot run {}: {e}", self.evenkeel.display()))?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            eprintln!("{}: layers are not compared: {}", cell.name(), complaint(&said, &[&text(work)]));
        }
        let panel: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        Ok(panel["similarity"].clone())
    }
}

/// A result in one line.
fn line(report: &Value, wall: f64) -> String {
    let number = |v: &Value| v.as_f64().map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"));
    format!(
        "{} overall {} worst {} in {wall:.0} s",
        report["verdict"].as_str().unwrap_or("?"),
        number(&report["overall"]["int8"]),
        number(&report["worst_group"]["int8"])
    )
}

/// What a failed run said, without the folders of this machine and without the line of times.
fn complaint(stderr: &str, folders: &[&str]) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|l| !l.trim().is_empty() && times(l).is_none()).collect();
    let mut words = lines[lines.len().saturating_sub(4)..].join(" ");
    for folder in folders {
        words = words.replace(&format!("{folder}/"), "");
    }
    words
}

/// Seconds of user and system time in the last line of the shell's `times`, which is of its children.
fn cpu_seconds(stderr: &str) -> Option<f64> {
    stderr.lines().rev().find_map(times)
}

/// The sum of a line such as `1m2.5s 0m0.5s`.
fn times(line: &str) -> Option<f64> {
    let mut sum = 0.0;
    let mut words = 0;
    for word in line.split_whitespace() {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        sum += 60.0 * minutes.parse::<f64>().ok()? + seconds.parse::<f64>().ok()?;
        words += 1;
    }
    (words == 2).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_children() {
        assert_eq!(cpu_seconds("step 1\n0m0.001s 0m0.002s\n1m2.500s 0m0.250s\n"), Some(62.75));
        assert_eq!(cpu_seconds("no times"), None);
    }

    #[test]
    fn complaints_name_no_folder_of_this_machine() {
        let said = "\nerror: /a/work/contract.toml: no column `x`\n0m0.0s 0m0.0s\n0m1.0s 0m0.0s\n";
        assert_eq!(complaint(said, &["/a/work"]), "error: contract.toml: no column `x`");
    }
}
