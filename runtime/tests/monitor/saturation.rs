//! Counters that are full stay full, and damaged states do no harm.

use bytemuck::{bytes_of, bytes_of_mut};
use evenkeel_runtime::monitor::state::{FloorState, GapState, Traffic};
use evenkeel_runtime::monitor::{Common, Full, Monitor, Prediction, Source, words};
use proptest::prelude::*;

use crate::{CASES, Plan};

const GROUPS: usize = 2;
const SLOTS: usize = 3;

/// Everything that can be done to a monitor.
fn everything(watch: &mut Monitor<Full>) {
    for i in 0..40u32 {
        let group = [Some(0), Some(1), None][i as usize % 3];
        let source = [Source::Reference, Source::User, Source::Outcome, Source::Complaint][i as usize % 4];
        let frame = Prediction { class: i as u16 % 2, margin: 255 };
        watch.count(group, i % 5 == 0, source).expect("a group");
        watch.predict_at(1, 10, group, frame).expect("a group");
        let ticket = watch.predict(group, frame).expect("a group");
        // A damaged place may name a group that is not there.
        if i % 2 == 0 {
            let _ = watch.label(ticket, 0, source);
        }
        watch.shadow(0, false).expect("a group");
        let mut episode = watch.begin_episode(group).expect("a group");
        episode.observe(frame);
        let _ = watch.end_episode(episode).expect("a group");
    }
    assert!(watch.alarms().count() <= 8);
}

#[test]
fn full_counters_stay_full() {
    let plan = Plan::new(GROUPS, 0.9, 0.02, 1e5);
    let mut state = vec![0; words::<Full>(GROUPS, SLOTS)];
    plan.monitor::<Full>(&mut state, SLOTS);
    let bytes = bytemuck::cast_slice_mut::<u32, u8>(&mut state);
    let (head, rest) = bytes.split_at_mut(size_of::<Common>());
    let mut common: Common = bytemuck::pod_read_unaligned(head);
    common.events = u32::MAX;
    common.sources = [u32::MAX; 4];
    (common.unknown.n, common.unknown.correct) = (u32::MAX, u32::MAX);
    (common.unknown_predictions, common.unknown_expired, common.crowded) = (u32::MAX, u32::MAX, u32::MAX);
    head.copy_from_slice(bytes_of(&common));
    let mut full = Full {
        floor: FloorState { evidence: [u32::MAX; 6] },
        gap: GapState {
            evidence: [u32::MAX; 6],
            settled: u32::MAX,
            sum: i32::MAX,
            squares: u32::MAX,
            ..Default::default()
        },
        traffic: Traffic { expired: u32::MAX, shadowed: u32::MAX, disagreed: u32::MAX, confidence: [u32::MAX; 16] },
        ..Default::default()
    };
    (full.counts.n, full.counts.correct) = (u32::MAX, u32::MAX);
    rest[..size_of::<Full>()].copy_from_slice(bytes_of(&full));

    let mut watch: Monitor<Full> = plan.monitor(&mut state, SLOTS);
    // Evidence that is full rings, and begins anew.
    assert!(watch.count(Some(0), false, Source::Reference).expect("a group").floor == 1);
    assert_eq!(watch.cells()[0].floor.evidence, [0; 6]);
    watch.count(Some(1), true, Source::Reference).expect("a group");
    everything(&mut watch);
    let (cell, common) = (watch.cells()[0], watch.common());
    assert_eq!((cell.counts.n, cell.counts.correct, cell.gap.settled), (u32::MAX, u32::MAX, u32::MAX));
    let Traffic { expired, shadowed, disagreed, confidence } = cell.traffic;
    assert_eq!((expired, shadowed, disagreed, confidence), (u32::MAX, u32::MAX, u32::MAX, [u32::MAX; 16]));
    assert_eq!(cell.traffic.predictions(), u32::MAX);
    assert_eq!((common.events, common.sources, common.unknown.n), (u32::MAX, [u32::MAX; 4], u32::MAX));
    assert_eq!(common.unknown.correct, u32::MAX);
    assert_eq!((common.unknown_predictions, common.unknown_expired, common.crowded), (u32::MAX, u32::MAX, u32::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_state_does_no_harm(
        bytes in prop::collection::vec(
            prop_oneof![2 => any::<u8>(), 1 => Just(0u8), 1 => Just(255u8)],
            4 * words::<Full>(GROUPS, SLOTS),
        ),
    ) {
        let plan = Plan::new(GROUPS, 0.9, 0.02, 1e5);
        let mut state = vec![0; words::<Full>(GROUPS, SLOTS)];
        plan.monitor::<Full>(&mut state, SLOTS);
        // The first 12 bytes say whose state it is; with others it would be refused.
        bytemuck::cast_slice_mut::<u32, u8>(&mut state)[12..].copy_from_slice(&bytes[12..]);
        everything(&mut plan.monitor(&mut state, SLOTS));
    }
}

#[test]
fn a_repeated_alarm_is_counted_up_to_the_largest_number() {
    let plan = Plan::new(1, 0.9, 0.02, 1.0);
    let mut state = vec![0; words::<Full>(1, 0)];
    let mut watch: Monitor<Full> = plan.monitor(&mut state, 0);
    while !watch.count(Some(0), false, Source::Reference).expect("a group").any() {}
    let (head, _) = bytemuck::cast_slice_mut::<u32, u8>(&mut state).split_at_mut(size_of::<Common>());
    let mut common: Common = bytemuck::pod_read_unaligned(head);
    common.alarms[0].times = u16::MAX;
    head.copy_from_slice(bytes_of_mut(&mut common));
    let mut watch: Monitor<Full> = plan.monitor(&mut state, 0);
    while !watch.count(Some(0), false, Source::Reference).expect("a group").any() {}
    assert_eq!(watch.alarms().map(|alarm| alarm.times).collect::<Vec<_>>(), [u16::MAX]);
}
