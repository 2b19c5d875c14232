//! Instructions per multiplication of typical layers on the emulated boards: weights packed for the board, all of them
//! and half of the blocks, and the portable kernels on the portable packing.
//!
//! `cargo run -p evenkeel-emulator --example layer_costs`

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Random, Sample, Sliding, Window, add, linear, sliding};
use evenkeel_emulator::{Board, Error, Job, run};
use evenkeel_runtime::format::Packing;
use evenkeel_runtime::format::pack::Form;

fn main() -> Result<(), Error> {
    let mut random = Random(0);
    let r = &mut random;
    let three = Window::of(3, 3).pad(1, 1);
    let layers: Vec<(&str, Sample)> = vec![
        ("KWS pointwise 64 to 64 on 25x5", sliding(r, Sliding::Conv(64), [25, 5, 64], Window::of(1, 1))),
        ("KWS depthwise 3x3x64 on 25x5", sliding(r, Sliding::Depthwise, [25, 5, 64], three)),
        (
            "KWS conv 10x4, 1 to 64",
            sliding(r, Sliding::Conv(64), [49, 10, 1], Window::of(10, 4).stride(2, 2).pad(4, 1)),
        ),
        ("IC conv 3x3, 3 to 16 on 32x32", sliding(r, Sliding::Conv(16), [32, 32, 3], three)),
        ("IC conv 3x3, 16 to 16 on 32x32", sliding(r, Sliding::Conv(16), [32, 32, 16], three)),
        ("IC conv 3x3, 64 to 64 on 8x8", sliding(r, Sliding::Conv(64), [8, 8, 64], three)),
        ("VWW pointwise 8 to 16 on 48x48", sliding(r, Sliding::Conv(16), [48, 48, 8], Window::of(1, 1))),
        ("VWW pointwise 128 to 128 on 6x6", sliding(r, Sliding::Conv(128), [6, 6, 128], Window::of(1, 1))),
        ("VWW depthwise 3x3x8 on 48x48", sliding(r, Sliding::Depthwise, [48, 48, 8], three)),
        ("AD linear 640 to 128", linear(r, 640, 128)),
        ("AD linear 8 to 128", linear(r, 8, 128)),
        ("linear 64 to 12", linear(r, 64, 12)),
        ("IC add 32x32x16 (with a copy)", add(r, [32, 32, 16])),
        ("max pool 2x2 on 32x32x16", sliding(r, Sliding::MaxPool, [32, 32, 16], Window::of(2, 2).stride(2, 2))),
        ("mean 8x8x64", sliding(r, Sliding::AvgPool, [8, 8, 64], Window::of(8, 8))),
    ];
    for (board, packing) in [(Board::Mps2An386, Packing::Dsp), (Board::Mps3An547, Packing::Mve)] {
        let Some(firmware) = board.find_firmware() else {
            println!("no firmware for {board:?}: build it with `cargo xtask firmware`");
            continue;
        };
        println!("{:34} {:>10} {:>8} {:>8} {:>8}", board.processor(), "macs", "dense", "blocks", "portable");
        for (name, sample) in &layers {
            let inputs = random.values(sample.input_len);
            let cost = |sample: &Sample, portable| {
                let job = Job { firmware: &firmware, portable, ..sample.job(board, &inputs) };
                Ok::<_, Error>(run(&job)?.layers.last().copied().unwrap_or(0) as f64 / sample.macs as f64)
            };
            let dense = cost(&sample.packed(&mut random, packing, Form::Dense), false)?;
            let blocks = cost(&sample.packed(&mut random, packing, Form::Blocks), false)?;
            let portable = cost(sample, true)?;
            println!("{name:34} {:>10} {dense:>8.3} {blocks:>8.3} {portable:>8.3}", sample.macs);
        }
    }
    Ok(())
}
