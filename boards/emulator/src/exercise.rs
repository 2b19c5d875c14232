//! The monitor alone on an emulated Cortex-M4: a made-up stream of events, and what each costs.

use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::{Board, Error, Job, checked, on_board, values};

/// The board.
pub const BOARD: Board = Board::Mps2An386;

/// What the device did.
#[derive(Clone, Debug)]
pub struct Exercised {
    /// The log, a line per message.
    pub log: Vec<String>,
    /// The monitor's state at the end.
    pub monitor: Vec<u32>,
    /// Instructions of all events together: a prediction and the label of an earlier one, and some 20 for reading the clock.
    pub total_instructions: u64,
    /// Most instructions of one event, to within 40.
    pub most_instructions: u64,
}

/// Looks for the firmware of the monitor beside the one that runs models.
pub fn find_firmware() -> Option<PathBuf> {
    let path = BOARD.find_firmware()?.with_file_name("mps2-an386-monitor.elf");
    path.is_file().then_some(path)
}

/// Runs [`crate::stream::Stream`] through the monitor of `model` until it has taken so many labels. The number is the
/// stream's seed as well.
///
/// # Errors
/// See [`Error`].
pub fn run(firmware: &Path, model: &[u8], events: u32) -> Result<Exercised, Error> {
    let (labels, groups) = (None, None);
    let job = Job { board: BOARD, firmware, model, inputs: &[], labels, groups, portable: false, states: false };
    let batch = Batch::new(&job, events)?;
    let (results, log) = on_board(&job, &batch)?;
    let head = checked(&batch, &results)?;
    Ok(Exercised {
        log,
        monitor: values(&results[batch.layout.state..][..4 * batch.words]),
        total_instructions: BOARD.instructions(head.ticks),
        most_instructions: BOARD.instructions(head.most as u64),
    })
}
