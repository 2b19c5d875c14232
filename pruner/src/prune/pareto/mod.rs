//! The search for a Pareto front of small networks: cost against the metric of everybody and the excess drop of the worst
//! group, under the contract's budget.
//!
//! One short run of the schedule gives checkpoints (`breed`). A candidate is a width for every class of channels
//! (`space`), cut out of the nearest larger checkpoint and fine-tuned for a few steps. NSGA-II (`nsga`) breeds them,
//! the work folder ([`archive`]) keeps them, and the smallest that holds on selection rows after a full recovery is picked
//! (`finalists`).

pub mod archive;
mod breed;
mod finalists;
pub mod nsga;
mod space;

pub use archive::{Archive, Candidate, Recovered, Settings, Stand};
pub use finalists::Bar;

use super::schedule::{Search, can_be_met};
use super::select::{Candidates, Frame, Limits, Rules, select};
use super::tune::{Tuner, Tuning};
use crate::contract::{Budget, Contract, Limit, Metric};
use crate::couple::{Coupling, couple};
use crate::data::Rows;
use crate::error::{Error, Result};
use crate::fair::metrics::sign;
use crate::fair::{Predictions, Verdict, judge_selection, slack};
use crate::graph::Graph;
use crate::lower::Cost;
use crate::net::{Net, Split, set};
use crate::progress::{Stop, bar};
use crate::prune::Options;
use breed::{Checkpoint, seeded};
use nsga::{Evolution, Genome, evolve, fronts};
use space::Space;

/// What is searched for a small network of.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The dense network, folded.
    pub dense: &'a Graph,
    /// Training rows.
    pub train: Split<'a>,
    /// Selection rows.
    pub selection: Split<'a>,
    /// The same with their columns.
    pub rows: &'a Rows,
    /// The contract; its budget is an upper limit.
    pub contract: &'a Contract,
    /// How the checkpoints are made and children fine-tuned ([`short`]).
    pub options: &'a Options,
    /// What the file holds beside its layers.
    pub frame: &'a Frame,
}

/// The options of the run that gives the checkpoints: it ends as it goes on, without a recovery, so that what is cut out
/// of any of them has been trained alike. Blocks do not go with it.
pub fn short(options: &Options) -> Options {
    Options { recover: options.tune.max(1), blocks: None, ..options.clone() }
}

/// A search in its work folder.
pub struct Pareto<'a> {
    task: Task<'a>,
    shared: Search<'a>,
    path: Vec<Checkpoint>,
    /// The contract's budget.
    budget: Limits,
    /// The same; without any budget, the MACs of the dense network.
    limits: Limits,
    /// Where the run that gave the checkpoints ended.
    deepest: Limits,
    archive: Archive,
}

impl<'a> Pareto<'a> {
    /// Makes the checkpoints, or finds them in the archive. The run goes down to `reach` of the budget, or as near to it
    /// as the rules let the layers shrink.
    ///
    /// # Errors
    /// When the budget cannot be met, training failed, or the user stopped it.
    pub fn start(task: Task<'a>, reach: f64, mut archive: Archive, stop: &Stop) -> Result<Self> {
        let Task { dense, train, selection, contract, options, frame, .. } = task;
        let cost = frame.cost(dense)?;
        let budget = Limits::of(&contract.budget, &cost);
        let limits = match budget {
            Limits { macs: None, flash: None, ram: None } => Limits { macs: Some(cost.macs), ..budget },
            _ => budget,
        };
        let deepest = deepest(dense, &limits, reach, options, frame);
        let wanted = Contract { budget: as_budget(&deepest), ..contract.clone() };
        let shared = Search::new(dense, train, selection, &wanted, options, frame, stop)?;
        if archive.history().is_empty() {
            let run = shared.run(stop)?;
            if stop.is_set() {
                return Err(Error::new("stopped before there were checkpoints to search from"));
            }
            archive.keep_path(&run.path, &run.history)?;
        }
        // Read back even where they were just made, so that a search that goes on begins from the very same.
        let path = archive
            .path()?
            .into_iter()
            .enumerate()
            .map(|(i, g)| Checkpoint::new(g, i, &shared))
            .collect::<Result<_>>()?;
        Ok(Pareto { task, shared, path, budget, limits, deepest, archive })
    }

