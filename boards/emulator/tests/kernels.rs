//! The Cortex-M4 kernels, run by the firmware in QEMU, give the bytes of the portable ones, and give them sooner.

mod common;

use std::path::Path;

use common::{Random, Sample, Sliding, Window, add, linear, sliding};
use evenkeel_emulator::{Error, Job, Outcome, find_firmware, run};
use evenkeel_runtime::kernels::Portable;
use evenkeel_runtime::{Model, Session};

const INPUTS: usize = 3;

/// `None` (and a plain line) where there is no emulator or no firmware.
fn device(firmware: &Path, sample: &Sample, inputs: &[i8], portable: bool) -> Option<Outcome> {
    match run(&Job { firmware, model: &sample.file, inputs, labels: None, groups: None, portable }) {
        Ok(outcome) => Some(outcome),
        Err(e @ (Error::NoQemu | Error::NoFirmware(_))) => {
            println!("skipped: {e}");
            None
        }
        Err(e) => panic!("{}: {e}", sample.name),
    }
}

fn host(sample: &Sample, inputs: &[i8]) -> Vec<i8> {
    let mut words = vec![0u64; sample.file.len().div_ceil(8)];
    let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..sample.file.len()];
    bytes.copy_from_slice(&sample.file);
    let model = Model::from_bytes(bytes).expect(&sample.name);
    let mut arena = vec![0u64; model.arena_len().div_ceil(8)];
    let mut session = Session::<Portable>::with_kernels(&model, bytemuck::cast_slice_mut(&mut arena)).expect("arena");
    let run = |input: &[i8]| {
        session.input_mut().copy_from_slice(input);
        session.run();
        session.output().to_vec()
    };
    inputs.chunks(sample.input_len).flat_map(run).collect()
}

fn check(random: &mut Random, sample: Sample) -> Option<()> {
    let Some(firmware) = find_firmware() else {
        println!("skipped: no firmware; build it with `cargo xtask firmware`");
        return None;
    };
    let inputs = random.values(INPUTS * sample.input_len);
    let expected = host(&sample, &inputs);
    let native = device(&firmware, &sample, &inputs, false)?;
    let portable = device(&firmware, &sample, &inputs, true)?;
    assert!(native.outputs == expected, "{}: the device's kernels differ from the portable ones", sample.name);
    assert!(portable.outputs == expected, "{}: portable kernels differ between host and device", sample.name);
    assert_eq!(native.inferences, INPUTS);
    // Readings of SysTick are exact to one tick, and to see that a shape is left to the portable kernel takes
    // some instructions too.
    let slack = (INPUTS * (40 + 60)) as u64;
    for (native, portable) in native.layers.iter().zip(&portable.layers) {
        assert!(*native <= portable + slack, "{}: {native} instructions, portable {portable}", sample.name);
    }
    Some(())
}

#[test]
fn convolution() {
    let mut random = Random(1);
    let r = &mut random;
    let mut samples = vec![
        sliding(r, Sliding::Conv(8), [5, 5, 16], Window::of(1, 1)),
        sliding(r, Sliding::Conv(5), [1, 1, 9], Window::of(1, 1)),
        sliding(r, Sliding::Conv(3), [1, 1, 5], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Conv(1), [4, 3, 6], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Conv(2), [4, 4, 1], Window::of(1, 3)),
        sliding(r, Sliding::Conv(6), [1, 17, 4], Window::of(1, 5).pad(0, 2)),
        sliding(r, Sliding::Conv(7), [9, 1, 3], Window::of(4, 1).pad(1, 0)),
        sliding(r, Sliding::Conv(4), [8, 7, 5], Window::of(3, 2).dilation(2, 3).pad(2, 1)),
        sliding(r, Sliding::Conv(12), [11, 9, 1], Window::of(10, 4).stride(2, 2).pad(4, 1)),
        sliding(r, Sliding::Conv(16), [8, 8, 3], Window::of(3, 3).pad(1, 1)),
    ];
    for _ in 0..10 {
        let kernel = [r.int(1, 4) as usize, r.int(1, 4) as usize];
        let window = Window {
            kernel,
            stride: [r.int(1, 3) as usize, r.int(1, 3) as usize],
            dilation: [1, r.int(1, 2) as usize],
            pad: [r.int(0, kernel[0] as i64 - 1) as usize, r.int(0, kernel[1] as i64 - 1) as usize],
        };
        let input = [r.int(7, 10) as usize, r.int(7, 10) as usize, r.int(1, 9) as usize];
        let outputs = Sliding::Conv(r.int(1, 9) as usize);
        samples.push(sliding(r, outputs, input, window));
    }
    let _ = samples.into_iter().try_for_each(|sample| check(&mut random, sample));
}

#[test]
fn depthwise() {
    let mut random = Random(2);
    let r = &mut random;
    let mut samples = vec![
        sliding(r, Sliding::Depthwise, [5, 5, 8], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Depthwise, [6, 5, 7], Window::of(3, 3).pad(1, 1).stride(2, 2)),
        sliding(r, Sliding::Depthwise, [3, 3, 3], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Depthwise, [1, 20, 6], Window::of(1, 5).pad(0, 2)),
        sliding(r, Sliding::Depthwise, [9, 9, 4], Window::of(9, 9)),
        sliding(r, Sliding::Depthwise, [8, 8, 5], Window::of(2, 3).dilation(2, 2).pad(1, 2)),
    ];
    for _ in 0..8 {
        let kernel = [r.int(1, 5) as usize, r.int(1, 5) as usize];
        let window = Window {
            kernel,
            stride: [r.int(1, 2) as usize, r.int(1, 2) as usize],
            dilation: [1, 1],
            pad: [r.int(0, kernel[0] as i64 - 1) as usize, r.int(0, kernel[1] as i64 - 1) as usize],
        };
        let input = [r.int(5, 10) as usize, r.int(5, 10) as usize, r.int(1, 21) as usize];
        samples.push(sliding(r, Sliding::Depthwise, input, window));
    }
    let _ = samples.into_iter().try_for_each(|sample| check(&mut random, sample));
}

#[test]
fn fully_connected() {
    let mut random = Random(3);
    for (inputs, outputs) in [(1, 1), (3, 5), (4, 4), (5, 1), (6, 2), (7, 7), (16, 12), (33, 10), (64, 3), (130, 9)] {
        let sample = linear(&mut random, inputs, outputs);
        if check(&mut random, sample).is_none() {
            return;
        }
    }
}

#[test]
fn sums_and_pools() {
    let mut random = Random(4);
    let r = &mut random;
    let samples = vec![
        add(r, [1, 1, 3]),
        add(r, [1, 1, 4]),
        add(r, [3, 3, 3]),
        add(r, [4, 5, 16]),
        add(r, [7, 1, 5]),
        sliding(r, Sliding::MaxPool, [6, 6, 8], Window::of(2, 2).stride(2, 2)),
        sliding(r, Sliding::MaxPool, [7, 5, 3], Window::of(3, 3).stride(2, 2).pad(1, 1)),
        sliding(r, Sliding::MaxPool, [1, 12, 6], Window::of(1, 3).stride(1, 2)),
        sliding(r, Sliding::AvgPool, [6, 6, 8], Window::of(6, 6)),
        sliding(r, Sliding::AvgPool, [7, 5, 3], Window::of(3, 3).stride(2, 2).pad(1, 1)),
    ];
    let _ = samples.into_iter().try_for_each(|sample| check(&mut random, sample));
}
