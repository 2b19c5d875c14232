//! Statistics of the study: means over seeds with t intervals, paired differences, rank correlations.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub n: usize,
    pub mean: f64,
    /// `None` for less than two values.
    pub interval: Option<[f64; 2]>,
}

/// What an interval says of a difference for which more is better (or worse, where `more_is_better` is false).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Better,
    Worse,
    /// The interval includes 0, or there is none.
    Unclear,
}

impl Word {
    pub fn text(self) -> &'static str {
        match self {
            Word::Better => "better",
            Word::Worse => "worse",
            Word::Unclear => "not told apart",
        }
    }
}

impl Estimate {
    /// Mean and t interval; `None` without a finite value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let v: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
        let n = v.len() as f64;
        if v.is_empty() {
            return None;
        }
        let mean = v.iter().sum::<f64>() / n;
        let interval = (v.len() > 1).then(|| {
            let sd = (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            let half = t_quantile(n - 1.0) * sd / n.sqrt();
            [mean - half, mean + half]
        });
        Some(Estimate { n: v.len(), mean, interval })
    }

    /// The mean without its interval.
    pub fn alone(self) -> Self {
        Estimate { interval: None, ..self }
    }

    /// Whether more than 0 is shown.
    pub fn word(self, more_is_better: bool) -> Word {
        match self.interval {
            Some([lo, _]) if lo > 0.0 => {
                if more_is_better {
                    Word::Better
                } else {
                    Word::Worse
                }
            }
            Some([_, hi]) if hi < 0.0 => {
                if more_is_better {
                    Word::Worse
                } else {
                    Word::Better
                }
            }
            _ => Word::Unclear,
        }
    }

    /// The same of `f` of everything, for `f` that rises.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Estimate { n: self.n, mean: f(self.mean), interval: self.interval.map(|i| i.map(&f)) }
    }
}

/// The mean of the largest of independent normal values around 0 with these standard deviations: what the largest of
/// several estimates shows where there is nothing to show. `∫ 1 - F - F(-x)` over `x > 0`, `F` the product of their
/// distributions, by the midpoint rule.
pub fn largest_by_chance(deviations: &[f64]) -> f64 {
    const STEPS: usize = 1000;
    let Some(most) = deviations.iter().copied().reduce(f64::max).filter(|d| *d > 0.0) else { return 0.0 };
    let normal = Normal::standard();
    let below = |x: f64| -> f64 {
        let of = |d: &f64| if *d > 0.0 { normal.cdf(x / d) } else { f64::from(u8::from(x >= 0.0)) };
        deviations.iter().map(of).product()
    };
    let step = 8.0 * most / STEPS as f64;
    let at = |i: usize| (i as f64 + 0.5) * step;
    (0..STEPS).map(|i| 1.0 - below(at(i)) - below(-at(i))).sum::<f64>() * step
}

/// The 97.5 % quantile of Student's t.
fn t_quantile(df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975))
}

/// A rank correlation with its 95 % interval by Fisher's z.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    pub n: usize,
    pub rho: f64,
    pub interval: Option<[f64; 2]>,
}

/// Spearman's rank correlation; `None` where there is nothing to rank.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<Correlation> {
    Some(Correlation::new(x.len(), pearson(&ranks(x), &ranks(y))?, 0))
}

/// Spearman's rank correlation of `x` and `y` beyond what `given` explains of both: the partial correlation of ranks.
pub fn partial_spearman(x: &[f64], y: &[f64], given: &[f64]) -> Option<Correlation> {
    let [x, y, z] = [x, y, given].map(ranks);
    let (xy, xz, yz) = (pearson(&x, &y)?, pearson(&x, &z)?, pearson(&y, &z)?);
    let left = ((1.0 - xz * xz) * (1.0 - yz * yz)).sqrt();
    (left > 1e-9).then(|| Correlation::new(x.len(), (xy - xz * yz) / left, 1))
}

