//! Negative controls: common ways to monitor that alarm far too often where nothing is wrong. That they are seen to
//! fail shows that the same counting would see a fault in the monitor.

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::{Core, Gap, Source, plan};

use super::evidence::{FloorTest, LevelTest, WealthTest};
use super::levels::{ALPHA, TOLERANCE, bound};
use super::random::Random;
use super::setup::{NO_GAP, Setup};
use super::threads::each;
use super::worlds::{self, HALF_DAY, Null, Run, World};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// One two-proportion z test at the end, on pooled counts of two equally accurate groups, in a world like
    /// [`Null::Mix`].
    Pooled,
    /// The same z test at 5 % (two-sided) each hour, 50 labels an hour, for 30 days.
    Looks,
    /// Each frame of episodes with so many frames on average is counted as an event.
    Frames(u32),
    /// Sixteen groups, each tested at `1 / α`.
    Uncorrected,
    /// Only wrong answers get a label, and they are told as if a reference had judged.
    Complaints,
    /// No tolerance of gaps worth the name, while accuracies and the mix flip every 50 events.
    NoTolerance,
}

impl Mistake {
    /// Those of the study.
    pub const ALL: [Mistake; 7] = [
        Mistake::Pooled,
        Mistake::Looks,
        Mistake::Frames(5),
        Mistake::Frames(10),
        Mistake::Uncorrected,
        Mistake::Complaints,
        Mistake::NoTolerance,
    ];

    /// For people: the mistake, and what the monitor has against it.
    pub fn words(self) -> (String, &'static str) {
        let (mistake, remedy) = match self {
            Mistake::Pooled => {
                ("two-proportion test on pooled counts while the mix shifts", "settlement, local in time")
            }
            Mistake::Looks => {
                ("the same test repeated each hour for 30 days", "evidence that may be looked at any time")
            }
            Mistake::Frames(frames) => {
                return (format!("each frame counted, {frames} frames an episode"), "episodes: one event each");
            }
            Mistake::Uncorrected => ("16 groups, no correction", "`G / α`"),
            Mistake::Complaints => ("complaints told as a reference's labels", "the source of a label is told"),
            Mistake::NoTolerance => {
                ("a tolerance of 2⁻²⁶ while accuracy and mix flip every 50 events", "a tolerance of 2 points")
            }
        };
        (mistake.into(), remedy)
    }
}

/// Runs that alarmed falsely: with the mistake, and (where it is measured here) with the remedy.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// With the mistake.
    pub alarms: usize,
    /// With the remedy, otherwise the same runs.
    pub remedied: Option<usize>,
    /// Runs of each.
    pub runs: u64,
}

impl Control {
    /// Whether the mistake shows, and the remedy helps.
    pub fn holds(&self) -> bool {
        let bound = bound(self.runs, ALPHA);
        self.alarms > bound && self.remedied.is_none_or(|alarms| alarms <= bound)
    }
}

/// Counts the false alarms of a mistake.
pub fn control(mistake: Mistake, runs: u64) -> Result<Control, Error> {
    let cell = format!("{mistake:?}");
    let counted = |one: &(dyn Fn(u64) -> Result<bool, Error> + Sync)| -> Result<usize, Error> {
        Ok(each(runs, one)?.into_iter().filter(|&alarmed| alarmed).count())
    };
    let (alarms, remedied) = match mistake {
        Mistake::Pooled => (counted(&|run| pooled(&cell, run))?, None),
        Mistake::Looks => (counted(&|run| looks(&cell, run))?, None),
        Mistake::Frames(frames) => {
            let count = |each_frame| counted(&|run| by_frames(frames as f64, each_frame, &cell, run));
            (count(true)?, Some(count(false)?))
        }
        Mistake::Uncorrected => {
            let floors = [0.90, 0.80, 0.95, 0.70].repeat(4);
            let setup = Setup::floors(&floors, 1e4)?;
            let world =
                World { null: Null::Constant, base: floors, swing: [0.0; 2], share: 1.0 / 16.0, events: 50_000 };
            let test = |alpha| FloorTest::new(setup.logarithms(), 16, alpha);
            let count = |test: &FloorTest| counted(&|run| Ok(worlds::alarms(&setup, test, &world, &cell, run)?.0));
            (count(&test(ALPHA))?, Some(count(&test(ALPHA / 16.0))?))
        }
        Mistake::Complaints => {
            let count = |source| counted(&|run| complaints(source, &cell, run));
            (count(Source::Reference)?, Some(count(Source::Complaint)?))
        }
        Mistake::NoTolerance => {
            let tolerance = plan::tolerance(TOLERANCE).ok_or(Error::Monitor("the tolerance is too large"))?;
            let count = |tolerance| counted(&|run| flips(tolerance, &cell, run));
            (count(1)?, Some(count(tolerance)?))
        }
    };
    Ok(Control { alarms, remedied, runs })
}

