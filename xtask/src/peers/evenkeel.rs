//! Evenkeel's own part: the command, the files, and a turn.

use super::worker::pinned;
use crate::networks::{BYTES, MODELS};
use crate::sh::{Result, cmd, output, run, target};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Runtime and command as in a release build, beside dependencies that are optimised in any case: a release build of
/// those, the training framework among them, would take many minutes and change nothing that is measured.
const PACKAGES: &[&str] = &["evenkeel-runtime", "evenkeel"];

/// What a release build sets for [`PACKAGES`].
const AS_RELEASED: &[&str] = &["opt-level=3", "overflow-checks=false", "debug-assertions=false", "codegen-units=16"];

/// The command `evenkeel`.
pub fn build() -> Result<PathBuf> {
    let mut c = cmd("cargo");
    c.env("CARGO_INCREMENTAL", "0").args(["build", "--locked", "--package", "evenkeel"]);
    for package in PACKAGES {
        for setting in AS_RELEASED {
            c.args(["--config", &format!("profile.dev.package.{package}.{setting}")]);
        }
    }
    run(&mut c)?;
    Ok(target().join("debug/evenkeel"))
}

/// The network as a .keel file: the int8 network itself where there is one, otherwise quantised from f32.
pub fn compile(program: &Path, shared: &Path, dir: &Path, network: &str, blocks: &[&str]) -> Result<PathBuf> {
    let keel = dir.join(format!("{network}{}.keel", blocks.concat()));
    let (models, golden) = (shared.join("models"), shared.join("golden"));
    let Some((_, data)) = MODELS.iter().find(|m| m.0 == network) else {
        let qdq = models.join(format!("mlperf_tiny/{network}_qdq.onnx"));
        match compiled(program, &qdq, &keel, blocks) {
            Ok(()) => return Ok(keel),
            Err(e) => eprintln!("{network}: the int8 network cannot be compiled, quantising the f32 one instead: {e}"),
        }
        let data = golden.join(format!("mlperf_tiny/{network}_f32.npz")).to_string_lossy().into_owned();
        let f32 = models.join(format!("mlperf_tiny/{network}_f32.onnx"));
        let flags = [&["--data", data.as_str()], blocks].concat();
        return compiled(program, &f32, &keel, &flags).map(|()| keel);
    };
    let data = shared.join(format!("data/{data}.npz")).to_string_lossy().into_owned();
    let flags = if network.starts_with("face") { BYTES } else { &[] };
    let flags = [&["--data", data.as_str()], flags, blocks].concat();
    compiled(program, &models.join(format!("{network}.onnx")), &keel, &flags).map(|()| keel)
}

/// What a file is compiled for here: its weights lie as this machine's kernels read them.
fn host() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "aarch64" => "aarch64",
        _ => "portable",
    }
}

fn compiled(program: &Path, model: &Path, keel: &Path, flags: &[&str]) -> Result<()> {
    let out =
        cmd(program).arg("compile").arg(model).arg("-o").arg(keel).args(["--target", host()]).args(flags).output();
    let out = out.map_err(|e| format!("{}: {e}", program.display()))?;
    let said = String::from_utf8_lossy(&out.stderr);
    if out.status.success() { Ok(()) } else { Err(said.lines().next().unwrap_or("it says nothing").trim().to_owned()) }
}

/// One turn: least and median nanoseconds of an inference.
pub fn turn(program: &Path, keel: &Path) -> Result<(f64, f64, Option<u64>)> {
    let text = output(pinned(program).arg("bench").arg(keel).arg("--json"))?;
    let v: Value = serde_json::from_str(&text).map_err(|e| format!("evenkeel bench: {e}"))?;
    match (v["min"].as_f64(), v["total"].as_f64()) {
        (Some(min), Some(median)) => Ok((min, median, None)),
        _ => Err("evenkeel bench gives no times".into()),
    }
}
