//! Mixed rows (mixup, Zhang et al. 2018): `x = λ a + (1 - λ) b` with a label that is mixed alike.
//!
//! Beside distillation the dense network sees the same mixed inputs, so the small one learns its function between the
//! rows too (Beyer et al., "A good teacher is patient and consistent", 2022). `λ` is drawn from ½ to 1 for each batch,
//! so that every mixed row still belongs to one row's group and class more than to the other's.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// How the rows of a batch are mixed.
pub struct Mixed {
    share: f32,
    partner: Vec<usize>,
}

impl Mixed {
    /// Partners and a share for a batch of `n` rows.
    pub fn draw(n: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut partner: Vec<usize> = (0..n).collect();
        partner.shuffle(rng);
        Mixed { share: rng.random_range(0.5..1.0), partner }
    }

    fn blend(&self, rows: &[f32]) -> Vec<f32> {
        let width = rows.len() / self.partner.len().max(1);
        let pair = |(i, &j): (usize, &usize)| rows[i * width..].iter().zip(&rows[j * width..]).take(width);
        let mix = |(a, b): (&f32, &f32)| self.share * a + (1.0 - self.share) * b;
        self.partner.iter().enumerate().flat_map(pair).map(mix).collect()
    }

    /// The inputs of the batch, mixed.
    pub fn inputs(&self, x: &[f32]) -> Vec<f32> {
        self.blend(x)
    }

    /// Its labels as `rows × classes` probabilities, mixed.
    pub fn targets(&self, y: &[usize], classes: usize) -> Vec<f32> {
        let mut hot = vec![0.0; y.len() * classes];
        y.iter().enumerate().for_each(|(i, &y)| hot[i * classes + y] = 1.0);
        self.blend(&hot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn inputs_and_labels_are_mixed_alike() {
        let mixed = Mixed { share: 0.75, partner: vec![1, 0, 2] };
        assert_eq!(mixed.inputs(&[0.0, 4.0, 8.0, 0.0, 1.0, 1.0]), [2.0, 3.0, 6.0, 1.0, 1.0, 1.0]);
        assert_eq!(mixed.targets(&[0, 1, 1], 2), [0.75, 0.25, 0.25, 0.75, 0.0, 1.0]);
        let drawn = Mixed::draw(8, &mut ChaCha8Rng::seed_from_u64(1));
        assert!((0.5..1.0).contains(&drawn.share));
        let sums = drawn.targets(&[0, 1, 2, 0, 1, 2, 0, 1], 3);
        assert!(sums.chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    }
}
