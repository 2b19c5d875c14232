//! Floor detectors: against real numbers, and their alarms.

use evenkeel_runtime::Error;
use evenkeel_runtime::format::{FloorRecord, GRID, MonitorHead};
use evenkeel_runtime::monitor::{Alarm, Config, Kind, Monitor, Raised, Source, plan, words};

use crate::{Random, STEPS, floor_of as floor};

/// A monitor with floor alarms and without a ring on a zeroed or used state.
fn monitor<'a>(head: &'a MonitorHead, floors: &'a [FloorRecord], state: &'a mut [u32]) -> Monitor<'a, 'a, Alarm> {
    Monitor::new(Config::new(head, floors, None).expect("sound"), state, 0).expect("a state of this length")
}

fn count(monitor: &mut Monitor<Alarm>, group: usize, correct: bool) -> Raised {
    monitor.count(Some(group), correct, Source::Reference).expect("a group")
}

#[test]
fn the_evidence_is_never_larger_than_in_real_numbers() {
    let records = [floor(0.9)];
    for (q, p) in [(8, 0.9), (8, 0.85), (12, 0.92), (1, 0.9), (16, 0.8)] {
        let head = MonitorHead { groups: 1, threshold: u32::MAX, q, reserved: 0 };
        let mut state = [0; words::<Alarm>(1, 0)];
        let mut monitor = monitor(&head, &records, &mut state);
        let (mut real, mut random) = ([0.0f64; GRID], Random(q as u64));
        let mut largest = 0.0f64;
        for _ in 0..STEPS / 4 {
            let correct = random.uniform() < p;
            let alarm = count(&mut monitor, 0, correct);
            for (j, s) in real.iter_mut().enumerate() {
                let ratio = |of: f64| if correct { of / 0.9 } else { (1.0 - of) / (1.0 - 0.9) };
                *s = if alarm.any() { 0.0 } else { (*s + 1.0) * ratio((0.9 - plan::DROPS[j]).max(plan::LOWEST)) };
                let integer = monitor.cells()[0].floor.evidence[j] as f64 / (1u64 << q) as f64;
                // The slack is for the real numbers: f64 rounds, and the floor in Q26 is a little lower.
                assert!(integer <= *s * (1.0 + 1e-6), "q {q}, alternative {j}: {integer} > {s}");
                largest = largest.max(integer);
            }
        }
        assert!(largest > 10.0 || cfg!(miri), "the evidence moved");
    }
}

#[test]
fn the_group_that_breaks_alarms_and_no_other() {
    let records = [floor(0.88), floor(0.88), floor(0.80)];
    let head = plan::head(3, 10_000.0, 8).expect("fits");
    assert_eq!(head.threshold, 10_000 * 6 * 256);
    let mut state = [0; words::<Alarm>(3, 0)];
    let mut watch = monitor(&head, &records, &mut state);
    let mut random = Random(7);
    let mut alarms = 0;
    for event in 0..30_000u32 {
        let group = event as usize % 3;
        // The second group falls from 92 % to 78 % after 15 000 events.
        let accuracy = if group == 1 && event >= 15_000 { 0.78 } else { 0.92 };
        let raised = count(&mut watch, group, random.uniform() < accuracy);
        assert!(raised.iter().all(|alarm| alarm == (Kind::Floor, 1)), "{raised:?}");
        alarms += raised.any() as u16;
    }
    let first = *watch.alarms().next().expect("an alarm");
    // Some 120 events of the group is the usual delay of such a drop.
    assert!((15_000..15_000 + 3 * 500).contains(&first.events), "{first:?}");
    assert_eq!((first.n, first.times, watch.alarms().count()), (first.events.div_ceil(3), alarms, 1));
    assert_eq!((watch.cells()[1].counts.n, watch.common().floor_alarms), (10_000, [2, 0]));

    // A monitor goes on from what another one left; alarms stay until they are acknowledged.
    let mut watch = monitor(&head, &records, &mut state);
    assert_eq!((watch.common().events, watch.alarms().count()), (30_000, 1));
    watch.acknowledge(0);
    assert_eq!(watch.alarms().count(), 1, "no snapshot told of it");
    watch.saved(1);
    watch.acknowledge(1);
    assert_eq!((watch.common().floor_alarms, watch.alarms().count()), ([0; 2], 0));
}

