//! How long real changes go unseen, beside the figures of the prototype that the methods were chosen by.

use evenkeel_runtime::Error;
use evenkeel_runtime::monitor::{Alarm, Core, Gap, Source, plan};

use super::evidence::{FloorTest, LevelTest, WealthTest};
use super::random::Random;
use super::setup::{NO_GAP, Setup};
use super::threads::each;

/// Labelled events of the group until its alarm: median and 90 % quantile.
pub type Quantiles = [f64; 2];

/// How far a figure may lie from the prototype's.
pub const CLOSE: f64 = 0.15;

/// A delay, measured and expected.
#[derive(Clone, Debug)]
pub struct Delay {
    /// What happens.
    pub what: String,
    /// The prototype's figures; the second one is 0 where there is none.
    pub expected: Quantiles,
    /// Those of the monitor.
    pub measured: Quantiles,
    /// Runs that count.
    pub runs: usize,
    /// Runs that alarmed before anything happened; they do not count.
    pub early: usize,
}

impl Delay {
    /// Relative differences from the prototype's figures.
    pub fn differences(&self) -> Quantiles {
        let difference =
            |i: usize| if self.expected[i] > 0.0 { self.measured[i] / self.expected[i] - 1.0 } else { 0.0 };
        [difference(0), difference(1)]
    }

    /// Whether both are close.
    pub fn holds(&self) -> bool {
        self.differences().iter().all(|d| d.abs() <= CLOSE)
    }
}

/// The share `at` of ordered values, between the two next to it.
fn quantile(ordered: &[f64], at: f64) -> f64 {
    let place = at * ordered.len().saturating_sub(1) as f64;
    let value = |i: usize| ordered.get(i).copied().unwrap_or(f64::INFINITY);
    let (low, high) = (value(place as usize), value(place.ceil() as usize));
    if low == high { low } else { low + (high - low) * place.fract() }
}

/// From the delays of runs (`None`: alarmed too early; infinite: never).
fn delay(what: String, expected: Quantiles, all: Vec<Option<f64>>) -> Delay {
    let mut delays: Vec<f64> = all.iter().flatten().copied().collect();
    delays.sort_by(f64::total_cmp);
    let measured = [quantile(&delays, 0.5), quantile(&delays, 0.9)];
    Delay { what, expected, measured, runs: delays.len(), early: all.len() - delays.len() }
}

/// The floor test from counts: true accuracy `p` below the floor `p0` from the first event.
pub fn floor(p0: f64, p: f64, alpha: f64, expected: Quantiles, runs: u64) -> Result<Delay, Error> {
    let setup = Setup::floors(&[p0], 1e4)?;
    let test = FloorTest::new(setup.logarithms(), 1, alpha);
    let what = format!("{} → {}, α {}", percent(p0), percent(p), level(alpha));
    let all = each(runs, |run| {
        let mut random = Random::of(&what, run);
        let mut state = setup.memory::<Core>(0);
        let mut monitor = setup.monitor::<Core>(&mut state, 0)?;
        for event in 1..=60_000 {
            monitor.count(Some(0), random.chance(p), Source::Reference)?;
            if test.alarms(0, monitor.cells()) {
                return Ok(Some(f64::from(event)));
            }
        }
        Ok(Some(f64::INFINITY))
    })?;
    Ok(delay(what, expected, all))
}

/// The floor detector: accuracy 92 % for `history` events over the floor of 90 %, then `p`; run length 10,000.
pub fn change(history: u32, p: f64, expected: Quantiles, runs: u64) -> Result<Delay, Error> {
    let setup = Setup::floors(&[0.90], 1e4)?;
    let what = format!("{} after {history} events at 92 %", percent(p));
    let all = each(runs, |run| {
        let mut random = Random::of(&what, run);
        let mut state = setup.memory::<Alarm>(0);
        let mut monitor = setup.monitor::<Alarm>(&mut state, 0)?;
        for event in 1..=history + 60_000 {
            let accuracy = if event <= history { 0.92 } else { p };
            if monitor.count(Some(0), random.chance(accuracy), Source::Reference)?.any() {
                return Ok((event > history).then_some((event.saturating_sub(history)) as f64));
            }
        }
        Ok(Some(f64::INFINITY))
    })?;
    Ok(delay(what, expected, all))
}

/// Two groups that differ.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Accuracy of everybody else.
    pub others: f64,
    /// Accuracy of the group.
    pub group: f64,
    /// Its share of the events.
    pub share: f64,
}

/// The gap test by wealth, with a gap from the first event; a tolerance in Q26.
pub fn gap(pair: Pair, tolerance: u32, alpha: f64, expected: Quantiles, runs: u64) -> Result<Delay, Error> {
    let setup = Setup::floors(&[0.3, 0.3], 1e5)?.gaps(&[tolerance, NO_GAP], plan::gap(1, 1e4, 8)?);
    let test = WealthTest { threshold: 1.0 / alpha, mean: false };
    let Pair { others, group, share } = pair;
    let what = format!("{} / {}, share {}, α {}", percent(others), percent(group), percent(share), level(alpha));
    let longest = if share < 0.5 { (30_000.0 / share).min(400_000.0) as u32 } else { 80_000 };
    let all = each(runs, |run| {
        let mut random = Random::of(&format!("{what} {tolerance}"), run);
        let mut state = setup.memory::<Gap>(0);
        let mut monitor = setup.monitor::<Gap>(&mut state, 0)?;
        for _ in 0..longest {
            let own = random.chance(share);
            let right = random.chance(if own { group } else { others });
            monitor.count(Some(!own as usize), right, Source::Reference)?;
            if test.alarms(0, monitor.cells()) {
                return Ok(Some(monitor.cells()[0].counts.n as f64));
            }
        }
        Ok(Some(f64::INFINITY))
    })?;
    Ok(delay(what, expected, all))
}

/// The gap detector with a tolerance of 2 points: no gap for 20,000 events at 90 %, then one; run length 10,000 for the
/// one detector.
pub fn gap_change(points: u32, share: f64, expected: f64, runs: u64) -> Result<Delay, Error> {
    const HISTORY: u32 = 20_000;
    let tolerance = plan::tolerance(0.02).ok_or(Error::Monitor("the tolerance is too large"))?;
    let setup = Setup::floors(&[0.3, 0.3], 1e5)?.gaps(&[tolerance, NO_GAP], plan::gap(1, 1e4, 12)?);
    let what = format!("gap of {points} points, share {}", percent(share));
    let behind = 0.90 - f64::from(points) / 100.0;
    let all = each(runs, |run| {
        let mut random = Random::of(&what, run);
        let mut state = setup.memory::<Gap>(0);
        let mut monitor = setup.monitor::<Gap>(&mut state, 0)?;
        let mut before = 0;
        for event in 1..=HISTORY + 400_000 {
            let own = random.chance(share);
            let right = random.chance(if own && event > HISTORY { behind } else { 0.90 });
            let rang = monitor.count(Some(!own as usize), right, Source::Reference)?.gap != 0;
            let n = monitor.cells()[0].counts.n;
            if event == HISTORY {
                before = n;
            }
            if rang {
                return Ok((event > HISTORY).then_some((n - before) as f64));
            }
        }
        Ok(Some(f64::INFINITY))
    })?;
    Ok(delay(what, [expected, 0.0], all))
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}

fn level(alpha: f64) -> String {
    if alpha == 0.05 / 16.0 { "0.05/16".into() } else { format!("{alpha}") }
}
