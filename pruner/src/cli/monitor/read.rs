//! Snapshots from files: `.eks`, one message or several in a row, or folders of them.

use super::super::key;
use super::save::fleet_key;
use clap::Args;
use evenkeel::chain;
use evenkeel::error::{Context, Error, Result};
use evenkeel_monitor::message::{self, Keys, ReadError, Received};
use evenkeel_monitor::snapshot::Snapshot;
use evenkeel_monitor::terms::Terms;
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::snapshot::VerifyingKey;
use std::path::{Path, PathBuf};

/// Extension of files with snapshots.
const EXTENSION: &str = "eks";

/// Which snapshots.
#[derive(Args)]
pub struct Inputs {
    /// Files with snapshots (.eks), or folders of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// File with the fleet's key, 64 hexadecimal digits; without a key nothing is verified
    #[arg(long)]
    pub key: Option<PathBuf>,
    /// Instead, files with the public keys of devices that sign (`evenkeel keygen`)
    #[arg(long, conflicts_with = "key")]
    pub public_key: Vec<PathBuf>,
}

/// One message of a file.
pub struct Message {
    /// The file.
    pub path: PathBuf,
    /// The snapshot, or why it is none.
    pub read: Result<Received, ReadError>,
}

impl Inputs {
    /// Whether there is anything to verify with.
    pub fn verifies(&self) -> bool {
        self.key.is_some() || !self.public_key.is_empty()
    }

    fn keys(&self) -> Result<Keys> {
        Ok(match &self.key {
            Some(path) => Keys::Fleet(fleet_key(path)?),
            None if self.public_key.is_empty() => Keys::Unchecked,
            None => {
                let keys = self.public_key.iter().map(|path| key::read(path).map(VerifyingKey::new));
                Keys::Public(keys.collect::<Result<_>>()?)
            }
        })
    }

    /// Every message of every file, in the order of the names.
    pub fn read(&self) -> Result<Vec<Message>> {
        let keys = self.keys()?;
        let mut paths = Vec::new();
        for path in &self.files {
            let found = if path.is_dir() { folder(path)? } else { vec![path.clone()] };
            if found.is_empty() {
                return Err(Error::new("the folder holds no .eks file").at(path));
            }
            paths.extend(found);
        }
        let mut messages = Vec::new();
        for path in paths {
            let bytes = std::fs::read(&path).at(&path)?;
            let pieces = message::split(&bytes);
            if pieces.is_empty() {
                return Err(Error::new("the file is empty").at(&path));
            }
            messages.extend(pieces.into_iter().map(|p| Message { path: path.clone(), read: message::open(p, &keys) }));
        }
        Ok(messages)
    }

    /// The snapshots that can be read. What cannot is said on the error output, and that nothing was verified.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        if !self.verifies() {
            eprintln!("not verified: give the fleet's key with --key");
        }
        let mut snapshots = Vec::new();
        for m in self.read()? {
            match m.read {
                Ok(received) => snapshots.push(received.snapshot),
                Err(e) => eprintln!("{}: refused: {e}", m.path.display()),
            }
        }
        if snapshots.is_empty() {
            return Err(Error::new("no snapshot can be read").help("see `evenkeel monitor decode`"));
        }
        Ok(snapshots)
    }
}

/// Every file with snapshots in a folder and the folders in it.
fn folder(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).at(path)? {
        let entry = entry.at(path)?;
        let file = entry.path();
        // Links are not followed, so none leads in a circle.
        if entry.file_type().at(&file)?.is_dir() {
            found.extend(folder(&file)?);
        } else if file.extension().is_some_and(|e| e == EXTENSION) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// The terms in a .keel file.
pub fn terms(path: &Path) -> Result<Terms> {
    let file = MappedFile::open(path).at(path)?;
    let model = chain::open(file.bytes(), path)?;
    Terms::of(&model).at(path)?.ok_or_else(|| {
        Error::new("the file configures no monitor")
            .at(path)
            .help("make it with `evenkeel prune` under a contract on accuracy")
    })
}
