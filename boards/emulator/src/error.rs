//! What can go wrong, and the way out of it.

use std::path::PathBuf;

use crate::image::{ARENA_LEN, MEMORY_LEN};

/// Why a job has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no QEMU on this machine.
    #[error("qemu-system-arm was not found: install it (Debian and Ubuntu: apt install qemu-system-arm)")]
    NoQemu,
    /// The firmware has not been built.
    #[error("no firmware at {}: build it with `cargo xtask firmware`", .0.display())]
    NoFirmware(PathBuf),
    /// There is no QEMU for programs of AArch64 on this machine.
    #[error("qemu-aarch64 was not found: install it (Debian and Ubuntu: apt install qemu-user)")]
    NoQemuUser,
    /// The program for AArch64, or the plugin that counts, has not been built.
    #[error("no {}: build it with `cargo xtask firmware`", .0.display())]
    NoProgram(PathBuf),
    /// What the program for AArch64 leaves behind is not that of the batch.
    #[error("the program for AArch64: {0}; it and this tool are of different versions: build both anew")]
    Counts(&'static str),
    /// The file given as firmware is none of ours.
    #[error("{} is not this project's firmware ({reason}): build it with `cargo xtask firmware`", path.display())]
    Firmware {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model's bytes are not a model.
    #[error("the model: {0}")]
    Model(#[from] evenkeel_runtime::Error),
    /// The model needs more RAM than the board has.
    #[error("the model needs an arena of {needed} bytes, and the board has {ARENA_LEN}: prune it for a budget of RAM")]
    Arena {
        /// Bytes.
        needed: usize,
    },
    /// The inputs are not a whole number of inputs.
    #[error("{len} input bytes are not a multiple of the model's input length {input_len}")]
    Inputs {
        /// Bytes given.
        len: usize,
        /// Bytes of one input.
        input_len: usize,
    },
    /// Labels or groups do not go with the inputs.
    #[error("{given} {what} were given for {count} inputs")]
    Truth {
        /// Labels or groups.
        what: &'static str,
        /// How many.
        given: usize,
        /// Number of inputs.
        count: usize,
    },
    /// Model, inputs and results do not fit the board.
    #[error(
        "a batch of {count} inputs with its model and results is larger than the board's {MEMORY_LEN} bytes of \
             external memory: run fewer inputs at a time"
    )]
    Memory {
        /// Number of inputs.
        count: usize,
    },
    /// The firmware or QEMU gave up.
    #[error("the firmware ended with {status}; its last words:\n{}", last_words(log))]
    Ended {
        /// How QEMU ended.
        status: std::process::ExitStatus,
        /// The log, and what QEMU had to say.
        log: Vec<String>,
    },
    /// The firmware did not end.
    #[error(
        "the firmware was stopped after {seconds} s: run fewer inputs at a time; its last words:\n{}",
        last_words(log)
    )]
    TimedOut {
        /// Seconds of wall time.
        seconds: u64,
        /// The log so far.
        log: Vec<String>,
    },
    /// The firmware ended well, but its results are not those of the batch.
    #[error("results.bin of the firmware: {0}; firmware and host tool are of different versions: build both anew")]
    Results(&'static str),
    /// Files in the temporary folder, or starting QEMU.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Error::Io { what, source }
    }
}

fn last_words(log: &[String]) -> String {
    let from = log.len().saturating_sub(8);
    if log.is_empty() { "  (none)".into() } else { format!("  {}", log[from..].join("\n  ")) }
}
