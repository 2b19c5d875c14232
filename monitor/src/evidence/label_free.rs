//! What can be said before labels come: estimates to show, which assume something; none of them alarms.
//!
//! - [`expected_accuracy`]: confidence-based performance estimation (NannyML's CBPE) from a histogram of confidences and
//!   the calibration map of the *same group*. One map for all groups would average a group's overconfidence away. It sees
//!   covariate shift and is blind to a change of what is right.
//! - [`stability_index`]: how far a histogram is from the certificate's.
//! - [`prior`]: how often each class occurs, from how often it is predicted (Lipton et al., *Detecting and correcting for
//!   label shift with black box predictors*, ICML 2018), under the assumption that nothing else changed.

use evenkeel_runtime::format::{BINS, FieldGroup};

/// The share of right predictions that the confidences promise; `None` without predictions.
pub fn expected_accuracy(confidence: &[u32; BINS], map: &[u8; BINS]) -> Option<f64> {
    let total: f64 = confidence.iter().map(|&n| n as f64).sum();
    let right: f64 = confidence.iter().zip(map).map(|(&n, &share)| n as f64 * share as f64 / 255.0).sum();
    (total > 0.0).then(|| right / total)
}

/// The population stability index against the certificate's histogram: `Σ (q - p) ln(q / p)`, half an event added to each
/// bin so that empty ones do not make it infinite. Below 0.1 is usually called stable, above 0.25 changed. `None` without
/// predictions or where the file states no histogram.
pub fn stability_index(confidence: &[u32; BINS], field: &FieldGroup) -> Option<f64> {
    let total: f64 = confidence.iter().map(|&n| n as f64).sum();
    let stated: f64 = field.histogram.iter().map(|&h| h as f64).sum();
    if total == 0.0 || stated == 0.0 {
        return None;
    }
    let half = 0.5 * BINS as f64;
    let share = |part: f64, whole: f64| (part * total / whole + 0.5) / (total + half);
    let term = |(&n, &h): (&u32, &u16)| {
        let (q, p) = (share(n as f64, total), share(h as f64, stated));
        (q - p) * (q / p).ln()
    };
    Some(confidence.iter().zip(&field.histogram).map(term).sum())
}

/// Why no prior can be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriorError {
    /// The matrix is not `classes * classes`.
    #[error("the confusion matrix must have a row and a column per class")]
    Shape,
    /// There was nothing to count.
    #[error("no predictions: nothing can be estimated from them")]
    Empty,
    /// Some classes are predicted alike whatever the truth is.
    #[error("the model cannot tell some classes apart, so their shares cannot be estimated from its predictions")]
    Singular,
}

/// The shares of the classes, from predictions per class and a group's confusion matrix (row: true class, column:
/// predicted class, Q16 shares of the row as in the file): `π = (Cᵀ)⁻¹ μ`, negative shares set to 0 and all scaled to 1.
///
/// # Errors
/// See [`PriorError`].
pub fn prior(confusion: &[u16], predicted: &[u32]) -> Result<Vec<f64>, PriorError> {
    let k = predicted.len();
    if k == 0 || confusion.len() != k * k {
        return Err(PriorError::Shape);
    }
    let total: f64 = predicted.iter().map(|&n| n as f64).sum();
    if total == 0.0 {
        return Err(PriorError::Empty);
    }
    // One row per predicted class: its shares by true class, and how often it is predicted.
    let row = |p: usize| -> Vec<f64> {
        let of = |t: usize| confusion[t * k + p] as f64 / (1 << 16) as f64;
        (0..k).map(of).chain([predicted[p] as f64 / total]).collect()
    };
    let mut rows: Vec<Vec<f64>> = (0..k).map(row).collect();
    // Gauss and Jordan, with the largest pivot.
    for column in 0..k {
        let size = |r: &usize| rows[*r][column].abs();
        let pivot = (column..k).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        rows.swap(column, pivot);
        let row = rows[column].clone();
        if row[column].abs() < 1e-6 {
            return Err(PriorError::Singular);
        }
        for (_, other) in rows.iter_mut().enumerate().filter(|(r, _)| *r != column) {
            let factor = other[column] / row[column];
            other.iter_mut().zip(&row).for_each(|(x, y)| *x -= factor * y);
        }
    }
    let shares: Vec<f64> = rows.iter().enumerate().map(|(i, row)| (row[k] / row[i]).max(0.0)).collect();
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 { Ok(shares.iter().map(|x| x / sum).collect()) } else { Err(PriorError::Singular) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_needs_its_own_map() {
        // Group b is overconfident: at the same margin it is right less often.
        let bins = |low, high| {
            core::array::from_fn(|i| {
                if i == 4 {
                    low
                } else if i == 12 {
                    high
                } else {
                    0
                }
            })
        };
        let map = |low: u8, high: u8| core::array::from_fn(|i| if i < 8 { low } else { high });
        let a = expected_accuracy(&bins(100, 900), &map(153, 242)).expect("predictions");
        let b = expected_accuracy(&bins(100, 900), &map(128, 204)).expect("predictions");
        assert!((a - (0.1 * 0.6 + 0.9 * 242.0 / 255.0)).abs() < 1e-12);
        assert!(a - b > 0.1);
        assert_eq!(expected_accuracy(&[0; BINS], &[255; BINS]), None);
    }

    #[test]
    fn the_index_is_small_for_the_same_histogram() {
        let field = FieldGroup { histogram: core::array::from_fn(|i| 100 * i as u16), ..Default::default() };
        let same = core::array::from_fn(|i| 10 * i as u32);
        let other = core::array::from_fn(|i| 10 * (15 - i) as u32);
        assert!(stability_index(&same, &field).expect("both") < 1e-9);
        assert!(stability_index(&other, &field).expect("both") > 0.25);
        assert_eq!(stability_index(&same, &FieldGroup::default()), None);
        assert_eq!(stability_index(&[0; BINS], &field), None);
    }

    #[test]
    fn a_prior_is_found_from_predictions() {
        let q16 = |x: f64| (x * 65536.0) as u16;
        let confusion = [0.8, 0.1, 0.1, 0.05, 0.9, 0.05, 0.2, 0.2, 0.6].map(q16);
        let truth = [0.5, 0.3, 0.2];
        let predicted: Vec<u32> = (0..3)
            .map(|p| (0..3).map(|t| truth[t] * confusion[t * 3 + p] as f64 / 65536.0).sum::<f64>())
            .map(|share| (share * 1e6) as u32)
            .collect();
        let found = prior(&confusion, &predicted).expect("regular");
        assert!(found.iter().zip(truth).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
        assert_eq!(prior(&[q16(0.5); 4], &[1, 1]), Err(PriorError::Singular));
        assert_eq!(prior(&confusion, &[0; 3]), Err(PriorError::Empty));
        assert_eq!(prior(&confusion, &[1; 2]), Err(PriorError::Shape));
    }
}