/// The z statistic of two shares, `right` of `n` each, with the pooled variance.
fn z([n, right]: [f64; 2], [n2, right2]: [f64; 2]) -> f64 {
    let pooled = (right + right2) / (n + n2);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / n2)).sqrt();
    if error > 0.0 { (right2 / n2 - right / n) / error } else { 0.0 }
}

fn pooled(cell: &str, run: u64) -> Result<bool, Error> {
    let world = World { null: Null::Mix, base: vec![0.75; 2], swing: [0.20, 0.0], share: 0.2, events: 4 * HALF_DAY };
    let setup = Setup::floors(&world.base, 1e4)?;
    let mut state = setup.memory::<Core>(0);
    let mut monitor = setup.monitor::<Core>(&mut state, 0)?;
    let mut stream = Run::new(&world, cell, run);
    for _ in 0..world.events {
        let (group, accuracy) = stream.arrival();
        let right = stream.random.chance(accuracy);
        monitor.count(Some(group), right, Source::Reference)?;
    }
    let [group, others] = [0, 1].map(|g| monitor.cells()[g].counts).map(|c| [c.n as f64, c.correct as f64]);
    // One-sided at 5 %.
    Ok(z(group, others) > 1.645)
}

fn looks(cell: &str, run: u64) -> Result<bool, Error> {
    let mut random = Random::of(cell, run);
    let mut counts = [[0.0; 2]; 2];
    for _hour in 0..30 * 24 {
        for label in 0..50 {
            let [n, right] = &mut counts[label % 2];
            *n += 1.0;
            *right += random.chance(0.90) as u8 as f64;
        }
        if z(counts[0], counts[1]).abs() > 1.96 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The floor test over 50,000 frames on the floor, half of the episodes with one outcome for all their frames: each
/// frame is counted, or one frame of each episode.
fn by_frames(mean: f64, each_frame: bool, cell: &str, run: u64) -> Result<bool, Error> {
    let setup = Setup::floors(&[0.90], 1e4)?;
    let test = FloorTest::new(setup.logarithms(), 1, ALPHA);
    let mut state = setup.memory::<Core>(1);
    let mut monitor = setup.monitor::<Core>(&mut state, 1)?;
    let mut random = Random::of(cell, run);
    let mut seen = 0;
    while seen < 50_000 {
        let (frames, sticky) = (random.length(mean), random.chance(0.5));
        let mut right = random.chance(0.90);
        let mut episode = monitor.begin_episode(Some(0))?;
        for frame in 0..frames {
            if frame > 0 && !sticky {
                right = random.chance(0.90);
            }
            if each_frame {
                monitor.count(Some(0), right, Source::Reference)?;
                if test.alarms(0, monitor.cells()) {
                    return Ok(true);
                }
            } else {
                episode.observe(worlds::answer(right));
            }
        }
        if let Some(ticket) = monitor.end_episode(episode)? {
            monitor.label(ticket, worlds::TRUTH, Source::Reference)?;
        }
        if test.alarms(0, monitor.cells()) {
            return Ok(true);
        }
        seen += frames;
    }
    Ok(false)
}

/// A thousand predictions, better than the floor; the wrong ones are heard of.
fn complaints(source: Source, cell: &str, run: u64) -> Result<bool, Error> {
    let setup = Setup::floors(&[0.90], 1e4)?;
    let test = FloorTest::new(setup.logarithms(), 1, ALPHA);
    let mut state = setup.memory::<Core>(0);
    let mut monitor = setup.monitor::<Core>(&mut state, 0)?;
    let mut random = Random::of(cell, run);
    for _ in 0..1000 {
        if !random.chance(0.95) {
            monitor.count(Some(0), false, source)?;
        }
        if test.alarms(0, monitor.cells()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Two equally accurate groups, accuracy (95 and 75 %) and the first one's share (2 and 30 %) flip every 50 events.
fn flips(tolerance: u32, cell: &str, run: u64) -> Result<bool, Error> {
    let setup = Setup::floors(&[0.3, 0.3], 1e5)?.gaps(&[tolerance, NO_GAP], plan::gap(1, 1e4, 8)?);
    let test = WealthTest { threshold: 1.0 / ALPHA, mean: true };
    let mut state = setup.memory::<Gap>(0);
    let mut monitor = setup.monitor::<Gap>(&mut state, 0)?;
    let mut random = Random::of(cell, run);
    for event in 0..20_000 {
        let (share, accuracy) = if event / 50 % 2 == 0 { (0.02, 0.95) } else { (0.30, 0.75) };
        let group = !random.chance(share) as usize;
        monitor.count(Some(group), random.chance(accuracy), Source::Reference)?;
        if test.alarms(group, monitor.cells()) {
            return Ok(true);
        }
    }
    Ok(false)
}
