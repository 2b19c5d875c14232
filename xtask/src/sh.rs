//! Running programs, and finding the project's folders.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Result with a message for people.
pub type Result<T> = std::result::Result<T, String>;

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The folder with real data and models, when it is there.
pub fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("EVENKEEL_DATA").map_or_else(|| root().join("../shared"), PathBuf::from);
    dir.join("models").is_dir().then_some(dir)
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command in the workspace's root. Cargo's variables of this run do not leak into it.
pub fn cmd(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut c = Command::new(program);
    c.current_dir(root());
    for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        c.env_remove(name);
    }
    c
}

/// Runs it, shows what runs, and fails when it fails.
pub fn run(c: &mut Command) -> Result<()> {
    eprintln!("$ {}", show(c));
    let status = c.status().map_err(|e| format!("cannot run {}: {e}", show(c)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", show(c))) }
}

/// Runs it silently and gives back standard output.
pub fn output(c: &mut Command) -> Result<String> {
    let out = c.stderr(Stdio::inherit()).output().map_err(|e| format!("cannot run {}: {e}", show(c)))?;
    if !out.status.success() {
        return Err(format!("{} ended with {}", show(c), out.status));
    }
    String::from_utf8(out.stdout).map_err(|e| format!("{}: {e}", show(c)))
}

/// Whether a program can be started and says its version.
pub fn has(program: &str, arg: &str) -> bool {
    Command::new(program)
        .arg(arg)
        .current_dir(root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn show(c: &Command) -> String {
    let mut words = vec![c.get_program().to_string_lossy().into_owned()];
    words.extend(c.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}
