//! A Linux service for boards like the Jetson: it maps a model, answers frames from a folder or from standard input,
//! monitors the contract, and keeps and sends snapshots. It ends cleanly on SIGTERM.
//!
//! An answer on standard output says that a frame was counted. Counted events are durable from the next snapshot on; a
//! signal to end makes one, a power cut loses those since the last.

mod desk;
mod frames;
mod keep;
mod serve;
mod teacher;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a .keel model on frames, with its monitor.
#[derive(Parser)]
#[command(
    after_help = "Lines on standard input are JSON: {\"id\": \"a\", \"x\": [..], \"group\": \"gender=female\"}, later \
                        {\"id\": \"a\", \"label\": 2}. Frames of one \"episode\" are one event. See boards/jetson/README.md."
)]
struct Service {
    /// The .keel file, made under a contract
    model: PathBuf,
    /// The device's number
    #[arg(long)]
    device: u64,
    /// File with the device's keys, 128 hexadecimal digits (`evenkeel monitor enrol`)
    #[arg(long)]
    key: PathBuf,
    /// Where the monitor's state is kept: a path that endings are added to
    #[arg(long)]
    state: PathBuf,
    /// Folder that snapshots are put into; whoever sends them takes them away
    #[arg(long)]
    outbox: PathBuf,
    /// Folder of frames, NAME.f32 with NAME.json beside it; without it, lines on standard input
    #[arg(long)]
    frames: Option<PathBuf>,
    /// A snapshot after so many labelled events, after each alarm, and at the end
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Predictions that may wait for their labels
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    slots: u16,
    /// A larger model that some frames go through as well: the same network before pruning
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Every so many events go through the larger model
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    teacher_every: u32,
}

/// Set when the service shall end.
static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    let service = Service::parse();
    if let Err(e) = ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed)) {
        tracing::error!("cannot catch signals: {e}");
        return ExitCode::FAILURE;
    }
    match serve::run(&service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e}");
            ExitCode::FAILURE
        }
    }
}
