//! A ring of slots in NOR flash that survives a power cut at any step.
//!
//! A slot is a *claim*, a record, and [`MARKS`] *marks*, each of them a whole number of the flash's words. A save
//! programs claim, record and first mark in this order and reads each back before the next. Claims and marks are words
//! of zeros.
//!
//! - A record counts only with a mark. So a torn record never counts, even where its weak bits happen to read well: the
//!   mark is only begun once the record was read back.
//! - A slot is taken only while its claim is blank. So none is written twice, even where a torn write looks blank: the
//!   claim was there before it.
//! - A mark itself may be torn, and read well today and blank tomorrow. So the first save of a run gives the newest
//!   record its next mark before it builds on it.
//! - A record is as new as its number and its further marks say. So that mark also puts the newest record before any
//!   that an earlier run left with a torn mark, seen or not; and those may then be erased, even by halves.
//! - A page is erased when it is entered, always, since one that looks blank may be half erased; and never the page of
//!   the newest record.
//!
//! When as many runs in a row as there are further marks were cut short in their first save, marks no longer tell them
//! apart. Then one hole is left: the last of them was torn in its mark, and the erasure of that very record is torn too.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use super::error::RingError;
use super::record::{HEAD, Head};
use super::store::{Durable, Recovered, Stamp, Store};
use crate::Aligned;
use crate::format::crc32_extend;

/// Bytes read or written at a time.
const BLOCK: usize = 64;

/// Marks of a slot: one for the save, the others for later runs.
const MARKS: usize = 4;

type Block = Aligned<[u8; BLOCK]>;

/// A ring of slots over pages of NOR flash.
#[derive(Debug)]
pub struct SlotRing<F> {
    flash: F,
    /// Where the first page begins.
    start: u32,
    pages: u32,
    /// Slots of a page.
    per_page: u32,
    /// Bytes of a slot.
    slot: u32,
    newest: Option<Newest>,
    /// The slot that was taken last, and its number.
    last: Slot,
    seq: u32,
    /// Of the records to come.
    incarnation: u32,
    boot: u32,
    /// Did the newest record get a mark of this run?
    settled: bool,
    damaged: u32,
}

/// A place in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    page: u32,
    index: u32,
}

/// The newest record.
#[derive(Clone, Copy, Debug)]
struct Newest {
    slot: Slot,
    stamp: Stamp,
    len: usize,
    /// Its last mark.
    mark: u32,
}

/// What a slot holds.
enum Content {
    /// No mark: nothing, or what a save left when its power failed.
    Nothing,
    /// A record that was saved, and is not whole any more.
    Damaged,
    /// A record and its last mark.
    Record(Head, u32),
}

