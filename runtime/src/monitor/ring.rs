//! Predictions that wait for their labels: a fixed ring.

use super::event::Ticket;
use super::state::{Common, Pending};
use crate::Error;

/// Tickets that are skipped at a restart, so that one issued after the last save and lost with the memory is not
/// mistaken for another.
const RESTART: u32 = 1 << 20;

/// The group of a pending prediction as the ring writes it.
pub(super) fn code(group: Option<usize>) -> u8 {
    group.map_or(1, |g| g as u8 + 2)
}

/// Back from [`code`]: `None` for a free place.
pub(super) fn group(code: u8) -> Option<Option<usize>> {
    match code {
        0 => None,
        1 => Some(None),
        g => Some(Some(g as usize - 2)),
    }
}

/// Puts a prediction into the ring. Gives its ticket, and the one that had to make room for it.
pub(super) fn put(common: &mut Common, ring: &mut [Pending], new: Pending) -> (Ticket, Pending) {
    let places = ring.len().max(1) as u32;
    let mut place = common.next % places;
    // A last turn that does not fit in 32 bits is skipped, or places would shift where numbers begin anew.
    if common.next - place > u32::MAX - places {
        (common.next, place) = (0, 0);
    }
    let ticket = Ticket(common.next);
    common.next = common.next.wrapping_add(1);
    let old = match ring.get_mut(place as usize) {
        Some(place) => core::mem::replace(place, new),
        // Without a ring no label can come late: the prediction expires at once.
        None => new,
    };
    (ticket, old)
}

/// Takes the prediction of a ticket out of the ring.
pub(super) fn take(common: &Common, ring: &mut [Pending], ticket: Ticket) -> Result<Pending, Error> {
    let age = common.next.wrapping_sub(ticket.0);
    if age == 0 || age > u32::MAX / 2 {
        return Err(Error::Ticket("it was never issued"));
    }
    if age as usize > ring.len() {
        return Err(Error::Ticket("it has expired: newer predictions took its place"));
    }
    let place = ring.get_mut(ticket.0 as usize % ring.len().max(1)).ok_or(Error::Ticket("it was never issued"))?;
    if place.group == 0 {
        return Err(Error::Ticket("its label was given before"));
    }
    Ok(core::mem::take(place))
}

/// After a restart from a saved state: no pending prediction can be told from a newer one, so all expire.
pub(super) fn restart<'r>(common: &mut Common, ring: &'r mut [Pending]) -> impl Iterator<Item = Pending> + 'r {
    // Up to a multiple of the ring's length, or a ticket's place would move.
    let skip = RESTART.next_multiple_of(ring.len().max(1) as u32);
    common.next = common.next.wrapping_add(skip);
    ring.iter_mut().map(core::mem::take).filter(|p| p.group != 0)
}
