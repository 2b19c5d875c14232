//! Evidence against a floor from counts alone, for hosts and for cells that hold nothing else.
//!
//! A grid mixture of likelihood ratios: with `k` right of `n`, and alternatives `p_j` below the floor `p0`,
//!
//! `log2 E >= max_j [k log2(p_j / p0) + (n - k) log2((1 - p_j) / (1 - p0))] - log2 J`
//!
//! is an e-process: as long as the conditional accuracy stays at `p0` or above, `E` ever reaches `1 / α` with a
//! probability of at most `α` (Ville). Counts add up over devices and keep that.

use crate::format::GRID;

/// `log2 J` in Q24, rounded up.
const LOG2_GRID: i64 = 43_368_475;

/// The logarithms of one floor's ratios in Q24, rounded down; the host makes them ([`super::plan::logarithms`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logarithms {
    /// `log2(p_j / p0)`.
    pub correct: [i32; GRID],
    /// `log2((1 - p_j) / (1 - p0))`.
    pub wrong: [i32; GRID],
}

/// A lower bound of `log2 E` in Q24.
pub fn log2_evidence(n: u32, correct: u32, floor: &Logarithms) -> i64 {
    let wrong = n.saturating_sub(correct);
    let logs = floor.correct.iter().zip(&floor.wrong);
    let sums = logs.map(|(&c, &w)| correct as i64 * c as i64 + wrong as i64 * w as i64);
    sums.max().unwrap_or(0) - LOG2_GRID
}
