//! What every store has in common: the stamps of records, and the types that let only durable state be published.

use core::fmt::Debug;

/// When a record was saved: numbers that only grow, since a device may have no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// One life of the counters: drawn at random where a store is new or the counters start again.
    pub incarnation: u32,
    /// The number of the run of the device that saved the record, from 1 on. Runs that save nothing have no number.
    pub boot: u32,
    /// The number of the record: larger than that of any record before it. Some numbers may be left out.
    pub seq: u32,
}

/// A record found in a store.
///
/// It is what an earlier run saved last, or was about to save when its power failed, so it is not [`Durable`] yet: to
/// publish it, save it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered<'b> {
    /// When it was saved.
    pub stamp: Stamp,
    /// The state, in the buffer that it was loaded into.
    pub state: &'b [u8],
}

/// A state that this run has saved, and that no power cut can take back any more.
///
/// Only [`Store::save`] makes one, and [`seal`](super::seal()) asks for one: what is not durable cannot be sent. It
/// borrows the state that was saved, so what is sent is what was saved.
#[derive(Debug, PartialEq, Eq)]
pub struct Durable<'s> {
    stamp: Stamp,
    state: &'s [u8],
}

impl<'s> Durable<'s> {
    /// For stores: `state` is kept under `stamp` and was read back.
    pub(super) fn new(stamp: Stamp, state: &'s [u8]) -> Self {
        Durable { stamp, state }
    }

    /// When it was saved.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The state that was saved.
    pub fn state(&self) -> &'s [u8] {
        self.state
    }
}

/// Where a device keeps its state over resets and power cuts.
pub trait Store {
    /// What can go wrong.
    type Error: Debug;

    /// The newest record, its state at the start of `buffer`; `None` where nothing was ever saved. Nothing is written.
    ///
    /// # Errors
    /// When the store cannot be read, what it holds is damaged, or `buffer` is too short.
    fn load<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Recovered<'b>>, Self::Error>;

    /// Keeps `state` under a new number. After an `Ok`, loading gives this state or a later one, whatever happens to
    /// the power; after an `Err`, or when the power fails on the way, this one or the one before.
    ///
    /// # Errors
    /// When the state is too long, or what is read back is not what was written.
    fn save<'s>(&mut self, state: &'s [u8]) -> Result<Durable<'s>, Self::Error>;

    /// Saves from now on in another life of the counters: for who resets them.
    fn renew(&mut self, incarnation: u32);
}
