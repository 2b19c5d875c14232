//! A histogram of values whose range is not known beforehand, and the clipping that costs the least.
//!
//! Bins have a power of two for a width and zero for an edge, so a wider range is reached by joining pairs of
//! bins. That is exact: the same values give the same histogram in any order and any split.

/// Bins on each side of zero.
const SIDE: usize = 2048;
/// Candidates for each end of the clipped range: multiples of 1/100 of the observed end.
const STEPS: usize = 100;

/// Counts of values, with their exact ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Values that were NaN or infinite; they are in no other field.
    pub broken: u64,
    /// Values, zeros among them.
    pub total: u64,
    /// Bins are `2^exponent` wide.
    exponent: i32,
    /// `2 * SIDE` bins from `-SIDE * 2^exponent` on, the sums of their values' weights; empty until a value is not
    /// zero. Integers, so that the sums are the same in any order.
    bins: Vec<u128>,
}

impl Default for Histogram {
    fn default() -> Self {
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        Histogram { min, max, broken: 0, total: 0, exponent: 0, bins: Vec::new() }
    }
}

/// Smallest exponent of a bin width with which `SIDE` bins reach `max_abs > 0`.
fn exponent_for(max_abs: f32) -> i32 {
    // frexp-free: start a little low, then double. f64 holds every f32 and every width exactly.
    let mut exponent = ((max_abs as f64) / SIDE as f64).log2().floor() as i32;
    while max_abs as f64 >= SIDE as f64 * width(exponent) {
        exponent += 1;
    }
    exponent
}

