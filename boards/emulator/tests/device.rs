//! What the firmware does besides running kernels: the log, the monitor, and the ways to fail.

mod common;

use std::path::Path;

use common::{Random, device, host, linear};
use evenkeel_emulator::{Board, Error, Job, image, run};
use evenkeel_runtime::Model;
use evenkeel_runtime::monitor::{Config, Full, Monitor, Prediction, Source, plan, words};

const CLASSES: usize = 5;

/// The class that a session would give.
fn class(output: &[i8]) -> u8 {
    (0..output.len()).rev().max_by_key(|&i| output[i]).unwrap_or(0) as u8
}

#[test]
fn the_monitor_on_the_device_counts_as_on_the_host_and_says_who_fell() {
    Board::ALL.into_iter().for_each(monitor_on);
}

fn monitor_on(board: Board) {
    let mut random = Random(5);
    let mut sample = linear(&mut random, 12, CLASSES);
    let groups = ["gender=female", "gender=male"];
    let floors: Vec<_> = groups.iter().map(|group| plan::floor_record(sample.spec.names.add(group), 0.8)).collect();
    let head = plan::head(groups.len(), 1000.0, 8).expect("a plan");
    sample.spec.monitor = Some((head, floors.clone()));
    sample.file = sample.spec.to_bytes();

    let inputs = random.values(100 * sample.input_len);
    let outputs = host(&sample, &inputs);
    let classes: Vec<u8> = outputs.chunks(CLASSES).map(class).collect();
    // Group 0 is always right, group 1 mostly wrong; of some inputs nothing is known.
    let group: Vec<u8> = (0..classes.len()).map(|i| if i % 10 == 9 { image::UNKNOWN } else { i as u8 % 2 }).collect();
    let labels: Vec<u8> = (0..classes.len())
        .map(|i| match (i % 7, group[i]) {
            (6, _) => image::UNKNOWN,
            (0, _) | (_, 0) => classes[i],
            _ => (classes[i] + 1) % CLASSES as u8,
        })
        .collect();

    let job = Job { labels: Some(&labels), groups: Some(&group), states: true, ..sample.job(board, &inputs) };
    let Some(outcome) = device(&job) else { return };
    let outcome = outcome.expect("a run");
    assert_eq!(outcome.outputs, outputs);
    assert!(outcome.classes.iter().zip(&classes).all(|(device, host)| *device == *host as u16));
    assert_eq!(outcome.layers.len(), 1);
    assert!(outcome.total_instructions >= outcome.layers[0]);

    let mut file = vec![0u64; sample.file.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut file)[..sample.file.len()].copy_from_slice(&sample.file);
    let model = Model::from_bytes(&bytemuck::cast_slice(&file)[..sample.file.len()]).expect("a model");
    let mut state = vec![0; words::<Full>(groups.len(), image::SLOTS)];
    let config = Config::of(&model).expect("sound").expect("a monitor");
    let mut monitor = Monitor::<Full>::new(config, &mut state, image::SLOTS).expect("the same plan");
    let mut alarms = 0;
    for (i, output) in outputs.chunks(CLASSES).enumerate() {
        let known = (group[i] != image::UNKNOWN).then_some(group[i] as usize);
        let ticket = monitor.predict(known, Prediction::of_outputs(output)).expect("a known group");
        if labels[i] != image::UNKNOWN {
            let raised = monitor.label(ticket, labels[i] as u16, Source::Reference).expect("in time");
            alarms += raised.iter().count();
        }
    }
    assert!(monitor.common().unknown.n > 0 && monitor.cells()[0].traffic.predictions() == 50);
    assert_eq!(outcome.monitor, state);
    let said: Vec<_> = outcome.log.iter().filter(|line| line.contains("alarm: group")).collect();
    assert_eq!(said.len(), alarms);
    assert!(alarms > 0 && said.iter().all(|line| line.starts_with("warn") && line.contains("gender=male")));
    assert!(said[0].contains("is below its floor"), "{}", said[0]);
    let states = outcome.log.iter().filter(|line| line.contains("predictions")).collect::<Vec<_>>();
    assert!(states.len() == 2 && states[1].contains("floor alarm true, gap alarm false"), "{states:?}");
    assert!(outcome.log[0].contains(&format!("kernels {}", board.processor())), "{:?}", outcome.log);
    assert!(outcome.log.last().is_some_and(|line| line.contains("100 inferences")), "{:?}", outcome.log);
}

#[test]
fn a_group_that_the_monitor_does_not_have_ends_the_run_and_the_log_says_why() {
    let mut random = Random(6);
    let mut sample = linear(&mut random, 4, 2);
    let floors = vec![plan::floor_record(sample.spec.names.add("all"), 0.8)];
    sample.spec.monitor = Some((plan::head(1, 1000.0, 8).expect("a plan"), floors));
    sample.file = sample.spec.to_bytes();
    let inputs = random.values(4);
    match device(&Job { labels: Some(&[0]), groups: Some(&[3]), ..sample.job(Board::Mps2An386, &inputs) }) {
        Some(Err(e @ Error::Ended { .. })) => assert!(e.to_string().contains("no group 3"), "{e}"),
        Some(other) => panic!("{other:?}"),
        None => {}
    }
}

#[test]
fn what_is_missing_is_named() {
    let sample = linear(&mut Random(7), 4, 2);
    let job = Job { firmware: Path::new("/nowhere/mps2-an386.elf"), ..sample.job(Board::Mps2An386, &[0; 8]) };
    let said = |job: &Job| run(job).expect_err("nothing to run").to_string();
    assert!(said(&job).contains("cargo xtask firmware"));
    assert!(said(&Job { inputs: &[0; 6], ..job }).contains("input length 4"));
    assert!(said(&Job { labels: Some(&[0; 3]), ..job }).contains("3 labels were given for 2 inputs"));
    assert!(said(&Job { model: b"no model", ..job }).contains("a .keel file"));
    let big = vec![0; image::MEMORY_LEN];
    assert!(said(&Job { inputs: &big, ..job }).contains("run fewer inputs"));
    let this = std::env::current_exe().expect("the test itself");
    assert!(said(&Job { firmware: &this, ..job }).contains("not this project's firmware"));
}
