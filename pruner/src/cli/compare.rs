//! `evenkeel compare`: every fairness metric of a dense network and a file.

use super::{InputFlags, print_json};
use clap::Args;
use evenkeel::chain::{self, Prepared};
use evenkeel::contract::{Contract, InputNorm, Metric};
use evenkeel::data::{check_cluster, cluster_codes};
use evenkeel::error::{Context, Error, Result};
use evenkeel::fair::exemplars::Exemplars;
use evenkeel::fair::panel::{Comparison, Model, REPLICATES};
use evenkeel::fair::panel_table;
use evenkeel::fair::similarity::{Sample, similarity};
use evenkeel::net::{Net, device, set};
use evenkeel::progress::Stop;
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::op;
use std::path::{Path, PathBuf};

/// Compares a .keel file with its dense network on the rows of `val`: every fairness metric, per group and between
/// groups, with intervals.
///
/// It describes and judges nothing, and never opens the rows of `test`.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel compare model.onnx model.keel --data set.npz --groups gender,age_band --pruned model.pruned.onnx"
)]
pub struct Compare {
    /// The dense ONNX network
    dense: PathBuf,
    /// The .keel file; of several (other seeds), the first is compared, and rows that all treat otherwise are counted
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// The data set (.npz with x, y, split, group columns)
    #[arg(long)]
    data: PathBuf,
    /// Group columns, separated by commas; a*b is an intersection
    #[arg(long, value_delimiter = ',', required = true)]
    groups: Vec<String>,
    /// Column of rows that are not independent
    #[arg(long)]
    cluster: Option<String>,
    /// What worst group, gap and drops are of: accuracy, macro_recall, recall:<class> or fpr:<class>
    #[arg(long, default_value = "accuracy", value_parser = |s: &str| Metric::try_from(s.to_owned()))]
    metric: Metric,
    /// The pruned network in f32, for the similarity (CKA) of each layer
    #[arg(long)]
    pruned: Option<PathBuf>,
    /// Confidence of the intervals
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    #[command(flatten)]
    input: InputFlags,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a file says of the rows.
struct Seen {
    /// Without a softmax at the end.
    logits: Option<Vec<f32>>,
    classes: Vec<usize>,
    /// How its contract, if it has one, prepares raw values.
    input: Option<InputNorm>,
}

impl Compare {
    pub fn run(&self) -> Result<()> {
        check_cluster(&self.groups, self.cluster.as_deref())?;
        let dense = chain::load_network(&self.dense)?;
        let outputs = dense.output_shape().len();
        if let Some(class) = self.metric.class().filter(|c| *c >= outputs) {
            return Err(Error::new(format!("--metric names class {class}, the network has {outputs} outputs")));
        }
        let data = evenkeel::data::load(&self.data)?;
        let (x, width) = (&data.select.x, data.select.width());
        let seen = self.models.iter().map(|m| see(m, x, width, outputs)).collect::<Result<Vec<Seen>>>()?;
        let [first, ..] = &seen[..] else { return Err(Error::new("no file to compare with")) };
        let input = self.input.apply(&first.input.clone().unwrap_or_default())?;
        let p = Prepared::new(data, &dense, &input, &self.groups).map_err(|e| e.at(&self.data))?;
        let (cpu, stop) = (device("cpu")?, Stop::on_ctrl_c()?);
        let logits = p.select.logits(&Net::new(&dense, &cpu), &stop)?;
        let predictions = set::classes(&logits, outputs);
        let cluster = self.cluster.as_deref().map(|c| cluster_codes(&p.data.select, Some(c)));
        let clusters = cluster.transpose().map_err(|e| e.at(&self.data))?;
        let mut panel = Comparison {
            y: &p.select.y,
            classes: outputs,
            dense: Model { predictions: &predictions, logits: Some(&logits) },
            small: Model { predictions: &first.classes, logits: first.logits.as_deref() },
            groups: &p.select_groups,
            entries: &self.groups,
            metric: self.metric,
            clusters: clusters.as_deref(),
            train: Some((&p.train.y, &p.train_groups)),
            confidence: self.confidence,
            replicates: REPLICATES,
            seed: self.seed,
        }
        .panel()?;
        if seen.len() > 1 {
            let runs: Vec<&[usize]> = seen.iter().map(|s| &s.classes[..]).collect();
            panel.exemplars = Some(Exemplars::new(&predictions, &runs, &p.select_groups)?);
        }
        if let Some(path) = &self.pruned {
            let pruned = chain::load_network(path)?;
            set::check_shape(&p.data.select.sample, &pruned).map_err(|e| e.at(path))?;
            let sample = Sample {
                set: &p.select,
                groups: &p.select_groups,
                clusters: clusters.as_deref(),
                confidence: self.confidence,
            };
            let found = similarity(&dense, &pruned, sample, &cpu, &stop);
            panel.similarity = Some(found.map_err(|e| e.at(path))?);
        }
        if self.json {
            print_json(&panel)
        } else {
            say!("{}", panel_table(&panel).trim_end());
            Ok(())
        }
    }
}

/// Runs a file on raw rows.
fn see(path: &Path, x: &[f32], width: usize, outputs: usize) -> Result<Seen> {
    let file = MappedFile::open(path).at(path)?;
    let model = chain::open(file.bytes(), path)?;
    let found = model.output().elements();
    if found != outputs {
        return Err(Error::new(format!("the file has {found} outputs, the dense network {outputs}"))
            .at(path)
            .help("compare a file with the network that it was made from"));
    }
    let values = chain::outputs(&model, x, width).map_err(|e| e.at(path))?;
    let contract = Some(model.contract()).filter(|c| !c.is_empty()).map(Contract::parse).transpose();
    // int8 probabilities are too coarse to take a logarithm of.
    let softmax = model.ops().last().is_some_and(|o| o.code == op::SOFTMAX);
    Ok(Seen {
        classes: set::classes(&values, outputs),
        logits: (!softmax).then_some(values),
        input: contract.map_err(|e| e.at(path))?.map(|c| c.input),
    })
}
