//! The monitor itself: takes events, keeps the state, raises alarms.

use bytemuck::{bytes_of, cast_slice, cast_slice_mut, try_from_bytes_mut};

use super::config::Config;
use super::event::{Episode, Prediction, Source, Ticket};
use super::state::{AlarmRecord, Common, Kind, Pending, Profile};
use super::{floor, gap, ring};
use crate::Error;
use crate::format::Field;

/// Words of memory that a monitor with cells of profile `P` needs for so many groups and pending labels.
pub const fn words<P>(groups: usize, slots: usize) -> usize {
    (size_of::<Common>() + groups * size_of::<P>() + slots * size_of::<Pending>()) / 4
}

/// The alarms that an event raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    /// Bit mask of groups below their floor.
    pub floor: u64,
    /// Bit mask of groups that are behind the others.
    pub gap: u64,
}

impl Raised {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.floor | self.gap != 0
    }

    /// Kind and group of each.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, usize)> + use<> {
        let groups = |mut mask: u64, kind| {
            core::iter::from_fn(move || {
                let group = mask.trailing_zeros() as usize;
                mask = mask.checked_sub(1)? & mask;
                Some((kind, group))
            })
        };
        groups(self.floor, Kind::Floor).chain(groups(self.gap, Kind::Gap))
    }
}

/// The monitor of a model: its configuration, and the memory that the caller keeps.
#[derive(Debug)]
pub struct Monitor<'m, 's, P> {
    config: Config<'m>,
    common: &'s mut Common,
    cells: &'s mut [P],
    ring: &'s mut [Pending],
}

impl<'m, 's, P: Profile> Monitor<'m, 's, P> {
    /// Continues from `state`, zeroed at first, of [`words`]`::<P>(groups, slots)` words.
    ///
    /// # Errors
    /// When the memory has another length, or holds the state of another model, configuration or profile.
    pub fn new(config: Config<'m>, state: &'s mut [u32], slots: usize) -> Result<Self, Error> {
        let needed = words::<P>(config.groups(), slots);
        if state.len() != needed {
            return Err(Error::MonitorState { needed, given: state.len() });
        }
        let slots = u16::try_from(slots).map_err(|_| Error::Monitor("a ring has at most 65535 places"))?;
        let (common, rest) = cast_slice_mut::<u32, u8>(state).split_at_mut(size_of::<Common>());
        let (cells, ring) = rest.split_at_mut(config.groups() * size_of::<P>());
        let Ok(common) = try_from_bytes_mut::<Common>(common) else {
            return Err(Error::MonitorState { needed, given: 0 });
        };
        let (cells, ring) = (cast_slice_mut::<u8, P>(cells), cast_slice_mut(ring));
        let mark = (config.model, config.hash, P::CODE, config.groups() as u8, slots);
        if common.profile == 0 {
            cells.fill(P::default());
            (common.model, common.config, common.profile, common.groups, common.slots) = mark;
        } else if mark != (common.model, common.config, common.profile, common.groups, common.slots) {
            return Err(Error::Monitor("the state is of another model, configuration or profile: begin with zeros"));
        }
        Ok(Monitor { config, common, cells, ring })
    }

    /// Notes that the state was saved as snapshot number `seq`.
    pub fn saved(&mut self, seq: u32) {
        self.common.saved = seq;
    }

    /// To be called once when the state was read back after a restart, with the number that it was saved under: pending
    /// labels can no longer be joined and count as expired, and no ticket of before is mistaken for a new one.
    pub fn restarted(&mut self, seq: u32) {
        self.saved(seq);
        let (common, cells) = (&mut *self.common, &mut *self.cells);
        common.last_group = 0;
        let mut unknown = 0;
        for pending in ring::restart(common, self.ring) {
            unknown += expire(cells, pending);
        }
        self.common.unknown_expired = self.common.unknown_expired.saturating_add(unknown);
    }

    /// Takes one event whose label is known at once: the model was `correct`, or not, for somebody of this group
    /// (`None`: nobody knows which).
    ///
    /// # Errors
    /// When there is no such group; nothing is counted then.
    pub fn count(&mut self, group: Option<usize>, correct: bool, source: Source) -> Result<Raised, Error> {
        self.known(group)?;
        let taken = &mut self.common.sources[source as usize];
        *taken = taken.saturating_add(1);
        if source == Source::Complaint {
            return Ok(Raised::default());
        }
        Ok(self.test(group, correct))
    }

