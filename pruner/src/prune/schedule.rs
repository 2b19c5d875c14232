//! The schedule: from the dense network to one that meets the budget.

use super::blocks::choose::{Grid, choose};
use super::blocks::matrices::{Matrix, check, matrices};
use super::blocks::{self, Pattern};
use super::gated::{Learning, bifp, ffw};
use super::recipe::{Kind, Recipe, When};
use super::score::{Scorer, Scoring, magnitude};
use super::select::{Candidates, Frame, Limits, Policy, Rules, select};
use super::shrink::shrink;
use super::standing::{Standing, standing};
use super::terms::hints::Hint;
use super::terms::pw_loss::PwLoss;
use super::tune::{Tuner, Tuning};
use crate::contract::{Contract, Metric};
use crate::couple::{Coupling, couple, widths};
use crate::error::{Error, Result};
use crate::fair::metrics::value;
use crate::graph::Graph;
use crate::lower::{Cost, Target};
use crate::net::term::stages;
use crate::net::train::row_weights;
use crate::net::{Net, Set, Split, set};
use crate::progress::{Stop, bar};
use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// How to prune.
#[derive(Clone, Debug)]
pub struct Options {
    /// The method.
    pub method: Recipe,
    /// Pruning steps of the cubic schedule.
    pub steps: usize,
    /// Optimiser steps after each of them but the last.
    pub tune: usize,
    /// Optimiser steps of the recovery at the end.
    pub recover: usize,
    /// Rows per optimiser step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Channels are left in multiples of this.
    pub round_to: usize,
    /// Every layer keeps at least this share of its channels.
    pub min_share: f64,
    /// Give folded convolutions their normalisation back in the recovery.
    pub restore_norm: bool,
    /// Blocks that become zero after the channels are gone.
    pub blocks: Option<BlockOptions>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where to train.
    pub device: Device,
}

/// Which blocks become zero, and in how many steps.
#[derive(Clone, Copy, Debug)]
pub struct BlockOptions {
    /// Which of them.
    pub pattern: Pattern,
    /// Steps, each followed by fine-tuning.
    pub steps: usize,
}

/// Where the network stood on the selection rows after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `dense`, `step 1` …, `blocks 1` …, `recovery`.
    pub phase: String,
    /// Cost of the network, without the blocks that are zero.
    pub macs: u64,
    /// Bytes of the file.
    pub flash: u64,
    /// Bytes of arena.
    pub ram: u64,
    /// Metric over all selection rows, f32.
    pub overall: f64,
    /// The worst group's metric.
    pub worst: f64,
    /// Largest excess drop.
    pub max_excess_drop: f64,
}

/// What pruning gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The small network, folded.
    pub graph: Graph,
    /// Cost of the dense network, and of the small one with all its blocks: its file costs no more.
    pub cost: (Cost, Cost),
    /// The budget in absolute units.
    pub limits: Limits,
    /// Where it stood after every step, on selection rows.
    pub history: Vec<Step>,
    /// The network after every step, folded: the dense one first.
    pub path: Vec<Graph>,
    /// Name and width of every class before and after.
    pub widths: Vec<(String, usize, usize)>,
    /// Name of every layer with blocks, how many it has, and how many are zero.
    pub blocks: Vec<(String, usize, usize)>,
    /// True when the user stopped it before the budget was met. Stopped in the recovery, the best network so
    /// far is a whole result.
    pub stopped: bool,
    /// True when the user stopped it before the recovery was over.
    pub cut_short: bool,
}

/// Prunes a folded network without softmax, for a file with this frame.
///
/// # Errors
/// When the budget cannot be met, when no row counts for the contract's metric, or when training failed.
pub fn prune(
    dense: &Graph,
    train: Split,
    selection: Split,
    contract: &Contract,
    options: &Options,
    frame: &Frame,
    stop: &Stop,
) -> Result<Outcome> {
    Search::new(dense, train, selection, contract, options, frame, stop)?.run(stop)
}

/// An error where a metric says nothing of the rows of a split.
fn check_counted(metric: Metric, split: &str, rows: &Set) -> Result<()> {
    let all: Vec<usize> = (0..rows.len()).collect();
    match value(metric, &rows.y, &rows.y, &all) {
        Some(_) => Ok(()),
        None => Err(Error::new(format!("no row of split `{split}` counts for the metric {metric}"))
            .help("put rows of every class into every split, or choose another metric")),
    }
}

