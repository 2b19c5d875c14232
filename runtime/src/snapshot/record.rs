//! The record that all stores keep: a head with a checksum, then the state as it is.

use super::store::Stamp;
use crate::format::crc32_extend;

/// Bytes of the head.
pub const HEAD: usize = 28;
/// The first bytes of every record; the last of them is the version of the layout.
pub const MAGIC: [u8; 4] = *b"EKR\x01";
/// Where the bytes begin that the checksum is over.
pub const CHECKED: usize = 8;

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Checksum over the head from [`CHECKED`] on, and the state.
    pub crc: u32,
    /// Bytes of the state.
    pub len: u32,
    /// Bytes of a slot of the ring that it was written into; 0 in a file.
    pub slot: u32,
    /// When it was saved.
    pub stamp: Stamp,
}

impl Head {
    /// The head of a record of `state`.
    pub fn of(state: &[u8], slot: u32, stamp: Stamp) -> Head {
        let mut head = Head { crc: 0, len: state.len() as u32, slot, stamp };
        head.crc = crc32_extend(head.start(), state);
        head
    }

    /// The checksum of the head alone: what that of the state goes on from.
    pub fn start(&self) -> u32 {
        crc32_extend(0, &self.bytes()[CHECKED..])
    }

    /// As it is stored.
    pub fn bytes(&self) -> [u8; HEAD] {
        let Stamp { incarnation, boot, seq } = self.stamp;
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MAGIC);
        let words = [self.crc, self.len, self.slot, incarnation, boot, seq];
        for (at, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            at.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a head; `None` where no record begins. What it says is to be believed only with its checksum.
    pub fn read(bytes: &[u8]) -> Option<Head> {
        let (magic, rest) = bytes.get(..HEAD)?.split_first_chunk::<4>()?;
        let mut words = rest.chunks_exact(4).map(|w| w.iter().rev().fold(0, |word, &byte| word << 8 | byte as u32));
        let mut next = || words.next().unwrap_or(0);
        let (crc, len, slot) = (next(), next(), next());
        let stamp = Stamp { incarnation: next(), boot: next(), seq: next() };
        (*magic == MAGIC).then_some(Head { crc, len, slot, stamp })
    }
}
