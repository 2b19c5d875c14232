//! Intervals around shares.
//!
//! - [`wilson`]: Wilson, JASA 1927. To show beside a share, never to alarm on: who looks often enough will see any.
//! - [`confidence_sequence`]: holds at all times at once, for a constant share (Robbins 1970: the likelihood ratio of a
//!   Beta mixture; Ville's inequality).
//! - [`disagreement`]: the same from above, with a mixture that expects small shares.

/// The quantile of the normal distribution for 95 %.
pub const Z95: f64 = 1.959_963_984_540_054;

/// The Wilson interval of `k` of `n`.
pub fn wilson(k: u32, n: u32, z: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (n as f64, k as f64 / n as f64);
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let half = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The shares that `k` of `n` does not contradict, at all times at once with a probability of at least `1 - alpha`.
pub fn confidence_sequence(k: u32, n: u32, alpha: f64) -> (f64, f64) {
    let mixture = Mixture::new(k, n, 0.5, 0.5, alpha);
    (mixture.bound(false), mixture.bound(true))
}

/// The largest share of disagreement that `k` of `n` does not contradict, at all times at once. The accuracies of the two
/// models differ by no more than that, so it bounds what compression costs a group, without labels.
pub fn disagreement(k: u32, n: u32, alpha: f64) -> f64 {
    Mixture::new(k, n, 0.5, 20.0, alpha).bound(true)
}

struct Mixture {
    k: f64,
    n: f64,
    /// A share is contradicted when its log-likelihood is below this.
    least: f64,
}

impl Mixture {
    fn new(k: u32, n: u32, a: f64, b: f64, alpha: f64) -> Self {
        let (k, n) = (k.min(n) as f64, n as f64);
        let mixture = ln_beta(a + k, b + n - k) - ln_beta(a, b);
        // Rounding errors of the logarithms widen the interval.
        Mixture { k, n, least: mixture + alpha.ln() - 1e-9 - 1e-12 * mixture.abs() - 1e-14 * n }
    }

    fn contradicts(&self, p: f64) -> bool {
        let log = |count: f64, p: f64| if count == 0.0 { 0.0 } else { count * p.ln() };
        log(self.k, p) + log(self.n - self.k, 1.0 - p) <= self.least
    }

    /// The likelihood falls from `k / n` on to both sides, so the first contradicted share is found by halving.
    fn bound(&self, upper: bool) -> f64 {
        let mut inside = if self.n == 0.0 { 0.5 } else { self.k / self.n };
        let mut outside = if upper { 1.0 } else { 0.0 };
        if !self.contradicts(outside) {
            return outside;
        }
        for _ in 0..60 {
            let middle = 0.5 * (inside + outside);
            *(if self.contradicts(middle) { &mut outside } else { &mut inside }) = middle;
        }
        outside
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::tests::Uniform;

    #[test]
    fn the_bound_of_disagreement_has_the_published_values() {
        // Share, events, bound: the values for α = .05 and the mixture Beta(1/2, 20).
        let table = [
            (0, 200, 0.0208),
            (0, 1_000, 0.0050),
            (0, 5_000, 0.0012),
            (2, 200, 0.0446),
            (10, 1_000, 0.0231),
            (50, 5_000, 0.0155),
            (200, 20_000, 0.0127),
            (10, 200, 0.112),
            (50, 1_000, 0.077),
            (250, 5_000, 0.062),
            (1_000, 20_000, 0.056),
        ];
        for (k, n, bound) in table {
            let digits = if bound > 0.05 { 0.0006 } else { 0.00006 };
            assert!((disagreement(k, n, 0.05) - bound).abs() < digits, "{k} of {n}: {}", disagreement(k, n, 0.05));
        }
        assert_eq!(disagreement(0, 0, 0.05), 1.0);
    }

    #[test]
    fn wilson_is_between_zero_and_one_and_around_the_share() {
        // Newcombe, Statistics in Medicine 1998, table I.
        for (k, n, lo, hi) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (a, b) = wilson(k, n, Z95);
            assert!((a - lo).abs() < 6e-5 && (b - hi).abs() < 6e-5, "{k} of {n}: {a} {b}");
        }
        assert_eq!(wilson(0, 0, Z95), (0.0, 1.0));
    }

    #[test]
    fn a_confidence_sequence_holds_at_all_times() {
        let (mut missed, runs) = (0, 400);
        for seed in 0..runs {
            let (mut dice, mut k) = (Uniform(seed), 0);
            let out = (1..=2_000u32).any(|n| {
                k += (dice.next() < 0.9) as u32;
                if n % 5 != 0 {
                    return false;
                }
                let (lo, hi) = confidence_sequence(k, n, 0.05);
                assert!(lo <= k as f64 / n as f64 && k as f64 / n as f64 <= hi);
                !(lo..=hi).contains(&0.9)
            });
            missed += out as u32;
        }
        // 99.9 % of Binomial(400, .05) are at most 35.
        assert!(missed <= 35, "{missed} of {runs}");
        assert_eq!(confidence_sequence(0, 0, 0.05), (0.0, 1.0));
    }
}
