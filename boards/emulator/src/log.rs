//! The firmware's defmt log: the device sends numbers, and the words for them are in its ELF file.

use std::path::Path;

use defmt_decoder::{DecodeError, Table};

use crate::Error;

/// The words of one firmware.
pub struct Decoder {
    table: Table,
}

impl Decoder {
    /// Reads the words from the bytes of the ELF file at `path`.
    ///
    /// # Errors
    /// When they are not there, or are of another version of defmt.
    pub fn new(path: &Path, elf: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Firmware { path: path.into(), reason };
        match Table::parse(elf) {
            Ok(Some(table)) => Ok(Decoder { table }),
            Ok(None) => Err(wrong("it has no defmt section".into())),
            Err(e) => Err(wrong(e.to_string())),
        }
    }

    /// The lines of a log; a frame that was cut off is left out, one that is damaged is said to be.
    pub fn lines(&self, bytes: &[u8]) -> Vec<String> {
        let mut stream = self.table.new_stream_decoder();
        stream.received(bytes);
        let mut lines = Vec::new();
        loop {
            match stream.decode() {
                Ok(frame) => {
                    let message = frame.display_message();
                    lines.push(match frame.level() {
                        Some(level) => format!("{}: {message}", level.as_str()),
                        None => message.to_string(),
                    });
                }
                Err(DecodeError::UnexpectedEof) => return lines,
                Err(DecodeError::Malformed) => {
                    lines.push("(a damaged line)".into());
                    if !self.table.encoding().can_recover() {
                        return lines;
                    }
                }
            }
        }
    }
}
