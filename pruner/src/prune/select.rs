//! Which channels go: greedily the cheapest loss of importance per unit of budget that it saves.

use super::resize::{resize, skeleton};
use super::score::Scores;
use crate::couple::Coupling;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::lower::{Cost, Extras, cost};

/// Limits in absolute units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Multiply-accumulates per inference.
    pub macs: Option<u64>,
    /// Bytes of the file.
    pub flash: Option<u64>,
    /// Bytes of arena.
    pub ram: Option<u64>,
}

impl Limits {
    /// Name, limit and value of each budget that is given.
    pub fn lines(&self, c: &Cost) -> Vec<(&'static str, u64, u64)> {
        [("macs", self.macs, c.macs), ("flash", self.flash, c.flash), ("ram", self.ram, c.ram)]
            .into_iter()
            .filter_map(|(name, limit, value)| Some((name, limit?, value)))
            .collect()
    }

    /// Whether all limits hold.
    pub fn hold(&self, c: &Cost) -> bool {
        self.lines(c).iter().all(|(_, limit, value)| value <= limit)
    }

    /// The limits part of the way: 0 is the cost of the dense model, 1 the limits themselves.
    pub fn on_the_way(&self, dense: &Cost, t: f64) -> Limits {
        let at = |limit: Option<u64>, dense: u64| {
            limit.map(|l| if l >= dense { l } else { dense - ((dense - l) as f64 * t).floor() as u64 })
        };
        Limits { macs: at(self.macs, dense.macs), flash: at(self.flash, dense.flash), ram: at(self.ram, dense.ram) }
    }
}

/// What a file holds beside its layers, so that bytes can be counted before there is a file.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Number of input normalisations.
    pub norm: usize,
    /// Contract, certificate and monitor with the right names; their numbers do not matter.
    pub extras: Extras,
}

impl Frame {
    /// What the lowered file of a network costs.
    ///
    /// # Errors
    /// What lowering would refuse because of shapes.
    pub fn cost(&self, graph: &Graph) -> Result<Cost> {
        cost(graph, self.norm, &self.extras)
    }
}

/// How the next channel is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// From the class that has kept the largest share: every layer is thinned alike.
    Uniform,
    /// The smallest worst-group loss of importance per unit of budget saved.
    WorstGroup,
}

/// How coarse and how deep.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Channels are removed in bundles until a multiple of this is left.
    pub round_to: usize,
    /// Every class keeps at least this share of what it had in the dense model.
    pub min_share: f64,
    /// Policy.
    pub policy: Policy,
}

/// The fewest channels that a class of `channels` (dense) may keep.
pub fn floor_of(channels: usize, rules: &Rules) -> usize {
    let least = ((channels as f64 * rules.min_share).ceil() as usize).max(1);
    least.next_multiple_of(rules.round_to).min(channels)
}

/// Chooses the channels that stay so that the limits hold, beginning from all of them.
///
/// `dense_widths` are the widths of the dense model's classes.
///
/// # Errors
/// When the limits cannot be met: says by how much, and which layers block it.
pub fn select(
    graph: &Graph,
    coupling: &Coupling,
    scores: &Scores,
    limits: &Limits,
    rules: &Rules,
    dense_widths: &[usize],
    frame: &Frame,
) -> Result<Vec<Vec<usize>>> {
    let mut shape = skeleton(graph);
    let mut widths: Vec<usize> = coupling.classes.iter().map(|c| c.channels).collect();
    let mut kept: Vec<Vec<usize>> = widths.iter().map(|&w| (0..w).collect()).collect();
    let mut lost = vec![0.0; scores.groups.len()];
    let mut now = frame.cost(&shape)?;
    while !limits.hold(&now) {
        let pull = pull(&lost);
        let mut best: Option<(f64, usize, Vec<usize>)> = None;
        for (i, class) in coupling.classes.iter().enumerate() {
            let floor = floor_of(dense_widths[i], rules).min(widths[i]);
            if class.frozen.is_some() || widths[i] <= floor {
                continue;
            }
            let bundle = bundle(&kept[i], widths[i], floor, rules, |u| weight(scores, &pull, i, u));
            let rank = match rules.policy {
                Policy::Uniform => -(widths[i] as f64 / dense_widths[i] as f64),
                Policy::WorstGroup => {
                    widths[i] -= bundle.len();
                    resize(&mut shape, coupling, &widths);
                    let saved = saving(limits, &now, &frame.cost(&shape)?, &shape);
                    widths[i] += bundle.len();
                    bundle.iter().map(|&u| weight(scores, &pull, i, u)).sum::<f64>() / saved.max(1e-12)
                }
            };
            if best.as_ref().is_none_or(|(b, ..)| rank < *b) {
                best = Some((rank, i, bundle));
            }
        }
        let Some((_, i, bundle)) = best else { return Err(refusal(graph, coupling, limits, &now, rules)) };
        for (g, lost) in lost.iter_mut().enumerate() {
            *lost += bundle.iter().map(|&u| scores.groups[g][i][u]).sum::<f64>();
        }
        kept[i].retain(|u| !bundle.contains(u));
        widths[i] = kept[i].len();
        resize(&mut shape, coupling, &widths);
        now = frame.cost(&shape)?;
    }
    Ok(kept)
}

