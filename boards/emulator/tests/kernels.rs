//! The kernels of each board, run by its firmware in QEMU, give the bytes of the portable ones, and give them sooner.

mod common;

use common::{Random, Sample, Sliding, Window, add, add_onto, device, host, linear, sliding};
use evenkeel_emulator::{Board, Job};
use evenkeel_runtime::format::pack::Form;
use evenkeel_runtime::format::{Packing, op};

const INPUTS: usize = 3;

/// On every board, as it is and (what has a matrix) packed for that board in every form.
fn check(random: &mut Random, sample: Sample) {
    for (board, packing) in [(Board::Mps2An386, Packing::Dsp), (Board::Mps3An547, Packing::Mve)] {
        let Some(portable) = cost(random, board, &sample, true) else { continue };
        let check = |cost: Option<u64>, form: &str| {
            let cost = cost.unwrap_or(u64::MAX);
            // Readings of SysTick are exact to one tick, and to begin with a shape, or to see that it is left to the
            // portable kernel, takes some instructions too.
            let slack = (INPUTS * (40 + 500)) as u64;
            let name = &sample.name;
            assert!(cost <= portable + slack, "{board:?} {name} {form}: {cost} instructions, portable {portable}");
        };
        check(cost(random, board, &sample, false), "as it is");
        let code = sample.spec.ops.last().expect("an operator").code;
        if matches!(code, op::CONV | op::LINEAR) {
            for form in [Form::Dense, Form::Blocks] {
                let packed = sample.packed(random, packing, form);
                check(cost(random, board, &packed, false), &format!("{form:?}"));
            }
            // What no kernel of a board takes is slow, and right.
            let packed = sample.packed(random, packing, Form::TwoOfFour);
            cost(random, board, &packed, false);
        }
    }
}

/// Instructions of the last operator; its outputs are those of the host.
fn cost(random: &mut Random, board: Board, sample: &Sample, portable: bool) -> Option<u64> {
    let mut inputs = random.values(INPUTS * sample.input_len);
    // Products and sums are at their largest for an input of smallest values.
    inputs[..sample.input_len].fill(i8::MIN);
    let expected = host(sample, &inputs);
    let job = Job { portable, ..sample.job(board, &inputs) };
    let outcome = device(&job)?.unwrap_or_else(|e| panic!("{}: {e}", sample.name));
    let kernels = if portable { "portable" } else { "its own" };
    assert!(outcome.outputs == expected, "{board:?} {}: other bytes with {kernels} kernels", sample.name);
    assert_eq!(outcome.inferences, INPUTS);
    outcome.layers.last().copied()
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
        sliding(r, Sliding::Conv(9), [3, 5, 32], Window::of(1, 1)),
        sliding(r, Sliding::Conv(8), [5, 4, 16], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Conv(6), [4, 5, 24], Window::of(1, 1).stride(2, 1)),
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
    samples.into_iter().for_each(|sample| check(&mut random, sample));
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
        sliding(r, Sliding::Depthwise, [5, 4, 16], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Depthwise, [4, 9, 40], Window::of(3, 3).pad(1, 1)),
        sliding(r, Sliding::Depthwise, [3, 6, 33], Window::of(3, 2).dilation(1, 2).pad(1, 1)),
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
    samples.into_iter().for_each(|sample| check(&mut random, sample));
}

#[test]
fn fully_connected() {
    let mut random = Random(3);
    for (inputs, outputs) in
        [(1, 1), (3, 5), (4, 4), (5, 1), (6, 2), (7, 7), (16, 12), (33, 10), (64, 3), (130, 9), (4200, 8)]
    {
        let sample = linear(&mut random, inputs, outputs);
        check(&mut random, sample);
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
    ];
    samples.into_iter().for_each(|sample| check(&mut random, sample));
}

/// In blocks, with patterns of zero tiles: nothing at all; every other row; one tile; the first column alone.
fn check_patterns(random: &mut Random, sample: &Sample) {
    let patterns: [fn(usize, usize) -> bool; 4] =
        [|_, _| true, |row, _| row % 2 == 0, |row, column| (row, column) != (0, 0), |_, column| column != 0];
    for (board, packing) in [(Board::Mps2An386, Packing::Dsp), (Board::Mps3An547, Packing::Mve)] {
        for pattern in patterns {
            cost(random, board, &sample.blocks(packing, pattern), false);
        }
    }
}

#[test]
fn convolution_in_blocks() {
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
    samples.iter().for_each(|sample| check_patterns(&mut random, sample));
}

#[test]
fn fully_connected_in_blocks() {
    let mut random = Random(6);
    for (inputs, outputs) in [(1, 1), (3, 5), (4, 4), (6, 2), (7, 7), (16, 12), (33, 10), (130, 9), (1029, 5)] {
        let sample = linear(&mut random, inputs, outputs);
        check_patterns(&mut random, &sample);
    }
}