fn width(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

impl Histogram {
    /// Counts the values in, each with the same weight. Zeros only count in the range and the total: int8 has them
    /// exactly, so they take no part in the error.
    pub fn observe(&mut self, values: &[f32], weight: u64) {
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        for &v in values.iter().filter(|v| v.is_finite()) {
            (min, max) = (min.min(v), max.max(v));
        }
        if min <= max {
            self.reach(min.abs().max(max.abs()));
            (self.min, self.max) = (self.min.min(min), self.max.max(max));
        }
        let per_width = 1.0 / width(self.exponent);
        for &v in values {
            if !v.is_finite() {
                self.broken += 1;
                continue;
            }
            self.total += 1;
            if v != 0.0 {
                self.bins[((v as f64 * per_width).floor() + SIDE as f64) as usize] += weight as u128;
            }
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
        self.broken += other.broken;
        self.total += other.total;
        if other.bins.is_empty() {
            return;
        }
        if self.bins.is_empty() {
            (self.exponent, self.bins) = (other.exponent, other.bins.clone());
            return;
        }
        let mut other = other.clone();
        let exponent = self.exponent.max(other.exponent);
        self.widen(exponent);
        other.widen(exponent);
        for (a, b) in self.bins.iter_mut().zip(other.bins) {
            *a += b;
        }
    }

    /// Makes room for values up to `max_abs`.
    fn reach(&mut self, max_abs: f32) {
        if max_abs > 0.0 {
            let exponent = exponent_for(max_abs);
            if self.bins.is_empty() {
                (self.exponent, self.bins) = (exponent, vec![0; 2 * SIDE]);
            }
            self.widen(exponent);
        }
    }

    /// Joins bins until they are `2^exponent` wide.
    fn widen(&mut self, exponent: i32) {
        if exponent <= self.exponent {
            return;
        }
        let by = (exponent - self.exponent).min(31);
        let mut bins = vec![0; 2 * SIDE];
        for (i, n) in self.bins.iter().enumerate() {
            bins[(((i as i64 - SIDE as i64) >> by) + SIDE as i64) as usize] += n;
        }
        (self.exponent, self.bins) = (exponent, bins);
    }

    /// The range `[lo, hi]` around zero inside which 8-bit quantisation has the least mean squared error.
    ///
    /// The error of a range is the clipping error plus the rounding error, `step² / 12` for each value inside
    /// (Banner, Nahshan, Soudry: Post training 4-bit quantization of convolutional networks, NeurIPS 2019,
    /// eq. 4), here summed over the histogram instead of a fitted density. Both ends are searched in turn
    /// over multiples of 1/100 of the observed ends. The whole range wins a tie.
    pub fn least_error(&self) -> (f32, f32) {
        let (min, max) = (self.min.min(0.0) as f64, self.max.max(0.0) as f64);
        if self.bins.is_empty() {
            return (min as f32, max as f32);
        }
        let sums = Sums::new(self, min, max);
        let candidates = |end: f64| (1..=STEPS).rev().map(move |k| end * k as f64 / STEPS as f64);
        let best = |error: &dyn Fn(f64) -> f64, end: f64, now: f64| {
            candidates(end).fold((now, error(now)), |best, c| {
                let e = error(c);
                if e < best.1 { (c, e) } else { best }
            })
        };
        let (mut lo, mut hi) = (min, max);
        // Each turn lowers the error, and two ends that hardly influence each other settle at once.
        for _ in 0..8 {
            let before = (lo, hi);
            hi = best(&|c| sums.error(lo, c), max, hi).0;
            lo = best(&|c| sums.error(c, hi), min, lo).0;
            if before == (lo, hi) {
                break;
            }
        }
        (lo as f32, hi as f32)
    }
}

/// Running sums over the bins, so that the error of a range takes two look-ups.
struct Sums {
    /// Bin centres, held inside the observed range.
    centres: Vec<f64>,
    /// Before each bin (and after the last): weight, sum and sum of squares of the values.
    before: Vec<[f64; 3]>,
}

impl Sums {
    fn new(h: &Histogram, min: f64, max: f64) -> Self {
        let width = width(h.exponent);
        let centres: Vec<f64> =
            (0..h.bins.len()).map(|i| ((i as f64 - SIDE as f64 + 0.5) * width).clamp(min, max)).collect();
        let mut sum = [0.0; 3];
        let mut before = vec![sum];
        for (&n, &x) in h.bins.iter().zip(&centres) {
            let n = n as f64;
            sum = [sum[0] + n, sum[1] + n * x, sum[2] + n * x * x];
            before.push(sum);
        }
        Sums { centres, before }
    }

    /// Sum of squared errors when values are clipped to `[lo, hi]` and rounded to 256 steps.
    fn error(&self, lo: f64, hi: f64) -> f64 {
        let first = self.centres.partition_point(|&x| x < lo);
        let end = self.centres.partition_point(|&x| x <= hi);
        let all = self.before[self.centres.len()];
        let below = self.before[first];
        let above: [f64; 3] = std::array::from_fn(|i| all[i] - self.before[end][i]);
        let clipped = |s: [f64; 3], at: f64| (s[2] - 2.0 * at * s[1] + at * at * s[0]).max(0.0);
        let step = (hi - lo) / 255.0;
        clipped(below, lo) + clipped(above, hi) + (self.before[end][0] - below[0]).max(0.0) * step * step / 12.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f32]) -> Histogram {
        let mut h = Histogram::default();
        h.observe(values, 1);
        h
    }

    proptest! {
        #[test]
        fn order_and_split_do_not_matter(
            values in prop::collection::vec(prop::num::f32::ANY, 1..60), cut in 0usize..60
        ) {
            let whole = of(&values);
            let cut = cut.min(values.len());
            let (mut a, b) = (of(&values[..cut]), of(&values[cut..]));
            a.merge(&b);
            prop_assert_eq!(&a, &whole);
            let mut one_by_one = Histogram::default();
            values.iter().rev().for_each(|v| one_by_one.observe(&[*v], 1));
            prop_assert_eq!(&one_by_one, &whole);
            let (lo, hi) = whole.least_error();
            prop_assert!(lo <= 0.0 && hi >= 0.0 && lo >= whole.min.min(0.0) && hi <= whole.max.max(0.0));
        }
    }

    #[test]
    fn a_lone_outlier_is_clipped_and_a_flat_range_is_not() {
        let flat: Vec<f32> = (1..=2000).map(|i| i as f32 / 2000.0).collect();
        let mut h = of(&flat);
        assert_eq!(h.least_error(), (0.0, 1.0));
        // One value clipped at t errs by (20 - t)², two million by (t / 255)² / 12 each: least at 5.6.
        for _ in 0..1000 {
            h.observe(&flat, 1);
        }
        h.observe(&[20.0], 1);
        let (lo, hi) = h.least_error();
        assert!(lo == 0.0 && (5.4..5.8).contains(&hi), "{hi}");
        // Few values do not pay for one large error.
        let mut h = of(&flat[..100]);
        h.observe(&[20.0], 1);
        assert!(h.least_error().1 > 15.0);
        // Unless they weigh as much as many.
        h.observe(&flat[..100], 1 << 40);
        assert!(h.least_error().1 < 1.0);
    }

    #[test]
    fn zeros_and_broken_values() {
        let h = of(&[0.0, -0.0, f32::NAN, f32::INFINITY]);
        assert_eq!((h.total, h.broken, h.least_error()), (2, 2, (0.0, 0.0)));
    }
}
