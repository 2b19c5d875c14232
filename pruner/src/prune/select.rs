//! Which channels go: greedily the cheapest loss of importance per unit of budget that it saves.

use super::resize::Shapes;
use super::score::Scores;
use crate::contract::Budget;
use crate::couple::{Class, Coupling};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Op};
use crate::lower::{Cost, Extras, Target, cost};

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
    /// A budget in absolute units, for a dense network of this cost.
    pub fn of(budget: &Budget, dense: &Cost) -> Limits {
        Limits {
            macs: budget.macs.map(|l| l.resolve(dense.macs)),
            flash: budget.flash.map(|l| l.resolve(dense.flash)),
            ram: budget.ram.map(|l| l.resolve(dense.ram)),
        }
    }

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
    /// What the file is lowered for.
    pub target: Target,
}

impl Frame {
    /// What the lowered file of a network costs.
    ///
    /// # Errors
    /// What lowering would refuse because of shapes.
    pub fn cost(&self, graph: &Graph) -> Result<Cost> {
        cost(graph, self.norm, &self.extras, self.target)
    }
}

/// How the next channel is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// From the class that has kept the largest share: every layer is thinned alike.
    Uniform,
    /// The smallest loss of importance per unit of budget saved: the worst group's, where scores are kept apart by
    /// group.
    Cheapest,
    /// Every layer thinned alike, and in each the channels stay that keep every group's share of the importance
    /// (FairGRAPE, Lin et al. 2022).
    Share,
}

/// How coarse and how deep.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Channels are removed in bundles until a multiple of this is left; at least 1.
    pub round_to: usize,
    /// Every class keeps at least this share of what it had in the dense model.
    pub min_share: f64,
    /// Policy.
    pub policy: Policy,
}

/// A network to choose channels from.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Its classes.
    pub coupling: &'a Coupling,
    /// What each channel is worth.
    pub scores: &'a Scores,
    /// Channels of each class in the dense model.
    pub dense_widths: &'a [usize],
}

/// Chooses the channels that stay so that the limits hold, beginning from all of them.
///
/// # Errors
/// When the limits cannot be met: says by how much, and which layers block it.
pub fn select(from: &Candidates, limits: &Limits, rules: &Rules, frame: &Frame) -> Result<Vec<Vec<usize>>> {
    let Candidates { graph, coupling, scores, dense_widths } = *from;
    let least = least(from, limits, rules, frame);
    let mut shapes = Shapes::new(graph, coupling);
    let mut kept: Vec<Vec<usize>> = coupling.classes.iter().map(|c| (0..c.channels).collect()).collect();
    let mut lost = vec![0.0; scores.groups.len()];
    let mut now = frame.cost(shapes.graph())?;
    let mut removed = Vec::new();
    while !limits.hold(&now) {
        let mut best: Option<(f64, usize, Vec<usize>)> = None;
        for (i, class) in coupling.classes.iter().enumerate() {
            let (width, dense) = (kept[i].len(), dense_widths[i]);
            let floor = floor(graph, class, dense, rules).max(least[i]);
            if class.frozen.is_some() || width <= floor {
                continue;
            }
            let bundle = match rules.policy {
                Policy::Share => by_share(scores, i, &kept[i], next(width, floor, rules)),
                _ => bundle(&kept[i], next(width, floor, rules), |u| harm(&lost, &importance(scores, i, &[u]))),
            };
            let rank = match rules.policy {
                Policy::Uniform | Policy::Share => -(width as f64 / dense as f64),
                Policy::Cheapest => {
                    shapes.set(i, width - bundle.len());
                    let saved = saving(limits, &now, &frame.cost(shapes.graph())?, shapes.graph());
                    shapes.set(i, width);
                    per_saving(harm(&lost, &importance(scores, i, &bundle)), saved.max(1e-12))
                }
            };
            if best.as_ref().is_none_or(|(b, ..)| rank < *b) {
                best = Some((rank, i, bundle));
            }
        }
        let Some((_, i, bundle)) = best else { return Err(refusal(shapes.graph(), coupling, limits, &now, rules)) };
        lost.iter_mut().zip(importance(scores, i, &bundle)).for_each(|(lost, added)| *lost += added);
        kept[i].retain(|u| !bundle.contains(u));
        shapes.set(i, kept[i].len());
        now = frame.cost(shapes.graph())?;
        removed.push((i, bundle));
    }
    if rules.policy == Policy::Cheapest {
        give_back(&mut kept, removed, &mut shapes, limits, frame)?;
    }
    Ok(kept)
}

/// A layer keeps at least this share of what thinning all alike would leave it. Importance is a local estimate; without
/// this, wide layers that cost few MACs are thinned to the bone, and networks of bytes and MACs far under their limits
/// do worse than evenly thinned ones.
const EVEN: f64 = 0.75;

