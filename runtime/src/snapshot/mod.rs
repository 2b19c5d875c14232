//! The state of a monitor kept over power cuts, and sent to who watches the fleet (feature `snapshot`).
//!
//! Persist, then publish. A [`Store`] keeps the state: a [`SlotRing`] in NOR flash, a `FileStore` under an operating
//! system (feature `std`). What it has kept is [`Durable`], and only that can be made a message. So the receiver never
//! knows more than the device will after its power fails, and no number of a snapshot stands for two states.
//!
//! State and payload are bytes here; what they mean is the monitor's to say. The layouts of records, messages and
//! frames are in `docs/snapshots.md`.

mod envelope;
mod error;
#[cfg(feature = "std")]
mod file;
mod frames;
mod keys;
mod message;
mod reassemble;
mod record;
mod ring;
#[cfg(feature = "sign")]
mod signing;
mod store;

pub use envelope::{Kind, Sealed};
pub use error::{MessageError, RingError};
#[cfg(feature = "std")]
pub use file::{FileError, FileFault, FileStore};
pub use frames::{FRAME, Frame, FrameError, Frames, LARGEST_FRAME, SMALLEST_FRAME};
pub use keys::{Checker, DeviceKeys, FleetKey, Prover};
pub use message::{Acknowledgement, Identity, Snapshot, seal, verbatim};
pub use reassemble::{Message, Reassembler};
pub use ring::SlotRing;
#[cfg(feature = "sign")]
pub use signing::{SigningKey, VerifyingKey};
pub use store::{Durable, Recovered, Stamp, Store};
