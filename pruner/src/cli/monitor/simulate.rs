//! `evenkeel monitor simulate`: streams of events through a file and its monitor.

use super::super::{Target, firmware, floor, print_json};
use super::save::{Saver, fleet_key};
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use evenkeel::chain;
use evenkeel::contract::Contract;
use evenkeel::data::{self, Rows};
use evenkeel::error::{Context, Error, Result};
use evenkeel::report::evidence::{Evidence, GroupTrace};
use evenkeel::stream::{self, Answers, Event, Plan, watch};
use evenkeel_emulator::{Board, Job};
use evenkeel_runtime::Model;
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::FloorRecord;
use evenkeel_runtime::monitor::{AlarmRecord, Config, Full, Kind, Monitor, Raised};
use evenkeel_runtime::preprocess::quantise_input;
use evenkeel_runtime::snapshot::Identity;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Points on the page's time axis.
const STEPS: usize = 60;
/// Predictions that may wait for their labels, as on the emulated boards.
const SLOTS: usize = evenkeel_emulator::image::SLOTS;

/// Streams labelled rows through a file and its monitor, and lets the sensors of some groups go bad.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel monitor simulate model.keel --data set.npz --events 30000 --degrade site=ankle --from 20000 -o evidence.html"
)]
pub struct Simulate {
    /// The .keel file, made under a contract
    model: PathBuf,
    /// The data set
    #[arg(long)]
    data: PathBuf,
    /// The rows that streams are drawn from
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// Events in the stream
    #[arg(long, default_value_t = 600, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    events: usize,
    /// A group whose sensor goes bad, e.g. site=ankle; may be given several times
    #[arg(long)]
    degrade: Vec<String>,
    /// First event from which on it is bad
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// How bad, 0 to 1
    #[arg(long, default_value_t = 0.8)]
    strength: f32,
    /// Share of events whose label ever comes, 0 to 1
    #[arg(long, default_value_t = 1.0)]
    labelled: f64,
    /// Labels come up to so many events late
    #[arg(long, default_value_t = 0, value_parser = RangedU64ValueParser::<usize>::new().range(0..=1_000_000))]
    delay: usize,
    /// Where
    #[arg(long, value_enum, default_value_t = Target::Host)]
    target: Target,
    /// Seed of the stream
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of streams, with seeds from --seed on; each is a device of its own
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    seeds: usize,
    /// Save the first stream's evidence over time as a page
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Folder for the devices' snapshots
    #[arg(long, requires = "key")]
    snapshots: Option<PathBuf>,
    /// File with the fleet's key, 64 hexadecimal digits
    #[arg(long)]
    key: Option<PathBuf>,
    /// A snapshot after so many labelled events, and after each alarm
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Rows of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Split {
    /// Those that the file was certified on: the field is then what the certificate says
    Test,
    /// Those that the network was selected on
    Val,
}

/// Event, kind and group of an alarm.
type Rang = (usize, Kind, usize);

/// One stream's end.
struct Done {
    seed: u64,
    state: Vec<u32>,
    events: u32,
    alarms: Vec<AlarmRecord>,
    /// Every alarm in the stream.
    rang: Vec<Rang>,
    cells: Vec<Full>,
}

impl Simulate {
    pub fn run(&self) -> Result<()> {
        for (name, share) in [("--labelled", self.labelled), ("--strength", f64::from(self.strength))] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::new(format!("{name} must be between 0 and 1")));
            }
        }
        let file = MappedFile::open(&self.model).at(&self.model)?;
        let model = chain::open(file.bytes(), &self.model)?;
        if model.monitor().is_none() {
            return Err(Error::new("the file configures no monitor")
                .at(&self.model)
                .help("make it with `evenkeel prune` under a contract on accuracy"));
        }
        let rows = self.rows(&model)?;
        let mut answers = Answers::default();
        let mut done = Vec::new();
        for seed in (self.seed..).take(self.seeds) {
            let plan = self.plan(seed);
            let events = stream::draw(&model, &rows, &plan).map_err(|e| e.at(&self.data))?;
            answers.learn(&model, &rows, &events, self.strength).map_err(|e| e.at(&self.data))?;
            let first = done.is_empty();
            done.push(self.stream(&model, &events, &answers, seed, first)?);
            if first && self.target != Target::Host {
                let log = self.on_device(&model, file.bytes(), &rows, &events, &done[0].state)?;
                if !self.json {
                    log.iter().for_each(|line| say!("  device | {line}"));
                    say!("monitor states on the device and on this host are equal, byte for byte");
                }
            }
        }
        self.print(&model, &done)
    }

    fn rows(&self, model: &Model) -> Result<Rows> {
        let data = data::load(&self.data)?;
        if self.split == Split::Val {
            return Ok(data.select);
        }
        let (head, _) = model.certificate().ok_or_else(|| {
            Error::new("the file carries no certificate").at(&self.model).help("make it with `evenkeel prune`")
        })?;
        let contract = Contract::parse(model.contract()).map_err(|e| e.at(&self.model))?;
        data.verdict.certified(head.data_hash, &contract.fairness).ok_or_else(|| {
            Error::new("the split `test` does not hold the rows that the certificate was made on")
                .at(&self.data)
                .help("give the data set that the file was made with, or stream its selection rows with --split val")
        })
    }

    fn plan(&self, seed: u64) -> Plan {
        Plan {
            events: self.events,
            degrade: self.degrade.clone(),
            from: self.from,
            strength: self.strength,
            labelled: self.labelled,
            delay: self.delay,
            seed,
        }
    }

    /// Runs one stream on this host; the page is of the first one.
    fn stream(&self, model: &Model, events: &[Event], answers: &Answers, seed: u64, first: bool) -> Result<Done> {
        let config = Config::of(model).at(&self.model)?.ok_or_else(|| Error::new("the file configures no monitor"))?;
        let identity = Identity { device: seed, model: config.model, config: config.hash };
        let mut saver = match (&self.snapshots, &self.key) {
            (Some(folder), Some(key)) => Some(Saver::new(folder, &fleet_key(key)?, identity)?),
            _ => None,
        };
        let mut page = self.output.as_ref().filter(|_| first).map(|_| Tracer::new(model, self));
        let (mut rang, mut alarms, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        let (mut saved, mut labelled) = (0, 0);
        let state = watch(config, events, answers, SLOTS, |at, monitor: &mut Monitor<Full>, raised: Raised| {
            rang.extend(raised.iter().map(|(kind, group)| (at + 1, kind, group)));
            if let Some(page) = &mut page {
                page.look(at, monitor, raised);
            }
            labelled = monitor.common().events;
            let last = at + 1 == events.len();
            if let Some(saver) = &mut saver
                && (raised.any() || labelled - saved >= self.every || last)
            {
                saver.save(monitor)?;
                saved = labelled;
            }
            if last {
                (alarms, cells) = (monitor.alarms().copied().collect(), monitor.cells().to_vec());
            }
            Ok(())
        })?;
        if let (Some(page), Some(path)) = (page, &self.output) {
            page.evidence.save(path)?;
        }
        Ok(Done { seed, state, events: labelled, alarms, rang, cells })
    }

    /// Runs the stream on the device; gives its log.
    fn on_device(
        &self,
        model: &Model,
        bytes: &[u8],
        rows: &Rows,
        events: &[Event],
        host: &[u32],
    ) -> Result<Vec<String>> {
        self.target.check(model, &self.model)?;
        let Some(board) = self.target.board() else {
            return Err(
                Error::new("the monitor is not simulated on aarch64").help("take --target host: it counts the same")
            );
        };
        if self.delay > 0 {
            return Err(Error::new("the emulated device is told labels at once").help("leave out --delay"));
        }
        let width = model.input().elements();
        let mut inputs = vec![0; events.len() * width];
        let (mut labels, mut groups) = (Vec::new(), Vec::new());
        for (event, q) in events.iter().zip(inputs.chunks_mut(width)) {
            quantise_input(model, &stream::input(rows, event.sample, self.strength), q).context("input")?;
            let truth = u8::try_from(event.truth).ok().filter(|&t| t != UNKNOWN);
            let truth = truth.ok_or_else(|| Error::new("the emulated device takes classes below 255"))?;
            labels.push(if event.due.is_some() { truth } else { UNKNOWN });
            groups.push(event.group.map_or(UNKNOWN, |g| g as u8));
        }
        let outcome = emulated(board, bytes, &inputs, &labels, &groups)?;
        if outcome.monitor != host {
            return Err(Error::new("the monitor on the emulated device is in another state than on this host"));
        }
        Ok(outcome.log)
    }

    fn print(&self, model: &Model, done: &[Done]) -> Result<()> {
        let floors = model.monitor().map_or(&[][..], |m| m.1);
        let name = |i: usize| floors.get(i).map_or("", |f| model.name(f.name));
        let of = |d: &Done, kind: Kind, group: usize| {
            let record = d.alarms.iter().find(|r| (r.kind, usize::from(r.group)) == (kind as u8, group));
            record.map_or((0, 0), |r| (r.times, r.events))
        };
        let Some(first) = done.first() else { return Ok(()) };
        if self.json {
            let group = |i: usize, cell: &Full| {
                let ((alarms, first_alarm), (gaps, first_gap)) = (of(first, Kind::Floor, i), of(first, Kind::Gap, i));
                let c = cell.counts;
                json!({"group": name(i), "n": c.n, "correct": c.correct, "floor": floors.get(i).map(floor), "alarms": alarms,
                       "first_alarm": first_alarm, "gap_alarms": gaps, "first_gap_alarm": first_gap,
                       "predictions": cell.traffic.predictions(), "expired": cell.traffic.expired})
            };
            let groups: Vec<Value> = first.cells.iter().enumerate().map(|(i, c)| group(i, c)).collect();
            let stream = |d: &Done| {
                let alarm = |&(at, kind, g): &Rang| json!({"event": at, "kind": kind.words(), "group": name(g)});
                let t = self.tally(d, &name);
                json!({"seed": d.seed, "early": t.early, "other_groups": t.others, "delay": t.delay, "alarms": d.rang.iter().map(alarm).collect::<Vec<_>>()})
            };
            return print_json(&json!({
                "events": first.events, "degraded": self.degrade, "from": self.from, "device_equals_host": self.target != Target::Host,
                "groups": groups, "streams": done.iter().map(stream).collect::<Vec<_>>(),
            }));
        }
        for (i, cell) in first.cells.iter().enumerate() {
            let alarm = |kind| match of(first, kind, i) {
                (0, _) => String::new(),
                (times, at) => format!("ALARM ({}) at event {at}, {times} in all; ", kind.words()),
            };
            let alarms = format!("{}{}", alarm(Kind::Floor), alarm(Kind::Gap));
            let c = cell.counts;
            say!(
                "  {:<30} {:>6} of {:>6} right ({:.3}), floor {:.3}: {}",
                name(i),
                c.correct,
                c.n,
                f64::from(c.correct) / f64::from(c.n.max(1)),
                floors.get(i).map_or(0.0, floor),
                if alarms.is_empty() { "no alarm" } else { alarms.trim_end_matches("; ") }
            );
        }
        if done.len() > 1 {
            let tallies: Vec<Tally> = done.iter().map(|d| self.tally(d, &name)).collect();
            let count = |is: fn(&Tally) -> bool| tallies.iter().filter(|t| is(t)).count();
            let silent = count(|t| t.early == 0);
            let mut delays: Vec<usize> = tallies.iter().filter_map(|t| t.delay).collect();
            delays.sort_unstable();
            let median = delays.get(delays.len() / 2).map_or("none".to_owned(), usize::to_string);
            say!("{} streams: {silent} without any alarm while all was well", done.len());
            if !self.degrade.is_empty() {
                say!(
                    "  {} alarmed for a degraded group (median delay {median} events), {} for another one",
                    delays.len(),
                    count(|t| t.others > 0)
                );
            }
        }
        Ok(())
    }

    /// Alarms before anything went bad, of other groups afterwards, and how long the first right one took.
    fn tally<'n>(&self, done: &Done, name: &impl Fn(usize) -> &'n str) -> Tally {
        let bad = |group: usize| self.degrade.iter().any(|n| n == name(group));
        let from = if self.degrade.is_empty() { usize::MAX } else { self.from };
        let (early, late): (Vec<Rang>, Vec<Rang>) = done.rang.iter().partition(|(at, ..)| *at <= from);
        Tally {
            early: early.len(),
            others: late.iter().filter(|(.., group)| !bad(*group)).count(),
            delay: late.iter().find(|(.., group)| bad(*group)).map(|(at, ..)| at - from),
        }
    }
}

