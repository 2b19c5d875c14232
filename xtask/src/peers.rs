//! Time of one inference on this host: Evenkeel against ONNX Runtime, LiteRT, tract and rten, one thread, one CPU.
//!
//! For each network the contenders take turns, a short batch each, round after round, so that what else the machine
//! does falls on all of them alike. Numbers are medians over rounds of each turn's median, and the least of all.

mod evenkeel;
mod files;
mod setup;
mod table;
mod worker;

use crate::networks;
use crate::sh::{Result, shared, target};
pub use evenkeel::build as build_command;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use worker::Worker;

/// Nanoseconds of one inference.
pub struct Time {
    /// The least of all turns.
    pub min: f64,
    /// Median over rounds of the turns' medians.
    pub median: f64,
}

/// What a contender shows on one network: its time, or why it has none.
pub struct Contender {
    /// Who.
    pub name: &'static str,
    /// `int8` or `f32`.
    pub dtype: &'static str,
    /// How long, or the reason that there is no time.
    pub time: std::result::Result<Time, String>,
    /// Whether its largest output is where it was recorded.
    pub right: bool,
}

/// All contenders on one network.
pub struct Row {
    /// The network.
    pub network: &'static str,
    /// Evenkeel in int8.
    pub evenkeel: Contender,
    /// The same with half of the blocks of weights zero: faster, and less accurate unless it is trained so.
    pub half: Contender,
    /// The peers, in the order of [`PEERS`], int8 before f32.
    pub peers: Vec<Contender>,
    /// Bytes of the int8 file by format.
    pub bytes: BTreeMap<&'static str, u64>,
}

impl Row {
    /// The peer with the least median.
    pub fn fastest(&self) -> Option<(&Contender, &Time)> {
        let timed = self.peers.iter().filter_map(|p| p.time.as_ref().ok().map(|t| (p, t)));
        timed.min_by(|a, b| a.1.median.total_cmp(&b.1.median))
    }
}

/// Peers and the format of their files.
const PEERS: &[(&str, &str)] = &[("onnxruntime", "onnx"), ("litert", "tflite"), ("tract", "onnx"), ("rten", "onnx")];

/// int8 first: that is what Evenkeel runs.
const DTYPES: &[&str] = &["int8", "f32"];

/// Milliseconds of one peer's turn.
const TURN_MS: u64 = 30;

/// Prints the comparison as Markdown.
pub fn peers(rounds: u64) -> Result<()> {
    let rows = rows(rounds)?;
    table::print(&rows, rounds, worker::cpu());
    Ok(())
}

/// Sets everything up and measures all networks.
pub fn rows(rounds: u64) -> Result<Vec<Row>> {
    let shared = shared().ok_or("the models in ../shared (or EVENKEEL_DATA) are not there")?;
    let python = setup::python()?;
    let dir = target().join("peers-files");
    let files = files::prepare(&python, &shared, &dir)?;
    let program = evenkeel::build()?;
    let mut workers = setup::workers(&python);
    let mut rows = Vec::new();
    for network in networks::all() {
        let keel = evenkeel::compile(&program, &shared, &dir, network, &[]);
        let half = evenkeel::compile(&program, &shared, &dir, network, &["--blocks", "50%"]);
        eprintln!("measuring {network}");
        rows.push(measure(network, &files, &program, [keel, half], &mut workers, rounds.max(1)));
    }
    Ok(rows)
}

/// Turns of one contender so far.
struct Turns {
    min: f64,
    medians: Vec<f64>,
    argmax: Option<u64>,
    absent: Option<String>,
}

impl Turns {
    fn new(absent: Option<String>) -> Self {
        Turns { min: f64::INFINITY, medians: Vec::new(), argmax: None, absent }
    }

    fn add(&mut self, turn: Result<(f64, f64, Option<u64>)>) {
        match turn {
            Ok((min, median, argmax)) => {
                self.min = self.min.min(min);
                self.medians.push(median);
                self.argmax = argmax;
            }
            Err(e) => self.absent = Some(e),
        }
    }

    fn finish(mut self, name: &'static str, dtype: &'static str, expected: Option<u64>) -> Contender {
        self.medians.sort_by(f64::total_cmp);
        let time = match (self.absent, self.medians.get(self.medians.len() / 2)) {
            (None, Some(&median)) => Ok(Time { min: self.min, median }),
            (reason, _) => Err(reason.unwrap_or_else(|| "it had no turn".into())),
        };
        let right = self.argmax.is_none() || expected.is_none() || self.argmax == expected;
        Contender { name, dtype, time, right }
    }
}

