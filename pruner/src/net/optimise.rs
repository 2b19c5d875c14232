//! The training loop: batches, a loss with a weight per row, AdamW with a cosine schedule, the best kept.

use super::{Layers, Net, Set, floats, loss, set};
use crate::data::batch::epoch_batches;
use crate::error::{Error, Result};
use crate::progress::Stop;
use crate::prune::constraint::Constraint;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use indicatif::ProgressBar;
use rand_chacha::ChaCha8Rng;

/// Share of the distillation in the loss (Blakeney et al. 2021).
const DISTIL: f32 = 0.9;

/// What to train on, and towards what.
pub struct Task<'a> {
    /// The rows.
    pub train: &'a Set,
    /// Logits of the dense model on them: with these, the loss is 0.9 distillation and 0.1 cross-entropy.
    pub teacher: Option<&'a [f32]>,
    /// Importance of each row, 1 on average.
    pub row_weight: &'a [f32],
    /// Multipliers that hold every group's excess drop under the contract's bound.
    pub constraint: Option<&'a mut Constraint>,
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
    let mut optimiser = AdamWConfig::new().with_weight_decay(schedule.decay).init();
    let mut best: Option<(f64, Layers)> = None;
    let mut batches = Vec::new();
    for step in 0..schedule.steps {
        if stop.is_set() {
            break;
        }
        if batches.is_empty() {
            batches = epoch_batches(task.train.len(), schedule.batch, rng);
        }
        let Some(rows) = batches.pop() else { return Err(Error::new("there are no rows to train on")) };
        let logits = net.forward(net.input(task.train.gather(&rows)));
        let y: Vec<usize> = rows.iter().map(|&r| task.train.y[r]).collect();
        let k = logits.dims()[1];
        if let Some(c) = task.constraint.as_deref_mut() {
            let predicted = set::classes(&floats(logits.clone().detach())?, k);
            c.observe(&rows, &y, &predicted);
        }
        let (hard, soft) = weights(task, &rows, &y);
        let mut total = loss::cross_entropy(logits.clone(), &y, &hard);
        if let Some(teacher) = task.teacher {
            let teacher: Vec<f32> = rows.iter().flat_map(|&r| teacher[r * k..(r + 1) * k].iter().copied()).collect();
            total = total + loss::distil(logits, &teacher, &soft);
        }
        let grads = GradientsParams::from_grads(total.backward(), &net.layers);
        net.layers = optimiser.step(schedule.rate_at(step), net.layers, grads);
        bar.inc(1);
        if (step + 1) % schedule.eval_every == 0 || step + 1 == schedule.steps {
            if !floats(total.detach())?[0].is_finite() {
                return Err(Error::new("training diverged: the loss is no number any more").help("lower --lr"));
            }
            keep_best(&net, &mut score, &mut best)?;
        }
    }
    if let Some((_, layers)) = best {
        net.layers = layers;
    }
    Ok(net)
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

/// Weights of cross-entropy and of distillation for the rows of a batch.
fn weights(task: &Task, rows: &[usize], y: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let n = rows.len() as f32;
    let share = if task.teacher.is_some() { DISTIL } else { 0.0 };
    let soft: Vec<f32> = rows.iter().map(|&r| share * task.row_weight[r] / n).collect();
    let hard: Vec<f32> = rows.iter().map(|&r| (1.0 - share) * task.row_weight[r] / n).collect();
    match task.constraint.as_deref() {
        None => (hard, soft),
        Some(c) => {
            let (extra, scale) = c.weights(rows, y);
            let hard = hard.iter().zip(&extra).map(|(h, e)| (h + e).max(0.0) * scale).collect();
            (hard, soft.iter().map(|s| s * scale).collect())
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
    use crate::net::{device, zoo};
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
            let mut task = Task { train: &train, teacher: None, row_weight: &[1.0; 64], constraint: None };
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
}
