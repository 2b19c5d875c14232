//! What all messages have in common: a head, a body, a checksum, a proof of who made them.

use super::error::MessageError;
use super::keys::{Checker, Prover};
use crate::format::crc32_extend;

/// The first byte of every message.
const MAGIC: u8 = b'K';
/// The second: the version of the layout.
const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEAD: usize = 16;
/// Bytes of the checksum behind the body.
const CRC: usize = 4;

/// What a message is for. It is part of what is proved, so no message passes for one of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// From a device: its state.
    Snapshot = 1,
    /// To a device: its alarm was seen.
    Acknowledgement = 2,
}

/// A message as it arrived: whole, but not proved yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'b> {
    kind: Kind,
    device: u64,
    /// All that the checksum is over.
    checked: &'b [u8],
    /// All that is proved.
    proved: &'b [u8],
    proof: &'b [u8],
    proof_kind: u8,
}

impl<'b> Sealed<'b> {
    /// Checks the form of a message, its length and its checksum.
    ///
    /// # Errors
    /// By name, when it was cut, damaged, or is none.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, MessageError> {
        let len = bytes.len();
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(MessageError::TooShort { len });
        };
        let [magic, version, kind, proof_kind, l0, l1, l2, l3, device @ ..] = *head;
        if magic != MAGIC {
            return Err(MessageError::Foreign);
        }
        if version != VERSION {
            return Err(MessageError::Version(version));
        }
        let kind = match kind {
            1 => Kind::Snapshot,
            2 => Kind::Acknowledgement,
            other => return Err(MessageError::Kind(other)),
        };
        let proof_len = match proof_kind {
            1 => 16,
            2 => 64,
            other => return Err(MessageError::Proof(other)),
        };
        let body = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let stated = body.saturating_add(HEAD + CRC + proof_len);
        let cut = MessageError::Cut { stated, actual: len };
        if stated != len {
            return Err(cut);
        }
        let (_, after) = rest.split_at_checked(body).ok_or(cut)?;
        let (crc, proof) = after.split_first_chunk::<CRC>().ok_or(cut)?;
        let checked = bytes.get(..HEAD + body).ok_or(cut)?;
        let proved = bytes.get(..HEAD + body + CRC).ok_or(cut)?;
        let (stated, actual) = (u32::from_le_bytes(*crc), crc32_extend(0, checked));
        if stated != actual {
            return Err(MessageError::Damaged { stated, actual });
        }
        Ok(Sealed { kind, device: u64::from_le_bytes(device), checked, proved, proof, proof_kind })
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The device that it names, which says whose key proves it. Not proved yet.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// The body of a message of this kind, if it was made with the other half of this key.
    pub(super) fn body(&self, kind: Kind, key: &impl Checker) -> Result<&'b [u8], MessageError> {
        if self.kind != kind {
            return Err(MessageError::Kind(self.kind as u8));
        }
        if key.proof() != self.proof_kind {
            return Err(MessageError::Proof(self.proof_kind));
        }
        if !key.check(kind, self.proved, self.proof) {
            return Err(MessageError::Forged);
        }
        Ok(self.checked.get(HEAD..).unwrap_or(&[]))
    }
}

/// Makes a message at the start of `out`. `body` gets the place for the body, and says how long it is; `None` where the
/// place does not suffice.
pub(super) fn wrap<'o>(
    kind: Kind,
    device: u64,
    key: &impl Prover,
    out: &'o mut [u8],
    body: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Result<&'o [u8], MessageError> {
    let buffer = MessageError::Buffer { given: out.len() };
    let (head, rest) = out.split_first_chunk_mut::<HEAD>().ok_or(buffer)?;
    let len = body(rest).filter(|&len| len <= rest.len()).ok_or(buffer)?;
    let [magic, version, what, proof, l0, l1, l2, l3, id @ ..] = head;
    [*magic, *version, *what, *proof] = [MAGIC, VERSION, kind as u8, key.proof()];
    [*l0, *l1, *l2, *l3] = (len as u32).to_le_bytes();
    *id = device.to_le_bytes();
    let end = HEAD + len;
    let crc = crc32_extend(0, out.get(..end).ok_or(buffer)?);
    let (proved, rest) = out.split_at_mut_checked(end + CRC).ok_or(buffer)?;
    proved.get_mut(end..).ok_or(buffer)?.copy_from_slice(&crc.to_le_bytes());
    let proof = key.prove(kind, proved, rest).ok_or(buffer)?;
    out.get(..end + CRC + proof).ok_or(buffer)
}
