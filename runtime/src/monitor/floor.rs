//! The floor detector: has a group's accuracy fallen below its certified floor?
//!
//! The Shiryaev–Roberts form of an e-detector (Shin, Ramdas and Rinaldo, *E-detectors: a nonparametric framework for
//! sequential change detection*, 2023). For each of the alternatives `p_j` below the floor `p0`, an event multiplies
//! the evidence:
//!
//! `S_j = (S_j + 1) * L_j`, with `L_j = p_j / p0` if the prediction was right, else `(1 - p_j) / (1 - p0)`
//!
//! and the alarm rings when `sum_j S_j >= A * J`. As long as the conditional accuracy of every group is at least its
//! floor, the evidence less the number of events (`S_j - n`) is a supermartingale, so the expected number of labelled
//! events (over all groups together) before a false alarm is at least `A`: no matter how the data drift above the
//! floor, and without a correction for the number of groups.

use super::state::FloorState;
use crate::format::FloorRecord;

/// Takes one outcome. Gives the sum of the evidence over the alternatives, Q`q`.
pub fn update(state: &mut FloorState, floor: &FloorRecord, correct: bool, q: u32) -> u64 {
    let ratios = if correct { &floor.correct } else { &floor.wrong };
    let mut sum = 0;
    for (s, &ratio) in state.evidence.iter_mut().zip(ratios) {
        sum += grow(s, ratio, q) as u64;
    }
    sum
}

/// `S = (S + 1) * L` in Q`q` with a ratio in Q26, rounded down, saturating. Gives the new `S`.
#[inline(always)]
pub(super) fn grow(s: &mut u32, ratio: u32, q: u32) -> u32 {
    let product = s.saturating_add(1 << q) as u64 * ratio as u64;
    *s = u32::try_from(product >> 26).unwrap_or(u32::MAX);
    *s
}