/// How much each group's loss counts now: the gradient of a smooth maximum over the groups' losses so far.
/// (Minimising `max_g(lost_g + I_g) / saved` itself, as one would first write it, ignores `I_g` as soon as
/// the losses so far outweigh it, and then only ever chases what saves most.)
fn pull(lost: &[f64]) -> Vec<f64> {
    let max = lost.iter().copied().fold(0.0, f64::max);
    let p: Vec<f64> = lost.iter().map(|l| ((l - max) / (0.1 * max).max(1e-9)).exp()).collect();
    let sum: f64 = p.iter().sum();
    p.iter().map(|v| v / sum).collect()
}

/// A channel's importance to the groups, each counted by its pull.
fn weight(scores: &Scores, pull: &[f64], class: usize, unit: usize) -> f64 {
    pull.iter().zip(&scores.groups).map(|(p, group)| p * group[class][unit]).sum()
}

/// The least important channels that bring a class down to the next multiple of the rounding.
fn bundle(kept: &[usize], width: usize, floor: usize, rules: &Rules, weight: impl Fn(usize) -> f64) -> Vec<usize> {
    let next = ((width - 1) / rules.round_to * rules.round_to).max(floor);
    let mut units = kept.to_vec();
    units.sort_by(|&a, &b| weight(a).total_cmp(&weight(b)).then(a.cmp(&b)));
    units.truncate(width - next);
    units
}

/// Share of what is still over the limits that a step takes away, summed over the limits. RAM is a maximum
/// over time and often does not fall until several classes have shrunk: bytes alive count a little as well.
fn saving(limits: &Limits, now: &Cost, then: &Cost, shape: &Graph) -> f64 {
    let gain = |limit: Option<u64>, now: u64, then: u64| match limit {
        Some(limit) if now > limit => now.saturating_sub(then) as f64 / (now - limit) as f64,
        _ => 0.0,
    };
    let ram = gain(limits.ram, now.ram, then.ram);
    let hint = match limits.ram {
        Some(limit) if now.ram > limit => {
            1e-3 / (1.0 + shape.nodes.iter().map(|n| n.shape.len()).sum::<usize>() as f64 / now.ram as f64)
        }
        _ => 0.0,
    };
    gain(limits.macs, now.macs, then.macs) + gain(limits.flash, now.flash, then.flash) + ram + hint
}

fn refusal(graph: &Graph, coupling: &Coupling, limits: &Limits, now: &Cost, rules: &Rules) -> Error {
    let over: Vec<String> = limits
        .lines(now)
        .iter()
        .filter(|(_, limit, value)| value > limit)
        .map(|(name, limit, value)| format!("{name} {value} > {limit}"))
        .collect();
    let mut layers: Vec<(usize, &str)> = (0..graph.nodes.len())
        .map(|i| (graph.macs_of(i), graph.nodes[i].name.as_str()))
        .filter(|(m, _)| *m > 0)
        .collect();
    layers.sort_by(|a, b| b.cmp(a));
    let largest: Vec<&str> = layers.iter().take(3).map(|(_, n)| *n).collect();
    let frozen: Vec<String> =
        coupling.classes.iter().filter_map(|c| Some(format!("{} ({})", c.name, c.frozen.as_ref()?))).collect();
    Error::new(format!(
        "the budget cannot be met: with every layer at its smallest, {}; the largest layers are {}; not prunable: {}",
        over.join(", "),
        largest.join(", "),
        frozen.join(", ")
    ))
    .help(format!("raise the budget, or let layers shrink further with --min-share below {}", rules.min_share))
}
