//! Worlds in which nothing is wrong, but hard to tell from ones where something is: who comes next, how accurate the
//! model is for them, and how their labels arrive.

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::{Monitor, Prediction, Source, Ticket};

use super::evidence::LevelTest;
use super::random::Random;
use super::setup::Setup;

/// Places for late labels.
pub const SLOTS: usize = 64;
/// Labels that are on their way at a time, on average as many events late.
const WAITING: usize = 32;
/// Mean frames of an episode.
pub const FRAMES: f64 = 5.0;
/// Events after which the mix flips.
pub const HALF_DAY: u32 = 2500;

/// What makes a world hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// Nothing: the same rates throughout.
    Constant,
    /// In the first half of the run all accuracies fall together by 20 points, while the first group's share of the
    /// events rises from 20 to 60 %.
    Drift,
    /// Accuracies and the first group's share (2 and 30 %) flip together, every [`HALF_DAY`] events.
    Mix,
    /// Arrivals in bursts of one group, 25 events on average.
    Bursts,
    /// Labels come on average 32 events late, in random order; some never.
    Delayed,
    /// Episodes of 5 frames on average; in half of them all frames share the outcome.
    Episodes,
    /// Episodes of 5 frames whose outcomes hang together, and that get easier from frame to frame.
    Ramps,
}

impl Null {
    /// All of them.
    pub const ALL: [Null; 7] =
        [Null::Constant, Null::Drift, Null::Mix, Null::Bursts, Null::Delayed, Null::Episodes, Null::Ramps];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Null::Constant => "constant",
            Null::Drift => "shared drift",
            Null::Mix => "mix shift",
            Null::Bursts => "bursts",
            Null::Delayed => "delayed labels",
            Null::Episodes => "episodes",
            Null::Ramps => "episodes with a ramp",
        }
    }
}

/// The accuracies of a world.
#[derive(Clone, Debug)]
pub struct World {
    /// What makes it hard.
    pub null: Null,
    /// Accuracy of each group where it is on its boundary.
    pub base: Vec<f64>,
    /// What is added to all accuracies, in the first state and in the second: see [`Null::Drift`], [`Null::Mix`], and
    /// by chance for each burst of [`Null::Bursts`].
    pub swing: [f64; 2],
    /// Share of the first group where it does not change.
    pub share: f64,
    /// Events of a run.
    pub events: u32,
}

/// A run through a world.
#[derive(Debug)]
pub struct Run<'w> {
    world: &'w World,
    /// The random numbers.
    pub random: Random,
    event: u32,
    burst: (u32, usize, f64),
    waiting: Vec<(Ticket, usize)>,
    /// Labels that came too late.
    pub expired: u32,
}

impl<'w> Run<'w> {
    /// Run number `run` of a cell.
    pub fn new(world: &'w World, cell: &str, run: u64) -> Self {
        let random = Random::of(cell, run);
        Run { world, random, event: 0, burst: (0, 0, 0.0), waiting: Vec::with_capacity(WAITING), expired: 0 }
    }

    /// The next event: whose, and with which accuracy.
    pub fn arrival(&mut self) -> (usize, f64) {
        let world = self.world;
        let [first, second] = world.swing;
        let (share, swing) = match world.null {
            Null::Drift => {
                let done = (2.0 * self.event as f64 / world.events as f64).min(1.0);
                (0.2 + 0.4 * done, first + (second - first) * done)
            }
            Null::Mix if (self.event / HALF_DAY).is_multiple_of(2) => (0.02, first),
            Null::Mix => (0.30, second),
            Null::Bursts => {
                if self.burst.0 == 0 {
                    let swing = if self.random.chance(0.5) { first } else { second };
                    self.burst = (self.random.length(25.0), self.group(world.share), swing);
                }
                self.burst.0 -= 1;
                self.event += 1;
                let (_, group, swing) = self.burst;
                return (group, world.base[group] + swing);
            }
            _ => (world.share, second),
        };
        self.event += 1;
        let group = self.group(share);
        (group, world.base[group] + swing)
    }

    fn group(&mut self, share: f64) -> usize {
        let groups = self.world.base.len();
        if groups == 1 || self.random.chance(share) { 0 } else { 1 + self.random.below(groups - 1) }
    }

    /// Lets one event happen to a monitor. Gives the group whose outcome became known, if one did.
    fn happen<T: LevelTest>(&mut self, test: &T, monitor: &mut Monitor<T::Cell>) -> Result<Option<usize>, Error> {
        let (group, accuracy) = self.arrival();
        match self.world.null {
            Null::Delayed => {
                let ticket = monitor.predict(Some(group), answer(self.random.chance(accuracy)))?;
                self.waiting.push((ticket, group));
                if self.waiting.len() < WAITING {
                    return Ok(None);
                }
                let (ticket, group) = self.waiting.swap_remove(self.random.below(WAITING));
                match monitor.label(ticket, TRUTH, Source::Outcome) {
                    Ok(_) => Ok(Some(group)),
                    Err(Error::Ticket(_)) => {
                        self.expired += 1;
                        Ok(None)
                    }
                    Err(e) => Err(e),
                }
            }
            null @ (Null::Episodes | Null::Ramps) => {
                let mut episode = monitor.begin_episode(Some(group))?;
                self.frames(null, accuracy, |right| episode.observe(answer(right)));
                if let Some(ticket) = monitor.end_episode(episode)? {
                    monitor.label(ticket, TRUTH, Source::Reference)?;
                }
                Ok(Some(group))
            }
            _ => test.tell(monitor, group, self.random.chance(accuracy)).map(|()| Some(group)),
        }
    }

    /// The frames of an episode whose mean accuracy is the given one.
    pub fn frames(&mut self, null: Null, accuracy: f64, mut frame: impl FnMut(bool)) {
        if null == Null::Ramps {
            let luck = self.random.uniform();
            [-0.04, -0.02, 0.0, 0.02, 0.04].iter().for_each(|easier| frame(luck < accuracy + easier));
            return;
        }
        let (frames, sticky) = (self.random.length(FRAMES), self.random.chance(0.5));
        let mut right = self.random.chance(accuracy);
        for i in 0..frames {
            if i > 0 && !sticky {
                right = self.random.chance(accuracy);
            }
            frame(right);
        }
    }
}

/// The class that is right.
pub const TRUTH: u16 = 1;

/// A model's answer, right or not.
pub fn answer(right: bool) -> Prediction {
    Prediction { class: TRUTH * right as u16, margin: 100 }
}

/// Lets a run happen to a monitor until a test alarms or the run ends. Gives whether it alarmed, and the labels that
/// came too late.
pub fn alarms<T: LevelTest>(
    setup: &Setup,
    test: &T,
    world: &World,
    cell: &str,
    run: u64,
) -> Result<(bool, u32), Error> {
    let mut state = setup.memory::<T::Cell>(SLOTS);
    let mut monitor = setup.monitor::<T::Cell>(&mut state, SLOTS)?;
    let mut run = Run::new(world, cell, run);
    for _ in 0..world.events {
        if let Some(group) = run.happen(test, &mut monitor)?
            && test.alarms(group, monitor.cells())
        {
            return Ok((true, run.expired));
        }
    }
    Ok((false, run.expired))
}
