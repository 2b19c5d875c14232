//! Streams of events through a file and its monitor, drawn from a data set, with groups whose sensor goes bad.

use crate::chain;
use crate::contract::Contract;
use crate::data::{Rows, parse_groups, synth};
use crate::error::{Context, Error, Result};
use evenkeel_runtime::Model;
use evenkeel_runtime::monitor::{Config, Monitor, Prediction, Profile, Raised, Source, Ticket, words};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::{BTreeMap, HashMap};

/// Ways in which a bad sensor spoils the same row.
const VARIANTS: u32 = 4;

/// What a stream is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Events.
    pub events: usize,
    /// Groups whose sensor goes bad, e.g. `site=ankle`.
    pub degrade: Vec<String>,
    /// First event from which on it is bad.
    pub from: usize,
    /// How bad, 0 to 1.
    pub strength: f32,
    /// Share of events whose label ever comes.
    pub labelled: f64,
    /// A label comes up to so many events late, evenly.
    pub delay: usize,
    /// Seed.
    pub seed: u64,
}

/// Something that happened: a row, spoilt in one of the ways or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Index of the row.
    pub row: usize,
    /// The way in which its sensor is bad.
    pub variant: Option<u32>,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What is measured.
    pub sample: Sample,
    /// The monitor's group; `None` for one that it does not know.
    pub group: Option<usize>,
    /// The true class.
    pub truth: u16,
    /// The event after which the label is known; `None` for never.
    pub due: Option<usize>,
}

/// Draws the events of a stream from `rows`.
///
/// # Errors
/// When the file has no monitor, a group to degrade is not there, or rows and model do not fit.
pub fn draw(model: &Model, rows: &Rows, plan: &Plan) -> Result<Vec<Event>> {
    let Some((_, floors)) = model.monitor() else {
        return Err(Error::new("the file configures no monitor")
            .help("make it with `evenkeel prune` under a contract on accuracy"));
    };
    let width = model.input().elements();
    if rows.is_empty() {
        return Err(Error::new("there are no rows to draw a stream from").help("choose another --split"));
    }
    if rows.width() != width {
        return Err(Error::new(format!("samples have {} values, the model takes {width}", rows.width())));
    }
    let contract = Contract::parse(model.contract())?;
    // The monitor counts the groups of the contract's first entry: they partition the rows.
    let groups = parse_groups(rows, &contract.fairness.groups[..1])?;
    let index = |name: &str| floors.iter().position(|f| model.name(f.name) == name);
    let index: Vec<Option<usize>> = groups.groups.iter().map(|g| index(&g.name)).collect();
    let bad = plan.degrade.iter().map(|name| {
        groups.groups.iter().position(|g| &g.name == name).ok_or_else(|| {
            let names: Vec<_> = groups.groups.iter().map(|g| g.name.as_str()).collect();
            Error::new(format!("there is no group `{name}`"))
                .help(format!("the monitor's groups are {}", names.join(", ")))
        })
    });
    let bad = bad.collect::<Result<Vec<usize>>>()?;
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let event = |at: usize| {
        let row = rng.random_range(0..rows.len());
        let group = groups.of_row[row][0] as usize;
        let spoilt = bad.contains(&group) && at >= plan.from && plan.strength > 0.0;
        let variant = spoilt.then(|| rng.random_range(0..VARIANTS));
        let due = rng.random_bool(plan.labelled).then(|| at + rng.random_range(0..=plan.delay));
        let truth = u16::try_from(rows.y[row]).map_err(|_| Error::new("classes above 65535 are not monitored"))?;
        Ok(Event { sample: Sample { row, variant }, group: index[group], truth, due })
    };
    (0..plan.events).map(event).collect()
}

/// The raw values of a sample. The same sample is always spoilt in the same way.
pub fn input(rows: &Rows, sample: Sample, strength: f32) -> Vec<f32> {
    let mut x = rows.row(sample.row).to_vec();
    if let Some(variant) = sample.variant {
        let seed = (sample.row as u64) << 8 | u64::from(variant);
        synth::degrade(&mut x, &rows.sample, strength, &mut ChaCha8Rng::seed_from_u64(seed));
    }
    x
}

/// What the model answers to samples: streams of one data set share them.
#[derive(Debug, Default)]
pub struct Answers {
    known: HashMap<Sample, Prediction>,
}

