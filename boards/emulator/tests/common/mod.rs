//! Random models of one operator, for tests and measurements of kernels.
#![allow(dead_code, reason = "each user needs a part of it")]

use std::path::Path;

use bytemuck::bytes_of;
use evenkeel_emulator::{Board, Error, Job, Outcome, run};
use evenkeel_runtime::format::pack::{Form, pack};
use evenkeel_runtime::format::{FileSpec, OpRecord, Packing, Requant, TensorRecord, Tile, encoding, op};
use evenkeel_runtime::kernels::Portable;
use evenkeel_runtime::strips::scratch_len;
use evenkeel_runtime::{Model, Session};

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From a small range, both ends included.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        low + (self.bits() % (high - low + 1) as u64) as i64
    }

    pub fn values(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.bits() as i8).collect()
    }
}

/// A model of one operator, its inputs' length and the number of its multiplications.
pub struct Sample {
    pub name: String,
    pub spec: FileSpec,
    pub file: Vec<u8>,
    pub input_len: usize,
    pub macs: usize,
}

/// The outputs of the portable kernels on this machine.
pub fn host(sample: &Sample, inputs: &[i8]) -> Vec<i8> {
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

impl Sample {
    /// The same operator with its weights packed for a target class. For a form that leaves weights out, about half of
    /// them become zero first.
    pub fn packed(&self, random: &mut Random, packing: Packing, form: Form) -> Sample {
        self.packed_with(packing, form, |weights, taps, tile| leave_out(random, weights, taps, tile, form))
    }

    /// The same operator in blocks, of which those become zero that `zero` (row and column of tiles) chooses.
    pub fn blocks(&self, packing: Packing, zero: impl Fn(usize, usize) -> bool) -> Sample {
        self.packed_with(packing, Form::Blocks, |weights, taps, tile| {
            for (i, w) in weights.iter_mut().enumerate() {
                if zero(i / taps / tile.rows, i % taps / tile.step) {
                    *w = 0;
                }
            }
        })
    }

    fn packed_with(&self, packing: Packing, form: Form, leave_out: impl FnOnce(&mut [i8], usize, Tile)) -> Sample {
        let mut spec = self.spec.clone();
        spec.packing = packing as u16;
        let record = spec.ops.last_mut().expect("an operator");
        let [x, y] = [record.input, record.output].map(|i| spec.tensors[i as usize]);
        if matches!(record.code, op::CONV | op::LINEAR) {
            let outputs = record.out_channels as usize;
            let taps = record.weights_len as usize / outputs;
            let (weights, rest) = spec.data.split_at(record.weights_len as usize);
            let requant = &rest[record.requant as usize - weights.len()..];
            let mut weights: Vec<i8> = weights.iter().map(|&w| w as i8).collect();
            leave_out(&mut weights, taps, packing.tile(record.code, encoding::BLOCKS8));
            let packed = pack(&weights, taps, packing, record.code, form).expect("a matrix of this form");
            let mut data: Vec<u8> = packed.weights.iter().map(|&w| w as u8).collect();
            record.encoding = packed.encoding;
            record.weights_len = data.len() as u32;
            data.resize(data.len().next_multiple_of(4), 0);
            record.index = data.len() as u32;
            record.index_len = packed.index.len() as u32;
            data.extend(&packed.index);
            data.resize(data.len().next_multiple_of(4), 0);
            record.requant = data.len() as u32;
            data.extend(requant);
            spec.data = data;
        }
        spec.arena_len =
            spec.scratch_offset + scratch_len(packing, spec.ops.last().expect("an operator"), &x, &y) as u32;
        let name = format!("{} {packing:?} {form:?}", self.name);
        Sample { name, file: spec.to_bytes(), spec, ..*self }
    }

    /// A job with these inputs; [`device`] knows the firmware.
    pub fn job<'a>(&'a self, board: Board, inputs: &'a [i8]) -> Job<'a> {
        let (firmware, model, labels, groups) = (Path::new(""), &*self.file, None, None);
        Job { board, firmware, model, inputs, labels, groups, portable: false, states: false }
    }
}

/// Sets weights to zero so that the matrix has the form.
fn leave_out(random: &mut Random, weights: &mut [i8], taps: usize, tile: Tile, form: Form) {
    match form {
        Form::Dense => {}
        Form::Blocks => {
            let across = taps.div_ceil(tile.step);
            let kept: Vec<bool> =
                (0..weights.len().div_ceil(taps * tile.rows) * across).map(|_| random.int(0, 1) == 0).collect();
            for (i, w) in weights.iter_mut().enumerate() {
                if !kept[i / taps / tile.rows * across + i % taps / tile.step] {
                    *w = 0;
                }
            }
        }
        Form::TwoOfFour => {
            for four in weights.chunks_mut(taps).flat_map(|row| row.chunks_mut(4)) {
                let first = random.int(0, 3) as usize;
                four.iter_mut().enumerate().filter(|(i, _)| (i + 4 - first) % 4 > 1).for_each(|(_, w)| *w = 0);
            }
        }
    }
}

/// What the device makes of a job; `None` (and a plain line) where there is no emulator or no firmware.
pub fn device(job: &Job) -> Option<Result<Outcome, Error>> {
    let Some(firmware) = job.board.find_firmware() else {
        println!("skipped: no firmware; build it with `cargo xtask firmware`");
        return None;
    };
    match run(&Job { firmware: &firmware, ..*job }) {
        Err(e @ (Error::NoQemu | Error::NoFirmware(_))) => {
            println!("skipped: {e}");
            None
        }
        result => Some(result),
    }
}

/// Height, width, channels.
pub type Shape = [usize; 3];

/// A sliding window.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub pad: [usize; 2],
}