impl<F: NorFlash> SlotRing<F> {
    /// Bytes that the claim and each mark take, and that a record is a multiple of.
    const WORD: usize = if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE } else { F::READ_SIZE };

    /// Bytes of a slot for states of up to `longest` bytes.
    pub const fn slot_len(longest: usize) -> usize {
        (HEAD + longest).next_multiple_of(Self::WORD) + (1 + MARKS) * Self::WORD
    }

    /// Looks for the newest record in `range` of the flash, whole pages that nothing else uses. It writes nothing.
    ///
    /// States may have up to `longest` bytes. Where nothing was saved yet, records will be of `incarnation`, which
    /// should be random; else of the incarnation that is there.
    ///
    /// # Errors
    /// When the range makes no ring for such states, holds one with other slots, or cannot be read.
    pub fn open(flash: F, range: Range<u32>, longest: usize, incarnation: u32) -> Result<Self, RingError<F::Error>> {
        let mut ring = Self::lay_out(flash, range, longest, incarnation)?;
        ring.scan()?;
        Ok(ring)
    }

    /// As [`SlotRing::open`], but erases all pages: for slots of another size, or when the numbers are used up. What
    /// was saved is lost, so `incarnation` must be a new one.
    ///
    /// # Errors
    /// As for [`SlotRing::open`].
    pub fn format(flash: F, range: Range<u32>, longest: usize, incarnation: u32) -> Result<Self, RingError<F::Error>> {
        let mut ring = Self::lay_out(flash, range.clone(), longest, incarnation)?;
        ring.flash.erase(range.start, range.end).map_err(RingError::Flash)?;
        Ok(ring)
    }

    /// The flash.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// When the newest record was saved; `None` where there is none.
    pub fn newest(&self) -> Option<Stamp> {
        self.newest.map(|n| n.stamp)
    }

    /// Slots with a mark but without a whole record when the ring was opened: in a page that was half erased when the
    /// power failed (which held nothing that was still needed), or in flash that wears out.
    pub fn damaged(&self) -> u32 {
        self.damaged
    }

    fn lay_out(flash: F, range: Range<u32>, longest: usize, incarnation: u32) -> Result<Self, RingError<F::Error>> {
        let refuse = |fault| Err(RingError::Geometry(fault));
        let divides = |a: usize, b: usize| b.checked_rem(a) == Some(0);
        let (word, page) = (Self::WORD, F::ERASE_SIZE);
        if !divides(F::WRITE_SIZE, word) || !divides(F::READ_SIZE, word) || !divides(word, BLOCK) {
            return refuse("the flash's words must divide 64 bytes: put a driver with a buffer between");
        }
        if page == 0 || !divides(word, page) {
            return refuse("a page must be a whole number of words");
        }
        if range.end as usize > flash.capacity() || range.start > range.end {
            return refuse("the range is not inside the flash");
        }
        if !divides(page, range.start as usize) || !divides(page, range.end as usize) {
            return refuse("the range must begin and end where pages of the flash do");
        }
        let pages = (range.end - range.start).checked_div(page as u32).unwrap_or(0);
        if pages < 2 {
            return refuse("a ring needs two pages: one holds the newest record while the other is erased");
        }
        // The length alone first, so that nothing overflows.
        if longest > page || Self::slot_len(longest) > page {
            return refuse("a slot is longer than a page: keep shorter states, or take flash with larger pages");
        }
        let slot = Self::slot_len(longest) as u32;
        let per_page = (page as u32).checked_div(slot).unwrap_or(1);
        let last = Slot { page: pages - 1, index: per_page - 1 };
        let (newest, seq, boot, settled, damaged) = (None, 0, 0, false, 0);
        let start = range.start;
        Ok(SlotRing { flash, start, pages, per_page, slot, newest, last, seq, incarnation, boot, settled, damaged })
    }

    /// Looks at every slot. One that cannot be read counts as damaged: there is flash that reports words torn by a
    /// power cut as errors.
    fn scan(&mut self) -> Result<(), RingError<F::Error>> {
        let mut fault = None;
        for page in 0..self.pages {
            for index in 0..self.per_page {
                let slot = Slot { page, index };
                match self.look(slot) {
                    Ok(Content::Nothing) => {}
                    Ok(Content::Damaged) => self.damaged += 1,
                    Ok(Content::Record(Head { stamp, len, .. }, mark)) => {
                        let age = self.age(stamp.seq, mark);
                        if self.newest.is_none_or(|n| self.age(n.stamp.seq, n.mark) < age) {
                            self.newest = Some(Newest { slot, stamp, len: len as usize, mark });
                        }
                    }
                    Err(RingError::Flash(e)) => {
                        self.damaged += 1;
                        fault = Some(RingError::Flash(e));
                    }
                    Err(other) => return Err(other),
                }
            }
        }
        let Some(Newest { slot, stamp, .. }) = self.newest else { return fault.map_or(Ok(()), Err) };
        self.last = slot;
        // Behind the newest, runs that were cut short may have taken slots of the same page.
        for index in slot.index + 1..self.per_page {
            let slot = Slot { index, ..slot };
            // What cannot be read is not blank.
            if !self.word_is(self.place(slot), 0xFF).unwrap_or(false) {
                self.last = slot;
            }
        }
        self.seq = stamp.seq.saturating_add(self.last.index - slot.index);
        (self.incarnation, self.boot) = (stamp.incarnation, stamp.boot);
        Ok(())
    }

    /// The order of records: a further mark counts for more than the numbers that one run can give from it on, and the
    /// marks that a hidden record of that run may have got. (So none is given again, either, that an unreadable record
    /// may have been published with.)
    fn age(&self, seq: u32, mark: u32) -> u32 {
        seq.saturating_add((2 * self.pages * self.per_page).saturating_mul((1 << mark) - 1))
    }

    /// Where a slot begins: with its claim.
    fn place(&self, slot: Slot) -> u32 {
        self.start + slot.page * F::ERASE_SIZE as u32 + slot.index * self.slot
    }

    /// Where its record is.
    fn record(&self, slot: Slot) -> u32 {
        self.place(slot) + Self::WORD as u32
    }

    /// Where its marks are.
    fn mark(&self, slot: Slot, mark: u32) -> u32 {
        self.place(slot) + self.slot - (MARKS as u32 - mark) * Self::WORD as u32
    }

    /// The last mark that is not blank.
    fn last_mark(&mut self, slot: Slot) -> Result<Option<u32>, F::Error> {
        for mark in (0..MARKS as u32).rev() {
            if !self.word_is(self.mark(slot, mark), 0xFF)? {
                return Ok(Some(mark));
            }
        }
        Ok(None)
    }

    /// The most bytes that a state may have.
    fn longest(&self) -> usize {
        self.slot as usize - (1 + MARKS) * Self::WORD - HEAD
    }

    /// Does the word there consist of this byte?
    fn word_is(&mut self, at: u32, byte: u8) -> Result<bool, F::Error> {
        let mut same = true;
        self.read(at, Self::WORD, |_, bytes| same &= bytes.iter().all(|&b| b == byte))?;
        Ok(same)
    }

    /// Programs a claim or a mark, and reads it back.
    fn zero(&mut self, at: u32) -> Result<bool, F::Error> {
        let zeros: Block = Aligned([0; BLOCK]);
        self.flash.write(at, &zeros.0[..Self::WORD])?;
        self.word_is(at, 0)
    }

    /// Reads `len` bytes in blocks of whole words, and hands each on with its offset.
    fn read(&mut self, at: u32, len: usize, mut take: impl FnMut(usize, &[u8])) -> Result<(), F::Error> {
        let mut block: Block = Aligned([0; BLOCK]);
        for offset in (0..len).step_by(BLOCK) {
            let n = (len - offset).min(BLOCK);
            self.flash.read(at + offset as u32, &mut block.0[..n.next_multiple_of(Self::WORD).min(BLOCK)])?;
            take(offset, &block.0[..n]);
        }
        Ok(())
    }

    /// What a slot holds.
    fn look(&mut self, slot: Slot) -> Result<Content, RingError<F::Error>> {
        let mut head = None;
        self.read(self.record(slot), HEAD, |_, bytes| head = Head::read(bytes)).map_err(RingError::Flash)?;
        let mark = self.last_mark(slot).map_err(RingError::Flash)?;
        let none = if mark.is_some() { Content::Damaged } else { Content::Nothing };
        let Some(head) = head else { return Ok(none) };
        let (found, expected) = (head.slot, self.slot);
        // Slots of any size begin where a page does.
        let other = found != expected && slot.index == 0;
        let most = if other { F::ERASE_SIZE - (1 + MARKS) * Self::WORD - HEAD } else { self.longest() };
        if !(other || found == expected) || head.len as usize > most {
            return Ok(none);
        }
        let mut crc = head.start();
        let sum = |offset: usize, bytes: &[u8]| {
            let state = bytes.get(HEAD.saturating_sub(offset)..).unwrap_or(&[]);
            crc = crc32_extend(crc, state);
        };
        self.read(self.record(slot), HEAD + head.len as usize, sum).map_err(RingError::Flash)?;
        match mark {
            _ if crc != head.crc => Ok(none),
            _ if other => Err(RingError::OtherSlots { found, expected }),
            Some(mark) => Ok(Content::Record(head, mark)),
            None => Ok(none),
        }
    }

    /// Takes the next slot; on entering a page, erases it.
    fn take(&mut self) -> Result<Slot, RingError<F::Error>> {
        let Slot { mut page, mut index } = self.last;
        let mut seq = self.seq.checked_add(1).ok_or(RingError::SeqSpent)?;
        index += 1;
        if index >= self.per_page {
            let next = |page: u32| if page + 1 < self.pages { page + 1 } else { 0 };
            (page, index) = (next(page), 0);
            // Comes about when all other pages fail.
            if self.newest.is_some_and(|n| n.slot.page == page) {
                page = next(page);
                seq = seq.checked_add(self.per_page).ok_or(RingError::SeqSpent)?;
            }
            let start = self.place(Slot { page, index });
            self.flash.erase(start, start + F::ERASE_SIZE as u32).map_err(RingError::Flash)?;
        }
        (self.last, self.seq) = (Slot { page, index }, seq);
        Ok(self.last)
    }

    /// Writes a record into a slot that was just taken; was it kept?
    fn write(&mut self, slot: Slot, head: &[u8; HEAD], state: &[u8]) -> Result<bool, F::Error> {
        // A mark that is there already, in flash that does not blank any more, would make the record seem newer.
        if !self.zero(self.place(slot))? || self.last_mark(slot)?.is_some() {
            return Ok(false);
        }
        let (at, len) = (self.record(slot), HEAD + state.len());
        let bytes = || head.iter().chain(state);
        let mut block: Block = Aligned([0; BLOCK]);
        let mut left = bytes();
        for offset in (0..len).step_by(BLOCK) {
            // What is behind the record is not programmed.
            block.0.fill(0xFF);
            block.0.iter_mut().zip(left.by_ref()).for_each(|(to, from)| *to = *from);
            let n = (len - offset).next_multiple_of(Self::WORD).min(BLOCK);
            self.flash.write(at + offset as u32, &block.0[..n])?;
        }
        let (mut left, mut same) = (bytes(), true);
        self.read(at, len, |_, read| same &= read.iter().eq(left.by_ref().take(read.len())))?;
        Ok(same && self.zero(self.mark(slot, 0))?)
    }
}

