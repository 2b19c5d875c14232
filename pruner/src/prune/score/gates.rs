//! Scores from gate gradients, row by row.
//!
//! A gate of 1 on what each layer reads of a channel has the derivative `t = dL/dgate = Σ w · dL/dw` over the weights that
//! read it (Molchanov et al. 2019). With a gate of its own for every row of a batch, one backward pass gives the
//! derivative of every row's loss, so scores of any number of groups cost no more than those of one. Only the
//! readers' side is summed: the producers' side has the same derivative and would count twice. The graph must be
//! folded, so that normalisation does not hide the gradient.

use super::{Scores, Scoring};
use crate::couple::widths;
use crate::data::batch::group_batches;
use crate::error::Result;
use crate::graph::{NodeId, Op};
use crate::net::Net;
use crate::net::loss::soft_cross_entropy;
use crate::prune::gated::{derivatives, readers};
use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;

/// Rows whose gradient counts as one in a squared mean.
const CHUNK: usize = 16;
/// Chunks of each group at least and at most; between them, [`BUDGET`] is shared out.
const CHUNKS: (usize, usize) = (5, 48);
/// Chunks over all groups.
const BUDGET: usize = 120;
/// Rows per backward pass.
const BATCH: usize = 4 * CHUNK;
/// Weight decay whose share of the gradient [`Gates::undecayed`] takes out (Good et al. 2022).
const DECAY: f64 = 5e-4;

/// Gate derivatives of rows of every group.
pub struct Gates {
    /// Channels of each class.
    sizes: Vec<usize>,
    /// Per group, per chunk of [`CHUNK`] rows, per row: the derivative of every channel, class after class.
    groups: Vec<Vec<Vec<Vec<f64>>>>,
    /// Per group, its share of the rows.
    share: Vec<f64>,
}

impl Gates {
    /// Takes rows of every group and differentiates.
    ///
    /// # Errors
    /// When the device fails.
    pub fn collect(s: &Scoring, rng: &mut ChaCha8Rng) -> Result<Self> {
        let groups = &s.train.groups.groups;
        let chunks = (BUDGET / groups.len().max(1)).clamp(CHUNKS.0, CHUNKS.1);
        let net = Net::new(s.graph, &s.device.clone().autodiff());
        let sizes = widths(s.coupling);
        let mut out = Gates { sizes, groups: Vec::new(), share: Vec::new() };
        for (g, group) in groups.iter().enumerate() {
            let rows: Vec<Vec<usize>> = group_batches(s.train.groups, g, CHUNK, chunks, rng);
            let mut of_group = Vec::with_capacity(rows.len());
            for batch in rows.concat().chunks(BATCH) {
                let t = out.rows(s, &net, batch)?;
                of_group.extend(t.chunks(CHUNK).map(<[_]>::to_vec));
            }
            out.groups.push(of_group);
            out.share.push(group.rows.len() as f64 / s.train.set.len().max(1) as f64);
        }
        Ok(out)
    }

    /// Derivative of the loss of each of these rows by the gate of each channel.
    fn rows(&self, s: &Scoring, net: &Net, rows: &[usize]) -> Result<Vec<Vec<f64>>> {
        let (n, set) = (rows.len(), s.train.set);
        let x = net.input(set.gather(rows));
        let readers = readers(s.graph, s.coupling);
        let gates: Vec<(NodeId, Tensor<4>)> =
            readers.iter().map(|&(id, c)| (id, Tensor::ones([n, c, 1, 1], &x.device()).require_grad())).collect();
        let logits = net.forward_hooked(x, &gates, &[]).0;
        let k = logits.dims()[1];
        let target = match s.pw {
            Some(pw) => {
                let mut t = pw.targets(rows);
                t.chunks_mut(k).zip(rows).for_each(|(t, &r)| t.iter_mut().for_each(|v| *v *= pw.weight[r]));
                t
            }
            None => {
                let mut t = vec![0.0; n * k];
                rows.iter().enumerate().for_each(|(i, &r)| t[i * k + set.y[r]] = 1.0);
                t
            }
        };
        let grads = soft_cross_entropy(logits, target).backward();
        Ok(derivatives(s.coupling, &self.sizes, &gates, &grads, n)?.into_iter().map(|row| row.concat()).collect())
    }

    /// `[group][class][channel]` from one number per group and channel.
    fn scores(&self, groups: Vec<Vec<f64>>) -> Scores {
        let split = |group: Vec<f64>| {
            let mut rest = group.into_iter();
            self.sizes.iter().map(|&size| rest.by_ref().take(size).collect()).collect()
        };
        Scores { groups: groups.into_iter().map(split).collect() }
    }

    /// Per group, the mean over chunks of the squared mean derivative of a chunk.
    fn squared_means(&self) -> Vec<Vec<f64>> {
        self.per_group(|chunk, out| {
            let n = chunk.len() as f64;
            for (u, out) in out.iter_mut().enumerate() {
                *out += (chunk.iter().map(|row| row[u]).sum::<f64>() / n).powi(2);
            }
            1.0
        })
    }

    /// Per group, the mean over all rows of the squared derivative: the diagonal of the Fisher matrix of the gates.
    fn fisher(&self) -> Vec<Vec<f64>> {
        self.per_group(|chunk, out| {
            for row in chunk {
                out.iter_mut().zip(row).for_each(|(out, t)| *out += t * t);
            }
            chunk.len() as f64
        })
    }

