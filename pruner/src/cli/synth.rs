//! `evenkeel synth`: the synthetic data set.

use super::{print_json, thousands};
use clap::Args;
use evenkeel::data;
use evenkeel::data::synth::{self, SynthSpec};
use evenkeel::error::Result;
use serde_json::json;
use std::path::PathBuf;

/// Writes a synthetic, learnable sensor data set with an under-represented, harder group.
#[derive(Args)]
#[command(after_help = "Example: evenkeel synth -o synth.npz --seed 7")]
pub struct Synth {
    /// Where the .npz goes
    #[arg(short, long)]
    output: PathBuf,
    /// People
    #[arg(long)]
    subjects: Option<usize>,
    /// Where the sensor is worn: 2 for wrist and ankle, more for as many groups, half of them harder and rarer
    #[arg(long)]
    sites: Option<usize>,
    /// Windows per person
    #[arg(long)]
    rows_per_subject: Option<usize>,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Synth {
    pub fn run(&self) -> Result<()> {
        let base = SynthSpec::default();
        let spec = SynthSpec {
            subjects: self.subjects.unwrap_or(base.subjects),
            sites: self.sites.unwrap_or(base.sites),
            rows_per_subject: self.rows_per_subject.unwrap_or(base.rows_per_subject),
            seed: self.seed,
        };
        let parts = synth::generate(&spec)?;
        data::save(&self.output, &parts)?;
        let rows = parts.y.len();
        if self.json {
            return print_json(
                &json!({"file": self.output, "rows": rows, "subjects": spec.subjects, "sites": spec.sites, "seed": spec.seed}),
            );
        }
        say!(
            "{}: {} rows of {} subjects, groups `site` and `age_band`, clusters `subject`",
            self.output.display(),
            thousands(rows as u64),
            spec.subjects
        );
        Ok(())
    }
}
