//! The whole fleet: what the newest snapshots of all devices say of each group.
//!
//! Counts add up, and the floor test on their sums keeps its guarantee: each event is one of a sequence in which the
//! group's accuracy was never below its floor. Gaps are another matter. Counts that are pooled over devices confuse who
//! uses a device with how well it works (Simpson), so the wealths of each bet are multiplied over devices, each of which
//! compared its groups under its own conditions. The pooled difference is given beside it, to see how far it is off.
//!
//! Every device that was ever seen counts with its newest snapshot. Leaving some out by what they say would make the
//! evidence worthless.
//!
//! A cell is published when enough devices and events are in it ([`Limits`]); others become one cell of other groups. That
//! one has at least two groups and passes the limits too, if need be by taking in the smallest of the rest: otherwise it
//! could be had as a difference. Publish at fixed dates only: the difference of two totals of a minute apart is one person.

use std::collections::BTreeSet;

use evenkeel_runtime::format::BINS;
use evenkeel_runtime::monitor::SOURCES;
use evenkeel_runtime::monitor::state::{BETS, Counts};

use crate::evidence::label_free::{expected_accuracy, stability_index};
use crate::evidence::{bets, floor, gap};
use crate::snapshot::Snapshot;
use crate::terms::Terms;

/// What a published cell needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Devices that labelled somebody of the group.
    pub devices: usize,
    /// Labelled events.
    pub labels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { devices: 20, labels: 50 }
    }
}

/// What the fleet says of a group, or of several that are too small to be shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Their names.
    pub groups: Vec<String>,
    /// Devices that labelled somebody of them.
    pub devices: usize,
    /// Labelled events, and right ones.
    pub counts: Counts,
    /// Predictions, and those whose label never came; where devices keep them.
    pub predicted: Option<(u64, u64)>,
    /// Predictions that a larger model made too, and on which they disagreed.
    pub shadowed: Option<Counts>,
    /// Of one group: what follows from it.
    pub tests: Option<Tests>,
}

impl Row {
    /// The share of right predictions.
    pub fn accuracy(&self) -> Option<f64> {
        share(&self.counts)
    }

    /// Labelled events per prediction.
    pub fn coverage(&self) -> Option<f64> {
        self.predicted.filter(|p| p.0 > 0).map(|(predicted, _)| self.counts.n as f64 / predicted as f64)
    }
}

/// Evidence about one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Tests {
    /// Its floor.
    pub floor: f64,
    /// log2 of the evidence that its accuracy is below.
    pub log2_floor: f64,
    /// log2 of the evidence that it is behind the others by more than the tolerance, over all devices.
    pub log2_gap: Option<f64>,
    /// How far the others are ahead, on average over the settlements within devices. An estimate.
    pub gap: Option<f64>,
    /// The same from pooled counts: not safe, see the module.
    pub pooled_gap: Option<f64>,
    /// What its confidences promise, by its own calibration map.
    pub expected_accuracy: Option<f64>,
    /// How far its histogram of confidences is from the certificate's.
    pub stability: Option<f64>,
}

/// The fleet's report.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Devices, and lives of their counters.
    pub devices: usize,
    /// Snapshots that were merged.
    pub snapshots: usize,
    /// Snapshots that were counted under other terms.
    pub others: usize,
    /// The groups that are published by themselves.
    pub rows: Vec<Row>,
    /// All others together; `None` where there are none, or they cannot be published.
    pub rest: Option<Row>,
    /// Names of the groups that are not published by themselves.
    pub withheld: Vec<String>,
    /// What is about all events; `None` where something is withheld that could be had as a difference.
    pub totals: Option<Totals>,
}

/// Sums over all groups and devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Labels by source.
    pub sources: [u64; SOURCES],
    /// Predictions that came too soon after another.
    pub crowded: u64,
    /// Events of people whose group nobody knows.
    pub unknown: u64,
}

/// Sums over the devices, for one group.
#[derive(Clone, Default)]
struct Sum {
    devices: BTreeSet<u64>,
    counts: Counts,
    traffic: Option<([u32; BINS], u64)>,
    shadowed: Option<Counts>,
    bets: Option<[f64; BETS]>,
    settled: u64,
    differences: i64,
}

