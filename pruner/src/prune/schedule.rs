//! The schedule: from the dense network to one that meets the budget.

use super::constraint::Constraint;
use super::select::{Frame, Limits, Policy, Rules, select};
use super::standing::{Standing, standing};
use super::{score, shrink};
use crate::contract::{Contract, Metric};
use crate::couple::{self, Coupling};
use crate::data::GroupSet;
use crate::error::{Error, Result};
use crate::fair::metrics::{sign, value};
use crate::graph::norm::{fold_batch_norm, restore_norm};
use crate::graph::{Graph, NodeId, Op};
use crate::lower::Cost;
use crate::net::optimise::{Schedule, Task, fit};
use crate::net::{Net, Set, floats, set};
use crate::progress::{Stop, bar};
use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// A pruning method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// Per-group gate-Taylor scores, worst group per byte saved, distillation and a multiplier per group.
    Contract,
    /// L1 magnitude, every layer thinned alike, plain cross-entropy: the baseline.
    Magnitude,
}

/// How to prune.
#[derive(Clone, Debug)]
pub struct Options {
    /// The method.
    pub method: Method,
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
    /// Give folded convolutions their normalisation back while fine-tuning.
    pub restore_norm: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where to train.
    pub device: Device,
}

/// Where the network stood on the selection rows after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `dense`, `step 1` …, `recovery`.
    pub phase: String,
    /// Cost of the network.
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
    /// Cost of the dense network, and of the small one.
    pub cost: (Cost, Cost),
    /// The budget in absolute units.
    pub limits: Limits,
    /// Where it stood after every step, on selection rows.
    pub history: Vec<Step>,
    /// Name and width of every class before and after.
    pub widths: Vec<(String, usize, usize)>,
    /// True when the user stopped it before the budget was met. Stopped in the recovery, the best network so
    /// far is a whole result.
    pub stopped: bool,
}

/// Rows of one split with their groups.
#[derive(Clone, Copy)]
pub struct Split<'a> {
    /// The rows.
    pub set: &'a Set,
    /// Their groups.
    pub groups: &'a GroupSet,
}