    /// Adds up what `each` adds per chunk, over what it counts.
    fn per_group(&self, each: impl Fn(&[Vec<f64>], &mut [f64]) -> f64) -> Vec<Vec<f64>> {
        let total: usize = self.sizes.iter().sum();
        let one = |chunks: &Vec<Vec<Vec<f64>>>| {
            let mut out = vec![0.0; total];
            let n: f64 = chunks.iter().map(|c| each(c, &mut out)).sum();
            out.iter_mut().for_each(|v| *v /= n.max(1.0));
            out
        };
        self.groups.iter().map(one).collect()
    }

    /// Everybody: groups weighed by their rows.
    fn pooled(&self, groups: Vec<Vec<f64>>) -> Vec<f64> {
        let mut out = vec![0.0; self.sizes.iter().sum()];
        for (group, share) in groups.iter().zip(&self.share) {
            out.iter_mut().zip(group).for_each(|(o, v)| *o += v * share);
        }
        out
    }

    /// Importance of a channel to everybody (Molchanov et al. 2019).
    pub fn pooled_taylor(&self) -> Scores {
        self.scores(vec![scaled(self.pooled(self.squared_means()))])
    }

    /// The same with the derivative of every row squared by itself (Theis et al. 2018).
    pub fn pooled_fisher(&self) -> Scores {
        self.scores(vec![scaled(self.pooled(self.fisher()))])
    }

    /// Importance to each group, each group's sum scaled to 1.
    pub fn by_group(&self) -> Scores {
        self.scores(self.squared_means().into_iter().map(scaled).collect())
    }

    /// Importance to each group as it is, for methods that compare groups by their shares.
    pub fn raw_by_group(&self) -> Scores {
        self.scores(self.squared_means())
    }

    /// `|-Σ w g + wd Σ w²|` over the weights that read a channel (undecayed pruning, Good et al. 2022): the gradient
    /// less its share that holds weight decay in balance.
    pub fn undecayed(&self, s: &Scoring) -> Scores {
        let mut mean = vec![0.0; self.sizes.iter().sum()];
        for (chunks, share) in self.groups.iter().zip(&self.share) {
            let n = chunks.iter().map(Vec::len).sum::<usize>().max(1) as f64;
            for row in chunks.iter().flatten() {
                mean.iter_mut().zip(row).for_each(|(m, t)| *m += share * t / n);
            }
        }
        let norms = reader_norms(s, &self.sizes);
        self.scores(vec![scaled(mean.iter().zip(norms).map(|(t, w2)| (-t + DECAY * w2).abs()).collect())])
    }

    /// `½ (h_worse - β h_better)` with `h` the Fisher of the gates (FairPrune, Wu et al. 2022, on whole channels, all
    /// rows in the Fisher): channels that matter to those who fare better and not to those who fare worse go first.
    /// Groups that the dense network serves worse than everybody are on one side, the others on the other. Scores may be
    /// negative.
    pub fn fair_prune(&self, s: &Scoring) -> Scores {
        let right = |rows: &[usize]| {
            rows.iter().filter(|&&r| s.dense[r] == s.train.set.y[r]).count() as f64 / rows.len().max(1) as f64
        };
        let everybody = right(&(0..s.train.set.len()).collect::<Vec<_>>());
        let mut sides = [(vec![0.0; self.sizes.iter().sum()], 0.0), (vec![0.0; self.sizes.iter().sum()], 0.0)];
        for (group, h) in s.train.groups.groups.iter().zip(self.fisher()).filter(|(g, _)| !g.rows.is_empty()) {
            let (sum, count) = &mut sides[usize::from(right(&group.rows) >= everybody)];
            sum.iter_mut().zip(h).for_each(|(s, h)| *s += h);
            *count += 1.0;
        }
        let [(worse, a), (better, b)] = &sides;
        let (a, b) = (f64::max(*a, 1.0), f64::max(*b, 1.0));
        self.scores(vec![worse.iter().zip(better).map(|(w, o)| 0.5 * (w / a - BETA * o / b)).collect()])
    }
}

/// How much the better served count against the worse served (0.33 to 0.5 in the paper).
const BETA: f64 = 0.4;

fn scaled(mut v: Vec<f64>) -> Vec<f64> {
    let sum: f64 = v.iter().sum();
    if sum > 0.0 {
        v.iter_mut().for_each(|v| *v /= sum);
    }
    v
}

/// Sum of the squared weights that read each channel.
fn reader_norms(s: &Scoring, sizes: &[usize]) -> Vec<f64> {
    let mut out = Vec::with_capacity(sizes.iter().sum());
    for (class, &size) in s.coupling.classes.iter().zip(sizes) {
        let mut own = vec![0.0; size];
        for member in class.consumers.iter().filter(|_| class.frozen.is_none()) {
            let (weight, fan_in, taps) = match &s.graph.nodes[member.node].op {
                Op::Conv(c) => (&c.weight, c.fan_in(), c.window.taps()),
                Op::Linear(l) => (&l.weight, l.inp, 1),
                _ => continue,
            };
            let (first, run) = (member.offset * taps, member.span * taps);
            for filter in weight.chunks(fan_in) {
                for (own, w) in own.iter_mut().zip(filter[first..].chunks(run)) {
                    *own += w.iter().map(|w| f64::from(w * w)).sum::<f64>();
                }
            }
        }
        out.extend(own);
    }
    out
}
