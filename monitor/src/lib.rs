//! The host's side of the device monitor.
//!
//! Devices send snapshots of what their monitors hold ([`evenkeel_runtime::monitor`]). This crate has no part of the
//! pruner: whoever collects snapshots needs this and the runtime alone.

pub mod simulate;
