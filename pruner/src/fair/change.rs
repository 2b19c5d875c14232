//! What pruning does to groups and classes: drops, losses, recalls.

use super::confusion::Confusion;
use super::metrics::mean;
use super::parity::range;
use crate::contract::Metric;

/// The metric of counted rows; the same as [`super::metrics::value`].
pub fn metric_of(metric: Metric, m: &Confusion) -> Option<f64> {
    match metric {
        Metric::Accuracy => m.accuracy(),
        Metric::Recall(c) => m.recall(c),
        Metric::Fpr(c) => m.fpr(c),
        Metric::MacroRecall => m.balanced_accuracy(),
    }
}

/// Degradation `R_g`: the metric of the dense model less that of the small one; positive is harm (BiFP; CEAG, arXiv
/// 2310.20673). For a false-positive rate, where less is better, the other way round.
pub fn drop(metric: Metric, dense: &Confusion, small: &Confusion) -> Option<f64> {
    Some(super::metrics::sign(metric) * (metric_of(metric, dense)? - metric_of(metric, small)?))
}

/// Degradation gap: the range of `R_g` over groups (BiFP's degradation fairness, for any number of groups).
pub fn degradation_gap(drops: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    range(drops)
}

/// Excess drop `psi_g = R_g - R` (CEAG).
pub fn excess_drop(group: Option<f64>, everybody: Option<f64>) -> Option<f64> {
    Some(group? - everybody?)
}

/// Excessive loss of Tran et al. (NeurIPS 2022): mean log loss of the small model less that of the dense one. The range
/// over groups is their fairness violation xi.
pub fn excess_loss(dense: Option<f64>, small: Option<f64>) -> Option<f64> {
    Some(small? - dense?)
}

/// Recall distortion (Good et al., NeurIPS 2022): slope of the least-squares line, with intercept, of each class's
/// recall less the accuracy in the small model on the same in the dense model. Over 1, classes that were served worse
/// than others now are so even more. Needs three classes: through two points there always is a line.
pub fn recall_distortion(dense: &Confusion, small: &Confusion) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        (0..dense.classes()).filter_map(|c| Some((dense.recall(c)?, small.recall(c)?))).collect();
    // Subtracting each model's accuracy moves the line and leaves its slope.
    let (x, y) = (mean(points.iter().map(|p| p.0))?, mean(points.iter().map(|p| p.1))?);
    let (xx, xy) = points.iter().fold((0.0, 0.0), |(xx, xy), p| (xx + (p.0 - x).powi(2), xy + (p.0 - x) * (p.1 - y)));
    (points.len() > 2 && xx > 0.0).then(|| xy / xx)
}
