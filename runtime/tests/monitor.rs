//! The monitor: its guarantee's premise in exact arithmetic, its integers against real numbers, its alarms.

use evenkeel_runtime::Error;
use evenkeel_runtime::format::{FloorRecord, GRID, MonitorHead, NameRef};
use evenkeel_runtime::monitor::{GroupState, Monitor, ONE_Q26, check, plan};
use proptest::prelude::*;

/// A stream of uniform numbers in [0, 1) (SplitMix64).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn floor(p0: f64) -> FloorRecord {
    plan::floor_record(NameRef::default(), p0)
}

/// `p * L_correct + (1 - p) * L_wrong <= 1` at the accuracy `p` in Q26.
fn premise(record: &FloorRecord, p: u32) {
    let one = ONE_Q26 as u128;
    for (&c, &w) in record.correct.iter().zip(&record.wrong) {
        assert!(p as u128 * c as u128 + (one - p as u128) * w as u128 <= one * one, "{record:?} at {p}");
        assert!((c as u128) < one && w as u128 >= one, "a wrong prediction is evidence against the floor");
    }
}

#[test]
fn no_factor_is_larger_than_one_on_average() {
    for i in 1..10_000 {
        let p0 = i as f64 / 10_000.0;
        let record = floor(p0);
        assert!(record.floor as f64 <= p0 * ONE_Q26 as f64 && p0 * ONE_Q26 as f64 - 1.0 < record.floor as f64);
        // The exact floor lies in [floor, floor + 1).
        premise(&record, record.floor);
        premise(&record, record.floor + 1);
    }
    for odd in [0.0, -1.0, 1.0, 2.0, 1e-9, 1.0 - 1e-12, f64::NAN, f64::INFINITY] {
        premise(&floor(odd), floor(odd).floor);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 6 } else { 2000 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_factor_is_larger_than_one_above_the_floor(p0 in 0.0..1.0f64, above in 0.0..1.0f64) {
        let record = floor(p0);
        let p = record.floor + ((ONE_Q26 - record.floor) as f64 * above) as u32;
        premise(&record, p);
        let head = plan::head(1, 1000.0, 8).expect("fits");
        prop_assert_eq!(check(&head, &[record]), Ok(()));
    }
}

#[test]
fn the_evidence_is_never_larger_than_in_real_numbers() {
    let records = [floor(0.9)];
    for (q, p) in [(8, 0.9), (8, 0.85), (12, 0.92), (1, 0.9), (16, 0.8)] {
        let head = MonitorHead { groups: 1, threshold: u32::MAX, q, reserved: 0 };
        let mut states = [GroupState::default()];
        let mut monitor = Monitor::new(&head, &records, &mut states).expect("sound");
        let (mut real, mut random) = ([0.0f64; GRID], Uniform(q as u64));
        let mut largest = 0.0f64;
        for _ in 0..100_000 {
            let correct = random.next() < p;
            let alarm = monitor.observe(0, correct).expect("one group");
            for (j, s) in real.iter_mut().enumerate() {
                let ratio = |of: f64| if correct { of / 0.9 } else { (1.0 - of) / (1.0 - 0.9) };
                *s = if alarm.is_some() { 0.0 } else { (*s + 1.0) * ratio((0.9 - plan::DROPS[j]).max(plan::LOWEST)) };
                let integer = monitor.states()[0].evidence[j] as f64 / (1u64 << q) as f64;
                // The slack is for the real numbers: f64 rounds, and the floor in Q26 is a little lower.
                assert!(integer <= *s * (1.0 + 1e-6), "q {q}, alternative {j}: {integer} > {s}");
                largest = largest.max(integer);
            }
        }
        assert!(largest > 10.0, "the evidence moved");
    }
}

#[test]
fn the_group_that_breaks_alarms_and_no_other() {
    let records = [floor(0.88), floor(0.88), floor(0.80)];
    let head = plan::head(3, 10_000.0, 8).expect("fits");
    assert_eq!(head.threshold, 10_000 * 6 * 256);
    let mut states = [GroupState::default(); 3];
    let mut monitor = Monitor::new(&head, &records, &mut states).expect("sound");
    let mut random = Uniform(7);
    let mut alarms = Vec::new();
    for event in 0..30_000u32 {
        let group = event as usize % 3;
        // The second group falls from 92 % to 78 % after 15 000 events.
        let accuracy = if group == 1 && event >= 15_000 { 0.78 } else { 0.92 };
        alarms.extend(monitor.observe(group, random.next() < accuracy).expect("a group"));
    }
    assert!(!alarms.is_empty() && alarms.iter().all(|a| a.group == 1), "{alarms:?}");
    let first = alarms[0];
    // Some 120 events of the group is the usual delay of such a drop.
    assert!((15_000..15_000 + 3 * 500).contains(&first.events), "{first:?}");
    assert_eq!(first.n, first.events.div_ceil(3));
    let state = monitor.states()[1];
    assert_eq!((state.alarms as usize, state.first_alarm, state.n), (alarms.len(), first.events, 10_000));
    assert_eq!(monitor.states()[0].first_alarm, 0);
    assert_eq!(monitor.events(), 30_000);

    // A monitor goes on from what another one left.
    let monitor = Monitor::new(&head, &records, &mut states).expect("sound");
    assert_eq!(monitor.events(), 30_000);
}

#[test]
fn false_alarms_are_as_rare_as_promised() {
    // At the floor itself, the worst case: on average at least A events to the first false alarm. With the
    // standard error of an exponential time, 3 sigma below A is the bound of a fixed-seed check.
    let (arl, runs) = (500.0, 300);
    let (records, head) = ([floor(0.9)], plan::head(1, arl, 8).expect("fits"));
    let mut total = 0u64;
    for run in 0..runs {
        let mut states = [GroupState::default()];
        let mut monitor = Monitor::new(&head, &records, &mut states).expect("sound");
        let mut random = Uniform(run);
        while monitor.observe(0, random.next() < 0.9).expect("one group").is_none() {}
        total += monitor.events() as u64;
    }
    assert!(total as f64 / runs as f64 >= arl * (1.0 - 3.0 / (runs as f64).sqrt()), "{total}");
}

#[test]
fn saturation_alarms_instead_of_wrapping() {
    let records = [floor(0.999)];
    let head = MonitorHead { groups: 1, threshold: u32::MAX, q: 16, reserved: 0 };
    let full = GroupState { evidence: [u32::MAX; GRID], n: u32::MAX, correct: u32::MAX, ..Default::default() };
    let mut states = [full];
    let mut monitor = Monitor::new(&head, &records, &mut states).expect("sound");
    let alarm = monitor.observe(0, false).expect("one group").expect("an alarm");
    assert_eq!((alarm.n, alarm.correct, alarm.events), (u32::MAX, u32::MAX, u32::MAX));
    assert_eq!(monitor.states()[0].evidence, [0; GRID]);
    let mut events = 0;
    while monitor.observe(0, false).expect("one group").is_none() {
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
    let mut none = [];
    let error = Monitor::new(&head, &records, &mut none).err();
    assert_eq!(error, Some(Error::MonitorStates { needed: 1, given: 0 }));
    let mut states = [GroupState::default()];
    let mut monitor = Monitor::new(&head, &records, &mut states).expect("sound");
    assert_eq!(monitor.observe(1, true), Err(Error::NoSuchGroup { group: 1, groups: 1 }));
    assert_eq!(monitor.events(), 0);
    let eager = [FloorRecord { wrong: [u32::MAX; GRID], ..records[0] }];
    assert!(matches!(Monitor::new(&head, &eager, &mut states), Err(Error::Monitor(_))));
}
