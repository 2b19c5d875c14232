//! Alarms stay until somebody has seen them, however many they are.

use evenkeel_runtime::monitor::state::ALARMS;
use evenkeel_runtime::monitor::{Gap, Kind, Monitor, Raised, Source, words};

use crate::Plan;

const GROUPS: usize = 40;

/// One wrong prediction after another, until the floor alarm of a group rings.
fn ring(watch: &mut Monitor<Gap>, group: usize) {
    for _ in 0..1000 {
        let raised = watch.count(Some(group), false, Source::Reference).expect("a group");
        if raised.floor >> group & 1 != 0 {
            return;
        }
    }
    panic!("errors alone must alarm");
}

#[test]
fn more_alarms_than_are_kept_with_figures_are_still_known_until_they_are_acknowledged() {
    let plan = Plan::new(GROUPS, 0.9, 0.02, 10.0);
    let mut state = vec![0; words::<Gap>(GROUPS, 0)];
    let mut watch: Monitor<Gap> = plan.monitor(&mut state, 0);
    let rung: Vec<_> = (0..GROUPS).rev().step_by(3).collect();
    watch.saved(5);
    rung.iter().for_each(|&group| ring(&mut watch, group));
    let mask = |common: [u32; 2]| common[0] as u64 | (common[1] as u64) << 32;
    assert_eq!(mask(watch.common().floor_alarms), rung.iter().map(|g| 1u64 << g).sum::<u64>());
    assert!(rung.len() > ALARMS && watch.alarms().count() == ALARMS);
    let first = *watch.alarms().next().expect("kept");
    assert_eq!((first.kind, first.group as usize, first.times, first.after), (Kind::Floor as u8, rung[0], 1, 5));
    assert_eq!((first.n, first.correct), (first.events, 0));

    // A second time is counted where the first one is kept.
    ring(&mut watch, rung[0]);
    let again = *watch.alarms().next().expect("kept");
    assert_eq!((again.times, again.events, again.n), (2, first.events, first.n));

    // Snapshot 5 was saved before: who has seen it knows of none.
    watch.acknowledge(5);
    assert_eq!(watch.alarms().count(), ALARMS);
    watch.saved(6);
    ring(&mut watch, rung[1]);
    watch.acknowledge(6);
    let left: Vec<_> = watch.alarms().map(|alarm| (alarm.group as usize, alarm.times)).collect();
    assert_eq!(left, [(rung[1], 2)], "it rang again after snapshot 6");
    assert_eq!(mask(watch.common().floor_alarms) >> rung[1] & 1, 1);
    watch.saved(7);
    watch.acknowledge(7);
    assert_eq!((watch.alarms().count(), watch.common().floor_alarms), (0, [0; 2]));
    ring(&mut watch, rung[1]);
    assert_eq!(watch.alarms().map(|alarm| alarm.times).collect::<Vec<_>>(), [1], "a new one");
}

#[test]
fn alarms_of_both_kinds_name_their_groups() {
    let raised = Raised { floor: 1 | 1 << 63, gap: 1 << 31 | 1 << 32 };
    let all = [(Kind::Floor, 0), (Kind::Floor, 63), (Kind::Gap, 31), (Kind::Gap, 32)];
    assert!(raised.any() && raised.iter().eq(all));
    let every = Raised { floor: u64::MAX, gap: u64::MAX };
    assert!(every.iter().map(|alarm| alarm.1).eq((0..64).chain(0..64)));
    assert!(!Raised::default().any() && Raised::default().iter().next().is_none());
}

#[test]
fn alarms_outlive_a_restart() {
    let plan = Plan::new(GROUPS, 0.9, 0.02, 10.0);
    let mut state = vec![0; words::<Gap>(GROUPS, 0)];
    ring(&mut plan.monitor(&mut state, 0), 33);
    let mut watch: Monitor<Gap> = plan.monitor(&mut state, 0);
    watch.restarted(1);
    assert_eq!((watch.alarms().count(), watch.common().floor_alarms), (1, [0, 2]));
    watch.acknowledge(1);
    assert_eq!(watch.alarms().count(), 0);
}
