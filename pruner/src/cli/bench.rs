//! `evenkeel bench`: time on this host, or instructions on an emulated device.

mod host;

use super::{Target, firmware, print_json, thousands};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use evenkeel::chain;
use evenkeel::error::{Context, Error, Result};
use evenkeel_emulator::{Board, Job, aarch64};
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::crc32;
use evenkeel_runtime::kernels::Portable;
use evenkeel_runtime::preprocess::{normalise_input, quantise_input};
use evenkeel_runtime::{Model, Session};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Measures a .keel file per layer and in all.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel bench model.keel --target cortex-m4 --data set.npz --rows 200\nWith --data, rows of `test` are the inputs, and on the emulator their output bytes are compared with the host's."
)]
pub struct Bench {
    /// The .keel file
    model: PathBuf,
    /// Where
    #[arg(long, value_enum, default_value_t = Target::Host)]
    target: Target,
    /// Take the inputs from this data set (.npz), or from its array `x` where it has no splits; random bytes otherwise
    #[arg(long)]
    data: Option<PathBuf>,
    /// Number of inputs (host: each runs at least 20 times)
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    rows: Option<usize>,
    /// Use the portable kernels instead of the target's own
    #[arg(long)]
    portable: bool,
    /// On aarch64: a core without matrix products (SMMLA), as a Cortex-A76
    #[arg(long)]
    no_i8mm: bool,
    /// On aarch64: a core without dot products (SDOT) too, as a Cortex-A53
    #[arg(long)]
    no_dotprod: bool,
    /// Seed of the random inputs
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(&self) -> Result<()> {
        let file = MappedFile::open(&self.model).at(&self.model)?;
        let model = chain::open(file.bytes(), &self.model)?;
        self.check(&model)?;
        let mut out = match (self.target, self.target.board()) {
            (Target::Host, _) if model.dtype().is_float() => {
                let random = |rng: &mut ChaCha8Rng| rng.random_range(-1.0..1.0);
                host::float(&model, &self.inputs(&model, random, normalise_input)?)?
            }
            (Target::Host, _) => host::int8(&model, &self.int8_inputs(&model)?, self.portable)?,
            (_, Some(board)) => self.emulated(board, &model, file.bytes(), &self.int8_inputs(&model)?)?,
            (_, None) => self.counted(&model, file.bytes(), &self.int8_inputs(&model)?)?,
        };
        out["arena"] = json!(model.arena_bytes());
        out["bytes"] = json!(model.file_len());
        out["file"] = json!(self.model);
        if self.json { print_json(&out) } else { table(&out) }
    }

    /// What can be seen to be wrong before anything runs.
    fn check(&self, model: &Model) -> Result<()> {
        if (self.no_i8mm || self.no_dotprod) && self.target != Target::Aarch64 {
            return Err(Error::new("--no-i8mm and --no-dotprod are for an emulated AArch64 core")
                .help("add --target aarch64, or leave them out"));
        }
        match (model.dtype().is_float(), self.portable) {
            (true, _) if self.target != Target::Host => {
                Err(Error::new("the programs for emulated devices run int8 models only")
                    .at(&self.model)
                    .help("use --target host"))
            }
            (true, true) => Err(Error::new("float models have one set of kernels").help("leave --portable out")),
            // The portable kernels run every packing.
            (true, false) | (false, true) => Ok(()),
            (false, false) => self.target.check(model, &self.model),
        }
    }

    fn int8_inputs(&self, model: &Model) -> Result<Vec<i8>> {
        self.inputs(model, |rng| rng.random(), quantise_input)
    }

    /// Inputs, one after another: those of the data, prepared, or random ones.
    fn inputs<T: Clone + Default>(
        &self,
        model: &Model,
        random: impl Fn(&mut ChaCha8Rng) -> T,
        prepare: impl Fn(&Model, &[f32], &mut [T]) -> std::result::Result<(), evenkeel_runtime::Error>,
    ) -> Result<Vec<T>> {
        let width = model.input().elements();
        let Some(path) = &self.data else {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            return Ok((0..self.rows.unwrap_or(1) * width).map(|_| random(&mut rng)).collect());
        };
        let (shape, x) = chain::load_inputs(path, "x", |data| (data.train.sample, data.verdict.unlabelled()))?;
        let rows = chain::rows_of(model, &shape).map_err(|e| e.at(path))?.min(self.rows.unwrap_or(1));
        let mut out = vec![T::default(); rows * width];
        for (q, x) in out.chunks_mut(width).zip(x.chunks(width)) {
            prepare(model, x, q).context("input")?;
        }
        Ok(out)
    }

    fn emulated(&self, board: Board, model: &Model, bytes: &[u8], inputs: &[i8]) -> Result<Value> {
        let firmware = firmware(board)?;
        let portable = self.portable;
        let (labels, groups, states) = (None, None, false);
        let job = Job { board, firmware: &firmware, model: bytes, inputs, labels, groups, portable, states };
        let outcome = evenkeel_emulator::run(&job).map_err(Error::new)?;
        same_outputs(model, inputs, &outcome.outputs)?;
        let n = outcome.inferences.max(1) as u64;
        Ok(json!({
            "target": board.processor(), "unit": "instructions", "total": outcome.total_instructions / n,
            "kernels": if portable { "portable" } else { board.processor() },
            "inferences": n, "equal_bytes": true, "argmax": argmax(model, &outcome.outputs),
            "checksum": checksum(&outcome.outputs), "layers": layers(model, |i| outcome.layers[i] / n),
        }))
    }

