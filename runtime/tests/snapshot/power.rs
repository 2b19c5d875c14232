//! Power cuts at every step, and while recovering from the one before.

use evenkeel_runtime::snapshot::{RingError, SlotRing, Store};
use proptest::prelude::*;

use crate::flash::{Flash, Random};

/// Bytes of the longest state.
const LONGEST: usize = 21;

/// State number `n`: of varying length, and different in every byte from its neighbours.
fn state(n: u32) -> Vec<u8> {
    let len = 4 + (n as usize * 7) % (LONGEST - 3);
    (0..len as u32)
        .map(|i| if i < 4 { n.to_le_bytes()[i as usize] } else { (n.wrapping_mul(31) + i * 5) as u8 })
        .collect()
}

/// A device with a ring, and what is known about it from outside.
#[derive(Clone)]
struct Device<const WORD: usize, const PAGE: usize> {
    flash: Flash<WORD, PAGE>,
    /// The newest state that `save` acknowledged.
    kept: Option<u32>,
    /// The newest state that was given to `save`.
    tried: u32,
    /// The last number published.
    published: u32,
}

impl<const WORD: usize, const PAGE: usize> Device<WORD, PAGE> {
    fn new(pages: usize, seed: u64) -> Self {
        Device { flash: Flash::new(pages, seed), kept: None, tried: 0, published: 0 }
    }

    fn slots(&self) -> u64 {
        let per_page = PAGE / SlotRing::<Flash<WORD, PAGE>>::slot_len(LONGEST);
        (per_page * self.flash.erased.len()) as u64
    }

    /// A run of the device: it starts, looks at what was kept, and saves so many states; or until the power fails.
    /// Returns whether it lasted.
    fn run(&mut self, saves: u32, budget: Option<u64>) -> bool {
        self.flash.power_on(budget);
        let all = 0..self.flash.erased.len() as u32 * PAGE as u32;
        let mut ring = SlotRing::open(&mut self.flash, all, LONGEST, 7).expect("reading takes no step");
        let mut buffer = [0; LONGEST];
        let found = ring.load(&mut buffer).expect("reading takes no step");
        match found {
            None => assert_eq!(self.kept, None, "what was kept is gone"),
            Some(record) => {
                let n = u32::from_le_bytes(record.state[..4].try_into().expect("four bytes"));
                assert_eq!(record.state, state(n), "a state that nobody saved");
                assert!(
                    self.kept.is_none_or(|kept| n >= kept),
                    "state {n} is older than {:?}, which was kept",
                    self.kept
                );
                assert!(n <= self.tried);
                assert_eq!(record.stamp.incarnation, 7);
            }
        }
        for _ in 0..saves {
            self.tried += 1;
            let next = state(self.tried);
            match ring.save(&next) {
                Ok(durable) => {
                    assert!(durable.stamp().seq > self.published, "number {} comes twice", durable.stamp().seq);
                    (self.published, self.kept) = (durable.stamp().seq, Some(self.tried));
                }
                Err(RingError::Flash(_)) => return false,
                Err(RingError::NotKept) => panic!("flash that is sound kept nothing"),
                Err(other) => panic!("{other}"),
            }
        }
        true
    }

    /// What was acknowledged is what is found.
    fn check(&mut self) {
        assert!(self.run(0, None));
    }
}

/// Cuts at every step of every save over three turns of the ring, within a run and in the first save of one; after
/// each, cuts at every step of the recovery; after each of these, some more. Returns how many were tried.
fn every_step<const WORD: usize, const PAGE: usize>(pages: usize, courses: u64) -> u64 {
    let mut points = 0;
    for fresh in [false, true] {
        let mut before = Device::<WORD, PAGE>::new(pages, 1);
        for turn in 0..3 * before.slots() as u32 {
            for first in 0.. {
                let mut lasted = false;
                for course in 0..courses {
                    let mut device = before.clone();
                    device.flash.reseed(course << 32 | (first << 16) | turn as u64);
                    // Either the run goes on from a save of its own, or it begins with this one.
                    lasted = if fresh { device.run(1, Some(first)) } else { device.run_from(turn, first) };
                    points += 1;
                    for second in 0.. {
                        let mut device = device.clone();
                        device.flash.reseed(course << 40 | second << 20 | first);
                        let lasted = device.run(1, Some(second));
                        points += 1;
                        for third in [0, 1, 2, 5, 9, 14] {
                            device.flash.reseed(course ^ (third << 50) ^ (second << 20));
                            device.run(2, Some(third));
                            points += 1;
                        }
                        device.check();
                        assert!(device.run(2, None));
                        device.check();
                        if lasted {
                            break;
                        }
                    }
                }
                if lasted {
                    break;
                }
            }
            assert!(before.run(1, None));
        }
    }
    points
}

impl<const WORD: usize, const PAGE: usize> Device<WORD, PAGE> {
    /// One run that begins on blank flash, saves so many states, and another one that is cut.
    fn run_from(&mut self, saves: u32, cut: u64) -> bool {
        let mut whole = Device::<WORD, PAGE>::new(self.flash.erased.len(), 2);
        assert!(whole.run(saves, None));
        let steps = whole.flash.steps;
        *self = Device {
            flash: Flash::new(self.flash.erased.len(), cut << 8 | saves as u64),
            kept: None,
            tried: 0,
            published: 0,
        };
        self.run(saves + 1, Some(steps + cut))
    }
}

#[test]
fn a_cut_at_any_step_loses_nothing_that_was_kept() {
    let points = [
        every_step::<4, 256>(2, 4),
        every_step::<8, 256>(3, 4),
        every_step::<16, 256>(2, 8),
        every_step::<1, 192>(2, 1),
    ];
    println!("{points:?} cuts");
    assert!(points.iter().all(|&p| p > 20_000));
}

/// Runs of all lengths, cut at random, a hundred and more; but never more than three in a row before their first save
/// was done, which is what a ring promises to stand.
fn random_cuts<const WORD: usize, const PAGE: usize>(pages: usize, seed: u64) {
    let mut random = Random(seed);
    let mut device = Device::<WORD, PAGE>::new(pages, seed);
    let mut in_vain = 0;
    for _ in 0..120 {
        let budget = (in_vain < 3 && random.happens(80)).then(|| random.below(50));
        let (saves, kept) = (random.below(5) as u32, device.kept);
        let lasted = device.run(saves, budget);
        in_vain = match device.kept == kept {
            true => in_vain + !lasted as u32,
            false => 0,
        };
    }
    device.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 400 }))]

    #[test]
    fn cuts_at_random_lose_nothing_that_was_kept(seed in any::<u64>()) {
        random_cuts::<4, 256>(2, seed);
        random_cuts::<4, 512>(3, seed);
        random_cuts::<8, 128>(2, seed);
        random_cuts::<32, 256>(4, seed);
    }
}
