//! Long runs against exact fractions: the integers are never larger.

use std::array::from_fn;

use evenkeel_runtime::format::GRID;
use evenkeel_runtime::monitor::state::{BETS, FloorState, GapState};
use evenkeel_runtime::monitor::{ONE_Q26, floor, gap, plan};
use num_bigint::BigUint;

use crate::{Random, STEPS, floor_of};

/// Steps until a run begins anew: exact fractions grow with every step.
const SEGMENT: usize = 100;

/// A fraction.
struct Exact {
    numerator: BigUint,
    denominator: BigUint,
}

impl Exact {
    fn new(value: u32) -> Self {
        Exact { numerator: value.into(), denominator: 1u32.into() }
    }

    fn times(&mut self, numerator: u64, denominator: u64) {
        self.numerator *= numerator;
        self.denominator *= denominator;
    }

    /// `S = (S + 1) * L`.
    fn grow(&mut self, numerator: u64, denominator: u64) {
        self.numerator += &self.denominator;
        self.times(numerator, denominator);
    }

    /// Whether it is at least `mantissa * 2^exponent`.
    fn at_least(&self, mantissa: u32, exponent: i32) -> bool {
        let product = &self.denominator * mantissa;
        if exponent < 0 {
            product <= &self.numerator << exponent.unsigned_abs()
        } else {
            product << exponent.unsigned_abs() <= self.numerator
        }
    }
}

/// Alternatives below a floor, in Q26, as the plan has them.
fn alternatives(floor: u32) -> [u32; GRID] {
    let q26 = |p: f64| (p * ONE_Q26 as f64) as u32;
    let lowest = q26(plan::LOWEST).min(floor / 2);
    plan::DROPS.map(|drop| floor.saturating_sub(q26(drop)).max(lowest))
}

#[test]
fn evidence_against_a_floor_is_never_larger_than_the_exact_one() {
    let mut random = Random(21);
    let mut largest = 0;
    for _ in 0..STEPS.div_ceil(SEGMENT) {
        let record = floor_of(0.05 + 0.93 * random.uniform());
        let (q, p) = (1 + random.below(16) as u32, record.floor as f64 / ONE_Q26 as f64 - 0.1 * random.uniform());
        let alternatives = alternatives(record.floor).map(u64::from);
        let floor = record.floor as u64;
        let (mut state, mut exact) = (FloorState::default(), [0; GRID].map(Exact::new));
        for _ in 0..SEGMENT {
            let correct = random.uniform() < p;
            let sum = floor::update(&mut state, &record, correct, q);
            assert_eq!(sum, state.evidence.iter().map(|&s| s as u64).sum());
            for ((exact, &s), &p) in exact.iter_mut().zip(&state.evidence).zip(&alternatives) {
                let one = ONE_Q26 as u64;
                let (of, to) = if correct { (p, floor) } else { (one - p, one - floor) };
                exact.grow(of, to);
                assert!(exact.at_least(s, -(q as i32)), "{s} in Q{q} at {record:?}");
                largest = largest.max(s >> q);
            }
        }
    }
    assert!(largest > 100 || cfg!(miri), "the evidence moved");
}

/// Outcomes of one side since the last settlement, the newest first.
#[derive(Default)]
struct Side(Vec<bool>);

impl Side {
    fn push(&mut self, correct: bool, longest: u8) {
        self.0.insert(0, correct);
        self.0.truncate(longest as usize);
    }

    /// Right ones, and all.
    fn take(&mut self) -> [i64; 2] {
        let taken = std::mem::take(&mut self.0);
        [taken.iter().filter(|&&c| c).count() as i64, taken.len() as i64]
    }
}

#[test]
fn wealth_and_evidence_of_a_gap_are_never_larger_than_the_exact_ones() {
    let (mut random, mut settled) = (Random(22), 0);
    while settled < STEPS {
        let tolerance = plan::tolerance(0.332 * random.uniform()).expect("below a third");
        let q = 1 + random.below(16) as u32;
        let [share, own_right, rest_right] = [(); 3].map(|()| random.uniform());
        let (mut rest, mut own) = (Side::default(), Side::default());
        let mut state = GapState::default();
        let mut wealth = [1; BETS].map(Exact::new);
        let mut evidence = [0; BETS].map(Exact::new);
        for _ in 0..SEGMENT {
            let of_own = random.uniform() < share;
            let correct = random.uniform() < if of_own { own_right } else { rest_right };
            if of_own {
                own.push(correct, gap::OWN)
            } else {
                rest.push(correct, gap::REST)
            }
            let sum = gap::update(&mut state, of_own, correct, tolerance, q);
            assert_eq!(sum.is_some(), !rest.0.is_empty() && !own.0.is_empty());
            let Some(sum) = sum else { continue };
            assert_eq!(sum, state.evidence.iter().map(|&s| s as u64).sum());
            settled += 1;
            let ([r, rest_len], [o, own_len]) = (rest.take(), own.take());
            let both = rest_len * own_len;
            let d = (r * own_len - o * rest_len) * ONE_Q26 as i64 - tolerance as i64 * both;
            for (j, (numerator, shift)) in gap::LAMBDA.into_iter().enumerate() {
                let to = (ONE_Q26 as i64 * both) << shift;
                let of = (to + numerator as i64 * d) as u64;
                wealth[j].times(of, to as u64);
                evidence[j].grow(of, to as u64);
                assert!(wealth[j].at_least(state.wealth[j], state.exponent[j] as i32 - 31), "{state:?}");
                assert!(evidence[j].at_least(state.evidence[j], -(q as i32)), "{state:?}");
            }
        }
        let kept: [bool; BETS] = from_fn(|j| state.wealth[j] >> 31 == 1);
        assert_eq!(kept, [true; BETS], "so few steps lose no wealth, and keep 32 bits of it");
    }
}
