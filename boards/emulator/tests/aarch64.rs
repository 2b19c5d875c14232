//! The program for AArch64 on emulated cores: same bytes as this machine, counts that do not vary.

mod common;

use std::path::Path;

use common::{Random, Sample, Sliding, Window, host, sliding};
use evenkeel_emulator::Error;
use evenkeel_emulator::aarch64::{Core, Job, Outcome, find_program, run};

/// `None` (and a plain line) where there is no emulator or no program.
fn device(sample: &Sample, inputs: &[i8], core: Core) -> Option<Result<Outcome, Error>> {
    let Some(program) = find_program() else {
        println!("skipped: no program; build it with `cargo xtask firmware`");
        return None;
    };
    match run(&Job { program: &program, core, model: &sample.file, inputs, portable: false }) {
        Err(e @ (Error::NoQemuUser | Error::NoProgram(_))) => {
            println!("skipped: {e}");
            None
        }
        result => Some(result),
    }
}

#[test]
fn outputs_are_those_of_this_machine_and_counts_never_vary() {
    let mut random = Random(3);
    let samples = [
        sliding(&mut random, Sliding::Conv(12), [9, 7, 16], Window::of(3, 3).pad(1, 1)),
        sliding(&mut random, Sliding::Depthwise, [9, 7, 20], Window::of(3, 3).pad(1, 1).stride(2, 2)),
        sliding(&mut random, Sliding::MaxPool, [8, 8, 24], Window::of(2, 2).stride(2, 2)),
    ];
    for sample in &samples {
        let inputs = random.values(2 * sample.input_len);
        let expected = host(sample, &inputs);
        for core in [Core::CortexA53, Core::CortexA76, Core::Max] {
            let Some(outcome) = device(sample, &inputs, core) else { return };
            let outcome = outcome.expect(&sample.name);
            assert_eq!(outcome.outputs, expected, "{} on {}", sample.name, core.name());
            assert_eq!(outcome.total_instructions, outcome.layers.iter().sum::<u64>());
            assert!(outcome.total_instructions > sample.macs as u64 / 32, "{}", outcome.total_instructions);
            let again = device(sample, &inputs, core).expect("as before").expect(&sample.name);
            assert_eq!(outcome.layers, again.layers, "{} on {}", sample.name, core.name());
        }
    }
}

#[test]
fn half_an_input_and_no_program_are_refused() {
    let sample = sliding(&mut Random(4), Sliding::MaxPool, [4, 4, 8], Window::of(2, 2));
    let job =
        |inputs| Job { program: Path::new("nothing"), core: Core::Max, model: &sample.file, inputs, portable: false };
    assert!(matches!(run(&job(&[0; 3])), Err(Error::Inputs { len: 3, .. })));
    assert!(matches!(run(&job(&[0; 128])), Err(Error::NoProgram(_))));
}
