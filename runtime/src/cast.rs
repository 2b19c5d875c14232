//! Mapped model files (feature `map`): the bytes stay on disk until they are used, and are shared by processes.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// A file of the model, mapped read-only.
///
/// Files are replaced by renaming a finished one over them, never rewritten in place: all of this
/// project's tools do so, and who changes a mapped file's bytes or cuts it breaks the programs that read it.
#[derive(Debug)]
pub struct MappedFile {
    map: memmap2::Mmap,
}

impl MappedFile {
    /// Maps the whole file.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped, or is empty.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() == 0 {
            let what = if meta.is_file() { "the file is empty" } else { "it is not a file" };
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        // SAFETY: the map is private to this process and read-only. The one thing that the compiler cannot
        // see is another process that writes to or truncates the same file in the meantime: the bytes of
        // a verified model could then change (wrong results, index panics) or vanish (SIGBUS). Model files
        // are replaced by rename, which leaves the mapped file as it was; see the type's documentation.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(MappedFile { map })
    }

    /// The bytes; they start at a page.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}
