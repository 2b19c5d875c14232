//! Pruning under the contract: a cubic schedule of small steps, each followed by fine-tuning.
//!
//! score ([`score`]) → choose under the budget ([`select`]) → really remove ([`shrink`]) → fine-tune with the terms of
//! the method ([`terms`]) → again, until the budget holds; then, where asked for, blocks of weights become zero in the
//! same way ([`blocks`]); then a longer recovery. [`recipe`] says what each method is made of.

pub mod blocks;
pub mod fallback;
pub mod gated;
pub mod norm;
pub mod pareto;
mod parts;
pub mod recipe;
pub mod resize;
pub mod schedule;
pub mod score;
pub mod select;
pub mod shrink;
pub mod standing;
pub mod terms;
mod tune;

pub use recipe::Recipe;
pub use schedule::{BlockOptions, Options, Outcome, Step, can_begin, prune};
