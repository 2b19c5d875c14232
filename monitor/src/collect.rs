//! What the receiver of snapshots keeps: of each counting device the newest.
//!
//! The state is a map from (device, incarnation, model, configuration) to the snapshot with the largest number, and two
//! states join key by key. That is a join-semilattice: whatever is lost, comes twice or in another order, receivers who
//! have seen the same snapshots hold the same state (Shapiro et al., *Conflict-free replicated data types*, 2011).
//! Snapshots are cumulative, so the newest says all. Joining is never the maximum of each counter: a maximum over
//! wealths would pick what looks worst.
//!
//! [`Collection::insert`] says what is odd about a snapshot as it comes; [`audit`] looks at a whole set, in no order.

use std::collections::BTreeMap;

use crate::snapshot::Snapshot;

/// Whose counters these are: they ascend as long as this stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The device.
    pub device: u64,
    /// The life of its counters.
    pub incarnation: u32,
    /// Checksum of the model.
    pub model: u32,
    /// Hash of the monitor's configuration.
    pub config: u32,
}

impl Key {
    /// The key of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let (header, common) = (&snapshot.header, &snapshot.common);
        Key { device: header.device, incarnation: header.incarnation, model: common.model, config: common.config }
    }
}

/// What a snapshot turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before.
    New,
    /// The newest one once more; harmless.
    Duplicate,
    /// Older than one that came before: late, or replayed by somebody.
    Stale {
        /// The number of the newest.
        newest: u32,
    },
    /// Another content under the number of the newest: two devices with one identity, or a device whose storage was
    /// copied.
    Equivocation,
    /// Counters ran backwards between this and the newest: somebody restored an old state.
    Rollback(&'static str),
}

impl Arrival {
    /// Whether it should not happen with honest devices that keep their state.
    pub fn is_fault(&self) -> bool {
        matches!(self, Arrival::Equivocation | Arrival::Rollback(_))
    }
}

/// The newest snapshot of each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    latest: BTreeMap<Key, Snapshot>,
}

impl Collection {
    /// Takes a snapshot and says what is odd about it.
    pub fn insert(&mut self, snapshot: Snapshot) -> Arrival {
        let Some(kept) = self.latest.get_mut(&Key::of(&snapshot)) else {
            self.latest.insert(Key::of(&snapshot), snapshot);
            return Arrival::New;
        };
        let (old, new) = (kept.header.seq, snapshot.header.seq);
        let arrival = if new == old && *kept == snapshot {
            Arrival::Duplicate
        } else if new == old {
            Arrival::Equivocation
        } else {
            let (earlier, later) = if new > old { (&*kept, &snapshot) } else { (&snapshot, &*kept) };
            match regress(earlier, later) {
                Some(what) => Arrival::Rollback(what),
                None if new > old => Arrival::New,
                None => Arrival::Stale { newest: old },
            }
        };
        if (new, snapshot.to_bytes().ok()) > (old, kept.to_bytes().ok()) {
            *kept = snapshot;
        }
        arrival
    }

    /// Takes all that another receiver has.
    pub fn join(&mut self, other: Collection) {
        for snapshot in other.latest.into_values() {
            self.insert(snapshot);
        }
    }

    /// The newest snapshots, ordered by key.
    pub fn latest(&self) -> impl Iterator<Item = (&Key, &Snapshot)> {
        self.latest.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }
}

impl FromIterator<Snapshot> for Collection {
    fn from_iter<I: IntoIterator<Item = Snapshot>>(snapshots: I) -> Self {
        let mut collection = Collection::default();
        for snapshot in snapshots {
            collection.insert(snapshot);
        }
        collection
    }
}

/// The snapshots of one key in the order of their numbers, without duplicates, and what is wrong between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Whose.
    pub key: Key,
    /// Ascending numbers; of several contents under one number, the one that [`Collection`] keeps.
    pub snapshots: Vec<Snapshot>,
    /// How many came more than once.
    pub duplicates: usize,
    /// Number of the snapshot and what is wrong with it.
    pub faults: Vec<(u32, Arrival)>,
}

/// Sorts a set of snapshots into histories. The result does not depend on their order.
pub fn audit(snapshots: impl IntoIterator<Item = Snapshot>) -> Vec<History> {
    let mut sorted: BTreeMap<Key, Vec<(u32, Vec<u8>, Snapshot)>> = BTreeMap::new();
    for s in snapshots {
        let entry = (s.header.seq, s.to_bytes().unwrap_or_default(), s);
        sorted.entry(Key::of(&entry.2)).or_default().push(entry);
    }
    sorted.into_iter().map(|(key, entries)| history(key, entries)).collect()
}

