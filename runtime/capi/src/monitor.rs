//! The device monitor: does each group's accuracy still reach its certified floor, and is no group behind the others?
//!
//! Cells are of the runtime's profile `Full`: a firmware that calls none of these functions links none of their code, and
//! one that calls them pays some 2 KiB for everything that the monitor knows.

use evenkeel_runtime::monitor::{
    Config, Full, Kind, Monitor, Prediction, Raised as Kinds, Source as Origin, Ticket, words,
};

use crate::Status;
use crate::model::{ModelStorage, model_of};
use crate::pointers::{Marked, change, put, put_if_wanted};
use crate::session::{SessionStorage, prediction_of};
use crate::status::status;

/// Words (of `uintptr_t`) of a monitor.
pub const EK_MONITOR_WORDS: usize = 16;
/// Words of state beside those of groups and pending labels, see EK_MONITOR_STATE_WORDS.
pub const EK_MONITOR_COMMON_WORDS: usize = 63;
/// Words of state per group, see EK_MONITOR_STATE_WORDS.
pub const EK_MONITOR_GROUP_WORDS: usize = 47;
/// The group of somebody whose group nobody knows. It is a cell of its own, which no test sees.
pub const EK_UNKNOWN_GROUP: usize = usize::MAX;

const _: () = assert!(words::<Full>(0, 0) == EK_MONITOR_COMMON_WORDS);
const _: () = assert!(words::<Full>(1, 0) == EK_MONITOR_COMMON_WORDS + EK_MONITOR_GROUP_WORDS);
const _: () = assert!(words::<Full>(1, 1) == words::<Full>(1, 0) + 1);

/// A monitor. Provide the room; ek_monitor_init fills it.
#[repr(C)]
pub struct MonitorStorage {
    words: [usize; EK_MONITOR_WORDS],
}

/// Where a label came from; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Source {
    /// A reference: another sensor, a laboratory, an expert, a sample that was chosen to be labelled.
    Reference = 0,
    /// The user, asked whether the answer was right or not.
    User = 1,
    /// What followed, e.g. a door that was opened by key after all.
    Outcome = 2,
    /// Somebody complained. Complaints come of wrong answers only, so they are counted and no test sees them.
    Complaint = 3,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum AlarmKind {
    /// None.
    None = 0,
    /// The group's accuracy is below its floor.
    Floor = 1,
    /// The group is behind all others by more than the tolerance.
    Gap = 2,
}

/// The alarms that an event raised: bit masks of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Raised {
    /// Groups below their floor.
    pub floor: u64,
    /// Groups that are behind the others.
    pub gap: u64,
}

/// An alarm that nobody has acknowledged yet, as it was when it first rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Alarm {
    /// What it is about.
    pub kind: AlarmKind,
    /// Index of the group.
    pub group: usize,
    /// How often it has rung.
    pub times: u32,
    /// Labelled events of all groups at the first time.
    pub events: u32,
    /// Labelled events of this group at the first time.
    pub n: u32,
    /// Of these, predicted right.
    pub correct: u32,
}

/// What the monitor knows of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GroupCounts {
    /// Labelled events.
    pub n: u32,
    /// Events that were predicted right.
    pub correct: u32,
    /// Predictions, labelled or not.
    pub predictions: u32,
    /// Predictions whose label never came, or too late.
    pub expired: u32,
}

/// What is kept between calls: no reference to the state, which the caller reads and saves.
#[derive(Clone, Copy)]
struct Parts {
    config: Config<'static>,
    state: *mut u32,
    slots: usize,
}

