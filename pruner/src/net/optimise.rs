//! The training loop: batches, cross-entropy and the terms of a method, AdamW with a cosine schedule, the best kept.

use super::average::Average;
use super::term::{Batch, Reference, Term, Weights};
use super::{Layer, Layers, Net, Set, floats, loss};
use crate::data::batch::epoch_batches;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::progress::Stop;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Bool, Gradients, Tensor};
use indicatif::ProgressBar;
use rand_chacha::ChaCha8Rng;

/// What to train on, and towards what.
pub struct Task<'a, 't> {
    /// The rows.
    pub train: &'a Set,
    /// Importance of each row, 1 on average.
    pub row_weight: &'a [f32],
    /// What is added to the cross-entropy.
    pub terms: &'a mut [Box<dyn Term + 't>],
    /// The dense network, where a term compares activations with it.
    pub reference: Option<&'a Reference>,
    /// Whether weights that are zero at the start stay so.
    pub hold_zeros: bool,
    /// The only layer that is trained; all of them where none is named.
    pub only: Option<NodeId>,
    /// Whether the result is the running average of the weights.
    pub average: bool,
}

impl<'a> Task<'a, '_> {
    /// Cross-entropy alone.
    pub fn plain(train: &'a Set, row_weight: &'a [f32]) -> Self {
        Task { train, row_weight, terms: &mut [], reference: None, hold_zeros: false, only: None, average: false }
    }
}

/// How long and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Optimiser steps.
    pub steps: usize,
    /// Rows per step.
    pub batch: usize,
    /// Highest learning rate; it falls to zero along a half cosine after a short warm-up.
    pub rate: f64,
    /// Decoupled weight decay.
    pub decay: f32,
    /// Steps between two looks at the selection score.
    pub eval_every: usize,
}

impl Schedule {
    fn rate_at(&self, step: usize) -> f64 {
        let warm = (self.steps / 20).clamp(1, 100);
        if step < warm {
            return self.rate * (step + 1) as f64 / warm as f64;
        }
        let t = (step - warm) as f64 / (self.steps - warm).max(1) as f64;
        self.rate * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
    }
}

/// Scores a candidate on selection rows; larger is better.
pub type Score<'s> = &'s mut dyn FnMut(&Net) -> Result<f64>;

/// Trains and gives back the network with the best score (the last one where no score is asked for). When
/// the user stops it, the best so far is what comes back.
///
/// # Errors
/// When the device fails, or training diverged: the loss is no number any more.
pub fn fit(
    mut net: Net,
    task: &mut Task,
    schedule: &Schedule,
    mut score: Option<Score>,
    rng: &mut ChaCha8Rng,
    stop: &Stop,
    bar: &ProgressBar,
) -> Result<Net> {
    let held = if task.hold_zeros { Zeros::of(&net) } else { Zeros::default() };
    let mut optimiser = AdamWConfig::new().with_weight_decay(schedule.decay).init();
    task.terms.iter_mut().for_each(|t| t.begin());
    let mut best: Option<(f64, Layers)> = None;
    let mut average = if task.average { Some(Average::new(net.to_graph()?)) } else { None };
    let mut batches = Vec::new();
    for step in 0..schedule.steps {
        if stop.is_set() {
            break;
        }
        if batches.is_empty() {
            batches = epoch_batches(task.train.len(), schedule.batch, rng);
        }
        let Some(rows) = batches.pop() else { return Err(Error::new("there are no rows to train on")) };
        let total = task.loss(&net, &rows)?;
        let grads = task.gradients(&net, total.backward());
        net.layers = held.again(optimiser.step(schedule.rate_at(step), net.layers, grads));
        if let Some(average) = &mut average {
            average.add(&net.to_graph()?);
        }
        bar.inc(1);
        if (step + 1) % schedule.eval_every == 0 || step + 1 == schedule.steps {
            if !floats(total.detach())?[0].is_finite() {
                return Err(Error::new("training diverged: the loss is no number any more").help("lower --lr"));
            }
            match &average {
                Some(average) => keep_best(&Net::new(&average.graph, net.device()), &mut score, &mut best)?,
                None => keep_best(&net, &mut score, &mut best)?,
            }
        }
    }
    match (best, average) {
        (Some((_, layers)), _) => net.layers = layers,
        (None, Some(average)) => net = Net::new(&average.graph, net.device()),
        (None, None) => {}
    }
    Ok(net)
}

