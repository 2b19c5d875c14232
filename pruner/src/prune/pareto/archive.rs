//! The work folder of a search: what was evaluated, each network as a file, and what all of it was made with.
//!
//! A search that starts again in its folder goes the same way from its seed; whatever is here is taken from here. So it
//! goes on where it stopped, and a search of more generations goes on where a shorter one ended.

use crate::error::{Context, Error, Result};
use crate::fair::Outcome as Judged;
use crate::files;
use crate::graph::Graph;
use crate::onnx;
use crate::prune::schedule::Step;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a search depends on, by name. It is compared word for word.
pub type Settings = BTreeMap<String, String>;

/// A small network that was tried, with where it stands on selection rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Number, in the order of evaluation.
    pub number: usize,
    /// Channels of every class.
    pub widths: Vec<usize>,
    /// The checkpoint that it was cut out of.
    pub start: usize,
    /// MACs of one inference.
    pub macs: u64,
    /// Bytes of the file.
    pub flash: u64,
    /// Bytes of arena.
    pub ram: u64,
    /// The cost that is searched over: share of the budget, the mean over its kinds.
    pub cost: f64,
    /// After the short fine-tuning, in f32.
    pub stand: Stand,
    /// After the full recovery, in int8; where it was among the last.
    pub recovered: Option<Recovered>,
}

/// Where a network stands on selection rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stand {
    /// Metric over all rows; larger is better (a rate of false positives is negated).
    pub overall: f64,
    /// The worst group's.
    pub worst: f64,
    /// What everybody lost against the dense network.
    pub drop: f64,
    /// Largest excess drop of a group.
    pub max_excess_drop: f64,
    /// How far the contract's bounds are from their limits; none where one is missing.
    pub slack: Option<f64>,
    /// The verdict on selection rows, which proves nothing.
    pub verdict: Judged,
}

/// A candidate after the full recovery.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recovered {
    /// Steps of the recovery.
    pub steps: usize,
    /// Where it stands.
    pub stand: Stand,
}

/// `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    settings: Settings,
    /// Where the run that gives the checkpoints stood after every step; empty until it is done.
    history: Vec<Step>,
    candidates: Vec<Candidate>,
    /// Numbers of the candidates that were judged on the test rows.
    judged: Vec<usize>,
}

/// The work folder.
pub struct Archive {
    folder: PathBuf,
    state: State,
}

impl Archive {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// When it cannot be written, or holds a search with other settings: says which.
    pub fn open(folder: &Path, settings: Settings) -> Result<Archive> {
        std::fs::create_dir_all(folder)
            .context("cannot make the work folder")
            .map_err(|e| e.at(folder).help("choose another --work, or check the permissions"))?;
        let path = folder.join("state.json");
        if !path.exists() {
            let state = State { settings, history: vec![], candidates: vec![], judged: vec![] };
            let archive = Archive { folder: folder.to_owned(), state };
            archive.save()?;
            return Ok(archive);
        }
        let what = "this is no state of a search";
        let bytes = std::fs::read(&path).context("cannot read the state").map_err(|e| e.at(&path))?;
        let state: State = serde_json::from_slice(&bytes)
            .context(what)
            .map_err(|e| e.at(&path).help("choose another --work, or remove this folder and begin anew"))?;
        if let Some((name, before, now)) = difference(&state.settings, &settings) {
            return Err(Error::new(format!("holds a search with another {name}: {before}, now {now}"))
                .at(folder)
                .help("choose another --work for this search, or go on with what that one was started with"));
        }
        Ok(Archive { folder: folder.to_owned(), state })
    }