    /// Takes a prediction whose label may come later.
    ///
    /// # Errors
    /// When there is no such group; nothing is counted then.
    pub fn predict(&mut self, group: Option<usize>, prediction: impl Into<Prediction>) -> Result<Ticket, Error> {
        self.known(group)?;
        let prediction = prediction.into();
        let bin = prediction.bin(self.config.edges());
        match group.and_then(|g| self.cells.get_mut(g)) {
            Some(cell) => {
                if let Some(n) = cell.traffic().and_then(|t| t.confidence.get_mut(bin)) {
                    *n = n.saturating_add(1);
                }
            }
            None => self.common.unknown_predictions = self.common.unknown_predictions.saturating_add(1),
        }
        let pending = Pending { class: prediction.class, group: ring::code(group), reserved: 0 };
        let (ticket, old) = ring::put(self.common, self.ring, pending);
        self.common.unknown_expired = self.common.unknown_expired.saturating_add(expire(self.cells, old));
        Ok(ticket)
    }

    /// As [`Monitor::predict`], but predictions of one group less than `distance` ticks after the last that was counted
    /// are of the same episode and do not count. For streams whose episodes nobody marks.
    ///
    /// # Errors
    /// See [`Monitor::predict`].
    pub fn predict_at(
        &mut self,
        tick: u32,
        distance: u32,
        group: Option<usize>,
        prediction: impl Into<Prediction>,
    ) -> Result<Option<Ticket>, Error> {
        self.known(group)?;
        let code = ring::code(group) as u32;
        if self.common.last_group == code && tick.wrapping_sub(self.common.last_tick) < distance {
            self.common.crowded = self.common.crowded.saturating_add(1);
            return Ok(None);
        }
        (self.common.last_group, self.common.last_tick) = (code, tick);
        self.predict(group, prediction).map(Some)
    }

    /// Begins an episode of somebody of this group; its frames go to [`Episode::observe`].
    ///
    /// # Errors
    /// When there is no such group.
    pub fn begin_episode(&self, group: Option<usize>) -> Result<Episode, Error> {
        self.known(group)?;
        Ok(Episode::new(group, self.common.next))
    }

    /// Counts an episode as one prediction; none where it had no frame.
    ///
    /// # Errors
    /// See [`Monitor::predict`].
    pub fn end_episode(&mut self, episode: Episode) -> Result<Option<Ticket>, Error> {
        if episode.frames() == 0 {
            return Ok(None);
        }
        self.predict(episode.group, episode.kept).map(Some)
    }

    /// Joins the label of an earlier prediction.
    ///
    /// # Errors
    /// When the ticket has expired, was used before or was never issued; nothing is counted then.
    pub fn label(&mut self, ticket: Ticket, truth: u16, source: Source) -> Result<Raised, Error> {
        let pending = ring::take(self.common, self.ring, ticket)?;
        let group = ring::group(pending.group).flatten();
        self.count(group, pending.class == truth, source)
    }

    /// Takes what a larger model says of the same input: whether the two agreed.
    ///
    /// # Errors
    /// When there is no such group, or the profile does not keep this; nothing is counted then.
    pub fn shadow(&mut self, group: usize, agreed: bool) -> Result<(), Error> {
        self.known(Some(group))?;
        let traffic = self.cells.get_mut(group).and_then(P::traffic);
        let traffic = traffic.ok_or(Error::Monitor("this profile keeps nothing of a larger model: build with Full"))?;
        traffic.shadowed = traffic.shadowed.saturating_add(1);
        traffic.disagreed = traffic.disagreed.saturating_add(!agreed as u32);
        Ok(())
    }

    /// Forgets the alarms that snapshot number `seq` told of, after somebody has seen it. That the message is authentic and
    /// new is for the caller to check, see `snapshot::Acknowledgement`. Alarms that rang later stay.
    pub fn acknowledge(&mut self, seq: u32) {
        let common = &mut *self.common;
        common.acknowledged = common.acknowledged.max(seq);
        for record in common.alarms.iter_mut().filter(|r| r.kind != 0 && r.after < seq) {
            let mask = if record.kind == Kind::Floor as u8 { &mut common.floor_alarms } else { &mut common.gap_alarms };
            if let Some(word) = mask.get_mut(record.group as usize / 32) {
                *word &= !(1 << (record.group % 32));
            }
            *record = AlarmRecord::default();
        }
        // Alarms beyond those that were kept with their figures: the last of them all had rung by then.
        if common.last_alarm < seq {
            (common.floor_alarms, common.gap_alarms) = ([0; 2], [0; 2]);
        }
    }