/// The fewest channels per class where channels are chosen over all layers; 0 where layers are thinned alike, or where
/// that does not meet the limits.
fn least(from: &Candidates, limits: &Limits, rules: &Rules, frame: &Frame) -> Vec<usize> {
    let even = match rules.policy {
        Policy::Cheapest => select(from, limits, &Rules { policy: Policy::Uniform, ..*rules }, frame).ok(),
        Policy::Uniform | Policy::Share => None,
    };
    let share = |kept: &Vec<usize>| {
        let least = (EVEN * kept.len() as f64).ceil() as usize;
        least.next_multiple_of(rules.round_to).min(kept.len())
    };
    even.map_or_else(|| vec![0; from.coupling.classes.len()], |even| even.iter().map(share).collect())
}

/// Takes back what fits after all, the last removed first: the last bundle rarely meets the limits exactly, and what was
/// dear early on may fit beside it.
fn give_back(
    kept: &mut [Vec<usize>],
    removed: Vec<(usize, Vec<usize>)>,
    shapes: &mut Shapes,
    limits: &Limits,
    frame: &Frame,
) -> Result<()> {
    // A class whose last bundle stays out takes none before it, or its width would be no multiple of the rounding.
    let mut full = vec![false; kept.len()];
    for (i, bundle) in removed.into_iter().rev() {
        let width = kept[i].len();
        if full[i] {
            continue;
        }
        shapes.set(i, width + bundle.len());
        if limits.hold(&frame.cost(shapes.graph())?) {
            kept[i].extend(bundle);
            kept[i].sort_unstable();
        } else {
            shapes.set(i, width);
            full[i] = true;
        }
    }
    Ok(())
}

/// The channels that stay so that every class has as many as `widths` says: the least important go, a bundle at a time
/// from the class that has furthest to go, so that what groups lost in one class counts in the others.
pub(super) fn narrow(from: &Candidates, widths: &[usize], rules: &Rules) -> Vec<Vec<usize>> {
    let mut kept: Vec<Vec<usize>> = from.coupling.classes.iter().map(|c| (0..c.channels).collect()).collect();
    let mut lost = vec![0.0; from.scores.groups.len()];
    let to_go = |kept: &[Vec<usize>], i: usize| 1.0 - widths[i] as f64 / kept[i].len().max(1) as f64;
    loop {
        let over = (0..kept.len()).filter(|&i| kept[i].len() > widths[i].max(1));
        let Some(i) = over.max_by(|&a, &b| to_go(&kept, a).total_cmp(&to_go(&kept, b)).then(b.cmp(&a))) else { break };
        let stay = next(kept[i].len(), widths[i].max(1), rules);
        let gone = match rules.policy {
            Policy::Share => by_share(from.scores, i, &kept[i], stay),
            _ => bundle(&kept[i], stay, |u| harm(&lost, &importance(from.scores, i, &[u]))),
        };
        lost.iter_mut().zip(importance(from.scores, i, &gone)).for_each(|(lost, added)| *lost += added);
        kept[i].retain(|u| !gone.contains(u));
    }
    kept
}

/// The widths that the rules allow a class, ascending: one where it is frozen.
pub(super) fn allowed(graph: &Graph, class: &Class, rules: &Rules) -> Vec<usize> {
    let (dense, mut widths) = (class.channels, vec![class.channels]);
    let floor = floor(graph, class, dense, rules);
    while let Some(&last) = widths.last().filter(|w| **w > floor && class.frozen.is_none()) {
        widths.push(next(last, floor, rules));
    }
    widths.reverse();
    widths
}

/// Harm per unit of budget saved. A gain (FairPrune's scores may be negative) is the better the more it saves as well.
fn per_saving(harm: f64, saved: f64) -> f64 {
    if harm < 0.0 { harm * saved } else { harm / saved }
}

/// The fewest channels that a class of `dense` channels in the dense model may keep. With a single channel a
/// depthwise convolution would be a plain one, and the network another; such a class keeps two.
fn floor(graph: &Graph, class: &Class, dense: usize, rules: &Rules) -> usize {
    let depthwise = class.through.iter().any(|m| matches!(graph.nodes[m.node].op, Op::Conv(_)));
    let least = ((dense as f64 * rules.min_share).ceil() as usize).max(1 + usize::from(depthwise));
    least.checked_next_multiple_of(rules.round_to).unwrap_or(dense).min(dense)
}