/// Per layer, the weights that are zero and stay so.
#[derive(Default)]
struct Zeros(Vec<Option<Tensor<4, Bool>>>);

impl Zeros {
    /// Of the layers that have any.
    fn of(net: &Net) -> Self {
        let zeros = |layer: &Layer| match layer {
            Layer::Affine(a) => Some(a.weight.val().inner().equal_elem(0.0)),
            Layer::Norm(_) => None,
        };
        Zeros(net.layers.layers.iter().map(zeros).collect())
    }

    /// The layers with these weights zero again, which an optimiser's step has moved.
    fn again(&self, mut layers: Layers) -> Layers {
        for (layer, zeros) in layers.layers.iter_mut().zip(&self.0) {
            if let (Layer::Affine(a), Some(zeros)) = (layer, zeros) {
                let hold = |w: Tensor<4>| Tensor::from_inner(w.inner().mask_fill(zeros.clone(), 0.0)).require_grad();
                a.weight = a.weight.clone().map(hold);
            }
        }
        layers
    }
}

fn keep_best(net: &Net, score: &mut Option<Score>, best: &mut Option<(f64, Layers)>) -> Result<()> {
    let Some(score) = score else { return Ok(()) };
    let s = score(&net.valid())?;
    if best.as_ref().is_none_or(|(b, _)| s > *b) {
        // A detached copy: running statistics are shared between clones and would go on changing.
        *best = Some((s, Net::new(&net.to_graph()?, net.device()).layers));
    }
    Ok(())
}

impl Task<'_, '_> {
    /// The loss of the network on some rows: weighted cross-entropy, and what the terms add.
    fn loss(&mut self, net: &Net, rows: &[usize]) -> Result<Tensor<1>> {
        let x = self.train.gather(rows);
        let (watch, reference) = match self.reference {
            Some(r) => (r.watched(), r.values(x.clone())),
            None => Default::default(),
        };
        let (logits, watched) = net.forward_hooked(net.input(x), &[], &watch);
        let y = rows.iter().map(|&r| self.train.y[r]).collect();
        let host = if self.terms.is_empty() { Vec::new() } else { floats(logits.clone().detach())? };
        let batch = Batch { rows, y, logits: logits.clone(), host, watched, reference };
        let mut weights = Weights::new(rows.iter().map(|&r| self.row_weight[r] / rows.len() as f32).collect());
        self.terms.iter_mut().for_each(|t| t.weigh(&batch, &mut weights));
        let target = weights.targets(&batch.y, logits.dims()[1]);
        let mut total = loss::soft_cross_entropy(logits, target);
        for term in self.terms.iter_mut() {
            if let Some(more) = term.loss(&batch, &weights) {
                total = total + more;
            }
        }
        Ok(total * weights.scale)
    }

    fn gradients(&self, net: &Net, mut grads: Gradients) -> GradientsParams {
        match self.only.and_then(|id| net.affine(id)) {
            Some(layer) => GradientsParams::from_params(&mut grads, &net.layers, &[layer.weight.id, layer.bias.id]),
            None => GradientsParams::from_grads(grads, &net.layers),
        }
    }
}

