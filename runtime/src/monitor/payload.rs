//! A snapshot's content: who sends it, and the monitor's state without the pending labels.
//!
//! It is written with postcard (<https://postcard.jamesmunns.com/wire-format>): numbers over 8 bits as varints, structs
//! field by field in the order of their declaration, the cells as a sequence with its length. docs/snapshots.md writes
//! the schema down. Snapshots are cumulative: a later one says all that an earlier one said.

use serde::{Deserialize, Serialize};

use super::state::{Common, Profile};
use super::watch::Monitor;

/// Version of the content.
pub const VERSION: u8 = 1;

/// Who sends a snapshot, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u8,
    /// The device.
    pub device: u64,
    /// Changes when a device's counters begin anew: random.
    pub incarnation: u32,
    /// Restarts of this incarnation.
    pub boot: u32,
    /// Ascends with every saved state; the one that this content was saved under.
    pub seq: u32,
    /// Seconds since the restart, where there is a clock.
    pub uptime: u32,
}

#[derive(Serialize)]
struct Content<'s, P> {
    header: &'s Header,
    common: &'s Common,
    cells: &'s [P],
}

/// Writes the content of a snapshot into `buffer`; gives its bytes.
///
/// # Errors
/// When the buffer is too short: [`longest`] bytes always suffice.
pub fn write<'b, P: Profile + Serialize>(
    header: &Header,
    monitor: &Monitor<P>,
    buffer: &'b mut [u8],
) -> Result<&'b mut [u8], postcard::Error> {
    postcard::to_slice(&Content { header, common: monitor.common(), cells: monitor.cells() }, buffer)
}

/// Bytes that no content of cells of profile `P` exceeds: a varint takes at most five bytes for four, and ten for eight.
pub const fn longest<P>(groups: usize) -> usize {
    (size_of::<Header>() + size_of::<Common>() + groups * size_of::<P>()) * 3 / 2 + 16
}
