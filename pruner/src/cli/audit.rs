//! `evenkeel audit`: the pre-check on the dense model.

use super::{InputFlags, print_json};
use clap::{ArgGroup, Args};
use evenkeel::chain::{self, Prepared};
use evenkeel::contract::{Contract, Metric};
use evenkeel::data::check_cluster;
use evenkeel::error::{Error, Result};
use evenkeel::fair;
use evenkeel::fair::risk::audit_table;
use evenkeel::net::device;
use evenkeel::precheck::precheck;
use evenkeel::progress::Stop;
use std::path::PathBuf;

/// Says which groups of people to look at first before pruning, and why, from the dense model alone.
#[derive(Args)]
#[command(
    group = ArgGroup::new("question").required(true).args(["contract", "groups"]),
    after_help = "Examples:\n  evenkeel audit model.onnx --data set.npz --contract contract.toml\n  evenkeel audit model.onnx --data set.npz --groups gender,age_band --cluster subject"
)]
pub struct Audit {
    /// The dense ONNX network
    model: PathBuf,
    /// The data set (.npz); its rows of `val` are looked at
    #[arg(long)]
    data: PathBuf,
    /// A contract (.toml): groups, metric, confidence, cluster and input are taken from it
    #[arg(long)]
    contract: Option<PathBuf>,
    /// Group columns instead, separated by commas; a*b is an intersection
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// What is measured per group: accuracy, macro_recall, recall:<class> or fpr:<class>
    #[arg(long, conflicts_with = "contract")]
    metric: Option<String>,
    /// Column of rows that are not independent, such as the rows of one person
    #[arg(long, conflicts_with = "contract")]
    cluster: Option<String>,
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
        let contract = self.contract.as_deref().map_or_else(|| self.question(), Contract::load)?;
        let graph = chain::load_network(&self.model)?;
        let fairness = &contract.fairness;
        let p = Prepared::load(&self.data, &graph, &self.input.apply(&contract.input)?, &fairness.groups)?;
        fair::check(&p.data.select, &contract).map_err(|e| e.at(&self.data))?;
        let (cpu, stop) = (device("cpu")?, Stop::on_ctrl_c()?);
        let a = precheck(&graph, &p, fairness, &cpu, self.seed, &stop).map_err(|e| e.at(&self.data))?;
        if self.json {
            print_json(&a)
        } else {
            say!("{}", audit_table(&a).trim_end());
            Ok(())
        }
    }

    /// What the flags ask, as the contract that would ask the same. The pre-check has no use for its limit.
    fn question(&self) -> Result<Contract> {
        let metric = self.metric.clone().map(Metric::try_from).transpose().map_err(Error::new)?;
        let groups = toml::Value::from(self.groups.clone());
        let mut c = Contract::parse(&format!("[fairness]\ngroups = {groups}\nmax_excess_drop = 0.5\n"))?;
        c.fairness.metric = metric.unwrap_or_default();
        check_cluster(&self.groups, self.cluster.as_deref())?;
        c.fairness.cluster.clone_from(&self.cluster);
        Ok(c)
    }
}
