//! Float models: what they compute, which faults are named, and that no bytes make them panic.

mod common;

use common::Buffer;
use evenkeel_runtime::format::{Dtype, FileSpec, OpRecord, TensorRecord, flag, function, op, repair};
use evenkeel_runtime::preprocess::{normalise_input, quantise_input};
use evenkeel_runtime::{Error, FloatSession, Model, Session};
use half::f16;
use proptest::prelude::*;

/// A float model in the making.
struct Net {
    dtype: Dtype,
    spec: FileSpec,
    end: u32,
}

impl Net {
    fn new(dtype: Dtype, input: [u32; 3]) -> Self {
        let mut net = Net { dtype, spec: FileSpec { dtype: dtype as u16, ..FileSpec::default() }, end: 0 };
        net.tensor(input);
        net
    }

    fn tensor(&mut self, [h, w, c]: [u32; 3]) -> u16 {
        let t = TensorRecord { offset: self.end, c, h, w, scale: 1.0, zero: 0, first_op: 0, last_op: 0 };
        self.spec.tensors.push(t);
        self.end += (h * w * c).next_multiple_of(4);
        self.spec.tensors.len() as u16 - 1
    }

    /// Offset of numbers in the data section, and bytes of them.
    fn data(&mut self, numbers: &[f32], dtype: Dtype) -> (u32, u32) {
        let data = &mut self.spec.data;
        let start = data.len();
        for &n in numbers {
            match dtype {
                Dtype::F16 => data.extend(f16::from_f32(n).to_le_bytes()),
                _ => data.extend(n.to_le_bytes()),
            }
        }
        let len = data.len() - start;
        data.resize(data.len().next_multiple_of(4), 0);
        (start as u32, len as u32)
    }

    /// Adds an operator from `x` to a new tensor.
    fn push(&mut self, record: OpRecord, x: u16, shape: [u32; 3], weights: &[f32], numbers: &[f32]) -> u16 {
        let output = self.tensor(shape);
        self.push_to(record, x, (output, 0, shape[2]), weights, numbers);
        output
    }

    /// Adds an operator that writes a tensor's channels: `part` is the tensor, the first of them, and how many.
    fn push_to(&mut self, r: OpRecord, input: u16, part: (u16, u32, u32), weights: &[f32], numbers: &[f32]) {
        let (weights, weights_len) = self.data(weights, self.dtype);
        let requant_len = numbers.len() as u32;
        let (requant, _) = self.data(numbers, Dtype::F32);
        let bounds = if r.add_mul == [0; 2] { [f32::NEG_INFINITY, f32::INFINITY] } else { r.bounds() };
        let (output, out_channel, out_channels) = part;
        let record = OpRecord {
            input,
            output,
            out_channel,
            out_channels,
            weights,
            weights_len,
            requant,
            requant_len,
            ..r.with_bounds(bounds[0], bounds[1])
        };
        self.spec.ops.push(record);
    }

    fn finish(mut self, scratch: u32) -> FileSpec {
        let ops = &self.spec.ops;
        for (t, tensor) in self.spec.tensors.iter_mut().enumerate() {
            let t = t as u16;
            tensor.first_op = ops.iter().position(|o| o.output == t).unwrap_or(0) as u32;
            let uses = |o: &OpRecord| [o.input, o.input2, o.output].contains(&t);
            tensor.last_op = ops.iter().rposition(uses).unwrap_or(0) as u32;
        }
        self.spec.output = self.spec.ops.last().map_or(0, |o| o.output);
        (self.spec.scratch_offset, self.spec.arena_len) = (self.end, self.end + scratch);
        self.spec
    }
}

fn op_of(code: u16) -> OpRecord {
    OpRecord { code, ..OpRecord::default() }
}

fn window(code: u16, kernel: u16, pad: u16) -> OpRecord {
    OpRecord { kernel: [kernel; 2], stride: [1; 2], dilation: [1; 2], pad: [pad; 2], ..op_of(code) }
}

fn some(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 73 + 11) % 64) as f32 / 64.0 - 0.5).collect()
}

