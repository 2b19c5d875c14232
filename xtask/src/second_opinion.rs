//! A second opinion in f32: the networks of ../shared through burn-candle.

use crate::sh::{Result, cmd, root, run, shared};

/// Builds and runs `benches/burn-candle`.
pub fn second_opinion() -> Result<()> {
    let shared = shared().ok_or("the models in ../shared (or EVENKEEL_DATA) are not there")?;
    let mut c = cmd("cargo");
    c.current_dir(root().join("benches/burn-candle")).args(["run", "--release", "--locked", "--"]).arg(shared);
    run(&mut c)
}
