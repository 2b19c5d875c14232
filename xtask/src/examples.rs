//! Builds the programs of `examples/` as a user would, with a small model made on the way.

use crate::c_library::{self, BOARD, HOST};
use crate::setup;
use crate::sh::{Result, cmd, root, run, target};
use object::{Object, ObjectSection, ObjectSymbol};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The environment variable that tells tests where the examples are.
pub const VARIABLE: &str = "EVENKEEL_EXAMPLES";

/// Makes a model, exports it, builds both firmwares and the host program; gives the folder that holds them:
/// `c-firmware.elf`, `rust-firmware.elf`, `classify`, and the model as `model.keel` (for the board) and `host.keel`.
pub fn build() -> Result<PathBuf> {
    setup::c_compiler()?;
    let dir = target().join("examples");
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    model(&dir)?;

    let board = c_library::build(BOARD)?;
    make("c-firmware", &board, &dir.join("c-firmware"))?;
    place(&dir.join("c-firmware/firmware.elf"), &dir.join("c-firmware.elf"))?;
    let host = c_library::build(HOST)?;
    make("c-host", &host, &dir.join("c-host"))?;
    place(&dir.join("c-host/classify"), &dir.join("classify"))?;

    let cargo = target().join("board");
    let mut c = setup::cargo("build", BOARD)?;
    run(c.current_dir(root().join("examples/rust-firmware")).args(["--release", "--target-dir"]).arg(&cargo))?;
    place(&cargo.join(BOARD).join("release/rust-firmware"), &dir.join("rust-firmware.elf"))?;
    Ok(dir)
}

/// Builds them, runs both firmwares in the emulator, and says what the one in Rust takes.
pub fn examples() -> Result<()> {
    setup::emulator()?;
    let dir = build()?;
    for elf in ["c-firmware.elf", "rust-firmware.elf"] {
        let mut qemu = cmd("qemu-system-arm");
        qemu.args(["-M", "mps2-an386", "-cpu", "cortex-m4", "-display", "none", "-monitor", "none", "-serial", "none"]);
        qemu.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(dir.join(elf));
        run(&mut qemu)?;
    }
    let (whole, model) = (flash(&dir.join("rust-firmware.elf"))?, length(&dir.join("model.keel"))?);
    let without = whole.saturating_sub(model);
    println!("rust-firmware: {without} bytes of flash without its model of {model} bytes");
    println!("of these, kernels: {} bytes", kernels(&dir.join("rust-firmware.elf"))?);
    Ok(())
}

/// Bytes of flash that a firmware takes.
fn flash(elf: &Path) -> Result<u64> {
    with_object(elf, |file| {
        let size = |name| file.section_by_name(name).map_or(0, |section| section.size());
        [".vector_table", ".text", ".rodata"].into_iter().map(size).sum()
    })
}

/// Bytes of the functions of the runtime's kernels; what is inlined elsewhere does not count.
fn kernels(elf: &Path) -> Result<u64> {
    with_object(elf, |file| {
        let named =
            |s: &object::Symbol| s.name().is_ok_and(|n| n.contains("evenkeel_runtime") && n.contains("kernels"));
        file.symbols().filter(|s| s.kind() == object::SymbolKind::Text && named(s)).map(|s| s.size()).sum()
    })
}

fn with_object(elf: &Path, size: impl FnOnce(&object::File) -> u64) -> Result<u64> {
    let wrong = |e: &dyn Display| format!("{}: {e}", elf.display());
    let bytes = std::fs::read(elf).map_err(|e| wrong(&e))?;
    Ok(size(&object::File::parse(&*bytes).map_err(|e| wrong(&e))?))
}

fn length(file: &Path) -> Result<u64> {
    std::fs::metadata(file).map(|meta| meta.len()).map_err(|e| format!("{}: {e}", file.display()))
}

/// A small network on synthetic data, compiled for the board and for any machine, and exported into the examples.
fn model(dir: &Path) -> Result<()> {
    run(cmd("cargo").args(["build", "--locked", "--package", "evenkeel"]))?;
    let evenkeel = target().join("debug/evenkeel");
    let step = |args: &[&str]| run(cmd(&evenkeel).current_dir(dir).args(args));
    step(&["synth", "-o", "set.npz", "--subjects", "12", "--rows-per-subject", "24", "--seed", "1"])?;
    step(&["train", "--arch", "dscnn1d", "--data", "set.npz", "-o", "model.onnx", "--epochs", "2", "--seed", "1"])?;
    step(&["compile", "model.onnx", "--data", "set.npz", "--target", "cortex-m4", "-o", "model.keel"])?;
    step(&["compile", "model.onnx", "--data", "set.npz", "-o", "host.keel"])?;
    let export = |to: &str, example: &str, more: &[&str]| {
        let folder = root().join("examples").join(example).join("model");
        let mut c = cmd(&evenkeel);
        run(c.current_dir(dir).args(["export", "model.keel", "--force", "--to", to, "-o"]).arg(folder).args(more))
    };
    export("c", "c-firmware", &[])?;
    export("rust", "rust-firmware", &["--runtime", "../../../runtime"])
}

/// `make` in an example's folder.
fn make(example: &str, library: &Path, out: &Path) -> Result<()> {
    let set = |name: &str, path: &Path| format!("{name}={}", path.display());
    let folder = root().join("examples").join(example);
    run(cmd("make").arg("-C").arg(folder).args([set("EVENKEEL", library), set("OUT", out)]))
}

fn place(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).map_err(|e| format!("{}: {e}", from.display()))
}
