//! Late labels: joined in any order, once, in time; everything else is refused, and counted where it should be.

use std::collections::HashMap;

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::{Full, Monitor, Prediction, SOURCES, Source, Ticket, words};
use proptest::prelude::*;

use crate::{CASES, Plan};

const GROUPS: usize = 3;
const SOURCE: [Source; SOURCES] = [Source::Reference, Source::User, Source::Outcome, Source::Complaint];

fn of_class(class: u16) -> Prediction {
    Prediction { class, margin: 40 }
}

/// What somebody may do.
#[derive(Clone, Debug)]
enum Deed {
    Predict(Option<usize>, u16),
    /// The label of one of all tickets so far.
    Label(prop::sample::Index, u16, usize),
    Restart,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let group = prop_oneof![3 => (0..GROUPS).prop_map(Some), 1 => Just(None)];
    let deed = prop_oneof![
        20 => (group, 0..3u16).prop_map(|(group, class)| Deed::Predict(group, class)),
        20 => (any::<prop::sample::Index>(), 0..3u16, 0..SOURCES).prop_map(|(i, class, s)| Deed::Label(i, class, s)),
        1 => Just(Deed::Restart),
    ];
    prop::collection::vec(deed, 1..120)
}

/// The plain way to join labels: with a memory of everything.
#[derive(Default)]
struct Plain {
    /// Number of the prediction, group and class of those that wait.
    waiting: HashMap<u32, (usize, Option<usize>, u16)>,
    predictions: usize,
    /// Predictions, labelled, right and expired of each group; the last is the unknown one.
    counts: [[u32; 4]; GROUPS + 1],
    sources: [u32; SOURCES],
}

