//! The runtime for C: `libevenkeel.a` and `evenkeel.h`.

use crate::setup;
use crate::sh::{Result, cmd, root, run, target};
use std::path::PathBuf;

/// The target of the emulated Cortex-M4.
pub const BOARD: &str = "thumbv7em-none-eabihf";
/// The name of this machine as a target.
pub const HOST: &str = "host";

/// Builds the library for a target and puts it with its header into `target/c/TARGET`, which it gives back.
pub fn build(name: &str) -> Result<PathBuf> {
    let dir = target().join("c-build");
    let mut c = if name == HOST { cmd("cargo") } else { setup::cargo("rustc", name)? };
    if name == HOST {
        c.args(["rustc", "--locked"]);
    }
    // Bare metal: no standard library.
    if name.contains("-none-") {
        c.arg("--no-default-features");
    }
    c.args(["--package", "evenkeel-c", "--lib", "--release", "--crate-type", "staticlib", "--target-dir"]).arg(&dir);
    c.envs(
        [("LTO", "fat"), ("CODEGEN_UNITS", "1"), ("PANIC", "abort")]
            .map(|(k, v)| (format!("CARGO_PROFILE_RELEASE_{k}"), v)),
    );
    run(&mut c)?;
    let built = if name == HOST { dir } else { dir.join(name) }.join("release/libevenkeel_c.a");
    let out = target().join("c").join(name);
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    for (from, to) in [(built, "libevenkeel.a"), (root().join("runtime/capi/evenkeel.h"), "evenkeel.h")] {
        std::fs::copy(&from, out.join(to)).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    println!("C library: {}", out.display());
    Ok(out)
}

/// Makes the committed header anew.
pub fn header() -> Result<()> {
    run(cmd("cargo").args(["run", "--locked", "--package", "evenkeel-c", "--example", "header"]))
}
