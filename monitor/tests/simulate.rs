//! The study of the monitor's promises in a short form: fewer runs, the same seeds each time.

use evenkeel_monitor::simulate::controls::{Mistake, control};
use evenkeel_monitor::simulate::delays::{Pair, change, floor, gap, gap_change};
use evenkeel_monitor::simulate::lengths::{Detector, length};
use evenkeel_monitor::simulate::levels::{Test, bound, level};
use evenkeel_monitor::simulate::worlds::{FRAMES, Null, Run, World};

#[test]
fn the_bound_is_of_the_binomial_distribution() {
    // Of 4000 at 5 %, more than 243 have a probability of 0.00108, more than 244 of 0.00086.
    assert_eq!((bound(4000, 0.05), bound(1, 0.05), bound(20, 0.5)), (243, 0, 16));
}

#[test]
fn no_test_alarms_too_often_in_any_world() {
    for test in Test::ALL {
        for null in Null::ALL {
            let Some(level) = level(test, null, 100, 10_000).expect("sound") else { continue };
            assert!(level.holds(), "{test:?} under {null:?}: {level:?}");
            // A ring of 64 places and labels that are 32 events late on average: about an eighth come too late.
            let late = level.expired as f64 / 1e6;
            assert!(
                if null == Null::Delayed { (0.10..0.17).contains(&late) } else { late == 0.0 },
                "{null:?} {level:?}"
            );
        }
    }
}

#[test]
fn detectors_run_as_long_as_they_promise() {
    for detector in [Detector::Floors(1), Detector::Floors(4), Detector::Gap, Detector::Gaps(4)] {
        let length = length(detector, 1000.0, 300).expect("sound");
        assert!(length.holds(), "{detector:?}: {length:?}");
        // A single gap detector promises settlements and is tight: it does not run twice as long.
        assert!(detector != Detector::Gap || length.mean < 2000.0, "{length:?}");
    }
}

#[test]
fn changes_are_seen_as_soon_as_by_the_prototype() {
    let pair = Pair { others: 0.90, group: 0.80, share: 0.20 };
    for delay in [
        floor(0.90, 0.85, 0.05, [335.0, 750.0], 600),
        change(5000, 0.85, [317.0, 603.0], 600),
        gap(pair, 1, 0.05, [151.0, 355.0], 600),
        gap_change(10, 0.05, 211.0, 300),
    ] {
        let delay = delay.expect("sound");
        assert!(delay.holds(), "{delay:?}");
    }
}

#[test]
fn mistakes_show() {
    for mistake in Mistake::ALL {
        let control = control(mistake, 300).expect("sound");
        assert!(control.holds(), "{mistake:?}: {control:?}");
    }
}

#[test]
fn worlds_are_as_they_say() {
    let world = |null| World { null, base: vec![0.9, 0.8], swing: [0.05, 0.0], share: 0.2, events: 10_000 };
    for null in Null::ALL {
        let world = world(null);
        let mut run = Run::new(&world, "worlds", 1);
        let events: Vec<(usize, f64)> = (0..world.events).map(|_| run.arrival()).collect();
        for &(group, accuracy) in &events {
            assert!((world.base[group]..=world.base[group] + 0.05).contains(&accuracy), "{null:?}");
        }
        let share = |of: &[(usize, f64)]| of.iter().filter(|(group, _)| *group == 0).count() as f64 / of.len() as f64;
        let (first, last) = match null {
            Null::Drift => (0.3, 0.6),
            Null::Mix => (0.02, 0.3),
            _ => (0.2, 0.2),
        };
        assert!((share(&events[..2500]) - first).abs() < 0.1, "{null:?}");
        assert!((share(&events[7500..]) - last).abs() < 0.1, "{null:?}");
    }

    // Frames are right as often as the episode should be.
    for (null, frames) in [(Null::Episodes, FRAMES), (Null::Ramps, 5.0)] {
        let world = world(null);
        let mut run = Run::new(&world, "frames", 1);
        let (mut right, mut all) = (0, 0);
        for _ in 0..20_000 {
            run.frames(null, 0.9, |r| (right, all) = (right + r as u32, all + 1));
        }
        assert!((all as f64 / 20_000.0 - frames).abs() < 0.2, "{null:?}: {all}");
        assert!((right as f64 / all as f64 - 0.9).abs() < 0.01, "{null:?}: {right} of {all}");
    }
}
