//! How far a model's probabilities can be believed, row by row: what ECE, Brier score and log loss are made of.

use crate::error::{Error, Result};

/// Bins of the expected calibration error.
pub(super) const BINS: usize = 10;

/// Probabilities of a model, as far as calibration needs them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Probability of the top class, per row.
    pub confidence: Vec<f64>,
    /// `Σ_k (p_k - [y = k])²` per row (Brier 1950). 0 to 2: with two classes, twice what scikit-learn gives unless it is
    /// told `scale_by_half=False`.
    pub brier: Vec<f64>,
    /// `-ln p_y` per row: log loss, NLL, and the cross-entropy that models are trained on.
    pub nll: Vec<f64>,
}

impl Scores {
    /// From outputs before the softmax, `rows × outputs`, and the class of each row.
    ///
    /// # Errors
    /// Sizes that do not fit, a class without an output, and outputs that are not finite, with the row.
    pub fn from_logits(logits: &[f32], y: &[usize]) -> Result<Self> {
        let outputs = logits.len() / y.len().max(1);
        if outputs * y.len() != logits.len() {
            return Err(Error::new(format!("{} outputs do not divide into {} rows", logits.len(), y.len())));
        }
        let mut s = Scores { confidence: vec![], brier: vec![], nll: vec![] };
        for (i, (row, &y)) in logits.chunks_exact(outputs.max(1)).zip(y).enumerate() {
            if y >= outputs || row.iter().any(|v| !v.is_finite()) {
                return Err(Error::new(format!("row {i} has class {y} and the outputs {row:?}"))
                    .help("check that model and data belong together, and the input scale"));
            }
            let max = row.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
            let exp: Vec<f64> = row.iter().map(|v| (f64::from(*v) - f64::from(max)).exp()).collect();
            let sum: f64 = exp.iter().sum();
            let off = |k: usize| exp[k] / sum - f64::from(u8::from(k == y));
            s.confidence.push(exp.iter().fold(0.0_f64, |m, v| m.max(*v)) / sum);
            s.brier.push((0..outputs).map(|k| off(k).powi(2)).sum());
            s.nll.push(sum.ln() - (f64::from(row[y]) - f64::from(max)));
        }
        Ok(s)
    }
}

/// Sums over rows; what a group's calibration follows from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    rows: usize,
    brier: f64,
    nll: f64,
    /// Rows that are right, and the sum of confidences, by tenth of the confidence.
    bins: [(f64, f64); BINS],
}

impl Calibration {
    /// Of `rows`, of which `right` says whether the model is right.
    pub fn of(scores: &Scores, right: impl Fn(usize) -> bool, rows: &[usize]) -> Self {
        let mut c = Calibration::default();
        rows.iter().for_each(|&i| c.add(scores, i, right(i)));
        c
    }

    /// Counts one row.
    pub fn add(&mut self, scores: &Scores, row: usize, right: bool) {
        let confidence = scores.confidence[row];
        self.rows += 1;
        self.brier += scores.brier[row];
        self.nll += scores.nll[row];
        let bin = &mut self.bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += f64::from(u8::from(right));
        bin.1 += confidence;
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.rows > 0).then(|| sum / self.rows as f64)
    }

    /// Expected calibration error with 10 equal-width bins, `Σ_b n_b/n · |accuracy_b - confidence_b|` (Guo et al. 2017).
    pub fn ece(&self) -> Option<f64> {
        self.mean(self.bins.iter().map(|(right, confidence)| (right - confidence).abs()).sum())
    }

    /// Mean Brier score over all classes, 0 to 2.
    pub fn brier(&self) -> Option<f64> {
        self.mean(self.brier)
    }

    /// Mean log loss, in nats.
    pub fn nll(&self) -> Option<f64> {
        self.mean(self.nll)
    }
}
