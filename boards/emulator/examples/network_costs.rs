//! Instructions of the layers of the MLPerf Tiny networks on the emulated Cortex-M4, with random weights: in rows,
//! packed for the target, and packed with every other tile stored (the first layer whole).
//!
//! `cargo run -p evenkeel-emulator --example network_costs`

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
    let networks =
        [("KWS", kws(&mut random)), ("VWW", vww(&mut random)), ("IC", ic(&mut random)), ("AD", ad(&mut random))];
    println!("{:4} {:>10} {:>10} {:>10} {:>10}", "", "macs", "rows", "tiles", "half");
    for (name, layers) in networks {
        let mut sum = [0; 4];
        for (i, layer) in layers.iter().enumerate() {
            let inputs = random.values(layer.input_len);
            let cost = |file: &[u8]| {
                let job = Job {
                    firmware: &firmware,
                    model: file,
                    inputs: &inputs,
                    labels: None,
                    groups: None,
                    portable: false,
                };
                Ok::<_, Error>(run(&job)?.layers.last().copied().unwrap_or(0) as usize)
            };
            let rows = cost(&layer.file)?;
            let matrix = layer.spec.ops.last().is_some_and(|o| matches!(o.code, op::CONV | op::LINEAR));
            let packed = |form| layer.packed(Packing::Dsp, form, |row, column| (row + column) % 2 == 0).file;
            let tiles = if matrix { cost(&packed(Form::Dense))? } else { rows };
            let half = if matrix && i > 0 { cost(&packed(Form::Blocks))? } else { tiles };
            for (sum, n) in sum.iter_mut().zip([layer.macs, rows, tiles, half]) {
                *sum += n;
            }
        }
        println!("{name:4} {:>10} {:>10} {:>10} {:>10}", sum[0], sum[1], sum[2], sum[3]);
    }
    Ok(())
}

/// A depthwise convolution and a pointwise one behind it.
fn separable(r: &mut Random, side: [usize; 2], stride: usize, channels: [usize; 2]) -> [Sample; 2] {
    let [h, w] = side;
    let depthwise = Window::of(3, 3).pad(1, 1).stride(stride, stride);
    let pointwise = [h.div_ceil(stride), w.div_ceil(stride), channels[0]];
    [
        sliding(r, Sliding::Depthwise, [h, w, channels[0]], depthwise),
        sliding(r, Sliding::Conv(channels[1]), pointwise, Window::of(1, 1)),
    ]
}

fn kws(r: &mut Random) -> Vec<Sample> {
    let first = Window::of(10, 4).stride(2, 2).pad(5, 1);
    let mut layers = vec![sliding(r, Sliding::Conv(64), [49, 10, 1], first)];
    for _ in 0..4 {
        layers.extend(separable(r, [25, 5], 1, [64, 64]));
    }
    layers.push(sliding(r, Sliding::AvgPool, [25, 5, 64], Window::of(25, 5)));
    layers.push(linear(r, 64, 12));
    layers
}

fn vww(r: &mut Random) -> Vec<Sample> {
    let mut layers = vec![sliding(r, Sliding::Conv(8), [96, 96, 3], Window::of(3, 3).stride(2, 2).pad(1, 1))];
    let (mut side, mut channels) = (48, 8);
    let widths = [(1, 16), (2, 32), (1, 32), (2, 64), (1, 64), (2, 128)];
    let deep = [(1, 128); 5].into_iter().chain([(2, 256), (1, 256)]);
    for (stride, width) in widths.into_iter().chain(deep) {
        layers.extend(separable(r, [side, side], stride, [channels, width]));
        (side, channels) = (side / stride, width);
    }
    layers.push(sliding(r, Sliding::AvgPool, [3, 3, 256], Window::of(3, 3)));
    layers.push(linear(r, 256, 2));
    layers
}

fn ic(r: &mut Random) -> Vec<Sample> {
    let three = Window::of(3, 3).pad(1, 1);
    let mut layers = vec![sliding(r, Sliding::Conv(16), [32, 32, 3], three)];
    let (mut side, mut channels) = (32, 16);
    for (stride, width) in [(1, 16), (2, 32), (2, 64)] {
        layers.push(sliding(r, Sliding::Conv(width), [side, side, channels], three.stride(stride, stride)));
        if stride > 1 {
            let shortcut = Window::of(1, 1).stride(stride, stride);
            layers.push(sliding(r, Sliding::Conv(width), [side, side, channels], shortcut));
        }
        (side, channels) = (side / stride, width);
        layers.push(sliding(r, Sliding::Conv(width), [side, side, channels], three));
        layers.push(add(r, [side, side, channels]));
    }
    layers.push(sliding(r, Sliding::AvgPool, [8, 8, 64], Window::of(8, 8)));
    layers.push(linear(r, 64, 10));
    layers
}

fn ad(r: &mut Random) -> Vec<Sample> {
    let widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640];
    widths.windows(2).map(|w| linear(r, w[0], w[1])).collect()
}
