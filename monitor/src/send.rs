//! The device's side on a host: the monitor's state is saved, and what was saved is sealed.

use evenkeel_runtime::monitor::{Full, Monitor, payload};
use evenkeel_runtime::snapshot::{Identity, MessageError, Prover, Stamp, Store, seal};

/// Bytes of a message beside its content: heads, checksum, the longest proof.
const AROUND: usize = 256;

/// Why there is no message.
#[derive(Debug)]
pub enum SendError<E> {
    /// The state could not be saved.
    Save(E),
    /// What was saved could not be sealed.
    Seal(MessageError),
}

/// Saves the monitor's state and seals a snapshot of what was saved. Gives its stamp and the message; the monitor knows
/// from then on that it was saved.
///
/// # Errors
/// Those of the store, and of [`seal`].
pub fn send<S: Store>(
    store: &mut S,
    identity: &Identity,
    key: &impl Prover,
    monitor: &mut Monitor<Full>,
) -> Result<(Stamp, Vec<u8>), SendError<S::Error>> {
    let bytes = monitor.bytes().concat();
    // The content is read from the saved state as words.
    let mut state = vec![0u32; bytes.len() / 4];
    bytemuck::cast_slice_mut::<u32, u8>(&mut state).copy_from_slice(&bytes);
    let durable = store.save(bytemuck::cast_slice(&state)).map_err(SendError::Save)?;
    let mut out = vec![0; payload::longest::<Full>(monitor.cells().len()) + AROUND];
    let len = seal(identity, &durable, key, &mut out, payload::write::<Full>).map_err(SendError::Seal)?.len();
    out.truncate(len);
    monitor.saved(durable.stamp().seq);
    Ok((durable.stamp(), out))
}
