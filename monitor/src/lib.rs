//! The host's side of the device monitor.
//!
//! Devices send snapshots of what their monitors hold ([`evenkeel_runtime::monitor`]). This crate has no part of the
//! pruner: whoever collects snapshots needs this and the runtime alone.

pub mod collect;
pub mod evidence;
pub mod merge;
pub mod message;
pub mod plan;
mod plausible;
pub mod replay;
pub mod send;
pub mod simulate;
pub mod snapshot;
pub mod terms;