/// Every operator once.
fn spec(dtype: Dtype) -> FileSpec {
    let mut net = Net::new(dtype, [4, 4, 2]);
    let conv = net.push(window(op::CONV, 3, 1), 0, [4, 4, 4], &some(72), &some(4));
    let relu = window(op::DEPTHWISE, 3, 1).with_bounds(0.0, f32::INFINITY);
    let depthwise = net.push(relu, conv, [4, 4, 4], &some(36), &some(4));
    let fused = OpRecord { groups: 2, flags: flag::FUSED_ADD, input2: depthwise, ..window(op::GROUPED_CONV, 1, 0) };
    let grouped = net.push(fused, conv, [4, 4, 4], &some(8), &some(4));
    let mean = OpRecord { flags: flag::COUNT_PAD, ..window(op::AVG_POOL, 3, 1) };
    let mean = net.push(mean, grouped, [4, 4, 4], &[], &[]);
    let whole = net.tensor([4, 4, 6]);
    let sum = OpRecord { input2: mean, ..op_of(op::ADD) };
    net.push_to(sum, grouped, (whole, 0, 4), &[], &[]);
    net.push_to(OpRecord { groups: 1, ..op_of(op::SLICE) }, 0, (whole, 5, 1), &[], &[]);
    net.push_to(OpRecord { groups: 0, ..op_of(op::SLICE) }, 0, (whole, 4, 1), &[], &[]);
    let max = OpRecord { stride: [2; 2], ..window(op::MAX_POOL, 2, 0) };
    let max = net.push(max, whole, [2, 2, 6], &[], &[]);
    let act = OpRecord { groups: function::HARD_SIGMOID, ..op_of(op::ACTIVATION) };
    let gate = net.push(act, max, [2, 2, 6], &[], &[0.2, 0.5]);
    let gated = net.push(OpRecord { input2: gate, ..op_of(op::MUL) }, max, [2, 2, 6], &[], &[]);
    let large = net.push(OpRecord { stride: [1, 2], ..op_of(op::RESIZE) }, gated, [2, 4, 6], &[], &[]);
    let bordered = net.push(OpRecord { pad: [1, 0], ..op_of(op::PAD) }, large, [3, 4, 6], &[], &[0.25]);
    let leaky = OpRecord { groups: function::LEAKY_RELU, ..op_of(op::ACTIVATION) };
    let leaky = net.push(leaky, bordered, [3, 4, 6], &[], &[0.1]);
    let linear = net.push(op_of(op::LINEAR), leaky, [1, 1, 5], &some(360), &some(5));
    net.push(op_of(op::SOFTMAX), linear, [1, 1, 5], &[], &[]);
    net.finish(160)
}

/// Verifies a file and runs it; what is accepted must run.
fn load_and_run(file: &[u8]) -> Result<Vec<f32>, Error> {
    let file = Buffer::new(file);
    let model = Model::from_bytes(file.bytes())?;
    if !model.dtype().is_float() {
        let mut arena = Buffer::zeroed(model.arena_len());
        let mut session = Session::new(&model, arena.bytes_mut())?;
        session.run();
        return Ok(session.output().iter().map(|&v| v.into()).collect());
    }
    let mut outputs = Vec::new();
    for len in [model.arena_len(), FloatSession::fast_arena_len(&model)] {
        let mut arena = vec![f32::NAN; len];
        let mut session = FloatSession::new(&model, &mut arena)?;
        let values = some(session.input_mut().len());
        session.input_mut().copy_from_slice(&values);
        session.run();
        assert!(session.classify() < session.output().len());
        outputs.push(session.output().to_vec());
    }
    let differ = |a: &f32, b: &f32| (a - b).abs() > 1e-3 * a.abs().max(1.0) && a.is_finite() && b.is_finite();
    if outputs[0].iter().all(|v| v.abs() < 1e3) {
        assert!(!outputs[0].iter().zip(&outputs[1]).any(|(a, b)| differ(a, b)), "{outputs:?}");
    }
    Ok(outputs.swap_remove(0))
}

#[test]
fn the_model_is_accepted_and_computes_something() {
    let [f32s, f16s] = [Dtype::F32, Dtype::F16].map(|d| load_and_run(&spec(d).to_bytes()).expect("a good file"));
    // The numbers are multiples of 1/64, which f16 holds exactly.
    assert_eq!(f32s.len(), 5);
    assert!((f32s.iter().sum::<f32>() - 1.0).abs() < 1e-6 && f32s.iter().all(|&p| p > 0.01), "{f32s:?}");
    assert!(f32s.iter().zip(&f16s).all(|(a, b)| (a - b).abs() < 1e-6), "{f32s:?} {f16s:?}");
}

