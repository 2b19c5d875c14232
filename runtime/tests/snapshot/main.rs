//! State that survives power cuts, and messages that survive the way.

#[cfg(feature = "std")]
mod files;
mod flash;
mod frames;
mod messages;
mod power;
mod ring;
