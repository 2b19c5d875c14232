//! A `.keel` as source code for firmware (a Rust crate without std, or a C array with its constants), and as an ONNX
//! file for other int8 runtimes.

mod c;
mod onnx_file;
mod qdq;
mod rust;

use crate::error::{Context, Error, Result};
use crate::files;
use evenkeel_runtime::Model;
use std::path::{Path, PathBuf};

pub use c::to_c;
pub use qdq::to_onnx;
pub use rust::to_rust;

/// One file of an export: its path in the folder, and its bytes.
pub type File = (PathBuf, Vec<u8>);

/// What firmware must know of a model when it is built.
#[derive(Debug)]
pub struct Facts<'m> {
    /// The file's name without its ending.
    pub name: String,
    /// The file.
    pub bytes: &'m [u8],
    /// The checksum that names its version.
    pub crc: u32,
    /// What the weights are packed for.
    pub packing: &'static str,
    /// Bytes of arena.
    pub arena_len: usize,
    /// Height, width, channels.
    pub input_shape: [usize; 3],
    /// Scale and zero point of the input.
    pub input_scale: (f32, i32),
    /// Values of the output; a classifier's classes.
    pub output_len: usize,
    /// Scale and zero point of the output.
    pub output_scale: (f32, i32),
    /// Names of the groups that the monitor watches.
    pub groups: Vec<&'m str>,
}

impl<'m> Facts<'m> {
    /// Reads them from a model; `bytes` are those of the model, and `name` is its file's.
    pub fn new(model: &Model<'m>, bytes: &'m [u8], name: &str) -> Self {
        let (input, output) = (model.input(), model.output());
        let floors = model.monitor().map_or(&[][..], |(_, floors)| floors);
        Facts {
            name: name.to_owned(),
            bytes,
            crc: model.crc(),
            packing: model.packing().name(),
            arena_len: model.arena_len(),
            input_shape: input.shape(),
            input_scale: (input.scale, input.zero),
            output_len: output.elements(),
            output_scale: (output.scale, output.zero),
            groups: floors.iter().map(|f| model.name(f.name)).collect(),
        }
    }

    /// Values of the input.
    pub fn input_len(&self) -> usize {
        self.input_shape.iter().product()
    }

    /// The name as an identifier of both languages: lower-case letters, digits and underscores, a letter first.
    pub fn identifier(&self) -> String {
        let lower = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let name: String = self.name.chars().map(lower).collect();
        let name = name.trim_matches('_');
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name.to_owned() } else { format!("model_{name}") }
    }
}

/// Writes the files into a folder, which is made where there is none. Each file is written whole or not at all.
///
/// # Errors
/// When the folder holds something already and `force` is not set, and when a file cannot be written.
pub fn write(folder: &Path, exported: &[File], force: bool) -> Result<()> {
    let holds = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if holds && !force {
        return Err(Error::new("the folder is not empty")
            .at(folder)
            .help("choose another folder, or add --force to replace the export's files in it"));
    }
    for (path, bytes) in exported {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).context("cannot make the folder").map_err(|e| e.at(parent))?;
        files::write(&path, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
