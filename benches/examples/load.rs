//! How long loading a large mapped file takes, beside a checksum over its bytes: what every loader must at least do.
//!
//! `cargo run -p evenkeel-benches --example load` (dependencies and runtime are optimised in development builds too).

use evenkeel_runtime::Model;
use evenkeel_runtime::cast::MappedFile;
use evenkeel_runtime::format::pack::{Form, pack};
use evenkeel_runtime::format::{FileSpec, OpRecord, Packing, Requant, TensorRecord, crc32, op};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// Values between layers.
const WIDTH: usize = 1024;
/// Bytes of the file, roughly.
const BYTES: usize = 50_000_000;
/// Times that each thing is measured; by turns, so that a slow moment meets both.
const TIMES: usize = 31;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("evenkeel-load-{}.keel", std::process::id()));
    println!("| packing | file MB | checksum ms | load ms | load / checksum |\n| --- | --- | --- | --- | --- |");
    for packing in Packing::ALL {
        std::fs::write(&path, file(packing))?;
        let (mut sums, mut loads) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            sums.push(milliseconds(|| Ok(MappedFile::open(&path).map(|m| crc32(m.bytes()) as usize)?))?);
            loads.push(milliseconds(|| Ok(Model::from_bytes(MappedFile::open(&path)?.bytes())?.ops().len()))?);
        }
        let (sum, load) = (median(sums), median(loads));
        let size = std::fs::metadata(&path)?.len() as f64 / 1e6;
        println!("| {} | {size:.1} | {sum:.2} | {load:.2} | {:.2} |", packing.name(), load / sum);
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

fn milliseconds(what: impl FnOnce() -> Result<usize, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    black_box(what()?);
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// A file of linear layers, by turns dense, in blocks (half of them stored) and two of four.
fn file(packing: Packing) -> Vec<u8> {
    let mut spec = FileSpec { packing: packing as u16, ..FileSpec::default() };
    let tensor = |at: usize, first: usize, last: usize| TensorRecord {
        offset: (at * WIDTH) as u32,
        c: WIDTH as u32,
        h: 1,
        w: 1,
        scale: 0.1,
        zero: 0,
        first_op: first as u32,
        last_op: last as u32,
    };
    spec.tensors.push(tensor(0, 0, 0));
    while spec.data.len() < BYTES {
        let i = spec.ops.len();
        let form = [Form::Dense, Form::Blocks, Form::TwoOfFour][i % 3];
        let kept = |o: usize, t: usize| match form {
            Form::Dense => true,
            Form::Blocks => (o / 16 * 7 + t / 16 * 3 + i) % 4 < 2,
            Form::TwoOfFour => t % 4 < 2,
        };
        let weight = |n: usize| if kept(n / WIDTH, n % WIDTH) { (n * 73 % 253) as u8 as i8 | 1 } else { 0 };
        let weights: Vec<i8> = (0..WIDTH * WIDTH).map(weight).collect();
        let Some(packed) = pack(&weights, WIDTH, packing, op::LINEAR, form) else { break };
        let mut put = |bytes: &[u8]| {
            let offset = spec.data.len();
            spec.data.extend_from_slice(bytes);
            spec.data.resize(spec.data.len().next_multiple_of(4), 0);
            (offset as u32, bytes.len() as u32)
        };
        let bytes: Vec<u8> = packed.weights.iter().map(|&w| w as u8).collect();
        let (weights, weights_len) = put(&bytes);
        let (index, index_len) = put(&packed.index);
        let (requant, bytes) = put(&vec![0; WIDTH * size_of::<Requant>()]);
        let requant_len = bytes / size_of::<Requant>() as u32;
        spec.ops.push(OpRecord {
            code: op::LINEAR,
            input: i as u16,
            output: i as u16 + 1,
            out_channels: WIDTH as u32,
            encoding: packed.encoding,
            weights,
            weights_len,
            index,
            index_len,
            requant,
            requant_len,
            ..OpRecord::default()
        });
        spec.tensors.push(tensor((i + 1) % 2, i, i + 1));
    }
    let last = spec.ops.len();
    spec.tensors[last].last_op = last as u32 - 1;
    spec.output = last as u16;
    spec.scratch_offset = 2 * WIDTH as u32;
    spec.arena_len = 4 * WIDTH as u32;
    spec.to_bytes()
}
