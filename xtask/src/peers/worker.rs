//! A peer's program that stays loaded and is asked for one turn after another.

use crate::sh::{Result, cmd, has};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The CPU that everything is pinned to: the last one that this process may use.
pub fn cpu() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// A command on that CPU, where `taskset` is there to hold it.
pub fn pinned(program: impl AsRef<OsStr>) -> Command {
    match cpu() {
        Some(cpu) if has("taskset", "--version") => {
            let mut c = cmd("taskset");
            c.args(["--cpu-list", &cpu.to_string()]).arg(program);
            c
        }
        _ => cmd(program),
    }
}

/// The program and the two ends of the line to it.
pub struct Worker {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts it. What it says besides its answers is dropped.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("it cannot be started: {e}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => Ok(Worker { child, questions, answers: BufReader::new(answers) }),
            _ => Err("it has no standard input and output".into()),
        }
    }

    /// One turn: least and median nanoseconds, and the place of the largest output.
    pub fn turn(&mut self, job: &Value) -> Result<(f64, f64, Option<u64>)> {
        let mut line = String::new();
        writeln!(self.questions, "{job}")
            .and_then(|()| self.questions.flush())
            .and_then(|()| self.answers.read_line(&mut line))
            .map_err(|e| format!("its program ended: {e}"))?;
        let answer: Value = serde_json::from_str(&line).map_err(|_| "its program ended without an answer")?;
        match (answer["ns_min"].as_f64(), answer["ns_median"].as_f64()) {
            (Some(min), Some(median)) => Ok((min, median, answer["argmax"].as_u64())),
            _ => Err(answer["absent"].as_str().unwrap_or("its answer has no times").to_owned()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It waits for a next job that never comes; if it has ended already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
