//! AArch64 on this machine: a cross compiler and QEMU's user mode, the program that counts instructions, and the
//! runtime's tests on three cores.

use crate::setup::apt;
use crate::sh::{Result, cmd, has, output, root, run, target};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const GCC: &str = "aarch64-linux-gnu-gcc";
const QEMU: &str = "qemu-aarch64";
/// The environment variable that tells the `evenkeel` command where the program is.
pub const VARIABLE: &str = "EVENKEEL_AARCH64";
/// Cores without dot products, with them, and with matrix products besides.
const CORES: [&str; 3] = ["cortex-a53", "cortex-a76", "max"];
/// Versions of the plugin interface that the plugin's few calls are part of, of which an emulator takes some.
const INTERFACES: std::ops::RangeInclusive<u32> = 1..=6;

/// Makes sure that there are compiler, linker and emulator.
pub fn setup() -> Result<()> {
    if has(GCC, "--version") && has(QEMU, "--version") && has("gcc", "--version") {
        println!("set-up: {GCC} and {QEMU} are there");
    } else {
        apt(&["gcc", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"])?;
    }
    has_target().map(drop)
}

/// Whether the toolchain has the target, added if need be; where not, Debian's compiles the library too.
fn has_target() -> Result<bool> {
    let sysroot = PathBuf::from(output(cmd("rustc").args(["--print", "sysroot"]))?.trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(true);
    }
    if has("rustup", "--version") && run(cmd("rustup").args(["target", "add", TARGET])).is_ok() {
        return Ok(true);
    }
    if !(Path::new("/usr/bin/rustc").is_file() && Path::new("/usr/bin/cargo").is_file()) {
        apt(&["rustc-web", "cargo-web", "rust-web-src"])?;
    }
    Ok(false)
}

/// Cargo for the target. Programs are static: the emulator needs no libraries of the target.
fn cargo(words: &[&str]) -> Result<Command> {
    let rustup = has_target()?;
    let mut c = cmd(if rustup { "cargo" } else { "/usr/bin/cargo" });
    c.args(words).args(["--target", TARGET]);
    if !rustup {
        c.arg("-Zbuild-std=std,panic_abort").env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    }
    c.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", GCC);
    c.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    Ok(c)
}

/// Builds `boards/aarch64` and its plugin, and puts them where the `evenkeel` command looks for them.
pub fn build() -> Result<PathBuf> {
    let board = root().join("boards/aarch64");
    let dir = target().join("aarch64");
    run(cargo(&["build", "--release", "--locked"])?.arg("--target-dir").arg(&dir).current_dir(&board))?;
    let out = target().join("firmware");
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let elf = out.join("aarch64.elf");
    let built = dir.join(TARGET).join("release/evenkeel-aarch64");
    std::fs::copy(&built, &elf).map_err(|e| format!("{}: {e}", built.display()))?;
    plugin(&board.join("count.c"), &elf)?;
    println!("program: {}", elf.display());
    Ok(elf)
}

/// Builds the plugin for the first version of the interface that the emulator takes.
fn plugin(source: &Path, elf: &Path) -> Result<()> {
    let plugin = elf.with_extension("so");
    for version in INTERFACES {
        let mut gcc = cmd("gcc");
        gcc.args(["-O2", "-Wall", "-fPIC", "-shared", &format!("-DAPI_VERSION={version}"), "-o"]);
        run(gcc.arg(&plugin).arg(source))?;
        // Without arguments the program says how it is used and ends; before that, the plugin is loaded or refused.
        let mut qemu = cmd(QEMU);
        qemu.arg("-plugin").arg(format!("{},out=/dev/null", plugin.display())).arg(elf);
        let said = qemu.output().map_err(|e| format!("{QEMU}: {e}"))?;
        if String::from_utf8_lossy(&said.stderr).contains("usage: evenkeel-aarch64") {
            return Ok(());
        }
    }
    Err(format!("{QEMU} takes no version of the plugin {}", source.display()))
}

/// The runtime's tests, on each core.
pub fn test() -> Result<()> {
    let words = ["test", "--locked", "--package", "evenkeel-runtime", "--features", "write,std"];
    for core in CORES {
        let mut c = cargo(&words)?;
        c.args(["--test", "aarch64", "--test", "session", "--lib"]);
        c.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", format!("{QEMU} -cpu {core}"));
        run(&mut c)?;
    }
    Ok(())
}