/// An error where even the smallest widths that the rules allow break a limit.
pub(super) fn can_be_met(
    dense: &Graph,
    coupling: &Coupling,
    limits: &Limits,
    rules: &Rules,
    frame: &Frame,
) -> Result<()> {
    let scores = magnitude(dense, coupling);
    let uniform = Rules { policy: Policy::Uniform, ..*rules };
    let candidates = Candidates { graph: dense, coupling, scores: &scores, dense_widths: &widths(coupling) };
    select(&candidates, limits, &uniform, frame).map(|_| ())
}

/// Finds out from the dense network alone, before any time is spent, whether pruning can begin: the budget can be met, and
/// the method and the blocks have something to act on.
///
/// # Errors
/// Names the limits that break and the layers that take most, the part of the method, or the pattern.
pub fn can_begin(dense: &Graph, contract: &Contract, options: &Options, frame: &Frame) -> Result<()> {
    let limits = Limits::of(&contract.budget, &frame.cost(dense)?);
    can_be_met(dense, &couple(dense), &limits, &rules(options), frame)?;
    fits(dense, options)?;
    options.blocks.map_or(Ok(()), |blocks| check(dense, frame.target, blocks.pattern))
}

fn rules(options: &Options) -> Rules {
    Rules { round_to: options.round_to, min_share: options.min_share, policy: options.method.policy }
}

/// An error where a part of the method has nothing to act on in the network, or no steps to act in.
fn fits(dense: &Graph, options: &Options) -> Result<()> {
    let method = &options.method;
    if method.has_hints() && dense.last_layer().is_none() {
        return Err(Error::new(format!(
            "method `{method}` compares what the last layer reads, and no single layer makes the result"
        ))
        .help("use kd, which compares results"));
    }
    let (first, _, last) = shares(options);
    if learns(options) && (options.tune == 0 || options.recover <= first + last + options.tune) {
        return Err(Error::new(format!(
            "method `{method}` learns which channels go in {} steps, and of the {} of the recovery none are left",
            options.tune, options.recover
        ))
        .help("raise --tune over 0, and --recover well over --tune"));
    }
    if method.has(Kind::Hint(Hint::Attention)) && stages(dense).is_empty() {
        return Err(Error::new("method `at` compares positions, and the network has no height or width")
            .help("use sp or pkt, which compare rows, or kd"));
    }
    if method.last_layer && dense.last_layer().is_none() {
        return Err(Error::new("method `last-layer`: the network's result is not made by a single layer")
            .help("leave last-layer out"));
    }
    Ok(())
}

/// A step of the schedule, and how far it goes.
enum Phase {
    Channels(f64),
    Blocks(Pattern, f64),
}

/// All steps with their names: channels first, so that blocks are chosen in what is left of the layers.
fn phases(o: &Options) -> Vec<(String, Phase)> {
    let way = |step: usize, steps: usize| 1.0 - (1.0 - step as f64 / steps as f64).powi(3);
    let channels = (1..=o.steps).map(|s| (format!("step {s}"), Phase::Channels(way(s, o.steps))));
    let blocks = o
        .blocks
        .iter()
        .flat_map(|b| (1..=b.steps).map(move |s| (format!("blocks {s}"), Phase::Blocks(b.pattern, way(s, b.steps)))));
    channels.chain(blocks).collect()
}

/// How many of the steps of the recovery go to constraints on the dense network, to the recovery, and to the last layer
/// alone: all methods train for as many in all. Those that learn masks or gates do so before the recovery as well, where
/// others do not tune (unless blocks follow).
pub(super) fn shares(o: &Options) -> (usize, usize, usize) {
    let learnt = if learns(o) && o.blocks.is_none() { o.tune } else { 0 };
    let before = if o.method.when == When::Before { o.recover / 3 } else { 0 };
    let last = if o.method.last_layer { o.recover / 4 } else { 0 };
    (before, o.recover.saturating_sub(before + last + learnt).max(1), last)
}

/// Whether channels are chosen by gates that are learnt.
fn learns(o: &Options) -> bool {
    matches!(o.method.scorer, Scorer::Bifp | Scorer::Ffw)
}

