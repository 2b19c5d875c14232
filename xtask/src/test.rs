//! Every check of the project, and those that need more than a stable compiler.

use crate::sh::{Result, cmd, has, root, run, shared};
use crate::{aarch64, examples, firmware, setup};

/// Formatting, lints, docs, firmware, tests.
pub fn test() -> Result<()> {
    setup::all()?;
    match shared() {
        Some(dir) => println!("tests use the data and models in {}", dir.display()),
        None => println!("no ../shared and no EVENKEEL_DATA: tests on real data and models say that they skip"),
    }
    run(cmd("cargo").args(["fmt", "--all", "--check"]))?;
    run(cmd("cargo").args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cmd("cargo").args(["doc", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    let mut programs = firmware::build()?;
    programs.push((aarch64::VARIABLE, aarch64::build()?));
    programs.push((examples::VARIABLE, examples::build()?));
    let tests = if has("cargo-nextest", "--version") { &["nextest", "run"][..] } else { &["test"][..] };
    run(cmd("cargo").args(tests).args(["--locked", "--workspace"]).envs(programs))?;
    if tests[0] == "nextest" {
        run(cmd("cargo").args(["test", "--locked", "--workspace", "--doc"]))?;
    }
    aarch64::test()
}

/// Licences and bans.
pub fn deny() -> Result<()> {
    if !has("cargo-deny", "--version") {
        return Err("cargo-deny is not installed; install with: cargo install --locked cargo-deny".into());
    }
    run(cmd("cargo").args(["deny", "check", "licenses", "bans", "sources"]))
}

/// Fuzz targets of `tests/fuzz`.
const TARGETS: &[&str] = &["keel", "onnx", "npz", "contract", "snapshot", "payload"];

/// Runs every fuzz target for some minutes, from its committed seeds on.
///
/// No sanitizer: nearly all of the code is safe Rust, overflow and index checks are on, and without one the
/// dependencies compile in a fraction of the time and the targets run several times faster.
pub fn fuzz(minutes: u64) -> Result<()> {
    if !has("cargo-fuzz", "--version") {
        return Err("cargo-fuzz is not installed; install with: cargo install --locked cargo-fuzz (and rustup toolchain install nightly)".into());
    }
    let tests = root().join("tests");
    let fuzz = |words: &[&str]| {
        let mut c = cmd("cargo");
        c.current_dir(&tests).args(["+nightly", "fuzz"]).args(words);
        c
    };
    let options = ["--sanitizer", "none", "--codegen-units", "16"];
    run(fuzz(&["build"]).args(options))?;
    for target in TARGETS {
        // What is found in a run is kept in the first folder, for the next.
        let folders = ["corpus", "seeds"].map(|kind| format!("fuzz/{kind}/{target}"));
        let found = tests.join(&folders[0]);
        std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
        let mut c = fuzz(&["run"]);
        c.args(options).arg(target).args(folders).args(["--", "-timeout=20", "-rss_limit_mb=4096"]);
        run(c.arg(format!("-max_total_time={}", minutes.max(1) * 60)))?;
    }
    Ok(())
}