impl Net {
    /// The network off the autodiff device: batch normalisation uses its running statistics.
    pub fn valid(&self) -> Net {
        Net {
            graph: self.graph.clone(),
            slot: self.slot.clone(),
            layers: self.layers.valid(),
            device: self.device.clone().inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Conv, Linear, Op};
    use crate::net::{device, set, zoo};
    use rand_chacha::rand_core::SeedableRng;

    /// Two classes that differ in the sign of the first channel are learnt, twice the same.
    #[test]
    fn learns_and_is_deterministic() {
        let run = || {
            let graph = zoo::build("cnn1d", &[2, 16], 2, 1).unwrap();
            let y: Vec<usize> = (0..64).map(|i| i % 2).collect();
            let x = y
                .iter()
                .enumerate()
                .flat_map(|(i, &c)| {
                    (0..32).map(move |j| ((i * 7 + j * 3) % 5) as f32 * 0.1 + if j < 16 { c as f32 - 0.5 } else { 0.0 })
                })
                .collect();
            let train = Set::for_test(x, y.clone(), 32);
            let net = Net::new(&graph, &device("cpu").unwrap().autodiff());
            let schedule = Schedule { steps: 30, batch: 16, rate: 3e-3, decay: 0.0, eval_every: 10 };
            let mut task = Task::plain(&train, &[1.0; 64]);
            let stop = Stop::default();
            let mut score = |n: &Net| {
                let p = set::classes(&train.logits(n, &stop)?, 2);
                Ok(p.iter().zip(&y).filter(|(a, b)| a == b).count() as f64)
            };
            let best = fit(
                net,
                &mut task,
                &schedule,
                Some(&mut score),
                &mut ChaCha8Rng::seed_from_u64(5),
                &stop,
                &ProgressBar::hidden(),
            )
            .unwrap();
            assert!(score(&best.valid()).unwrap() > 60.0);
            best.to_graph().unwrap()
        };
        assert_eq!(run(), run());
    }

    /// Only the layer that is named moves.
    #[test]
    fn one_layer_alone_is_trained() {
        let graph = zoo::build("mlp", &[8], 2, 1).unwrap();
        let graph = crate::graph::norm::fold_batch_norm(graph);
        let train =
            Set::for_test((0..32 * 8).map(|i| (i * 37 % 11) as f32).collect(), (0..32).map(|i| i % 2).collect(), 8);
        let last = graph.last_layer().unwrap();
        let mut task = Task { only: Some(last), ..Task::plain(&train, &[1.0; 32]) };
        let net = Net::new(&graph, &device("cpu").unwrap().autodiff());
        let schedule = Schedule { steps: 3, batch: 16, rate: 1e-2, decay: 0.1, eval_every: 3 };
        let (mut rng, stop) = (ChaCha8Rng::seed_from_u64(5), Stop::default());
        let after = fit(net, &mut task, &schedule, None, &mut rng, &stop, &ProgressBar::hidden()).unwrap();
        let after = after.to_graph().unwrap();
        let moved: Vec<usize> = (0..graph.nodes.len()).filter(|&i| graph.nodes[i] != after.nodes[i]).collect();
        assert_eq!(moved, [last]);
    }

    /// Weights that are zero at the start are zero at the end, the others have moved.
    #[test]
    fn zeros_are_held() {
        let mut graph = zoo::build("cnn1d", &[2, 16], 2, 1).unwrap();
        let weights = |graph: &crate::graph::Graph| -> Vec<f32> {
            let of = |n: &crate::graph::Node| match &n.op {
                Op::Conv(c) => c.weight.clone(),
                Op::Linear(l) => l.weight.clone(),
                _ => vec![],
            };
            graph.nodes.iter().flat_map(of).collect()
        };
        for node in &mut graph.nodes {
            let (Op::Conv(Conv { weight, .. }) | Op::Linear(Linear { weight, .. })) = &mut node.op else { continue };
            weight.iter_mut().step_by(3).for_each(|w| *w = 0.0);
        }
        let train = Set::for_test(
            (0..64 * 32).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect(),
            (0..64).map(|i| i % 2).collect(),
            32,
        );
        let net = Net::new(&graph, &device("cpu").unwrap().autodiff());
        let schedule = Schedule { steps: 12, batch: 16, rate: 3e-3, decay: 1e-4, eval_every: 4 };
        let mut task = Task { hold_zeros: true, ..Task::plain(&train, &[1.0; 64]) };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let net = fit(net, &mut task, &schedule, None, &mut rng, &Stop::default(), &ProgressBar::hidden()).unwrap();
        let (before, after) = (weights(&graph), weights(&net.to_graph().unwrap()));
        assert!(before.iter().zip(&after).all(|(b, a)| (*b == 0.0) == (*a == 0.0)));
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
        assert!(moved > before.len() / 2, "{moved} of {}", before.len());
    }
}
