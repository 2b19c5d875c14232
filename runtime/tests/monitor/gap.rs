//! Gap detectors: long runs against real numbers, and their alarms.

use evenkeel_runtime::monitor::state::{BETS, GapState};
use evenkeel_runtime::monitor::{Gap, Kind, Monitor, ONE_Q26, Source, gap, plan, words};

use crate::{Plan, Random, STEPS};

/// `log2` of a wealth.
fn log2(state: &GapState, j: usize) -> f64 {
    (state.wealth[j] as f64).log2() + state.exponent[j] as f64 - 31.0
}

#[test]
fn wealth_and_evidence_stay_below_and_close_to_real_numbers() {
    let (tolerance, q, threshold) = (plan::tolerance(0.02).expect("small"), 8, 1u64 << 31);
    for (own_right, rest_right) in [(0.9, 0.9), (0.87, 0.9), (0.95, 0.7)] {
        let (mut random, mut state) = (Random(31), GapState::default());
        let (mut wealth, mut evidence) = ([0.0f64; BETS], [0.0f64; BETS]);
        let (mut alarms, mut lost) = (0, [false; BETS]);
        for step in 0..STEPS {
            // Turn by turn: one of the others, then one of the group, and every pair settles.
            gap::update(&mut state, false, random.uniform() < rest_right, tolerance, q);
            let rest = state.rest & 1;
            let own = random.uniform() < own_right;
            let sum = gap::update(&mut state, true, own, tolerance, q).expect("both sides have one");
            let d = rest as f64 - own as u8 as f64 - tolerance as f64 / ONE_Q26 as f64;
            for (j, (numerator, shift)) in gap::LAMBDA.into_iter().enumerate() {
                let factor = 1.0 + numerator as f64 / (1 << shift) as f64 * d;
                wealth[j] += factor.log2();
                evidence[j] = (evidence[j] + 1.0) * factor;
                let s = state.evidence[j] as f64 / (1 << q) as f64;
                assert!(s <= evidence[j] * (1.0 + 1e-9), "bet {j}, step {step}: {s} > {}", evidence[j]);
                if state.wealth[j] == 0 {
                    lost[j] = true;
                    assert!(wealth[j] < -32_000.0, "bet {j} lost too early: {}", wealth[j]);
                    continue;
                }
                assert!(!lost[j], "what is lost never comes back");
                // A rounding loses less than 2^-31 of a wealth, and one of a factor some 2^-24 of it.
                let log = log2(&state, j);
                assert!(log <= wealth[j] + 1e-9 * (1.0 + wealth[j].abs()), "bet {j}: {log} > {}", wealth[j]);
                let slack = 1e-6 * (step + 1) as f64;
                assert!(log >= wealth[j] - slack - 1e-9, "bet {j}: {log} below {}", wealth[j]);
            }
            if sum >= threshold {
                (state.evidence, evidence) = ([0; BETS], [0.0; BETS]);
                alarms += 1;
            }
        }
        if !cfg!(miri) {
            assert_eq!(alarms > 0, rest_right - own_right > 0.02, "{own_right} {rest_right}");
            assert!(lost[BETS - 1] && !lost[0] || own_right > 0.9, "the largest bet loses most: {lost:?}");
        }
        assert_eq!(state.settled as usize, STEPS);
    }
}

#[test]
fn the_group_that_falls_behind_alarms_and_no_other_and_a_fall_of_all_is_no_gap() {
    // The floors are too low to see either.
    let plan = Plan::new(4, 0.3, 0.02, 10_000.0);
    let mut state = vec![0; words::<Gap>(4, 0)];
    let mut watch: Monitor<Gap> = plan.monitor(&mut state, 0);
    let mut random = Random(32);
    let mut run = |watch: &mut Monitor<Gap>, events: usize, accuracy: [f64; 4]| {
        let mut alarms = 0;
        for _ in 0..events {
            let group = random.below(4);
            let correct = random.uniform() < accuracy[group];
            let raised = watch.count(Some(group), correct, Source::Reference).expect("a group");
            assert!(raised.iter().all(|alarm| alarm == (Kind::Gap, 2)), "{raised:?}");
            alarms += raised.gap.count_ones();
        }
        alarms
    };
    assert_eq!(run(&mut watch, 20_000, [0.95; 4]), 0);
    assert_eq!(run(&mut watch, 20_000, [0.7; 4]), 0, "all of them fell");
    if cfg!(miri) {
        return;
    }
    assert!(run(&mut watch, 20_000, [0.9, 0.9, 0.7, 0.9]) > 0);
    assert_eq!((watch.common().gap_alarms, watch.common().floor_alarms), ([4, 0], [0; 2]));
    let alarm = *watch.alarms().next().expect("kept");
    assert_eq!((alarm.kind, alarm.group), (Kind::Gap as u8, 2));
    assert!((40_000..42_000).contains(&alarm.events), "{alarm:?}");
}

#[test]
fn a_group_without_a_tolerance_is_not_tested_but_is_one_of_the_others() {
    let mut plan = Plan::new(2, 0.3, 0.02, 10_000.0);
    plan.groups[0].tolerance = u32::MAX;
    let mut state = vec![0; words::<Gap>(2, 0)];
    let mut watch: Monitor<Gap> = plan.monitor(&mut state, 0);
    for i in 0..100 {
        watch.count(Some(i % 2), i % 2 == 0, Source::Reference).expect("a group");
    }
    assert_eq!(watch.cells()[0].gap, GapState::default());
    assert_eq!(watch.cells()[1].gap.settled, 50);
    assert_eq!(watch.cells()[1].gap.sum, 50 * 256, "always one ahead");
}

#[test]
fn wealth_at_the_limits_of_its_exponent_is_lost_or_held_and_never_grows() {
    let tolerance = plan::tolerance(0.02).expect("small");
    let settle = |state: &mut GapState, behind: bool| {
        gap::update(state, false, behind, tolerance, 8);
        gap::update(state, true, !behind, tolerance, 8).expect("settles");
    };
    let mut state = GapState { exponent: [i16::MIN; BETS], ..Default::default() };
    settle(&mut state, false);
    assert_eq!((state.wealth, state.exponent), ([0; BETS], [0; BETS]));
    (0..100).for_each(|_| settle(&mut state, true));
    assert_eq!((state.wealth, state.exponent), ([0; BETS], [0; BETS]), "nothing comes of nothing");

    let mut state = GapState { exponent: [i16::MAX; BETS], wealth: [u32::MAX; BETS], ..Default::default() };
    for _ in 0..100 {
        let before = state;
        settle(&mut state, true);
        assert_eq!(state.exponent, [i16::MAX; BETS]);
        assert!((0..BETS).all(|j| log2(&state, j) <= log2(&before, j) + 1.3), "not more than the bets' gains");
    }
    assert!((0..BETS).all(|j| state.wealth[j] >> 31 == 1));
    // From one below the lower limit a gain leads back inside.
    let mut state = GapState { exponent: [i16::MIN; BETS], ..Default::default() };
    settle(&mut state, true);
    assert!((0..BETS).all(|j| state.wealth[j] > 0 && log2(&state, j) > i16::MIN as f64));
}