impl Plain {
    fn expire(&mut self, which: impl Fn(usize) -> bool) {
        let counts = &mut self.counts;
        self.waiting.retain(|_, (number, group, _)| {
            let gone = which(*number);
            counts[group.unwrap_or(GROUPS)][3] += gone as u32;
            !gone
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn labels_are_joined_as_with_a_memory_of_everything(
        slots in 0usize..9,
        // The numbers of tickets begin anew on the way, or not.
        first in prop_oneof![Just(0u32), (u32::MAX - 150)..u32::MAX],
        deeds in deeds(),
    ) {
        let plan = Plan::new(GROUPS, 0.5, 0.02, 1e5);
        let mut state = vec![0; words::<Full>(GROUPS, slots)];
        plan.monitor::<Full>(&mut state, slots);
        bytemuck::cast_slice_mut::<u32, u8>(&mut state)[..size_of::<evenkeel_runtime::monitor::Common>()]
            [16..20].copy_from_slice(&first.to_le_bytes());
        let mut watch: Monitor<Full> = plan.monitor(&mut state, slots);
        prop_assert_eq!(watch.common().next, first);
        let (mut plain, mut tickets) = (Plain::default(), Vec::new());
        for deed in deeds {
            match deed {
                Deed::Predict(group, class) => {
                    let ticket = watch.predict(group, of_class(class)).expect("a group");
                    plain.counts[group.unwrap_or(GROUPS)][0] += 1;
                    tickets.push(ticket);
                    let number = plain.predictions;
                    plain.waiting.insert(ticket.0, (number, group, class));
                    plain.predictions += 1;
                    plain.expire(|n| n + slots <= number);
                }
                Deed::Label(index, truth, source) if !tickets.is_empty() => {
                    let ticket = *index.get(&tickets);
                    let joined = watch.label(ticket, truth, SOURCE[source]);
                    let Ok(_) = joined else {
                        // Where numbers begin anew some labels come too late a little early; they expire in their turn.
                        let early = plain.waiting.contains_key(&ticket.0) && watch.common().next < 200 && first > 0;
                        prop_assert!(early || !plain.waiting.contains_key(&ticket.0), "{joined:?}");
                        continue;
                    };
                    let (_, group, class) = plain.waiting.remove(&ticket.0).expect("only what waits is joined");
                    plain.sources[source] += 1;
                    if SOURCE[source] != Source::Complaint {
                        plain.counts[group.unwrap_or(GROUPS)][1] += 1;
                        plain.counts[group.unwrap_or(GROUPS)][2] += (class == truth) as u32;
                    }
                }
                Deed::Label(..) => {}
                Deed::Restart => {
                    watch.restarted(0);
                    plain.expire(|_| true);
                }
            }
        }
        for (g, counts) in plain.counts.iter().take(GROUPS).enumerate() {
            let cell = watch.cells()[g];
            let same = [cell.traffic.predictions(), cell.counts.n, cell.counts.correct, cell.traffic.expired];
            prop_assert_eq!(same, *counts);
        }
        let common = watch.common();
        let unknown = [common.unknown_predictions, common.unknown.n, common.unknown.correct, common.unknown_expired];
        prop_assert_eq!(unknown, plain.counts[GROUPS]);
        prop_assert_eq!(common.sources, plain.sources);
        prop_assert_eq!(common.events, plain.counts[..GROUPS].iter().map(|c| c[1]).sum::<u32>());
    }
}

#[test]
fn a_label_that_cannot_be_joined_says_why_and_counts_nothing() {
    let plan = Plan::new(2, 0.5, 0.02, 1e5);
    let mut state = vec![0; words::<Full>(2, 3)];
    let mut watch: Monitor<Full> = plan.monitor(&mut state, 3);
    let fault = |watch: &mut Monitor<Full>, ticket| match watch.label(ticket, 1, Source::User) {
        Err(Error::Ticket(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert!(fault(&mut watch, Ticket(0)).contains("never issued"));
    let tickets: Vec<_> = (0..4).map(|_| watch.predict(Some(1), of_class(1)).expect("a group")).collect();
    assert!(fault(&mut watch, tickets[0]).contains("expired"));
    assert!(fault(&mut watch, Ticket(4)).contains("never issued"));
    assert!(fault(&mut watch, Ticket(u32::MAX)).contains("expired"), "as of before the numbers began anew");
    watch.label(tickets[2], 1, Source::User).expect("in time");
    assert!(fault(&mut watch, tickets[2]).contains("before"));
    watch.restarted(0);
    assert!(fault(&mut watch, tickets[3]).contains("expired"));
    let ticket = watch.predict(Some(1), of_class(1)).expect("a group");
    assert!(ticket.0 > 1 << 20, "one that was lost with the memory is not mistaken for it");
    watch.label(ticket, 0, Source::User).expect("in time");
    let cell = watch.cells()[1];
    assert_eq!((cell.counts.n, cell.counts.correct, cell.traffic.expired), (2, 1, 3));
    assert_eq!((cell.traffic.predictions(), watch.common().sources), (5, [0, 2, 0, 0]));
}

#[test]
fn no_group_is_mistaken_for_another_and_no_bad_one_leaves_a_trace() {
    let plan = Plan::new(64, 0.5, 0.02, 1e4);
    let mut state = vec![0; words::<Full>(64, 64)];
    let mut watch: Monitor<Full> = plan.monitor(&mut state, 64);
    let tickets: Vec<_> = (0..64).map(|g| watch.predict(Some(g), of_class(g as u16)).expect("a group")).collect();
    let nobody = Err(Error::NoSuchGroup { group: 64, groups: 64 });
    assert_eq!(watch.predict(Some(64), of_class(0)), nobody);
    assert_eq!(watch.predict(Some(usize::MAX), of_class(0)), Err(Error::NoSuchGroup { group: usize::MAX, groups: 64 }));
    assert!(watch.shadow(64, true).is_err());
    for (g, ticket) in tickets.into_iter().enumerate().rev() {
        watch.label(ticket, g as u16, Source::Outcome).expect("in time");
    }
    assert!(watch.cells().iter().all(|cell| (cell.counts.n, cell.counts.correct) == (1, 1)));
    assert_eq!((watch.common().events, watch.common().next), (64, 64));
    watch.shadow(63, false).expect("a group");
    assert_eq!((watch.cells()[63].traffic.shadowed, watch.cells()[63].traffic.disagreed), (1, 1));
}

#[test]
fn complaints_and_unknown_groups_are_counted_and_no_test_sees_them() {
    let plan = Plan::new(2, 0.9, 0.02, 10.0);
    let mut state = vec![0; words::<Full>(2, 0)];
    let mut watch: Monitor<Full> = plan.monitor(&mut state, 0);
    for _ in 0..1000 {
        assert!(!watch.count(Some(0), false, Source::Complaint).expect("a group").any());
        assert!(!watch.count(None, false, Source::Reference).expect("unknown").any());
    }
    assert_eq!(watch.cells(), [Full::default(); 2]);
    assert_eq!((watch.common().unknown.n, watch.common().events), (1000, 0));
    assert_eq!(watch.common().sources, [1000, 0, 0, 1000]);
    // Without a ring a prediction expires at once.
    let ticket = watch.predict(Some(1), of_class(0)).expect("a group");
    assert!(watch.label(ticket, 0, Source::User).is_err());
    assert_eq!(watch.cells()[1].traffic.expired, 1);
}