/// What all steps of the schedule share.
pub(super) struct Search<'a> {
    pub(super) metric: Metric,
    /// On every group's excess drop.
    pub(super) bound: f64,
    /// The dense network, its classes, their widths, and what it costs.
    pub(super) dense: &'a Graph,
    pub(super) coupling: Coupling,
    pub(super) widths: Vec<usize>,
    pub(super) cost: Cost,
    /// Logits and classes of the dense network on training rows.
    pub(super) teacher: Vec<f32>,
    pub(super) dense_train: Vec<usize>,
    /// Its predictions on selection rows.
    pub(super) dense_select: Vec<usize>,
    pub(super) row_weight: Vec<f32>,
    /// Weights and targets of the training rows, where the method has some of its own.
    pub(super) pw: Option<PwLoss>,
    pub(super) limits: Limits,
    pub(super) rules: Rules,
    pub(super) train: Split<'a>,
    pub(super) selection: Split<'a>,
    pub(super) options: &'a Options,
    pub(super) frame: &'a Frame,
}

impl<'a> Search<'a> {
    /// What the steps need of the dense network, for a budget that can be met.
    pub(super) fn new(
        dense: &'a Graph,
        train: Split<'a>,
        selection: Split<'a>,
        contract: &Contract,
        options: &'a Options,
        frame: &'a Frame,
        stop: &Stop,
    ) -> Result<Self> {
        for (name, rows) in [("train", train.set), ("val", selection.set)] {
            check_counted(contract.fairness.metric, name, rows)?;
        }
        let (cost, coupling) = (frame.cost(dense)?, couple(dense));
        let limits = Limits::of(&contract.budget, &cost);
        can_begin(dense, contract, options, frame)?;
        let rules = rules(options);
        let net = Net::new(dense, &options.device);
        let classes = dense.output_shape().len();
        let teacher = train.set.logits(&net, stop)?;
        Ok(Search {
            metric: contract.fairness.metric,
            bound: contract.fairness.max_excess_drop,
            dense_select: set::classes(&selection.set.logits(&net, stop)?, classes),
            dense_train: set::classes(&teacher, classes),
            row_weight: row_weights(contract.fairness.metric, &train.set.y, classes),
            pw: options.method.has(Kind::PwLoss).then(|| PwLoss::new(&teacher, &train.set.y, classes)),
            teacher,
            dense,
            widths: widths(&coupling),
            coupling,
            cost,
            limits,
            rules,
            train,
            selection,
            options,
            frame,
        })
    }

    pub(super) fn run(&self, stop: &Stop) -> Result<Outcome> {
        let o = self.options;
        let mut rng = ChaCha8Rng::seed_from_u64(o.seed);
        let phases = phases(o);
        let (first, recover, last) = shares(o);
        let progress = bar("prune", phases.len().saturating_sub(1).saturating_mul(o.tune).saturating_add(o.recover));
        let mut tuner = Tuner::new(self, stop, &progress);
        let mut history = vec![self.stand("dense".into(), self.dense)?];
        let mut path = vec![self.dense.clone()];
        let mut graph = self.dense.clone();
        if first > 0 {
            graph = tuner.tune(&graph, Tuning::before(first), &mut rng)?;
        }
        for (i, (name, phase)) in phases.iter().enumerate() {
            if stop.is_set() {
                break;
            }
            graph = match phase {
                Phase::Channels(way) => self.thin(&graph, *way, &mut rng, stop)?,
                Phase::Blocks(pattern, way) => self.zero_blocks(graph, *pattern, *way, &mut rng)?,
            };
            let ends = i + 1 == phases.len();
            let hold = matches!(phase, Phase::Blocks(..));
            // Masks and gates were learnt with as many steps as other methods tune for.
            let tuned = matches!(phase, Phase::Channels(_)) && learns(o);
            if ends || !tuned {
                let how = if ends { Tuning::recovery(recover, hold) } else { Tuning::between(o.tune, hold) };
                graph = tuner.tune(&graph, how, &mut rng)?;
            }
            if ends && last > 0 && !stop.is_set() {
                graph = tuner.tune(&graph, Tuning::last_layer(last, hold), &mut rng)?;
            }
            history.push(self.stand(if ends { "recovery".into() } else { name.clone() }, &graph)?);
            path.push(graph.clone());
        }
        progress.finish_and_clear();
        let small = couple(&graph);
        let widths = self.coupling.classes.iter().zip(&small.classes).filter(|(before, _)| before.frozen.is_none());
        Ok(Outcome {
            cost: (self.cost, self.frame.cost(&graph)?),
            limits: self.limits,
            stopped: history.len() <= phases.len(),
            cut_short: stop.is_set(),
            blocks: self.blocks(&graph)?,
            history,
            path,
            widths: widths.map(|(before, after)| (before.name.clone(), before.channels, after.channels)).collect(),
            graph,
        })
    }

