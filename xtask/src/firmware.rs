//! Builds the firmware of the emulated board.

use crate::setup::{self, TARGET};
use crate::sh::{Result, root, run, target};
use std::path::PathBuf;

/// Builds `boards/mps2-an386` and puts the ELF where the `evenkeel` command looks for it.
pub fn build() -> Result<PathBuf> {
    let board = root().join("boards/mps2-an386");
    let dir = target().join("board");
    run(setup::cargo("build")?.current_dir(&board).args(["--release", "--target-dir"]).arg(&dir))?;
    let out = target().join("firmware");
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let elf = out.join("mps2-an386.elf");
    let built = dir.join(TARGET).join("release/evenkeel-mps2-an386");
    std::fs::copy(&built, &elf).map_err(|e| format!("{}: {e}", built.display()))?;
    println!("firmware: {}", elf.display());
    Ok(elf)
}
