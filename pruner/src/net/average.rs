//! The running average of a network's weights (Polyak & Juditsky 1992; as the teacher of Tarvainen & Valpola 2017).
//!
//! `a ← d a + (1 - d) w` after every step, with `d = min(0.99, (1 + t) / (10 + t))`, so that the first steps do not hang
//! on. The average lies in the middle of the weights that the last batches pull about: it generalises better than any
//! of them, and differs less from seed to seed. Statistics of normalisation are averaged like weights.

use crate::graph::{Graph, Op};

/// Highest share of the past.
const DECAY: f32 = 0.99;

/// The average so far.
pub struct Average {
    /// The network with the averaged weights.
    pub graph: Graph,
    steps: usize,
}

impl Average {
    /// Begins with these weights.
    pub fn new(graph: Graph) -> Self {
        Average { graph, steps: 0 }
    }

    /// Takes in the weights of a network of the same structure.
    pub fn add(&mut self, new: &Graph) {
        let t = self.steps as f32;
        let d = ((1.0 + t) / (10.0 + t)).min(DECAY);
        self.steps += 1;
        let mix = |a: &mut [f32], w: &[f32]| a.iter_mut().zip(w).for_each(|(a, w)| *a = d * *a + (1.0 - d) * w);
        for (old, new) in self.graph.nodes.iter_mut().zip(&new.nodes) {
            match (&mut old.op, &new.op) {
                (Op::Conv(a), Op::Conv(w)) => {
                    mix(&mut a.weight, &w.weight);
                    mix(&mut a.bias, &w.bias);
                }
                (Op::Linear(a), Op::Linear(w)) => {
                    mix(&mut a.weight, &w.weight);
                    mix(&mut a.bias, &w.bias);
                }
                (Op::BatchNorm(a), Op::BatchNorm(w)) => {
                    mix(&mut a.gamma, &w.gamma);
                    mix(&mut a.beta, &w.beta);
                    mix(&mut a.mean, &w.mean);
                    mix(&mut a.var, &w.var);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::zoo;

    #[test]
    fn the_average_follows_and_stays_between() {
        let first = zoo::build("cnn1d", &[2, 16], 2, 1).unwrap();
        let mut other = first.clone();
        let weight = |g: &Graph| match &g.nodes.iter().find(|n| matches!(n.op, Op::Conv(_))).unwrap().op {
            Op::Conv(c) => c.weight[0],
            _ => 0.0,
        };
        for n in &mut other.nodes {
            if let Op::Conv(c) = &mut n.op {
                c.weight.iter_mut().for_each(|w| *w += 1.0);
            }
        }
        let mut average = Average::new(first.clone());
        average.add(&other);
        assert!((weight(&average.graph) - weight(&first) - 0.9).abs() < 1e-5, "the first step counts for most");
        for _ in 0..50 {
            average.add(&other);
        }
        assert!((weight(&average.graph) - weight(&other)).abs() < 1e-3);
    }
}
