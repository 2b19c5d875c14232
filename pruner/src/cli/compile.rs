//! `evenkeel compile`: a network as it is, without pruning.

use super::{InputFlags, print_json, thousands};
use clap::Args;
use evenkeel::chain;
use evenkeel::contract::InputNorm;
use evenkeel::data::batch::Normaliser;
use evenkeel::error::{Error, Result};
use evenkeel::files;
use evenkeel::lower::{Extras, Target, lower};
use evenkeel::net::{Set, device};
use serde_json::json;
use std::path::PathBuf;

/// Quantises a network to int8 and writes a .keel file, without pruning and without a verdict.
#[derive(Args)]
#[command(after_help = "Example: evenkeel compile model.onnx --data set.npz -o model.keel")]
pub struct Compile {
    /// The ONNX network (f32)
    model: PathBuf,
    /// Calibration data: a .npz with splits (its training rows are used), or any .npz/.npy with inputs
    #[arg(long)]
    data: PathBuf,
    /// Name of the array with inputs in a .npz without splits
    #[arg(long, default_value = "x")]
    array: String,
    /// Where the file goes
    #[arg(short, long)]
    output: PathBuf,
    /// What the file is for: portable, cortex-m4, cortex-m55, aarch64 or x86-64
    #[arg(long, default_value_t)]
    target: Target,
    #[command(flatten)]
    input: InputFlags,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Compile {
    pub fn run(&self) -> Result<()> {
        let graph = chain::load_network(&self.model)?;
        let input = self.input.apply(&InputNorm::default())?;
        let (shape, x) = chain::load_inputs(&self.data, &self.array, |data| (data.train.sample, data.train.x))?;
        let sample = shape.get(1..).unwrap_or(&[]);
        let norm = Normaliser::new(&input, sample).map_err(|e| e.at(&self.data))?;
        let set = Set::from_array(sample, &x, &norm, &graph).map_err(|e| e.at(&self.data))?;
        if set.is_empty() {
            return Err(Error::new("there is no row to calibrate on").at(&self.data));
        }
        let q = chain::quantised(&graph, &set, &input, &device("cpu")?).map_err(|e| e.at(&self.model))?;
        let lowered = lower(&q, &Extras::default(), self.target)?;
        files::write(&self.output, &lowered.bytes)?;
        if self.json {
            return print_json(
                &json!({"file": self.output, "bytes": lowered.bytes.len(), "arena": lowered.arena, "macs": lowered.macs}),
            );
        }
        say!(
            "{}: {} bytes, arena {} bytes, {} MACs",
            self.output.display(),
            thousands(lowered.bytes.len() as u64),
            thousands(lowered.arena as u64),
            thousands(lowered.macs)
        );
        Ok(())
    }
}