    /// What is kept beside the cells.
    pub fn common(&self) -> &Common {
        self.common
    }

    /// The cells, one per group.
    pub fn cells(&self) -> &[P] {
        self.cells
    }

    /// The whole memory, piece by piece: what is to be saved.
    pub fn bytes(&self) -> [&[u8]; 3] {
        [bytes_of(self.common), cast_slice(self.cells), cast_slice(self.ring)]
    }

    /// The configuration.
    pub fn config(&self) -> &Config<'m> {
        &self.config
    }

    /// The unacknowledged alarms that were kept with their figures; the masks of [`Monitor::common`] know of all.
    pub fn alarms(&self) -> impl Iterator<Item = &AlarmRecord> {
        self.common.alarms.iter().filter(|r| r.kind != 0)
    }

    fn known(&self, group: Option<usize>) -> Result<(), Error> {
        match group {
            Some(group) if group >= self.cells.len() => Err(Error::NoSuchGroup { group, groups: self.cells.len() }),
            _ => Ok(()),
        }
    }

    /// One outcome for all tests that it concerns.
    fn test(&mut self, group: Option<usize>, correct: bool) -> Raised {
        let mut raised = Raised::default();
        let Some(group) = group else {
            self.common.unknown.n = self.common.unknown.n.saturating_add(1);
            self.common.unknown.correct = self.common.unknown.correct.saturating_add(correct as u32);
            return raised;
        };
        self.common.events = self.common.events.saturating_add(1);
        let head = self.config.head;
        if let (Some(cell), Some(record)) = (self.cells.get_mut(group), self.config.floors.get(group)) {
            let counts = cell.counts();
            counts.n = counts.n.saturating_add(1);
            counts.correct = counts.correct.saturating_add(correct as u32);
            if let Some(state) = cell.floor()
                && floor::update(state, record, correct, head.q) >= head.threshold as u64
            {
                *state = Default::default();
                raised.floor = 1 << group;
            }
        }
        if let Some(field) = self.config.field {
            raised.gap = gaps(self.cells, &field, group, correct);
        }
        if raised.any() {
            self.latch(raised);
        }
        raised
    }

    /// Keeps alarms until they are acknowledged.
    fn latch(&mut self, raised: Raised) {
        self.common.last_alarm = self.common.saved;
        for (kind, group) in raised.iter() {
            let common = &mut *self.common;
            let mask = match kind {
                Kind::Floor => &mut common.floor_alarms,
                Kind::Gap => &mut common.gap_alarms,
            };
            if let Some(word) = mask.get_mut(group / 32) {
                *word |= 1 << (group % 32);
            }
            let is = |r: &AlarmRecord| (r.kind, r.group as usize) == (kind as u8, group);
            let place = common.alarms.iter().position(is).or(common.alarms.iter().position(|r| r.kind == 0));
            let Some(record) = place.and_then(|i| common.alarms.get_mut(i)) else { continue };
            if record.kind == 0 {
                let counts = self.cells.get_mut(group).map(|c| *c.counts()).unwrap_or_default();
                let (n, correct) = (counts.n, counts.correct);
                let (events, after) = (common.events, common.saved);
                *record = AlarmRecord { kind: kind as u8, group: group as u8, times: 0, events, n, correct, after };
            }
            record.times = record.times.saturating_add(1);
        }
    }
}

/// One outcome of a group for the gap detectors of all of them. Gives the bit mask of those that alarm.
// A function of its own: in a larger one the loop's variables spill.
#[inline(never)]
fn gaps<P: Profile>(cells: &mut [P], field: &Field, group: usize, correct: bool) -> u64 {
    let (threshold, q) = (field.head.gap_threshold as u64, field.head.gap_q);
    let mut raised = 0;
    for (i, (cell, record)) in cells.iter_mut().zip(field.groups).enumerate() {
        let Some(state) = cell.gap() else { break };
        if record.tolerance == u32::MAX || !gap::take(state, i == group, correct) {
            continue;
        }
        if gap::settle(state, record.tolerance, q) >= threshold {
            state.evidence = Default::default();
            raised |= 1 << i;
        }
    }
    raised
}

/// Counts a prediction whose label never came. Gives 1 if its group is not known.
fn expire<P: Profile>(cells: &mut [P], old: Pending) -> u32 {
    let Some(group) = ring::group(old.group) else { return 0 };
    let Some(cell) = group.and_then(|g| cells.get_mut(g)) else { return 1 };
    if let Some(traffic) = cell.traffic() {
        traffic.expired = traffic.expired.saturating_add(1);
    }
    0
}
