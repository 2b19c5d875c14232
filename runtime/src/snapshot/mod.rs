//! The state of a monitor kept over power cuts, and sent to who watches the fleet (feature `snapshot`).
//!
//! Persist, then publish. A [`Store`] keeps the state: a [`SlotRing`] in NOR flash, a `FileStore` under an operating
//! system (feature `std`). What it has kept is [`Durable`], and only that can be made a message. So the receiver never
//! knows more than the device will after its power fails, and no number of a snapshot stands for two states.
//!
//! State and payload are bytes here; what they mean is the monitor's to say. The layouts of records, messages and
//! frames are in `docs/snapshots.md`.

mod error;
mod record;
mod ring;
mod store;

pub use error::{MessageError, RingError};
pub use ring::SlotRing;
pub use store::{Durable, Recovered, Stamp, Store};