    /// Lets candidates evolve, or goes on with it. False when the user stopped it.
    ///
    /// # Errors
    /// When nothing can shrink, training failed, or the folder cannot be written.
    pub fn evolve(&mut self, how: Evolution, stop: &Stop) -> Result<bool> {
        let (shared, task, limits) = (&self.shared, &self.task, self.limits);
        let space = Space::new(task.dense, &shared.coupling, &shared.rules, task.frame);
        let levels = space.levels();
        if levels.is_empty() {
            return Err(Error::new("no layer can have fewer channels: there is nothing to search")
                .help("`evenkeel inspect` says why; --min-share and --round-to may be too large"));
        }
        let start = self.first(&space, how.population)?;
        let progress =
            bar("search", how.population.saturating_mul(how.generations + 1).saturating_mul(task.options.tune));
        let (archive, path) = (&mut self.archive, &self.path);
        let repair = |genome: Genome, rng: &mut _| space.repair(genome, &limits, rng);
        let evaluate = |genome: &Genome| {
            let widths = space.widths(genome);
            if let Some(known) = archive.find(&widths) {
                progress.inc(task.options.tune as u64);
                return Ok(Some(objectives(known)));
            }
            let (start, cut) = breed::cut(path, &widths, &shared.widths, &shared.rules)?;
            let mut rng = seeded(task.options.seed, &widths);
            let graph =
                Tuner::new(shared, stop, &progress).tune(&cut, Tuning::between(task.options.tune, false), &mut rng)?;
            if stop.is_set() {
                // Half a fine-tuning would be compared with whole ones.
                return Ok(None);
            }
            let Cost { macs, flash, ram } = task.frame.cost(&graph)?;
            let candidate = Candidate {
                number: archive.candidates().len(),
                start,
                macs,
                flash,
                ram,
                cost: rounded(share(&limits, &Cost { macs, flash, ram })),
                stand: stand(task, shared, &graph)?,
                widths,
                recovered: None,
            };
            let point = objectives(&candidate);
            archive.keep(&graph, candidate)?;
            Ok(Some(point))
        };
        evolve(how, &levels, start, repair, evaluate)?;
        progress.finish_and_clear();
        Ok(!stop.is_set())
    }

    /// What the method itself would choose at costs from the budget down to where the checkpoints end, and the checkpoints.
    fn first(&self, space: &Space, population: usize) -> Result<Vec<Genome>> {
        let (shared, frame) = (&self.shared, self.task.frame);
        let count = population.div_ceil(2);
        let mut first = Vec::new();
        for k in 0..count {
            let limits = between(&self.limits, &self.deepest, k as f64 / (count - 1).max(1) as f64);
            // The last checkpoint that is still too large for these limits.
            let too_large = |c: &&Checkpoint| frame.cost(&c.graph).is_ok_and(|cost| !limits.hold(&cost));
            let Some(from) = self.path.iter().rev().find(too_large).or(self.path.first()) else { break };
            let candidates = Candidates {
                graph: &from.graph,
                coupling: &from.coupling,
                scores: &from.scores,
                dense_widths: &shared.widths,
            };
            let keep = select(&candidates, &limits, &shared.rules, frame)?;
            first.push(space.genome(&keep.iter().map(Vec::len).collect::<Vec<_>>()));
        }
        first.extend(self.path.iter().map(|c| space.genome(&c.widths)));
        Ok(first)
    }

    /// The archive, with all that was evaluated.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The same, to note in it what is judged.
    pub fn archive_mut(&mut self) -> &mut Archive {
        &mut self.archive
    }
}

