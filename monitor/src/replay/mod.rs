//! Alarms recomputed from a device's snapshots alone, and the device checked by them.
//!
//! Two things are independent of the device's own word. The host's detectors ([`batch`]) ring by the counters alone.
//! And the evidence that a snapshot carries must lie within what some order of the outcomes gives, starting from the
//! snapshot before it ([`orders`]): from that it follows which alarms can have rung and which must have.

pub mod batch;
mod device;
pub mod orders;

use evenkeel_runtime::monitor::{self, AlarmRecord, gap};

use crate::collect::{Arrival, History, Key};
use crate::evidence::log2_wealth;
use crate::snapshot::{Cell, Snapshot};
use crate::terms::{Group, Terms};
use batch::Detector;

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Accuracy below the floor.
    Floor,
    /// Behind all other groups by more than the tolerance.
    Gap,
    /// Disagrees with the larger model more than certified. The device does not test it.
    Agreement,
    /// Less confident than certified. The device does not test it.
    LessConfident,
    /// More confident than certified. The device does not test it.
    MoreConfident,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Floor => monitor::Kind::Floor.words(),
            Kind::Gap => monitor::Kind::Gap.words(),
            Kind::Agreement => "disagrees with the larger model",
            Kind::LessConfident => "less confident than certified",
            Kind::MoreConfident => "more confident than certified",
        }
    }
}

/// What the replay says of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Reported, and the host's detector rang as well, or every order of the outcomes rings.
    Confirmed,
    /// Reported, and some orders of the outcomes ring.
    Possible,
    /// Reported, but no order of the outcomes rings.
    Impossible,
    /// Every order rings, or the evidence began anew, but no alarm is reported.
    Missing,
    /// The same, but an acknowledgement followed in between and cleared it.
    Acknowledged,
    /// The host's detector rang; the device does not test this, or did not ring (yet).
    HostOnly,
}

impl Standing {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Confirmed => "confirmed",
            Standing::Possible => "possible",
            Standing::Impossible => "impossible",
            Standing::Missing => "missing",
            Standing::Acknowledged => "acknowledged",
            Standing::HostOnly => "host only",
        }
    }

    /// Whether an honest device cannot come to it.
    pub fn is_fault(self) -> bool {
        matches!(self, Standing::Impossible | Standing::Missing)
    }
}

/// An alarm, reported or recomputed.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// What about.
    pub kind: Kind,
    /// Index of the group.
    pub group: usize,
    /// Number of the first snapshot that reports it.
    pub reported: Option<u32>,
    /// Number of the snapshot at which the host's detector rang.
    pub recomputed: Option<u32>,
    /// What follows.
    pub standing: Standing,
    /// The device's figures at its first ring, where it kept them.
    pub record: Option<AlarmRecord>,
    /// Labelled events of the group when the host saw it.
    pub n: u32,
}

/// What no honest device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Number of the snapshot.
    pub seq: u32,
    /// Index of the group that it is about.
    pub group: Option<usize>,
    /// In words.
    pub what: &'static str,
}

/// The host's evidence at the end, as a share of what rings: at 1 an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What about.
    pub kind: Kind,
    /// Index of the group.
    pub group: usize,
    /// Mean evidence / A.
    pub share: f64,
}

/// The result.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Whose snapshots.
    pub key: Key,
    /// How many were compared.
    pub snapshots: usize,
    /// By the order in which they came.
    pub alarms: Vec<Alarm>,
    /// Contradictions between snapshots.
    pub faults: Vec<Fault>,
    /// Evidence at the end.
    pub evidence: Vec<Evidence>,
}

impl Replay {
    /// Whether the snapshots are what an honest device sends.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && !self.alarms.iter().any(|a| a.standing.is_fault())
    }
}

/// The kinds that the host tests, each with its own detector per group.
const KINDS: [Kind; 5] = [Kind::Floor, Kind::Gap, Kind::Agreement, Kind::LessConfident, Kind::MoreConfident];

/// Replays the snapshots of one device.
///
/// # Errors
/// When they were counted under other terms.
pub fn replay(history: &History, terms: &Terms) -> Result<Replay, &'static str> {
    let mut replay = Replay {
        key: history.key,
        snapshots: history.snapshots.len(),
        alarms: Vec::new(),
        faults: history.faults.iter().map(|(seq, arrival)| fault(*seq, arrival)).collect(),
        evidence: Vec::new(),
    };
    let Some(first) = history.snapshots.first() else { return Ok(replay) };
    terms.fits(first)?;
    let mut host = vec![KINDS.map(|_| Detector::default()); terms.groups.len()];
    let mut previous = first.beginning();
    for snapshot in &history.snapshots {
        if crate::collect::regress(&previous, snapshot).is_none() {
            for (group, (own, detectors)) in terms.groups.iter().zip(&mut host).enumerate() {
                let step = Step { terms, own, group, seq: snapshot.header.seq, from: &previous, to: snapshot };
                step.device(&mut replay);
                for (kind, detector) in KINDS.into_iter().zip(detectors) {
                    step.host(kind, detector, &mut replay);
                }
            }
        }
        previous = snapshot.clone();
    }
    for (group, detectors) in host.iter().enumerate() {
        for (kind, detector) in KINDS.into_iter().zip(detectors) {
            if let Some(limit) = limit(kind, terms) {
                replay.evidence.push(Evidence { kind, group, share: detector.mean() / limit });
            }
        }
    }
    Ok(replay)
}

