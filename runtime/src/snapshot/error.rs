//! What can be wrong: with a store, with a message, with a frame. Each says the way out.

use core::fmt;

/// Why a [`SlotRing`](super::SlotRing) cannot open, load or save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError<E> {
    /// The flash's own error.
    Flash(E),
    /// The part of the flash, or what is to be kept in it, cannot make a ring.
    Geometry(&'static str),
    /// The flash holds records of a ring with slots of another size: of another firmware.
    OtherSlots {
        /// Bytes of a slot of that ring.
        found: u32,
        /// Bytes of a slot of this one.
        expected: u32,
    },
    /// A state is longer than what the ring was opened for.
    TooLong {
        /// Its bytes.
        len: usize,
        /// The most that a slot takes.
        most: usize,
    },
    /// The buffer is shorter than the state.
    Buffer {
        /// Bytes of the state.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// A record that was read when the ring was opened reads differently now.
    Changed,
    /// No slot kept what was written.
    NotKept,
    /// The numbers of records are used up.
    SeqSpent,
}

impl<E: fmt::Debug> fmt::Display for RingError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingError::Flash(e) => write!(f, "the flash said {e:?}"),
            RingError::Geometry(fault) => write!(f, "no ring can be kept here: {fault}"),
            RingError::OtherSlots { found, expected } => write!(
                f,
                "the flash has records in slots of {found} bytes, not {expected}: open it with the longest state that \
                 it was made for, load, then format it for the new one"
            ),
            RingError::TooLong { len, most } => write!(
                f,
                "a state of {len} bytes does not go into a slot, which takes {most}: open the ring for longer states"
            ),
            RingError::Buffer { needed, given } => {
                write!(f, "the state has {needed} bytes and the buffer {given}: give a longer one")
            }
            RingError::Changed => f.write_str("a record reads differently than a moment ago: open the ring again"),
            RingError::NotKept => {
                f.write_str("no slot keeps what is written: the flash is worn out, or another driver writes to it")
            }
            RingError::SeqSpent => {
                f.write_str("the numbers of records are used up: format the ring and start another incarnation")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for RingError<E> {}

/// Why a message is refused, or cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// Fewer bytes than any message has.
    TooShort {
        /// Bytes given.
        len: usize,
    },
    /// It does not begin as a message does.
    Foreign,
    /// A version that this crate cannot read.
    Version(u8),
    /// A snapshot where an acknowledgement is asked for, or the other way round, or neither.
    Kind(u8),
    /// Proved in another way than the one that is asked for.
    Proof(u8),
    /// It is shorter or longer than it says.
    Cut {
        /// Bytes that it states.
        stated: usize,
        /// Bytes given.
        actual: usize,
    },
    /// The bytes changed on the way.
    Damaged {
        /// Checksum in the message.
        stated: u32,
        /// Checksum of the bytes.
        actual: u32,
    },
    /// Not made with the key of the device that it names.
    Forged,
    /// The buffer is too short for the message.
    Buffer {
        /// Bytes given.
        given: usize,
    },
    /// An acknowledgement for another device.
    OtherDevice(u64),
    /// An acknowledgement for another life of the counters.
    OtherIncarnation(u32),
    /// An acknowledgement that was followed before.
    Replayed {
        /// The number that it acknowledges.
        seq: u32,
        /// The number up to which acknowledgements were followed.
        acknowledged: u32,
    },
    /// An acknowledgement of a snapshot that was not made yet.
    NotSent {
        /// The number that it acknowledges.
        seq: u32,
        /// The number of the newest snapshot.
        newest: u32,
    },
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MessageError::TooShort { len } => write!(f, "{len} bytes are too few for a message: it was cut"),
            MessageError::Foreign => f.write_str("not a message of a monitor"),
            MessageError::Version(v) => {
                write!(f, "version {v} of messages, which is not read here: update this program")
            }
            MessageError::Kind(k) => write!(f, "a message of kind {k}, which is not the one asked for"),
            MessageError::Proof(p) => {
                write!(f, "a message with proof {p}, which is not the one asked for: check it with a key of its kind")
            }
            MessageError::Cut { stated, actual } => {
                write!(f, "a message of {stated} bytes has {actual}: it was cut or appended to, ask for it again")
            }
            MessageError::Damaged { stated, actual } => {
                write!(f, "checksum {actual:08x} instead of {stated:08x}: the message is damaged, ask for it again")
            }
            MessageError::Forged => {
                f.write_str("forged, or made with another key: it is to be believed by nobody; check the keys")
            }
            MessageError::Buffer { given } => {
                write!(f, "the message does not go into {given} bytes: give a longer buffer")
            }
            MessageError::OtherDevice(id) => write!(f, "an acknowledgement for device {id:016x}, not for this one"),
            MessageError::OtherIncarnation(i) => {
                write!(f, "an acknowledgement for incarnation {i:08x}: the counters started again since")
            }
            MessageError::Replayed { seq, acknowledged } => write!(
                f,
                "an acknowledgement of snapshot {seq}, but those up to {acknowledged} were followed already: a replay"
            ),
            MessageError::NotSent { seq, newest } => {
                write!(f, "an acknowledgement of snapshot {seq}, but the newest is {newest}")
            }
        }
    }
}

impl core::error::Error for MessageError {}
