//! Quantiles, and intervals of one proportion.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::beta::beta_reg;

/// The `p` quantile of the standard normal distribution; infinite at 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p.clamp(0.0, 1.0))
}

/// The `p` quantile of Student's t with `df` degrees of freedom (infinite for `df = 0`: one cluster bounds nothing;
/// normal for infinite `df`).
pub fn t_quantile(p: f64, df: f64) -> f64 {
    let p = p.clamp(0.0, 1.0);
    // The library's search loses digits as the degrees of freedom grow, and above some 10^5 it may not end.
    if df > 1000.0 {
        return expansion(normal_quantile(p), df);
    }
    match StudentsT::new(0.0, 1.0, df) {
        Ok(t) => t.inverse_cdf(p),
        Err(_) if p == 0.5 => 0.0,
        Err(_) => f64::INFINITY.copysign(p - 0.5),
    }
}

/// Quantile of Student's t from the normal one, to the third order in `1 / df` (Fisher & Cornish 1960).
fn expansion(z: f64, df: f64) -> f64 {
    let z2 = z * z;
    let terms = [
        (z2 + 1.0) / 4.0,
        ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0,
        (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0,
    ];
    if df.is_infinite() || z.is_infinite() { z } else { z + z * (terms[0] + (terms[1] + terms[2] / df) / df) / df }
}

/// Probability that Student's t with `df` degrees of freedom is at least as far from 0 as `t`.
pub fn two_sided_t(t: f64, df: f64) -> f64 {
    beta_reg(df / 2.0, 0.5, df / (df + t * t))
}

/// Wilson's score interval of `hits` in `n`, for a normal quantile `z` (Wilson 1927). `(0, 1)` without data.
pub fn wilson(hits: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let (p, z2) = (hits / n, z * z);
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Exact one-sided upper limit at level `1 - alpha` of the probability behind `hits` in `n` (Clopper & Pearson 1934).
/// Both may be fractions: effective numbers of correlated rows (Korn & Graubard 1998).
pub fn exact_upper(hits: f64, n: f64, alpha: f64) -> f64 {
    if hits >= n { 1.0 } else { beta_quantile(hits + 1.0, n - hits, 1.0 - alpha) }
}

/// Exact one-sided lower limit at level `1 - alpha`; see [`exact_upper`].
pub fn exact_lower(hits: f64, n: f64, alpha: f64) -> f64 {
    if hits <= 0.0 || n <= 0.0 { 0.0 } else { beta_quantile(hits, (n - hits).max(0.0) + 1.0, alpha) }
}

/// The `p` quantile of Beta(a, b) by bisection, which cannot fail to converge.
fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    let (mut lo, mut hi) = (0.0_f64, 1.0_f64);
    while hi - lo > 1e-8 {
        let mid = 0.5 * (lo + hi);
        if beta_reg(a, b, mid) < p { lo = mid } else { hi = mid }
    }
    0.5 * (lo + hi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64, eps: f64) {
        assert!((a - b).abs() < eps, "{a} is not {b}");
    }

    #[test]
    fn quantiles_match_the_tables() {
        close(normal_quantile(0.95), 1.644854, 1e-5);
        close(normal_quantile(0.975), 1.959964, 1e-5);
        for (p, df, want) in [
            (0.95, 1.0, 6.313752),
            (0.975, 1.0, 12.706205),
            (0.995, 1.0, 63.656741),
            (0.995, 2.0, 9.924843),
            (0.95, 5.0, 2.015048),
            (0.9975, 9.0, 3.689662),
            (0.95, 1000.0, 1.646379),
            (0.975, 2000.0, 1.961151),
        ] {
            close(t_quantile(p, df), want, 1e-4 * want);
            close(t_quantile(1.0 - p, df), -want, 1e-4 * want);
        }
        assert_eq!(t_quantile(0.95, 0.0), f64::INFINITY);
    }

    /// The library's search for the quantile did not end for some large fractional degrees of freedom.
    #[test]
    fn quantiles_end_for_any_degrees_of_freedom() {
        for df in (0..400).map(|i| 1.03 * 1.06_f64.powi(i)) {
            for alpha in [0.05, 0.025, 0.05 / 7.0, 0.05 / 24.0, 1e-4] {
                let (t, z) = (t_quantile(1.0 - alpha, df), normal_quantile(1.0 - alpha));
                assert!(t >= z - 1e-6 && t.is_finite(), "{alpha} {df}: {t} {z}");
            }
        }
    }

    #[test]
    fn intervals_of_a_proportion_match_the_literature() {
        // Newcombe 1998, table I: 81 of 263 and 0 of 20, 95 % two-sided.
        let z = normal_quantile(0.975);
        let (lo, hi) = wilson(81.0, 263.0, z);
        close(lo, 0.2553, 1e-4);
        close(hi, 0.3662, 1e-4);
        close(wilson(0.0, 20.0, z).1, 0.1611, 1e-4);
        close(exact_lower(81.0, 263.0, 0.025), 0.2527, 1e-4);
        close(exact_upper(81.0, 263.0, 0.025), 0.3676, 1e-4);
        close(exact_upper(0.0, 20.0, 0.025), 0.1684, 1e-4);
        assert_eq!((exact_lower(0.0, 20.0, 0.025), exact_upper(20.0, 20.0, 0.025)), (0.0, 1.0));
        assert_eq!(
            (exact_lower(0.0, 0.0, 0.05), exact_upper(0.0, 0.0, 0.05), wilson(0.0, 0.0, z)),
            (0.0, 1.0, (0.0, 1.0))
        );
    }

    proptest! {
        #[test]
        fn exact_limits_enclose_and_shrink(n in 1usize..3000, share in 0.0f64..=1.0, alpha in 1e-4f64..0.2) {
            let k = (n as f64 * share) as usize;
            let (k, n) = (k as f64, n as f64);
            let p = k / n;
            let (lo, hi) = (exact_lower(k, n, alpha), exact_upper(k, n, alpha));
            prop_assert!((0.0..=1.0).contains(&lo) && (0.0..=1.0).contains(&hi));
            prop_assert!(lo <= p + 1e-8 && p <= hi + 1e-8);
            prop_assert!(exact_upper(k, n, alpha / 2.0) >= hi - 1e-8);
            let (wlo, whi) = wilson(k, n, normal_quantile(1.0 - alpha));
            prop_assert!(wlo <= p + 1e-12 && p <= whi + 1e-12);
        }
    }
}
