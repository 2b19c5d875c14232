//! Repacking: the same outputs from every packing and form, and back to the same file.

mod common;

use common::{Buffer, spec};
use evenkeel_runtime::format::{FileSpec, OpRecord, Packing, pack::Form, repack};
use evenkeel_runtime::{Error, Model, Session, kernels::Portable};

/// Outputs of a file for some inputs, by the kernels that run every packing.
fn outputs(file: &[u8]) -> Vec<Vec<i8>> {
    let file = Buffer::new(file);
    let model = Model::from_bytes(file.bytes()).expect("a model");
    let mut arena = Buffer::zeroed(model.arena_len());
    let mut session = Session::<Portable>::with_kernels(&model, arena.bytes_mut()).expect("a session");
    (0..20)
        .map(|seed| {
            for (i, x) in session.input_mut().iter_mut().enumerate() {
                *x = (i * (37 + seed) + seed * 11) as i8;
            }
            session.run();
            session.output().to_vec()
        })
        .collect()
}

fn repacked(file: &[u8], packing: Packing, form: Form) -> Result<Vec<u8>, Error> {
    repack(Buffer::new(file).bytes(), packing, |_, _| form)
}

/// The small network with half of the taps of its convolution zero.
fn sparse() -> FileSpec {
    let mut spec = spec();
    let start = spec.ops[0].weights as usize;
    for (i, w) in spec.data[start..start + 4 * 27].iter_mut().enumerate() {
        *w = if i % 27 < 12 || i % 2 == 0 { 0 } else { *w };
    }
    spec
}

#[test]
fn every_packing_computes_the_same_and_leads_back_to_the_same_file() {
    let file = sparse().to_bytes();
    let expected = outputs(&file);
    let plain = repacked(&file, Packing::Portable, Form::Dense).expect("repacked");
    for packing in Packing::ALL {
        for form in [Form::Dense, Form::Blocks] {
            let other = repacked(&file, packing, form).expect("repacked");
            assert_eq!(outputs(&other), expected, "{packing:?} {form:?}");
            let buffer = Buffer::new(&other);
            let model = Model::from_bytes(buffer.bytes()).expect("a model");
            assert_eq!(model.packing(), packing);
            assert!(model.certificate().is_some() && model.monitor().is_some() && !model.contract().is_empty());
            assert_eq!(model.input_channels().len(), 3);
            let aligned = |op: &OpRecord| (op.weights as usize).is_multiple_of(packing.weights_align());
            assert!(model.ops().iter().all(aligned));
            assert_eq!(repacked(&other, Packing::Portable, Form::Dense).expect("repacked"), plain);
        }
    }
}

#[test]
fn the_choice_sees_the_share_of_tiles_that_are_not_zero() {
    let file = Buffer::new(&sparse().to_bytes());
    let seen = std::cell::RefCell::new(Vec::new());
    let choose = |op: &OpRecord, density: f64| {
        seen.borrow_mut().push((op.code_name(), density));
        if density < 0.8 { Form::Blocks } else { Form::Dense }
    };
    let vnni = repack(file.bytes(), Packing::Vnni, choose).expect("repacked");
    // 27 taps are 7 tiles across, and the first 12 taps are zero.
    assert_eq!(seen.into_inner(), [("Conv", 4.0 / 7.0), ("Linear", 1.0)]);
    let vnni = Buffer::new(&vnni);
    let model = Model::from_bytes(vnni.bytes()).expect("a model");
    assert_eq!(model.ops()[0].weights_len, 4 * 64);
}

#[test]
fn weights_that_lack_the_chosen_form_are_an_error() {
    let error = repacked(&spec().to_bytes(), Packing::Dsp, Form::TwoOfFour).expect_err("dense weights");
    assert!(matches!(error, Error::Op { op: 0, .. }), "{error}");
    assert_eq!(repacked(b"KEEL", Packing::Dsp, Form::Dense), Err(Error::TooShort { len: 4 }));
}

#[test]
fn two_weights_at_one_place_are_added_or_an_error() {
    let two_of_four = repacked(&sparse().to_bytes(), Packing::Portable, Form::Dense).expect("repacked");
    let two_of_four = repack(Buffer::new(&two_of_four).bytes(), Packing::Portable, |op, _| match op.code_name() {
        "Conv" => Form::TwoOfFour,
        _ => Form::Dense,
    });
    let file = Buffer::new(&two_of_four.expect("repacked"));
    let mut spec = FileSpec::from(&Model::from_bytes(file.bytes()).expect("a model"));
    let (weights, index) = (spec.ops[0].weights as usize, spec.ops[0].index as usize);
    // Both weights of the first group at its third tap.
    spec.data[index] = spec.data[index] & 0xf0 | 0b1010;
    spec.data[weights..weights + 2].copy_from_slice(&[100, -60i8 as u8]);
    let file = spec.to_bytes();
    for packing in Packing::ALL {
        let other = repacked(&file, packing, Form::Dense).expect("repacked");
        assert_eq!(outputs(&other), outputs(&file), "{packing:?}");
    }
    spec.data[weights + 1] = 28;
    let error = repacked(&spec.to_bytes(), Packing::Dsp, Form::Dense).expect_err("a weight of 128");
    assert!(matches!(error, Error::Op { op: 0, .. }), "{error}");
}

#[test]
fn places_that_nothing_reads_are_left_behind() {
    let mut spec = sparse();
    // A file with more data than its networks need, and operators without weights that point there.
    let end = spec.data.len() as u32;
    spec.data.resize(spec.data.len() + 4096, 1);
    for op in spec.ops.iter_mut().filter(|op| op.weights_len == 0) {
        (op.weights, op.index, op.index_len) = (end, end + 4000, 8);
        if op.requant_len == 0 {
            op.requant = end + 64;
        }
    }
    let file = spec.to_bytes();
    assert_eq!(outputs(&repacked(&file, Packing::Vnni, Form::Dense).expect("repacked")), outputs(&file));
}
