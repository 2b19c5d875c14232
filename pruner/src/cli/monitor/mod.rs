//! `evenkeel monitor`: the device monitor, tried out before it is in the field, and what devices send of it.

mod enrol;
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
    Enrol(enrol::Enrol),
}

impl Monitor {
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Simulate(c) => c.run(),
            Command::Enrol(c) => c.run(),
        }
    }
}
