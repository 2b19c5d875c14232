//! A snapshot's content: the monitor's saved state, less the pending labels.
//!
//! It is written with postcard (<https://postcard.jamesmunns.com/wire-format>): numbers over 8 bits as varints, structs
//! field by field in the order of their declaration, the cells as a sequence with its length. docs/snapshots.md writes
//! the schema down. Snapshots are cumulative: a later one says all that an earlier one said. They are made of the bytes
//! that were saved, not of the monitor at work, so that nothing is sent that is not durable.

use bytemuck::{pod_read_unaligned, try_cast_slice};
use serde::Serialize;

use super::state::{Common, Profile};

/// Version of the content, its first byte.
pub const VERSION: u8 = 1;

#[derive(Serialize)]
struct Content<'s, P> {
    version: u8,
    common: Common,
    cells: &'s [P],
}

/// Writes the content of a snapshot of a saved state with cells of profile `P` into `place`; gives its bytes. `None`
/// where the bytes hold no such state, start at no multiple of 4, or the place is too short ([`longest`] bytes suffice).
pub fn write<P: Profile + Serialize>(state: &[u8], place: &mut [u8]) -> Option<usize> {
    let (common, rest) = state.split_at_checked(size_of::<Common>())?;
    let common: Common = pod_read_unaligned(common);
    let cells = rest.get(..common.groups as usize * size_of::<P>()).filter(|_| common.profile == P::CODE)?;
    let cells: &[P] = try_cast_slice(cells).ok()?;
    postcard::to_slice(&Content { version: VERSION, common, cells }, place).ok().map(|written| written.len())
}

/// Bytes that no content of cells of profile `P` exceeds: a varint takes five bytes for four at most, and three for two.
pub const fn longest<P>(groups: usize) -> usize {
    (size_of::<Common>() + groups * size_of::<P>()) * 3 / 2 + 8
}
