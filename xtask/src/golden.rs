//! Makes the golden values of the fairness metrics anew.

use crate::python;
use crate::sh::{Result, cmd, root, run};

/// Runs `tests/golden/make.py` with the packages that it compares with.
pub fn golden() -> Result<()> {
    let dir = root().join("tests/golden");
    let python = python::environment("golden-venv", &dir.join("requirements.txt"), true)?;
    run(cmd(python).arg(dir.join("make.py")).arg(dir.join("fairness.json")))
}
