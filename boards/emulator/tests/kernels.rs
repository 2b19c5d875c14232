//! The Cortex-M4 kernels, run by the firmware in QEMU, give the bytes of the portable ones, and give them sooner.

mod common;

use common::{Random, Sample, Sliding, Window, add, add_onto, device, host, linear, sliding};
use evenkeel_emulator::{Job, Outcome};
use evenkeel_runtime::format::Packing;
use evenkeel_runtime::format::pack::Form;

const INPUTS: usize = 3;

/// The same bytes: what the device took, with its kernels and with portable ones.
fn same(random: &mut Random, sample: &Sample) -> Option<[Outcome; 2]> {
    let inputs = random.values(INPUTS * sample.input_len);
    let expected = host(sample, &inputs);
    let job = sample.job(&inputs);
    let [native, portable] = [false, true].map(|portable| device(&Job { portable, ..job }));
    let native = native?.unwrap_or_else(|e| panic!("{}: {e}", sample.name));
    let portable = portable?.unwrap_or_else(|e| panic!("{}: {e}", sample.name));
    assert!(native.outputs == expected, "{}: the device's kernels differ from the portable ones", sample.name);
    assert!(portable.outputs == expected, "{}: portable kernels differ between host and device", sample.name);
    assert_eq!(native.inferences, INPUTS);
    Some([native, portable])
}

/// The same bytes, and sooner.
fn check(random: &mut Random, sample: Sample) -> Option<()> {
    let [native, portable] = same(random, &sample)?;
    // Readings of SysTick are exact to one tick, and to see that a shape is left to the portable kernel, or that it
    // is one for the assembler, takes some instructions too.
    let slack = (INPUTS * (40 + 200)) as u64;
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
        sliding(r, Sliding::Depthwise, [3, 4, 7], Window::of(3, 3).pad(2, 2)),
        sliding(r, Sliding::Depthwise, [40, 3, 5], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Depthwise, [5, 39, 4], Window::of(3, 3).pad(1, 1).stride(1, 2)),
        sliding(r, Sliding::Depthwise, [2, 9, 4], Window::of(3, 3).pad(1, 1)),
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
        add_onto(r, [1, 1, 3]),
        add_onto(r, [3, 3, 3]),
        add_onto(r, [4, 5, 16]),
        add_onto(r, [5, 5, 5]),
        sliding(r, Sliding::MaxPool, [6, 6, 8], Window::of(2, 2).stride(2, 2)),
        sliding(r, Sliding::MaxPool, [7, 5, 3], Window::of(3, 3).stride(2, 2).pad(1, 1)),
        sliding(r, Sliding::MaxPool, [1, 12, 6], Window::of(1, 3).stride(1, 2)),
        sliding(r, Sliding::AvgPool, [6, 6, 8], Window::of(6, 6)),
        sliding(r, Sliding::AvgPool, [7, 5, 3], Window::of(3, 3).stride(2, 2).pad(1, 1)),
        sliding(r, Sliding::AvgPool, [7, 5, 6], Window::of(3, 2).stride(2, 1).pad(1, 1)),
        sliding(r, Sliding::AvgPool, [9, 9, 5], Window::of(2, 3).dilation(3, 2).pad(2, 1)),
        sliding(r, Sliding::AvgPool, [17, 15, 4], Window::of(17, 15)),
        sliding(r, Sliding::AvgPool, [16, 16, 4], Window::of(16, 16)),
    ];
    let _ = samples.into_iter().try_for_each(|sample| check(&mut random, sample));
}

/// A sample in the packing of the target: dense, and with patterns of zero tiles.
fn check_packed(random: &mut Random, sample: &Sample) -> Option<()> {
    check(random, sample.packed(Packing::Dsp, Form::Dense, |_, _| false))?;
    let share = random.int(0, 3);
    let some = sample.packed(Packing::Dsp, Form::Blocks, |_, _| random.int(0, 3) < share);
    same(random, &some)?;
    // Nothing at all; every other row; one tile; the first column alone.
    let patterns: [fn(usize, usize) -> bool; 4] =
        [|_, _| true, |row, _| row % 2 == 0, |row, column| (row, column) != (0, 0), |_, column| column != 0];
    for pattern in patterns {
        same(random, &sample.packed(Packing::Dsp, Form::Blocks, pattern))?;
    }
    Some(())
}

#[test]
fn packed_convolution() {
    let mut random = Random(5);
    let r = &mut random;
    let mut samples = vec![
        sliding(r, Sliding::Conv(8), [5, 5, 16], Window::of(1, 1)),
        sliding(r, Sliding::Conv(5), [1, 1, 9], Window::of(1, 1)),
        sliding(r, Sliding::Conv(1), [1, 1, 3], Window::of(1, 1)),
        sliding(r, Sliding::Conv(1), [4, 3, 6], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Conv(3), [1, 1, 5], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Conv(2), [4, 4, 1], Window::of(1, 3)),
        sliding(r, Sliding::Conv(12), [11, 9, 1], Window::of(10, 4).stride(2, 2).pad(4, 1)),
        // Columns of blocks of 16 bits.
        sliding(r, Sliding::Conv(3), [2, 2, 1031], Window::of(1, 1)),
    ];
    for _ in 0..6 {
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
    let _ = samples.iter().try_for_each(|sample| check_packed(&mut random, sample));
}

#[test]
fn packed_fully_connected() {
    let mut random = Random(6);
    for (inputs, outputs) in [(1, 1), (3, 5), (4, 4), (6, 2), (7, 7), (16, 12), (33, 10), (130, 9), (1029, 5)] {
        let sample = linear(&mut random, inputs, outputs);
        if check_packed(&mut random, &sample).is_none() {
            return;
        }
    }
}
