//! The files that the peers run, as `benches/peers/prepare.py` writes them.

use super::DTYPES;
use crate::sh::{Result, cmd, output, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What was written for a network and a dtype: paths, sizes, the input, and where the output is largest.
pub type Files = BTreeMap<(&'static str, &'static str), Value>;

/// Writes the files of all networks into `dir`.
pub fn prepare(python: &Path, shared: &Path, dir: &Path) -> Result<Files> {
    let script = root().join("benches/peers/prepare.py");
    let text = output(cmd(python).arg(script).arg(shared).arg(dir))
        .map_err(|e| format!("{e}; the peers' files need the Python packages of benches/peers/requirements.txt"))?;
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).map_err(|e| format!("benches/peers/prepare.py: {e}: {l}")))
        .collect::<Result<_>>()?;
    let mut files = Files::new();
    for network in crate::networks::all() {
        for dtype in DTYPES {
            let line = lines.iter().find(|l| l["network"] == network && l["dtype"] == *dtype);
            files.extend(line.map(|l| ((network, *dtype), l.clone())));
        }
    }
    Ok(files)
}
