//! Runs models on an emulated Cortex-M4 or Cortex-M55: the firmware in `boards/mps2-an386` or `boards/mps3-an547`,
//! in QEMU.
//!
//! One prebuilt firmware of a board runs any model. QEMU loads the `.keel` file and a batch of inputs into the board's
//! external memory, like a model partition in external flash; the firmware verifies the model, runs the
//! batch, counts instructions, feeds the monitor, logs through defmt and writes its results to a file.
//!
//! Instructions are exact and never vary: with `-icount shift=0` every instruction takes one nanosecond of
//! the board's time. SysTick counts at 25 or 32 MHz, so a figure is a multiple of 40 or 31.25
//! instructions; over a batch that rounding averages out.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytemuck::{Pod, pod_read_unaligned};

pub mod aarch64;
mod batch;
mod board;
mod error;
pub mod exercise;
pub mod image;
mod log;
pub mod stream;

use batch::Batch;
pub use board::Board;
pub use error::Error;
use image::{RESULTS_MAGIC, ResultsHead};
use log::Decoder;

/// Name of the emulator.
const QEMU: &str = "qemu-system-arm";
/// A batch that takes longer is stopped.
const TIMEOUT: Duration = Duration::from_secs(900);

/// A model and a batch of inputs for it.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Which board is emulated.
    pub board: Board,
    /// Its firmware's ELF file, see [`Board::find_firmware`].
    pub firmware: &'a Path,
    /// The bytes of a `.keel` file.
    pub model: &'a [u8],
    /// Quantised inputs, one behind the other.
    pub inputs: &'a [i8],
    /// The right class of each input, 255 for unknown.
    pub labels: Option<&'a [u8]>,
    /// The group of people of each input (its index in the model's monitor), 255 for unknown.
    pub groups: Option<&'a [u8]>,
    /// Use the portable kernels, not the processor's.
    pub portable: bool,
    /// Say in the log, at the end, what the monitor knows of each group.
    pub states: bool,
}

/// What the device did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The log, a line per message, with its level in front.
    pub log: Vec<String>,
    /// Number of inferences.
    pub inferences: usize,
    /// Outputs, one behind the other.
    pub outputs: Vec<i8>,
    /// The predicted class of each input.
    pub classes: Vec<u16>,
    /// Instructions of all inferences together.
    pub total_instructions: u64,
    /// Instructions of each operator over all inferences.
    pub layers: Vec<u64>,
    /// The monitor's state at the end, with cells of profile `Full` and [`image::SLOTS`] places for pending labels; empty
    /// for a model without a monitor.
    pub monitor: Vec<u32>,
}

/// Runs a job to its end.
///
/// # Errors
/// See [`Error`]: each says what is missing and the way out.
pub fn run(job: &Job) -> Result<Outcome, Error> {
    let batch = Batch::new(job, 0)?;
    let (results, log) = on_board(job, &batch)?;
    outcome(job.board, &batch, &results, log)
}

/// Runs the firmware on a batch; gives the bytes of its results, and its log.
fn on_board(job: &Job, batch: &Batch) -> Result<(Vec<u8>, Vec<String>), Error> {
    let elf = match fs::read(job.firmware) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::NoFirmware(job.firmware.into())),
        read => read.map_err(Error::io("reading the firmware"))?,
    };
    let decoder = Decoder::new(job.firmware, &elf)?;

    let folder = tempfile::tempdir().map_err(Error::io("making a temporary folder"))?;
    let file = |name: &str| folder.path().join(name);
    fs::write(file("batch.bin"), &batch.bytes).map_err(Error::io("writing the batch image"))?;
    fs::write(file("firmware.elf"), &elf).map_err(Error::io("copying the firmware"))?;
    let status = emulate(job.board, folder.path())?;

    let mut log = decoder.lines(&fs::read(file("log.bin")).unwrap_or_default());
    match status {
        Some(status) if status.success() => {}
        Some(status) => {
            let words = fs::read_to_string(file("qemu.txt")).unwrap_or_default();
            log.extend(words.lines().map(|line| format!("{QEMU}: {line}")));
            return Err(Error::Ended { status, log });
        }
        None => return Err(Error::TimedOut { seconds: TIMEOUT.as_secs(), log }),
    }
    let results = fs::read(file("results.bin")).map_err(Error::io("reading the firmware's results"))?;
    Ok((results, log))
}

/// Runs QEMU in `folder`; `None` when it had to be stopped.
fn emulate(board: Board, folder: &Path) -> Result<Option<ExitStatus>, Error> {
    let file = |name: &str| File::create(folder.join(name)).map_err(Error::io("making a file for QEMU's output"));
    let device = format!("loader,file=batch.bin,addr={:#x},force-raw=on", board.memory());
    let mut command = Command::new(QEMU);
    command.args(["-M", board.machine(), "-icount", "shift=0"]);
    command.args(["-display", "none", "-monitor", "none", "-serial", "none"]);
    command.args(["-semihosting-config", "enable=on,target=native"]);
    command.args(["-kernel", "firmware.elf", "-device", &device]).current_dir(folder);
    // The firmware's semihosting console is QEMU's standard output.
    command.stdin(Stdio::null()).stdout(file("log.bin")?).stderr(file("qemu.txt")?);
    run_to_end(&mut command, Error::NoQemu)
}

/// Runs an emulator; `None` when it had to be stopped, `missing` when there is none.
fn run_to_end(command: &mut Command, missing: Error) -> Result<Option<ExitStatus>, Error> {
    let child = match command.spawn() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing),
        spawned => spawned.map_err(Error::io("starting QEMU"))?,
    };
    let mut emulator = Emulator(child);
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        if let Some(status) = emulator.0.try_wait().map_err(Error::io("waiting for QEMU"))? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(None)
}

/// A running QEMU that does not outlive its owner.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The head of the results, which go with the batch.
fn checked(batch: &Batch, results: &[u8]) -> Result<ResultsHead, Error> {
    let layout = &batch.layout;
    if results.len() != layout.len {
        return Err(Error::Results("it has another length than expected"));
    }
    let head: ResultsHead = pod_read_unaligned(&results[..size_of::<ResultsHead>()]);
    let expected = [batch.count, batch.ops, batch.output_len, batch.groups].map(|n| n as u32);
    if head.magic != RESULTS_MAGIC || [head.count, head.ops, head.output_len, head.groups] != expected {
        return Err(Error::Results("its head does not go with the batch"));
    }
    Ok(head)
}

fn outcome(board: Board, batch: &Batch, results: &[u8], log: Vec<String>) -> Result<Outcome, Error> {
    let (head, layout) = (checked(batch, results)?, &batch.layout);
    let ticks: Vec<u64> = values(&results[layout.ops..][..8 * batch.ops]);
    Ok(Outcome {
        log,
        inferences: batch.count,
        outputs: values(&results[layout.outputs..]),
        classes: values(&results[layout.classes..][..2 * batch.count]),
        total_instructions: board.instructions(head.ticks),
        layers: ticks.iter().map(|&t| board.instructions(t)).collect(),
        monitor: values(&results[layout.state..][..4 * batch.words]),
    })
}

/// Values that lie one behind the other, at any alignment.
fn values<T: Pod>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(pod_read_unaligned).collect()
}
