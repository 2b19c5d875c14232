//! Likeness of activations to the dense network's, for networks of different widths (the forms and factors of
//! Blakeney et al. 2021; `f` is a batch of activations, rows × channels × height × width):
//!
//! - AT, attention (Zagoruyko & Komodakis 2017): `q(f)` is the mean over channels of `f²`, flattened and scaled to norm 1
//!   per row; the mean of `(q_pruned - q_dense)²`, times 1000, summed over the ends of all stages.
//! - SP, similarity (Tung & Mori 2019): `G = F Fᵀ` with `F` the flattened rows, its rows scaled to norm 1; the sum of
//!   `(G_pruned - G_dense)² / rows²`, times 3000, at the end of the last stage.
//! - PKT, probabilities (Passalis & Tefas 2018): cosines of the rows, `(c + 1) / 2` scaled to sum 1 per row; the mean of
//!   `p_dense ln((p_dense + ε) / (p_pruned + ε))`, times 30000, of what the last layer reads.
//!
//! Places are those of the published code: see [`crate::net::term::Reference`]. A network without height or width has no
//! stages: SP takes what the last layer reads, and AT, which compares positions, cannot be used.

use crate::net::term::{Batch, Term, Weights};
use burn::tensor::Tensor;

/// Keeps logarithms finite.
const EPS: f32 = 1e-7;
/// Under a square root; small, because the squares of small activations are squared again.
const TINY: f32 = 1e-12;

/// Which likeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Attention maps.
    Attention,
    /// Similarity of the rows of a batch.
    Similarity,
    /// Probabilities from the similarity of the rows.
    Probability,
}

impl Hint {
    fn factor(self) -> f32 {
        match self {
            Hint::Attention => 1e3,
            Hint::Similarity => 3e3,
            Hint::Probability => 3e4,
        }
    }

    fn distance(self, pruned: Tensor<4>, dense: Tensor<4>) -> Tensor<1> {
        match self {
            Hint::Attention => (attention(pruned) - attention(dense)).square().mean(),
            Hint::Similarity => {
                let n = pruned.dims()[0] as f32;
                (similarity(pruned) - similarity(dense)).square().sum() / (n * n)
            }
            Hint::Probability => {
                let (p, q) = (probabilities(dense), probabilities(pruned));
                (p.clone() * ((p + EPS).log() - (q + EPS).log())).mean()
            }
        }
    }
}

impl Term for Hint {
    fn loss(&mut self, batch: &Batch, _: &Weights) -> Option<Tensor<1>> {
        // The stages, and last the embedding.
        let n = batch.watched.len();
        let places = match self {
            Hint::Attention => 0..n.saturating_sub(1),
            Hint::Similarity => n.saturating_sub(2)..n.saturating_sub(1).max(n.min(1)),
            Hint::Probability => n.saturating_sub(1)..n,
        };
        let pairs = batch.watched[places.clone()].iter().zip(&batch.reference[places]);
        let distances = pairs.map(|(pruned, dense)| self.distance(pruned.clone(), dense.clone()));
        Some(distances.reduce(|a, b| a + b)? * self.factor())
    }
}

/// Rows scaled to norm 1.
fn unit_rows(x: Tensor<2>) -> Tensor<2> {
    let norm = (x.clone().square().sum_dim(1) + TINY).sqrt();
    x / norm
}

fn attention(f: Tensor<4>) -> Tensor<2> {
    unit_rows(f.square().mean_dim(1).flatten(1, 3))
}

fn similarity(f: Tensor<4>) -> Tensor<2> {
    let f: Tensor<2> = f.flatten(1, 3);
    unit_rows(f.clone().matmul(f.transpose()))
}