impl Answers {
    /// Runs the model on the samples of a stream that it was not asked before.
    ///
    /// # Errors
    /// When rows and model do not fit.
    pub fn learn(&mut self, model: &Model, rows: &Rows, events: &[Event], strength: f32) -> Result<()> {
        let mut new: Vec<Sample> =
            events.iter().map(|e| e.sample).filter(|sample| !self.known.contains_key(sample)).collect();
        new.sort_unstable_by_key(|s| (s.row, s.variant));
        new.dedup();
        // Chunks, so that large images do not all lie in memory at once.
        for samples in new.chunks(4096) {
            let x: Vec<f32> = samples.iter().flat_map(|&s| input(rows, s, strength)).collect();
            let outputs = chain::int8_outputs(model, &x, rows.width())?;
            let answers = outputs.chunks(model.output().elements()).map(Prediction::of_outputs);
            self.known.extend(samples.iter().copied().zip(answers));
        }
        Ok(())
    }

    fn of(&self, sample: Sample) -> Prediction {
        self.known.get(&sample).copied().unwrap_or_default()
    }
}

/// Runs a stream through a monitor with room for so many pending labels; `look` sees the monitor after each event, and what
/// that event raised. Gives the monitor's memory.
///
/// # Errors
/// Those of `look`.
pub fn watch<P: Profile>(
    config: Config,
    events: &[Event],
    answers: &Answers,
    slots: usize,
    mut look: impl FnMut(usize, &mut Monitor<P>, Raised) -> Result<()>,
) -> Result<Vec<u32>> {
    let mut state = vec![0; words::<P>(config.groups(), slots)];
    let mut monitor = Monitor::<P>::new(config, &mut state, slots).context("monitor")?;
    let mut late: BTreeMap<usize, Vec<(Ticket, u16)>> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        let ticket = monitor.predict(event.group, answers.of(event.sample)).context("monitor")?;
        if let Some(due) = event.due {
            late.entry(due).or_default().push((ticket, event.truth));
        }
        let mut raised = Raised::default();
        while let Some(labels) = late.first_entry().filter(|e| *e.key() <= at) {
            for (ticket, truth) in labels.remove() {
                // A label that comes after its ticket has expired is lost, as on the device, which counts it.
                let more = monitor.label(ticket, truth, Source::Reference).unwrap_or_default();
                raised = Raised { floor: raised.floor | more.floor, gap: raised.gap | more.gap };
            }
        }
        look(at, &mut monitor, raised)?;
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows {
            sample: vec![1, 8],
            x: (0..40).map(|i| i as f32).collect(),
            y: vec![0; 5],
            classes: 1,
            columns: [].into(),
        }
    }

    #[test]
    fn a_sample_is_always_spoilt_alike() {
        let rows = rows();
        let at = |row, variant| input(&rows, Sample { row, variant }, 0.8);
        assert_eq!(at(2, None), rows.row(2));
        assert_eq!(at(2, Some(1)), at(2, Some(1)));
        assert!(at(2, Some(1)) != at(2, Some(2)) && at(2, Some(1)) != at(3, Some(1)));
        assert_eq!(input(&rows, Sample { row: 2, variant: Some(1) }, 0.0), rows.row(2));
    }

    #[test]
    fn labels_come_when_they_are_due_and_no_later_than_the_ring_keeps_them() {
        use evenkeel_runtime::format::NameRef;
        use evenkeel_runtime::monitor::{Full, plan};
        let (head, floors) = (plan::head(1, 1000.0, 8).unwrap(), [plan::floor_record(NameRef::default(), 0.5)]);
        let config = Config::new(&head, &floors, None).unwrap();
        let event = |at: usize, delay: Option<usize>| Event {
            sample: Sample { row: 0, variant: None },
            group: (at != 3).then_some(0),
            truth: 0,
            due: delay.map(|d| at + d),
        };
        // At once, late, never, of nobody's group, too late for a ring of two.
        let delays = [Some(0), Some(1), None, Some(0), Some(3), Some(0), Some(0), Some(0)];
        let events: Vec<Event> = delays.into_iter().enumerate().map(|(at, d)| event(at, d)).collect();
        let mut seen = Vec::new();
        let look = |_: usize, m: &mut Monitor<Full>, _: Raised| {
            seen.push((m.common().events, m.common().unknown.n, m.cells()[0].traffic.expired));
            Ok(())
        };
        watch::<Full>(config, &events, &Answers::default(), 2, look).unwrap();
        assert_eq!(seen, [(1, 0, 0), (1, 0, 0), (2, 0, 0), (2, 1, 0), (2, 1, 1), (3, 1, 1), (4, 1, 2), (5, 1, 2)]);
    }
}
