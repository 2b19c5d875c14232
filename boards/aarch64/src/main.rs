//! `evenkeel-aarch64 MODEL INPUTS OUTPUTS native|portable`: runs a `.keel` model on inputs that lie one behind the
//! other in a file, and writes the outputs to another.
//!
//! It asks for its process number before each inference and after each operator. That is a system call, which
//! costs next to nothing and which QEMU's plugin (`count.c`) notes together with the instructions so far.

use std::process::ExitCode;

use bytemuck::{cast_slice, cast_slice_mut};
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::kernels::{Kernels, Native, Portable};
use evenkeel_runtime::{Model, Session};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, inputs, outputs, kernels] = &args[..] else {
        eprintln!("usage: evenkeel-aarch64 MODEL INPUTS OUTPUTS native|portable");
        return ExitCode::FAILURE;
    };
    let run = if kernels == "portable" { run::<Portable> } else { run::<Native> };
    match run(model, inputs, outputs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn run<K: Kernels>(model: &str, inputs: &str, outputs: &str) -> Result<(), String> {
    let file = MappedFile::open(std::path::Path::new(model)).map_err(|e| format!("{model}: {e}"))?;
    let model = Model::from_bytes(file.bytes()).map_err(|e| format!("{model}: {e}"))?;
    let inputs = std::fs::read(inputs).map_err(|e| format!("{inputs}: {e}"))?;
    let mut arena = vec![0u64; model.arena_len().div_ceil(8)];
    let mut session =
        Session::<K>::with_kernels(&model, cast_slice_mut(&mut arena)).map_err(|e| format!("session: {e}"))?;
    let mut results = Vec::new();
    for x in inputs.chunks_exact(model.input().elements()) {
        session.input_mut().copy_from_slice(cast_slice::<u8, i8>(x));
        mark();
        session.run_observed(|_| mark());
        results.extend_from_slice(cast_slice::<i8, u8>(session.output()));
    }
    std::fs::write(outputs, results).map_err(|e| format!("{outputs}: {e}"))
}

/// A point that the plugin notes.
fn mark() {
    let _ = std::process::id();
}
