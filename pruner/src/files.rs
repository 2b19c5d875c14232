//! Writing files: whole or not at all.

use crate::error::{Context, Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes `bytes` to a temporary file beside `path`, syncs it, and renames it: whoever looks sees the old file or the
/// new one, never half of one. Permissions are what the user's umask allows.
///
/// # Errors
/// Names the file, and says what to check.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    let put = || -> std::io::Result<()> {
        // Devices and pipes are written to, not replaced.
        if std::fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            return std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
        }
        let mut builder = tempfile::Builder::new();
        // Temporary files are private unless told otherwise.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    put()
        .context("cannot write the file")
        .map_err(|e| e.at(path).help("check that its folder exists, is writable and has space left"))
}

/// Finds out before long work whether there is a folder to write `path` into, and no folder of its name.
///
/// # Errors
/// Names the file.
pub fn check_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::new("cannot be written: it is a folder").at(path).help("name a file in it"));
    }
    if folder_of(path).is_dir() {
        return Ok(());
    }
    Err(Error::new("cannot be written: there is no such folder").at(path).help("check the path, or make the folder"))
}

/// Refuses to write over a file that is read: the network that somebody trained, the data, a key.
///
/// # Errors
/// Names the file.
pub fn keep(inputs: &[&Path], output: &Path) -> Result<()> {
    // Links and other spellings of a path lead to one file.
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    if inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == place)) {
        return Err(Error::new("is an input, and would be lost").at(output).help("choose another name for the output"));
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.keel");
        write(&path, b"a longer first version").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let plain = dir.path().join("plain");
            std::fs::write(&plain, b"").unwrap();
            let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
            assert_eq!(mode(&path), mode(&plain), "as the umask has it");
        }
    }

    #[test]
    fn inputs_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (input, other) = (dir.path().join("model.onnx"), dir.path().join("model.keel"));
        assert!(keep(&[&input], &input).is_ok(), "there is none");
        write(&input, b"x").unwrap();
        let spelled = dir.path().join(".").join("model.onnx");
        assert!(keep(&[&other, &spelled], &input).unwrap_err().to_string().contains("model.onnx"));
        assert!(keep(&[&input], &other).is_ok());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let e = write(&dir.path().join("no/model.keel"), b"x").unwrap_err().to_string();
        assert!(e.contains("no/model.keel") && e.contains("folder"), "{e}");
        assert!(check_folder(&dir.path().join("no/model.keel")).unwrap_err().to_string().contains("no/model.keel"));
        assert!(check_folder(&dir.path().join("model.keel")).is_ok() && check_folder(Path::new("model.keel")).is_ok());
        // A folder in the place of the file: the temporary file goes away again.
        assert!(write(dir.path(), b"x").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
