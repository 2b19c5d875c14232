//! `evenkeel train`: a network of the zoo from nothing.

use super::{InputFlags, check_rate, print_json, thousands};
use clap::Args;
use evenkeel::chain::Prepared;
use evenkeel::contract::{InputNorm, Metric};
use evenkeel::data;
use evenkeel::error::{Error, Result};
use evenkeel::fair::metrics;
use evenkeel::files;
use evenkeel::net::train::{Training, train};
use evenkeel::net::{Net, device, optimise::Schedule, set, zoo};
use evenkeel::onnx;
use evenkeel::progress::Stop;

use serde_json::json;
use std::path::PathBuf;

/// Trains a small network and writes it as ONNX.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel train --arch cnn1d --data synth.npz -o dense.onnx\nArchitectures: cnn1d, dscnn1d, resnet1d (C × L), resnet8 (C × H × W), mlp (anything)."
)]
pub struct Train {
    /// Architecture: cnn1d, dscnn1d, resnet1d, resnet8 or mlp
    #[arg(long)]
    arch: String,
    /// The data set (.npz with x, y, split)
    #[arg(long)]
    data: PathBuf,
    /// Where the network goes
    #[arg(short, long)]
    output: PathBuf,
    /// Passes over the training rows
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    /// Rows per step
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 3e-3)]
    lr: f64,
    /// What the best network is chosen by, on the rows of `val`: accuracy, macro_recall, recall:<class>
    #[arg(long, default_value = "accuracy")]
    metric: String,
    #[command(flatten)]
    input: InputFlags,
    /// Device: cpu, or cuda, wgpu, tch where built in
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Seed of every random choice
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Train {
    pub fn run(&self) -> Result<()> {
        let device = device(&self.device)?;
        let metric = Metric::try_from(self.metric.clone()).map_err(Error::new)?;
        check_rate(self.lr)?;
        files::check_folder(&self.output)?;
        files::keep(&[&self.data], &self.output)?;
        let data = data::load(&self.data)?;
        let (sample, classes) = (&data.train.sample, data.train.classes);
        if let Some(class) = metric.class().filter(|c| *c >= classes) {
            return Err(Error::new(format!("--metric names class {class}, the data has {classes} classes")));
        }
        let graph = zoo::build(&self.arch, sample, classes, self.seed).map_err(|e| e.at(&self.data))?;
        let input = self.input.apply(&InputNorm::default())?;
        let p = Prepared::new(data, &graph, &input, &[]).map_err(|e| e.at(&self.data))?;
        let stop = Stop::on_ctrl_c()?;
        let epoch = p.train.len().div_ceil(self.batch.max(2));
        let schedule = Schedule {
            steps: epoch.saturating_mul(self.epochs.max(1)),
            batch: self.batch.max(2),
            rate: self.lr,
            decay: 1e-4,
            eval_every: epoch,
        };
        let how = Training { metric, schedule, seed: self.seed, device };
        let trained = train(&graph, &p.train, &p.select, &how, &stop)?;
        onnx::save(&trained, &self.output)?;
        let logits = p.select.logits(&Net::new(&trained, &how.device), &Stop::default())?;
        let predicted = set::classes(&logits, trained.output_shape().len());
        let all: Vec<usize> = (0..p.select.len()).collect();
        let value = metrics::value(metric, &p.select.y, &predicted, &all).unwrap_or(f64::NAN);
        if self.json {
            return print_json(
                &json!({"file": self.output, "arch": self.arch, "metric": metric.to_string(), "selection": value, "macs": trained.macs(), "params": trained.params()}),
            );
        }
        say!(
            "{}: {} on val {value:.3}, {} MACs, {} parameters",
            self.output.display(),
            metric,
            thousands(trained.macs() as u64),
            thousands(trained.params() as u64)
        );
        Ok(())
    }
}
