//! `evenkeel monitor`: the device monitor, tried out before it is in the field.

use super::{Target, firmware, floor, print_json};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use evenkeel::chain;
use evenkeel::contract::Contract;
use evenkeel::data::{self, parse_groups, synth};
use evenkeel::error::{Context, Error, Result};
use evenkeel_emulator::{Board, Job};
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::monitor::{GroupState, Monitor as Detector};
use evenkeel_runtime::preprocess::quantise_input;
use evenkeel_runtime::{Model, Session};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;
use std::path::PathBuf;

/// Works with the monitor that a .keel file configures.
#[derive(Args)]
pub struct Monitor {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Simulate(Simulate),
}

/// Streams labelled rows through a file and its monitor, and lets the sensor of one group go bad.
#[derive(Args)]
#[command(
    after_help = "Example: evenkeel monitor simulate model.keel --data set.npz --events 800 --degrade site=ankle --from 400"
)]
struct Simulate {
    /// The .keel file, made under a contract
    model: PathBuf,
    /// The data set; the stream draws rows of its `val` split
    #[arg(long)]
    data: PathBuf,
    /// Labelled events in the stream
    #[arg(long, default_value_t = 600, value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    events: usize,
    /// The group whose sensor goes bad, e.g. site=ankle
    #[arg(long)]
    degrade: Option<String>,
    /// First event from which on it is bad
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// How bad, 0 to 1
    #[arg(long, default_value_t = 0.8)]
    strength: f32,
    /// Where
    #[arg(long, value_enum, default_value_t = Target::Host)]
    target: Target,
    /// Seed of the stream
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What stands for a group that the monitor does not count, as on the device.
const UNKNOWN: u8 = 255;

/// A class as the device's batches hold it.
fn label(class: usize) -> Result<u8> {
    let byte = u8::try_from(class).ok().filter(|b| *b != UNKNOWN);
    byte.ok_or_else(|| Error::new(format!("class {class}: the simulation takes classes below {UNKNOWN}")))
}

/// A stream: int8 inputs, labels, group of each.
struct Stream {
    inputs: Vec<i8>,
    labels: Vec<u8>,
    groups: Vec<u8>,
}

impl Monitor {
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Command::Simulate(s) => s.run(),
        }
    }
}

impl Simulate {
    fn run(&self) -> Result<()> {
        let file = MappedFile::open(&self.model).at(&self.model)?;
        let model = chain::open(file.bytes(), &self.model)?;
        if self.target != Target::Host {
            self.target.check(&model, &self.model)?;
        }
        let stream = self.stream(&model)?;
        let (states, total) = host(&model, &stream)?;
        let log = match (self.target, self.target.board()) {
            (_, Some(board)) => self.emulated(board, file.bytes(), &stream, &states)?,
            (Target::Aarch64, None) => {
                return Err(Error::new("the monitor is not simulated on aarch64")
                    .help("take --target host: it counts the same"));
            }
            (_, None) => Vec::new(),
        };
        self.print(&model, &states, total, &log)
    }

