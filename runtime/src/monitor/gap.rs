//! The gap detector: is a group behind all others by more than a tolerance?
//!
//! Outcomes of the group and of everybody else are kept until both sides have one. Then they settle: the difference of
//! their means, less the tolerance,
//!
//! `D = mean(others) - mean(group) - tolerance`
//!
//! multiplies the wealth of [`BETS`] bets by `1 + λ_j D` and both sides begin anew. Which outcomes enter `D` depends
//! only on the order of arrivals, so where the others are ahead by no more than the tolerance the expectation of `D` is
//! at most 0 and every wealth is a supermartingale (the betting test of Chugg et al., *Auditing fairness by betting*,
//! NeurIPS 2023, with both sides settled). A comparison is local in time: a drift that all groups share, or a change of
//! how often each is seen, is no evidence. Counts that are pooled over time or over devices have no such guarantee.
//!
//! The wealth since the beginning is kept as it adds up over devices (in logarithms). The alarm on the device comes from
//! the same bets as an e-detector, as in [`super::floor`].

use super::ONE_Q26;
use super::floor::grow;
use super::state::{BETS, GapState};

/// The bets `λ_j`: numerator, and power of two of the denominator.
pub const LAMBDA: [(i32, u32); BETS] = [(1, 5), (1, 4), (1, 3), (1, 2), (1, 1), (3, 2)];
/// Tolerances stay below this (a third in Q26), or the largest bet could lose more than all.
pub const TOLERANCE_LIMIT: u32 = ONE_Q26 / 3;
/// Outcomes of the others that a settlement can take: those are the newest.
pub const REST: u8 = 32;
/// Outcomes of the group that a settlement can take.
pub const OWN: u8 = 16;

/// Takes one outcome, of the group itself (`own`) or of another one. Gives the sum of the evidence over the bets, Q`q`,
/// when that settled.
pub fn update(state: &mut GapState, own: bool, correct: bool, tolerance: u32, q: u32) -> Option<u64> {
    take(state, own, correct).then(|| settle(state, tolerance, q))
}

/// Keeps one outcome. Gives whether both sides have some.
#[inline(always)]
pub(super) fn take(state: &mut GapState, own: bool, correct: bool) -> bool {
    if own {
        state.own = (state.own << 1) | correct as u16;
        state.own_len += (state.own_len < OWN) as u8;
        return state.rest_len != 0;
    }
    state.rest = (state.rest << 1) | correct as u32;
    state.rest_len += (state.rest_len < REST) as u8;
    state.own_len != 0
}

/// Both sides have outcomes.
#[inline(never)]
pub(super) fn settle(state: &mut GapState, tolerance: u32, q: u32) -> u64 {
    // No other lengths get here, but a state may have been damaged, and no way to panic should be linked.
    let (rest_len, own_len) = (state.rest_len.clamp(1, REST) as u32, state.own_len.clamp(1, OWN) as u32);
    let rest = state.rest & (u32::MAX >> (32 - rest_len));
    let own = state.own as u32 & (u32::MAX >> (32 - own_len));
    // In Q26; what counts for the group is rounded up, so that the difference is rounded down.
    let others = ((rest.count_ones() << 26) / rest_len) as i32;
    let group = (own.count_ones() << 26).div_ceil(own_len) as i32;
    let gap = others - group;
    (state.rest, state.own, state.rest_len, state.own_len) = (0, 0, 0, 0);

    let q8 = gap >> 18;
    state.settled = state.settled.saturating_add(1);
    state.sum = state.sum.saturating_add(q8);
    state.squares = state.squares.saturating_add((q8 * q8) as u32 >> 8);

    let d = gap - tolerance as i32;
    let mut sum = 0;
    for (j, &bet) in LAMBDA.iter().enumerate() {
        let factor = factor(bet, d);
        multiply(&mut state.wealth[j], &mut state.exponent[j], factor);
        sum += grow(&mut state.evidence[j], factor, q) as u64;
    }
    sum
}

/// `1 + λ_j d` in Q26, rounded down, for a `d` in Q26 of at least `-1 - tolerance`.
pub fn factors(d: i32) -> [u32; BETS] {
    LAMBDA.map(|bet| factor(bet, d))
}

fn factor((numerator, shift): (i32, u32), d: i32) -> u32 {
    // An arithmetic shift rounds down; with tolerances below their limit the sum is positive.
    (ONE_Q26 as i32 + ((numerator * d) >> shift)) as u32
}

/// `wealth * 2^exponent` times a factor in Q26, rounded down to 32 significant bits. A wealth too small to be written is
/// lost: 0 is never larger than the exact one.
fn multiply(wealth: &mut u32, exponent: &mut i16, factor: u32) {
    let product = *wealth as u64 * factor as u64;
    // In halves: a shift of 64 bits is a call on a Cortex-M.
    let (high, low) = ((product >> 32) as u32, product as u32);
    let (high, low, moved) = if high == 0 { (low, 0, -32) } else { (high, low, 0) };
    if high == 0 {
        return;
    }
    let zeros = high.leading_zeros();
    *wealth = (high << zeros) | ((low >> 1) >> (31 - zeros));
    // product = mantissa * 2^(32 - zeros), and the factor counted 2^26 for 1.
    let moved = *exponent as i32 + 6 - zeros as i32 + moved;
    match i16::try_from(moved) {
        Ok(moved) => *exponent = moved,
        Err(_) if moved < 0 => (*wealth, *exponent) = (0, 0),
        Err(_) => *exponent = i16::MAX,
    }
}