fn measure(
    network: &'static str,
    files: &files::Files,
    program: &std::path::Path,
    [keel, half]: [Result<std::path::PathBuf>; 2],
    workers: &mut BTreeMap<&'static str, Result<Worker>>,
    rounds: u64,
) -> Row {
    let bytes_of = |format: &str| files.get(&(network, "int8")).and_then(|f| f[format].as_u64());
    let mut bytes: BTreeMap<&'static str, u64> =
        [("onnx", bytes_of("bytes_onnx")), ("tflite", bytes_of("bytes_tflite"))]
            .into_iter()
            .filter_map(|(k, v)| Some((k, v?)))
            .collect();
    bytes.extend(keel.as_ref().ok().and_then(|k| k.metadata().ok()).map(|m| ("keel", m.len())));

    let mut own = [&keel, &half].map(|file| Turns::new(file.as_ref().err().cloned()));
    let mut turns: Vec<_> = PEERS
        .iter()
        .flat_map(|&(peer, format)| DTYPES.iter().map(move |&dtype| (peer, dtype, format)))
        .map(|(peer, dtype, format)| match job(files, network, peer, dtype, format) {
            Ok((job, expected)) => (peer, dtype, job, expected, Turns::new(None)),
            Err(reason) => (peer, dtype, Value::Null, None, Turns::new(Some(reason))),
        })
        .collect();
    for round in 0..rounds {
        for (own, file) in own.iter_mut().zip([&keel, &half]) {
            if let (None, Ok(file)) = (&own.absent, file) {
                own.add(evenkeel::turn(program, file));
            }
        }
        // Another one begins each round, so that nobody always follows the same neighbour.
        let n = turns.len();
        for i in (0..n).map(|i| (i + round as usize) % n) {
            let (peer, _, job, _, turns) = &mut turns[i];
            if turns.absent.is_none() {
                turns.add(match workers.get_mut(peer) {
                    Some(Ok(worker)) => worker.turn(job),
                    Some(Err(e)) => Err(e.clone()),
                    None => Err("it is not set up".into()),
                });
            }
        }
    }
    let [whole, half] = own.map(|turns| turns.finish("Evenkeel", "int8", None));
    Row {
        network,
        evenkeel: whole,
        half,
        peers: turns.into_iter().map(|(peer, dtype, _, expected, t)| t.finish(peer, dtype, expected)).collect(),
        bytes,
    }
}

/// What a worker is asked, and where the largest output was recorded.
fn job(files: &files::Files, network: &str, peer: &str, dtype: &str, format: &str) -> Result<(Value, Option<u64>)> {
    let file = files.iter().find(|(k, _)| **k == (network, dtype)).map(|(_, f)| f).ok_or("it has no file")?;
    let path =
        file[format].as_str().ok_or_else(|| file["no_tflite"].as_str().unwrap_or("it has no file").to_owned())?;
    let job = json!({
        "peer": peer, "network": network, "dtype": dtype, "file": path, "input": file["input"], "shape": file["shape"],
        "ms": TURN_MS,
    });
    Ok((job, file["argmax"].as_u64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_turns_and_the_least_of_all() {
        let mut turns = Turns::new(None);
        for (min, median) in [(9.0, 10.0), (7.0, 900.0), (8.0, 12.0)] {
            turns.add(Ok((min, median, Some(3))));
        }
        let c = turns.finish("litert", "int8", Some(4));
        assert!(!c.right, "the largest output is elsewhere");
        let time = c.time.unwrap();
        assert_eq!((time.min, time.median), (7.0, 12.0));
    }

    #[test]
    fn the_absent_say_why_and_are_not_the_fastest() {
        let mut turns = Turns::new(None);
        turns.add(Err("it refuses".into()));
        let absent = turns.finish("rten", "int8", None);
        assert_eq!(absent.time.as_ref().err().map(String::as_str), Some("it refuses"));
        let mut turns = Turns::new(None);
        turns.add(Ok((1.0, 2.0, None)));
        let there = turns.finish("tract", "int8", None);
        let [evenkeel, half] = [(); 2].map(|()| Turns::new(None).finish("Evenkeel", "int8", None));
        let row = Row { network: "kws", evenkeel, half, peers: vec![absent, there], bytes: BTreeMap::new() };
        assert_eq!(row.fastest().map(|f| f.0.name), Some("tract"));
    }
}
