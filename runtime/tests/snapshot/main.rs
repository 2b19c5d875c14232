//! State that survives power cuts, and messages that survive the way.

mod flash;
mod power;
mod ring;
