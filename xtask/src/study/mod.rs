//! The study: every method on every case, budget and seed, each judged on the verdict split. Results are one file per
//! cell, so a study that was stopped goes on where it was.

mod cases;
mod cell;
mod options;
mod runner;

use crate::sh::Result;
use options::Options;

/// `cargo xtask study`: runs the cells of a selection that are not there yet.
pub fn study(args: &[String]) -> Result<()> {
    runner::run(&Options::parse(args)?)
}