/// How much worse the worst group fares, smoothly, when channels go that matter `added` to each group:
/// `τ ln Σ exp((lost + added) / τ) - τ ln Σ exp(lost / τ)`, `τ` a tenth of the worst loss so far.
///
/// (The plain maximum ignores `added` wherever the losses so far outweigh it, and then only ever chases what saves
/// most. The derivative of the smooth one, which is its first order, ignores who has not lost anything yet, even
/// where a single channel is all that a group has.)
pub(super) fn harm(lost: &[f64], added: &[f64]) -> f64 {
    if let [added] = added {
        return *added;
    }
    let worst = lost.iter().copied().fold(0.0, f64::max);
    let tau = (0.1 * worst).max(1e-9);
    let top = added.iter().copied().fold(0.0, f64::max) / tau;
    let (mut before, mut after) = (0.0, 0.0);
    for (lost, added) in lost.iter().zip(added) {
        let e = ((lost - worst) / tau).exp();
        before += e;
        after += e * (added / tau - top).exp();
    }
    tau * (top + (after / before).ln())
}

/// What some channels of a class matter to each group.
fn importance(scores: &Scores, class: usize, units: &[usize]) -> Vec<f64> {
    scores.groups.iter().map(|group| units.iter().map(|&u| group[class][u]).sum()).collect()
}

/// The next smaller width that the rules allow.
fn next(width: usize, floor: usize, rules: &Rules) -> usize {
    ((width - 1) / rules.round_to * rules.round_to).max(floor)
}

/// The channels that go when `stay` of those kept are taken one by one, each time the most important one for the group
/// whose share of the importance taken so far is furthest under its share of the importance of all.
fn by_share(scores: &Scores, class: usize, kept: &[usize], stay: usize) -> Vec<usize> {
    let of = |g: usize, u: usize| scores.groups[g][class][u];
    let groups = scores.groups.len();
    let sums: Vec<f64> = (0..groups).map(|g| kept.iter().map(|&u| of(g, u)).sum()).collect();
    let total: f64 = sums.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let (mut taken, mut left) = (vec![0.0; groups], kept.to_vec());
    for _ in 0..stay {
        let so_far: f64 = taken.iter().sum();
        let share = |g: usize| if so_far > 0.0 { taken[g] / so_far } else { 1.0 / groups as f64 };
        let behind = |g: &usize| share(*g) - sums[*g] / total;
        let Some(g) = (0..groups).min_by(|a, b| behind(a).total_cmp(&behind(b))) else { break };
        let Some(best) = (0..left.len()).max_by(|&a, &b| of(g, left[a]).total_cmp(&of(g, left[b])).then(b.cmp(&a)))
        else {
            break;
        };
        let u = left.remove(best);
        taken.iter_mut().enumerate().for_each(|(g, t)| *t += of(g, u));
    }
    left
}

/// The least important channels that bring a class down to `next` of them.
fn bundle(kept: &[usize], next: usize, harm: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut units: Vec<(f64, usize)> = kept.iter().map(|&u| (harm(u), u)).collect();
    units.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    units.into_iter().take(kept.len() - next).map(|(_, u)| u).collect()
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

/// Why the smallest shapes are still too large: for each limit that is broken, the layers that take most of it.
fn refusal(smallest: &Graph, coupling: &Coupling, limits: &Limits, now: &Cost, rules: &Rules) -> Error {
    let over: Vec<String> = limits
        .lines(now)
        .iter()
        .filter(|(_, limit, value)| value > limit)
        .map(|(name, limit, value)| format!("{name} {value} > {limit} (most in {})", largest(smallest, name)))
        .collect();
    let frozen: Vec<String> =
        coupling.classes.iter().filter_map(|c| Some(format!("{} ({})", c.name, c.frozen.as_ref()?))).collect();
    Error::new(format!(
        "the budget cannot be met: with every layer at its smallest, {}; not prunable: {}",
        over.join(", "),
        frozen.join(", ")
    ))
    .help(format!(
        "raise the budget, or let layers shrink further with --min-share below {} or --round-to below {}",
        rules.min_share, rules.round_to
    ))
}

/// Names of the three layers that take most of one kind of cost.
fn largest(graph: &Graph, kind: &str) -> String {
    let size = |id: NodeId| match (kind, &graph.nodes[id].op) {
        ("macs", _) => graph.macs_of(id),
        ("flash", Op::Conv(c)) => c.out * c.fan_in(),
        ("flash", Op::Linear(l)) => l.out * l.inp,
        ("flash", _) => 0,
        _ => graph.nodes[id].shape.len(),
    };
    let mut layers: Vec<(usize, NodeId)> = (0..graph.nodes.len()).map(|id| (size(id), id)).collect();
    layers.retain(|(size, _)| *size > 0);
    layers.sort_by(|a, b| b.cmp(a));
    layers.iter().take(3).map(|(_, id)| graph.nodes[*id].name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