/// Prunes a folded network without softmax, for a file with this frame.
///
/// # Errors
/// When the budget cannot be met, or training failed.
pub fn prune(
    dense: &Graph,
    train: Split,
    selection: Split,
    contract: &Contract,
    options: &Options,
    frame: &Frame,
    stop: &Stop,
) -> Result<Outcome> {
    let metric = contract.fairness.metric;
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let classes = dense.output_shape().len();
    let dense_cost = frame.cost(dense)?;
    let b = &contract.budget;
    let limits = Limits {
        macs: b.macs.map(|l| l.resolve(dense_cost.macs)),
        flash: b.flash.map(|l| l.resolve(dense_cost.flash)),
        ram: b.ram.map(|l| l.resolve(dense_cost.ram)),
    };
    let dense_widths: Vec<usize> = couple::couple(dense).classes.iter().map(|c| c.channels).collect();
    let policy = if options.method == Method::Contract { Policy::WorstGroup } else { Policy::Uniform };
    let rules = Rules { round_to: options.round_to, min_share: options.min_share, policy };
    // A budget that cannot be met is refused before any time is spent.
    let uniform = couple::couple(dense);
    select(dense, &uniform, &score::magnitude(dense, &uniform), &limits, &rules, &dense_widths, frame)?;

    let dense_net = Net::new(dense, &options.device);
    let teacher = train.set.logits(&dense_net, stop)?;
    let dense_train = set::classes(&teacher, classes);
    let dense_select = set::classes(&selection.set.logits(&dense_net, stop)?, classes);
    let row_weight = row_weights(metric, &train.set.y, classes);
    let judge = |net: &Net| -> Result<Standing> {
        // Looking is short and must not fail half-way when the user stops the training.
        let now = set::classes(&selection.set.logits(net, &Stop::default())?, classes);
        Ok(standing(metric, &selection.set.y, &dense_select, &now, selection.groups))
    };
    let stand = |phase: String, graph: &Graph, net: &Net| -> Result<Step> {
        let (c, s) = (frame.cost(graph)?, judge(net)?);
        Ok(Step {
            phase,
            macs: c.macs,
            flash: c.flash,
            ram: c.ram,
            overall: s.overall,
            worst: s.worst,
            max_excess_drop: s.max_excess_drop,
        })
    };
    let mut history = vec![stand("dense".into(), dense, &dense_net)?];
    let bound = contract.fairness.max_excess_drop;
    let mut constraint = Constraint::new(metric, bound, train.groups, &train.set.y, &dense_train, classes);
    let progress = bar("prune", options.steps * options.tune + options.recover);

    let mut graph = dense.clone();
    for step in 1..=options.steps {
        if stop.is_set() {
            return finish(dense, dense_cost, graph, limits, history, frame, true);
        }
        let last = step == options.steps;
        let left = 1.0 - step as f64 / options.steps as f64;
        let target = limits.on_the_way(&dense_cost, 1.0 - left.powi(3));
        let coupling = couple::couple(&graph);
        let scores = match options.method {
            Method::Contract => {
                score::taylor(&graph, &coupling, train.set, train.groups, &options.device, &mut rng, stop)
            }
            Method::Magnitude => Ok(score::magnitude(&graph, &coupling)),
        };
        let scores = match scores {
            Err(_) if stop.is_set() => return finish(dense, dense_cost, graph, limits, history, frame, true),
            scores => scores?,
        };
        let keep = select(&graph, &coupling, &scores, &target, &rules, &dense_widths, frame)?;
        graph = shrink::shrink(&graph, &coupling, &keep)?;
        let start = if options.restore_norm { with_norm(&graph, train.set, &options.device)? } else { graph.clone() };
        let steps = if last { options.recover } else { options.tune };
        let schedule = Schedule {
            steps,
            batch: options.batch,
            rate: options.rate,
            decay: 1e-4,
            eval_every: if last { (steps / 10).max(1) } else { steps.max(1) },
        };
        let by_contract = options.method == Method::Contract;
        let mut task = Task {
            train: train.set,
            teacher: by_contract.then_some(teacher.as_slice()),
            row_weight: &row_weight,
            constraint: by_contract.then_some(&mut constraint),
        };
        let mut best = |net: &Net| -> Result<f64> {
            let s = judge(net)?;
            // Feasible candidates by their metric; others lose twice what they are over the bound.
            Ok(s.overall - if by_contract { 2.0 * (s.max_excess_drop - bound).max(0.0) } else { 0.0 })
        };
        let net = Net::new(&start, &options.device.clone().autodiff());
        let net = fit(net, &mut task, &schedule, if last { Some(&mut best) } else { None }, &mut rng, stop, &progress)?;
        graph = fold_batch_norm(net.to_graph()?);
        let phase = if last { "recovery".to_owned() } else { format!("step {step}") };
        history.push(stand(phase, &graph, &Net::new(&graph, &options.device))?);
    }
    progress.finish_and_clear();
    finish(dense, dense_cost, graph, limits, history, frame, false)
}

fn finish(
    dense: &Graph,
    dense_cost: Cost,
    graph: Graph,
    limits: Limits,
    history: Vec<Step>,
    frame: &Frame,
    stopped: bool,
) -> Result<Outcome> {
    let (before, after): (Coupling, Coupling) = (couple::couple(dense), couple::couple(&graph));
    let widths = before
        .classes
        .iter()
        .zip(&after.classes)
        .filter(|(b, _)| b.frozen.is_none())
        .map(|(b, a)| (b.name.clone(), b.channels, a.channels))
        .collect();
    let small = frame.cost(&graph)?;
    Ok(Outcome { graph, cost: (dense_cost, small), limits, history, widths, stopped })
}

