//! Scores from gate gradients, row by row.
//!
//! A gate of 1 on what each layer reads of a channel has the derivative `t = dL/dgate = Σ w · dL/dw` over the weights that
//! read it (Molchanov et al. 2019). With a gate of its own for every row of a batch, one backward pass gives the
//! derivative of every row's loss, so scores of any number of groups cost no more than those of one. Only the
//! readers' side is summed: the producers' side has the same derivative and would count twice. The graph must be
//! folded, so that normalisation does not hide the gradient. The loss is that of the training: rows weigh as the metric
//! or the performance-weighted loss says.

use super::{Scores, Scoring, batches_per_group};
use crate::couple::widths;
use crate::data::GroupSet;
use crate::data::batch::group_batches;
use crate::data::groups::Group;
use crate::error::Result;
use crate::graph::{NodeId, Op};
use crate::net::Net;
use crate::net::loss::soft_cross_entropy;
use crate::prune::gated::{derivatives, readers};
use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;

/// Rows whose gradient counts as one in a squared mean.
pub(super) const CHUNK: usize = super::BATCH;
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
    /// Per group, the number of its rows.
    rows: Vec<usize>,
}

impl Gates {
    /// Differentiates rows of everybody as one group, for scores that know of no others.
    ///
    /// # Errors
    /// When the device fails.
    pub fn of_all(s: &Scoring, rng: &mut ChaCha8Rng) -> Result<Self> {
        let n = s.train.set.len();
        let all = Group { name: "all".to_owned(), rows: (0..n).collect() };
        Gates::collect(s, &GroupSet { groups: vec![all], of_row: vec![vec![0]; n] }, rng)
    }

    /// Differentiates as many rows of each group of the contract. Their number in all does not grow with the groups.
    ///
    /// # Errors
    /// When the device fails.
    pub fn of_groups(s: &Scoring, rng: &mut ChaCha8Rng) -> Result<Self> {
        Gates::collect(s, s.train.groups, rng)
    }

    fn collect(s: &Scoring, groups: &GroupSet, rng: &mut ChaCha8Rng) -> Result<Self> {
        let chunks = batches_per_group(groups.groups.len());
        let net = Net::new(s.graph, &s.device.clone().autodiff());
        let mut out = Gates { sizes: widths(s.coupling), groups: Vec::new(), rows: Vec::new() };
        for (g, group) in groups.groups.iter().enumerate() {
            let rows: Vec<Vec<usize>> = group_batches(groups, g, CHUNK, chunks, rng);
            let mut of_group = Vec::with_capacity(rows.len());
            for batch in rows.concat().chunks(BATCH) {
                let t = out.rows(s, &net, batch)?;
                of_group.extend(t.chunks(CHUNK).map(<[_]>::to_vec));
            }
            out.groups.push(of_group);
            out.rows.push(group.rows.len());
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
        let mut target = match s.pw {
            Some(pw) => pw.targets(rows),
            None => {
                let mut t = vec![0.0; n * k];
                rows.iter().enumerate().for_each(|(i, &r)| t[i * k + set.y[r]] = 1.0);
                t
            }
        };
        for (t, &r) in target.chunks_mut(k).zip(rows) {
            let weight = s.row_weight[r] * s.pw.map_or(1.0, |pw| pw.weight[r]);
            t.iter_mut().for_each(|v| *v *= weight);
        }
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
        let all = self.rows.iter().sum::<usize>().max(1) as f64;
        let mut out = vec![0.0; self.sizes.iter().sum()];
        for (group, &rows) in groups.iter().zip(&self.rows) {
            out.iter_mut().zip(group).for_each(|(o, v)| *o += v * rows as f64 / all);
        }
        out
    }

    /// `E[(mean t of a batch)²]` (Molchanov et al. 2019), groups weighed by their rows.
    pub fn pooled_taylor(&self) -> Scores {
        self.scores(vec![scaled(self.pooled(self.squared_means()))])
    }

    /// `E[t²]` with the derivative of every row squared by itself (Theis et al. 2018), groups weighed by their rows.
    pub fn pooled_fisher(&self) -> Scores {
        self.scores(vec![scaled(self.pooled(self.fisher()))])
    }

    /// Importance to each group, each group's sum scaled to 1.
    pub fn by_group(&self) -> Scores {
        self.scores(self.squared_means().into_iter().map(scaled).collect())
    }

    /// Importance to each group as it is (FairGRAPE, Lin et al. 2022: `I[w, g] = Σ_batches (w dL_g/dw)²`, of the gates),
    /// for methods that compare groups by their shares. The published code lets gradients of one group leak into the next
    /// and updates weights while it scores; here each row has its own gradient on fixed weights.
    pub fn raw_by_group(&self) -> Scores {
        self.scores(self.squared_means())
    }

    /// `|-Σ w g + wd Σ w²|` over the weights that read a channel (undecayed pruning, Good et al. 2022): the gradient
    /// less its share that holds weight decay in balance.
    pub fn undecayed(&self, s: &Scoring) -> Scores {
        let means = self.per_group(|chunk, out| {
            for row in chunk {
                out.iter_mut().zip(row).for_each(|(out, t)| *out += t);
            }
            chunk.len() as f64
        });
        let norms = reader_norms(s, &self.sizes);
        let score = self.pooled(means).iter().zip(norms).map(|(t, w2)| (-t + DECAY * w2).abs()).collect();
        self.scores(vec![scaled(score)])
    }

    /// `½ (h_worse - β h_better)` with `h` the Fisher of the gates (FairPrune, Wu et al. 2022, on whole channels):
    /// channels that matter to those who fare better and not to those who fare worse go first. Groups for whom the dense
    /// network is right less often than for everybody, whatever the contract measures, are on one side, the others on the
    /// other, each side the mean of its groups.
    /// Scores may be negative. Where no group fares worse, `h` of everybody is the score.
    ///
    /// The published structured code keeps the last sample's squared gradient only; here every row is in the mean.
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
        if *a == 0.0 || *b == 0.0 {
            return self.pooled_fisher();
        }
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