fn history(key: Key, mut entries: Vec<(u32, Vec<u8>, Snapshot)>) -> History {
    entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let before = entries.len();
    entries.dedup_by(|a, b| (a.0, &a.1) == (b.0, &b.1));
    let mut history = History { key, snapshots: Vec::new(), duplicates: before - entries.len(), faults: Vec::new() };
    for (seq, _, snapshot) in entries {
        match history.snapshots.last_mut() {
            Some(last) if last.header.seq == seq => {
                *last = snapshot;
                history.faults.push((seq, Arrival::Equivocation));
            }
            _ => history.snapshots.push(snapshot),
        }
    }
    let pairs = history.snapshots.iter().zip(history.snapshots.iter().skip(1));
    let back = pairs.filter_map(|(a, b)| Some((b.header.seq, Arrival::Rollback(regress(a, b)?))));
    history.faults.extend(back);
    history.faults.sort_by_key(|(seq, _)| *seq);
    history
}

/// What ran backwards from one snapshot to one with a larger number under the same key.
pub fn regress(earlier: &Snapshot, later: &Snapshot) -> Option<&'static str> {
    let (old, new) = (&earlier.header, &later.header);
    if new.boot < old.boot {
        return Some("the number of restarts went down");
    }
    let (a, b) = (&earlier.common, &later.common);
    if (a.profile, a.groups) != (b.profile, b.groups) {
        return Some("the profile or the number of groups changed within one incarnation");
    }
    let counters = |c: &evenkeel_runtime::monitor::Common| {
        let unknown = [c.unknown.n, c.unknown.correct, c.unknown_predictions, c.unknown_expired];
        [&[c.events, c.crowded, c.saved, c.acknowledged], &unknown[..], &c.sources].concat()
    };
    if counters(a).iter().zip(&counters(b)).any(|(a, b)| b < a) {
        return Some("a counter of all groups went down");
    }
    let cells = |s: &Snapshot| -> Vec<u32> { s.cells.iter().flat_map(cell_counters).collect() };
    if cells(earlier).iter().zip(&cells(later)).any(|(a, b)| b < a) {
        return Some("a counter of a group went down");
    }
    None
}

