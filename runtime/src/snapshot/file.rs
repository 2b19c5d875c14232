//! A store in files, for systems that have them (feature `std`): the newest record and the one before, in turn.
//!
//! A record is written into a temporary file and brought to the disk, which then takes the place of the older of two
//! files; and that is brought to the disk, too. So at any moment one of the two is whole. Damage cannot come from a
//! power cut, then, and is an error: going back to the older record, or starting again, is for a person to decide, since
//! others know the newer one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::vec::Vec;
use std::{format, fs};

use core::fmt;

use super::record::{HEAD, Head};
use super::store::{Durable, Recovered, Stamp, Store};

/// Why a [`FileStore`] cannot open, load or save.
#[derive(Debug)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: FileFault,
}

/// What is wrong with a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileFault {
    /// The system's own error.
    Io(io::Error),
    /// Another process has it.
    InUse,
    /// It is not as it was written.
    Damaged(&'static str),
    /// There are records after it, or before it, but not this one.
    Missing,
    /// The buffer is shorter than the state.
    Buffer {
        /// Bytes of the state.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The state has 2^32 bytes or more.
    TooLong,
    /// The numbers of records are used up.
    SeqSpent,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AGAIN: &str = "put back what was there, or, to start again under a new incarnation, remove this file and \
                             the other of the two (they end in .0 and .1)";
        write!(f, "{}: ", self.path.display())?;
        match &self.fault {
            FileFault::Io(e) => write!(f, "{e}"),
            FileFault::InUse => f.write_str("another process keeps its state here: end it, or give another path"),
            FileFault::Damaged(fault) => write!(f, "the record is damaged ({fault}): {AGAIN}"),
            FileFault::Missing => write!(f, "the record is missing: {AGAIN}"),
            FileFault::Buffer { needed, given } => {
                write!(f, "the state has {needed} bytes and the buffer {given}: give a longer one")
            }
            FileFault::TooLong => f.write_str("a state must have fewer than 2^32 bytes"),
            FileFault::SeqSpent => {
                f.write_str("the numbers of records are used up: remove the files and start another incarnation")
            }
        }
    }
}

impl core::error::Error for FileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.fault {
            FileFault::Io(e) => Some(e),
            _ => None,
        }
    }
}

/// State in two files beside each other.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// Locked as long as the store lives; the system unlocks it when the process ends, however it ends.
    _lock: File,
    newest: Option<(Stamp, Vec<u8>)>,
    incarnation: u32,
    boot: u32,
}

impl FileStore {
    /// Opens `path.0` and `path.1`; where there are none, records will be of `incarnation`, which should be random. Two
    /// more files, `path.new` and `path.lock`, come and stay.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged or missing, or another process has opened the store. Each names its file.
    pub fn open(path: &Path, incarnation: u32) -> Result<Self, FileError> {
        let path = path.to_path_buf();
        let lock_path = with(&path, "lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|e| io_error(&lock_path, e))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => FileError { path: lock_path.clone(), fault: FileFault::InUse },
            TryLockError::Error(e) => io_error(&lock_path, e),
        })?;
        let mut records = [read(&path, 0)?, read(&path, 1)?];
        let seq = |record: &Option<(Stamp, Vec<u8>)>| record.as_ref().map(|(stamp, _)| stamp.seq);
        let seqs = [seq(&records[0]), seq(&records[1])];
        let (older, newer) = if seqs[0] > seqs[1] { (1, 0) } else { (0, 1) };
        match (seqs[older], seqs[newer]) {
            (None, None | Some(1)) => {}
            (Some(older), Some(newer)) if newer == older + 1 => {}
            _ => return Err(FileError { path: slot(&path, older as u32), fault: FileFault::Missing }),
        }
        let newest = records[newer].take();
        let stamp = newest.as_ref().map_or(Stamp { incarnation, boot: 0, seq: 0 }, |(stamp, _)| *stamp);
        let boot = stamp.boot.saturating_add(1);
        Ok(FileStore { path, _lock: lock, newest, incarnation: stamp.incarnation, boot })
    }

    /// When the newest record was saved; `None` where there is none.
    pub fn newest(&self) -> Option<Stamp> {
        self.newest.as_ref().map(|(stamp, _)| *stamp)
    }

    fn error(&self, fault: FileFault) -> FileError {
        FileError { path: self.path.clone(), fault }
    }
}

impl Store for FileStore {
    type Error = FileError;

    fn load<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Recovered<'b>>, FileError> {
        let Some((stamp, state)) = &self.newest else { return Ok(None) };
        let (needed, given) = (state.len(), buffer.len());
        let place = buffer.get_mut(..needed).ok_or_else(|| self.error(FileFault::Buffer { needed, given }))?;
        place.copy_from_slice(state);
        Ok(Some(Recovered { stamp: *stamp, state: place }))
    }

    fn save<'s>(&mut self, state: &'s [u8]) -> Result<Durable<'s>, FileError> {
        if u32::try_from(state.len()).is_err() {
            return Err(self.error(FileFault::TooLong));
        }
        let last = self.newest().map_or(0, |stamp| stamp.seq);
        let seq = last.checked_add(1).ok_or_else(|| self.error(FileFault::SeqSpent))?;
        let stamp = Stamp { incarnation: self.incarnation, boot: self.boot, seq };
        let new = with(&self.path, "new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&Head::of(state, 0, stamp).bytes())?;
            file.write_all(state)?;
            file.sync_all()
        };
        write().map_err(|e| io_error(&new, e))?;
        let place = slot(&self.path, seq);
        fs::rename(&new, &place).map_err(|e| io_error(&place, e))?;
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| io_error(folder, e))?;
        self.newest = Some((stamp, state.to_vec()));
        Ok(Durable::new(stamp, state))
    }

    fn renew(&mut self, incarnation: u32) {
        self.incarnation = incarnation;
    }
}

/// `path` with an ending more.
fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{ending}"));
    name.into()
}

/// The file of a record: those with even and odd numbers take turns.
fn slot(path: &Path, seq: u32) -> PathBuf {
    with(path, if seq.is_multiple_of(2) { "0" } else { "1" })
}

fn io_error(path: &Path, e: io::Error) -> FileError {
    FileError { path: path.to_path_buf(), fault: FileFault::Io(e) }
}

/// The record in the file of even or odd numbers.
fn read(path: &Path, parity: u32) -> Result<Option<(Stamp, Vec<u8>)>, FileError> {
    let path = slot(path, parity);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(&path, e)),
    };
    let damaged = |fault| FileError { path: path.clone(), fault: FileFault::Damaged(fault) };
    let head = Head::read(&bytes).ok_or_else(|| damaged("it does not begin as a record does"))?;
    let state = &bytes[HEAD..];
    if state.len() != head.len as usize {
        return Err(damaged("its length is not the one it states"));
    }
    if head != Head::of(state, 0, head.stamp) {
        return Err(damaged("its checksum is wrong"));
    }
    if head.stamp.seq % 2 != parity || head.stamp.seq == 0 {
        return Err(damaged("it belongs into the other file"));
    }
    Ok(Some((head.stamp, state.to_vec())))
}
