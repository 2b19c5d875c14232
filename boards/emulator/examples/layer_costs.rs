//! Instructions per multiplication of typical layers on the emulated Cortex-M4: with rows of weights, with those
//! packed for the target, with every other tile stored, and with the portable kernels.
//!
//! `cargo run -p evenkeel-emulator --example layer_costs`

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Random, Sample, Sliding, Window, add, linear, sliding};
use evenkeel_emulator::{Error, Job, find_firmware, run};
use evenkeel_runtime::format::pack::Form;
use evenkeel_runtime::format::{Packing, op};

fn main() -> Result<(), Error> {
    let Some(firmware) = find_firmware() else {
        println!("no firmware: build it with `cargo xtask firmware`");
        return Ok(());
    };
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
        ("VWW depthwise 3x3x16 on 48x48/2", sliding(r, Sliding::Depthwise, [48, 48, 16], three.stride(2, 2))),
        ("VWW depthwise 3x3x128 on 6x6", sliding(r, Sliding::Depthwise, [6, 6, 128], three)),
        ("AD linear 640 to 128", linear(r, 640, 128)),
        ("AD linear 8 to 128", linear(r, 8, 128)),
        ("linear 64 to 12", linear(r, 64, 12)),
        ("IC add 32x32x16 (with a copy)", add(r, [32, 32, 16])),
        ("max pool 2x2 on 32x32x16", sliding(r, Sliding::MaxPool, [32, 32, 16], Window::of(2, 2).stride(2, 2))),
        ("mean 8x8x64", sliding(r, Sliding::AvgPool, [8, 8, 64], Window::of(8, 8))),
    ];
    println!("{:34} {:>10} {:>10} {:>10} {:>10} {:>10}", "layer", "macs", "rows", "tiles", "half", "portable");
    for (name, sample) in layers {
        let inputs = random.values(sample.input_len);
        let cost = |file: &[u8], portable| {
            let job = Job { firmware: &firmware, model: file, inputs: &inputs, labels: None, groups: None, portable };
            Ok::<_, Error>(run(&job)?.layers.last().copied().unwrap_or(0) as f64 / sample.macs as f64)
        };
        let (rows, portable) = (cost(&sample.file, false)?, cost(&sample.file, true)?);
        let matrix = sample.spec.ops.last().is_some_and(|o| matches!(o.code, op::CONV | op::LINEAR));
        let (tiles, half) = if matrix {
            let form = |form| sample.packed(Packing::Dsp, form, |row, column| (row + column) % 2 == 0).file;
            (cost(&form(Form::Dense), false)?, cost(&form(Form::Blocks), false)?)
        } else {
            (rows, rows)
        };
        println!("{name:34} {:>10} {rows:>10.3} {tiles:>10.3} {half:>10.3} {portable:>10.3}", sample.macs);
    }
    Ok(())
}
