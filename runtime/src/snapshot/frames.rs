//! Messages cut into frames for links that lose bytes: serial lines, radio.
//!
//! A frame is a head, a piece of the message and a checksum, stuffed by COBS (Cheshire and Baker, *Consistent Overhead
//! Byte Stuffing*, 1999) so that a zero byte stands at its end alone. A receiver that has lost its place waits for the
//! next zero.

use core::fmt;

/// The usual size of a frame on the wire, bytes.
pub const FRAME: usize = 80;
/// The smallest one: it carries one byte.
pub const SMALLEST_FRAME: usize = OVERHEAD + 1;
/// The largest one: longer ones would need more stuffing.
pub const LARGEST_FRAME: usize = 256;
/// Bytes of a frame that are not of the message: head, checksum, stuffing, zero.
const OVERHEAD: usize = HEAD + CRC + 2;
pub(super) const HEAD: usize = 6;
pub(super) const CRC: usize = 2;

/// Why a message cannot be cut, or a frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A size for frames that cannot be.
    Size(usize),
    /// A message of no bytes, or of more than 65535.
    Message(usize),
    /// Bytes between two zeros that are no frame: noise, or a frame that lost some.
    Garbage,
    /// A frame whose bytes changed on the way.
    Damaged,
    /// A frame of a message that is too long for the buffer.
    TooLong {
        /// Bytes of the message.
        total: u16,
        /// Bytes that there is place for.
        capacity: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FrameError::Size(size) => {
                write!(f, "frames of {size} bytes: give a size of {SMALLEST_FRAME} to {LARGEST_FRAME}")
            }
            FrameError::Message(len) => write!(f, "a message of {len} bytes: frames carry 1 to 65535"),
            FrameError::Garbage => f.write_str("bytes that are no frame: ask for the missing part again"),
            FrameError::Damaged => f.write_str("a damaged frame: ask for the missing part again"),
            FrameError::TooLong { total, capacity } => {
                write!(f, "a message of {total} bytes, but there is place for {capacity}: give a longer buffer")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// A frame, ready for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: [u8; LARGEST_FRAME],
    len: usize,
}

impl Frame {
    /// Its bytes; the last one is 0, and no other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len.min(LARGEST_FRAME)]
    }
}

/// Cuts a message into frames.
#[derive(Clone, Debug)]
pub struct Frames<'m> {
    id: u16,
    message: &'m [u8],
    total: u16,
    /// Bytes of the message in a frame.
    piece: usize,
    at: usize,
}

impl<'m> Frames<'m> {
    /// The frames of a message, of up to `size` bytes each on the wire ([`FRAME`] is usual). Messages that follow each
    /// other should have different numbers: the low half of a snapshot's will do.
    ///
    /// # Errors
    /// For sizes and messages that cannot be.
    pub fn new(id: u16, message: &'m [u8], size: usize) -> Result<Self, FrameError> {
        if !(SMALLEST_FRAME..=LARGEST_FRAME).contains(&size) {
            return Err(FrameError::Size(size));
        }
        let total = u16::try_from(message.len()).ok().filter(|&len| len > 0);
        let total = total.ok_or(FrameError::Message(message.len()))?;
        Ok(Frames { id, message, total, piece: size - OVERHEAD, at: 0 })
    }

    /// Those from an offset on: what a receiver asked for again.
    pub fn from(self, offset: u16) -> Self {
        Frames { at: offset.into(), ..self }
    }
}

impl Iterator for Frames<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let rest = self.message.get(self.at..).filter(|rest| !rest.is_empty())?;
        let piece = &rest[..rest.len().min(self.piece)];
        let [i0, i1] = self.id.to_le_bytes();
        let [o0, o1] = (self.at as u16).to_le_bytes();
        let [t0, t1] = self.total.to_le_bytes();
        let head = [i0, i1, o0, o1, t0, t1];
        let crc = crc16(crc16(0xFFFF, &head), piece).to_le_bytes();
        let mut frame = Frame { bytes: [0; LARGEST_FRAME], len: 0 };
        let mut stuffed = cobs::CobsEncoder::new(&mut frame.bytes);
        stuffed.push(&head).and_then(|()| stuffed.push(piece)).and_then(|()| stuffed.push(&crc)).ok()?;
        // The zero at the end is there already.
        frame.len = stuffed.finalize() + 1;
        self.at += piece.len();
        Some(frame)
    }
}

/// CRC-16/IBM-3740 (polynomial 0x1021, not reflected), going on from `crc`; it starts with 0xFFFF.
pub(super) fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ (byte as u16) << 8, |crc, _| if crc >> 15 == 1 { crc << 1 ^ 0x1021 } else { crc << 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_catalogue() {
        assert_eq!(crc16(0xFFFF, b"123456789"), 0x29B1);
    }
}
