//! Key files: bytes as hexadecimal digits in a line of text, 64 of them for keys of signatures and of fleets.

use evenkeel::error::{Context, Error, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Reads a key, secret or public.
pub fn read(path: &Path) -> Result<[u8; 32]> {
    let text = std::fs::read_to_string(path).at(path)?;
    parse(text.trim()).ok_or_else(|| {
        Error::new("is not a key: it must hold 64 hexadecimal digits").at(path).help("make one with `evenkeel keygen`")
    })
}

/// Writes a key to a file that does not exist yet; a secret one is for the user alone.
pub fn write_new(path: &Path, key: &[u8], secret: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options
        .open(path)
        .context("cannot write a new key")
        .map_err(|e| e.at(path).help("a key is never overwritten: choose another name, or move the old key away"))?;
    writeln!(file, "{}", hex(key)).and_then(|()| file.sync_all()).at(path)
}

/// A key as text.
pub fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<[u8; 32]> {
    // Signs, which numbers may have, are no digits.
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_are_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = std::array::from_fn(|i| i as u8 * 7 + 3);
        write_new(&path, &key, true).unwrap();
        assert_eq!(read(&path).unwrap(), key);
        assert!(write_new(&path, &[0; 32], true).unwrap_err().to_string().contains("never overwritten"));
        assert_eq!(read(&path).unwrap(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        }
        for text in ["", "12", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            std::fs::write(&path, text).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains("64 hexadecimal digits"), "{text}");
        }
    }
}
