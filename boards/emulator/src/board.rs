//! The boards that QEMU emulates for this project.

use std::path::{Path, PathBuf};

use crate::image::{MPS2_AN386_MEMORY, MPS3_AN547_MEMORY};

/// A board, and so the processor that a job runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Board {
    /// MPS2 with AN386: Cortex-M4.
    Mps2An386,
    /// MPS3 with AN547: Cortex-M55 with Helium.
    Mps3An547,
}

impl Board {
    /// All of them.
    pub const ALL: [Board; 2] = [Board::Mps2An386, Board::Mps3An547];

    /// The processor, as the kernels and the command line name it.
    pub fn processor(self) -> &'static str {
        match self {
            Board::Mps2An386 => "cortex-m4",
            Board::Mps3An547 => "cortex-m55",
        }
    }

    /// QEMU's name of the machine, which is also the firmware's.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Board::Mps2An386 => "mps2-an386",
            Board::Mps3An547 => "mps3-an547",
        }
    }

    /// Where the batch image lies.
    pub(crate) fn memory(self) -> usize {
        match self {
            Board::Mps2An386 => MPS2_AN386_MEMORY,
            Board::Mps3An547 => MPS3_AN547_MEMORY,
        }
    }

    /// Instructions in so many ticks of SysTick: an instruction takes a nanosecond of the board's time, a tick a
    /// period of its clock, 25 or 32 MHz.
    pub(crate) fn instructions(self, ticks: u64) -> u64 {
        match self {
            Board::Mps2An386 => ticks * 40,
            Board::Mps3An547 => ticks * 125 / 4,
        }
    }

    /// The environment variable that names the firmware.
    pub fn variable(self) -> &'static str {
        match self {
            Board::Mps2An386 => "EVENKEEL_FIRMWARE",
            Board::Mps3An547 => "EVENKEEL_FIRMWARE_M55",
        }
    }

    /// Looks for the board's firmware: where its environment variable says, else in a folder `firmware` in a folder
    /// above the running program, else under `target` here.
    pub fn find_firmware(self) -> Option<PathBuf> {
        if let Some(path) = std::env::var_os(self.variable()) {
            return Some(path.into());
        }
        let name = format!("firmware/{}.elf", self.machine());
        let program = std::env::current_exe().unwrap_or_default();
        let above = program.ancestors().skip(1).map(|folder| folder.join(&name));
        above.chain([Path::new("target").join(&name)]).find(|path| path.is_file())
    }
}
