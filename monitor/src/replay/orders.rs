//! What a detector can hold after outcomes whose numbers are known but not their order.
//!
//! The evidence `S = (S + 1) * L` after factors `L_1 .. L_n` is `S_0 * ΠL + Σ_i Π_{m >= i} L_m`. Every product of a suffix
//! is largest when the largest factors come last and smallest when they come first. A device rounds down at each step,
//! which costs at most one unit before the next factor, so its integer lies between `least` and `most` of these:
//!
//! `S_0 ΠL + (1 - u) Σ suffixes (smallest factors last) - u <= S <= S_0 ΠL + Σ suffixes (largest factors last)`
//!
//! with the unit `u = 2^-q`, as long as nothing saturates: full evidence has rung before. Sums of suffixes are geometric, so no number of events makes this slow.

/// Bounds of a detector's integer, in its own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// It cannot be less.
    pub least: f64,
    /// It cannot be more.
    pub most: f64,
}

impl Range {
    /// Whether a device can hold this.
    pub fn contains(&self, value: u32) -> bool {
        self.least <= value as f64 && value as f64 <= self.most
    }

    /// Moved outwards by more than the errors of f64, and cut where a device's integer saturates.
    fn new(least: f64, most: f64, steps: f64) -> Self {
        let error = 1e-9 + steps * 1e-13;
        let full = u32::MAX as f64;
        Range { least: (least * (1.0 - error) - 1.0).clamp(0.0, full), most: (most * (1.0 + error) + 1.0).min(full) }
    }
}

/// The two factors of a floor's alternative, as shares.
#[derive(Clone, Copy, Debug)]
pub struct Factors {
    /// For a right prediction.
    pub correct: f64,
    /// For a wrong one, not less.
    pub wrong: f64,
}

/// One alternative's evidence after so many right and wrong predictions, from `start`; `one` is 1 in its units.
pub fn floor(start: u32, one: f64, f: Factors, correct: u32, wrong: u32) -> Range {
    let (k, w) = (correct as f64, wrong as f64);
    let (c, l) = (f.correct.log2(), f.wrong.log2());
    let carried = (start as f64).log2() + k * c + w * l;
    // Smallest factors last: suffixes of right ones, then all of these with wrong ones before them.
    let smallest = geometric(f.correct, k).exp2() + (k * c + geometric(f.wrong, w)).exp2();
    let largest = geometric(f.wrong, w).exp2() + (w * l + geometric(f.correct, k)).exp2();
    Range::new(carried.exp2() + (one - 1.0) * smallest, carried.exp2() + one * largest, k + w)
}

/// The most that the alternative's evidence can have been at any time on the way.
pub fn floor_peak(start: u32, one: f64, f: Factors, correct: u32, wrong: u32) -> f64 {
    // More wrong ones give more. Right ones before them move the evidence towards a fixed point, so the most is at an end.
    floor(start, one, f, 0, wrong).most.max(floor(start, one, f, correct, wrong).most)
}

/// What is known of a bet's factors: the smallest and largest, how many, and log2 of their product (`None` where the
/// wealth was lost).
#[derive(Clone, Copy, Debug)]
pub struct Bets {
    /// log2 of the smallest factor.
    pub lo: f64,
    /// log2 of the largest factor.
    pub hi: f64,
    /// Settlements.
    pub settled: f64,
    /// log2 of their product.
    pub product: Option<f64>,
}

impl Bets {
    /// How far the stored wealths' ratio may be from the product: each multiplication keeps 31 bits at least.
    pub fn slack(&self) -> f64 {
        (self.settled + 2.0) * 2f64.powi(-30) + 1e-9
    }

    /// Evidence after these settlements.
    pub fn range(&self, start: u32, one: f64) -> Range {
        let m = self.settled;
        let carried = |log: f64| ((start as f64).log2() + log).exp2();
        let Some(product) = self.product else {
            return Range::new(0.0, carried(m * self.hi) + one * geometric(self.hi.exp2(), m).exp2(), m);
        };
        let (down, up) = (product - self.slack(), product + self.slack());
        // A suffix of l factors has at most hi^l, and at most what the product leaves when all before it are smallest.
        let turn = ((up - m * self.lo) / (self.hi - self.lo)).floor().clamp(0.0, m);
        let short = geometric(self.hi.exp2(), turn).exp2();
        let long = (up + self.lo + geometric((-self.lo).exp2(), m - turn)).exp2();
        Range::new(carried(down) + (one - 1.0) * down.exp2(), carried(up) + one * (short + long), m)
    }