/// The counters of a cell that only ascend.
fn cell_counters(cell: &crate::snapshot::Cell) -> Vec<u32> {
    let counts = &cell.counts;
    let mut all = vec![counts.n, counts.correct, counts.n - counts.correct.min(counts.n)];
    if let Some(gap) = &cell.gap {
        all.extend([gap.settled, gap.squares]);
    }
    if let Some(t) = &cell.traffic {
        all.extend([t.expired, t.shadowed, t.disagreed]);
        all.extend(t.confidence);
    }
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::snapshot::Header;
    use evenkeel_runtime::format::{BINS, Field, FieldGroup, FieldHead, NameRef};
    use evenkeel_runtime::monitor::payload;
    use evenkeel_runtime::monitor::{Config, Full, Monitor, Prediction, Source, plan, words};
    use proptest::prelude::*;

    /// What happens to the three groups of [`device`], whose floors are .85.
    #[derive(Clone, Copy)]
    pub struct Stream {
        /// Accuracy of the last group from half of the events on; of all others .92.
        pub later: f64,
        /// Margin of the last group's predictions from then on; else 200.
        pub margin: u8,
        /// Share of a larger model's disagreement in the last group from then on; else .02.
        pub disagree: f64,
        /// Snapshots are made after every so many events.
        pub every: usize,
        /// Average run length.
        pub arl: f64,
    }

    impl Default for Stream {
        fn default() -> Self {
            Stream { later: 0.92, margin: 200, disagree: 0.02, every: 50, arl: 10_000.0 }
        }
    }

    /// A fixed stream of uniform numbers (SplitMix64).
    pub struct Uniform(pub u64);
    impl Uniform {
        pub fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// The configuration of [`device`].
    pub fn parts(
        arl: f64,
    ) -> (evenkeel_runtime::format::MonitorHead, [evenkeel_runtime::format::FloorRecord; 3], FieldHead, [FieldGroup; 3])
    {
        let (gap_threshold, gap_q) = plan::gap(3, arl, 8).expect("it fits");
        let edges = core::array::from_fn(|i| (i * 16) as u8);
        let head = FieldHead { groups: 3, gap_threshold, gap_q, edges, ..Default::default() };
        let one = evenkeel_runtime::monitor::ONE_Q26 as f64;
        let group = FieldGroup {
            tolerance: plan::tolerance(0.02).expect("small"),
            agreement: (0.96 * one) as u32,
            confidence: [(0.85 * one) as u32, (0.97 * one) as u32],
            histogram: core::array::from_fn(|i| if i == 12 { 65_535 } else { 0 }),
            map: core::array::from_fn(|i| (20 + i * 18).min(255) as u8),
        };
        assert_eq!(BINS, 16);
        let floor = plan::floor_record(NameRef::default(), 0.85);
        (plan::head(3, arl, 8).expect("it fits"), [floor; 3], head, [group; 3])
    }

    /// Snapshots of a device that runs this long, from its seed.
    pub fn device(seed: u64, events: usize, stream: Stream) -> Vec<Snapshot> {
        let (head, floors, field, groups) = parts(stream.arl);
        let field = Field { head: &field, groups: &groups, confusion: &[] };
        let config = Config::new(&head, &floors, Some(field)).expect("sound");
        let mut state = vec![0; words::<Full>(3, 8)];
        let mut monitor = Monitor::<Full>::new(config, &mut state, 8).expect("of this length");
        let (mut dice, mut all) = (Uniform(seed), Vec::new());
        for event in 0..events {
            let group = if dice.next() < 0.2 { 2 } else { (dice.next() * 2.0) as usize };
            let late = group == 2 && event >= events / 2;
            let correct = dice.next() < if late { stream.later } else { 0.92 };
            let margin = if late { stream.margin } else { 200 };
            let ticket = monitor.predict(Some(group), Prediction { class: 0, margin }).expect("a group");
            monitor.label(ticket, !correct as u16, Source::Reference).expect("it waits");
            let agreed = dice.next() >= if late { stream.disagree } else { 0.02 };
            monitor.shadow(group, agreed).expect("a group");
            if (event + 1) % stream.every == 0 || event + 1 == events {
                let seq = all.len() as u32 + 1;
                let header = Header { device: seed, incarnation: 1, boot: 0, seq };
                let mut buffer = vec![0; payload::longest::<Full>(3)];
                let saved: Vec<u32> = bytemuck::pod_collect_to_vec(&monitor.bytes().concat());
                let len = payload::write::<Full>(bytemuck::cast_slice(&saved), &mut buffer).expect("it fits");
                all.push(Snapshot::parse(header, &buffer[..len]).expect("plausible"));
            }
        }
        all
    }

    #[test]
    fn what_is_odd_has_a_name() {
        let all = device(1, 200, Stream::default());
        let mut seen = Collection::default();
        assert_eq!(seen.insert(all[1].clone()), Arrival::New);
        assert_eq!(seen.insert(all[1].clone()), Arrival::Duplicate);
        assert_eq!(seen.insert(all[0].clone()), Arrival::Stale { newest: 2 });
        let mut other = all[1].clone();
        other.common.last_tick += 1;
        assert_eq!(seen.insert(other.clone()), Arrival::Equivocation);
        let mut restored = all[0].clone();
        restored.header.seq = 9;
        restored.common.saved = 999;
        assert!(matches!(seen.insert(restored.clone()), Arrival::Rollback(_)));
        let mut booted = all[3].clone();
        booted.header.boot = 1;
        assert!(matches!(seen.insert(booted), Arrival::Rollback(_)), "later counters under an earlier number");

        let set = [&all[..], &[all[2].clone(), other, restored]].concat();
        let found = audit(set.iter().rev().cloned());
        assert_eq!(found, audit(set));
        assert_eq!((found.len(), found[0].duplicates), (1, 1));
        let faults: Vec<_> = found[0].faults.iter().map(|(seq, a)| (*seq, a.is_fault())).collect();
        assert_eq!(faults, [(2, true), (9, true)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_order_loss_or_repetition_changes_the_state(
            picks in proptest::collection::vec((0..3usize, 0..6usize, any::<bool>()), 1..40),
            seed in any::<u64>(),
        ) {
            let devices: Vec<Vec<Snapshot>> = (0..3).map(|d| device(d, 60, Stream { every: 10, ..Default::default() })).collect();
            let came: Vec<Snapshot> = picks.iter().map(|&(d, i, twin)| {
                let mut s = devices[d][i].clone();
                // Two contents under one number.
                s.common.last_tick += twin as u32 * 1000;
                s
            }).collect();
            let whole: Collection = came.iter().cloned().collect();
            let mut shuffled = came.clone();
            let mut dice = Uniform(seed);
            for i in (1..shuffled.len()).rev() {
                shuffled.swap(i, (dice.next() * (i + 1) as f64) as usize);
            }
            prop_assert_eq!(&shuffled.iter().cloned().collect::<Collection>(), &whole);
            prop_assert_eq!(audit(shuffled.iter().cloned()), audit(came.iter().cloned()));
            // Joins of parts: idempotent, commutative, associative.
            let part = |i: usize| -> Collection { shuffled.iter().skip(i).step_by(3).cloned().collect() };
            let join = |mut a: Collection, b: Collection| { a.join(b); a };
            let left = join(join(part(0), part(1)), part(2));
            let right = join(part(2), join(part(1), part(0)));
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&right, &whole);
            prop_assert_eq!(&join(whole.clone(), whole.clone()), &whole);
        }
    }
}