#[test]
fn every_byte_changed() {
    for dtype in [Dtype::F32, Dtype::F16] {
        let file = spec(dtype).to_bytes();
        for i in 0..file.len() {
            for flip in [1, 0x40, 0x80, 0xFF] {
                let mut changed = file.clone();
                changed[i] ^= flip;
                repair(&mut changed);
                let _ = load_and_run(&changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// Several words replaced by numbers that are likely to hurt.
    #[test]
    fn random_words(
        f16: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u32>(), 0..64u32, Just(u32::MAX), Just(f32::NAN.to_bits()), Just(f32::INFINITY.to_bits())
        ]), 1..4),
    ) {
        let mut file = spec(if f16 { Dtype::F16 } else { Dtype::F32 }).to_bytes();
        for (at, word) in changes {
            let at = at.index(file.len() / 4) * 4;
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        repair(&mut file);
        let _ = load_and_run(&file);
    }
}

fn fault(change: impl FnOnce(&mut FileSpec)) -> String {
    let mut spec = spec(Dtype::F16);
    change(&mut spec);
    load_and_run(&spec.to_bytes()).expect_err("a fault").to_string()
}

#[test]
fn faults_are_named_where_they_are() {
    let weights = "operator 0: the number of weights does not follow from the shapes";
    assert_eq!(fault(|s| s.ops[0].weights_len -= 2), weights);
    assert_eq!(fault(|s| s.dtype = Dtype::F32 as u16), weights);
    assert!(fault(|s| s.ops[0].requant_len = 3).starts_with("operator 0: needs one bias"));
    let nan = f32::NAN.to_le_bytes();
    let finite = "operator 0: biases and parameters must be finite";
    assert_eq!(fault(|s| s.data[s.ops[0].requant as usize..][..4].copy_from_slice(&nan)), finite);
    let quantised = "operator 1: a field of quantisation or of left out weights is not 0";
    assert_eq!(fault(|s| s.ops[1].lo = 1), quantised);
    assert_eq!(fault(|s| s.ops[1].encoding = 1), quantised);
    let range = "operator 1: a range of values is impossible";
    assert_eq!(fault(|s| s.ops[1] = s.ops[1].with_bounds(1.0, 0.0)), range);
    assert_eq!(fault(|s| s.ops[1] = s.ops[1].with_bounds(f32::NAN, 0.0)), range);
    assert_eq!(fault(|s| s.ops[8].groups = 99), "operator 8: an unknown function");
    assert_eq!(fault(|s| s.ops[0].flags = flag::COUNT_PAD), "operator 0: only a mean can count its padding");
    assert_eq!(fault(|s| (s.ops[8].code, s.ops[8].groups) = (op::LUT, 1)), "operator 8: only int8 models have tables");
    assert_eq!(fault(|s| s.arena_len -= 100), "operator 0: needs more scratch than the arena has");
    assert_eq!(fault(|s| s.tensors[1].scale = 2.0), "tensor 1: a tensor of real numbers has scale 1 and zero point 0");
    assert_eq!(fault(|s| s.packing = 1), "header: the weights of float models are not packed for a target");
    assert_eq!(fault(|s| s.dtype = 3), "header: an unknown number format");
    assert_eq!(fault(|s| s.arena_len = 1 << 29), "header: an arena of more than 1 GiB");
    // Bytes where elements are meant.
    assert!(fault(|s| s.dtype = Dtype::Int8 as u16).contains("operator 0"));
    let mut int8 = common::spec();
    int8.ops[2].flags = flag::COUNT_PAD;
    let error = load_and_run(&int8.to_bytes()).expect_err("a fault").to_string();
    assert_eq!(error, "operator 2: only float models have it");
}

#[test]
fn each_session_takes_the_models_that_are_its_own() {
    let (float, int8) = (Buffer::new(&spec(Dtype::F32).to_bytes()), Buffer::new(&common::spec().to_bytes()));
    let [float, int8] = [&float, &int8].map(|file| Model::from_bytes(file.bytes()).expect("a good file"));
    let mut bytes = Buffer::zeroed(4 * float.arena_len().max(int8.arena_len()));
    let error = Session::new(&float, bytes.bytes_mut()).err();
    assert_eq!(error, Some(Error::Dtype { dtype: "f32", session: "Session" }));
    let mut arena = vec![0.0; float.arena_len()];
    let error = FloatSession::new(&int8, &mut arena).err();
    assert_eq!(error, Some(Error::Dtype { dtype: "int8", session: "FloatSession" }));
    let needed = arena.len();
    let error = FloatSession::new(&float, &mut arena[1..]).err();
    assert_eq!(error, Some(Error::ArenaTooSmall { needed, given: needed - 1 }));
    assert_eq!(float.arena_bytes(), 4 * needed);
    let raw = some(32);
    assert!(matches!(quantise_input(&float, &raw, &mut [0; 32]), Err(Error::Dtype { .. })));
    assert!(matches!(normalise_input(&int8, &raw, &mut [0.0; 32]), Err(Error::Dtype { .. })));
    let mut x = [0.0; 32];
    normalise_input(&float, &raw, &mut x).expect("a sample");
    // C × H × W to H × W × C.
    assert_eq!((x[0], x[1], x[2]), (raw[0], raw[16], raw[1]));
}

/// Weights that are not numbers spoil the result and nothing else.
#[test]
fn weights_may_be_any_numbers() {
    let mut bad = spec(Dtype::F32);
    let at = bad.ops[0].weights as usize;
    bad.data[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(load_and_run(&bad.to_bytes()).expect("a good file").iter().any(|v| v.is_nan()));
}
