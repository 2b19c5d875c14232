//! Messages put together again from frames, whatever the way did to them.
//!
//! Frames may be lost, come twice, in any order, with noise between them. What is damaged is dropped; what is missing
//! can be asked for. Whether the message is one is not decided here: a frame's checksum is short, and anybody can send
//! frames. [`Sealed::parse`](super::Sealed::parse) decides.

use super::frames::{CRC, FrameError, HEAD, LARGEST_FRAME, crc16};

/// A message that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// The number that its frames carried.
    pub id: u16,
    /// Its bytes.
    pub bytes: &'m [u8],
}

/// Puts messages together in a buffer of fixed length.
///
/// The frame that came last says which message is being put together; one that begins before the one before it is
/// complete takes its place. A message that is complete is given once, even if its frames come again.
#[derive(Debug)]
pub struct Reassembler<'b> {
    message: &'b mut [u8],
    /// One bit for each byte of the message: is it there?
    there: &'b mut [u8],
    frame: [u8; LARGEST_FRAME],
    /// Bytes of the frame so far; more than it has place for when it is too long.
    len: usize,
    /// Number and length of the message.
    current: Option<(u16, u16)>,
    missing: usize,
    /// The last message that was completed, while another one is put together: its late frames are passed over.
    before: Option<(u16, u16)>,
}

impl<'b> Reassembler<'b> {
    /// Bytes of a buffer for messages of up to so many.
    pub const fn buffer_len(longest: usize) -> usize {
        longest + longest.div_ceil(8)
    }

    /// One with this buffer, which takes eight ninths of it for messages.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        let capacity = buffer.len() - buffer.len().div_ceil(9);
        let (message, there) = buffer.split_at_mut(capacity);
        let (frame, len) = ([0; LARGEST_FRAME], 0);
        Reassembler { message, there, frame, len, current: None, missing: 0, before: None }
    }

    /// Takes the next byte from the wire; gives a message when it is its last one.
    ///
    /// # Errors
    /// When that byte ends a frame that is dropped. All goes on with the next.
    pub fn push(&mut self, byte: u8) -> Result<Option<Message<'_>>, FrameError> {
        if byte != 0 {
            if let Some(place) = self.frame.get_mut(self.len) {
                *place = byte;
            }
            self.len = self.len.saturating_add(1);
            return Ok(None);
        }
        let len = core::mem::take(&mut self.len);
        if len == 0 {
            return Ok(None);
        }
        let mut frame = self.frame;
        let stuffed = frame.get_mut(..len).ok_or(FrameError::Garbage)?;
        let len = cobs::decode_in_place(stuffed).map_err(|_| FrameError::Garbage)?;
        let complete = self.accept(frame.get(..len).unwrap_or(&[]))?;
        let (true, Some((id, total))) = (complete, self.current) else { return Ok(None) };
        Ok(self.message.get(..total.into()).map(|bytes| Message { id, bytes }))
    }

    /// Where to send again from: number of the message and offset of the first byte that is missing; `None` when nothing
    /// is.
    pub fn resume(&self) -> Option<(u16, u16)> {
        let (id, total) = self.current.filter(|_| self.missing > 0)?;
        (0..total).find(|&at| !self.is_there(at.into())).map(|at| (id, at))
    }

    fn is_there(&self, at: usize) -> bool {
        self.there.get(at / 8).is_some_and(|bits| bits >> (at % 8) & 1 == 1)
    }

    /// Takes a frame; does it complete a message?
    fn accept(&mut self, frame: &[u8]) -> Result<bool, FrameError> {
        let (head, rest) = frame.split_first_chunk::<HEAD>().ok_or(FrameError::Garbage)?;
        let (piece, crc) = rest.split_last_chunk::<CRC>().ok_or(FrameError::Garbage)?;
        if crc16(crc16(0xFFFF, head), piece) != u16::from_le_bytes(*crc) {
            return Err(FrameError::Damaged);
        }
        let [i0, i1, o0, o1, t0, t1] = *head;
        let [id, offset, total] = [[i0, i1], [o0, o1], [t0, t1]].map(u16::from_le_bytes);
        let range = offset as usize..offset as usize + piece.len();
        if piece.is_empty() || range.end > total as usize {
            return Err(FrameError::Damaged);
        }
        let capacity = self.message.len();
        if total as usize > capacity {
            return Err(FrameError::TooLong { total, capacity });
        }
        let same = self.current == Some((id, total))
            && range.clone().zip(piece).all(|(at, byte)| !self.is_there(at) || self.message.get(at) == Some(byte));
        if !same {
            if self.before == Some((id, total)) && self.missing > 0 {
                return Ok(false);
            }
            if self.missing == 0 {
                self.before = self.current;
            }
            (self.current, self.missing) = (Some((id, total)), total.into());
            self.there.fill(0);
        }
        let before = self.missing;
        for (at, &byte) in range.zip(piece) {
            let new = !self.is_there(at);
            if let (Some(place), Some(bits)) = (self.message.get_mut(at), self.there.get_mut(at / 8)) {
                (*place, *bits) = (byte, *bits | 1 << (at % 8));
                self.missing -= new as usize;
            }
        }
        Ok(self.missing == 0 && before > 0)
    }
}
