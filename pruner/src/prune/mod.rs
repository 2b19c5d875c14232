//! Scoring, budget, and the pruning schedule.

pub mod shrink;

pub use shrink::shrink;
