//! Runs models on an emulated AArch64 core: the program in `boards/aarch64`, in QEMU's user mode.
//!
//! A plugin notes the number of executed instructions before each inference and after each operator. It is exact
//! and never varies.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytemuck::cast_slice;
use evenkeel_runtime::Model;

use crate::{Error, TIMEOUT, run_to_end, values};

/// Name of the emulator.
const QEMU: &str = "qemu-aarch64";
/// Where the program lies under a target folder; the plugin is beside it.
const PROGRAM: &str = "firmware/aarch64.elf";

/// The emulated core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// A Cortex-A53: plain NEON.
    CortexA53,
    /// A Cortex-A76: with dot products (`SDOT`).
    CortexA76,
    /// All that QEMU knows: with matrix products (`SMMLA`), as a Cortex-A510 or a Neoverse V1 has them.
    Max,
}

impl Core {
    /// QEMU's name.
    pub fn name(self) -> &'static str {
        match self {
            Core::CortexA53 => "cortex-a53",
            Core::CortexA76 => "cortex-a76",
            Core::Max => "max",
        }
    }
}

/// A model and a batch of inputs for it.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The program, see [`find_program`].
    pub program: &'a Path,
    /// The emulated core.
    pub core: Core,
    /// The bytes of a `.keel` file.
    pub model: &'a [u8],
    /// Quantised inputs, one behind the other.
    pub inputs: &'a [i8],
    /// Use the portable kernels, not those of AArch64.
    pub portable: bool,
}

/// What the program did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Number of inferences.
    pub inferences: usize,
    /// Outputs, one behind the other.
    pub outputs: Vec<i8>,
    /// Instructions of all inferences together.
    pub total_instructions: u64,
    /// Instructions of each operator over all inferences.
    pub layers: Vec<u64>,
}

/// Looks for the program: where the environment variable `EVENKEEL_AARCH64` says, else as `firmware/aarch64.elf` in a
/// folder above the running program, else under `target` here.
pub fn find_program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("EVENKEEL_AARCH64") {
        return Some(path.into());
    }
    let this = std::env::current_exe().unwrap_or_default();
    let above = this.ancestors().skip(1).map(|folder| folder.join(PROGRAM));
    above.chain([Path::new("target").join(PROGRAM)]).find(|path| path.is_file())
}

/// Runs a job to its end.
///
/// # Errors
/// See [`Error`]: each says what is missing and the way out.
pub fn run(job: &Job) -> Result<Outcome, Error> {
    let (input_len, output_len, ops) = sizes(job.model)?;
    if input_len == 0 || !job.inputs.len().is_multiple_of(input_len) {
        return Err(Error::Inputs { len: job.inputs.len(), input_len });
    }
    let inferences = job.inputs.len() / input_len;
    let plugin = job.program.with_extension("so");
    if let Some(missing) = [job.program, &plugin].into_iter().find(|path| !path.is_file()) {
        return Err(Error::NoProgram(missing.into()));
    }
    let folder = tempfile::tempdir().map_err(Error::io("making a temporary folder"))?;
    let file = |name: &str| folder.path().join(name);
    fs::write(file("model.keel"), job.model).map_err(Error::io("writing the model"))?;
    fs::write(file("inputs.bin"), cast_slice(job.inputs)).map_err(Error::io("writing the inputs"))?;
    let words = File::create(file("words.txt")).map_err(Error::io("making a file for the program's output"))?;

    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io("finding the program"));
    let mut plugin = absolute(&plugin)?.into_os_string();
    plugin.push(",out=counts.bin");
    let mut command = Command::new(QEMU);
    command.args(["-cpu", job.core.name(), "-plugin"]).arg(plugin).arg(absolute(job.program)?);
    command.args(["model.keel", "inputs.bin", "outputs.bin", if job.portable { "portable" } else { "native" }]);
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(words);
    let status = run_to_end(&mut command, Error::NoQemuUser)?;

    let words = fs::read_to_string(file("words.txt")).unwrap_or_default();
    let log = words.lines().map(|line| format!("{QEMU}: {line}")).collect();
    match status {
        Some(status) if status.success() => {}
        Some(status) => return Err(Error::Ended { status, log }),
        None => return Err(Error::TimedOut { seconds: TIMEOUT.as_secs(), log }),
    }
    let outputs: Vec<i8> = values(&fs::read(file("outputs.bin")).map_err(Error::io("reading the outputs"))?);
    if outputs.len() != inferences * output_len {
        return Err(Error::Counts("its outputs have another length than expected"));
    }
    let counts: Vec<u64> = values(&fs::read(file("counts.bin")).map_err(Error::io("reading the counts"))?);
    // What comes before is the program's start.
    let marks = inferences * (ops + 1);
    let counts = &counts[counts.len().checked_sub(marks).ok_or(Error::Counts("it made too few marks"))?..];
    let mut layers = vec![0; ops];
    for inference in counts.chunks_exact(ops + 1) {
        for (sum, pair) in layers.iter_mut().zip(inference.windows(2)) {
            *sum += pair[1].saturating_sub(pair[0]);
        }
    }
    Ok(Outcome { inferences, outputs, total_instructions: layers.iter().sum(), layers })
}

/// Length of an input and an output, and number of operators.
fn sizes(model: &[u8]) -> Result<(usize, usize, usize), Error> {
    let mut words = vec![0u64; model.len().div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..model.len()];
    bytes.copy_from_slice(model);
    let model = Model::from_bytes(bytes)?;
    Ok((model.input().elements(), model.output().elements(), model.ops().len()))
}
