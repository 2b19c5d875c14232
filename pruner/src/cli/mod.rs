//! The commands of `evenkeel`, a file each.
//!
//! Exit codes: 0 done (and, where a verdict is made, PASS), 1 a verdict that is not PASS, 2 an error.

/// `println!` that ends the program quietly when nobody reads any more (`evenkeel inspect … | head`).
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        if let Err(e) = writeln!(std::io::stdout(), $($text)*) {
            // A reader that has seen enough is no error.
            let enough = e.kind() == std::io::ErrorKind::BrokenPipe;
            if !enough {
                eprintln!("error: cannot print: {e}");
            }
            std::process::exit(i32::from(!enough));
        }
    }};
}

mod audit;
mod bench;
mod compare;
mod compile;
mod export;
mod inspect;
mod job;
mod key;
mod keygen;
mod methods;
mod monitor;
mod patterns;
mod plan;
mod prune;
mod repack;
mod report;
mod run;
mod search;
mod sign;
mod simulate;
mod synth;
mod train;
mod verify;

use clap::{Args, Parser, Subcommand, ValueEnum};
use evenkeel::contract::InputNorm;
use evenkeel::error::{Error, Result};
use evenkeel::lower;
use evenkeel_emulator::Board;
use evenkeel_runtime::Model;
use evenkeel_runtime::format::{CertificateGroup, FloorRecord, Packing, verdict_name};
use evenkeel_runtime::kernels::{Kernels, Native};
use evenkeel_runtime::monitor::ONE_Q26;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes trained networks smaller under a fairness contract.
#[derive(Parser)]
#[command(name = "evenkeel", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Synth(synth::Synth),
    Train(train::Train),
    Inspect(inspect::Inspect),
    Audit(audit::Audit),
    Methods(methods::Methods),
    Patterns(patterns::Patterns),
    Plan(plan::PlanArgs),
    Prune(prune::Prune),
    Search(search::Search),
    Compare(compare::Compare),
    Compile(compile::Compile),
    Repack(repack::Repack),
    Verify(verify::Verify),
    Run(run::Run),
    Bench(bench::Bench),
    Export(export::Export),
    SimulateVerdicts(simulate::Simulate),
    Report(report::Report),
    Monitor(monitor::Monitor),
    Keygen(keygen::Keygen),
    Sign(sign::Sign),
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let done = |()| ExitCode::SUCCESS;
        match self.command {
            Command::Synth(c) => c.run().map(done),
            Command::Train(c) => c.run().map(done),
            Command::Inspect(c) => c.run().map(done),
            Command::Audit(c) => c.run().map(done),
            Command::Methods(c) => c.run().map(done),
            Command::Patterns(c) => c.run().map(done),
            Command::Plan(c) => c.run().map(done),
            Command::SimulateVerdicts(c) => c.run().map(done),
            Command::Prune(c) => c.run(),
            Command::Search(c) => c.run(),
            Command::Compare(c) => c.run().map(done),
            Command::Compile(c) => c.run().map(done),
            Command::Repack(c) => c.run().map(done),
            Command::Verify(c) => c.run(),
            Command::Run(c) => c.run().map(done),
            Command::Bench(c) => c.run().map(done),
            Command::Export(c) => c.run().map(done),
            Command::Report(c) => c.run().map(done),
            Command::Monitor(c) => c.run().map(done),
            Command::Keygen(c) => c.run().map(done),
            Command::Sign(c) => c.run().map(done),
        }
    }
}

/// How raw values become the network's input: `(value * scale - mean) / std`. Overrides `[input]` of a contract.
#[derive(Args, Clone, Debug)]
struct InputFlags {
    /// Factor on raw values, e.g. 0.00392156862 for bytes
    #[arg(long)]
    scale: Option<f32>,
    /// Means after the factor, one per channel or one for all
    #[arg(long, value_delimiter = ',')]
    mean: Option<Vec<f32>>,
    /// Standard deviations after the factor
    #[arg(long, value_delimiter = ',')]
    std: Option<Vec<f32>>,
}

impl InputFlags {
    fn apply(&self, base: &InputNorm) -> Result<InputNorm> {
        let n = InputNorm {
            scale: self.scale.unwrap_or(base.scale),
            mean: self.mean.clone().unwrap_or_else(|| base.mean.clone()),
            std: self.std.clone().unwrap_or_else(|| base.std.clone()),
        };
        n.check()?;
        Ok(n)
    }
}

/// Where to run a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// This machine
    Host,
    /// The emulated Cortex-M4; its results are compared with this machine's, byte for byte
    CortexM4,
    /// The emulated Cortex-M55 with Helium; likewise
    CortexM55,
    /// An emulated AArch64 core (bench only); likewise
    Aarch64,
}

impl Target {
    /// The board that is emulated, of a microcontroller.
    fn board(self) -> Option<Board> {
        match self {
            Target::Host | Target::Aarch64 => None,
            Target::CortexM4 => Some(Board::Mps2An386),
            Target::CortexM55 => Some(Board::Mps3An547),
        }
    }

    /// An error where its kernels do not run the weights of a model as they lie: the portable ones run all.
    fn check(self, model: &Model, path: &Path) -> Result<()> {
        let runs: &[Packing] = match self {
            Target::Host => Native::PACKINGS,
            Target::CortexM4 => &[Packing::Portable, Packing::Dsp],
            Target::CortexM55 => &[Packing::Portable, Packing::Mve],
            Target::Aarch64 => &[Packing::Portable, Packing::Sdot],
        };
        let packing = model.packing();
        if runs.contains(&packing) {
            return Ok(());
        }
        let name = |packing: Packing| {
            lower::Target::ALL.into_iter().find(|t| t.packing() == packing).map_or(packing.name(), lower::Target::name)
        };
        // The last is the one that they are made for.
        let own = name(runs.last().copied().unwrap_or(Packing::Portable));
        Err(Error::new(format!("weights packed for {} do not run on {own}", name(packing)))
            .at(path)
            .help(format!("make a file that does with `evenkeel repack --target {own}`")))
    }
}

/// The firmware that the emulated device runs.
fn firmware(board: Board) -> Result<PathBuf> {
    board.find_firmware().ok_or_else(|| {
        Error::new("the firmware for the emulator is not built")
            .help(format!("run `cargo xtask firmware`, or set {}", board.variable()))
    })
}

/// One group of a certificate, for people.
fn certificate_line(model: &Model, g: &CertificateGroup) -> String {
    let upper = if g.excess_drop_upper.is_finite() { format!("{:.3}", g.excess_drop_upper) } else { "no bound".into() };
    format!(
        "  {:<30} n {:>6}  dense {:.3}  f32 {:.3}  int8 {:.3}  excess drop {:+.3} (≤ {upper})  {}",
        model.name(g.name),
        g.n,
        g.dense,
        g.pruned,
        g.int8,
        g.excess_drop,
        verdict_name(g.verdict)
    )
}

/// A monitor's floor as a share.
fn floor(f: &FloorRecord) -> f64 {
    f64::from(f.floor) / f64::from(ONE_Q26)
}

/// An error unless a learning rate makes sense.
fn check_rate(rate: f64) -> Result<()> {
    if rate.is_finite() && rate > 0.0 { Ok(()) } else { Err(Error::new("--lr must be positive")) }
}

/// Prints a value as JSON on standard output.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(value).map_err(Error::new)?);
    Ok(())
}

/// `12,345`
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
