//! A crate without std that holds the file, its constants, and the way to run it.

use super::{Facts, File};
use std::path::Path;

/// `Cargo.toml`, `src/lib.rs`, the file and a README. The crate depends on the runtime, which is in the folder
/// `runtime`, or by its version where that is `None`.
pub fn to_rust(facts: &Facts, runtime: Option<&Path>) -> Vec<File> {
    vec![
        ("Cargo.toml".into(), manifest(facts, runtime).into_bytes()),
        ("src/lib.rs".into(), library(facts).into_bytes()),
        (format!("{}.keel", facts.identifier()).into(), facts.bytes.to_vec()),
        ("README.md".into(), readme(facts).into_bytes()),
    ]
}

fn manifest(facts: &Facts, runtime: Option<&Path>) -> String {
    let runtime = match runtime {
        Some(path) => format!("{{ path = {} }}", toml::Value::String(path.display().to_string())),
        None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    };
    format!(
        "[package]\nname = \"{}\"\ndescription = \"A model for firmware, written by evenkeel export\"\n\
         version = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n[dependencies]\nevenkeel-runtime = {runtime}\n",
        facts.identifier()
    )
}

fn library(facts: &Facts) -> String {
    let [h, w, c] = facts.input_shape;
    let ((scale, zero), (out_scale, out_zero)) = (facts.input_scale, facts.output_scale);
    format!(
        r#"//! `{file}.keel` for firmware: {len} bytes, checksum {crc:08x}, packed for {packing}. Written by `evenkeel export`.
#![no_std]

use evenkeel_runtime::kernels::Kernels;
use evenkeel_runtime::preprocess::quantise_input;
use evenkeel_runtime::{{Aligned, Error, Model, Session}};

/// The file. It lies in flash, at a multiple of 16.
pub static MODEL: &Aligned<[u8; {len}]> = &Aligned(*include_bytes!("../{name}.keel"));
/// Bytes of arena that a session needs: `static mut ARENA: evenkeel_runtime::Arena<ARENA_LEN>`.
pub const ARENA_LEN: usize = {arena};
/// Height, width, channels.
pub const INPUT_SHAPE: [usize; 3] = [{h}, {w}, {c}];
/// Values of the input.
pub const INPUT_LEN: usize = {input_len};
/// Scale of the input: `real = scale * (q - zero)`.
pub const INPUT_SCALE: f32 = {scale:?};
/// Zero point of the input.
pub const INPUT_ZERO: i32 = {zero};
/// Values of the output; a classifier has one per class.
pub const OUTPUT_LEN: usize = {output};
/// Scale of the output.
pub const OUTPUT_SCALE: f32 = {out_scale:?};
/// Zero point of the output.
pub const OUTPUT_ZERO: i32 = {out_zero};
/// Groups that the monitor watches, by their index.
pub const GROUPS: [&str; {group_count}] = {groups:?};

/// Verifies the file, once.
///
/// # Errors
/// When the bytes in flash are not those that were written.
pub fn model() -> Result<Model<'static>, Error> {{
    Model::from_bytes(&MODEL.0)
}}

/// The class of raw values, in the order channels × height × width; the model brings their normalisation.
///
/// # Errors
/// When the session is another model's.
pub fn classify<K: Kernels>(session: &mut Session<K>, values: &[f32; INPUT_LEN]) -> Result<usize, Error> {{
    quantise_input(session.model(), values, session.input_mut())?;
    session.run();
    Ok(session.classify())
}}
"#,
        file = facts.name,
        name = facts.identifier(),
        len = facts.bytes.len(),
        crc = facts.crc,
        packing = facts.packing,
        arena = facts.arena_len,
        input_len = facts.input_len(),
        output = facts.output_len,
        group_count = facts.groups.len(),
        groups = facts.groups,
    )
}

fn readme(facts: &Facts) -> String {
    let name = facts.identifier();
    format!(
        "# {file}

`{file}.keel` as a crate without std: {len} bytes of flash, {arena} bytes of RAM, packed for {packing}.

```rust
let model = {name}::model()?; // once
let mut session = Session::new(&model, &mut arena.0)?; // arena: evenkeel_runtime::Arena<{{ {name}::ARENA_LEN }}>
let class = {name}::classify(&mut session, &values)?;
```

The crate depends on `evenkeel-runtime`. Where the registry has none, say in your workspace's `Cargo.toml` where it is:

```toml
[patch.crates-io]
evenkeel-runtime = {{ path = \"evenkeel/runtime\" }}
```
",
        file = facts.name,
        len = facts.bytes.len(),
        arena = facts.arena_len,
        packing = facts.packing,
    )
}