/// Merges the newest snapshots of a fleet.
pub fn merge<'s>(latest: impl IntoIterator<Item = &'s Snapshot>, terms: &Terms, limits: &Limits) -> Fleet {
    let mut sums = vec![Sum::default(); terms.groups.len()];
    let mut unknown = Sum::default();
    let (mut devices, mut snapshots, mut others) = (BTreeSet::new(), 0, 0);
    let mut totals = Totals::default();
    for snapshot in latest {
        if terms.fits(snapshot).is_err() {
            others += 1;
            continue;
        }
        snapshots += 1;
        devices.insert(snapshot.header.device);
        sums.iter_mut().enumerate().for_each(|(group, sum)| sum.add(snapshot, group));
        let common = &snapshot.common;
        if common.unknown.n > 0 {
            unknown.devices.insert(snapshot.header.device);
        }
        add(&mut unknown.counts, &common.unknown);
        totals.sources.iter_mut().zip(common.sources).for_each(|(sum, n)| *sum += n as u64);
        totals.crowded += common.crowded as u64;
        totals.unknown += common.unknown.n as u64;
    }
    let (shown, hidden) = choose(&sums, limits);
    let rows = shown.iter().map(|&g| row(&sums, terms, g)).collect();
    let (hidden_sum, populated) = joined(&sums, &hidden);
    let publishable = populated >= 2 && passes(&hidden_sum, limits);
    let name = |g: &usize| terms.groups[*g].name.clone();
    let withheld: Vec<String> = hidden.iter().map(name).collect();
    let rest = publishable.then(|| Row { groups: withheld.clone(), ..plain(&hidden_sum) });
    let open = (publishable || populated == 0) && (unknown.counts.n == 0 || passes(&unknown, limits));
    let totals = open.then_some(totals);
    Fleet { devices: devices.len(), snapshots, others, rows, rest, withheld, totals }
}

impl Sum {
    fn add(&mut self, snapshot: &Snapshot, group: usize) {
        let cell = snapshot.cell(group);
        if cell.counts.n > 0 {
            self.devices.insert(snapshot.header.device);
        }
        add(&mut self.counts, &cell.counts);
        if let Some(t) = &cell.traffic {
            let (bins, expired) = self.traffic.get_or_insert_default();
            bins.iter_mut().zip(t.confidence).for_each(|(sum, n)| *sum = sum.saturating_add(n));
            *expired += t.expired as u64;
            add(self.shadowed.get_or_insert_default(), &Counts { n: t.shadowed, correct: t.disagreed });
        }
        if let Some(state) = &cell.gap {
            let sum = self.bets.get_or_insert([0.0; BETS]);
            sum.iter_mut().zip(bets(state)).for_each(|(sum, log)| *sum += log);
            self.settled += state.settled as u64;
            self.differences += state.sum as i64;
        }
    }
}

fn add(sum: &mut Counts, more: &Counts) {
    // What does not fit is left out right and wrong alike, and a full counter is far beyond any threshold.
    if let (Some(n), Some(correct)) = (sum.n.checked_add(more.n), sum.correct.checked_add(more.correct)) {
        *sum = Counts { n, correct };
    }
}

fn share(counts: &Counts) -> Option<f64> {
    (counts.n > 0).then(|| counts.correct as f64 / counts.n as f64)
}

fn passes(sum: &Sum, limits: &Limits) -> bool {
    sum.devices.len() >= limits.devices && sum.counts.n as u64 >= limits.labels
}

/// Groups that are shown, and groups that are not.
fn choose(sums: &[Sum], limits: &Limits) -> (Vec<usize>, Vec<usize>) {
    let (mut shown, mut hidden): (Vec<_>, Vec<_>) = (0..sums.len()).partition(|&g| passes(&sums[g], limits));
    loop {
        let (sum, populated) = joined(sums, &hidden);
        if populated == 0 || populated >= 2 && passes(&sum, limits) {
            break;
        }
        let Some(at) = (0..shown.len()).min_by_key(|&i| sums[shown[i]].counts.n) else { break };
        hidden.push(shown.remove(at));
    }
    hidden.sort_unstable();
    (shown, hidden)
}

/// The sum of several groups, and how many of them have events.
fn joined(sums: &[Sum], groups: &[usize]) -> (Sum, usize) {
    let mut sum = Sum::default();
    for group in groups.iter().map(|&g| &sums[g]) {
        sum.devices.extend(&group.devices);
        add(&mut sum.counts, &group.counts);
        if let Some((bins, expired)) = &group.traffic {
            let of = sum.traffic.get_or_insert_default();
            of.0.iter_mut().zip(bins).for_each(|(sum, n)| *sum = sum.saturating_add(*n));
            of.1 += expired;
        }
        if let Some(more) = &group.shadowed {
            add(sum.shadowed.get_or_insert_default(), more);
        }
    }
    (sum, groups.iter().filter(|&&g| sums[g].counts.n > 0).count())
}

