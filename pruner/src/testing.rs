//! What tests of several modules share.

use std::path::{Path, PathBuf};

/// The folder of shared data and networks: `EVENKEEL_DATA`, else `../shared` beside the project. Says so where there
/// is none, so that a test can return.
pub(crate) fn shared_dir() -> Option<PathBuf> {
    let near = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let dir = std::env::var_os("EVENKEEL_DATA").map_or(near, PathBuf::from);
    let found = dir.is_dir();
    if !found {
        println!("skipped: no shared data");
    }
    found.then_some(dir)
}
