//! Masks and weights learnt in turns (BiFP, Dai et al., arXiv 2312.10181; the implicit gradient as in BiP, Zhang et al.,
//! NeurIPS 2022), for any number of groups.
//!
//! Inner step: `θ ← θ - α ∇_θ (L + F)` on the masked network. Outer step on the scores `m` of the channels:
//! `m ← clip(m - β g, 0, 1)` with `g = Σ (θ - (1/γ) b ∇_z L) ∇_z L` over the weights `z = b θ` that read the channel,
//! where `b` is the binary mask of the best scores under the budget (straight through). The first part is the derivative
//! of the channel's gate; the second, the implicit one, is the squared weight gradient, which is there only where the mask
//! is 1. `γ = 1`. `F` is the convex surrogate of parity.
//!
//! Scores begin as magnitudes scaled to a maximum of 1 per class. The derivatives differ by orders of magnitude between
//! networks, so `β` is 0.1 over the largest of them. Both steps are made on each batch. Terms of a sum, such as
//! distillation, act in the recovery, as they do for every other way to score.

use super::{Learning, scores};
use crate::data::batch::epoch_batches;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::loss::soft_cross_entropy;
use crate::net::term::{Batch, Term, Weights};
use crate::net::{Net, floats};
use crate::progress::Stop;
use crate::prune::score::{Scores, magnitude};
use crate::prune::terms::surrogate::Surrogate;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Gradients;
use rand_chacha::ChaCha8Rng;

/// Largest step of a score.
const BETA: f64 = 0.1;
/// Steps between two choices of the mask.
const CHOOSE_EVERY: usize = 5;

/// The network with its new weights, and the scores of its channels.
///
/// # Errors
/// When the device fails, or the limits cannot be met.
pub fn joint(how: &Learning, rng: &mut ChaCha8Rng, stop: &Stop) -> Result<(Graph, Scores)> {
    let mut m: Vec<Vec<f32>> = unit(&magnitude(how.graph, how.coupling).groups[0]);
    let mut net = Net::new(how.graph, &how.device.clone().autodiff());
    let mut optimiser = AdamWConfig::new().with_weight_decay(1e-4).init();
    let mut parity = Surrogate::new(how.train.groups);
    let mut mask = how.mask(&m)?;
    let mut batches = Vec::new();
    for step in 0..how.steps {
        if stop.is_set() {
            break;
        }
        if batches.is_empty() {
            batches = epoch_batches(how.train.set.len(), how.batch, rng);
        }
        let Some(rows) = batches.pop() else { return Err(Error::new("there are no rows to train on")) };
        let gates = how.readers(&mask);
        let set = how.train.set;
        let logits = net.forward_hooked(net.input(set.gather(&rows)), &gates, &[]).0;
        let batch = Batch {
            y: rows.iter().map(|&r| set.y[r]).collect(),
            host: floats(logits.clone().detach())?,
            logits: logits.clone(),
            watched: Vec::new(),
            reference: Vec::new(),
            rows: &rows,
        };
        let mut weights = Weights::new(rows.iter().map(|&r| how.row_weight[r] / rows.len() as f32).collect());
        parity.weigh(&batch, &mut weights);
        let grads = soft_cross_entropy(logits.clone(), weights.targets(&batch.y, logits.dims()[1])).backward();
        let mut g = how.derivatives(&gates, &grads)?;
        let squares = squared(how, &net, &grads)?;
        for ((g, squares), mask) in g.iter_mut().zip(&squares).zip(&mask) {
            g.iter_mut().zip(squares).zip(mask).for_each(|((g, s), b)| *g -= f64::from(*b) * s);
        }
        let largest = g.iter().flatten().fold(1e-12_f64, |m, v| m.max(v.abs()));
        for (m, g) in m.iter_mut().flatten().zip(g.iter().flatten()) {
            *m = (*m - (BETA * g / largest) as f32).clamp(0.0, 1.0);
        }
        let grads = GradientsParams::from_grads(grads, &net.layers);
        net.layers = optimiser.step(how.rate, net.layers, grads);
        if (step + 1) % CHOOSE_EVERY == 0 {
            mask = how.mask(&m)?;
        }
    }
    Ok((net.to_graph()?, scores(&m)))
}

/// Scaled to a maximum of 1 per class.
fn unit(scores: &[Vec<f64>]) -> Vec<Vec<f32>> {
    let scale = |s: &Vec<f64>| {
        let max = s.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        s.iter().map(|v| (v / max) as f32).collect()
    };
    scores.iter().map(scale).collect()
}

/// Per class and channel, the sum of the squared gradients of the weights that read it.
fn squared(how: &Learning, net: &Net, grads: &Gradients) -> Result<Vec<Vec<f64>>> {
    let mut out: Vec<Vec<f64>> = how.coupling.classes.iter().map(|c| vec![0.0; c.channels]).collect();
    for (class, out) in how.coupling.classes.iter().zip(&mut out).filter(|(c, _)| c.frozen.is_none()) {
        for member in &class.consumers {
            let Some(layer) = net.affine(member.node) else { continue };
            let Some(grad) = layer.weight.grad(grads) else { continue };
            let [_, columns, high, wide] = grad.dims();
            let taps = high * wide;
            let (first, run) = (member.offset * taps, member.span * taps);
            for filter in floats(grad)?.chunks(columns * taps) {
                for (sum, g) in out.iter_mut().zip(filter[first..].chunks(run)) {
                    *sum += g.iter().map(|g| f64::from(g * g)).sum::<f64>();
                }
            }
        }
    }
    Ok(out)
}
