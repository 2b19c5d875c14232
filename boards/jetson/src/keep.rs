//! What stays: the monitor's state in files, and snapshots of it in the outbox. Saved first, then published.

use evenkeel_monitor::send::{SendError, send};
use evenkeel_runtime::monitor::{Full, Monitor};
use evenkeel_runtime::snapshot::{DeviceKeys, FileStore, Identity, Stamp, Store};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Reads the keys of a device.
///
/// # Errors
/// When the file cannot be read, or does not hold 128 hexadecimal digits.
pub fn keys(path: &Path) -> Result<DeviceKeys, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let bytes = hex(text.trim()).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| {
        format!(
            "{}: a device's keys are 128 hexadecimal digits; make them with `evenkeel monitor enrol`",
            path.display()
        )
    })?;
    Ok(DeviceKeys::new(&bytes))
}

/// Bytes from hexadecimal digits.
pub fn hex(digits: &str) -> Option<Vec<u8>> {
    let byte = |i: usize| u8::from_str_radix(digits.get(i..i + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Store and outbox.
pub struct Keeper {
    store: FileStore,
    identity: Identity,
    keys: DeviceKeys,
    outbox: PathBuf,
}

impl Keeper {
    /// Opens the store.
    ///
    /// # Errors
    /// When it is damaged or in use, or the outbox cannot be made.
    pub fn open(path: &Path, outbox: &Path, keys: DeviceKeys, identity: Identity) -> Result<Self, String> {
        fs::create_dir_all(outbox).map_err(|e| format!("{}: {e}", outbox.display()))?;
        let store = FileStore::open(path, random()?).map_err(|e| e.to_string())?;
        Ok(Keeper { store, identity, keys, outbox: outbox.to_owned() })
    }

    /// The state that was saved last, of exactly so many words, and its number; `None` for a new device.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn recover(&mut self, words: usize) -> Result<Option<(Vec<u32>, u32)>, String> {
        // Room for the state of any other model, whose length says that it is another's.
        let mut state = vec![0u32; words.max(1 << 16)];
        let found = self.store.load(bytemuck::cast_slice_mut(&mut state)).map_err(|e| e.to_string())?;
        let Some((len, seq)) = found.map(|r| (r.state.len(), r.stamp.seq)) else { return Ok(None) };
        state.truncate(len / 4);
        Ok(Some((state, seq)))
    }

    /// Counters begin anew: the state of another model is there.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn renew(&mut self) -> Result<(), String> {
        self.store.renew(random()?);
        Ok(())
    }

    /// When the newest state was saved.
    pub fn newest(&self) -> Stamp {
        self.store.newest().unwrap_or_default()
    }

    /// Saves the monitor's state and publishes what was saved. Gives its number.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&mut self, monitor: &mut Monitor<Full>) -> Result<u32, String> {
        let (stamp, message) = send(&mut self.store, &self.identity, &self.keys, monitor).map_err(|e| match e {
            SendError::Save(e) => e.to_string(),
            SendError::Seal(e) => format!("cannot seal a snapshot: {e}"),
        })?;
        let Stamp { incarnation, seq, .. } = stamp;
        let name = format!("{}-{incarnation:08x}-{seq:010}.eks", self.identity.device);
        publish(&self.outbox, &name, &message).map_err(|e| format!("{}: {e}", self.outbox.join(&name).display()))?;
        Ok(seq)
    }
}

/// A file that is there whole or not at all.
fn publish(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let partial = folder.join(format!("{name}.partial"));
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, folder.join(name))
}

fn random() -> Result<u32, String> {
    getrandom::u32().map_err(|e| format!("random numbers: {e}"))
}
