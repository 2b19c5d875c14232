//! `evenkeel plan`: how much verdict data to collect.

use super::print_json;
use clap::Args;
use evenkeel::contract::{Contract, Fairness, Metric};
use evenkeel::data;
use evenkeel::error::{Error, Result};
use evenkeel::fair::simulate::power::{MOST, Plan, needed, power};
use evenkeel::fair::table::align;
use serde::Serialize;
use std::path::PathBuf;

/// Says how many rows (or people) of each group a verdict needs, before they are collected.
///
/// The answer is for a model that deserves a PASS: flips are alike in all groups. It comes from simulated verdicts with
/// the code that judges.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel plan --groups 7 --bound 0.02 --churn 0.05\n         evenkeel plan --contract contract.toml --data pilot.npz --churn 0.05 --icc 0.1"
)]
pub struct PlanArgs {
    /// Number of groups of equal size
    #[arg(long, default_value_t = 2, conflicts_with_all = ["shares", "data"])]
    groups: usize,
    /// Relative sizes of the groups, separated by commas
    #[arg(long, value_delimiter = ',', conflicts_with = "data")]
    shares: Vec<f64>,
    /// A contract: gives bound, confidence, and with --data the groups and clusters
    #[arg(long)]
    contract: Option<PathBuf>,
    /// A data set of the same kind (.npz): gives the shares of the groups and the size of clusters
    #[arg(long, requires = "contract")]
    data: Option<PathBuf>,
    /// Largest excess drop that the verdict must exclude [default: the contract's, or 0.02]
    #[arg(long)]
    bound: Option<f64>,
    /// Share of rows that the dense and the small model predict differently as to right and wrong
    #[arg(long, default_value_t = 0.05)]
    churn: f64,
    /// What everybody loses, dense to small: harmful less helpful flips
    #[arg(long, default_value_t = 0.01)]
    drop: f64,
    /// Rows of a cluster (a person), where rows are not independent
    #[arg(long, conflicts_with = "data")]
    cluster_size: Option<usize>,
    /// Correlation of the outcomes of two rows of one cluster
    #[arg(long, default_value_t = 0.05)]
    icc: f64,
    /// Share of each group's rows whose label of the group may be wrong [default: the contract's, or 0]
    #[arg(long, value_name = "SHARE")]
    group_noise: Option<f64>,
    /// Confidence of the verdict [default: the contract's, or 0.95]
    #[arg(long)]
    confidence: Option<f64>,
    /// Probability of a PASS that is wanted
    #[arg(long, default_value_t = 0.8)]
    power: f64,
    /// Simulated verdicts for each size that is tried
    #[arg(long, default_value_t = 300)]
    runs: usize,
    /// Seed of the simulation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Fewest verdicts that say anything of a probability.
const FEWEST: usize = 20;

/// What a contract asks for beside the excess drop of accuracy, which is all that is planned for.
fn not_planned(f: &Fairness) -> Option<String> {
    let metric = (f.metric != Metric::Accuracy).then(|| format!("metric {}, which counts fewer rows", f.metric));
    let gap = f.max_gap.map(|_| "max_gap".to_owned());
    let floor = f.min_metric.map(|_| "min_metric".to_owned());
    let more: Vec<String> = [metric, gap, floor].into_iter().flatten().collect();
    (!more.is_empty()).then(|| {
        format!(
            "The contract has {} as well: this plan is for the excess drop of accuracy alone, so take it as the least.",
            more.join(", ")
        )
    })
}

/// One entry of the contract, or the groups of the command line.
#[derive(Serialize)]
struct Answer {
    entry: String,
    groups: usize,
    /// `rows`, or the column of clusters.
    unit: String,
    /// Of the smallest group; none when more than the most that are tried.
    smallest: Option<usize>,
    /// Of each group, by their order in the data.
    each: Vec<(String, usize)>,
    power: Option<f64>,
    /// The largest excess drop that wrong labels can hide, however many rows there are.
    hidden: f64,
}

/// An entry of the contract to plan for.
struct Entry {
    name: String,
    groups: Vec<String>,
    /// What is counted: rows, or the column of clusters.
    unit: String,
    plan: Plan,
}

impl PlanArgs {
    pub fn run(&self) -> Result<()> {
        if !(0.0 < self.power && self.power < 1.0) || self.runs < FEWEST {
            return Err(Error::new(format!("--power must lie between 0 and 1, and --runs must be at least {FEWEST}")));
        }
        if !(self.churn >= self.drop.abs() && self.churn <= 0.5) {
            return Err(Error::new(
                "--churn must be at least --drop, for a model that loses more than it changes cannot be, and at most 0.5",
            ));
        }
        let contract = self.contract.as_ref().map(|p| Contract::load(p)).transpose()?;
        let fairness = contract.as_ref().map(|c| &c.fairness);
        let base = Plan {
            flips: [(self.churn + self.drop) / 2.0, (self.churn - self.drop) / 2.0],
            bound: self.bound.or(fairness.map(|f| f.max_excess_drop)).unwrap_or(0.02),
            confidence: self.confidence.or(fairness.map(|f| f.confidence)).unwrap_or(0.95),
            icc: self.icc,
            noise: self.group_noise.or(fairness.map(|f| f.group_noise)).unwrap_or(0.0),
            cluster: self.cluster_size.map(|n| (n, n)),
            ..Plan::default()
        };
        let answers =
            self.entries(&contract, &base)?.into_iter().map(|e| self.answer(e)).collect::<Result<Vec<_>>>()?;
        if self.json {
            return print_json(&answers);
        }
        answers.iter().for_each(|a| self.print(a, &base));
        if let Some(words) = fairness.and_then(not_planned) {
            say!("{words}");
        }
        Ok(())
    }

