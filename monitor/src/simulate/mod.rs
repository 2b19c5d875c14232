//! The monitor's promises, tried: false alarms where nothing is wrong, run lengths, delays, mistakes that must show.
//!
//! Everything goes through the monitor that runs on devices ([`evenkeel_runtime::monitor::Monitor`]), in its integers;
//! what is random is the world around it. Each run has a seed of its own, so the figures are the same each time.

pub mod controls;
pub mod delays;
pub mod evidence;
pub mod lengths;
pub mod levels;
mod page;
pub mod random;
pub mod setup;
mod tables;
mod threads;
pub mod worlds;

pub use page::{Page, Size, study};
