//! The study: every method on every case, budget and seed, each judged on the verdict split. Results are one file per
//! cell, so a study that was stopped goes on where it was. `page` turns them into `docs/study.md`.

mod cases;
mod cell;
mod choice;
mod claims;
mod counts;
mod load;
mod monitor;
mod options;
mod page;
mod plots;
mod runner;
mod stats;
mod summary;
mod tables;

use crate::peers;
use crate::sh::{Result, cmd, root, run};
use options::Options;

/// `cargo xtask study`: runs the cells of a selection that are not there yet. `cargo xtask study page`: writes the page
/// about all that are. `cargo xtask study verdict`: how often verdicts err, as `docs/verdict.md`.
/// `cargo xtask study monitor`: false alarms, run lengths and delays of the monitor, as `docs/monitor.md`.
pub fn study(args: &[String]) -> Result<()> {
    match args.split_first() {
        Some((first, rest)) if first == "page" => {
            let o = Options::parse(rest)?;
            page::write(&load::load(&o.dir)?, &root().join(o.output))
        }
        Some((first, [])) if first == "verdict" => verdict(),
        Some((first, [])) if first == "monitor" => monitor::monitor(),
        _ => runner::run(&Options::parse(args)?),
    }
}

/// Counts wrong verdicts on models whose truth is known.
fn verdict() -> Result<()> {
    let mut c = cmd(&peers::build_command()?);
    run(c.args(["simulate-verdicts", "--runs", "2000", "-o"]).arg(root().join("docs/verdict.md")))
}
