//! Snapshots of a simulated device: saved first, then sealed into files, as on a real one.

use super::super::key;
use evenkeel::error::{Context, Error, Result};
use evenkeel::files;
use evenkeel_runtime::monitor::{Full, Monitor, payload};
use evenkeel_runtime::snapshot::{DeviceKeys, FileStore, FleetKey, Identity, Store, seal};
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

    /// Saves the monitor's state, then seals a snapshot of what was saved.
    pub fn save(&mut self, monitor: &mut Monitor<Full>) -> Result<()> {
        let state = monitor.bytes();
        let bytes: Vec<u8> = state.concat();
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        let durable = self.store.save(bytemuck::cast_slice(&words)).map_err(Error::new)?;
        let seq = durable.stamp().seq;
        let mut out = vec![0; payload::longest::<Full>(monitor.cells().len()) + 256];
        let message = seal(&self.identity, &durable, &self.keys, &mut out, payload::write::<Full>);
        let message = message.map_err(|e| Error::new(format!("cannot seal a snapshot: {e}")))?;
        files::write(&self.folder.join(format!("device-{}-{seq:06}.eks", self.identity.device)), message)?;
        monitor.saved(seq);
        Ok(())
    }
}
