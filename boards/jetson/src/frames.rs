//! What comes in: frames, labels, acknowledgements; from a folder or from standard input.

use serde::Deserialize;
use std::fs;
use std::io::{BufRead, stdin};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// One line. With `x` or `file` it is a frame; without, a label for an earlier one, or an acknowledgement.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Line {
    /// What a later label refers to; frames of an episode share that of the episode.
    pub id: Option<String>,
    /// The raw values, in the order of the training data.
    pub x: Option<Vec<f32>>,
    /// Or a file of them: f32, little endian.
    pub file: Option<PathBuf>,
    /// The group, as the contract names it, e.g. `gender=female`; absent where nobody knows.
    pub group: Option<String>,
    /// Frames in a row with the same episode are one event.
    pub episode: Option<String>,
    /// The true class.
    pub label: Option<u16>,
    /// Where the label came from: `reference` (if absent), `user`, `outcome`, `complaint`.
    pub source: Option<String>,
    /// A sealed acknowledgement of alarms, in hexadecimal digits.
    pub acknowledge: Option<String>,
}

impl Line {
    /// The raw values of a frame.
    ///
    /// # Errors
    /// When the file cannot be read or is not one of f32.
    pub fn values(&mut self) -> Result<Option<Vec<f32>>, String> {
        let Some(path) = &self.file else { return Ok(self.x.take()) };
        let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(format!("{}: {} bytes are no whole number of f32", path.display(), bytes.len()));
        }
        Ok(Some(values.iter().map(|v| f32::from_le_bytes(*v)).collect()))
    }
}

/// A line, or why it is none.
pub type Read = Result<Line, String>;

/// Lines of standard input, read ahead by a few at most.
pub fn from_stdin() -> Receiver<Read> {
    let (to, lines) = sync_channel(16);
    thread::spawn(move || {
        for line in stdin().lock().lines() {
            let line = match line {
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => serde_json::from_str(&text).map_err(|e| format!("not a line of this service: {e}")),
                Err(e) => Err(format!("standard input: {e}")),
            };
            if crate::STOP.load(Ordering::Relaxed) || to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The frames of a folder, by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn from_folder(folder: &Path) -> Result<Receiver<Read>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "f32"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{}: there is no frame NAME.f32 in it", folder.display()));
    }
    let (to, lines) = sync_channel(16);
    // Ends with the paths, or when nobody takes frames any more.
    thread::spawn(move || paths.into_iter().all(|path| to.send(frame(path)).is_ok()));
    Ok(lines)
}

fn frame(path: PathBuf) -> Read {
    let beside = path.with_extension("json");
    let mut line = match fs::read(&beside) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", beside.display()))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Line::default(),
        Err(e) => return Err(format!("{}: {e}", beside.display())),
    };
    line.id = line.id.or_else(|| Some(path.file_stem()?.to_string_lossy().into_owned()));
    line.file = Some(path);
    Ok(line)
}
