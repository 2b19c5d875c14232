//! Python environments in the target folder, with pinned packages.

use crate::sh::{Result, cmd, run, target};
use std::path::{Path, PathBuf};

/// The Python of the environment `name`, with what the file `requirements` pins. Where `all` is false, a package that
/// cannot be installed is left out with a word.
pub fn environment(name: &str, requirements: &Path, all: bool) -> Result<PathBuf> {
    let dir = target().join(name);
    let python = dir.join("bin/python");
    let wanted = std::fs::read_to_string(requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    let stamp = dir.join("installed.txt");
    if python.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) {
        return Ok(python);
    }
    run(cmd("python3").args(["-m", "venv"]).arg(&dir))?;
    let pip = |args: &[&str]| {
        run(cmd(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(args))
    };
    let installed = pip(&["-r", &requirements.to_string_lossy()]);
    if all {
        installed?;
    } else if installed.is_err() {
        for package in wanted.lines().filter(|l| !l.trim().is_empty()) {
            if let Err(e) = pip(&[package]) {
                eprintln!("without {package}: {e}");
            }
        }
    }
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}