/// Numbers of the candidates that none dominates, the cheapest first.
pub fn front(candidates: &[Candidate]) -> Vec<usize> {
    let points: Vec<Vec<f64>> = candidates.iter().map(objectives).collect();
    let mut front = fronts(&points).into_iter().next().unwrap_or_default();
    front.sort_by(|&a, &b| candidates[a].cost.total_cmp(&candidates[b].cost).then(a.cmp(&b)));
    front
}

/// What is searched over, less is better: cost, what the metric of everybody is short of, excess drop. (Estimates: the
/// bounds are what the pick is made by; as objectives they would chase the rows that widen them.)
fn objectives(c: &Candidate) -> Vec<f64> {
    vec![c.cost, -c.stand.overall, c.stand.max_excess_drop.max(0.0)]
}

/// Cost as a share of the limits, the mean over those that there are: whatever is limited counts, and less of any is
/// less.
fn share(limits: &Limits, cost: &Cost) -> f64 {
    let lines = limits.lines(cost);
    let sum: f64 = lines.iter().map(|(_, limit, value)| *value as f64 / (*limit).max(1) as f64).sum();
    sum / lines.len().max(1) as f64
}

/// Numbers with few decimals are the same when they come back from a file.
fn rounded(v: f64) -> f64 {
    (v * 1e9).round() / 1e9
}

/// Where a network stands on the selection rows, in f32.
fn stand(task: &Task, shared: &Search, graph: &Graph) -> Result<Stand> {
    let logits = task.selection.set.logits(&Net::new(graph, &task.options.device), &Stop::default())?;
    let now = set::classes(&logits, graph.output_shape().len());
    let predictions = Predictions { dense: shared.dense_select.clone(), pruned: now.clone(), int8: now };
    Ok(Stand::of(&judge_selection(task.rows, task.contract, &predictions)?))
}

impl Stand {
    /// Where a verdict on selection rows leaves a network.
    pub fn of(v: &Verdict) -> Stand {
        let metric: Metric = v.metric;
        let signed = |v: Option<f64>| rounded(v.unwrap_or(0.0) * sign(metric));
        let overall = signed(v.overall.int8);
        let excess = v.groups.iter().filter_map(|g| g.excess_drop.value).fold(f64::NEG_INFINITY, f64::max);
        Stand {
            overall,
            worst: v.worst_group.as_ref().map_or(overall, |w| signed(Some(w.int8))),
            drop: rounded(signed(v.overall.dense) - overall),
            max_excess_drop: if excess.is_finite() { rounded(excess) } else { 0.0 },
            slack: slack(v).map(rounded),
            verdict: v.verdict,
        }
    }
}

/// Limits part of the way from one to others.
fn between(from: &Limits, to: &Limits, t: f64) -> Limits {
    let at = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a - ((a - b.min(a)) as f64 * t) as u64);
    Limits { macs: at(from.macs, to.macs), flash: at(from.flash, to.flash), ram: at(from.ram, to.ram) }
}

/// The limits times `reach`, or as near to that as can be met.
fn deepest(dense: &Graph, limits: &Limits, reach: f64, options: &Options, frame: &Frame) -> Limits {
    let coupling: Coupling = couple(dense);
    let rules = Rules { round_to: options.round_to, min_share: options.min_share, policy: options.method.policy };
    let none = Limits { macs: limits.macs.map(|_| 0), flash: limits.flash.map(|_| 0), ram: limits.ram.map(|_| 0) };
    let steps = (0..10).map(|k| between(limits, &none, (1.0 - reach) * (1.0 - f64::from(k) / 10.0)));
    let mut met = steps.filter(|l| can_be_met(dense, &coupling, l, &rules, frame).is_ok());
    met.next().unwrap_or(*limits)
}

fn as_budget(limits: &Limits) -> Budget {
    let limit = |v: Option<u64>| v.map(Limit::Absolute);
    Budget { macs: limit(limits.macs), flash: limit(limits.flash), ram: limit(limits.ram), ..Budget::default() }
}

#[cfg(test)]
mod tests;
