//! What counts and wealths prove, on the host in f64. Where a number decides something, it is moved by more than its
//! rounding error to the side that proves less.
//!
//! - [`floor`], [`latches`], [`e_bh`]: evidence as e-values. Ville's inequality makes a latched alarm at `G / α` hold at
//!   level α for all groups and all times (Ville 1939; Bonferroni). [`e_bh`] (Wang and Ramdas, *False discovery rate
//!   control with e-values*, JRSS B 2022) is for reports at one date: on running maxima it promises nothing.
//! - [`gap`]: the betting test of Chugg et al. (*Auditing fairness by betting*, NeurIPS 2023), from the wealths of devices.
//! - [`interval`]: intervals to show.
//! - [`label_free`]: what can be said before labels come.

pub mod interval;
pub mod label_free;

use evenkeel_runtime::format::FloorRecord;
use evenkeel_runtime::monitor::counts::log2_evidence;
use evenkeel_runtime::monitor::plan::logarithms;
use evenkeel_runtime::monitor::state::{BETS, Counts, GapState};

/// log2 of the evidence that a group's accuracy is below its floor, from all its labelled events. Counts of devices may be
/// summed: each event is one of a sequence whose accuracy was never below the floor.
pub fn floor(counts: &Counts, floor: &FloorRecord) -> f64 {
    log2_evidence(counts.n, counts.correct, &logarithms(floor)) as f64 / (1u64 << 24) as f64
}

/// log2 of a wealth; minus infinity for one that is lost.
pub fn log2_wealth(mantissa: u32, exponent: i16) -> f64 {
    if mantissa == 0 { f64::NEG_INFINITY } else { (mantissa as f64).log2() + exponent as f64 - 31.0 }
}

/// log2 of the wealth of each bet. They add up over devices.
pub fn bets(state: &GapState) -> [f64; BETS] {
    core::array::from_fn(|j| log2_wealth(state.wealth[j], state.exponent[j]))
}

/// log2 of the evidence of a gap: the mean wealth of the bets, whose logarithms were summed over devices.
pub fn gap(bets: &[f64; BETS]) -> f64 {
    lower(log2_mean(bets))
}

/// log2 of the mean of numbers that are given as logarithms.
pub(crate) fn log2_mean(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if logs.is_empty() || most.is_infinite() {
        return most;
    }
    most + (logs.iter().map(|x| (x - most).exp2()).sum::<f64>() / logs.len() as f64).log2()
}

/// A logarithm made smaller by more than the error of its computation.
pub(crate) fn lower(log: f64) -> f64 {
    log - 1e-9 - log.abs() * 1e-12
}

/// Whether evidence suffices for an alarm that holds at level `alpha` for so many groups, at whatever time one looks.
pub fn latches(log2_evidence: f64, groups: usize, alpha: f64) -> bool {
    log2_evidence >= (groups as f64 / alpha).log2()
}

/// The groups that a report of one date may call bad: of all that it calls bad, on average a share of at most `alpha` is
/// not, under any dependence (e-BH). Indices, ascending.
pub fn e_bh(log2_evidence: &[f64], alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..log2_evidence.len()).collect();
    order.sort_by(|&a, &b| log2_evidence[b].total_cmp(&log2_evidence[a]));
    let needed = |k: usize| (log2_evidence.len() as f64 / (k as f64 * alpha)).log2();
    let rejected = (1..=order.len()).rev().find(|&k| log2_evidence[order[k - 1]] >= needed(k)).unwrap_or(0);
    order.truncate(rejected);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::format::NameRef;
    use evenkeel_runtime::monitor::plan::floor_record;

    #[test]
    fn evidence_grows_below_the_floor_only() {
        let record = floor_record(NameRef::default(), 0.9);
        let of = |n, correct| floor(&Counts { n, correct }, &record);
        assert!(of(0, 0) < 0.0 && of(1000, 920) < 0.0);
        assert!(latches(of(1000, 820), 4, 0.05));
        assert!(!latches(of(1000, 890), 1, 0.05));
    }

    #[test]
    fn wealth_adds_up_and_lost_bets_stay_lost() {
        let state = GapState::default();
        assert_eq!(bets(&state), [0.0; BETS]);
        assert!(gap(&[0.0; BETS]) <= 0.0);
        let one = gap(&[10.0, f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY, 3.0]);
        let exact = ((1024.0f64 + 8.0) / 6.0).log2();
        assert!(one <= exact && one > exact - 1e-6);
        assert_eq!(gap(&[f64::NEG_INFINITY; BETS]), f64::NEG_INFINITY);
    }

    #[test]
    fn e_bh_rejects_more_than_bonferroni() {
        let e = |x: f64| x.log2();
        let values = [e(45.0), e(1.0), e(42.0), e(0.1)];
        // Bonferroni asks for 80; two that reach 40 each suffice here.
        assert_eq!(e_bh(&values, 0.05), [0, 2]);
        assert!(values.iter().all(|&v| !latches(v, 4, 0.05)));
        assert!(e_bh(&[e(19.0)], 0.05).is_empty());
        assert!(e_bh(&[], 0.05).is_empty());
    }
}