impl Parts {
    /// Calls with the monitor of the storage.
    ///
    /// # Safety
    /// As [`Marked::get`]; the state is still there and nobody else uses it during the call.
    unsafe fn with<R>(
        monitor: *const MonitorStorage,
        call: impl FnOnce(&mut Monitor<'static, '_, Full>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        // SAFETY: the caller's promise.
        unsafe { Marked::<Parts>::get(monitor)?.open(call) }
    }

    /// As [`Parts::with`], for parts at hand.
    ///
    /// # Safety
    /// The state is still there and nobody else uses it during the call.
    unsafe fn open<R>(
        &self,
        call: impl FnOnce(&mut Monitor<'static, '_, Full>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        // SAFETY: the caller's promise.
        let state = unsafe { change(self.state, words::<Full>(self.config.groups(), self.slots)) }?;
        call(&mut Monitor::new(self.config, state, self.slots).map_err(|_| Status::MonitorState)?)
    }
}

/// Prepares a monitor: a zeroed state at first, later the one that an earlier monitor of the same model left. The state
/// has EK_MONITOR_STATE_WORDS(groups, slots) words, with the groups of ek_model_info, and stays where it is while the
/// monitor is used. Up to `slots` predictions, at most 65535, wait for their labels at a time.
///
/// # Safety
/// `monitor` points to an `ek_monitor` or is NULL; `model` is as in ek_arena_len; `state` points to `count` words or is
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_init(
    monitor: *mut MonitorStorage,
    model: *const ModelStorage,
    state: *mut u32,
    count: usize,
    slots: usize,
) -> Status {
    // SAFETY: the caller's promise.
    let init = || unsafe {
        Marked::<Parts>::clear(monitor)?;
        let config = Config::of(&model_of(model)?)?.ok_or(Status::NoMonitor)?;
        if slots > u16::MAX as usize || count != words::<Full>(config.groups(), slots) {
            return Err(Status::MonitorState);
        }
        let parts = Parts { config, state, slots };
        parts.open(|_| Ok(()))?;
        Marked::init(monitor, parts)
    };
    status(init())
}

/// To be called once after ek_monitor_init when the state was read back after a restart, with the number of the snapshot
/// that it was saved as (0 without snapshots): labels that were pending can no longer be joined, and count as expired.
///
/// # Safety
/// `monitor` is NULL, or an `ek_monitor` that is zeroed or that ek_monitor_init was given; the model's bytes and the
/// state are still there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_restarted(monitor: *mut MonitorStorage, snapshot: u32) -> Status {
    let restarted = |m: &mut Monitor<Full>| {
        m.restarted(snapshot);
        Ok(())
    };
    // SAFETY: the caller's promise.
    status(unsafe { Parts::with(monitor, restarted) })
}

/// Takes one event whose label is known at once: the model was right, or not, for somebody of this group (or
/// EK_UNKNOWN_GROUP). `source` is an ek_source; `raised`, unless it is NULL, becomes the alarms that this raised.
///
/// # Safety
/// As ek_monitor_restarted; `raised` points to an `ek_raised` or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_count(
    monitor: *mut MonitorStorage,
    group: usize,
    correct: bool,
    source: i32,
    raised: *mut Raised,
) -> Status {
    // SAFETY: the caller's promise.
    let count = || unsafe {
        put_if_wanted(raised, Raised::default())?;
        let origin = origin(source)?;
        let kinds = Parts::with(monitor, |m| Ok(m.count(known(group), correct, origin)?))?;
        put_if_wanted(raised, masks(kinds))
    };
    status(count())
}

/// Takes what the last run of a session answered for somebody of this group (or EK_UNKNOWN_GROUP), one call per event and
/// not per frame of it. `ticket` becomes what ek_monitor_label takes.
///
/// # Safety
/// As ek_monitor_restarted; `session` is as in ek_session_run; `ticket` points to a `uint32_t` or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_predict(
    monitor: *mut MonitorStorage,
    group: usize,
    session: *const SessionStorage,
    ticket: *mut u32,
) -> Status {
    // SAFETY: the caller's promise.
    let predict = || unsafe {
        let prediction: Prediction = prediction_of(session)?;
        put(ticket, 0)?;
        let Ticket(number) = Parts::with(monitor, |m| Ok(m.predict(known(group), prediction)?))?;
        put(ticket, number)
    };
    status(predict())
}