#[test]
fn false_alarms_are_as_rare_as_promised() {
    // At the floor itself, the worst case: on average at least A events to the first false alarm. With the
    // standard error of an exponential time, 3 sigma below A is the bound of a fixed-seed check.
    let (arl, runs) = (500.0, 300);
    let (records, head) = ([floor(0.9)], plan::head(1, arl, 8).expect("fits"));
    let mut total = 0u64;
    for run in 0..runs {
        let mut state = [0; words::<Alarm>(1, 0)];
        let mut monitor = monitor(&head, &records, &mut state);
        let mut random = Random(run);
        while !count(&mut monitor, 0, random.uniform() < 0.9).any() {}
        total += monitor.common().events as u64;
    }
    assert!(total as f64 / runs as f64 >= arl * (1.0 - 3.0 / (runs as f64).sqrt()), "{total}");
}

#[test]
fn saturation_alarms_instead_of_wrapping() {
    let records = [floor(0.999)];
    let head = MonitorHead { groups: 1, threshold: u32::MAX, q: 16, reserved: 0 };
    let mut state = [0; words::<Alarm>(1, 0)];
    monitor(&head, &records, &mut state);
    // The only cell is the end of the state.
    let cell = state.len() - 8;
    state[cell..].fill(u32::MAX);
    let mut monitor = monitor(&head, &records, &mut state);
    assert_eq!(count(&mut monitor, 0, false), Raised { floor: 1, gap: 0 });
    let (alarm, cell) = (*monitor.alarms().next().expect("kept"), monitor.cells()[0]);
    assert_eq!((alarm.n, alarm.correct, cell.floor.evidence), (u32::MAX, u32::MAX, [0; GRID]));
    let mut events = 0;
    while !count(&mut monitor, 0, false).any() {
        events += 1;
    }
    assert!(events < 10, "only errors reach any threshold soon");
}

#[test]
fn what_cannot_work_is_refused() {
    assert!(plan::head(0, 1e4, 8).is_err());
    assert!(plan::head(65, 1e4, 8).is_err());
    assert!(plan::head(4, 1e4, 0).is_err());
    assert!(plan::head(4, 1e4, 17).is_err());
    assert!(plan::head(4, f64::NAN, 8).is_err());
    assert!(plan::head(4, 0.5, 8).is_err());
    assert!(plan::head(4, 2.7e6, 8).is_ok(), "2^32 / (6 * 2^8) is 2.79 million");
    assert!(plan::head(4, 2.9e6, 8).is_err());
    assert!(plan::head(4, f64::INFINITY, 1).is_err());

    let (head, records) = (plan::head(1, 1e4, 8).expect("fits"), [floor(0.9)]);
    let config = Config::new(&head, &records, None).expect("sound");
    let needed = words::<Alarm>(1, 3);
    let error = Monitor::<Alarm>::new(config, &mut [0; 5], 3).err();
    assert_eq!(error, Some(Error::MonitorState { needed, given: 5 }));
    let mut state = [0; words::<Alarm>(1, 0)];
    let mut watch = monitor(&head, &records, &mut state);
    let nobody = Error::NoSuchGroup { group: 1, groups: 1 };
    assert_eq!(watch.count(Some(1), true, Source::Reference), Err(nobody));
    assert_eq!(watch.common().events, 0);
    // The state of another configuration.
    let other = plan::head(1, 1e3, 8).expect("fits");
    let config = Config::new(&other, &records, None).expect("sound");
    assert!(matches!(Monitor::<Alarm>::new(config, &mut state, 0), Err(Error::Monitor(_))));
    let eager = [FloorRecord { wrong: [u32::MAX; GRID], ..records[0] }];
    assert!(matches!(Config::new(&head, &eager, None), Err(Error::Monitor(_))));
}
