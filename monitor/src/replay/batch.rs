//! The host's own detectors, on the coarser clock of snapshots.
//!
//! All outcomes between two snapshots are one step, `S = (S + 1) * L`, with `L` the product of their factors. Each factor's
//! conditional expectation is at most 1, so that of `L` is, and `S` less the number of steps is a supermartingale: as on
//! the device, the average number of steps, and all the more of events, before a false alarm is at least `A`, all groups
//! together (Shin, Ramdas and Rinaldo, *E-detectors*, 2023). For each alternative it is never more than the device's own
//! evidence, whose further terms it lacks.

use evenkeel_runtime::format::{BINS, FieldGroup, FloorRecord, GRID, NameRef};
use evenkeel_runtime::monitor::ONE_Q26;
use evenkeel_runtime::monitor::plan::floor_record;

use crate::evidence::lower;

/// Evidence per alternative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detector {
    evidence: Vec<f64>,
}

impl Detector {
    /// Takes one step with log2 of each alternative's factor; gives the mean of the evidence.
    pub fn step(&mut self, logs: &[f64]) -> f64 {
        self.evidence.resize(logs.len(), 0.0);
        for (s, log) in self.evidence.iter_mut().zip(logs) {
            *s = (*s + 1.0) * lower(*log).exp2();
        }
        self.mean()
    }

    /// The mean of the evidence: an alarm at `A`.
    pub fn mean(&self) -> f64 {
        self.evidence.iter().sum::<f64>() / self.evidence.len().max(1) as f64
    }

    /// Begins anew after an alarm.
    pub fn reset(&mut self) {
        self.evidence.clear();
    }
}

/// log2 of a Q26 factor.
fn log(factor: u32) -> f64 {
    (factor as f64 / ONE_Q26 as f64).log2()
}

/// log2 of the factors of so many right and wrong outcomes.
pub fn outcomes(record: &FloorRecord, right: u32, wrong: u32) -> [f64; GRID] {
    let times = |n: u32, factor: u32| if n == 0 { 0.0 } else { n as f64 * log(factor) };
    core::array::from_fn(|j| times(right, record.correct[j]) + times(wrong, record.wrong[j]))
}

/// The detector's factors for a share that should be at least `share` (Q26).
pub fn record(share: u32) -> FloorRecord {
    floor_record(NameRef::default(), share as f64 / ONE_Q26 as f64)
}

/// log2 of the factors of predictions by bin, against a mean calibrated confidence of at least `share` (Q26); with
/// `upper`, of at most that.
///
/// A confidence `x` is an outcome that is right to that degree, `L = x * L_correct + (1 - x) * L_wrong`: its expectation
/// depends on the mean of `x` alone.
pub fn confidence(field: &FieldGroup, new: &[u32; BINS], upper: bool) -> [f64; GRID] {
    let share = if upper { ONE_Q26.saturating_sub(field.confidence[1]) } else { field.confidence[0] };
    let record = record(share);
    core::array::from_fn(|j| {
        let (c, w) = (record.correct[j] as f64 / ONE_Q26 as f64, record.wrong[j] as f64 / ONE_Q26 as f64);
        let bin = |(&n, &calibrated): (&u32, &u8)| {
            let x = if upper { 255 - calibrated } else { calibrated } as f64 / 255.0;
            if n == 0 { 0.0 } else { n as f64 * (x * c + (1.0 - x) * w).log2() }
        };
        new.iter().zip(&field.map).map(bin).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_rings_below_and_not_above() {
        let record = record((0.9 * ONE_Q26 as f64) as u32);
        let rings = |right, wrong| {
            let mut detector = Detector::default();
            (0..200).map(|_| detector.step(&outcomes(&record, right, wrong))).any(|s| s >= 1e4)
        };
        assert!(rings(16, 4) && !rings(19, 1));
    }

    #[test]
    fn confidence_is_tested_on_both_sides() {
        let one = ONE_Q26 as f64;
        let field = FieldGroup {
            confidence: [(0.8 * one) as u32, (0.9 * one) as u32],
            map: core::array::from_fn(|i| (i * 17) as u8),
            ..Default::default()
        };
        let at = |bin: usize| core::array::from_fn(|i| 1000 * (i == bin) as u32);
        let most = |bin, upper| confidence(&field, &at(bin), upper).into_iter().fold(f64::MIN, f64::max);
        // 13 / 15 = .87 is within, 11 / 15 = .73 below, 15 / 15 above.
        assert!(most(13, false) < 0.0 && most(13, true) < 0.0);
        assert!(most(11, false) > 10.0 && most(11, true) < 0.0);
        assert!(most(15, true) > 10.0 && most(15, false) < 0.0);
        // The premise: at the bound the expected factor is at most 1.
        let (lo, hi) = (confidence(&field, &at(12).map(|n| n / 1000), false), field.confidence[0] as f64 / one);
        assert!((12.0 / 15.0 - hi).abs() < 1e-6 && lo.iter().all(|l| *l <= 1e-6));
    }
}
