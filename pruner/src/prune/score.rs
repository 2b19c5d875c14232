//! How much each channel matters, and to whom.

use crate::couple::{Coupling, Member};
use crate::data::batch::group_batches;
use crate::error::Result;
use crate::graph::{Graph, Op};
use crate::net::{Net, Split, floats, loss};
use crate::progress::Stop;
use burn::tensor::{Device, Gradients};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Rows per gradient.
const BATCH: usize = 16;
/// Gradients per group, at least and at most; between them, [`BUDGET`] is shared out.
const BATCHES: (usize, usize) = (6, 48);
/// Gradients over all groups.
const BUDGET: usize = 120;

/// Importance per group of people, class and channel (or matrix and tile, see [`super::blocks`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// `[group][class][channel]`, each group's sum over all that can be removed scaled to 1.
    pub groups: Vec<Vec<Vec<f64>>>,
}

/// L1 norm of the filters that produce a channel, summed over the producers of its class (Li et al. 2017).
pub fn magnitude(graph: &Graph, coupling: &Coupling) -> Scores {
    let scores = coupling.classes.iter().map(|class| {
        let mut s = vec![0.0; class.channels];
        for member in class.producers.iter().chain(&class.through) {
            let (weight, fan_in) = match &graph.nodes[member.node].op {
                Op::Conv(c) => (&c.weight, c.fan_in()),
                Op::Linear(l) => (&l.weight, l.inp),
                _ => continue,
            };
            for (s, w) in s.iter_mut().zip(weight[member.offset * fan_in..].chunks(member.span * fan_in)) {
                *s += w.iter().map(|v| v.abs() as f64).sum::<f64>();
            }
        }
        s
    });
    Scores { groups: vec![scores.collect()] }
}

/// Squared gate gradient per group (Molchanov et al. 2019, kept apart by group): a channel's gate scales
/// what its consumers read, so `dL/dgate = sum w * dL/dw` over the consumers' weights for that channel.
/// The square is taken per batch and averaged over the group's batches.
///
/// Only the consumers' side is summed: the producers' side has the same derivative and would count twice.
/// The graph must be folded, so that normalisation does not hide the gradient.
///
/// # Errors
/// When the device fails.
pub fn taylor(
    graph: &Graph,
    coupling: &Coupling,
    train: Split,
    device: &Device,
    rng: &mut ChaCha8Rng,
) -> Result<Scores> {
    let sizes: Vec<usize> = coupling.classes.iter().map(|c| c.channels).collect();
    by_group(graph, &sizes, train, device, rng, |net, grads, gates| {
        for (class, gate) in coupling.classes.iter().zip(gates).filter(|(c, _)| c.frozen.is_none()) {
            for consumer in &class.consumers {
                let Some(grad) = net.affine(consumer.node).and_then(|a| a.weight.grad(grads)) else { continue };
                add_gate(gate, &graph.nodes[consumer.node].op, &floats(grad)?, consumer);
            }
        }
        Ok(())
    })
}

/// Per group, the mean over batches of squared gate gradients, each group's sum scaled to 1. `gates` adds the gradients
/// of one batch to lists of these `sizes`.
pub(super) fn by_group(
    graph: &Graph,
    sizes: &[usize],
    train: Split,
    device: &Device,
    rng: &mut ChaCha8Rng,
    gates: impl Fn(&Net, &Gradients, &mut [Vec<f64>]) -> Result<()>,
) -> Result<Scores> {
    let Split { set, groups } = train;
    let net = Net::new(graph, &device.clone().autodiff());
    let batches = (BUDGET / groups.groups.len().max(1)).clamp(BATCHES.0, BATCHES.1);
    let zeros = || -> Vec<Vec<f64>> { sizes.iter().map(|&n| vec![0.0; n]).collect() };
    let mut out = Vec::with_capacity(groups.groups.len());
    for g in 0..groups.groups.len() {
        let mut score = zeros();
        for rows in group_batches(groups, g, BATCH, batches, rng) {
            let y: Vec<usize> = rows.iter().map(|&r| set.y[r]).collect();
            let weight = vec![1.0 / rows.len() as f32; rows.len()];
            let loss = loss::cross_entropy(net.forward(net.input(set.gather(&rows))), &y, &weight);
            let grads = loss.backward();
            let mut of_batch = zeros();
            gates(&net, &grads, &mut of_batch)?;
            score.iter_mut().flatten().zip(of_batch.iter().flatten()).for_each(|(s, t)| *s += t * t);
        }
        let sum: f64 = score.iter().flatten().sum();
        if sum > 0.0 {
            score.iter_mut().flatten().for_each(|s| *s /= sum);
        }
        out.push(score);
    }
    Ok(Scores { groups: out })
}

/// Adds `sum w * dw` over the weights that read each channel: behind a Flatten, a run of input columns.
fn add_gate(gate: &mut [f64], op: &Op, grad: &[f32], reader: &Member) {
    let (weight, fan_in, taps) = match op {
        Op::Conv(c) => (&c.weight, c.fan_in(), c.window.taps()),
        Op::Linear(l) => (&l.weight, l.inp, 1),
        _ => return,
    };
    let (first, run) = (reader.offset * taps, reader.span * taps);
    for (filter, grad) in weight.chunks(fan_in).zip(grad.chunks(fan_in)) {
        for ((gate, w), d) in gate.iter_mut().zip(filter[first..].chunks(run)).zip(grad[first..].chunks(run)) {
            *gate += w.iter().zip(d).map(|(w, d)| (w * d) as f64).sum::<f64>();
        }
    }
}

/// Norm of the loss gradient per group, over all weights: `||g_a||` of Tran et al. 2022, whose bound on a
/// group's loss under pruning grows with it. Up to 512 rows of each group.
///
/// # Errors
/// When the device fails or the user stops it.
pub fn gradient_norms(graph: &Graph, rows: Split, device: &Device, seed: u64, stop: &Stop) -> Result<Vec<f64>> {
    let Split { set, groups } = rows;
    let net = Net::new(graph, &device.clone().autodiff());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut norms = Vec::with_capacity(groups.groups.len());
    for (g, group) in groups.groups.iter().enumerate() {
        let mut total: Vec<Vec<f64>> = vec![Vec::new(); graph.nodes.len()];
        let batches = group_batches(groups, g, 64, group.rows.len().div_ceil(64).clamp(1, 8), &mut rng);
        for batch in &batches {
            stop.check()?;
            let y: Vec<usize> = batch.iter().map(|&r| set.y[r]).collect();
            let weight = vec![1.0 / (batch.len() * batches.len()) as f32; batch.len()];
            let grads = loss::cross_entropy(net.forward(net.input(set.gather(batch))), &y, &weight).backward();
            for (id, sum) in total.iter_mut().enumerate() {
                let Some(grad) = net.affine(id).and_then(|a| a.weight.grad(&grads)) else { continue };
                let grad = floats(grad)?;
                sum.resize(grad.len(), 0.0);
                sum.iter_mut().zip(&grad).for_each(|(s, g)| *s += *g as f64);
            }
        }
        norms.push(total.iter().flatten().map(|g| g * g).sum::<f64>().sqrt());
    }
    Ok(norms)
}

#[cfg(test)]
mod tests;