/// Joins the label of an earlier prediction: the class that would have been right. `source` is an ek_source; `raised`,
/// unless it is NULL, becomes the alarms that this raised.
///
/// # Safety
/// As ek_monitor_count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_label(
    monitor: *mut MonitorStorage,
    ticket: u32,
    truth: u16,
    source: i32,
    raised: *mut Raised,
) -> Status {
    // SAFETY: the caller's promise.
    let label = || unsafe {
        put_if_wanted(raised, Raised::default())?;
        let origin = origin(source)?;
        let kinds = Parts::with(monitor, |m| Ok(m.label(Ticket(ticket), truth, origin)?))?;
        put_if_wanted(raised, masks(kinds))
    };
    status(label())
}

/// The unacknowledged alarm `index`, counted from 0; its kind is EK_ALARM_KIND_NONE when there are no more.
///
/// # Safety
/// As ek_monitor_restarted; `alarm` points to an `ek_alarm` or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_alarm(monitor: *const MonitorStorage, index: usize, alarm: *mut Alarm) -> Status {
    let at = |m: &mut Monitor<Full>| Ok(m.alarms().nth(index).copied().unwrap_or_default());
    // SAFETY: the caller's promise.
    let copy = || unsafe {
        let r = Parts::with(monitor, at)?;
        let kind = match r.kind {
            k if k == Kind::Floor as u8 => AlarmKind::Floor,
            k if k == Kind::Gap as u8 => AlarmKind::Gap,
            _ => AlarmKind::None,
        };
        let (group, times) = (r.group as usize, r.times as u32);
        put(alarm, Alarm { kind, group, times, events: r.events, n: r.n, correct: r.correct })
    };
    status(copy())
}

/// Forgets the alarms that rang before snapshot number `snapshot` was saved, after somebody has seen them. A device that
/// saves no snapshots forgets all of them with 1.
///
/// # Safety
/// As ek_monitor_restarted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_acknowledge(monitor: *mut MonitorStorage, snapshot: u32) -> Status {
    let acknowledge = |m: &mut Monitor<Full>| {
        m.acknowledge(snapshot);
        Ok(())
    };
    // SAFETY: the caller's promise.
    status(unsafe { Parts::with(monitor, acknowledge) })
}

/// What the monitor knows of a group, or of EK_UNKNOWN_GROUP.
///
/// # Safety
/// As ek_monitor_restarted; `counts` points to an `ek_group_counts` or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_group(
    monitor: *const MonitorStorage,
    group: usize,
    counts: *mut GroupCounts,
) -> Status {
    let of = |m: &mut Monitor<Full>| {
        if group == EK_UNKNOWN_GROUP {
            let (c, predictions, expired) =
                (m.common().unknown, m.common().unknown_predictions, m.common().unknown_expired);
            return Ok(GroupCounts { n: c.n, correct: c.correct, predictions, expired });
        }
        let Full { counts, traffic, .. } = m.cells().get(group).ok_or(Status::NoSuchGroup)?;
        let (predictions, expired) = (traffic.predictions(), traffic.expired);
        Ok(GroupCounts { n: counts.n, correct: counts.correct, predictions, expired })
    };
    // SAFETY: the caller's promise.
    status(unsafe { Parts::with(monitor, of).and_then(|value| put(counts, value)) })
}

fn known(group: usize) -> Option<usize> {
    (group != EK_UNKNOWN_GROUP).then_some(group)
}

fn origin(source: i32) -> Result<Origin, Status> {
    match source {
        0 => Ok(Origin::Reference),
        1 => Ok(Origin::User),
        2 => Ok(Origin::Outcome),
        3 => Ok(Origin::Complaint),
        _ => Err(Status::NoSuchSource),
    }
}

fn masks(Kinds { floor, gap }: Kinds) -> Raised {
    Raised { floor, gap }
}
