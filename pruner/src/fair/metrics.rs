//! What a model does on a set of rows: hits, accuracy, recall, confusion, calibration, churn.
//!
//! Everything that the verdict needs is a *hit* per row: the metric of a set of rows is a weighted mean of hits.

use crate::contract::Metric;
use crate::error::{Error, Result};

/// Predicted class per row of the same rows, by the three models that a verdict compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predictions {
    /// The dense model.
    pub dense: Vec<usize>,
    /// The pruned model in f32.
    pub pruned: Vec<usize>,
    /// The int8 model that ships.
    pub int8: Vec<usize>,
}

impl Predictions {
    /// Checks that there is one prediction per row. A class that no row has is a wrong prediction like any other.
    ///
    /// # Errors
    /// Names the model, the number found and the number wanted.
    pub fn check(&self, rows: usize) -> Result<()> {
        for (name, p) in [("dense", &self.dense), ("pruned", &self.pruned), ("int8", &self.int8)] {
            if p.len() != rows {
                return Err(Error::new(format!("the {name} model gave {} predictions for {rows} rows", p.len())));
            }
        }
        Ok(())
    }
}

/// Outcome of one row: 1 when the row is a hit, 0 when not, `None` when the metric does not count the row (a row of
/// another class for a recall, a row of the class for its false-positive rate). A hit of `fpr` is a false positive.
pub fn hit(metric: Metric, y: usize, pred: usize) -> Option<f64> {
    let (counts, hit) = match metric {
        Metric::Accuracy | Metric::MacroRecall => (true, pred == y),
        Metric::Recall(c) => (y == c, pred == c),
        Metric::Fpr(c) => (y != c, pred == c),
    };
    counts.then_some(f64::from(u8::from(hit)))
}

/// +1 when more of the metric is better, -1 when less is (`fpr`). `harm = sign * (dense - small)`.
pub fn sign(metric: Metric) -> f64 {
    if matches!(metric, Metric::Fpr(_)) { -1.0 } else { 1.0 }
}

/// The rows that the metric counts, in cells of equal weight: one cell, or one per class present for macro recall.
/// The metric is the mean over the cells of the mean hit in the cell. Cells are never empty.
pub fn cells(metric: Metric, y: &[usize], rows: &[usize]) -> Vec<(usize, Vec<usize>)> {
    let mut cells = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for &i in rows {
        if hit(metric, y[i], y[i]).is_some() {
            cells.entry(if metric == Metric::MacroRecall { y[i] } else { 0 }).or_default().push(i);
        }
    }
    cells.into_iter().collect()
}

/// The metric of `pred` on `rows`; `None` when no row counts.
pub fn value(metric: Metric, y: &[usize], pred: &[usize], rows: &[usize]) -> Option<f64> {
    let cells = cells(metric, y, rows);
    mean(cells.iter().filter_map(|(_, rows)| mean(rows.iter().filter_map(|&i| hit(metric, y[i], pred[i])))))
}

/// Mean; `None` of nothing.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (n, sum) = values.fold((0usize, 0.0), |(n, s), v| (n + 1, s + v));
    (n > 0).then(|| sum / n as f64)
}

/// Share of `rows` where `f` holds; `None` without rows.
fn share(rows: &[usize], f: impl Fn(usize) -> bool) -> Option<f64> {
    mean(rows.iter().map(|&i| f64::from(u8::from(f(i)))))
}

/// Share of rows that two models predict differently.
pub fn churn(a: &[usize], b: &[usize], rows: &[usize]) -> Option<f64> {
    share(rows, |i| a[i] != b[i])
}

/// Whether a row is a harmful flip: the dense model gets it right and the small one wrong.
pub(super) fn harmful(y: usize, dense: usize, small: usize) -> bool {
    dense == y && small != y
}

/// Harmful flips: share of rows that the dense model gets right and the small one wrong.
pub fn harmful_flips(y: &[usize], dense: &[usize], small: &[usize], rows: &[usize]) -> Option<f64> {
    share(rows, |i| harmful(y[i], dense[i], small[i]))
}

