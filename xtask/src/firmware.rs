//! Builds the firmware of the emulated board.

use crate::setup::{Compiler, TARGET, compiler};
use crate::sh::{Result, cmd, root, run, target};
use std::path::PathBuf;

/// Builds `boards/mps2-an386` and puts the ELF where the `evenkeel` command looks for it.
pub fn build() -> Result<PathBuf> {
    let board = root().join("boards/mps2-an386");
    let dir = target().join("board");
    let mut c;
    match compiler()? {
        Compiler::Rustup => c = cmd("cargo"),
        Compiler::Debian(linker) => {
            c = cmd("/usr/bin/cargo");
            c.env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER", linker);
        }
    }
    let debian = c.get_program() == "/usr/bin/cargo";
    c.current_dir(&board).args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(&dir);
    if debian {
        c.arg("-Zbuild-std=core");
    }
    run(&mut c)?;
    let out = target().join("firmware");
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let elf = out.join("mps2-an386.elf");
    let built = dir.join(TARGET).join("release/evenkeel-mps2-an386");
    std::fs::copy(&built, &elf).map_err(|e| format!("{}: {e}", built.display()))?;
    println!("firmware: {}", elf.display());
    Ok(elf)
}