impl Window {
    /// Of a given size, one step at a time, without padding.
    pub fn of(h: usize, w: usize) -> Self {
        Window { kernel: [h, w], stride: [1, 1], dilation: [1, 1], pad: [0, 0] }
    }

    pub fn pad(self, h: usize, w: usize) -> Self {
        Window { pad: [h, w], ..self }
    }

    pub fn stride(self, h: usize, w: usize) -> Self {
        Window { stride: [h, w], ..self }
    }

    pub fn dilation(self, h: usize, w: usize) -> Self {
        Window { dilation: [h, w], ..self }
    }

    /// The extent of the output with the same padding on both sides.
    fn output(&self, input: usize, axis: usize) -> usize {
        let extent = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        (input + 2 * self.pad[axis] - extent) / self.stride[axis] + 1
    }
}

/// Operators whose window moves over an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sliding {
    Conv(usize),
    Depthwise,
    MaxPool,
    AvgPool,
}

/// A convolution, depthwise convolution or pool; every third one has a narrow range of values.
pub fn sliding(random: &mut Random, kind: Sliding, input: Shape, window: Window) -> Sample {
    let [h, w, c] = input;
    let (taps, out_c) = (window.kernel[0] * window.kernel[1], if let Sliding::Conv(n) = kind { n } else { c });
    let output = [window.output(h, 0), window.output(w, 1), out_c];
    let (code, k, weights, requants) = match kind {
        Sliding::Conv(n) => (op::CONV, taps * c, n * taps * c, n),
        Sliding::Depthwise => (op::DEPTHWISE, taps, taps * c, c),
        Sliding::MaxPool => (op::MAX_POOL, taps, 0, 0),
        Sliding::AvgPool => (op::AVG_POOL, taps, 0, taps),
    };
    let record = OpRecord {
        code,
        kernel: window.kernel.map(|v| v as u16),
        stride: window.stride.map(|v| v as u16),
        dilation: window.dilation.map(|v| v as u16),
        pad: window.pad.map(|v| v as u16),
        out_channels: out_c as u32,
        ..operator(random)
    };
    let macs = output.iter().product::<usize>() * k;
    let name = format!("{kind:?} {input:?} {window:?}");
    sample(random, name, macs, &[input], output, record, k, weights, requants)
}

/// Fully connected.
pub fn linear(random: &mut Random, inputs: usize, outputs: usize) -> Sample {
    let record = OpRecord { code: op::LINEAR, out_channels: outputs as u32, ..operator(random) };
    let (input, output) = ([1, 1, inputs], [1, 1, outputs]);
    let name = format!("Linear {inputs} to {outputs}");
    sample(random, name, inputs * outputs, &[input], output, record, inputs, inputs * outputs, outputs)
}

