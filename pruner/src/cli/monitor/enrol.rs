//! `evenkeel monitor enrol`: the keys that a device is given.

use super::super::key;
use super::save::fleet_key;
use clap::Args;
use evenkeel::error::Result;
use std::path::PathBuf;

/// Derives a device's keys from the fleet's key.
#[derive(Args)]
#[command(
    after_help = "Example: openssl rand -hex 32 > fleet.key; evenkeel monitor enrol --key fleet.key --device 7 -o device.key"
)]
pub struct Enrol {
    /// File with the fleet's key, 64 hexadecimal digits; it stays with you
    #[arg(long)]
    key: PathBuf,
    /// The device's number
    #[arg(long)]
    device: u64,
    /// Where its keys go: 128 hexadecimal digits, for this device alone
    #[arg(short, long)]
    output: PathBuf,
}

impl Enrol {
    pub fn run(&self) -> Result<()> {
        let keys = fleet_key(&self.key)?.device(self.device);
        key::write_new(&self.output, &keys.bytes(), true)?;
        say!("{}: the keys of device {}; who has them can speak for it", self.output.display(), self.device);
        Ok(())
    }
}
