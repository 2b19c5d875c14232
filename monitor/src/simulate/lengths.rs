//! How long detectors run until they ring falsely, exactly on the boundary.

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::{Alarm, Gap, Monitor, Profile, Source, plan};

use super::levels::TOLERANCE;
use super::random::Random;
use super::setup::{NO_GAP, Setup};
use super::threads::each;

/// Runs of one cell are cut after so many times the run length that is promised: the mean can only become smaller.
pub const CUT: f64 = 20.0;

/// What rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    /// The floors of so many groups.
    Floors(usize),
    /// The gaps of so many groups.
    Gaps(usize),
    /// The gap of one of two groups, whose threshold is that of a single detector. Its run length is of settlements:
    /// what it promises before the events between them are added.
    Gap,
}

impl Detector {
    /// Those of the study.
    pub const ALL: [Detector; 7] = [
        Detector::Floors(1),
        Detector::Floors(4),
        Detector::Floors(16),
        Detector::Gap,
        Detector::Gaps(2),
        Detector::Gaps(4),
        Detector::Gaps(16),
    ];
}

/// Mean run length of a detector.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// The run length that is promised.
    pub promised: f64,
    /// The mean over runs, in labelled events of all groups.
    pub mean: f64,
    /// Runs.
    pub runs: u64,
    /// Runs that were cut.
    pub cut: usize,
}

impl Length {
    /// The least mean that is no evidence against the promise: three standard errors of an exponential time below it.
    pub fn bound(&self) -> f64 {
        self.promised * (1.0 - 3.0 / (self.runs as f64).sqrt())
    }

    /// Whether the promise stands.
    pub fn holds(&self) -> bool {
        self.mean >= self.bound()
    }
}

/// Measures one detector that promises `arl` events. All groups of floors are on their floors. Of the groups of gaps
/// half are as far behind as is tolerated; as everybody is compared with all others, those are behind the rest by more.
pub fn length(detector: Detector, arl: f64, runs: u64) -> Result<Length, Error> {
    let cell = format!("{detector:?} {arl}");
    let tolerance = plan::tolerance(TOLERANCE).ok_or(Error::Monitor("the tolerance is too large"))?;
    match detector {
        Detector::Floors(groups) => {
            let floors: Vec<f64> = [0.90, 0.80, 0.95, 0.70].into_iter().cycle().take(groups).collect();
            measure::<Alarm>(&Setup::floors(&floors, arl)?, &floors, |m| m.common().events, arl, &cell, runs)
        }
        Detector::Gaps(groups) => {
            let low = groups / 2;
            let behind = TOLERANCE * (groups - 1) as f64 / (groups - low) as f64;
            let accuracies: Vec<f64> = (0..groups).map(|g| if g < low { 0.90 - behind } else { 0.90 }).collect();
            let setup = Setup::floors(&vec![NEVER; groups], 1e5)?;
            let setup = setup.gaps(&vec![tolerance; groups], plan::gap(groups, arl, 8)?);
            measure::<Gap>(&setup, &accuracies, |m| m.common().events, arl, &cell, runs)
        }
        Detector::Gap => {
            let setup = Setup::floors(&[NEVER; 2], 1e5)?.gaps(&[tolerance, NO_GAP], plan::gap(1, arl, 8)?);
            let settled = |m: &Monitor<Gap>| m.cells()[0].gap.settled;
            measure::<Gap>(&setup, &[0.90 - TOLERANCE, 0.90], settled, arl, &cell, runs)
        }
    }
}

/// A floor that nobody reaches within a run.
const NEVER: f64 = 0.3;

fn measure<P: Profile>(
    setup: &Setup,
    accuracies: &[f64],
    age: impl Fn(&Monitor<P>) -> u32 + Sync,
    arl: f64,
    cell: &str,
    runs: u64,
) -> Result<Length, Error> {
    let longest = (arl * CUT) as u32;
    let times = each(runs, |run| {
        let mut random = Random::of(cell, run);
        let mut state = setup.memory::<P>(0);
        let mut monitor = setup.monitor::<P>(&mut state, 0)?;
        while age(&monitor) < longest {
            let group = random.below(accuracies.len());
            if monitor.count(Some(group), random.chance(accuracies[group]), Source::Reference)?.any() {
                return Ok((age(&monitor), false));
            }
        }
        Ok((longest, true))
    })?;
    let mean = times.iter().map(|&(t, _)| t as f64).sum::<f64>() / runs as f64;
    Ok(Length { promised: arl, mean, runs, cut: times.iter().filter(|(_, cut)| *cut).count() })
}
