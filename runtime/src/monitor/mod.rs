//! The device monitor: does the contract still hold where the model is used?
//!
//! Per group it counts labelled events and tests two things without end: that the group's accuracy is not below its
//! certified floor ([`floor`]), and that the group is not behind all others by more than a tolerance ([`gap`]). Both
//! come with a stated average time between false alarms. All of it is integer arithmetic rounded down, so the
//! evidence is never larger than the exact one and the guarantees stand.
//!
//! [`Monitor`] keeps everything in one piece of memory that the caller gives ([`state`]), which a device saves as it
//! is and sends as a snapshot. What a cell holds is chosen when the firmware is built ([`Profile`]): 8 bytes a group
//! for counts, 32 with floor alarms, 112 with gap alarms, 188 with everything.
//!
//! An event is one thing that happened, not a frame of it ([`Episode`], [`Monitor::predict_at`]). Its label may come
//! late: [`Monitor::predict`] gives a [`Ticket`], [`Monitor::label`] joins.
//!
//! ```
//! use evenkeel_runtime::monitor::{Config, Full, Monitor, Source, words};
//! use evenkeel_runtime::{Error, Model, Session};
//!
//! /// Somebody of group `group` was measured; later `truth` is known.
//! fn event(model: &Model, session: &Session, state: &mut [u32], group: usize, truth: u16) -> Result<bool, Error> {
//!     let Some(config) = Config::of(model)? else { return Ok(false) };
//!     let mut monitor = Monitor::<Full>::new(config, state, 64)?;
//!     let ticket = monitor.predict(Some(group), session)?;
//!     let raised = monitor.label(ticket, truth, Source::Reference)?;
//!     Ok(raised.any())
//! }
//! // Two groups, 64 labels pending: that many words of memory, zeroed at first.
//! assert_eq!(words::<Full>(2, 64) * 4, 252 + 2 * 188 + 64 * 4);
//! ```

mod config;
pub mod counts;
mod event;
pub mod floor;
pub mod gap;
#[cfg(feature = "snapshot")]
pub mod payload;
#[cfg(feature = "write")]
pub mod plan;
mod ring;
pub mod self_test;
pub mod state;
mod watch;

pub use config::{Config, check, check_field};
pub use event::{Episode, Prediction, SOURCES, Source, Ticket};
pub use state::{Alarm, AlarmRecord, Common, Core, Full, Gap, Kind, Profile};
pub use watch::{Monitor, Raised, words};

/// 1.0 in Q26, the format of floors, tolerances and factors.
pub const ONE_Q26: u32 = 1 << 26;
/// Largest number of groups.
pub const MAX_GROUPS: usize = 64;
