//! Gates on frozen weights against a head that guesses the group (FFW, Nahon et al., ECCV 2024, with a gate per channel).
//!
//! A gate is `ĝ = min(2 σ(g/τ), 1)`, and its derivative the straight-through `2 σ (1 - σ) / τ`. The gates descend the task's
//! cross-entropy plus ten times the information that the last layer's input holds of the group, which a linear head
//! estimates: `I ≥ H(S) - CE(head)`, with `H` fixed. So the gates descend `CE - 10 · CE(head)` while the head descends
//! `CE(head)`. The groups are those of the contract's first entry. `τ = 1` throughout: the budget, not a falling
//! temperature, says how many gates stay open. Derivatives are scaled so that the largest step of a gate is 0.2, in place
//! of Adam.

use super::{Learning, scores};
use crate::data::batch::epoch_batches;
use crate::error::{Error, Result};
use crate::net::Net;
use crate::net::loss::cross_entropy;
use crate::progress::Stop;
use crate::prune::score::Scores;
use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;

/// Weight of the information.
const INFORMATION: f32 = 10.0;
/// Learning rate of the head.
const HEAD_RATE: f32 = 0.1;
/// Largest step of a gate.
const STEP: f64 = 0.2;

/// Scores of the channels: their gates before the sigmoid.
///
/// # Errors
/// When the device fails.
pub fn learn(how: &Learning, rng: &mut ChaCha8Rng, stop: &Stop) -> Result<Scores> {
    let device = how.device.clone().autodiff();
    let net = Net::new(how.graph, &device);
    let groups = how.train.groups;
    let of_entry = groups.of_entry(0);
    // A row of no group tells the head nothing.
    let label = |row: usize| -> Option<usize> {
        let own = *groups.of_row[row].first()? as usize;
        of_entry.iter().position(|&g| g == own)
    };
    let last = how.graph.last_layer();
    let watch: Vec<usize> = last.map(|id| how.graph.nodes[id].inputs[0]).into_iter().collect();
    let width = watch.first().map_or(1, |&id| how.graph.nodes[id].shape.len());
    let mut head: Tensor<2> = Tensor::zeros([width, of_entry.len().max(1)], &device);
    let mut g: Vec<Vec<f64>> = how.coupling.classes.iter().map(|c| vec![0.0; c.channels]).collect();
    let mut batches = Vec::new();
    for _ in 0..how.steps {
        if stop.is_set() {
            break;
        }
        if batches.is_empty() {
            batches = epoch_batches(how.train.set.len(), how.batch, rng);
        }
        let Some(rows) = batches.pop() else { return Err(Error::new("there are no rows to train on")) };
        let open = |g: &Vec<f64>| g.iter().map(|g| (2.0 * sigmoid(*g)).min(1.0) as f32).collect();
        let gates = how.readers(&g.iter().map(open).collect::<Vec<_>>());
        let (logits, seen) = net.forward_hooked(net.input(how.train.set.gather(&rows)), &gates, &watch);
        let weight = vec![1.0 / rows.len() as f32; rows.len()];
        let y: Vec<usize> = rows.iter().map(|&r| how.train.set.y[r]).collect();
        let s: Vec<Option<usize>> = rows.iter().map(|&r| label(r)).collect();
        let known = s.iter().flatten().count().max(1) as f32;
        let of_known: Vec<f32> = s.iter().map(|s| f32::from(u8::from(s.is_some())) / known).collect();
        let s: Vec<usize> = s.into_iter().map(|s| s.unwrap_or(0)).collect();
        let task = cross_entropy(logits, &y, &weight);
        let h = head.clone().require_grad();
        // The last layer reads its input through a gate of its own, and so does the head.
        let read = |f: Tensor<4>| match gates.iter().find(|(id, _)| Some(*id) == last) {
            Some((_, gate)) => f * gate.clone(),
            None => f,
        };
        let guess =
            seen.into_iter().next().map(|f| cross_entropy(read(f).flatten::<2>(1, 3).matmul(h.clone()), &s, &of_known));
        let total = match &guess {
            Some(guess) => task - guess.clone() * INFORMATION,
            None => task,
        };
        let grads = total.backward();
        if let Some(grad) = h.grad(&grads) {
            // The total holds the head's loss ten times with the other sign.
            head = Tensor::from_inner(h.inner() + grad * (HEAD_RATE / INFORMATION));
        }
        let mut d = how.derivatives(&gates, &grads)?;
        for (d, g) in d.iter_mut().flatten().zip(g.iter().flatten()) {
            *d *= 2.0 * sigmoid(*g) * (1.0 - sigmoid(*g));
        }
        let largest = d.iter().flatten().fold(1e-12_f64, |m, v| m.max(v.abs()));
        g.iter_mut().flatten().zip(d.iter().flatten()).for_each(|(g, d)| *g -= STEP * d / largest);
    }
    Ok(scores(&g.iter().map(|g| g.iter().map(|v| *v as f32).collect()).collect::<Vec<_>>()))
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}