/// Where the metric weighs classes alike, rows of rare classes weigh more; the mean is 1.
fn row_weights(metric: Metric, y: &[usize], classes: usize) -> Vec<f32> {
    if metric == Metric::Accuracy {
        return vec![1.0; y.len()];
    }
    let mut count = vec![0usize; classes];
    y.iter().for_each(|&c| count[c] += 1);
    let present = count.iter().filter(|n| **n > 0).count();
    let raw: Vec<f32> = y.iter().map(|&c| (y.len() as f32 / (present * count[c]) as f32).clamp(0.2, 5.0)).collect();
    let mean = raw.iter().sum::<f32>() / raw.len().max(1) as f32;
    raw.iter().map(|w| w / mean).collect()
}

/// Rows that the statistics of normalisation are measured on.
const NORM_ROWS: usize = 1024;

/// Gives every convolution its batch normalisation back, measured so that the function is the same.
fn with_norm(graph: &Graph, train: &Set, device: &Device) -> Result<Graph> {
    let net = Net::new(graph, device);
    let convs: Vec<NodeId> = (0..graph.nodes.len()).filter(|&i| matches!(graph.nodes[i].op, Op::Conv(_))).collect();
    let mut sums: Vec<(Vec<f64>, Vec<f64>, usize)> = convs
        .iter()
        .map(|&i| {
            let c = graph.nodes[i].shape.c;
            (vec![0.0; c], vec![0.0; c], 0)
        })
        .collect();
    let stride = (train.len() / NORM_ROWS).max(1);
    let rows: Vec<usize> = (0..train.len()).step_by(stride).collect();
    for rows in rows.chunks(128) {
        let values = net.forward_all(net.input(train.gather(rows)));
        for (&id, (sum, squares, n)) in convs.iter().zip(&mut sums) {
            let s = graph.nodes[id].shape;
            for sample in floats(values[id].clone())?.chunks(s.len()) {
                for (c, plane) in sample.chunks(s.h * s.w).enumerate() {
                    sum[c] += plane.iter().map(|v| *v as f64).sum::<f64>();
                    squares[c] += plane.iter().map(|v| (*v as f64).powi(2)).sum::<f64>();
                }
                *n += s.h * s.w;
            }
        }
    }
    let stats: Vec<(NodeId, Vec<f32>, Vec<f32>)> = convs
        .iter()
        .zip(sums)
        .map(|(&id, (sum, squares, n))| {
            let mean: Vec<f64> = sum.iter().map(|s| s / n.max(1) as f64).collect();
            let var = squares.iter().zip(&mean).map(|(q, m)| (q / n.max(1) as f64 - m * m).max(0.0) as f32).collect();
            (id, mean.iter().map(|m| *m as f32).collect(), var)
        })
        .collect();
    restore_norm(graph, &stats)
}

/// How to train a network from nothing.
#[derive(Clone, Debug)]
pub struct Training {
    /// What the best network is chosen by, on selection rows.
    pub metric: Metric,
    /// How long and how fast.
    pub schedule: Schedule,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where to train.
    pub device: Device,
}

/// Trains a network of the zoo from nothing: cross-entropy, best on the selection rows.
///
/// # Errors
/// When training failed.
pub fn train(graph: &Graph, train: &Set, selection: &Set, how: &Training, stop: &Stop) -> Result<Graph> {
    let Training { metric, schedule, seed, device } = how;
    let metric = *metric;
    if train.is_empty() || selection.is_empty() {
        return Err(Error::new("training needs rows in the splits `train` and `val`"));
    }
    let classes = graph.output_shape().len();
    let mut rng = ChaCha8Rng::seed_from_u64(*seed);
    let progress = bar("train", schedule.steps);
    let row_weight = row_weights(metric, &train.y, classes);
    let mut task = Task { train, teacher: None, row_weight: &row_weight, constraint: None };
    let rows: Vec<usize> = (0..selection.len()).collect();
    let go_on = Stop::default();
    let mut score = |net: &Net| -> Result<f64> {
        let now = set::classes(&selection.logits(net, &go_on)?, classes);
        Ok(sign(metric) * value(metric, &selection.y, &now, &rows).unwrap_or(0.0))
    };
    let net = fit(
        Net::new(graph, &device.clone().autodiff()),
        &mut task,
        schedule,
        Some(&mut score),
        &mut rng,
        stop,
        &progress,
    )?;
    progress.finish_and_clear();
    net.to_graph()
}
