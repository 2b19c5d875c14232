//! A session gives each operator its tensors, and the input is prepared in the model's order.

mod common;

use common::random::random;
use common::{Buffer, spec};
use evenkeel_runtime::format::{FileSpec, OpRecord, Packing, flag, op};
use evenkeel_runtime::kernels::{AddParams, Geometry, Kernels, Layer, MulParams, Native, Portable, portable};
use evenkeel_runtime::preprocess::{quantise, quantise_input};
use evenkeel_runtime::{Arena, Error, Model, Session};
use proptest::prelude::*;

/// A model once more, each operator whole, with each tensor in a vector of its own instead of the arena.
fn by_hand(model: &Model, input: &[i8]) -> Vec<i8> {
    let mut tensors: Vec<Vec<i8>> = model.tensors().iter().map(|t| vec![99; t.elements()]).collect();
    tensors[model.header().input as usize] = input.to_vec();
    for op in model.ops() {
        let x = &tensors[op.input as usize];
        let to = &model.tensors()[op.output as usize];
        let mut part = vec![55; to.h as usize * to.w as usize * op.out_channels as usize];
        operator(model, op, x, tensors.get(op.input2 as usize), &mut part);
        if op.has(flag::FUSED_ADD) {
            let mid = part.clone();
            Portable::add(&sum(op), &mid, &tensors[op.input2 as usize], &mut part);
        }
        let (first, count) = (op.out_channel as usize, op.out_channels as usize);
        for (pixel, part) in tensors[op.output as usize].chunks_mut(to.c as usize).zip(part.chunks(count)) {
            pixel[first..first + count].copy_from_slice(part);
        }
    }
    tensors[model.header().output as usize].clone()
}

fn sum(op: &OpRecord) -> AddParams {
    let [lo, hi] = [op.lo, op.hi].map(i32::from);
    AddParams { mul: op.add_mul, bias: op.add_bias, shift: op.add_shift as u32, lo, hi }
}

/// The channels that one operator writes.
fn operator(model: &Model, op: &OpRecord, x: &[i8], b: Option<&Vec<i8>>, y: &mut [i8]) {
    let (from, to) = (&model.tensors()[op.input as usize], &model.tensors()[op.output as usize]);
    let output = [to.h as usize, to.w as usize, op.out_channels as usize];
    let pair = |of: [u16; 2]| of.map(usize::from);
    let g = Geometry {
        input: from.shape(),
        output,
        kernel: pair(op.kernel),
        stride: pair(op.stride),
        dilation: pair(op.dilation),
        pad: pair(op.pad),
    };
    let fused = op.has(flag::FUSED_ADD);
    let l = Layer {
        weights: model.weights(op).expect("weights"),
        tile: model.packing().tile(op.code, op.encoding),
        packing: model.packing(),
        requant: model.requant(op),
        left_shift: op.left_shift as u32,
        zero_in: from.zero as i8,
        zero_out: if fused { op.mid[0] as i32 } else { to.zero },
        lo: if fused { op.mid[1] } else { op.lo } as i32,
        hi: if fused { op.mid[2] } else { op.hi } as i32,
    };
    let b = || b.expect("a second tensor");
    match op.code {
        op::CONV => Portable::conv(&g, &l, x, y, &mut []),
        op::GROUPED_CONV => Portable::grouped_conv(&g, &l, op.groups as usize, x, y),
        op::DEPTHWISE => Portable::depthwise(&g, &l, x, y, &mut []),
        op::LINEAR => Portable::linear(&l, x, y, &mut []),
        op::MAX_POOL => Portable::max_pool(&g, x, y),
        op::AVG_POOL => Portable::avg_pool(&g, &l, op.groups as usize, x, y),
        op::ADD => Portable::add(&sum(op), x, b(), y),
        op::MUL => {
            let zero = [from.zero, model.tensors()[op.input2 as usize].zero];
            let (mul, left_shift) = (l.requant[0].mul, l.left_shift);
            Portable::mul(&MulParams { zero, mul, left_shift, zero_out: to.zero, lo: l.lo, hi: l.hi }, x, b(), y);
        }
        op::LUT => Portable::lut(model.table(op).expect("a table"), x, y),
        op::SOFTMAX => {
            portable::softmax(model.exponentials(op).expect("exponentials"), output[2], to.zero, x, y);
        }
        op::RESIZE => portable::resize(from.shape(), pair(op.stride), x, y),
        op::SLICE => {
            let [row, column] = pair(op.pad);
            portable::slice(from.shape(), output, [row, column, op.groups as usize], x, y);
        }
        op::PAD => portable::pad(from.shape(), output, pair(op.pad), from.zero as i8, x, y),
        code => panic!("operator {code}"),
    }
}

fn input(len: usize, seed: usize) -> Vec<i8> {
    (0..len).map(|i| ((i + seed) * (i + 7 * seed + 3) % 251) as u8 as i8).collect()
}

#[test]
fn runs_as_the_operators_do_one_by_one() {
    let mut sum_of_itself = spec();
    sum_of_itself.ops[2].input = 2;
    for spec in [spec(), sum_of_itself] {
        let file = Buffer::new(&spec.to_bytes());
        let model = Model::from_bytes(file.bytes()).expect("a good file");
        let mut arena = Arena::<560>::new();
        let mut session = Session::<Portable>::with_kernels(&model, &mut arena.0).expect("enough");
        let mut outputs = Vec::new();
        for seed in 0..if cfg!(miri) { 7 } else { 20 } {
            let x = input(108, seed);
            session.input_mut().copy_from_slice(&x);
            session.run();
            let expected = by_hand(&model, &x);
            assert_eq!(session.output(), expected);
            let best = expected.iter().max().expect("three");
            assert_eq!(Some(session.classify()), expected.iter().position(|v| v == best));
            outputs.push(expected);
        }
        outputs.dedup();
        // The first few inputs saturate the outputs of one of the two.
        assert!(cfg!(miri) || outputs.len() > 5, "the model is not constant: {outputs:?}");
    }
}

