//! The monitor's promises in simulated worlds, as `docs/monitor.md`.

use crate::sh::{Result, cmd, root, run};

/// Simulates them; fails when one is not kept.
pub fn monitor() -> Result<()> {
    let example = ["run", "--release", "--locked", "-p", "evenkeel-monitor", "--example", "study", "--", "-o"];
    run(cmd("cargo").args(example).arg(root().join("docs/monitor.md")))
}
