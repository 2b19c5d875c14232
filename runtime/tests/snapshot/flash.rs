//! NOR flash as it is: words torn by a power cut, pages half erased, bits that read one way now and another way later.
//! What a driver must not do, panics.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// The power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

impl NorFlashError for Cut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// Numbers that only look random (SplitMix64), the same on every run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    /// True in `percent` of all cases.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Flash of words of `WORD` bytes and pages of `PAGE`. Programming one word and erasing one page are steps, and the
/// power may fail in any of them.
#[derive(Clone, Debug)]
pub struct Flash<const WORD: usize, const PAGE: usize> {
    cells: Vec<u8>,
    /// Bits that read as chance has it.
    weak: Vec<u8>,
    /// How often, in percent, those read as 1.
    bias: u64,
    /// Steps until the power fails; `None` while it lasts.
    pub budget: Option<u64>,
    /// Is it off?
    pub off: bool,
    /// Steps so far.
    pub steps: u64,
    /// Erasures of each page.
    pub erased: Vec<u32>,
    /// Words that do not take what is written (worn out).
    pub stuck: Vec<usize>,
    random: Random,
}

impl<const WORD: usize, const PAGE: usize> Flash<WORD, PAGE> {
    /// Blank flash.
    pub fn new(pages: usize, seed: u64) -> Self {
        let bytes = pages * PAGE;
        let (cells, weak, erased) = (vec![0xFF; bytes], vec![0; bytes], vec![0; pages]);
        Flash { cells, weak, bias: 50, budget: None, off: false, steps: 0, erased, stuck: vec![], random: Random(seed) }
    }

    /// The power comes back, and will fail after so many steps.
    pub fn power_on(&mut self, budget: Option<u64>) {
        (self.off, self.budget) = (false, budget);
    }

    /// Another course of chance from here.
    pub fn reseed(&mut self, seed: u64) {
        self.random = Random(seed);
    }

    /// The cells, for damage.
    pub fn cells(&mut self) -> &mut [u8] {
        &mut self.cells
    }

    /// Does the power fail in this step?
    fn fails(&mut self) -> bool {
        self.steps += 1;
        match &mut self.budget {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// Moves the bits of `mask` of a byte to `to` for as long as the power lasted: some are there, some on the way.
    fn tear(&mut self, at: usize, mask: u8, to: u8, done: u64) {
        for bit in (0..8).map(|b| 1u8 << b).filter(|bit| mask & bit != 0) {
            if self.random.happens(done) {
                self.weak[at] &= !bit;
                self.cells[at] = self.cells[at] & !bit | to & bit;
            } else if self.random.happens(30) {
                self.weak[at] |= bit;
            }
        }
    }

    fn cut(&mut self) -> Cut {
        self.off = true;
        Cut
    }

    /// How far a step got, in percent, and how its weak bits read: seldom in the middle.
    fn fate(&mut self) -> u64 {
        self.bias = [2, 50, 98][self.random.below(3) as usize];
        [0, 3, 50, 97, 100][self.random.below(5) as usize]
    }
}

impl<const WORD: usize, const PAGE: usize> ErrorType for Flash<WORD, PAGE> {
    type Error = Cut;
}

impl<const WORD: usize, const PAGE: usize> ReadNorFlash for Flash<WORD, PAGE> {
    const READ_SIZE: usize = WORD;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Cut> {
        let at = offset as usize;
        assert!(
            at.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD) && at + bytes.len() <= self.cells.len(),
            "read of {at}"
        );
        if self.off {
            return Err(Cut);
        }
        for (i, to) in bytes.iter_mut().enumerate() {
            *to = self.cells[at + i];
            for bit in (0..8).map(|b| 1u8 << b).filter(|bit| self.weak[at + i] & bit != 0) {
                *to = if self.random.happens(self.bias) { *to | bit } else { *to & !bit };
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.cells.len()
    }
}

impl<const WORD: usize, const PAGE: usize> NorFlash for Flash<WORD, PAGE> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Cut> {
        let (from, to) = (from as usize, to as usize);
        assert!(
            from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE) && from <= to && to <= self.cells.len(),
            "erase of {from}..{to}"
        );
        for page in from / PAGE..to / PAGE {
            if self.off {
                return Err(Cut);
            }
            if self.fails() {
                let done = self.fate();
                for at in page * PAGE..(page + 1) * PAGE {
                    let mask = !self.cells[at] | self.weak[at];
                    self.tear(at, mask, 0xFF, done);
                }
                return Err(self.cut());
            }
            self.erased[page] += 1;
            self.cells[page * PAGE..(page + 1) * PAGE].fill(0xFF);
            self.weak[page * PAGE..(page + 1) * PAGE].fill(0);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Cut> {
        let start = offset as usize;
        assert!(
            start.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD) && start + bytes.len() <= self.cells.len()
        );
        for (i, word) in bytes.chunks_exact(WORD).enumerate() {
            let at = start + i * WORD;
            if self.off {
                return Err(Cut);
            }
            // A word is programmed once, but zeros may go over anything.
            let blank = (at..at + WORD).all(|a| self.cells[a] == 0xFF && self.weak[a] == 0);
            assert!(blank || word.iter().all(|&b| b == 0), "the word at {at} is programmed twice");
            if self.stuck.contains(&(at / WORD)) {
                continue;
            }
            if self.fails() {
                let done = self.fate();
                for (i, byte) in word.iter().enumerate() {
                    let mask = !byte & (self.cells[at + i] | self.weak[at + i]);
                    self.tear(at + i, mask, 0, done);
                }
                return Err(self.cut());
            }
            for (i, byte) in word.iter().enumerate() {
                self.cells[at + i] &= byte;
                self.weak[at + i] &= byte;
            }
        }
        Ok(())
    }
}
