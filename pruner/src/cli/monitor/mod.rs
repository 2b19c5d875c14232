//! `evenkeel monitor`: the device monitor, tried out before it is in the field, and what devices send of it.

mod decode;
mod enrol;
mod merge;
mod plan;
mod read;
mod replay;
mod save;
mod simulate;

use clap::{Args, Subcommand};
use evenkeel::error::Result;

/// Works with the monitor that a .keel file configures.
#[derive(Args)]
pub struct Monitor {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Simulate(simulate::Simulate),
    Decode(decode::Decode),
    Replay(replay::Replay),
    Merge(merge::Merge),
    Plan(plan::Plan),
    Enrol(enrol::Enrol),
}

impl Monitor {
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Simulate(c) => c.run(),
            Command::Decode(c) => c.run(),
            Command::Replay(c) => c.run(),
            Command::Merge(c) => c.run(),
            Command::Plan(c) => c.run(),
            Command::Enrol(c) => c.run(),
        }
    }
}
