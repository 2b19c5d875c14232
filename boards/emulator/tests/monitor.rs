//! The monitor alone on the device: its state is the host's, and its cost in instructions, flash and RAM is within
//! `benches/budget.json`.

mod common;

use bytemuck::{cast_slice, cast_slice_mut};
use common::{Random, linear};
use evenkeel_emulator::exercise::{self, Exercised};
use evenkeel_emulator::image::SLOTS;
use evenkeel_emulator::stream::{DEGRADED, DEGRADED_FROM, GROUPS, Stream, apply, labelled};
use evenkeel_runtime::Model;
use evenkeel_runtime::format::{FieldGroup, FieldHead};
use evenkeel_runtime::monitor::{Config, Full, Kind, Monitor, ONE_Q26, plan, words};
use object::{Object, ObjectSymbol};

/// Labelled events.
const EVENTS: u32 = 100_000;

/// A small model whose monitor has the stream's groups, floors a little below its accuracy, and gap detectors.
fn file() -> Vec<u8> {
    let mut sample = linear(&mut Random(11), 4, 4);
    let groups = (0..GROUPS).map(|g| format!("site={g}"));
    let floors = groups.map(|group| plan::floor_record(sample.spec.names.add(&group), 0.9)).collect();
    sample.spec.monitor = Some((plan::head(GROUPS, 100_000.0, 8).expect("fits"), floors));
    let (gap_threshold, gap_q) = plan::gap(GROUPS, 100_000.0, 8).expect("fits");
    let mut edges = [0; 16];
    edges.iter_mut().enumerate().for_each(|(i, edge)| *edge = 16 * i as u8);
    let head = FieldHead { groups: GROUPS as u32, gap_threshold, gap_q, edges, ..Default::default() };
    let tolerance = plan::tolerance(0.02).expect("small");
    let group = FieldGroup { tolerance, confidence: [0, ONE_Q26], map: [255; 16], ..Default::default() };
    sample.spec.field = Some((head, vec![group; GROUPS], Vec::new()));
    sample.spec.to_bytes()
}

/// What the device did; `None`, and a plain line, where there is no emulator or no firmware.
fn device(file: &[u8]) -> Option<Exercised> {
    let Some(firmware) = exercise::find_firmware() else {
        println!("skipped: no firmware of the monitor; build it with `cargo xtask firmware`");
        return None;
    };
    match exercise::run(&firmware, file, EVENTS) {
        Err(evenkeel_emulator::Error::NoQemu) => {
            println!("skipped: qemu-system-arm was not found");
            None
        }
        run => Some(run.expect("a run")),
    }
}

/// A number of the budget file.
fn budget(what: &str) -> u64 {
    let text = include_str!("../../../benches/budget.json");
    let json: serde_json::Value = serde_json::from_str(text).expect("benches/budget.json");
    json["monitor"]["cortex-m4"][what].as_u64().unwrap_or_else(|| panic!("benches/budget.json has no {what}"))
}

#[test]
fn after_a_long_stream_the_devices_state_is_the_hosts_and_an_event_costs_no_more_than_its_budget() {
    let file = file();
    let mut aligned = vec![0u64; file.len().div_ceil(8)];
    cast_slice_mut(&mut aligned)[..file.len()].copy_from_slice(&file);
    let model = Model::from_bytes(&cast_slice(&aligned)[..file.len()]).expect("a model");
    let mut state = vec![0; words::<Full>(GROUPS, SLOTS)];
    let mut monitor =
        Monitor::<Full>::new(Config::of(&model).expect("sound").expect("a monitor"), &mut state, SLOTS).expect("zeros");
    let mut stream = Stream::new(EVENTS);
    let (mut steps, mut alarms, mut kinds) = (0, 0, [0; 2]);
    while labelled(&monitor) < EVENTS {
        let step = stream.step();
        steps += 1;
        let (ticket, raised) = apply(&mut monitor, &step).expect("the groups");
        stream.issued(&step, ticket);
        for (kind, group) in raised.iter() {
            assert!(group == DEGRADED && steps > DEGRADED_FROM, "{kind:?} {group} at step {steps}");
            kinds[(kind == Kind::Gap) as usize] += 1;
            alarms += 1;
        }
    }
    // Every part of the state has moved.
    assert!(kinds[0] > 0 && kinds[1] > 0, "{kinds:?}");
    let common = monitor.common();
    assert!(common.unknown.n > 1000 && common.unknown_expired > 100 && common.sources.iter().all(|&n| n > 1000));
    assert!(monitor.cells().iter().all(|cell| cell.traffic.expired > 100 && cell.gap.settled > 1000));

    let Some(device) = device(&file) else { return };
    let events = common.events;
    assert!(device.monitor == state, "the device's state is another");
    assert_eq!(device.log.iter().filter(|line| line.contains("alarm: group")).count(), alarms);
    // Complaints and people of unknown groups come cheap: their cost is borne by the events that tests see.
    let mean = device.total_instructions as f64 / events as f64;
    println!("instructions per labelled event: {mean:.0} on average, {} at most", device.most_instructions);
    assert!(mean <= budget("labelled_event") as f64, "{mean}");
    assert!(device.most_instructions <= budget("longest_event"), "{}", device.most_instructions);
}

#[test]
fn the_monitor_takes_no_more_memory_than_its_budget() {
    let ram = words::<Full>(GROUPS, SLOTS) * 4;
    println!("RAM for {GROUPS} groups and {SLOTS} pending labels: {ram} bytes");
    assert!(ram as u64 <= budget("ram"), "{ram}");

    let Some(firmware) = exercise::find_firmware() else { return println!("skipped: no firmware of the monitor") };
    let bytes = std::fs::read(firmware).expect("the firmware");
    let elf = object::File::parse(&*bytes).expect("an ELF file");
    let mut flash = 0;
    for symbol in elf.symbols().filter(|s| s.kind() == object::SymbolKind::Text) {
        let name = symbol.name().unwrap_or("");
        // In mangled names `evenkeel_runtime::monitor` is `…16evenkeel_runtime7monitor…`. Reading the configuration from
        // a file is done once and is no part of an event.
        let ours = name.contains("evenkeel_runtime") && name.contains("7monitor") && !name.contains("6config");
        if ours || name.contains("6stream5apply") {
            println!("{:6} {name}", symbol.size());
            flash += symbol.size();
        }
    }
    println!("code of the monitor: {flash} bytes");
    assert!(flash > 500, "the firmware must have its symbols");
    assert!(flash <= budget("code"), "{flash}");
}
