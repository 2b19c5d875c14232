//! Losses on logits: cross-entropy with a weight per sample, and distillation.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

/// Temperature of the distillation (Blakeney et al. 2021, after Hinton et al. 2015).
pub const TEMPERATURE: f32 = 4.0;

/// `sum_i weight_i * CE(logits_i, y_i)`; the weights carry the division by the batch.
pub fn cross_entropy(logits: Tensor<2>, y: &[usize], weight: &[f32]) -> Tensor<1> {
    let [n, k] = logits.dims();
    // One-hot rows scaled by the weight: one product instead of a gather and its scatter backwards.
    let mut target = vec![0.0; n * k];
    for (i, (&c, &w)) in y.iter().zip(weight).enumerate() {
        target[i * k + c] = w;
    }
    soft_cross_entropy(logits, target)
}

/// `-sum_ic target_ic * log softmax(logits_i)_c`; `target` holds `n × k` weights.
pub fn soft_cross_entropy(logits: Tensor<2>, target: Vec<f32>) -> Tensor<1> {
    let target = Tensor::<2>::from_data(TensorData::new(target, logits.dims()), &logits.device());
    (log_softmax(logits, 1) * target).sum().neg()
}

/// Softmax of `n × k` logits on the host.
pub fn softmax_rows(logits: &[f32], k: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(logits.len());
    for row in logits.chunks(k) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e: Vec<f32> = row.iter().map(|v| (v - max).exp()).collect();
        let sum: f32 = e.iter().sum();
        out.extend(e.iter().map(|v| v / sum));
    }
    out
}

/// `sum_i weight_i * T² * KL(teacher_i || student_i)` at temperature [`TEMPERATURE`], the constant entropy
/// of the teacher left out; `teacher` holds `n × k` logits.
pub fn distil(logits: Tensor<2>, teacher: &[f32], weight: &[f32]) -> Tensor<1> {
    let [n, k] = logits.dims();
    let cooled: Vec<f32> = teacher.iter().take(n * k).map(|v| v / TEMPERATURE).collect();
    let mut target = softmax_rows(&cooled, k);
    for (row, &w) in target.chunks_mut(k).zip(weight) {
        row.iter_mut().for_each(|p| *p *= w * TEMPERATURE * TEMPERATURE);
    }
    soft_cross_entropy(logits / TEMPERATURE, target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{device, floats};

    #[test]
    fn cross_entropy_is_the_weighted_sum() {
        let d = device("cpu").unwrap();
        let logits = Tensor::<2>::from_floats([[1.0, 2.0], [0.5, -0.5]], &d);
        let got = floats(cross_entropy(logits, &[0, 1], &[0.25, 2.0])).unwrap()[0];
        let ce = |a: f32, b: f32| (1.0 + (b - a).exp()).ln();
        assert!((got - (0.25 * ce(1.0, 2.0) + 2.0 * ce(-0.5, 0.5))).abs() < 1e-5);
    }

    #[test]
    fn distillation_is_smallest_at_the_teacher() {
        let d = device("cpu").unwrap();
        let teacher = [1.0, -1.0, 3.0];
        let at = |l: [f32; 3]| floats(distil(Tensor::<2>::from_floats([l], &d), &teacher, &[1.0])).unwrap()[0];
        assert!(at(teacher) < at([1.5, -1.0, 3.0]) && at(teacher) < at([1.0, -1.0, 2.0]));
    }
}
