//! Knowledge distillation from the dense network (Hinton et al. 2015): `hard · CE + soft · T² · KL(dense || pruned)` at
//! `T = 4`, with the shares of Blakeney et al. 2021.
//!
//! There the dense network was trained on balanced data and passed on what it knew of rare classes; here it has seen the
//! same rows as the pruned one. Where it is wrong it passes on its errors, so that a pruned network that is trained long enough
//! to do better does not. The conditional form (Meng et al., ICASSP 2019) learns from it on the rows that it gets right, and
//! from the label on the others. There the label weighs as much as the dense network does elsewhere; here 0.3 of it.

use crate::net::loss::distil;
use crate::net::set;
use crate::net::term::{Batch, Term, Weights};
use burn::tensor::Tensor;

/// Share of the cross-entropy on rows that are not taught: at 1 they would lead, for those that the dense network gets wrong
/// are hard or labelled wrongly, and at 0.1 a dense network that is wrong on most rows would still hold the pruned one back.
const UNTAUGHT: f32 = 0.3;

/// Which rows the dense network teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teaches {
    /// All.
    Always,
    /// Those that it gets right.
    WhenRight,
}

/// `hard · CE + soft · T² · KL(dense || pruned)` on the rows that are taught, a share of cross-entropy on the others.
pub struct Distil<'a> {
    /// Logits of the dense network on all training rows.
    teacher: &'a [f32],
    teaches: Teaches,
    /// Share of the cross-entropy.
    hard: f32,
    /// Share of the divergence.
    soft: f32,
}

impl<'a> Distil<'a> {
    /// 0.1 and 0.9 alone; 1 and 1 beside a likeness of activations, as "+KD" in the paper.
    pub fn new(teacher: &'a [f32], teaches: Teaches, beside_hints: bool) -> Self {
        let (hard, soft) = if beside_hints { (1.0, 1.0) } else { (0.1, 0.9) };
        Distil { teacher, teaches, hard, soft }
    }

    /// Logits of the dense network on the rows of a batch as they are in the set, and which of them it teaches.
    fn lesson(&self, batch: &Batch) -> (Vec<f32>, Vec<bool>) {
        let k = batch.logits.dims()[1];
        let logits: Vec<f32> = batch.rows.iter().flat_map(|&r| &self.teacher[r * k..(r + 1) * k]).copied().collect();
        let right = |(said, y): (usize, &usize)| self.teaches == Teaches::Always || said == *y;
        let taught = set::classes(&logits, k).into_iter().zip(&batch.y).map(right).collect();
        (logits, taught)
    }
}

impl Term for Distil<'_> {
    fn weigh(&mut self, batch: &Batch, weights: &mut Weights) {
        let (_, taught) = self.lesson(batch);
        let untaught = UNTAUGHT.max(self.hard);
        weights.hard.iter_mut().zip(taught).for_each(|(h, taught)| *h *= if taught { self.hard } else { untaught });
    }

    fn loss(&mut self, batch: &Batch, weights: &Weights) -> Option<Tensor<1>> {
        let (stored, taught) = self.lesson(batch);
        let logits = batch.dense.as_ref().unwrap_or(&stored);
        let soft = |(w, taught): (&f32, bool)| if taught { w * self.soft } else { 0.0 };
        let soft: Vec<f32> = weights.row.iter().zip(taught).map(soft).collect();
        Some(distil(batch.logits.clone(), logits, &soft))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{device, floats};

    /// Two rows of class 0; the dense network gets the first right.
    #[test]
    fn labels_teach_where_the_dense_network_is_wrong() {
        let teacher = [2.0, -1.0, -1.0, 2.0];
        let host = vec![0.5, 0.25, 0.5, 0.25];
        let batch = Batch {
            rows: &[0, 1],
            y: vec![0, 0],
            logits: Tensor::from_data([[0.5, 0.25], [0.5, 0.25]], &device("cpu").unwrap()),
            host,
            dense: None,
            watched: vec![],
            reference: vec![],
        };
        let of = |teaches: Teaches, beside_hints: bool| {
            let mut term = Distil::new(&teacher, teaches, beside_hints);
            let mut weights = Weights::new(vec![0.5, 0.5]);
            term.weigh(&batch, &mut weights);
            let loss = floats(term.loss(&batch, &weights).unwrap()).unwrap()[0];
            (weights.targets(&batch.y, 2), loss)
        };
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        let (always, when_right) = (of(Teaches::Always, false), of(Teaches::WhenRight, false));
        assert!(close(&of(Teaches::WhenRight, true).0, &[0.5, 0.0, 0.5, 0.0]));
        assert!(close(&always.0, &[0.05, 0.0, 0.05, 0.0]), "{always:?}");
        assert!(close(&when_right.0, &[0.05, 0.0, 0.15, 0.0]), "{when_right:?}");
        let first = floats(distil(batch.logits.clone(), &teacher, &[0.45, 0.0])).unwrap()[0];
        assert!((when_right.1 - first).abs() < 1e-5 && always.1 > first);
    }
}