impl Correlation {
    /// `given` counts the variables that are held fixed.
    fn new(n: usize, rho: f64, given: usize) -> Self {
        let df = n as f64 - 3.0 - given as f64;
        let interval = (df > 0.0 && rho.abs() < 1.0).then(|| {
            let half = Normal::standard().inverse_cdf(0.975) / df.sqrt();
            [rho.atanh() - half, rho.atanh() + half].map(f64::tanh)
        });
        Correlation { n, rho, interval }
    }

    /// Whether the interval is on one side of 0: 1 above, -1 below.
    pub fn sign(self) -> i32 {
        match self.interval {
            Some([lo, _]) if lo > 0.0 => 1,
            Some([_, hi]) if hi < 0.0 => -1,
            _ => 0,
        }
    }
}

/// `None` where one of them does not vary.
fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len() as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(&a, &b)| f(a - mx, b - my)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Ranks from 1; values that are the same share their mean rank.
fn ranks(v: &[f64]) -> Vec<f64> {
    v.iter()
        .map(|a| {
            let below = v.iter().filter(|b| *b < a).count() as f64;
            let same = v.iter().filter(|b| *b == a).count() as f64;
            below + (same + 1.0) / 2.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-4, "{a} is not {b}");
    }

    #[test]
    fn a_mean_has_the_t_interval_of_the_textbook() {
        // Mean 3, standard deviation 1.5811, 2.7764 of t with 4 degrees of freedom.
        let e = Estimate::of([1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let [lo, hi] = e.interval.unwrap();
        close(e.mean, 3.0);
        close(lo, 3.0 - 1.96324);
        close(hi, 3.0 + 1.96324);
        assert_eq!(Estimate::of([2.0]).unwrap().interval, None);
        assert_eq!(Estimate::of([f64::NAN]), None);
    }

    #[test]
    fn the_largest_of_several_is_over_zero_by_chance() {
        // The means of the largest of two and of three standard normal values: 1 / √π and 3 / (2 √π).
        let pi = std::f64::consts::PI.sqrt();
        close(largest_by_chance(&[1.0; 2]), 1.0 / pi);
        close(largest_by_chance(&[2.0; 3]), 2.0 * 1.5 / pi);
        // One value that never varies beside one that does: the positive half, 1 / √(2 π).
        close(largest_by_chance(&[0.0, 1.0]), 1.0 / (pi * 2f64.sqrt()));
        close(largest_by_chance(&[1.0]), 0.0);
        assert_eq!((largest_by_chance(&[]), largest_by_chance(&[0.0])), (0.0, 0.0));
    }

    #[test]
    fn words_need_an_interval_without_zero() {
        let word = |v: &[f64], more| Estimate::of(v.iter().copied()).unwrap().word(more);
        assert_eq!(word(&[1.0, 1.1, 0.9], true), Word::Better);
        assert_eq!(word(&[1.0, 1.1, 0.9], false), Word::Worse);
        assert_eq!(word(&[-1.0, -1.1], false), Word::Better);
        assert_eq!(word(&[1.0, -0.9, 0.2], true), Word::Unclear);
        assert_eq!(word(&[1.0], true), Word::Unclear);
    }

    #[test]
    fn correlations_are_those_of_ranks() {
        let c = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 50.0]).unwrap();
        close(c.rho, 0.8);
        // tanh(atanh(0.8) ± 1.95996 / √2)
        close(c.interval.unwrap()[0], -0.27963);
        assert_eq!(c.sign(), 0);
        close(spearman(&[1.0, 1.0, 2.0], &[3.0, 3.0, 9.0]).unwrap().rho, 1.0);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn what_the_third_explains_is_taken_away() {
        // Ranks: xy = 0.8, xz = 0.9, yz = 0.9, so (0.8 - 0.81) / 0.19.
        let x = [1.0, 2.0, 3.0, 4.0, 5.0];
        let z = [2.0, 1.0, 3.0, 4.0, 5.0];
        let y = [2.0, 1.0, 4.0, 3.0, 5.0];
        close(spearman(&x, &z).unwrap().rho, 0.9);
        close(spearman(&y, &z).unwrap().rho, 0.9);
        close(partial_spearman(&x, &y, &z).unwrap().rho, -0.01 / 0.19);
        assert_eq!(partial_spearman(&x, &y, &x), None);
    }
}