    fn stream(&self, model: &Model) -> Result<Stream> {
        let Some((_, floors)) = model.monitor() else {
            return Err(Error::new("the file configures no monitor")
                .at(&self.model)
                .help("make it with `evenkeel prune` under a contract on accuracy"));
        };
        let contract = Contract::parse(model.contract()).map_err(|e| e.at(&self.model))?;
        let rows = data::load(&self.data)?.select;
        // The monitor counts the groups of the contract's first entry: they partition the rows.
        let groups = parse_groups(&rows, &contract.fairness.groups[..1]).map_err(|e| e.at(&self.data))?;
        let index: Vec<Option<u8>> = groups
            .groups
            .iter()
            .map(|g| floors.iter().position(|f| model.name(f.name) == g.name).map(|i| i as u8))
            .collect();
        let bad = match &self.degrade {
            None => None,
            Some(name) => Some(groups.groups.iter().position(|g| &g.name == name).ok_or_else(|| {
                let names: Vec<_> = groups.groups.iter().map(|g| g.name.as_str()).collect();
                Error::new(format!("there is no group `{name}`"))
                    .help(format!("the monitor's groups are {}", names.join(", ")))
            })?),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let width = model.input().elements();
        if rows.is_empty() {
            return Err(Error::new("array `split` has no row `val`")
                .at(&self.data)
                .help("the stream draws its rows from that split"));
        }
        if rows.width() != width {
            return Err(
                Error::new(format!("samples have {} values, the model takes {width}", rows.width())).at(&self.data)
            );
        }
        let mut s = Stream { inputs: vec![0; self.events * width], labels: vec![], groups: vec![] };
        for (event, q) in s.inputs.chunks_mut(width).enumerate() {
            let row = rng.random_range(0..rows.len());
            let group = groups.of_row[row][0] as usize;
            let mut x = rows.row(row).to_vec();
            if bad == Some(group) && event >= self.from {
                synth::degrade(&mut x, &rows.sample, self.strength, &mut rng);
            }
            quantise_input(model, &x, q).context("input")?;
            s.labels.push(label(rows.y[row])?);
            s.groups.push(index[group].unwrap_or(UNKNOWN));
        }
        Ok(s)
    }

    /// Runs the stream on the device; gives its log.
    fn emulated(&self, board: Board, bytes: &[u8], stream: &Stream, host: &[GroupState]) -> Result<Vec<String>> {
        let firmware = firmware(board)?;
        let job = Job {
            board,
            firmware: &firmware,
            model: bytes,
            inputs: &stream.inputs,
            labels: Some(&stream.labels),
            groups: Some(&stream.groups),
            portable: false,
        };
        let outcome = evenkeel_emulator::run(&job).map_err(Error::new)?;
        if bytemuck::cast_slice::<_, u8>(&outcome.monitor) != bytemuck::cast_slice::<_, u8>(host) {
            return Err(Error::new("the monitor on the emulated device is in another state than on this host"));
        }
        Ok(outcome.log)
    }

    fn print(&self, model: &Model, states: &[GroupState], events: u32, log: &[String]) -> Result<()> {
        let floors = model.monitor().map_or(&[][..], |m| m.1);
        let name = |i: usize| floors.get(i).map_or("", |f| model.name(f.name));
        let floor = |i: usize| floors.get(i).map_or(0.0, floor);
        if self.json {
            let groups: Vec<_> = states.iter().enumerate().map(|(i, s)| json!({"group": name(i), "n": s.n, "correct": s.correct, "floor": floor(i), "alarms": s.alarms, "first_alarm": s.first_alarm})).collect();
            return print_json(
                &json!({"events": events, "degraded": self.degrade, "from": self.from, "device_equals_host": self.target != Target::Host, "groups": groups, "log": log}),
            );
        }
        for line in log {
            say!("  device | {line}");
        }
        if self.target != Target::Host {
            say!("monitor states on the device and on this host are equal, byte for byte");
        }
        for (i, s) in states.iter().enumerate() {
            let alarm = match s.first_alarm {
                0 => "no alarm".to_owned(),
                at => format!("ALARM at event {at}"),
            };
            say!(
                "  {:<30} {:>5} of {:>5} right ({:.3}), floor {:.3}: {alarm}",
                name(i),
                s.correct,
                s.n,
                s.correct as f64 / s.n.max(1) as f64,
                floor(i)
            );
        }
        Ok(())
    }
}

fn host(model: &Model, stream: &Stream) -> Result<(Vec<GroupState>, u32)> {
    let Some((head, floors)) = model.monitor() else { return Err(Error::new("the file configures no monitor")) };
    let mut states = vec![GroupState::default(); floors.len()];
    let mut monitor = Detector::new(head, floors, &mut states).context("monitor")?;
    let packed = chain::packed_for_host(model)?;
    let model = &Model::from_bytes(packed.bytes()).context("packed for this host")?;
    let mut arena = chain::arena(model);
    let mut session = Session::new(model, bytemuck::cast_slice_mut(&mut arena)).context("session")?;
    for ((x, &label), &group) in stream.inputs.chunks(model.input().elements()).zip(&stream.labels).zip(&stream.groups)
    {
        session.input_mut().copy_from_slice(x);
        session.run();
        if group != UNKNOWN {
            monitor.observe(group as usize, session.classify() == label as usize).context("monitor")?;
        }
    }
    let events = monitor.events();
    Ok((states, events))
}