fn plain(sum: &Sum) -> Row {
    let predicted = sum.traffic.map(|(bins, expired)| (bins.iter().map(|&n| n as u64).sum(), expired));
    Row { devices: sum.devices.len(), counts: sum.counts, predicted, shadowed: sum.shadowed, ..Row::default() }
}

fn row(sums: &[Sum], terms: &Terms, group: usize) -> Row {
    let (sum, own) = (&sums[group], &terms.groups[group]);
    let all: Vec<usize> = (0..sums.len()).filter(|&g| g != group).collect();
    let others = joined(sums, &all).0.counts;
    let field = own.field.as_ref();
    let tests = Tests {
        floor: own.floor(),
        log2_floor: floor(&sum.counts, &own.floor),
        log2_gap: sum.bets.filter(|_| own.tolerance().is_some()).map(|b| gap(&b)),
        gap: (sum.settled > 0).then(|| sum.differences as f64 / (256.0 * sum.settled as f64)),
        pooled_gap: share(&others).zip(share(&sum.counts)).map(|(others, own)| others - own),
        expected_accuracy: sum.traffic.zip(field).and_then(|((bins, _), f)| expected_accuracy(&bins, &f.map)),
        stability: sum.traffic.zip(field).and_then(|((bins, _), f)| stability_index(&bins, f)),
    };
    Row { groups: vec![own.name.clone()], tests: Some(tests), ..plain(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::tests::{Stream, device, parts};

    fn terms() -> Terms {
        let (head, floors, field, groups) = parts(10_000.0);
        Terms::new(head, &floors, Some((field, &groups))).expect("sound")
    }

    fn fleet(devices: u64, stream: Stream) -> Vec<Snapshot> {
        (0..devices).filter_map(|d| device(d, 400, stream).pop()).collect()
    }

    #[test]
    fn a_fleet_sees_what_no_device_does() {
        let bad = fleet(40, Stream { later: 0.75, ..Default::default() });
        let merged = merge(&bad, &terms(), &Limits::default());
        assert_eq!((merged.devices, merged.rows.len(), merged.withheld.len()), (40, 3, 0));
        let tests = |g: usize| merged.rows[g].tests.as_ref().expect("one group");
        assert!(tests(2).log2_gap.expect("gaps") > 10.0 && tests(0).log2_gap.expect("gaps") < 0.0);
        assert!(tests(2).log2_floor > tests(0).log2_floor);
        assert!(tests(2).gap.expect("settled") > 0.05);
        assert_eq!(merged.rows[2].coverage(), Some(1.0));
        assert_eq!(merged.totals.expect("nothing is hidden").sources[0], 40 * 400);
    }

    #[test]
    fn pooled_counts_see_a_gap_where_there_is_none() {
        // Difficult devices (.80 for everybody) are used mostly by group 2, easy ones (.98) by the others.
        let mut snapshots = fleet(40, Stream::default());
        for (d, s) in snapshots.iter_mut().enumerate() {
            let (p, n) = if d % 2 == 0 { (0.80, [50, 50, 300]) } else { (0.98, [190, 190, 20]) };
            for (cell, n) in s.cells.iter_mut().zip(n) {
                cell.counts = Counts { n, correct: (n as f64 * p) as u32 };
            }
        }
        let merged = merge(&snapshots, &terms(), &Limits::default());
        let tests = merged.rows[2].tests.as_ref().expect("one group");
        assert!(tests.pooled_gap.expect("both") > 0.1, "the control must fail");
        assert!(tests.log2_gap.expect("gaps") < 4.0 && tests.gap.expect("settled").abs() < 0.03);
    }

    #[test]
    fn small_cells_are_not_shown_nor_to_be_had_by_subtraction() {
        let few = merge(&fleet(19, Stream::default()), &terms(), &Limits::default());
        assert!(few.rows.is_empty() && few.rest.is_none() && few.totals.is_none());
        assert_eq!(few.withheld.len(), 3);

        // One small group: the smallest of the others goes with it.
        let mut snapshots = fleet(30, Stream::default());
        for s in &mut snapshots {
            s.cells[2].counts = Counts { n: 1, correct: 1 };
        }
        let merged = merge(&snapshots, &terms(), &Limits::default());
        assert_eq!((merged.rows.len(), merged.withheld.len()), (1, 2));
        let rest = merged.rest.as_ref().expect("enough together");
        assert!(rest.tests.is_none() && rest.counts.n > 50 && merged.totals.is_some());
        // A group that nobody is in hides nothing.
        for s in &mut snapshots {
            s.cells[2].counts = Counts::default();
        }
        let merged = merge(&snapshots, &terms(), &Limits::default());
        assert_eq!((merged.rows.len(), merged.rest, merged.totals.is_some()), (2, None, true));
    }
}