/// What a session with these kernels makes of an input.
fn in_session<K: Kernels>(spec: &FileSpec, seed: usize) -> (Vec<i8>, Vec<i8>) {
    let file = Buffer::new(&spec.to_bytes());
    let model = Model::from_bytes(file.bytes()).unwrap_or_else(|e| panic!("{e}: {:#?} {:#?}", spec.tensors, spec.ops));
    let mut arena = Buffer::zeroed(model.arena_len());
    arena.bytes_mut().fill(0xA5);
    let mut session = Session::<K>::with_kernels(&model, arena.bytes_mut()).expect("enough");
    let x = input(session.input_mut().len(), seed);
    session.input_mut().copy_from_slice(&x);
    session.run();
    (session.output().to_vec(), by_hand(&model, &x))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 15 } else { 1500 }, failure_persistence: None, ..Default::default() })]

    /// Strips, staging, concatenation, sums in place and results over inputs change nothing.
    #[test]
    fn memory_plans_change_nothing(seed in any::<u64>(), packing in prop::sample::select(&Packing::ALL[..])) {
        let spec = random(packing, seed);
        let (seen, expected) = in_session::<Portable>(&spec, seed as usize % 100);
        prop_assert_eq!(&seen, &expected);
        if Native::PACKINGS.contains(&packing) {
            let (seen, expected) = in_session::<Native>(&spec, seed as usize % 100);
            prop_assert_eq!(&seen, &expected);
        }
    }
}

/// The random networks have all that sessions treat in ways of their own.
#[test]
fn random_networks_are_various() {
    let (mut codes, mut forms, mut ways) = ([0; 14], [0; 4], [0; 6]);
    for seed in 0..if cfg!(miri) { 0 } else { 500 } {
        let spec = random(Packing::ALL[seed % 5], seed as u64);
        for op in &spec.ops {
            let (x, y) = (spec.tensors[op.input as usize], spec.tensors[op.output as usize]);
            let over = x.range().start < y.range().end && y.range().start < x.range().end;
            let fused = op.has(flag::FUSED_ADD);
            codes[op.code as usize] += 1;
            forms[op.encoding as usize] += 1;
            let part = op.out_channels != y.c && y.h * y.w > 1;
            let in_place = fused && spec.tensors[op.input2 as usize].offset == y.offset;
            let strips = op.strip_rows != 0 && (op.strip_rows as u32) < y.h;
            let strips_over = strips && over && x.offset != y.offset;
            let seen = [part, in_place, fused && strips, over && !strips, strips_over && !op.has(flag::REVERSE)];
            for (way, seen) in ways.iter_mut().zip(seen.into_iter().chain([strips_over && op.has(flag::REVERSE)])) {
                *way += seen as usize;
            }
        }
    }
    assert!(
        cfg!(miri) || codes[1..].iter().chain(&forms).chain(&ways).all(|n| *n >= 5),
        "{codes:?} {forms:?} {ways:?}"
    );
}

#[test]
fn inputs_are_normalised_and_reordered() {
    let mut spec = spec();
    for (c, norm) in spec.input_channels.iter_mut().enumerate() {
        norm.mean = 0.25 * c as f32;
    }
    let raw: Vec<f32> = (0..108).map(|i| (i * 2) as f32).collect();
    for channels in [3, 1, 0] {
        spec.input_channels.truncate(channels);
        let file = Buffer::new(&spec.to_bytes());
        let model = Model::from_bytes(file.bytes()).expect("a good file");
        let mut out = vec![0; 108];
        quantise_input(&model, &raw, &mut out).expect("right lengths");
        for (i, &q) in out.iter().enumerate() {
            let (pixel, c) = (i / 3, i % 3);
            let value = raw[c * 36 + pixel];
            let real = match channels {
                3 => (value * (1.0 / 255.0) - 0.25 * c as f32) / 0.25,
                1 => (value * (1.0 / 255.0)) / 0.25,
                _ => value,
            };
            assert_eq!(q, quantise(real, 0.05, -3, 0), "pixel {pixel}, channel {c}");
        }
        let short = quantise_input(&model, &raw[1..], &mut out);
        assert_eq!(short, Err(Error::InputLength { needed: 108, given: 107 }));
    }
}

/// A kernel set is chosen by type, and its defaults are the portable kernels.
#[test]
fn kernel_sets_can_be_replaced() {
    struct Constant;
    impl Kernels for Constant {
        const NAME: &'static str = "constant";
        const PACKINGS: &'static [Packing] = &[Packing::Portable];
        fn linear(_: &Layer, _: &[i8], y: &mut [i8], _: &mut [u8]) {
            y.copy_from_slice(&[4, 5, 5]);
        }
    }
    let file = Buffer::new(&spec().to_bytes());
    let model = Model::from_bytes(file.bytes()).expect("a good file");
    let mut arena = Buffer::zeroed(model.arena_len());
    let mut session = Session::<Constant>::with_kernels(&model, arena.bytes_mut()).expect("enough");
    session.run();
    assert_eq!((session.output(), session.classify()), (&[4, 5, 5][..], 1));
    let pooled: Vec<&OpRecord> = session.model().ops().iter().filter(|op| op.code == op::MAX_POOL).collect();
    assert_eq!(pooled.len(), 1);
}