impl<F: NorFlash> Store for SlotRing<F> {
    type Error = RingError<F::Error>;

    fn load<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Recovered<'b>>, Self::Error> {
        let Some(Newest { slot, stamp, len, .. }) = self.newest else { return Ok(None) };
        let given = buffer.len();
        let state = buffer.get_mut(..len).ok_or(RingError::Buffer { needed: len, given })?;
        let (mut head, mut to) = (None, state.iter_mut());
        let copy = |offset: usize, bytes: &[u8]| {
            head = head.or_else(|| Head::read(bytes));
            let bytes = bytes.get(HEAD.saturating_sub(offset)..).unwrap_or(&[]);
            bytes.iter().zip(to.by_ref()).for_each(|(from, to)| *to = *from);
        };
        self.read(self.record(slot), HEAD + len, copy).map_err(RingError::Flash)?;
        if head != Some(Head::of(state, self.slot, stamp)) {
            return Err(RingError::Changed);
        }
        Ok(Some(Recovered { stamp, state }))
    }

    fn save<'s>(&mut self, state: &'s [u8]) -> Result<Durable<'s>, Self::Error> {
        let most = self.longest();
        if state.len() > most {
            return Err(RingError::TooLong { len: state.len(), most });
        }
        if !self.settled {
            if let Some(n) = self.newest {
                // A mark is only begun once the one before it is sure: so none is hidden behind the one given here.
                let (mut mark, mut done) = (n.mark, false);
                self.zero(self.mark(n.slot, mark)).map_err(RingError::Flash)?;
                while !done && mark + 1 < MARKS as u32 {
                    mark += 1;
                    done = self.zero(self.mark(n.slot, mark)).map_err(RingError::Flash)?;
                }
                self.seq = self.age(self.seq, mark);
            }
            self.boot = self.boot.saturating_add(1);
            self.settled = true;
        }
        // Once round the ring at most.
        for _ in 0..self.pages * self.per_page {
            let slot = self.take()?;
            let stamp = Stamp { incarnation: self.incarnation, boot: self.boot, seq: self.seq };
            let head = Head::of(state, self.slot, stamp).bytes();
            if self.write(slot, &head, state).map_err(RingError::Flash)? {
                self.newest = Some(Newest { slot, stamp, len: state.len(), mark: 0 });
                return Ok(Durable::new(stamp, state));
            }
        }
        Err(RingError::NotKept)
    }

    fn renew(&mut self, incarnation: u32) {
        self.incarnation = incarnation;
    }
}
