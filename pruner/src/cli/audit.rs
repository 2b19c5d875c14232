//! `evenkeel audit`: the pre-check on the dense model.

use super::{InputFlags, print_json};
use clap::Args;
use evenkeel::chain::{self, Prepared};
use evenkeel::contract::InputNorm;
use evenkeel::error::Result;
use evenkeel::fair::audit::{AuditInput, audit, audit_table};
use evenkeel::net::{Net, Split, device};
use evenkeel::progress::Stop;
use evenkeel::prune::score::gradient_norms;
use std::path::PathBuf;

/// Says which groups of people are at risk under pruning, and why, from the dense model alone.
#[derive(Args)]
#[command(after_help = "Example: evenkeel audit model.onnx --data set.npz --groups gender,age_band")]
pub struct Audit {
    /// The dense ONNX network
    model: PathBuf,
    /// The data set (.npz); its rows of `val` are looked at
    #[arg(long)]
    data: PathBuf,
    /// Group columns, separated by commas; a*b is an intersection
    #[arg(long, value_delimiter = ',', required = true)]
    groups: Vec<String>,
    #[command(flatten)]
    input: InputFlags,
    /// Seed of the rows that gradients are taken on
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub fn run(&self) -> Result<()> {
        let graph = chain::load_network(&self.model)?;
        let p = Prepared::load(&self.data, &graph, &self.input.apply(&InputNorm::default())?, &self.groups)?;
        let (cpu, stop) = (device("cpu")?, Stop::on_ctrl_c()?);
        let logits = p.select.logits(&Net::new(&graph, &cpu), &stop)?;
        let norms = gradient_norms(&graph, Split { set: &p.select, groups: &p.select_groups }, &cpu, self.seed, &stop)?;
        let classes = graph.output_shape().len();
        let a = audit(AuditInput {
            logits: &logits,
            y: &p.select.y,
            classes,
            groups: &p.select_groups,
            grad_norms: Some(&norms),
        })?;
        if self.json {
            print_json(&a)
        } else {
            say!("{}", audit_table(&a).trim_end());
            Ok(())
        }
    }
}
