//! A folder for a test's files, and the `evenkeel` command in it.
//!
//! Tests of the command are in this package, because only here cargo builds the binary for them and says where it
//! is (`CARGO_BIN_EXE_evenkeel`). Tests across crates that need no command are in the package `evenkeel-tests`.
#![allow(dead_code, reason = "each test file takes what it needs")]

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Pruning as short as it gets; the chain is tested here, not what it achieves.
pub const SHORT: &str = "--steps 2 --tune 2 --recover 8";

/// A folder of its own.
pub struct Desk(tempfile::TempDir);

impl Desk {
    /// An empty folder.
    pub fn new() -> Self {
        Desk(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A folder with a small data set `set.npz`, a dense network `model.onnx` that is better than chance on it,
    /// and a contract `contract.toml` that the network pruned as [`SHORT`] as this keeps.
    pub fn with_network() -> Self {
        let desk = Desk::new();
        desk.run("synth -o set.npz --subjects 12 --rows-per-subject 24 --seed 1");
        desk.run("train --arch cnn1d --data set.npz -o model.onnx --epochs 3 --seed 1");
        desk.contract("contract.toml", 0.95, "macs = \"60%\"\nflash = \"24 KiB\"\nram = \"90%\"");
        desk
    }

    /// Writes a contract on the column `site`.
    pub fn contract(&self, name: &str, max_excess_drop: f64, budget: &str) {
        let head = "[fairness]\ngroups = [\"site\"]\n";
        self.write(name, format!("{head}max_excess_drop = {max_excess_drop:.9}\n[budget]\n{budget}\n").as_bytes());
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file in the folder");
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Names of all files.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("the folder");
        let mut names: Vec<_> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs `evenkeel` with the words of a line. Whatever happens, it must not panic.
    pub fn evenkeel(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        let out = command.current_dir(self.0.path()).args(line.split_whitespace()).output().expect("the command");
        assert!(!text(&out.stderr).contains("panicked"), "evenkeel {line}\n{}", text(&out.stderr));
        out
    }

    /// As [`Desk::evenkeel`], and it must end with `code`. Gives standard output and standard error.
    pub fn ends(&self, code: i32, line: &str) -> (String, String) {
        let out = self.evenkeel(line);
        let (said, complained) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "evenkeel {line}\n{said}\n{complained}");
        (said, complained)
    }

    /// As [`Desk::ends`] with 0; gives standard output.
    pub fn run(&self, line: &str) -> String {
        self.ends(0, line).0
    }

    /// As [`Desk::run`] with `--json`.
    pub fn json(&self, line: &str) -> Value {
        let said = self.run(&format!("{line} --json"));
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("evenkeel {line}: {e}\n{said}"))
    }

    /// An error, by the rules: exit code 2, nothing on standard output, and every one of `words` on standard error.
    pub fn refused(&self, line: &str, words: &[&str]) {
        let (said, complained) = self.ends(2, line);
        assert_eq!(said, "", "evenkeel {line}");
        assert!(complained.starts_with("error: "), "evenkeel {line}\n{complained}");
        for word in words {
            assert!(complained.contains(word), "evenkeel {line}: no `{word}` in\n{complained}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
