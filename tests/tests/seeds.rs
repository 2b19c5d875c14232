//! The seeds of the fuzz targets are still what they were made as: good input, so that fuzzing begins behind the
//! first checks. When a format changes: `cargo run -p evenkeel-tests --example fuzz_seeds`.

use evenkeel::contract::Contract;
use evenkeel::error::{Context, Result};
use evenkeel::{data, onnx};
use evenkeel_tests::host;
use std::path::Path;

/// Bytes of every seed of a target, with its name.
fn seeds(target: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).at(&folder)?;
    let read = |path: &Path| Ok((path.display().to_string(), std::fs::read(path).at(path)?));
    let seeds: Vec<_> = entries.flatten().map(|e| read(&e.path())).collect::<Result<_>>()?;
    assert!(!seeds.is_empty());
    Ok(seeds)
}

#[test]
fn seeds_are_good_input() -> Result<()> {
    for (name, bytes) in seeds("contract")? {
        Contract::parse(&String::from_utf8_lossy(&bytes)).context(name)?;
    }
    for (name, bytes) in seeds("onnx")? {
        onnx::from_bytes("seed", &bytes).context(name)?;
    }
    for (name, bytes) in seeds("keel")? {
        // No inputs: the file is only verified.
        assert!(host(&bytes[1..], &[]).context(name)?.is_empty());
    }
    let (mut sets, mut arrays) = (0, 0);
    for (_, bytes) in seeds("npz")? {
        match (bytes[0], data::load_bytes(&bytes[1..])) {
            (0, Ok(_)) => sets += 1,
            (0, Err(_)) => arrays += usize::from(data::array_from_bytes(&bytes[1..], None).is_ok()),
            _ => {}
        }
    }
    // Of the arrays, some are of text, which is only for columns.
    assert!(sets >= 2 && arrays >= 2, "{sets} sets, {arrays} arrays");
    Ok(())
}
