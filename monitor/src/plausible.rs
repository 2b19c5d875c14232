//! What holds of every state that a monitor can be in: a content that breaks it was made by something else.

use evenkeel_runtime::monitor::gap::{OWN, REST};
use evenkeel_runtime::monitor::state::{Counts, GapState, Traffic};
use evenkeel_runtime::monitor::{AlarmRecord, Kind, MAX_GROUPS, Source};

use crate::snapshot::{Cell, Snapshot, SnapshotError};

type Fault = Result<(), &'static str>;

fn require(holds: bool, what: &'static str) -> Fault {
    if holds { Ok(()) } else { Err(what) }
}

impl Snapshot {
    /// Says what no monitor can hold.
    pub(crate) fn check(&self) -> Result<(), SnapshotError> {
        let whole = |what| SnapshotError::Implausible { what, group: None };
        self.common().map_err(whole)?;
        for (group, cell) in self.cells.iter().enumerate() {
            self.cell_holds(cell).map_err(|what| SnapshotError::Implausible { what, group: Some(group) })?;
        }
        for record in self.common.alarms.iter().filter(|r| **r != AlarmRecord::default()) {
            let group = Some(record.group as usize);
            self.record(record).map_err(|what| SnapshotError::Implausible { what, group })?;
        }
        Ok(())
    }

    fn common(&self) -> Fault {
        let common = &self.common;
        let groups = self.cells.len();
        require((1..=MAX_GROUPS).contains(&groups), "it has no cell, or more than 64")?;
        require(groups == common.groups as usize, "it states another number of cells than it has")?;
        // Counters that are full say nothing any more.
        let full = |n: u32| n == u32::MAX;
        let sum: u64 = self.cells.iter().map(|c| c.counts.n as u64).sum();
        require(full(common.events) || sum == common.events as u64, "the events of the groups are not all events")?;
        counts(&common.unknown)?;
        let labels = common.sources.iter().enumerate().filter(|(i, _)| *i != Source::Complaint as usize);
        let by_source: u64 = labels.map(|(_, &n)| n as u64).sum();
        let saturated = full(common.events) || common.sources.iter().any(|&n| full(n)) || full(common.unknown.n);
        let labelled = common.events as u64 + common.unknown.n as u64;
        require(saturated || by_source == labelled, "the labels by source are not the labelled events")?;
        require(common.unknown_expired <= common.unknown_predictions, "more predictions expired than were made")?;
        require(common.last_group <= groups as u32 + 1, "the last prediction is of a group that does not exist")?;
        let beyond = |mask: [u32; 2]| groups < 64 && (mask[0] as u64 | (mask[1] as u64) << 32) >> groups != 0;
        let masks = [common.floor_alarms, common.gap_alarms];
        require(!masks.into_iter().any(beyond), "an alarm of a group that does not exist")
    }

    fn cell_holds(&self, cell: &Cell) -> Fault {
        counts(&cell.counts)?;
        if let Some(state) = &cell.gap {
            gap(state, cell.counts.n, self.common.events)?;
        }
        cell.traffic.as_ref().map_or(Ok(()), traffic)
    }

    fn record(&self, record: &AlarmRecord) -> Fault {
        let group = record.group as usize;
        let mask = match record.kind {
            kind if kind == Kind::Floor as u8 => self.common.floor_alarms,
            kind if kind == Kind::Gap as u8 => self.common.gap_alarms,
            _ => return Err("an alarm of a kind that does not exist"),
        };
        let Some(cell) = self.cells.get(group) else { return Err("an alarm of a group that does not exist") };
        require(mask[group / 32] >> (group % 32) & 1 != 0, "an alarm is kept that is not set")?;
        require(record.times > 0, "an alarm that never rang")?;
        require(record.correct <= record.n && record.n <= cell.counts.n, "an alarm after more events than there were")?;
        require(record.correct <= cell.counts.correct, "an alarm after more right predictions than there were")?;
        require(record.n <= record.events && record.events <= self.common.events, "an alarm after the last event")
    }
}

fn counts(counts: &Counts) -> Fault {
    require(counts.correct <= counts.n, "more predictions were right than were labelled")
}

fn gap(state: &GapState, n: u32, events: u32) -> Fault {
    require(state.own_len <= OWN && state.rest_len <= REST, "more outcomes wait than the gap detector keeps")?;
    require(state.own_len == 0 || state.rest_len == 0, "outcomes of both sides wait that should have settled")?;
    let beyond = (state.own as u64) >> state.own_len | (state.rest as u64) >> state.rest_len;
    require(beyond == 0, "outcomes that nobody had")?;
    let settled = state.settled;
    let most = n.min(events.saturating_sub(n));
    require(events == u32::MAX || settled <= most, "more settlements than events")?;
    // A difference of two shares is at most 1, 256 in Q8.
    let sums = state.sum.unsigned_abs() as u64 <= 256 * settled as u64 && state.squares as u64 <= 256 * settled as u64;
    require(sums, "differences of shares are larger than 1")?;
    let written = |&m: &u32| m == 0 || m >> 31 == 1;
    require(state.wealth.iter().all(written), "a wealth is not written as devices write it")
}

fn traffic(traffic: &Traffic) -> Fault {
    require(traffic.disagreed <= traffic.shadowed, "the larger model disagreed more often than it was asked")?;
    require(traffic.expired <= traffic.predictions(), "more predictions expired than were made")
}
