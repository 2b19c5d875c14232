//! The programs of `examples/`: they give this machine's bytes, and the Rust firmware is small and links no way to panic.

use evenkeel::aligned::AlignedBytes;
use evenkeel_runtime::kernels::Portable;
use evenkeel_runtime::preprocess::quantise_input;
use evenkeel_runtime::{Model, Session};
use object::{Object, ObjectSection, ObjectSymbol};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Largest flash of the Rust firmware without its model, in bytes. It should only ever fall.
const FLASH: usize = 32 * 1024;

/// Windows that the firmwares classify.
const WINDOWS: usize = 4;

/// The folder with the built examples: `EVENKEEL_EXAMPLES`, else as `examples` in a folder above the running test.
/// `None`, and a plain line, where they are not built.
fn built() -> Option<PathBuf> {
    let given = std::env::var_os("EVENKEEL_EXAMPLES").map(PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let above = || program.ancestors().map(|dir| dir.join("examples")).find(|dir| dir.join("classify").is_file());
    let dir = given.or_else(above);
    if dir.is_none() {
        println!("skipped: no examples; build them with `cargo xtask examples`");
    }
    dir
}

/// The raw values that the firmwares make up as their sensor's.
fn values(count: usize, time: usize) -> Vec<f32> {
    (0..count).map(|i| (((i * 37 + time * 11) % 101) as f32 - 50.0) / 16.0).collect()
}

/// The lines that the examples should say, from this machine's portable kernels.
fn expected(dir: &Path) -> Vec<String> {
    let bytes = std::fs::read(dir.join("model.keel")).expect("the model");
    let file = AlignedBytes::new(&bytes);
    let model = Model::from_bytes(file.bytes()).expect("a model");
    let mut arena = vec![0u64; model.arena_len().div_ceil(8)];
    let mut session = Session::<Portable>::with_kernels(&model, bytemuck::cast_slice_mut(&mut arena)).expect("arena");
    let line = |time| {
        quantise_input(&model, &values(model.input().elements(), time), session.input_mut()).expect("the length");
        session.run();
        let output: Vec<_> = session.output().iter().map(i8::to_string).collect();
        format!("class {} output {}", session.classify(), output.join(" "))
    };
    (0..WINDOWS).map(line).collect()
}

/// What a firmware says in the emulator.
fn emulated(elf: &Path) -> Option<Vec<String>> {
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args(["-M", "mps2-an386", "-cpu", "cortex-m4", "-display", "none", "-monitor", "none", "-serial", "none"]);
    qemu.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(elf);
    match said(qemu) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: qemu-system-arm was not found");
            None
        }
        lines => Some(lines.expect("the emulator")),
    }
}

fn said(mut command: Command) -> std::io::Result<Vec<String>> {
    let out = command.output()?;
    let (text, complaint) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {}\n{text}\n{complaint}", out.status);
    // The semihosting console is standard output or standard error, by QEMU's choice.
    Ok(text.lines().chain(complaint.lines()).filter(|l| l.starts_with("class ")).map(str::to_owned).collect())
}

#[test]
fn the_firmwares_give_this_machines_bytes() {
    let Some(dir) = built() else { return };
    for elf in ["c-firmware.elf", "rust-firmware.elf"] {
        let Some(lines) = emulated(&dir.join(elf)) else { return };
        assert_eq!(lines, expected(&dir), "{elf}");
    }
}

#[test]
fn the_host_program_gives_this_machines_bytes() {
    let Some(dir) = built() else { return };
    let bytes = std::fs::read(dir.join("host.keel")).expect("the model");
    let file = AlignedBytes::new(&bytes);
    let model = Model::from_bytes(file.bytes()).expect("a model");
    let raw: Vec<f32> = (0..WINDOWS).flat_map(|time| values(model.input().elements(), time)).collect();
    let input = std::env::temp_dir().join(format!("evenkeel-values-{}.f32", std::process::id()));
    std::fs::write(&input, bytemuck::cast_slice(&raw)).expect("a file");
    let mut classify = Command::new(dir.join("classify"));
    classify.arg(dir.join("host.keel")).arg(&input);
    let lines = said(classify).expect("the program");
    std::fs::remove_file(&input).expect("the file");
    assert_eq!(lines, expected(&dir));
}

#[test]
fn the_rust_firmware_is_small() {
    let Some(dir) = built() else { return };
    let bytes = std::fs::read(dir.join("rust-firmware.elf")).expect("the firmware");
    let elf = object::File::parse(&*bytes).expect("an ELF file");
    let size = |name| elf.section_by_name(name).map_or(0, |s| s.size() as usize);
    let model = std::fs::metadata(dir.join("model.keel")).expect("the model").len() as usize;
    let [table, text, rodata] = [".vector_table", ".text", ".rodata"].map(size);
    let flash = (table + text + rodata).checked_sub(model).expect("the model lies in flash");
    println!("flash without the model: {flash} bytes (.text {text}, .rodata {} without the model)", rodata - model);
    assert!(flash <= FLASH, "{flash} bytes");
}

#[test]
fn the_rust_firmware_links_no_formatting_and_no_way_to_panic() {
    let Some(dir) = built() else { return };
    let bytes = std::fs::read(dir.join("rust-firmware.elf")).expect("the firmware");
    let elf = object::File::parse(&*bytes).expect("an ELF file");
    let names: Vec<_> = elf.symbols().filter_map(|s| s.name().ok()).collect();
    assert!(names.iter().any(|name| name.contains("cortex_m_rt_main")), "the firmware must have its symbols");
    // In mangled names `core::fmt::…` is `…4core3fmt…`, and `core::panicking::…` is `…4core9panicking…`. All panics end
    // in the panic handler, `rust_begin_unwind`, whatever has been inlined on the way.
    for part in ["4core3fmt", "4core9panicking", "rust_begin_unwind"] {
        let found: Vec<_> = names.iter().filter(|name| name.contains(part)).collect();
        assert!(found.is_empty(), "{part} should not be linked:\n{found:#?}");
    }
}