fn probabilities(f: Tensor<4>) -> Tensor<2> {
    let f = unit_rows(f.flatten(1, 3));
    let p = (f.clone().matmul(f.transpose()) + 1.0) / 2.0;
    let sum = p.clone().sum_dim(1);
    p / sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{device, floats};

    fn sample(channels: usize, seed: usize) -> Tensor<4> {
        let n = 3 * channels * 4;
        let v: Vec<f32> = (0..n).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 10.0 - 1.0).collect();
        let d = device("cpu").unwrap();
        Tensor::<1>::from_floats(v.as_slice(), &d).reshape([3, channels, 2, 2])
    }

    const ALL: [Hint; 3] = [Hint::Attention, Hint::Similarity, Hint::Probability];

    #[test]
    fn nothing_is_nearer_than_the_same() {
        for hint in ALL {
            let at = |a: Tensor<4>, b: Tensor<4>| floats(hint.distance(a, b)).unwrap()[0];
            assert!(at(sample(4, 0), sample(4, 0)).abs() < 1e-6, "{hint:?}");
            // Widths may differ.
            assert!(at(sample(2, 1), sample(4, 0)) > 1e-6, "{hint:?}");
        }
    }

    /// Each likeness looks where the published code does, and scaled activations have the same attention.
    #[test]
    fn places_are_the_papers() {
        let weights = Weights::new(vec![0.5; 2]);
        let d = device("cpu").unwrap();
        let at = |places: &[usize], hint: &mut Hint| {
            let differs = |wrong: bool| -> Vec<Tensor<4>> {
                (0..3).map(|p| sample(4, usize::from(wrong && places.contains(&p)))).collect()
            };
            let batch = Batch {
                rows: &[0, 1, 2],
                y: vec![0; 3],
                logits: Tensor::zeros([3, 2], &d),
                host: vec![0.0; 6],
                watched: differs(true),
                reference: differs(false),
            };
            floats(hint.loss(&batch, &weights).unwrap()).unwrap()[0] > 1e-3
        };
        let seen = |mut hint: Hint| (0..3).filter(|&p| at(&[p], &mut hint)).collect::<Vec<_>>();
        assert_eq!(seen(Hint::Attention), [0, 1]);
        assert_eq!(seen(Hint::Similarity), [1]);
        assert_eq!(seen(Hint::Probability), [2]);
        let small = floats(Hint::Attention.distance(sample(4, 0) * 0.01, sample(4, 0))).unwrap()[0];
        assert!(small < 1e-4, "{small}");
    }

    /// By hand, on two rows of one channel and two pixels.
    #[test]
    fn distances_by_hand() {
        let d = device("cpu").unwrap();
        let t = |v: [f32; 4]| Tensor::<1>::from_floats(v, &d).reshape([2, 1, 1, 2]);
        // Rows (3, 4) and (1, 0) against (1, 0) and (1, 0).
        let (a, b) = (t([3.0, 4.0, 1.0, 0.0]), t([1.0, 0.0, 1.0, 0.0]));
        let close = |hint: Hint, want: f64| {
            let got = floats(hint.distance(a.clone(), b.clone())).unwrap()[0] as f64;
            assert!((got - want).abs() < 1e-5, "{hint:?}: {got} is not {want}");
        };
        let n = (81.0_f64 + 256.0).sqrt();
        close(Hint::Attention, ((9.0 / n - 1.0).powi(2) + (16.0 / n).powi(2)) / 4.0);
        // G of a: rows (25, 3) and (3, 1); of b: all ones.
        let (r0, r1, h) = (634.0_f64.sqrt(), 10.0_f64.sqrt(), 0.5_f64.sqrt());
        let diff = [25.0 / r0 - h, 3.0 / r0 - h, 3.0 / r1 - h, 1.0 / r1 - h];
        close(Hint::Similarity, diff.iter().map(|v| v * v).sum::<f64>() / 4.0);
        // Cosine 0.6: rows of a are (1, 0.8) / 1.8; of b (1, 1) / 2.
        let (p, q) = (0.5_f64, [1.0 / 1.8, 0.8 / 1.8]);
        close(Hint::Probability, q.iter().map(|q| p * (p / q).ln()).sum::<f64>() / 2.0);
    }
}
