//! The bootstrap: intervals of whatever has no closed form.
//!
//! Whole units are drawn with replacement, as many as there are: rows, or clusters where rows of one person are not
//! independent. Intervals are percentiles of the statistic over the replicates, as fairlearn's are. Many statistics at
//! once get a simultaneous band (Besag, Green, Higdon & Mengersen 1995): the narrowest that cuts every statistic at the
//! same rank and holds a share `confidence` of the replicates whole. So a band needs no normality and stays within the
//! range of its statistic, but it cannot undo a bias: a largest value over groups is larger in replicates than in
//! truth, and its interval lies high. A verdict never rests on these.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Share of the replicates in which a statistic must have a value to have an interval.
const DEFINED: f64 = 0.9;

/// Values of several statistics over the replicates.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    /// `[statistic][replicate]`; NaN where a replicate gives the statistic no value.
    values: Vec<Vec<f64>>,
    confidence: f64,
}

/// The rows of each unit that is drawn: of each cluster, or each row by itself.
pub fn units(rows: usize, clusters: Option<&[u32]>) -> Vec<Vec<usize>> {
    let Some(clusters) = clusters else { return (0..rows).map(|i| vec![i]).collect() };
    let mut units = std::collections::BTreeMap::<u32, Vec<usize>>::new();
    (0..rows).for_each(|i| units.entry(clusters[i]).or_default().push(i));
    units.into_values().collect()
}

/// Draws `replicates` times and computes `statistics`, whose number is always the same and which gets the rows drawn
/// (rows repeat) and gives NaN for what has no value. Replicates have random numbers of their own, so that the seed alone
/// decides what comes out, however many threads there are.
pub fn bootstrap(
    units: &[Vec<usize>],
    replicates: usize,
    seed: u64,
    confidence: f64,
    statistics: impl Fn(&[usize]) -> Vec<f64> + Sync,
) -> Draws {
    if units.len() < 2 {
        // One unit says nothing about others.
        return Draws { values: vec![], confidence };
    }
    let draws: Vec<Vec<f64>> = (0..replicates as u64)
        .into_par_iter()
        .map(|replicate| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(replicate);
            let rows: Vec<usize> =
                (0..units.len()).flat_map(|_| units[rng.random_range(0..units.len())].iter().copied()).collect();
            statistics(&rows)
        })
        .collect();
    let count = draws.first().map_or(0, Vec::len);
    Draws { values: (0..count).map(|k| draws.iter().map(|d| d[k]).collect()).collect(), confidence }
}

impl Draws {
    /// Percentile interval of statistic `k`, at the confidence by itself; `None` where too few replicates have a value.
    pub fn interval(&self, k: usize) -> Option<[f64; 2]> {
        let sorted = self.sorted(k)?;
        let tail = (1.0 - self.confidence) / 2.0;
        Some([quantile(&sorted, tail), quantile(&sorted, 1.0 - tail)])
    }

    /// Intervals of the statistics `family` that hold all at once; those without enough values have none.
    pub fn simultaneous(&self, family: &[usize]) -> Vec<Option<[f64; 2]>> {
        let sorted: Vec<Option<Vec<f64>>> = family.iter().map(|&k| self.sorted(k)).collect();
        let replicates = self.values.first().map_or(0, Vec::len);
        // The cut that just holds each replicate, in the statistic that it gets furthest out in. A value among equals is
        // held by the innermost of their ranks.
        let mut reach: Vec<f64> = (0..replicates)
            .map(|b| {
                let of = |(&k, sorted): (&usize, &Option<Vec<f64>>)| {
                    let (v, s) = (self.values[k][b], sorted.as_ref()?);
                    let below = s.partition_point(|x| x.total_cmp(&v).is_lt()) as f64;
                    let above = (s.len() - s.partition_point(|x| x.total_cmp(&v).is_le())) as f64;
                    (!v.is_nan()).then(|| below.max(above) / (s.len() - 1) as f64)
                };
                family.iter().zip(&sorted).filter_map(of).fold(0.5, f64::max)
            })
            .collect();
        reach.sort_unstable_by(f64::total_cmp);
        let cut = if reach.is_empty() { 1.0 } else { quantile(&reach, self.confidence) };
        sorted.iter().map(|s| s.as_ref().map(|s| [quantile(s, 1.0 - cut), quantile(s, cut)])).collect()
    }

