//! A session gives each operator its tensors, and the input is prepared in the model's order.

mod common;

use common::{Buffer, spec};
use evenkeel_runtime::format::{OpRecord, Packing, op};
use evenkeel_runtime::kernels::{AddParams, Geometry, Kernels, Layer, Portable};
use evenkeel_runtime::preprocess::{quantise, quantise_input};
use evenkeel_runtime::{Arena, Error, Model, Session};

/// The small model once more, with each tensor in a vector of its own instead of the arena.
fn by_hand(model: &Model, input: &[i8]) -> Vec<i8> {
    let mut tensors: Vec<Vec<i8>> = model.tensors().iter().map(|t| vec![99; t.elements()]).collect();
    tensors[0] = input.to_vec();
    for op in model.ops() {
        let (x, mut y) = (tensors[op.input as usize].clone(), tensors[op.output as usize].clone());
        let (from, to) = (&model.tensors()[op.input as usize], &model.tensors()[op.output as usize]);
        let g = Geometry {
            input: from.shape(),
            output: to.shape(),
            kernel: op.kernel.map(usize::from),
            stride: op.stride.map(usize::from),
            dilation: op.dilation.map(usize::from),
            pad: op.pad.map(usize::from),
        };
        let l = Layer {
            weights: model.weights(op).expect("weights"),
            tile: model.packing().tile(op.code, op.encoding),
            packing: model.packing(),
            requant: model.requant(op),
            left_shift: op.left_shift as u32,
            zero_in: from.zero as i8,
            zero_out: to.zero,
            lo: op.lo as i32,
            hi: op.hi as i32,
        };
        match op.code {
            op::CONV => Portable::grouped_conv(&g, &l, 1, &x, &mut y),
            op::DEPTHWISE => Portable::depthwise(&g, &l, &x, &mut y, &mut []),
            op::LINEAR => Portable::linear(&l, &x, &mut y, &mut []),
            op::MAX_POOL => Portable::max_pool(&g, &x, &mut y),
            op::AVG_POOL => Portable::avg_pool(&g, &l, op.groups as usize, &x, &mut y),
            op::ADD => {
                let p = AddParams {
                    mul: op.add_mul,
                    bias: op.add_bias,
                    shift: op.add_shift as u32,
                    lo: op.lo as i32,
                    hi: op.hi as i32,
                };
                Portable::add(&p, &x, &tensors[op.input2 as usize], &mut y);
            }
            code => panic!("operator {code} is not in the small model"),
        }
        tensors[op.output as usize] = y;
    }
    tensors[model.header().output as usize].clone()
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
        for seed in 0..20 {
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
        assert!(outputs.len() > 5, "the model is not constant: {outputs:?}");
    }
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
