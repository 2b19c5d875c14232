//! What a fresh machine lacks: the emulator, and compilers for the microcontrollers.

use crate::firmware::BOARDS;
use crate::sh::{Result, cmd, has, output, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How to compile for a microcontroller.
pub enum Compiler {
    /// The installed toolchain with the target added.
    Rustup,
    /// Debian's compiler and library sources; `core` is built from source. Holds the linker.
    Debian(PathBuf),
}

/// Everything that `test` and `demo` need.
pub fn all() -> Result<()> {
    emulator()?;
    c_compiler()?;
    BOARDS.iter().try_for_each(|board| compiler(board.target).map(drop))?;
    crate::aarch64::setup()
}

/// Makes sure that there is a `qemu-system-arm`.
pub fn emulator() -> Result<()> {
    if has("qemu-system-arm", "--version") {
        println!("set-up: qemu-system-arm is there");
        return Ok(());
    }
    apt(&["qemu-system-arm"])
}

/// Makes sure that there are C compilers for this machine and for microcontrollers, and `make`.
pub fn c_compiler() -> Result<()> {
    let lacking: Vec<_> = [("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("cc", "gcc"), ("make", "make")]
        .into_iter()
        .filter(|(program, _)| !has(program, "--version"))
        .map(|(_, package)| package)
        .collect();
    if lacking.is_empty() {
        println!("set-up: arm-none-eabi-gcc is there");
        return Ok(());
    }
    apt(&lacking)
}

/// Cargo for a microcontroller: `cargo <verb> --locked --target <target>`.
pub fn cargo(verb: &str, target: &str) -> Result<Command> {
    let compiler = compiler(target)?;
    let mut c = cmd(if matches!(compiler, Compiler::Rustup) { "cargo" } else { "/usr/bin/cargo" });
    c.args([verb, "--locked", "--target", target]);
    if let Compiler::Debian(linker) = compiler {
        let variable = target.replace(['-', '.'], "_").to_uppercase();
        c.arg("-Zbuild-std=core").env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
        c.env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
    }
    Ok(c)
}

/// A compiler for `target`: rustup's where its target can be added, Debian's packages where not.
pub fn compiler(target: &str) -> Result<Compiler> {
    let sysroot = PathBuf::from(output(cmd("rustc").args(["--print", "sysroot"]))?.trim());
    if sysroot.join("lib/rustlib").join(target).is_dir() {
        println!("set-up: the toolchain has {target}");
        return Ok(Compiler::Rustup);
    }
    if has("rustup", "--version") {
        println!("set-up: adding {target} to the toolchain");
        if run(cmd("rustup").args(["target", "add", target])).is_ok() {
            return Ok(Compiler::Rustup);
        }
        println!("set-up: rustup cannot fetch it; falling back to Debian's rustc-web, cargo-web and rust-web-src");
    }
    if !(Path::new("/usr/bin/rustc").is_file() && Path::new("/usr/bin/cargo").is_file()) {
        apt(&["rustc-web", "cargo-web", "rust-web-src"])?;
    }
    let host = output(cmd("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or("x86_64-unknown-linux-gnu");
    let linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    if !linker.is_file() {
        return Err(format!(
            "no linker at {}: install a rustup toolchain, or add the target {target} to yours",
            linker.display()
        ));
    }
    Ok(Compiler::Debian(linker))
}

pub fn apt(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let root = output(cmd("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let how = format!("apt-get update && apt-get install -y {list}");
    if !has("apt-get", "--version") || !(root || has("sudo", "-n")) {
        return Err(format!("this machine lacks {list}; install with: sudo sh -c '{how}'"));
    }
    println!("set-up: installing {list}");
    let mut shell = if root { cmd("sh") } else { cmd("sudo") };
    let shell = if root { &mut shell } else { shell.args(["-n", "sh"]) };
    run(shell.args(["-c", &how]).env("DEBIAN_FRONTEND", "noninteractive"))
        .map_err(|e| format!("{e}; install with: sudo sh -c '{how}'"))
}