    fn save(&self) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.state).context("cannot write the state")?;
        files::write(&self.folder.join("state.json"), &json)
    }

    /// All candidates, in the order of their numbers.
    pub fn candidates(&self) -> &[Candidate] {
        &self.state.candidates
    }

    /// Where the run that gives the checkpoints stood after every step.
    pub fn history(&self) -> &[Step] {
        &self.state.history
    }

    /// The candidate of these widths.
    pub fn find(&self, widths: &[usize]) -> Option<&Candidate> {
        self.state.candidates.iter().find(|c| c.widths == widths)
    }

    /// The checkpoints, the dense network first; none until the run is done.
    ///
    /// # Errors
    /// Names the file that is missing or damaged.
    pub fn path(&self) -> Result<Vec<Graph>> {
        (0..self.state.history.len()).map(|i| onnx::load(&self.path_file(i))).collect()
    }

    /// Keeps the checkpoints of a run.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn keep_path(&mut self, path: &[Graph], history: &[Step]) -> Result<()> {
        for (i, graph) in path.iter().enumerate() {
            onnx::save(graph, &self.path_file(i))?;
        }
        self.state.history = history.to_vec();
        self.save()
    }

    /// Keeps a candidate that is new: its number is how many there were.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn keep(&mut self, graph: &Graph, candidate: Candidate) -> Result<()> {
        onnx::save(graph, &self.file(candidate.number))?;
        self.state.candidates.push(candidate);
        self.save()
    }

    /// Keeps what a recovery made of a candidate.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn keep_recovered(&mut self, number: usize, graph: &Graph, recovered: Recovered) -> Result<()> {
        onnx::save(graph, &self.recovered_file(number))?;
        if let Some(c) = self.state.candidates.iter_mut().find(|c| c.number == number) {
            c.recovered = Some(recovered);
        }
        self.save()
    }

    /// The network of a candidate after its short fine-tuning.
    ///
    /// # Errors
    /// Names the file that is missing or damaged.
    pub fn network(&self, number: usize) -> Result<Graph> {
        onnx::load(&self.file(number))
    }

    /// The network of a candidate after its recovery.
    ///
    /// # Errors
    /// Names the file that is missing or damaged.
    pub fn recovered(&self, number: usize) -> Result<Graph> {
        onnx::load(&self.recovered_file(number))
    }

    /// Notes that a candidate is judged on the test rows; gives the others that were before.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn judge(&mut self, number: usize) -> Result<Vec<usize>> {
        let before = self.state.judged.iter().copied().filter(|n| *n != number).collect();
        if !self.state.judged.contains(&number) {
            self.state.judged.push(number);
            self.save()?;
        }
        Ok(before)
    }

    fn path_file(&self, i: usize) -> PathBuf {
        self.folder.join(format!("path-{i:02}.onnx"))
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("candidate-{number:04}.onnx"))
    }

    fn recovered_file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("recovered-{number:04}.onnx"))
    }
}

/// The first setting in which two searches differ, with both values.
fn difference(before: &Settings, now: &Settings) -> Option<(String, String, String)> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let of = |settings: &Settings, name: &String| settings.get(name).cloned().unwrap_or_else(|| "none".to_owned());
    names.into_iter().map(|n| (n.clone(), of(before, n), of(now, n))).find(|(_, before, now)| before != now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::random_graph;

    fn settings(tune: &str) -> Settings {
        [("--tune", tune), ("model", "m.onnx")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    fn candidate(number: usize) -> Candidate {
        let stand = Stand {
            overall: 0.9,
            worst: 0.8,
            drop: 0.01,
            max_excess_drop: 0.02,
            slack: None,
            verdict: Judged::Undecided,
        };
        let widths = vec![number, 4];
        Candidate { number, widths, start: 0, macs: 5, flash: 6, ram: 7, cost: 0.5, stand, recovered: None }
    }

    #[test]
    fn what_is_kept_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/work");
        let mut archive = Archive::open(&folder, settings("60")).unwrap();
        assert!(archive.path().unwrap().is_empty());
        let graph = random_graph(3);
        let step =
            Step { phase: "dense".into(), macs: 1, flash: 2, ram: 3, overall: 0.5, worst: 0.25, max_excess_drop: 0.0 };
        archive.keep_path(std::slice::from_ref(&graph), &[step]).unwrap();
        archive.keep(&graph, candidate(0)).unwrap();
        let recovered = Recovered { steps: 9, stand: candidate(0).stand };
        archive.keep_recovered(0, &graph, recovered).unwrap();
        assert_eq!(archive.judge(0).unwrap(), [0; 0]);
        assert_eq!(archive.judge(1).unwrap(), [0]);
        let again = Archive::open(&folder, settings("60")).unwrap();
        assert_eq!(again.state, archive.state);
        assert_eq!(again.find(&[0, 4]).and_then(|c| c.recovered), Some(recovered));
        assert_eq!(again.path().unwrap().len(), 1);
        assert!(again.network(0).is_ok() && again.recovered(0).is_ok());
        assert!(again.network(1).unwrap_err().to_string().contains("candidate-0001.onnx"));
    }

    #[test]
    fn other_settings_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        Archive::open(dir.path(), settings("60")).unwrap();
        let refused = |settings| Archive::open(dir.path(), settings).err().map(|e| e.to_string()).unwrap_or_default();
        let words = refused(settings("30"));
        assert!(words.contains("another --tune: 60, now 30") && words.contains("--work"), "{words}");
        let more = settings("60").into_iter().chain([("seed".to_owned(), "1".to_owned())]).collect();
        assert!(refused(more).contains("another seed: none, now 1"));
        std::fs::write(dir.path().join("state.json"), b"{}").unwrap();
        assert!(refused(settings("60")).contains("no state of a search"));
        let file = dir.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let words = Archive::open(&file, settings("60")).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(words.contains("work folder") && words.contains("--work"), "{words}");
    }
}
