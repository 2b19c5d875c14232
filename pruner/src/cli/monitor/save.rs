//! Snapshots of a simulated device: saved first, then sealed into files, as on a real one.

use super::super::key;
use evenkeel::error::{Context, Error, Result};
use evenkeel::files;
use evenkeel_monitor::send::{SendError, send};
use evenkeel_runtime::monitor::{Full, Monitor};
use evenkeel_runtime::snapshot::{DeviceKeys, FileStore, FleetKey, Identity};
use std::path::{Path, PathBuf};

/// Reads a fleet's key.
pub(super) fn fleet_key(path: &Path) -> Result<FleetKey> {
    key::read(path).map(FleetKey::new)
}

/// Where a simulated device saves its state and sends its snapshots.
pub(super) struct Saver {
    folder: PathBuf,
    store: FileStore,
    identity: Identity,
    keys: DeviceKeys,
}

impl Saver {
    /// A new device in this folder.
    pub fn new(folder: &Path, key: &FleetKey, identity: Identity) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::new).map_err(|e| e.at(folder))?;
        let path = folder.join(format!("device-{}.state", identity.device));
        let store = FileStore::open(&path, getrandom::u32().context("random numbers")?).map_err(Error::new)?;
        if store.newest().is_some() {
            return Err(Error::new("an earlier simulation saved its state here").at(&path).help("give a new folder"));
        }
        Ok(Saver { folder: folder.to_owned(), store, keys: key.device(identity.device), identity })
    }

    /// Saves the monitor's state, then writes a snapshot of what was saved.
    pub fn save(&mut self, monitor: &mut Monitor<Full>) -> Result<()> {
        let (stamp, message) = send(&mut self.store, &self.identity, &self.keys, monitor).map_err(|e| match e {
            SendError::Save(e) => Error::new(e),
            SendError::Seal(e) => Error::new(format!("cannot seal a snapshot: {e}")),
        })?;
        files::write(&self.folder.join(format!("device-{}-{:06}.eks", self.identity.device, stamp.seq)), &message)
    }
}