/// What a stream's alarms were worth.
struct Tally {
    early: usize,
    others: usize,
    delay: Option<usize>,
}

/// What stands for a label or a group that nobody knows in the device's batches.
const UNKNOWN: u8 = 255;

fn emulated(
    board: Board,
    model: &[u8],
    inputs: &[i8],
    labels: &[u8],
    groups: &[u8],
) -> Result<evenkeel_emulator::Outcome> {
    let firmware = firmware(board)?;
    let job = Job {
        board,
        firmware: &firmware,
        model,
        inputs,
        labels: Some(labels),
        groups: Some(groups),
        portable: false,
        states: true,
    };
    evenkeel_emulator::run(&job).map_err(Error::new)
}

/// Collects what the page shows.
struct Tracer {
    evidence: Evidence,
    thresholds: [f64; 2],
    /// Counts of each group when the step began.
    from: Vec<(u32, u32)>,
}

impl Tracer {
    fn new(model: &Model, s: &Simulate) -> Self {
        let floors = model.monitor().map_or(&[][..], |m| m.1);
        let group = |f: &FloorRecord| {
            let name = model.name(f.name).to_owned();
            GroupTrace { degraded: s.degrade.contains(&name), name, floor: floor(f), ..GroupTrace::default() }
        };
        let groups: Vec<GroupTrace> = floors.iter().map(group).collect();
        let about = match s.degrade.as_slice() {
            [] => format!("{} healthy events.", s.events),
            bad => {
                format!("{} events; from event {} on the sensor of {} is bad.", s.events, s.from + 1, bad.join(", "))
            }
        };
        let title = s.model.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let thresholds = [
            model.monitor().map_or(1.0, |(head, _)| f64::from(head.threshold)),
            model.field().map_or(1.0, |field| f64::from(field.head.gap_threshold)),
        ];
        let from = vec![(0, 0); groups.len()];
        Tracer { evidence: Evidence { title, about, step: s.events.div_ceil(STEPS), groups }, thresholds, from }
    }

