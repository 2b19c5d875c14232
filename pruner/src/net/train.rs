//! Training from nothing: cross-entropy, the best network on the selection rows.

use super::optimise::{Schedule, Task, fit};
use super::{Net, Set, set};
use crate::contract::Metric;
use crate::error::{Error, Result};
use crate::fair::metrics::{sign, value};
use crate::graph::Graph;
use crate::progress::{Stop, bar};
use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// How to train a network from nothing.
#[derive(Clone, Debug)]
pub struct Training {
    /// What the best network is chosen by, on selection rows.
    pub metric: Metric,
    /// How long and how fast.
    pub schedule: Schedule,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where to train.
    pub device: Device,
}

/// Trains a network of the zoo from nothing: cross-entropy, best on the selection rows.
///
/// # Errors
/// When training failed.
pub fn train(graph: &Graph, train: &Set, selection: &Set, how: &Training, stop: &Stop) -> Result<Graph> {
    let Training { metric, schedule, seed, device } = how;
    let metric = *metric;
    if train.is_empty() || selection.is_empty() {
        return Err(Error::new("training needs rows in the splits `train` and `val`"));
    }
    let classes = graph.output_shape().len();
    let mut rng = ChaCha8Rng::seed_from_u64(*seed);
    let progress = bar("train", schedule.steps);
    let row_weight = row_weights(metric, &train.y, classes);
    let mut task = Task::plain(train, &row_weight);
    let rows: Vec<usize> = (0..selection.len()).collect();
    let go_on = Stop::default();
    let mut score = |net: &Net| -> Result<f64> {
        let now = set::classes(&selection.logits(net, &go_on)?, classes);
        Ok(sign(metric) * value(metric, &selection.y, &now, &rows).unwrap_or(0.0))
    };
    let net = fit(
        Net::new(graph, &device.clone().autodiff()),
        &mut task,
        schedule,
        Some(&mut score),
        &mut rng,
        stop,
        &progress,
    )?;
    progress.finish_and_clear();
    net.to_graph()
}

/// Rows of rare classes weigh more, whatever the metric unless it is accuracy; the mean is 1.
pub(crate) fn row_weights(metric: Metric, y: &[usize], classes: usize) -> Vec<f32> {
    if metric == Metric::Accuracy {
        return vec![1.0; y.len()];
    }
    let mut count = vec![0usize; classes];
    y.iter().for_each(|&c| count[c] += 1);
    let present = count.iter().filter(|n| **n > 0).count();
    let raw: Vec<f32> = y.iter().map(|&c| (y.len() as f32 / (present * count[c]) as f32).clamp(0.2, 5.0)).collect();
    let mean = raw.iter().sum::<f32>() / raw.len().max(1) as f32;
    raw.iter().map(|w| w / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_classes_weigh_more_where_the_metric_weighs_classes_alike() {
        let y = [0, 0, 0, 2];
        assert_eq!(row_weights(Metric::Accuracy, &y, 3), [1.0; 4]);
        let w = row_weights(Metric::MacroRecall, &y, 3);
        assert!((w.iter().sum::<f32>() - 4.0).abs() < 1e-5 && (w[3] - 3.0 * w[0]).abs() < 1e-5, "{w:?}");
        assert!(row_weights(Metric::MacroRecall, &[], 3).is_empty());
    }
}
