//! What the monitor remembers: plain bytes, so that a device keeps and saves them as they are.
//!
//! A state is one piece of memory: [`Common`], one cell per group, then the ring of pending labels. What a cell holds
//! is a [`Profile`], chosen when the firmware is built.

use bytemuck::{Pod, Zeroable};

use crate::format::{BINS, GRID};

/// Bets of the gap detector.
pub const BETS: usize = 6;
/// Alarms that are kept with their figures.
pub const ALARMS: usize = 8;

/// Labelled events of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Counts {
    /// Labelled events.
    pub n: u32,
    /// Events that were predicted right.
    pub correct: u32,
}

/// The detector of a fall below the floor, see [`super::floor`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct FloorState {
    /// Evidence against the floor, Q`q`, one per alternative.
    pub evidence: [u32; GRID],
}

/// The detector of a gap to all other groups, see [`super::gap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct GapState {
    /// Outcomes of the other groups since the last settlement, newest in bit 0.
    pub rest: u32,
    /// Outcomes of this group since the last settlement, newest in bit 0.
    pub own: u16,
    /// How many of `rest` are set.
    pub rest_len: u8,
    /// How many of `own` are set.
    pub own_len: u8,
    /// Wealth of each bet since the state began, `wealth * 2^(exponent - 31)`; all its bits are 0 where it is lost.
    pub wealth: [u32; BETS],
    /// See `wealth`.
    pub exponent: [i16; BETS],
    /// Evidence of a gap, Q`gap_q`, one per bet.
    pub evidence: [u32; BETS],
    /// Settlements.
    pub settled: u32,
    /// Sum of the differences (others' share of right predictions less this group's) over settlements, Q8.
    pub sum: i32,
    /// Sum of their squares, Q8.
    pub squares: u32,
}

impl Default for GapState {
    fn default() -> Self {
        GapState { wealth: [1 << 31; BETS], ..Zeroable::zeroed() }
    }
}

/// What is seen without labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Traffic {
    /// Predictions whose label never came, or too late.
    pub expired: u32,
    /// Predictions that a larger model made as well.
    pub shadowed: u32,
    /// Those of them on which the two disagreed.
    pub disagreed: u32,
    /// Predictions by bin of confidence; their sum is the number of predictions.
    pub confidence: [u32; BINS],
}

impl Traffic {
    /// Predictions.
    pub fn predictions(&self) -> u32 {
        self.confidence.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }
}

/// What a group's cell holds. Larger profiles know more and take more memory; code for what a profile lacks is not
/// linked.
pub trait Profile: Pod + Default {
    /// Its number in snapshots.
    const CODE: u8;

    /// The labelled events.
    fn counts(&mut self) -> &mut Counts;
    /// The floor detector, if the profile has one.
    fn floor(&mut self) -> Option<&mut FloorState> {
        None
    }
    /// The gap detector, if the profile has one.
    fn gap(&mut self) -> Option<&mut GapState> {
        None
    }
    /// What is seen without labels, if the profile keeps it.
    fn traffic(&mut self) -> Option<&mut Traffic> {
        None
    }
}

/// Labelled counts alone; the host tests them ([`super::counts`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Core {
    /// Labelled events.
    pub counts: Counts,
}

/// Counts and the floor detector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Alarm {
    /// Labelled events.
    pub counts: Counts,
    /// Floor detector.
    pub floor: FloorState,
}

/// Counts, floor and gap detectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Gap {
    /// Labelled events.
    pub counts: Counts,
    /// Floor detector.
    pub floor: FloorState,
    /// Gap detector.
    pub gap: GapState,
}

/// Everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Full {
    /// Labelled events.
    pub counts: Counts,
    /// Floor detector.
    pub floor: FloorState,
    /// Gap detector.
    pub gap: GapState,
    /// What is seen without labels.
    pub traffic: Traffic,
}

const _: () = assert!(size_of::<Core>() == 8);
const _: () = assert!(size_of::<Alarm>() == 32);
const _: () = assert!(size_of::<Gap>() == 112);
const _: () = assert!(size_of::<Full>() == 188);