/// Classes that a confusion matrix needs room for: all of the data, and whatever else the models say.
pub(super) fn confusion_size(classes: usize, y: &[usize], predictions: [&[usize]; 2]) -> usize {
    predictions.into_iter().chain([y]).flatten().fold(classes, |n, &c| n.max(c + 1))
}

/// Expected calibration error with 10 equal-width bins, `Σ_b n_b/n · |accuracy_b - confidence_b|` (Guo et al. 2017),
/// from the top class's probability and whether it was right.
pub fn ece(confidence: &[f64], right: &[bool], rows: &[usize]) -> Option<f64> {
    let mut bins = [(0.0_f64, 0.0_f64); 10];
    for &i in rows {
        let bin = ((confidence[i] * 10.0) as usize).min(9);
        bins[bin].0 += f64::from(u8::from(right[i]));
        bins[bin].1 += confidence[i];
    }
    (!rows.is_empty()).then(|| bins.iter().map(|(acc, conf)| (acc - conf).abs()).sum::<f64>() / rows.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::confusion::Confusion;
    use super::*;
    use proptest::prelude::*;

    const Y: [usize; 6] = [0, 0, 0, 1, 1, 2];
    const P: [usize; 6] = [0, 0, 1, 1, 0, 0];
    const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

    #[test]
    fn metrics_by_hand() {
        let v = |m| value(m, &Y, &P, &ALL).unwrap();
        assert_eq!(v(Metric::Accuracy), 0.5);
        assert_eq!(v(Metric::Recall(0)), 2.0 / 3.0);
        assert_eq!(v(Metric::Recall(2)), 0.0);
        assert_eq!(v(Metric::Fpr(0)), 2.0 / 3.0);
        assert!((v(Metric::MacroRecall) - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-15);
        // Classes that a set lacks do not count.
        assert_eq!(value(Metric::MacroRecall, &Y, &P, &[0, 3]), Some(1.0));
        assert_eq!(value(Metric::Recall(2), &Y, &P, &[0, 3]), None);
        assert_eq!(churn(&Y, &P, &ALL), Some(0.5));
        assert_eq!(harmful_flips(&Y, &[0, 1, 0, 1, 1, 0], &P, &ALL), Some(2.0 / 6.0));
    }

    #[test]
    fn calibration_of_a_calibrated_and_a_boasting_model() {
        let rows: Vec<usize> = (0..10).collect();
        let right: Vec<bool> = (0..10).map(|i| i < 8).collect();
        assert!(ece(&[0.8; 10], &right, &rows).unwrap() < 1e-12);
        assert!((ece(&[1.0; 10], &right, &rows).unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(ece(&[], &[], &[]), None);
    }

    #[test]
    fn wrong_predictions_are_named() {
        let p = |n: usize| Predictions { dense: vec![0; 3], pruned: vec![7; 3], int8: vec![0; n] };
        assert!(p(3).check(3).is_ok());
        assert!(p(2).check(3).unwrap_err().to_string().contains("int8 model gave 2"));
    }

    proptest! {
        /// fpr, recall and macro recall agree with the confusion matrix.
        #[test]
        fn metrics_agree_with_the_confusion_matrix(yp in prop::collection::vec((0usize..3, 0usize..3), 1..60)) {
            let (y, p): (Vec<_>, Vec<_>) = yp.into_iter().unzip();
            let rows: Vec<usize> = (0..y.len()).collect();
            let m = Confusion::of(&y, &p, &rows, 3);
            let mut recalls = vec![];
            for c in 0..3 {
                prop_assert_eq!(value(Metric::Recall(c), &y, &p, &rows), m.recall(c));
                prop_assert_eq!(value(Metric::Fpr(c), &y, &p, &rows), m.fpr(c));
                recalls.extend(m.recall(c));
            }
            let want = recalls.iter().sum::<f64>() / recalls.len() as f64;
            prop_assert!((value(Metric::MacroRecall, &y, &p, &rows).unwrap() - want).abs() < 1e-12);
        }
    }
}
