//! The device monitor: does each group's accuracy still reach its certified floor?

use evenkeel_runtime::format::GRID;
use evenkeel_runtime::monitor::{self, Monitor};

use crate::Status;
use crate::model::{ModelStorage, model_of};
use crate::pointers::{Marked, change, put_if_wanted};
use crate::status::status;

/// Words (of `uintptr_t`) of a monitor.
pub const EK_MONITOR_WORDS: usize = 8;
/// Alternatives that the evidence of a group is kept for.
pub const EK_GRID: usize = 6;

/// A monitor. Provide the room; ek_monitor_init fills it.
#[repr(C)]
pub struct MonitorStorage {
    words: [usize; EK_MONITOR_WORDS],
}

/// What the monitor remembers of one group: plain bytes, zeroed at first, which the caller keeps wherever the device
/// keeps state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GroupState {
    /// Labelled events.
    pub n: u32,
    /// Events that were predicted right.
    pub correct: u32,
    /// Evidence against the floor.
    pub evidence: [u32; EK_GRID],
    /// Alarms so far.
    pub alarms: u32,
    /// 1-based number (over all groups) of the event at the first alarm; 0 for none.
    pub first_alarm: u32,
}

/// What an event brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Alarm {
    /// Whether the group has fallen below its floor; the rest is zero where it has not.
    pub raised: bool,
    /// Index of the group.
    pub group: usize,
    /// Labelled events of all groups so far.
    pub events: u32,
    /// Labelled events of this group so far.
    pub n: u32,
    /// Of these, predicted right.
    pub correct: u32,
}

// The runtime's state is what the header shows of it.
const _: () = assert!(EK_GRID == GRID && size_of::<GroupState>() == size_of::<monitor::GroupState>());
const _: () = assert!(align_of::<GroupState>() == align_of::<monitor::GroupState>());

/// What is kept between calls: no reference to the states, which the caller reads and saves.
#[derive(Clone, Copy)]
struct Parts {
    head: &'static evenkeel_runtime::format::MonitorHead,
    floors: &'static [evenkeel_runtime::format::FloorRecord],
    states: *mut monitor::GroupState,
}

impl Parts {
    /// A monitor for the length of a call.
    ///
    /// # Safety
    /// The states are still there, one per group, and nobody else uses them during the call.
    unsafe fn monitor(&self) -> Result<Monitor<'_, '_>, Status> {
        // SAFETY: the caller's promise.
        let states = unsafe { change(self.states, self.floors.len()) }?;
        Ok(Monitor::new(self.head, self.floors, states)?)
    }
}

/// Prepares a monitor: zeroed states at first, later those that an earlier one left. One state per group of
/// ek_model_info; they stay where they are while the monitor is used.
///
/// # Safety
/// `monitor` points to an `ek_monitor` or is NULL; `model` is as in ek_arena_len; `states` points to `count` states or
/// is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_init(
    monitor: *mut MonitorStorage,
    model: *const ModelStorage,
    states: *mut GroupState,
    count: usize,
) -> Status {
    // SAFETY: the caller's promise.
    let init = || unsafe {
        Marked::<Parts>::clear(monitor)?;
        let (head, floors) = model_of(model)?.monitor().ok_or(Status::NoMonitor)?;
        if count != floors.len() {
            return Err(Status::MonitorStates);
        }
        let parts = Parts { head, floors, states: states.cast() };
        parts.monitor()?;
        Marked::init(monitor, parts)
    };
    status(init())
}

/// Takes one labelled event: the model was right, or not, for somebody of this group. `alarm`, unless it is NULL, says
/// whether the group has fallen below its floor; the evidence then starts anew.
///
/// # Safety
/// `monitor` is NULL, or an `ek_monitor` that is zeroed or that ek_monitor_init was given; the model's bytes and the
/// states are still there; `alarm` points to an `ek_alarm` or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_monitor_observe(
    monitor: *mut MonitorStorage,
    group: usize,
    correct: bool,
    alarm: *mut Alarm,
) -> Status {
    // SAFETY: the caller's promise.
    let observe = || unsafe {
        let parts = Marked::<Parts>::get(monitor)?;
        put_if_wanted(alarm, Alarm::default())?;
        let raised = parts.monitor()?.observe(group, correct)?;
        raised.map_or(Ok(()), |a| {
            put_if_wanted(alarm, Alarm { raised: true, group: a.group, events: a.events, n: a.n, correct: a.correct })
        })
    };
    status(observe())
}