    /// The most that the evidence can have been at any time on the way.
    pub fn peak(&self, start: u32, one: f64) -> f64 {
        Bets { product: None, ..*self }.range(start, one).most
    }
}

/// log2 of `r + r^2 + .. + r^n`.
fn geometric(r: f64, n: f64) -> f64 {
    let log = r.log2();
    if n == 0.0 {
        f64::NEG_INFINITY
    } else if (log * n).abs() < 1e-9 {
        n.log2()
    } else if log > 0.0 {
        // r (r^n - 1) / (r - 1)
        log + n * log + (-(-n * log).exp2()).ln_1p() / core::f64::consts::LN_2 - (r - 1.0).log2()
    } else {
        log + (-(n * log).exp2()).ln_1p() / core::f64::consts::LN_2 - (1.0 - r).log2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::format::{GRID, NameRef};
    use evenkeel_runtime::monitor::state::{BETS, FloorState, GapState};
    use evenkeel_runtime::monitor::{ONE_Q26, floor, gap, plan};
    use proptest::prelude::*;

    #[test]
    fn sums_of_powers() {
        for (r, n) in [(0.5f64, 3), (1.0, 7), (1.25, 40), (0.99, 1), (1.000_001, 5)] {
            let sum: f64 = (1..=n).map(|i| r.powi(i)).sum();
            assert!((geometric(r, n as f64).exp2() - sum).abs() < 1e-6 * sum, "{r} {n}");
        }
        assert_eq!(geometric(2.0, 0.0).exp2(), 0.0);
        assert!(geometric(2.0, 4e9).is_finite() && geometric(0.5, 4e9).is_finite());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]
        #[test]
        fn every_order_of_a_devices_outcomes_is_within(
            outcomes in proptest::collection::vec(any::<bool>(), 1..60),
            p0 in 0.3..0.99f64,
            start in 0..100_000u32,
            q in 1..12u32,
        ) {
            let record = plan::floor_record(NameRef::default(), p0);
            let mut state = FloorState { evidence: [start; GRID] };
            let mut peaks = [0u32; GRID];
            for &correct in &outcomes {
                floor::update(&mut state, &record, correct, q);
                for (peak, s) in peaks.iter_mut().zip(state.evidence) {
                    *peak = (*peak).max(s);
                }
            }
            let right = outcomes.iter().filter(|c| **c).count() as u32;
            let wrong = outcomes.len() as u32 - right;
            for (j, &peak) in peaks.iter().enumerate() {
                let one = ONE_Q26 as f64;
                let f = Factors { correct: record.correct[j] as f64 / one, wrong: record.wrong[j] as f64 / one };
                let one = (1u32 << q) as f64;
                let range = super::floor(start, one, f, right, wrong);
                // Full evidence would have rung and begun anew.
                let held = range.contains(state.evidence[j]) || peak == u32::MAX;
                prop_assert!(held && state.evidence[j] as f64 <= range.most, "{range:?} {}", state.evidence[j]);
                prop_assert!(peak as f64 <= floor_peak(start, one, f, right, wrong));
            }
        }

        #[test]
        fn every_order_of_settlements_is_within(
            outcomes in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..120),
            tolerance in 0.001..0.3f64,
            start in 0..100_000u32,
            q in 1..12u32,
        ) {
            let tolerance = plan::tolerance(tolerance).expect("small");
            let mut state = GapState { evidence: [start; BETS], ..Default::default() };
            for &(own, correct) in &outcomes {
                gap::update(&mut state, own, correct, tolerance, q);
            }
            let one = ONE_Q26 as i32;
            let (lo, hi) = (gap::factors(-one - tolerance as i32), gap::factors(one - tolerance as i32));
            for j in 0..BETS {
                let log = |f: u32| (f as f64 / one as f64).log2();
                let product = crate::evidence::log2_wealth(state.wealth[j], state.exponent[j]);
                let bets = Bets { lo: log(lo[j]), hi: log(hi[j]), settled: state.settled as f64, product: Some(product) };
                if state.settled > 0 {
                    let range = bets.range(start, (1u32 << q) as f64);
                    prop_assert!(range.contains(state.evidence[j]), "{range:?} {} {bets:?}", state.evidence[j]);
                }
            }
        }
    }
}