impl Profile for Core {
    const CODE: u8 = 1;
    fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }
}

impl Profile for Alarm {
    const CODE: u8 = 2;
    fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }
    fn floor(&mut self) -> Option<&mut FloorState> {
        Some(&mut self.floor)
    }
}

impl Profile for Gap {
    const CODE: u8 = 3;
    fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }
    fn floor(&mut self) -> Option<&mut FloorState> {
        Some(&mut self.floor)
    }
    fn gap(&mut self) -> Option<&mut GapState> {
        Some(&mut self.gap)
    }
}

impl Profile for Full {
    const CODE: u8 = 4;
    fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }
    fn floor(&mut self) -> Option<&mut FloorState> {
        Some(&mut self.floor)
    }
    fn gap(&mut self) -> Option<&mut GapState> {
        Some(&mut self.gap)
    }
    fn traffic(&mut self) -> Option<&mut Traffic> {
        Some(&mut self.traffic)
    }
}

/// What an alarm is about; the number stands in snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The group's accuracy is below its floor.
    Floor = 1,
    /// The group is behind all others by more than the tolerance.
    Gap = 2,
}

impl Kind {
    /// The kind of an [`AlarmRecord`]; `None` for an empty one.
    pub const fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Kind::Floor),
            2 => Some(Kind::Gap),
            _ => None,
        }
    }

    /// What it says of the group.
    pub const fn words(self) -> &'static str {
        match self {
            Kind::Floor => "below its floor",
            Kind::Gap => "behind the others",
        }
    }
}

/// An alarm, as it was when it first rang. It stays until it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct AlarmRecord {
    /// A [`Kind`]; 0 for an empty record.
    pub kind: u8,
    /// Index of the group.
    pub group: u8,
    /// How often it has rung, this time included.
    pub times: u16,
    /// Labelled events of all groups at the first time.
    pub events: u32,
    /// Labelled events of this group at the first time.
    pub n: u32,
    /// Of these, predicted right.
    pub correct: u32,
    /// Number of the last snapshot that was saved before it last rang: later ones tell of it.
    pub after: u32,
}

/// A prediction that waits for its label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Pending {
    /// The class that was predicted.
    pub class: u16,
    /// Index of the group plus 2; 1 for the unknown group, 0 for a free place.
    pub group: u8,
    /// Zero.
    pub reserved: u8,
}

/// What the monitor keeps beside the groups' cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "snapshot", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Common {
    /// Checksum of the model whose events these are.
    pub model: u32,
    /// Hash of the monitor's configuration, see [`super::Config`].
    pub config: u32,
    /// [`Profile::CODE`]; 0 for a state that has not begun.
    pub profile: u8,
    /// Cells.
    pub groups: u8,
    /// Places of the ring.
    pub slots: u16,
    /// Labelled events of known groups.
    pub events: u32,
    /// Number of the next ticket.
    pub next: u32,
    /// Labels by [`super::Source`].
    pub sources: [u32; super::SOURCES],
    /// Events of people whose group is not known. No test sees them.
    pub unknown: Counts,
    /// Their predictions.
    pub unknown_predictions: u32,
    /// Their predictions whose label never came.
    pub unknown_expired: u32,
    /// Predictions that were not counted, as they came too soon after another of the same group.
    pub crowded: u32,
    /// Tick of the last counted prediction, where there is a clock.
    pub last_tick: u32,
    /// Its group, as in [`Pending`]; 0 for none.
    pub last_group: u32,
    /// Bit mask of groups with an unacknowledged floor alarm, low word first.
    pub floor_alarms: [u32; 2],
    /// Bit mask of groups with an unacknowledged gap alarm, low word first.
    pub gap_alarms: [u32; 2],
    /// Number of the last snapshot that was saved.
    pub saved: u32,
    /// The same when the last alarm rang.
    pub last_alarm: u32,
    /// Number of the last snapshot whose alarms were acknowledged.
    pub acknowledged: u32,
    /// The first unacknowledged alarms.
    pub alarms: [AlarmRecord; ALARMS],
}
