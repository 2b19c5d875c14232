//! Makes `evenkeel.h` of the crate: `cargo run -p evenkeel-c --example header`, or `cargo xtask header`.

use std::path::{Path, PathBuf};

/// Where the header lies.
pub fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("evenkeel.h")
}

/// The header as the source has it now.
pub fn header() -> Result<String, Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml"))?;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for module in ["status", "model", "session", "monitor", "text"] {
        builder = builder.with_src(here.join("src").join(module).with_extension("rs"));
    }
    let mut text = Vec::new();
    builder.generate()?.write(&mut text);
    Ok(String::from_utf8(text)?)
}

#[allow(dead_code, reason = "the test of the header takes the other functions")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::fs::write(place(), header()?)?;
    println!("{}", place().display());
    Ok(())
}
