//! The premise of both guarantees, in exact arithmetic, for every configuration that a tool can emit.

use evenkeel_runtime::format::FloorRecord;
use evenkeel_runtime::monitor::state::{BETS, GapState};
use evenkeel_runtime::monitor::{ONE_Q26, check, gap, plan};
use proptest::prelude::*;

use crate::{CASES, floor_of};

/// Floors that certificates state lie between these.
const FLOORS: [f64; 2] = [0.05, 0.98];

/// `p * L_correct + (1 - p) * L_wrong <= 1` at the accuracy `p` in Q26.
fn premise(record: &FloorRecord, p: u32) {
    let one = ONE_Q26 as u128;
    for (&c, &w) in record.correct.iter().zip(&record.wrong) {
        assert!(p as u128 * c as u128 + (one - p as u128) * w as u128 <= one * one, "{record:?} at {p}");
        assert!((c as u128) < one && w as u128 >= one, "a wrong prediction is evidence against the floor");
    }
}

#[test]
fn no_floor_that_a_certificate_states_has_a_factor_over_one_on_average() {
    let [low, high] = FLOORS.map(|p| (p * ONE_Q26 as f64) as u32);
    let step = if cfg!(miri) { 1 << 20 } else { 64 };
    let head = plan::head(1, 1000.0, 8).expect("fits");
    let ends = (low..low + 200).chain(high - 200..high + 2);
    for q26 in (low..high).step_by(step).chain(ends) {
        let record = floor_of(q26 as f64 / ONE_Q26 as f64);
        assert_eq!(record.floor, q26);
        // A floor that is no multiple of 2^-26 lies below the next one.
        premise(&record, record.floor);
        premise(&record, record.floor + 1);
        assert_eq!(check(&head, &[record]), Ok(()));
    }
}

#[test]
fn odd_floors_have_none_either() {
    for i in 1..10_000 {
        let p0 = i as f64 / 10_000.0;
        let record = floor_of(p0);
        assert!(record.floor as f64 <= p0 * ONE_Q26 as f64 && p0 * ONE_Q26 as f64 - 1.0 < record.floor as f64);
        premise(&record, record.floor);
        premise(&record, record.floor + 1);
    }
    for odd in [0.0, -1.0, 1.0, 2.0, 1e-9, 1.0 - 1e-12, f64::NAN, f64::INFINITY] {
        premise(&floor_of(odd), floor_of(odd).floor);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_factor_is_larger_than_one_above_the_floor(p0 in 0.0..1.0f64, above in 0.0..1.0f64) {
        let record = floor_of(p0);
        let p = record.floor + ((ONE_Q26 - record.floor) as f64 * above) as u32;
        premise(&record, p);
        let head = plan::head(1, 1000.0, 8).expect("fits");
        prop_assert_eq!(check(&head, &[record]), Ok(()));
    }
}

/// A factor of a bet as it enters the wealth: a first settlement leaves it there whole, as the wealth begins at 1.
fn factors(rest: (u32, u32), own: (u32, u32), tolerance: u32) -> [u32; BETS] {
    let ones = |n: u32| if n == 0 { 0 } else { u32::MAX >> (32 - n) };
    let mut state = GapState { own: ones(own.1) as u16, own_len: own.0 as u8, ..Default::default() };
    // The newest outcome of the others comes last; it is right unless none is.
    let newest = rest.1 > 0;
    (state.rest, state.rest_len) = (ones(rest.1 - newest as u32), rest.0 as u8 - 1);
    gap::update(&mut state, false, newest, tolerance, 8).expect("both sides have outcomes");
    let factor = |j: usize| {
        let shift = 5 - state.exponent[j];
        assert!((0..32).contains(&shift) && state.wealth[j] & ((1 << shift) - 1) == 0, "a bit was lost");
        state.wealth[j] >> shift
    };
    std::array::from_fn(factor)
}

/// The factors of all settlements at a tolerance, against `1 + λ D` in exact fractions.
fn every_settlement(tolerance: u32) {
    let longest = if cfg!(miri) { (3, 2) } else { (gap::REST as u32, gap::OWN as u32) };
    for rest_len in 1..=longest.0 {
        for own_len in 1..=longest.1 {
            for (r, o) in (0..=rest_len).flat_map(|r| (0..=own_len).map(move |o| (r, o))) {
                let both = rest_len as i64 * own_len as i64;
                let ahead = r as i64 * own_len as i64 - o as i64 * rest_len as i64;
                // D * 2^26 * both, exactly.
                let d = ahead * ONE_Q26 as i64 - tolerance as i64 * both;
                for ((numerator, shift), factor) in
                    gap::LAMBDA.into_iter().zip(factors((rest_len, r), (own_len, o), tolerance))
                {
                    let exact = ((ONE_Q26 as i64 * both) << shift) + numerator as i64 * d;
                    let integer = (factor as i64 * both) << shift;
                    assert!(factor > 0 && integer <= exact, "{r}/{rest_len} {o}/{own_len} λ {numerator}/2^{shift}");
                    // Three roundings, each by less than one, the first two multiplied by at most 3/2.
                    assert!(exact - integer < 5 * (both << shift), "too much is lost");
                }
            }
        }
    }
}

#[test]
fn no_settlement_gives_a_bet_more_than_it_should() {
    let percents = if cfg!(miri) { 2..=2 } else { 1..=33 };
    percents.for_each(|p| every_settlement(plan::tolerance(p as f64 / 100.0).expect("below a third")));
    // The smallest and the largest that a file may state.
    every_settlement(1);
    every_settlement(gap::TOLERANCE_LIMIT - 1);
}

#[test]
fn a_tolerance_is_never_zero_and_always_below_a_third() {
    assert_eq!(plan::tolerance(0.0), plan::tolerance(0.001));
    assert!(plan::tolerance(-1.0).is_some_and(|t| t > 0) && plan::tolerance(f64::NAN).is_some_and(|t| t > 0));
    assert_eq!((plan::tolerance(1.0 / 3.0), plan::tolerance(f64::INFINITY)), (None, None));
    assert!(plan::tolerance(0.333).is_some_and(|t| t as f64 >= 0.333 * ONE_Q26 as f64));
}