    /// Removes channels until the limits hold that far on the way from the dense network to the budget.
    fn thin(&self, graph: &Graph, way: f64, rng: &mut ChaCha8Rng, stop: &Stop) -> Result<Graph> {
        let (o, coupling, limits) = (self.options, couple(graph), self.limits.on_the_way(&self.cost, way));
        let learning = Learning {
            graph,
            coupling: &coupling,
            dense_widths: &self.widths,
            train: self.train,
            row_weight: &self.row_weight,
            limits,
            rules: self.rules,
            frame: self.frame,
            steps: o.tune,
            batch: o.batch,
            rate: o.rate,
            device: &o.device,
        };
        let mut learnt = None;
        let scores = match o.method.scorer {
            Scorer::Bifp => {
                let (graph, scores) = bifp::joint(&learning, rng, stop)?;
                learnt = Some(graph);
                scores
            }
            Scorer::Ffw => ffw::learn(&learning, rng, stop)?,
            scorer => self.scoring(graph, &coupling).scores(scorer, rng)?,
        };
        let graph = learnt.as_ref().unwrap_or(graph);
        let candidates = Candidates { graph, coupling: &coupling, scores: &scores, dense_widths: &self.widths };
        let keep = select(&candidates, &limits, &self.rules, self.frame)?;
        shrink(graph, &coupling, &keep)
    }

    pub(super) fn scoring<'s>(&'s self, graph: &'s Graph, coupling: &'s Coupling) -> Scoring<'s> {
        Scoring {
            graph,
            coupling,
            train: self.train,
            dense: &self.dense_train,
            row_weight: &self.row_weight,
            pw: self.pw.as_ref(),
            device: &self.options.device,
        }
    }

    /// Makes blocks zero, part of the way to the pattern: for the worst group by gate gradients where the method needs to
    /// know the groups, else by magnitude, and then in every row alike.
    fn zero_blocks(&self, mut graph: Graph, pattern: Pattern, way: f64, rng: &mut ChaCha8Rng) -> Result<Graph> {
        let found = matrices(&graph, self.frame.target, pattern)?;
        let method = &self.options.method;
        let scores = if method.needs_labels() {
            blocks::score::taylor(&graph, &found, self.train, &self.options.device, rng)?
        } else {
            blocks::score::magnitude(&graph, &found)
        };
        let grid = |m: &Matrix| {
            let [down, across] = m.grid();
            Grid { down, across, cost: m.macs_of_tile(), pays_from: m.pays_from, zero: m.zeros(&graph) }
        };
        let grids: Vec<Grid> = found.iter().map(grid).collect();
        for (matrix, zero) in found.iter().zip(choose(&grids, &scores, pattern.under(method), way)) {
            matrix.zero(&mut graph, &zero);
        }
        Ok(graph)
    }

    /// Name, blocks and zero blocks of every layer that has some.
    fn blocks(&self, graph: &Graph) -> Result<Vec<(String, usize, usize)>> {
        let Some(blocks) = self.options.blocks else { return Ok(Vec::new()) };
        let line = |m: &Matrix| {
            let zero = m.zeros(graph).iter().filter(|z| **z).count();
            (graph.nodes[m.node].name.clone(), m.tiles(), zero)
        };
        Ok(matrices(graph, self.frame.target, blocks.pattern)?.iter().map(line).collect())
    }

    /// Where a network stands on the selection rows.
    pub(super) fn judge(&self, net: &Net) -> Result<Standing> {
        let Split { set, groups } = self.selection;
        // Looking is short and must not fail half-way when the user stops the training.
        let now = set::classes(&set.logits(net, &Stop::default())?, self.dense.output_shape().len());
        Ok(standing(self.metric, &set.y, &self.dense_select, &now, groups))
    }

    pub(super) fn stand(&self, phase: String, graph: &Graph) -> Result<Step> {
        let Cost { macs, flash, ram } = self.frame.cost(graph)?;
        let saved = |blocks: BlockOptions| -> Result<u64> {
            // Single weights that are zero are stored and multiplied.
            if self.frame.target == Target::Portable {
                return Ok(0);
            }
            Ok(matrices(graph, self.frame.target, blocks.pattern)?.iter().map(|m| m.saved(graph)).sum())
        };
        let macs = macs - self.options.blocks.map_or(Ok(0), saved)?;
        let Standing { overall, worst, max_excess_drop, .. } = self.judge(&Net::new(graph, &self.options.device))?;
        Ok(Step { phase, macs, flash, ram, overall, worst, max_excess_drop })
    }
}

#[cfg(test)]
mod tests;
