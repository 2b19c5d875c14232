//! How much each channel matters, and to whom.
//!
//! | module | scores |
//! | --- | --- |
//! | [`weights`] | from weights alone |
//! | [`gates`] | from gradients of a gate on each channel, row by row |
//! | [`snnl`] | from activations alone |
//! | [`blend`] | from two of the others |

pub mod blend;
pub mod gates;
pub mod snnl;
pub mod weights;

use super::terms::pw_loss::PwLoss;
use crate::couple::Coupling;
use crate::data::batch::group_batches;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::{Net, Split, floats, loss};
use crate::progress::Stop;
use burn::tensor::{Device, Gradients};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Rows per gradient.
const BATCH: usize = 16;
/// Gradients over all groups.
const BUDGET: usize = 120;
/// Gradients of each group at least.
const FEWEST: usize = 5;

/// Gradients of each of so many groups: twenty-four groups cost what one costs.
fn batches_per_group(groups: usize) -> usize {
    (BUDGET / groups.max(1)).max(FEWEST)
}

/// Importance per group of people, class and channel (or matrix and tile, see [`super::blocks`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// `[group][class][channel]`, each group's sum over all that can be removed scaled to 1.
    pub groups: Vec<Vec<Vec<f64>>>,
}

/// How channels are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scorer {
    /// Nothing but chance.
    Random,
    /// L1 norm of the producing filters.
    Magnitude,
    /// Distance to the other filters of the layer.
    Fpgm,
    /// Scale of the measured batch normalisation.
    BnScale,
    /// Squared gate gradient of batches.
    Taylor,
    /// Squared gate gradient of batches over the layers, and with the norm of the filters in each.
    Blend,
    /// Squared gate gradient of rows.
    Fisher,
    /// Gate gradient without the share that weight decay explains.
    Undecayed,
    /// Squared gate gradients kept apart by group, for whom the worst group loses.
    WorstGroup,
    /// Squared gate gradients kept apart by group, for the share of each group.
    FairGrape,
    /// Fisher of the groups that fare worse less that of those that fare better.
    FairPrune,
    /// Soft nearest-neighbour loss of the activations against the groups.
    Snnl,
    /// Masks learnt with the weights.
    Bifp,
    /// Gates learnt on frozen weights against a head that guesses the group.
    Ffw,
}

/// What scores are made from.
pub struct Scoring<'a> {
    /// The network, folded.
    pub graph: &'a Graph,
    /// Its classes.
    pub coupling: &'a Coupling,
    /// The training rows.
    pub train: Split<'a>,
    /// Class of each row according to the dense network.
    pub dense: &'a [usize],
    /// Importance of each row.
    pub row_weight: &'a [f32],
    /// Weights and targets of the rows, where the method has some of its own.
    pub pw: Option<&'a PwLoss>,
    /// Where to compute.
    pub device: &'a Device,
}

impl Scoring<'_> {
    /// Scores every channel.
    ///
    /// # Errors
    /// When the device fails.
    pub fn scores(&self, scorer: Scorer, rng: &mut ChaCha8Rng) -> Result<Scores> {
        match scorer {
            Scorer::Random => Ok(weights::random(self.coupling, rng)),
            Scorer::Magnitude => Ok(magnitude(self.graph, self.coupling)),
            Scorer::Fpgm => Ok(weights::fpgm(self.graph, self.coupling)),
            Scorer::BnScale => weights::bn_scale(self),
            Scorer::Taylor => Ok(gates::Gates::of_all(self, rng)?.pooled_taylor()),
            Scorer::Blend => {
                let taylor = gates::Gates::of_all(self, rng)?.pooled_taylor();
                Ok(blend::blend(taylor, &magnitude(self.graph, self.coupling)))
            }
            Scorer::Fisher => Ok(gates::Gates::of_all(self, rng)?.pooled_fisher()),
            Scorer::Undecayed => Ok(gates::Gates::of_all(self, rng)?.undecayed(self)),
            Scorer::WorstGroup => Ok(gates::Gates::of_groups(self, rng)?.by_group()),
            Scorer::FairGrape => Ok(gates::Gates::of_groups(self, rng)?.raw_by_group()),
            Scorer::FairPrune => Ok(gates::Gates::of_groups(self, rng)?.fair_prune(self)),
            Scorer::Snnl => snnl::snnl(self, rng),
            // These two train, so the schedule runs them itself.
            Scorer::Bifp | Scorer::Ffw => Err(Error::new("masks and gates are learnt, not scored")),
        }
    }
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
    let batches = batches_per_group(groups.groups.len());
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

/// Norm of the loss gradient per group, over all weights: `||g_a||` of Tran et al. 2022, whose bound on a
/// group's loss under pruning grows with it. Up to 512 rows of each group, each once: rows that repeat would add the noise
/// of a smaller sample to the norm of a small group.
///
/// # Errors
/// When the device fails or the user stops it.
pub fn gradient_norms(graph: &Graph, rows: Split, device: &Device, seed: u64, stop: &Stop) -> Result<Vec<f64>> {
    let Split { set, groups } = rows;
    let net = Net::new(graph, &device.clone().autodiff());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut norms = Vec::with_capacity(groups.groups.len());
    for group in &groups.groups {
        let mut rows = group.rows.clone();
        rows.shuffle(&mut rng);
        rows.truncate(512);
        let mut total: Vec<Vec<f64>> = vec![Vec::new(); graph.nodes.len()];
        for batch in rows.chunks(64) {
            stop.check()?;
            let y: Vec<usize> = batch.iter().map(|&r| set.y[r]).collect();
            let weight = vec![1.0 / rows.len() as f32; batch.len()];
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

pub use weights::magnitude;

#[cfg(test)]
mod planted;
#[cfg(test)]
mod tests;
