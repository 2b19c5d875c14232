//! Builds the firmware of the emulated boards.

use crate::setup;
use crate::sh::{Result, root, run, target};
use std::path::PathBuf;

/// A board whose firmware lies in `boards/NAME`.
pub struct Board {
    /// The folder's name.
    pub name: &'static str,
    /// What it is compiled for.
    pub target: &'static str,
    /// The environment variable that tells the `evenkeel` command where the firmware is.
    pub variable: &'static str,
}

/// The boards that QEMU emulates.
pub const BOARDS: [Board; 2] = [
    Board { name: "mps2-an386", target: "thumbv7em-none-eabihf", variable: "EVENKEEL_FIRMWARE" },
    Board { name: "mps3-an547", target: "thumbv8m.main-none-eabihf", variable: "EVENKEEL_FIRMWARE_M55" },
];

/// The board that has a second program, for the monitor alone.
const MONITOR: &str = "mps2-an386";

/// Environment variables and the ELF files that they name.
pub type Firmware = Vec<(&'static str, PathBuf)>;

/// Builds all firmware and puts it where the `evenkeel` command looks for it.
pub fn build() -> Result<Firmware> {
    BOARDS.iter().map(|board| Ok((board.variable, build_board(board)?))).collect()
}

fn build_board(board: &Board) -> Result<PathBuf> {
    if board.name == MONITOR {
        build_program(board, "small", &format!("{MONITOR}-monitor"))?;
    }
    build_program(board, "release", board.name)
}

/// One program of a board, in a profile.
fn build_program(board: &Board, profile: &str, program: &str) -> Result<PathBuf> {
    let dir = target().join("board");
    let mut c = setup::cargo("build", board.target)?;
    c.current_dir(root().join("boards").join(board.name));
    c.args(["--profile", profile, "--bin"]).arg(format!("evenkeel-{program}"));
    run(c.arg("--target-dir").arg(&dir))?;
    let out = target().join("firmware");
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let elf = out.join(format!("{program}.elf"));
    let built = dir.join(board.target).join(profile).join(format!("evenkeel-{program}"));
    std::fs::copy(&built, &elf).map_err(|e| format!("{}: {e}", built.display()))?;
    println!("firmware: {}", elf.display());
    Ok(elf)
}