fn fault(seq: u32, arrival: &Arrival) -> Fault {
    let what = match arrival {
        Arrival::Rollback(what) => what,
        Arrival::Equivocation => "two contents under one number",
        _ => "not in order",
    };
    Fault { seq, group: None, what }
}

/// Mean evidence that rings, so that false alarms of one kind, all groups together, are `A` events apart on average.
fn limit(kind: Kind, terms: &Terms) -> Option<f64> {
    match kind {
        Kind::Floor | Kind::Agreement => Some(terms.floor_run_length()),
        // Every event may feed the detectors of all groups.
        Kind::Gap => terms.gap_run_length().map(|a| a * terms.groups.len() as f64),
        // Two sides.
        Kind::LessConfident | Kind::MoreConfident => Some(2.0 * terms.floor_run_length()),
    }
}

/// One group from one snapshot to the next.
struct Step<'a> {
    terms: &'a Terms,
    own: &'a Group,
    group: usize,
    seq: u32,
    from: &'a Snapshot,
    to: &'a Snapshot,
}

impl Step<'_> {
    fn cells(&self) -> (Cell, Cell) {
        (self.from.cell(self.group), self.to.cell(self.group))
    }

    /// New right and wrong predictions.
    fn outcomes(&self) -> (u32, u32) {
        let (a, b) = self.cells();
        let right = b.counts.correct.saturating_sub(a.counts.correct);
        (right, b.counts.n.saturating_sub(a.counts.n).saturating_sub(right))
    }

    /// log2 of the batch's factors; `None` where nothing new was seen, or the file or the profile says nothing.
    fn factors(&self, kind: Kind) -> Option<Vec<f64>> {
        let (a, b) = self.cells();
        let field = self.own.field.as_ref();
        match kind {
            Kind::Floor => {
                let (right, wrong) = self.outcomes();
                (right + wrong > 0).then(|| batch::outcomes(&self.own.floor, right, wrong).to_vec())
            }
            Kind::Gap => {
                let (a, b) = (a.gap?, b.gap?);
                self.own.tolerance()?;
                let wealth =
                    |s: &evenkeel_runtime::monitor::state::GapState, j| log2_wealth(s.wealth[j], s.exponent[j]);
                // A bet that was lost before stays lost.
                let ratio = |j| {
                    let before: f64 = wealth(&a, j);
                    if before.is_infinite() { before } else { wealth(&b, j) - before }
                };
                (b.settled > a.settled).then(|| (0..gap::LAMBDA.len()).map(ratio).collect())
            }
            Kind::Agreement => {
                let field = field.filter(|f| f.agreement > 0)?;
                let (a, b) = (a.traffic?, b.traffic?);
                let (new, apart) = (b.shadowed - a.shadowed, b.disagreed - a.disagreed);
                let record = batch::record(field.agreement);
                (new > 0).then(|| batch::outcomes(&record, new.saturating_sub(apart), apart).to_vec())
            }
            Kind::LessConfident | Kind::MoreConfident => {
                let upper = kind == Kind::MoreConfident;
                let stated = |f: &&_| {
                    let f: &evenkeel_runtime::format::FieldGroup = f;
                    let within =
                        if upper { f.confidence[1] < evenkeel_runtime::monitor::ONE_Q26 } else { f.confidence[0] > 0 };
                    within && f.confidence[1] > 0
                };
                let field = field.filter(stated)?;
                let (a, b) = (a.traffic?, b.traffic?);
                let new: [u32; _] = core::array::from_fn(|i| b.confidence[i] - a.confidence[i]);
                new.iter().any(|&n| n > 0).then(|| batch::confidence(field, &new, upper).to_vec())
            }
        }
    }

    /// The host's own detector.
    fn host(&self, kind: Kind, detector: &mut Detector, replay: &mut Replay) {
        let (Some(logs), Some(limit)) = (self.factors(kind), limit(kind, self.terms)) else { return };
        if detector.step(&logs) < limit {
            return;
        }
        detector.reset();
        let same = |a: &&mut Alarm| (a.kind, a.group) == (kind, self.group) && a.recomputed.is_none();
        match replay.alarms.iter_mut().rev().find(same) {
            Some(alarm) => {
                alarm.recomputed = Some(self.seq);
                if alarm.standing == Standing::Possible {
                    alarm.standing = Standing::Confirmed;
                }
            }
            None => replay.alarms.push(Alarm {
                kind,
                group: self.group,
                reported: None,
                recomputed: Some(self.seq),
                standing: Standing::HostOnly,
                record: None,
                n: self.cells().1.counts.n,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