    /// Name, names of groups, unit and plan of each entry.
    fn entries(&self, contract: &Option<Contract>, base: &Plan) -> Result<Vec<Entry>> {
        let (Some(contract), Some(path)) = (contract, &self.data) else {
            let shares = if self.shares.is_empty() { vec![1.0; self.groups] } else { self.shares.clone() };
            let names = (1..=shares.len()).map(|i| format!("group {i}")).collect();
            let unit = if base.cluster.is_some() { "clusters" } else { "rows" };
            let plan = Plan { shares, ..base.clone() };
            return Ok(vec![Entry { name: "groups".to_owned(), groups: names, unit: unit.to_owned(), plan }]);
        };
        let loaded = data::load(path)?;
        let rows = if loaded.verdict.is_empty() { &loaded.select } else { &loaded.train };
        let set = data::parse_groups(rows, &contract.fairness.groups).map_err(|e| e.at(path))?;
        let clusters =
            contract.fairness.cluster.as_deref().map(|c| data::groups::cluster_codes(rows, Some(c))).transpose();
        let clusters = clusters.map_err(|e| e.at(path))?;
        let size = clusters.as_ref().map(|codes| {
            let different: std::collections::BTreeSet<_> = codes.iter().collect();
            (codes.len() as f64 / different.len().max(1) as f64).round().max(1.0) as usize
        });
        let unit = contract.fairness.cluster.clone().unwrap_or_else(|| "rows".to_owned());
        let entries: Vec<Vec<usize>> = (0..contract.fairness.groups.len()).map(|k| set.of_entry(k)).collect();
        let all: usize = entries.iter().map(Vec::len).sum();
        let plan = |(k, groups): (usize, Vec<usize>)| {
            let of = |g: &usize| &set.groups[*g];
            // All entries share the error that the confidence allows, each as many parts as it has groups.
            let confidence = 1.0 - (1.0 - base.confidence) * groups.len() as f64 / all.max(1) as f64;
            let shares = groups.iter().map(|g| of(g).rows.len() as f64).collect();
            let names = groups.iter().map(|g| of(g).name.clone()).collect();
            let cluster = size.map(|n| (n, n));
            Entry {
                name: contract.fairness.groups[k].clone(),
                groups: names,
                unit: unit.clone(),
                plan: Plan { shares, confidence, cluster, ..base.clone() },
            }
        };
        Ok(entries.into_iter().enumerate().map(plan).collect())
    }

    fn answer(&self, Entry { name: entry, groups: names, unit, plan }: Entry) -> Result<Answer> {
        let smallest = needed(&plan, self.power, self.runs, self.seed)?;
        let reached = match smallest {
            // Other draws than those that the answer was found on.
            Some(n) => Some(power(&plan, n, self.runs, self.seed + 1)?),
            None => None,
        };
        let least = plan.shares.iter().copied().fold(f64::INFINITY, f64::min);
        let sized = |n: usize| plan.shares.iter().map(move |s| (s / least * n as f64).round() as usize);
        let each = smallest.map(|n| names.into_iter().zip(sized(n)).collect()).unwrap_or_default();
        Ok(Answer { entry, groups: plan.shares.len(), unit, smallest, each, power: reached, hidden: plan.hidden() })
    }

    fn print(&self, a: &Answer, base: &Plan) {
        let percent = |v: f64| format!("{:.0} %", 100.0 * v);
        if a.smallest.is_none() && a.hidden >= base.bound {
            return say!(
                "{}: no amount of data is enough. Where {} of a group's labels may be wrong, they can hide an excess drop of \
                 {:.1} points, and the bound is {} points; better labels, less churn or a larger bound is what helps",
                a.entry,
                format_args!("{:.1} %", 100.0 * base.noise),
                100.0 * a.hidden,
                100.0 * base.bound
            );
        }
        let Some(_) = a.smallest else {
            say!(
                "{}: more than {MOST} {} in the smallest group; a larger bound or fewer groups is what helps",
                a.entry,
                a.unit
            );
            return;
        };
        let head = vec![a.entry.clone(), a.unit.clone()];
        let rows = a.each.iter().map(|(name, n)| vec![name.clone(), n.to_string()]);
        say!("{}", align(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
        say!(
            "With these, a model that harms no group more than others passes a bound of {} points with probability {} (seen: {}), \
             at {} confidence for all {} groups at once.\n",
            100.0 * base.bound,
            percent(self.power),
            a.power.map_or_else(String::new, percent),
            percent(base.confidence),
            a.groups
        );
    }
}
