//! The device monitor: does each group's accuracy still reach the floor that the contract certified?
//!
//! Per group it counts labelled events and runs the Shiryaev–Roberts form of an e-detector (Shin, Ramdas and
//! Rinaldo, *E-detectors: a nonparametric framework for sequential change detection*, 2023). For each of
//! [`GRID`] alternatives `p_j` below the floor `p0`, an event multiplies the evidence:
//!
//! `S_j = (S_j + 1) * L_j`, with `L_j = p_j / p0` if the prediction was right, else `(1 - p_j) / (1 - p0)`
//!
//! and the alarm rings when `sum_j S_j >= A * J`. As long as the conditional accuracy of every group is at
//! least its floor, the evidence less the number of events (`S_j - n`) is a supermartingale, so the expected number of labelled
//! events (over all groups together) before a false alarm is at least `A`: no matter how the data drift
//! above the floor, and without a correction for the number of groups.
//!
//! All of it is integer arithmetic rounded down (evidence in Q`q`, ratios in Q26), so the evidence is never
//! larger than the exact one and the guarantee stands. There is no division and no floating point.

use bytemuck::{Pod, Zeroable};

use crate::Error;
use crate::format::{FloorRecord, GRID, MonitorHead};

#[cfg(feature = "write")]
pub mod plan;

/// 1.0 in Q26, the format of floors and likelihood ratios.
pub const ONE_Q26: u32 = 1 << 26;
/// Largest number of groups.
pub const MAX_GROUPS: usize = 64;

/// What the monitor remembers of one group; plain bytes, to be kept wherever the device keeps state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GroupState {
    /// Labelled events.
    pub n: u32,
    /// Events that were predicted right.
    pub correct: u32,
    /// Evidence against the floor, Q`q`, one per alternative.
    pub evidence: [u32; GRID],
    /// Alarms so far.
    pub alarms: u32,
    /// 1-based number (over all groups) of the event at the first alarm; 0 for none.
    pub first_alarm: u32,
}

/// A group fell below its floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Index of the group.
    pub group: usize,
    /// Labelled events of all groups so far.
    pub events: u32,
    /// Labelled events of this group so far.
    pub n: u32,
    /// Of these, predicted right.
    pub correct: u32,
}

/// The monitor of a model: its configuration, and the states that the caller keeps.
#[derive(Debug)]
pub struct Monitor<'m, 's> {
    head: &'m MonitorHead,
    floors: &'m [FloorRecord],
    states: &'s mut [GroupState],
    events: u32,
}

impl<'m, 's> Monitor<'m, 's> {
    /// Continues from `states`: zeroed ones at first, later those that an earlier monitor left.
    ///
    /// # Errors
    /// When the configuration is not sound ([`check`]), or there is not one state per group.
    pub fn new(head: &'m MonitorHead, floors: &'m [FloorRecord], states: &'s mut [GroupState]) -> Result<Self, Error> {
        check(head, floors).map_err(Error::Monitor)?;
        if states.len() != floors.len() {
            return Err(Error::MonitorStates { needed: floors.len(), given: states.len() });
        }
        // Every event belongs to one group, so the number of events needs no place of its own.
        let events = states.iter().fold(0u32, |sum, s| sum.saturating_add(s.n));
        Ok(Monitor { head, floors, states, events })
    }

    /// Takes one labelled event: the model was `correct` for somebody of this `group`.
    ///
    /// Gives an alarm when the group's evidence reaches the threshold; the evidence then starts anew.
    ///
    /// # Errors
    /// When there is no such group; nothing is counted then.
    pub fn observe(&mut self, group: usize, correct: bool) -> Result<Option<Alarm>, Error> {
        let groups = self.floors.len();
        let (Some(floor), Some(state)) = (self.floors.get(group), self.states.get_mut(group)) else {
            return Err(Error::NoSuchGroup { group, groups });
        };
        self.events = self.events.saturating_add(1);
        state.n = state.n.saturating_add(1);
        state.correct = state.correct.saturating_add(correct as u32);
        let ratios = if correct { &floor.correct } else { &floor.wrong };
        let mut sum = 0u64;
        for (s, &ratio) in state.evidence.iter_mut().zip(ratios) {
            *s = step(*s, ratio, self.head.q);
            sum += *s as u64;
        }
        if sum < self.head.threshold as u64 {
            return Ok(None);
        }
        state.evidence = [0; GRID];
        state.alarms = state.alarms.saturating_add(1);
        if state.first_alarm == 0 {
            state.first_alarm = self.events;
        }
        Ok(Some(Alarm { group, events: self.events, n: state.n, correct: state.correct }))
    }

    /// The states, one per group.
    pub fn states(&self) -> &[GroupState] {
        self.states
    }

    /// Labelled events of all groups.
    pub fn events(&self) -> u32 {
        self.events
    }
}

/// `(s + 1) * ratio` in Q`q`, rounded down, saturating.
fn step(s: u32, ratio: u32, q: u32) -> u32 {
    let product = s.saturating_add(1 << q) as u64 * ratio as u64;
    u32::try_from(product >> 26).unwrap_or(u32::MAX)
}

/// Says what is wrong with a configuration.
///
/// The guarantee rests on one premise, checked here for each alternative in exact arithmetic: at every
/// accuracy `p >= floor` the expected factor `p * L_correct + (1 - p) * L_wrong` is at most 1. It falls in
/// `p` when `L_correct <= L_wrong`, so the floor itself is the case to check.
///
/// # Errors
/// The fault, in words.
pub fn check(head: &MonitorHead, floors: &[FloorRecord]) -> Result<(), &'static str> {
    if head.groups as usize != floors.len() || floors.is_empty() || floors.len() > MAX_GROUPS {
        return Err("the number of groups must be 1..=64 and the number of floors");
    }
    if !(1..=16).contains(&head.q) {
        return Err("q must be in 1..=16");
    }
    if head.reserved != 0 {
        return Err("a reserved field is not 0");
    }
    if head.threshold == 0 {
        return Err("a threshold of 0 would always alarm");
    }
    for floor in floors {
        if floor.floor == 0 || floor.floor >= ONE_Q26 {
            return Err("a floor must be between 0 and 1");
        }
        let (right, wrong) = (floor.floor as u64, (ONE_Q26 - floor.floor) as u64);
        for (&c, &w) in floor.correct.iter().zip(&floor.wrong) {
            if c > w || right * c as u64 + wrong * w as u64 > (ONE_Q26 as u64) << 26 {
                return Err("likelihood ratios that would alarm without cause");
            }
        }
    }
    Ok(())
}
