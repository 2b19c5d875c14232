//! The two messages: a snapshot of a device, and the acknowledgement of its alarms.

use super::envelope::{Kind, Sealed, wrap};
use super::error::MessageError;
use super::keys::{Checker, Prover};
use super::store::{Durable, Stamp};

/// Bytes of a snapshot's body before the payload.
const STAMPED: usize = 20;

/// Who speaks, and about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number of the device.
    pub device: u64,
    /// A hash of the model file that it runs.
    pub model: u32,
    /// A hash of the configuration of its monitor.
    pub config: u32,
}

/// A snapshot that was proved to be from the device that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot<'b> {
    /// Who speaks.
    pub identity: Identity,
    /// When the state was saved.
    pub stamp: Stamp,
    /// What the monitor says.
    pub payload: &'b [u8],
}

/// Makes a snapshot of a durable state at the start of `out`.
///
/// `payload` is given that state and the place for the payload, writes it, and says how many bytes it has; `None` where
/// the place does not suffice. [`verbatim`] sends the state as it is. It should look at nothing else than the state: what
/// is not in it is not durable.
///
/// # Errors
/// When `out` is too short.
pub fn seal<'o>(
    identity: &Identity,
    durable: &Durable,
    key: &impl Prover,
    out: &'o mut [u8],
    payload: impl FnOnce(&[u8], &mut [u8]) -> Option<usize>,
) -> Result<&'o [u8], MessageError> {
    let Stamp { incarnation, boot, seq } = durable.stamp();
    let words = [incarnation, boot, seq, identity.model, identity.config];
    wrap(Kind::Snapshot, identity.device, key, out, |body| {
        let (head, rest) = body.split_first_chunk_mut::<STAMPED>()?;
        put(head, &words);
        Some(STAMPED + payload(durable.state(), rest)?)
    })
}

/// For [`seal`]: the state as it is.
pub fn verbatim(state: &[u8], place: &mut [u8]) -> Option<usize> {
    place.get_mut(..state.len())?.copy_from_slice(state);
    Some(state.len())
}

impl<'b> Snapshot<'b> {
    /// The snapshot in a message.
    ///
    /// # Errors
    /// When it is none, or was not made with the other half of `key`, which must be that of [`Sealed::device`].
    pub fn open(sealed: &Sealed<'b>, key: &impl Checker) -> Result<Self, MessageError> {
        let body = sealed.body(Kind::Snapshot, key)?;
        let ([incarnation, boot, seq, model, config], payload) =
            take(body).ok_or(MessageError::TooShort { len: body.len() })?;
        let identity = Identity { device: sealed.device(), model, config };
        Ok(Snapshot { identity, stamp: Stamp { incarnation, boot, seq }, payload })
    }
}

/// Somebody has seen the alarms in a device's snapshot: those that were in it may ring no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The number of the device.
    pub device: u64,
    /// The life of its counters that the snapshot is of.
    pub incarnation: u32,
    /// The number of the snapshot.
    pub seq: u32,
}

impl Acknowledgement {
    /// Makes the message at the start of `out`.
    ///
    /// # Errors
    /// When `out` is too short.
    pub fn seal<'o>(&self, key: &impl Prover, out: &'o mut [u8]) -> Result<&'o [u8], MessageError> {
        wrap(Kind::Acknowledgement, self.device, key, out, |body| {
            put(body.first_chunk_mut::<8>()?, &[self.incarnation, self.seq]);
            Some(8)
        })
    }

    /// The acknowledgement in a message.
    ///
    /// # Errors
    /// When it is none, or was not made with the other half of `key`.
    pub fn open(sealed: &Sealed, key: &impl Checker) -> Result<Self, MessageError> {
        let body = sealed.body(Kind::Acknowledgement, key)?;
        match take(body) {
            Some(([incarnation, seq], [])) => Ok(Acknowledgement { device: sealed.device(), incarnation, seq }),
            _ => Err(MessageError::TooShort { len: body.len() }),
        }
    }

    /// Is it for this device, as it is now, and news? `newest` is when the newest snapshot was saved, `acknowledged` the
    /// number of the last acknowledgement that was followed (0 for none), which is part of the state.
    ///
    /// Then every alarm whose first snapshot has a number up to [`Acknowledgement::seq`] may be cleared. An alarm that
    /// rings later has a larger one, so no acknowledgement clears an alarm that nobody has seen.
    ///
    /// # Errors
    /// By name, when it is for another device or another life of the counters, was followed already, or is of a snapshot
    /// that was not made yet.
    pub fn check(&self, device: u64, newest: Stamp, acknowledged: u32) -> Result<(), MessageError> {
        let seq = self.seq;
        if self.device != device {
            return Err(MessageError::OtherDevice(self.device));
        }
        if self.incarnation != newest.incarnation {
            return Err(MessageError::OtherIncarnation(self.incarnation));
        }
        if seq <= acknowledged {
            return Err(MessageError::Replayed { seq, acknowledged });
        }
        if seq > newest.seq {
            return Err(MessageError::NotSent { seq, newest: newest.seq });
        }
        Ok(())
    }
}

/// Writes words, little endian.
fn put(bytes: &mut [u8], words: &[u32]) {
    for (at, word) in bytes.chunks_exact_mut(4).zip(words) {
        at.copy_from_slice(&word.to_le_bytes());
    }
}

/// The words at the start of `bytes`, and the rest.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u32; N], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4 * N)?;
    let mut words = [0; N];
    for (word, at) in words.iter_mut().zip(head.chunks_exact(4)) {
        *word = at.iter().rev().fold(0, |word, &byte| word << 8 | byte as u32);
    }
    Some((words, rest))
}