/// The sum of the input and its maximum over a window of one, so of two tensors: the model's second operator.
pub fn add(random: &mut Random, shape: Shape) -> Sample {
    // Multipliers of 16 bits, and larger ones.
    let shift = [random.int(8, 12), random.int(16, 20)][random.int(0, 1) as usize];
    let mul = [0; 2].map(|_: i32| random.int(-(1 << shift), 1 << shift) as i32);
    let record = OpRecord {
        code: op::ADD,
        out_channels: shape[2] as u32,
        add_mul: mul,
        add_shift: shift as u16,
        add_bias: random.int(-20 << shift, 20 << shift) as i32,
        ..operator(random)
    };
    let name = format!("Add {shape:?}");
    sample(random, name, shape.iter().product(), &[shape, shape], shape, record, 1, 0, 0)
}

/// [`add`], with the result over its second input.
pub fn add_onto(random: &mut Random, shape: Shape) -> Sample {
    let mut sample = add(random, shape);
    sample.spec.tensors[2].offset = sample.spec.tensors[1].offset;
    Sample { name: format!("{} onto the second", sample.name), file: sample.spec.to_bytes(), ..sample }
}

fn operator(random: &mut Random) -> OpRecord {
    let narrow = random.int(0, 2) == 0;
    OpRecord {
        left_shift: 7,
        lo: if narrow { random.int(-60, -1) as i8 } else { i8::MIN },
        hi: if narrow { random.int(0, 60) as i8 } else { i8::MAX },
        ..OpRecord::default()
    }
}

#[allow(clippy::too_many_arguments)]
fn sample(
    random: &mut Random,
    name: String,
    macs: usize,
    inputs: &[Shape],
    output: Shape,
    mut record: OpRecord,
    k: usize,
    weights: usize,
    requants: usize,
) -> Sample {
    let ops = inputs.len() as u32;
    let mut spec = FileSpec::default();
    let mut end = 0;
    for (i, shape) in inputs.iter().chain([&output]).enumerate() {
        let [h, w, c] = shape.map(|n| n as u32);
        let zero = random.int(-128, 127) as i32;
        let first_op = (i as u32).saturating_sub(1);
        spec.tensors.push(TensorRecord { offset: end, c, h, w, scale: 1.0, zero, first_op, last_op: ops - 1 });
        end += (h * w * c).next_multiple_of(4);
    }
    if inputs.len() == 2 {
        let one = [1; 2];
        spec.ops.push(OpRecord {
            code: op::MAX_POOL,
            output: 1,
            kernel: one,
            stride: one,
            dilation: one,
            out_channels: inputs[0][2] as u32,
            ..operator(random)
        });
        record.input2 = 1;
    }
    record.output = inputs.len() as u16;
    record.weights_len = weights as u32;
    // Kernels may tell weights without -128 from others: half of the samples have none.
    let least = if random.int(0, 1) == 0 { i8::MIN } else { -127 };
    spec.data = random.values(weights).iter().map(|&w| w.max(least) as u8).collect();
    spec.data.resize(weights.next_multiple_of(4), 0);
    record.requant = spec.data.len() as u32;
    record.requant_len = requants as u32;
    // A sum of k random products has a standard deviation of about 5,400 sqrt(k); results shall have about 60.
    let real = if weights == 0 { 1.0 / k as f64 } else { 60.0 / (5400.0 * (k as f64).sqrt()) };
    for _ in 0..requants {
        let factor = random.int(50, 150) as f64 / 100.0;
        let requant = Requant {
            bias: random.int(-2000, 2000) as i32 * (k as f64).sqrt() as i32,
            mul: (real * factor * (32.0 - record.left_shift as f64).exp2()) as i32,
        };
        spec.data.extend_from_slice(bytes_of(&requant));
    }
    spec.ops.push(record);
    spec.scratch_offset = end;
    spec.arena_len = end + Packing::Portable.scratch_len(&record, inputs[0], output) as u32;
    spec.input = 0;
    spec.output = inputs.len() as u16;
    Sample { name, file: spec.to_bytes(), spec, input_len: inputs[0].iter().product(), macs }
}