    fn look(&mut self, at: usize, monitor: &Monitor<Full>, raised: Raised) {
        let begins = at.is_multiple_of(self.evidence.step);
        for (i, (trace, cell)) in self.evidence.groups.iter_mut().zip(monitor.cells()).enumerate() {
            if begins {
                self.from[i] = (cell.counts.n, cell.counts.correct);
                trace.below.push(0.0);
                trace.behind.push(0.0);
                trace.accuracy.push(f64::NAN);
            }
            let evidence = [&cell.floor.evidence, &cell.gap.evidence];
            let rang = [raised.floor, raised.gap].map(|mask| mask >> i & 1 != 0);
            for (k, series) in [&mut trace.below, &mut trace.behind].into_iter().enumerate() {
                let sum: u64 = evidence[k].iter().map(|&e| u64::from(e)).sum();
                let share = if rang[k] { 1.0 } else { sum as f64 / self.thresholds[k] };
                series.last_mut().into_iter().for_each(|last| *last = last.max(share));
            }
            let (n, correct) = (cell.counts.n - self.from[i].0, cell.counts.correct - self.from[i].1);
            if n > 0 {
                trace.accuracy.last_mut().into_iter().for_each(|last| *last = f64::from(correct) / f64::from(n));
            }
        }
        for (kind, group) in raised.iter() {
            self.evidence.groups[group].alarms.push(format!("{} at event {}", kind.words(), at + 1));
        }
    }
}
