//! Times a model on this machine, repacked for it, layer by layer:
//! `cargo run --release -p evenkeel-runtime --features write,std --example layers -- model.keel [sparse]`
//!
//! With `sparse`, half of the 16 × 4 tiles of every convolution and linear operator are set to zero and left out. All
//! sets of kernels must give the bytes of the portable ones.

use std::error::Error;
use std::time::{Duration, Instant};

use evenkeel_runtime::format::{FileSpec, Packing, op, pack::Form, repack};
use evenkeel_runtime::kernels::{Kernels, Native, Portable};
use evenkeel_runtime::{Model, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: layers MODEL [sparse]")?;
    let sparse = args.next().is_some_and(|a| a == "sparse");
    let file = Lined::new(&std::fs::read(path)?);
    let mut packed = Lined::new(&repack(file.bytes(), Packing::Vnni, |_, _| Form::Dense)?);
    if sparse {
        let thinned = Lined::new(&thin(&packed)?);
        packed = Lined::new(&repack(thinned.bytes(), Packing::Vnni, |_, _| Form::Blocks)?);
    }
    let model = Model::from_bytes(packed.bytes())?;
    println!("{} bytes, arena {}", model.file_len(), model.arena_len());
    let expected = run::<Portable>(&model)?;
    for (name, ns) in expected.layers.iter().zip(&run::<Native>(&model)?.layers).map(|(a, b)| (&a.0, b.1)) {
        println!("{name:<32} {:>9.2} us", ns);
    }
    let native = run::<Native>(&model)?;
    println!("{} min {:.2} us, median {:.2} us", Native::NAME, native.min, native.median);
    if native.output != expected.output {
        return Err("the native kernels give other bytes than the portable ones".into());
    }
    Ok(())
}

struct Timed {
    output: Vec<i8>,
    layers: Vec<(String, f64)>,
    min: f64,
    median: f64,
}

/// Times runs for a second.
fn run<K: Kernels>(model: &Model) -> Result<Timed, Box<dyn Error>> {
    let mut arena = vec![0; model.arena_len() + 64];
    let start = arena.as_ptr().align_offset(64);
    let mut session = Session::<K>::with_kernels(model, &mut arena[start..])?;
    let micros = |d: Duration| d.as_nanos() as f64 / 1000.0;
    let input = |session: &mut Session<K>| {
        session.input_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i * 37 % 251) as u8 as i8);
    };
    let (mut totals, mut layers) = (Vec::new(), vec![f64::INFINITY; model.ops().len()]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        input(&mut session);
        let start = Instant::now();
        session.run();
        totals.push(micros(start.elapsed()));
        input(&mut session);
        let mut last = Instant::now();
        session.run_observed(|i| {
            layers[i] = layers[i].min(micros(last.elapsed()));
            last = Instant::now();
        });
    }
    totals.sort_by(f64::total_cmp);
    let names = model.ops().iter().map(|op| format!("{} {}", op.code_name(), model.name(op.name)));
    Ok(Timed {
        output: session.output().to_vec(),
        layers: names.zip(layers).collect(),
        min: totals[0],
        median: totals[totals.len() / 2],
    })
}

/// The model with every other tile zero.
fn thin(packed: &Lined) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut spec = FileSpec::from(&Model::from_bytes(packed.bytes())?);
    for op in spec.ops.iter().filter(|o| matches!(o.code, op::CONV | op::LINEAR)) {
        for tile in spec.data[op.weights as usize..][..op.weights_len as usize].chunks_mut(64).step_by(2) {
            tile.fill(0);
        }
    }
    Ok(spec.to_bytes())
}

/// Bytes at a cache line, as those of a mapped file are.
struct Lined {
    bytes: Vec<u8>,
    start: usize,
}

impl Lined {
    fn new(from: &[u8]) -> Self {
        let mut bytes = vec![0; from.len() + 64];
        let start = bytes.as_ptr().align_offset(64);
        bytes[start..start + from.len()].copy_from_slice(from);
        Lined { bytes, start }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.bytes.len() + self.start - 64]
    }
}
