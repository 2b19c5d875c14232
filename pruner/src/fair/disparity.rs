//! How unevenly classes change: the class-wise error shifts CEV and SDE.
//!
//! Relative changes of a rate of 0 have no meaning. The published code divides all the same; here such a class is left
//! out and counted, which gives the published value wherever there is one. Smoothing the rates instead would change
//! every value a little and hide what is missing.

use super::confusion::Confusion;
use serde::{Deserialize, Serialize};

/// False-positive and false-negative rate of one class, one against the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// False positives / negatives of the class.
    pub fpr: f64,
    /// False negatives / positives of the class.
    pub fnr: f64,
}

/// Rates of every class. A class without rows of one kind has rate 0 there, and so no share in an [`ErrorShift`].
pub fn rates(m: &Confusion) -> Vec<Rates> {
    (0..m.classes()).map(|c| Rates { fpr: m.fpr(c).unwrap_or(0.0), fnr: m.fnr(c).unwrap_or(0.0) }).collect()
}

/// Combined error variance and symmetric distance error (Blakeney et al., arXiv 2106.07849) in both published
/// conventions. Lower is better; 0 means that all classes changed alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorShift {
    /// CEV of arXiv 2106.07849, in percent²: halved mean squared distance to the centroid.
    pub cev_2021_pct: f64,
    /// SDE of arXiv 2106.07849, in percent: mean distance to the line of equal changes.
    pub sde_2021_pct: f64,
    /// CEV of arXiv 2110.04397: of ratios, mean squared distance to the centroid.
    pub cev_2022_ratio: f64,
    /// SDE of arXiv 2110.04397: of ratios, mean of |FNR change - FPR change|.
    pub sde_2022_ratio: f64,
    /// Classes left out because the dense model makes no error of one kind, so a relative change has no meaning.
    pub dropped: usize,
}

/// Class-wise relative changes of the error rates from the dense to the small model; `None` if no class remains.
pub fn error_shift(dense: &[Rates], small: &[Rates]) -> Option<ErrorShift> {
    let shifts: Vec<(f64, f64)> = dense
        .iter()
        .zip(small)
        .filter(|(d, _)| d.fpr > 0.0 && d.fnr > 0.0)
        .map(|(d, s)| ((s.fpr - d.fpr) / d.fpr, (s.fnr - d.fnr) / d.fnr))
        .collect();
    let n = shifts.len() as f64;
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| shifts.iter().map(f).sum::<f64>() / n;
    let centre = (mean(&|s| s.0), mean(&|s| s.1));
    let cev = mean(&|s| (s.0 - centre.0).powi(2) + (s.1 - centre.1).powi(2));
    let sde = mean(&|s| (s.0 - s.1).abs());
    (!shifts.is_empty()).then(|| ErrorShift {
        cev_2021_pct: cev / 2.0 * 1e4,
        sde_2021_pct: sde / 2.0_f64.sqrt() * 100.0,
        cev_2022_ratio: cev,
        sde_2022_ratio: sde,
        dropped: dense.len() - shifts.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn rates_by_hand() {
        let m = Confusion::of(&[1, 1, 0, 0], &[1, 1, 1, 0], &[0, 1, 2, 3], 3);
        let rate = |fpr, fnr| Rates { fpr, fnr };
        assert_eq!(rates(&m), [rate(0.0, 0.5), rate(0.5, 0.0), rate(0.0, 0.0)]);
    }

    #[test]
    fn shifts_of_the_toy_example() {
        let dense = [Rates { fpr: 0.1, fnr: 0.2 }; 3];
        let small = [(1.10, 1.0), (0.95, 1.15), (1.20, 1.05)].map(|(a, b)| Rates { fpr: 0.1 * a, fnr: 0.2 * b });
        let s = error_shift(&dense, &small).unwrap();
        close(s.cev_2021_pct, 650.0 / 9.0);
        close(s.sde_2021_pct, 15.0 / 2.0_f64.sqrt());
        close(s.cev_2022_ratio, 13.0 / 900.0);
        close(s.sde_2022_ratio, 0.15);
        assert_eq!(error_shift(&[Rates { fpr: 0.0, fnr: 0.1 }], &[Rates { fpr: 0.1, fnr: 0.1 }]), None);
    }

    /// The published table of Simon Says, recomputed from the authors' counts.
    #[test]
    fn shifts_equal_the_published_ones() {
        let Some(dir) = crate::testing::shared_dir() else { return };
        let text = std::fs::read_to_string(dir.join("golden/cev_sde_simon_says.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let list = |v: &serde_json::Value| -> Vec<f64> { serde_json::from_value(v.clone()).unwrap() };
        let [fp, fn_, tp, tn] = ["FP", "FN", "TP", "TN"].map(|k| list(&json["teacher"][k]));
        let dense: Vec<Rates> =
            (0..fp.len()).map(|c| Rates { fpr: fp[c] / (fp[c] + tn[c]), fnr: fn_[c] / (fn_[c] + tp[c]) }).collect();
        let methods = json["methods"].as_object().unwrap();
        for m in methods.values() {
            let small: Vec<Rates> =
                list(&m["fpr"]).iter().zip(list(&m["fnr"])).map(|(&fpr, fnr)| Rates { fpr, fnr }).collect();
            let s = error_shift(&dense, &small).unwrap();
            close(s.cev_2021_pct, m["cev"].as_f64().unwrap());
            close(s.sde_2021_pct, m["sde"].as_f64().unwrap());
        }
        assert_eq!(methods.len(), 10);
    }
}
