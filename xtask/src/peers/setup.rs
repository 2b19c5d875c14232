//! Installs the Python peers into an environment of their own, builds the Rust peers, and starts both.

use super::worker::{Worker, cpu, pinned};
use crate::python;
use crate::sh::{Result, cmd, root, run, target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The environment's Python, with the pinned packages in it. One that has no build for this machine keeps nobody else
/// out; its peer then says why it is absent.
pub fn python() -> Result<PathBuf> {
    python::environment("peers-venv", &root().join("benches/peers/requirements.txt"), false)
}

/// A running program for each peer, or why there is none.
pub fn workers(python: &Path) -> BTreeMap<&'static str, Result<Worker>> {
    let rust = rust();
    let mut workers = BTreeMap::new();
    for peer in ["onnxruntime", "litert"] {
        let mut command = pinned(python);
        command.arg(root().join("benches/peers/peers.py")).args(cpu().map(|c| c.to_string()));
        workers.insert(peer, Worker::start(&mut command));
    }
    for peer in ["tract", "rten"] {
        workers.insert(peer, rust.clone().and_then(|program| Worker::start(&mut pinned(program))));
    }
    workers
}

/// The program that runs tract and rten.
fn rust() -> Result<PathBuf> {
    let dir = target().join("peers");
    let mut c = cmd("cargo");
    // Beside the lock file of its own workspace.
    c.current_dir(root().join("benches/peers/rust")).args(["build", "--release", "--locked", "--target-dir"]).arg(&dir);
    run(&mut c).map_err(|e| format!("it does not build: {e}"))?;
    Ok(dir.join("release/evenkeel-peers"))
}
