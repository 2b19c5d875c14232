//! How often tests that promise a level alarm where nothing is wrong, exactly on the boundary.

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::plan;

use super::evidence::{AgreementTest, FloorTest, LevelTest, WealthTest};
use super::setup::{NO_GAP, Setup};
use super::threads::each;
use super::worlds::{Null, World, alarms};

/// The level of all tests.
pub const ALPHA: f64 = 0.05;
/// The tolerance of gaps.
pub const TOLERANCE: f64 = 0.02;

/// A test, and how many groups it watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The floor of one of two groups, at `1 / α`.
    Floor,
    /// The floors of so many groups, at `G / α` each.
    Floors(usize),
    /// The gap of one of two groups, at `1 / α`.
    Gap,
    /// The gaps of so many groups, at `G / α` each; the first one is on its boundary.
    Gaps(usize),
    /// The agreement with a larger model of one of two groups, at `1 / α`.
    Agreement,
}

impl Test {
    /// Those of the study.
    pub const ALL: [Test; 6] =
        [Test::Floor, Test::Floors(4), Test::Floors(16), Test::Gap, Test::Gaps(4), Test::Agreement];

    /// For people.
    pub fn name(self) -> String {
        match self {
            Test::Floor => "floor".into(),
            Test::Floors(n) => format!("floor, {n} groups"),
            Test::Gap => "gap".into(),
            Test::Gaps(n) => format!("gap, {n} groups"),
            Test::Agreement => "agreement".into(),
        }
    }
}

/// Runs that alarmed falsely.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Runs that alarmed.
    pub alarms: usize,
    /// Runs.
    pub runs: u64,
    /// Events of a run.
    pub events: u32,
    /// Labels that came too late, in all runs.
    pub expired: u64,
}

impl Level {
    /// Whether a test of the level could have alarmed so often by chance.
    pub fn holds(&self) -> bool {
        self.alarms <= bound(self.runs, ALPHA)
    }
}

/// The most alarms among `runs` that a test which alarms with probability `alpha` exceeds with a probability of still
/// more than a thousandth: one less than the 99.9 % quantile of the binomial distribution.
pub fn bound(runs: u64, alpha: f64) -> usize {
    let (n, mut log, mut below) = (runs as f64, runs as f64 * (1.0 - alpha).ln(), 0.0);
    for k in 0..=runs {
        below += f64::exp(log);
        if below >= 0.999 {
            return k.saturating_sub(1) as usize;
        }
        let k = k as f64;
        log += ((n - k) / (k + 1.0) * alpha / (1.0 - alpha)).ln();
    }
    runs as usize
}

/// Counts the false alarms of one test in one world; `None` where the world has no meaning for the test.
pub fn level(test: Test, null: Null, runs: u64, events: u32) -> Result<Option<Level>, Error> {
    let cell = format!("{test:?} {null:?}");
    match test {
        Test::Floor => floors(2, 1, null, &cell, runs, events).map(Some),
        Test::Floors(n) => floors(n, n, null, &cell, runs, events).map(Some),
        Test::Gap => gaps(2, 1, null, &cell, runs, events).map(Some),
        Test::Gaps(n) => gaps(n, n, null, &cell, runs, events).map(Some),
        // A larger model answers at once; that its frames are one event each is up to the caller.
        Test::Agreement if matches!(null, Null::Delayed | Null::Episodes | Null::Ramps) => Ok(None),
        Test::Agreement => {
            let base = on_floors(2, null, &[0.97, 0.99], 0.79);
            let setup = Setup::floors(&base, 1e4)?;
            let test = AgreementTest(FloorTest::new(setup.logarithms(), 1, ALPHA));
            count(&setup, &test, &above_floors(null, base, events), &cell, runs).map(Some)
        }
    }
}

fn floors(groups: usize, watched: usize, null: Null, cell: &str, runs: u64, events: u32) -> Result<Level, Error> {
    let base = on_floors(groups, null, &[0.90, 0.80, 0.95, 0.70], 0.75);
    let setup = Setup::floors(&base, 1e4)?;
    let test = FloorTest::new(setup.logarithms(), watched, ALPHA / watched as f64);
    count(&setup, &test, &above_floors(null, base, events), cell, runs)
}

/// Floors in turn; where accuracies drift they are equal, so that all reach them.
fn on_floors(groups: usize, null: Null, floors: &[f64], reached: f64) -> Vec<f64> {
    let floor = |&p: &f64| if null == Null::Drift { reached } else { p };
    floors.iter().cycle().take(groups).map(floor).collect()
}

/// Accuracies at the floors, and only ever over them.
fn above_floors(null: Null, base: Vec<f64>, events: u32) -> World {
    let swing = match null {
        Null::Drift => [0.20, 0.0],
        Null::Bursts => [0.02, 0.0],
        _ => [0.0, 0.0],
    };
    World { null, base, swing, share: 0.2, events }
}

fn gaps(groups: usize, watched: usize, null: Null, cell: &str, runs: u64, events: u32) -> Result<Level, Error> {
    let tolerance = plan::tolerance(TOLERANCE).ok_or(Error::Monitor("the tolerance is too large"))?;
    let tolerances: Vec<u32> = (0..groups).map(|g| if g < watched { tolerance } else { NO_GAP }).collect();
    // Floors that nobody reaches: the gap alone is in question.
    let setup = Setup::floors(&vec![0.3; groups], 1e4)?.gaps(&tolerances, plan::gap(groups, 1e4, 8)?);
    let test = WealthTest { threshold: watched as f64 / ALPHA, mean: true };
    let swing = if matches!(null, Null::Drift | Null::Mix) { [0.05, -0.15] } else { [0.0, 0.0] };
    let base = (0..groups).map(|g| if g == 0 { 0.90 - TOLERANCE } else { 0.90 }).collect();
    count(&setup, &test, &World { null, base, swing, share: 0.2, events }, cell, runs)
}

fn count<T: LevelTest>(setup: &Setup, test: &T, world: &World, cell: &str, runs: u64) -> Result<Level, Error> {
    let all = each(runs, |run| alarms(setup, test, world, cell, run))?;
    let expired = all.iter().map(|&(_, expired)| expired as u64).sum();
    Ok(Level { alarms: all.iter().filter(|(alarmed, _)| *alarmed).count(), runs, events: world.events, expired })
}
