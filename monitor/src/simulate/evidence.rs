//! The tests that promise a level: the probability that they ever alarm is at most α while all is well.

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::counts::{Logarithms, log2_evidence};
use evenkeel_runtime::monitor::state::BETS;
use evenkeel_runtime::monitor::{Core, Full, Gap, Monitor, Profile, Source};

/// A test that reads what a monitor holds.
pub trait LevelTest: Sync {
    /// What the monitor's cells must hold.
    type Cell: Profile;

    /// Gives the monitor an outcome that is known at once.
    fn tell(&self, monitor: &mut Monitor<Self::Cell>, group: usize, right: bool) -> Result<(), Error> {
        monitor.count(Some(group), right, Source::Reference).map(drop)
    }

    /// Whether the test alarms, now that something was told about `group`.
    fn alarms(&self, group: usize, cells: &[Self::Cell]) -> bool;
}

/// A floor against the counts of right and labelled events.
#[derive(Debug)]
pub struct FloorTest {
    logarithms: Vec<Logarithms>,
    threshold: i64,
    /// The groups that are tested: the first so many.
    watched: usize,
}

impl FloorTest {
    /// Alarms when the evidence reaches `1 / alpha` for any of the first `watched` groups.
    pub fn new(logarithms: Vec<Logarithms>, watched: usize, alpha: f64) -> Self {
        FloorTest { logarithms, threshold: ((1.0 / alpha).log2() * (1 << 24) as f64).ceil() as i64, watched }
    }

    fn reached(&self, group: usize, n: u32, right: u32) -> bool {
        group < self.watched
            && self.logarithms.get(group).is_some_and(|logs| log2_evidence(n, right, logs) >= self.threshold)
    }
}

impl LevelTest for FloorTest {
    type Cell = Core;

    fn alarms(&self, group: usize, cells: &[Core]) -> bool {
        cells.get(group).is_some_and(|cell| self.reached(group, cell.counts.n, cell.counts.correct))
    }
}

/// The same test of how often a larger model agrees.
#[derive(Debug)]
pub struct AgreementTest(pub FloorTest);

impl LevelTest for AgreementTest {
    type Cell = Full;

    fn tell(&self, monitor: &mut Monitor<Full>, group: usize, right: bool) -> Result<(), Error> {
        monitor.shadow(group, right)
    }

    fn alarms(&self, group: usize, cells: &[Full]) -> bool {
        cells.get(group).is_some_and(|cell| {
            let (n, differed) = (cell.traffic.shadowed, cell.traffic.disagreed);
            self.0.reached(group, n, n - differed)
        })
    }
}

/// A gap, by the wealth of its bets.
#[derive(Debug)]
pub struct WealthTest {
    /// `1 / α`.
    pub threshold: f64,
    /// Whether the mean of the wealths counts, or (a little later) the largest one divided by their number.
    pub mean: bool,
}

impl LevelTest for WealthTest {
    type Cell = Gap;

    fn alarms(&self, _: usize, cells: &[Gap]) -> bool {
        cells.iter().map(|cell| &cell.gap).any(|gap| {
            // Wealth moves only when both sides settle, and no mean reaches a threshold that no wealth reaches.
            let settled = gap.own_len == 0 && gap.rest_len == 0;
            settled && gap.exponent.iter().any(|&e| e >= 3) && {
                let wealth = |j: usize| gap.wealth[j] as f64 * f64::from(gap.exponent[j] as i32 - 31).exp2();
                let all = (0..BETS).map(wealth);
                let best = if self.mean { all.sum::<f64>() } else { all.fold(0.0, f64::max) };
                best / BETS as f64 >= self.threshold
            }
        })
    }
}
