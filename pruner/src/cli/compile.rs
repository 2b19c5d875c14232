//! `evenkeel compile`: a network as it is, without pruning; one that is quantised already keeps its integers.

use super::{InputFlags, print_json, thousands};
use clap::{Args, ValueEnum};
use evenkeel::chain;
use evenkeel::contract::InputNorm;
use evenkeel::data::batch::Normaliser;
use evenkeel::error::{Error, Result};
use evenkeel::files;
use evenkeel::lower::{Extras, Forms, Lowered, Target, lower_as, lower_float};
use evenkeel::net::{Set, device};
use evenkeel::prune::blocks::Pattern;
use evenkeel::prune::blocks::quantised::zero_blocks;
use evenkeel::quant::QGraph;
use evenkeel_runtime::format::Dtype;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Writes a .keel file of a network, quantised to int8 or in floats, without pruning and without a verdict.
///
/// A network that is quantised already (QuantizeLinear and DequantizeLinear around every operator) keeps its scales
/// and zero points and needs no data.
#[derive(Args)]
#[command(after_help = "Examples: evenkeel compile model.onnx --data set.npz -o model.keel\n          \
    evenkeel compile model_qdq.onnx -o model.keel\n          \
    evenkeel compile model.onnx --dtype f16 -o model.keel")]
pub struct Compile {
    /// The ONNX network, f32 or quantised
    model: PathBuf,
    /// Calibration data of an f32 network: a .npz with splits (its training rows are used), or any .npz/.npy with inputs
    #[arg(long)]
    data: Option<PathBuf>,
    /// Name of the array with inputs in a .npz without splits
    #[arg(long, default_value = "x")]
    array: String,
    /// Where the file goes
    #[arg(short, long)]
    output: PathBuf,
    /// What the file is for: portable, cortex-m4, cortex-m55, aarch64 or x86-64
    #[arg(long, default_value_t)]
    target: Target,
    /// What the file computes in: int8, or f32 with weights in f32 or f16, which needs no data
    #[arg(long, value_enum, default_value_t = Numbers::Int8)]
    dtype: Numbers,
    /// How weights are stored
    #[arg(long, value_enum, default_value_t = Forms::Auto)]
    form: Forms,
    /// Make the blocks of weights with the smallest magnitude zero, without training: for measurements of kernels. It
    /// costs much accuracy; `prune --blocks` trains. A share (50%), or how many stay of each so many (2:4)
    #[arg(long, value_name = "PATTERN")]
    blocks: Option<Pattern>,
    /// The same share of blocks in each row of them
    #[arg(long, requires = "blocks")]
    block_uniform: bool,
    #[command(flatten)]
    input: InputFlags,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// See [`Dtype`].
#[derive(Clone, Copy, ValueEnum)]
enum Numbers {
    Int8,
    F32,
    F16,
}

impl From<Numbers> for Dtype {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::Int8 => Dtype::Int8,
            Numbers::F32 => Dtype::F32,
            Numbers::F16 => Dtype::F16,
        }
    }
}

impl Compile {
    pub fn run(&self) -> Result<()> {
        files::check_folder(&self.output)?;
        files::keep(&[&self.model], &self.output)?;
        if let Some(data) = &self.data {
            files::keep(&[data], &self.output)?;
        }
        let input = self.input.apply(&InputNorm::default())?;
        let lowered = self.lowered(&input)?;
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

    /// The network as a file.
    fn lowered(&self, input: &InputNorm) -> Result<Lowered> {
        let dtype = self.dtype.into();
        if dtype != Dtype::Int8 {
            let packed = self.blocks.is_some() || !matches!(self.form, Forms::Auto | Forms::Dense);
            if self.data.is_some() || packed {
                return Err(Error::new("a float model is not calibrated, and has all of its weights stored")
                    .help("leave --data, --blocks and --form out"));
            }
            let graph = chain::load_network(&self.model)?;
            return lower_float(&graph, &chain::input_channels(input), &Extras::default(), self.target, dtype)
                .map_err(|e| e.at(&self.model));
        }
        let mut q = match (chain::load_quantised(&self.model, input)?, &self.data) {
            (Some(q), None) => q,
            (Some(_), Some(_)) => {
                return Err(Error::new("the network is quantised already, so there is nothing to calibrate")
                    .at(&self.model)
                    .help("leave --data out, or give the f32 network"));
            }
            (None, Some(data)) => self.calibrated(data, input)?,
            (None, None) => {
                return Err(Error::new("an f32 network needs data to calibrate on")
                    .at(&self.model)
                    .help("give --data set.npz, or a network with QuantizeLinear and DequantizeLinear"));
            }
        };
        if let Some(pattern) = self.blocks {
            let pattern = if self.block_uniform { pattern.even() } else { pattern };
            zero_blocks(&mut q, pattern, self.target).map_err(|e| e.at(&self.model))?;
        }
        lower_as(&q, &Extras::default(), self.target, self.form).map_err(|e| e.at(&self.model))
    }

    /// The f32 network, quantised on rows of `data`.
    fn calibrated(&self, data: &Path, input: &InputNorm) -> Result<QGraph> {
        let graph = chain::load_network(&self.model)?;
        let (shape, x) = chain::load_inputs(data, &self.array, |data| (data.train.sample, data.train.x))?;
        let sample = shape.get(1..).unwrap_or(&[]);
        let norm = Normaliser::new(input, sample).map_err(|e| e.at(data))?;
        let set = Set::from_array(sample, &x, &norm, &graph).map_err(|e| e.at(data))?;
        if set.is_empty() {
            return Err(Error::new("there is no row to calibrate on").at(data));
        }
        chain::quantised(&graph, &set, input, &device("cpu")?).map_err(|e| e.at(&self.model))
    }
}
