//! Installs the Python peers into an environment of their own, builds the Rust peers, and starts both.

use super::worker::{Worker, cpu, pinned};
use crate::sh::{Result, cmd, root, run, target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The environment's Python, with the pinned packages in it.
pub fn python() -> Result<PathBuf> {
    let dir = target().join("peers-venv");
    let python = dir.join("bin/python");
    let wanted = std::fs::read_to_string(requirements()).map_err(|e| format!("{}: {e}", requirements().display()))?;
    let stamp = dir.join("installed.txt");
    if python.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) {
        return Ok(python);
    }
    run(cmd("python3").args(["-m", "venv"]).arg(&dir))?;
    let pip = |args: &[&str]| {
        run(cmd(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(args))
    };
    if pip(&["-r", &requirements().to_string_lossy()]).is_err() {
        // One that has no build for this machine keeps nobody else out; its peer then says why it is absent.
        for package in wanted.lines().filter(|l| !l.trim().is_empty()) {
            if let Err(e) = pip(&[package]) {
                eprintln!("without {package}: {e}");
            }
        }
    }
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}

fn requirements() -> PathBuf {
    root().join("benches/peers/requirements.txt")
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