    /// Instructions on an emulated AArch64 core.
    fn counted(&self, model: &Model, bytes: &[u8], inputs: &[i8]) -> Result<Value> {
        let program = aarch64::find_program().ok_or_else(|| {
            Error::new("the program for AArch64 is not built")
                .help("run `cargo xtask firmware`, or set EVENKEEL_AARCH64")
        })?;
        let core = match (self.no_dotprod, self.no_i8mm) {
            (true, _) => aarch64::Core::CortexA53,
            (false, true) => aarch64::Core::CortexA76,
            (false, false) => aarch64::Core::Max,
        };
        let job = aarch64::Job { program: &program, core, model: bytes, inputs, portable: self.portable };
        let outcome = aarch64::run(&job).map_err(Error::new)?;
        same_outputs(model, inputs, &outcome.outputs)?;
        let n = outcome.inferences.max(1) as u64;
        Ok(json!({
            "target": format!("aarch64 ({})", core.name()), "unit": "instructions",
            "total": outcome.total_instructions / n, "kernels": if self.portable { "portable" } else { "aarch64" },
            "inferences": n, "equal_bytes": true, "argmax": argmax(model, &outcome.outputs),
            "checksum": checksum(&outcome.outputs), "layers": layers(model, |i| outcome.layers[i] / n),
        }))
    }
}

/// Where the first output is largest; the first one wins a tie.
fn argmax(model: &Model, outputs: &[i8]) -> usize {
    let first = outputs.get(..model.output().elements()).unwrap_or(outputs);
    (0..first.len()).rev().max_by_key(|&i| first[i]).unwrap_or(0)
}

/// CRC-32 of all output bytes: the same wherever a model runs on the same inputs.
fn checksum(outputs: &[i8]) -> String {
    format!("{:08x}", crc32(bytemuck::cast_slice(outputs)))
}

/// An error where an emulated device's outputs are not this host's.
fn same_outputs(model: &Model, inputs: &[i8], outputs: &[i8]) -> Result<()> {
    let host = host_outputs(model, inputs)?;
    if outputs == host {
        return Ok(());
    }
    let width = model.output().elements();
    let row = outputs.chunks(width).zip(host.chunks(width)).take_while(|(a, b)| a == b).count();
    Err(Error::new(format!("the emulated device gives other bytes than this host, first at input {row}"))
        .help("please report this: it breaks the promise of bit-exactness"))
}

fn layers(model: &Model, count: impl Fn(usize) -> u64) -> Value {
    let of = |(i, o): (usize, &evenkeel_runtime::format::OpRecord)| json!({"name": model.name(o.name), "op": o.code_name(), "macs": model.macs(i), "count": count(i)});
    model.ops().iter().enumerate().map(of).collect()
}

fn host_outputs(model: &Model, inputs: &[i8]) -> Result<Vec<i8>> {
    let mut arena = chain::arena(model);
    let mut session = Session::<Portable>::with_kernels(model, bytemuck::cast_slice_mut(&mut arena))
        .context("cannot start a session")?;
    let mut out = Vec::new();
    for x in inputs.chunks(model.input().elements()) {
        session.input_mut().copy_from_slice(x);
        session.run();
        out.extend_from_slice(session.output());
    }
    Ok(out)
}

fn table(out: &Value) -> Result<()> {
    let number = |v: &Value| v.as_u64().unwrap_or(0);
    say!(
        "{} on {} ({} kernels), {} per inference:",
        out["file"].as_str().unwrap_or(""),
        out["target"].as_str().unwrap_or(""),
        out["kernels"].as_str().unwrap_or(""),
        out["unit"].as_str().unwrap_or("")
    );
    for l in out["layers"].as_array().into_iter().flatten() {
        let (macs, count) = (number(&l["macs"]), number(&l["count"]));
        let per = if macs > 0 { format!("{:.2}/MAC", count as f64 / macs as f64) } else { String::new() };
        say!(
            "  {:<34} {:<14} {:>14} MACs {:>14} {per}",
            l["name"].as_str().unwrap_or(""),
            l["op"].as_str().unwrap_or(""),
            thousands(macs),
            thousands(count)
        );
    }
    say!(
        "total {} {}, arena {} bytes, file {} bytes",
        thousands(number(&out["total"])),
        out["unit"].as_str().unwrap_or(""),
        thousands(number(&out["arena"])),
        thousands(number(&out["bytes"]))
    );
    if out.get("equal_bytes").is_some() {
        say!("outputs of {} inputs are equal to the host's, byte for byte", number(&out["inferences"]));
        let checksum = out["checksum"].as_str().unwrap_or("");
        say!("the first is largest at {}; checksum of all {checksum}", number(&out["argmax"]));
    }
    Ok(())
}