    fn sorted(&self, k: usize) -> Option<Vec<f64>> {
        let all = self.values.get(k)?;
        let mut sorted: Vec<f64> = all.iter().copied().filter(|v| !v.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        (sorted.len() as f64 >= DEFINED * all.len() as f64 && sorted.len() > 1).then_some(sorted)
    }
}

/// The `p` quantile of sorted values, linear between them (R's type 7, NumPy's default).
pub(super) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, share) = (at.floor() as usize, at.fract());
    let next = sorted[(low + 1).min(sorted.len() - 1)];
    sorted[low] + share * (next - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(rows: &[usize], x: &[f64]) -> f64 {
        rows.iter().map(|&i| x[i]).sum::<f64>() / rows.len() as f64
    }

    /// Deterministic noise, about normal.
    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
        let x = noise(400, 1);
        let m = mean(&(0..400).collect::<Vec<_>>(), &x);
        let se = (x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / 400.0 / 400.0).sqrt();
        let draws = bootstrap(&units(400, None), 2000, 7, 0.95, |rows| vec![mean(rows, &x)]);
        let [lo, hi] = draws.interval(0).unwrap();
        assert!(
            (lo - (m - 1.96 * se)).abs() < 0.15 * se && (hi - (m + 1.96 * se)).abs() < 0.15 * se,
            "{lo} {hi} {m} {se}"
        );
        assert_eq!(draws, bootstrap(&units(400, None), 2000, 7, 0.95, |rows| vec![mean(rows, &x)]));
        // One statistic alone is simultaneous with itself.
        let [band] = draws.simultaneous(&[0])[..] else { panic!("one band") };
        assert!(band.unwrap().iter().zip([lo, hi]).all(|(a, b)| (a - b).abs() < 0.01 * se));
    }

    #[test]
    fn rows_that_repeat_are_drawn_together() {
        // Each person has eight equal rows: the spread is that of 40 people, not of 320 rows.
        let people = noise(40, 2);
        let x: Vec<f64> = (0..320).map(|i| people[i / 8]).collect();
        let clusters: Vec<u32> = (0..320).map(|i| i / 8).collect();
        let width = |clusters| {
            let [lo, hi] =
                bootstrap(&units(320, clusters), 1000, 3, 0.9, |rows| vec![mean(rows, &x)]).interval(0).unwrap();
            hi - lo
        };
        let ratio = width(Some(&clusters[..])) / width(None);
        assert!((2.4..3.3).contains(&ratio), "{ratio} is not about √8");
    }

    #[test]
    fn a_band_holds_the_wanted_share_of_replicates() {
        let x: Vec<Vec<f64>> = (0..10).map(|k| noise(100, 10 + k)).collect();
        let draws = bootstrap(&units(100, None), 1000, 3, 0.9, |rows| x.iter().map(|x| mean(rows, x)).collect());
        let band: Vec<[f64; 2]> = draws.simultaneous(&(0..10).collect::<Vec<_>>()).into_iter().flatten().collect();
        let held = (0..1000).filter(|&b| (0..10).all(|k| (band[k][0]..=band[k][1]).contains(&draws.values[k][b])));
        assert!((895..=905).contains(&held.count()));
        let alone = draws.interval(4).unwrap();
        assert!(band[4][0] < alone[0] && alone[1] < band[4][1]);
    }

    #[test]
    fn what_has_no_spread_or_no_value_has_no_interval_or_a_point() {
        let draws = bootstrap(&units(6, None), 50, 0, 0.9, |rows| vec![1.0, if rows[0] < 3 { f64::NAN } else { 0.0 }]);
        assert_eq!(draws.simultaneous(&[0, 1]), [Some([1.0, 1.0]), None]);
        assert_eq!(bootstrap(&units(6, Some(&[4; 6])), 50, 0, 0.9, |_| vec![0.0]).interval(0), None);
    }
}
