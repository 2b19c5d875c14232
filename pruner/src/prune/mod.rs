//! Pruning under the contract: a cubic schedule of small steps, each followed by fine-tuning.
//!
//! score ([`score`]) → choose under the budget ([`select`]) → really remove ([`shrink`]) → fine-tune with the
//! contract as a constraint ([`constraint`]) → again, until the budget holds; then, where asked for, blocks of weights
//! become zero in the same way ([`blocks`]); then a longer recovery.

pub mod blocks;
pub mod constraint;
pub mod norm;
pub mod resize;
pub mod schedule;
pub mod score;
pub mod select;
pub mod shrink;
pub mod standing;

pub use schedule::{BlockOptions, Method, Options, Outcome, Step, prune};
