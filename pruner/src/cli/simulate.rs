//! `evenkeel simulate-verdicts`: whether the verdict keeps its promise.

use clap::Args;
use evenkeel::error::{Error, Result};
use evenkeel::fair::simulate::page::{coverage, holds, page, run};
use evenkeel::files;
use std::path::PathBuf;

/// Judges many drawn data sets of models whose truth is known, and counts wrong verdicts.
#[derive(Args)]
#[command(after_help = "Example: evenkeel simulate-verdicts --runs 2000 -o docs/verdict.md")]
pub struct Simulate {
    /// Verdicts per cell
    #[arg(long, default_value_t = 2000)]
    runs: usize,
    /// Verdicts for each size that the table of sizes tries
    #[arg(long, default_value_t = 200)]
    power_runs: usize,
    /// Seed of all draws
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the page goes; printed where no file is named
    #[arg(short, long)]
    output: Option<PathBuf>,
}

impl Simulate {
    pub fn run(&self) -> Result<()> {
        if self.runs < 100 || self.power_runs == 0 {
            return Err(Error::new("--runs must be at least 100, and --power-runs at least 1"));
        }
        let cells = run(self.runs, self.seed, |i, n| eprintln!("{i} of {n} cells"))?;
        eprintln!("{}", coverage(&cells));
        let text = page(&cells, "cargo xtask study verdict", self.power_runs, self.seed)?;
        match &self.output {
            Some(path) => files::write(path, text.as_bytes())?,
            None => say!("{text}"),
        }
        if holds(&cells) {
            return Ok(());
        }
        Err(Error::new(
            "the verdict or its printed bounds err as often as only chance would explain, or a negative control was not seen to fail",
        ))
    }
}
