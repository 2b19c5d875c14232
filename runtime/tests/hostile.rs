//! No bytes make the reader panic, and what it accepts runs.

mod common;

use common::{Buffer, load_and_run, spec};
use evenkeel_runtime::format::{CRC_START, FileSpec, MAX_RECORDS, crc32, op, section};
use evenkeel_runtime::{Error, Model, Session};
use proptest::prelude::*;

/// Makes length and checksum right again, so that what lies behind them is tested.
fn repair(file: &mut [u8]) {
    if file.len() >= CRC_START {
        let len = file.len() as u32;
        file[8..12].copy_from_slice(&len.to_le_bytes());
        let crc = crc32(&file[CRC_START..]);
        file[12..16].copy_from_slice(&crc.to_le_bytes());
    }
}

#[test]
fn the_model_is_accepted_and_computes_something() {
    let file = spec().to_bytes();
    let output = load_and_run(&file).expect("a good file");
    assert_eq!(output.len(), 3);
    let buffer = Buffer::new(&file);
    let model = Model::from_bytes(buffer.bytes()).expect("a good file");
    assert_eq!(model.name(model.ops()[1].name), "depthwise");
    assert_eq!(model.contract(), "[fairness]\nlimit = 0.02\n");
    assert_eq!(model.macs(0), 36 * 4 * 27);
    assert_eq!(model.file_len(), file.len());
    assert_eq!(model.crc(), crc32(&file[CRC_START..]));
    assert_eq!(model.certificate().map(|(_, groups)| model.name(groups[0].name)), Some("gender=female"));
    assert_eq!(model.monitor().map(|(head, floors)| (head.groups, floors.len())), Some((1, 1)));
    assert_eq!(model.input_channels().len(), 3);
}

#[test]
fn cut_at_every_length() {
    let file = spec().to_bytes();
    for len in 0..file.len() {
        assert!(load_and_run(&file[..len]).is_err(), "cut at {len}");
        let mut cut = file[..len].to_vec();
        repair(&mut cut);
        assert!(load_and_run(&cut).is_err(), "cut at {len} and repaired");
    }
    let longer = [&file[..], &[0]].concat();
    assert_eq!(load_and_run(&longer), Err(Error::FileLength { stated: file.len() as u32, actual: longer.len() }));
}

#[test]
fn every_byte_changed() {
    let file = spec().to_bytes();
    let mut accepted = 0;
    for i in 0..file.len() {
        for flip in [1, 0x80, 0xFF] {
            let mut changed = file.clone();
            changed[i] ^= flip;
            assert!(load_and_run(&changed).is_err(), "byte {i}, flip {flip}: the checksum sees every change");
            repair(&mut changed);
            accepted += load_and_run(&changed).is_ok() as usize;
        }
    }
    // Weights, names, the contract and so on may be anything; the rest may not.
    assert!(accepted > file.len() && accepted < 5 * file.len() / 2, "{accepted} of {} accepted", 3 * file.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..512), header in any::<bool>()) {
        let mut bytes = bytes;
        if header && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"KEEL\0\0\0\0");
        }
        repair(&mut bytes);
        prop_assert!(load_and_run(&bytes).is_err());
    }

    /// Several 32-bit words of the tables replaced by values that are likely to hurt.
    #[test]
    fn random_words(changes in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..4)) {
        let mut file = spec().to_bytes();
        for (at, word) in changes {
            let at = at.index(file.len() / 4) * 4;
            file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        repair(&mut file);
        let _ = load_and_run(&file);
    }
}

fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0..64u32,
        Just(u32::MAX),
        Just(i32::MAX as u32),
        (any::<u8>(), any::<u8>()).prop_map(|(a, b)| a as u32 | (b as u32) << 16),
    ]
}

/// Applies one change to the good model and gives the fault that the reader finds.
fn fault(change: impl FnOnce(&mut FileSpec)) -> Error {
    let mut spec = spec();
    change(&mut spec);
    load_and_run(&spec.to_bytes()).expect_err("a fault")
}

#[test]
fn faults_are_named_where_they_are() {
    let op = |error| matches!(error, Error::Op { .. }).then(|| error.to_string());
    let at = |i, text: &str| Some(format!("operator {i}: {text}"));
    assert_eq!(op(fault(|s| s.ops[0].code = 99)), at(0, "unknown code"));
    assert_eq!(op(fault(|s| s.ops[1].input = 70)), at(1, "no such tensor"));
    assert_eq!(op(fault(|s| s.ops[1].input = 5)), at(1, "reads a tensor before it is written"));
    assert_eq!(op(fault(|s| s.ops[3].input = 0)), at(3, "reads a tensor after the end of its lifetime"));
    let twice = "must write the tensor that is alive from this operator on";
    assert_eq!(op(fault(|s| s.ops[1].output = 1)), at(1, twice));
    assert_eq!(op(fault(|s| s.ops[1].output = 0)), at(1, twice));
    assert_eq!(op(fault(|s| s.ops[0].stride[0] = 0)), at(0, "kernel, stride and dilation must be at least 1"));
    assert_eq!(op(fault(|s| s.ops[0].pad[1] = 3)), at(0, "the padding is larger than the kernel"));
    assert_eq!(op(fault(|s| s.ops[0].dilation[1] = 65535)), at(0, "the dilated kernel is larger than 65535"));
    assert_eq!(op(fault(|s| s.ops[0].stride[1] = 2)), at(0, "the output is larger than the input allows"));
    let holes = fault(|s| {
        s.ops[3].dilation = [7, 7];
        s.ops[3].pad = [5, 5];
    });
    assert_eq!(op(holes), at(3, "a window lies wholly in the padding"));
    let weights = "the number of weights does not follow from the shapes";
    assert_eq!(op(fault(|s| s.ops[0].weights_len -= 1)), at(0, weights));
    assert_eq!(
        op(fault(|s| s.ops[0].weights += 2)),
        at(0, "the weights must lie in the data section at a multiple of 4")
    );
    assert_eq!(op(fault(|s| s.ops[5].requant_len = 2)), at(5, "needs one requantisation record per output channel"));
    let requant = "the requantisation must lie in the data section at a multiple of 4";
    assert_eq!(op(fault(|s| s.ops[5].requant = u32::MAX - 3)), at(5, requant));
    let counts = "a mean needs one requantisation record for each number of valid taps";
    assert_eq!(op(fault(|s| s.ops[4].requant_len -= 1)), at(4, counts));
    assert_eq!(op(fault(|s| s.ops[4].groups = 5)), at(4, counts));
    assert_eq!(op(fault(|s| s.ops[0].left_shift = 16)), at(0, "a shift or a range of values is impossible"));
    let empty = |s: &mut FileSpec| (s.ops[5].lo, s.ops[5].hi) = (1, 0);
    assert_eq!(op(fault(empty)), at(5, "a shift or a range of values is impossible"));
    assert_eq!(op(fault(|s| s.ops[0].code = op::GROUPED_CONV)), at(0, "the groups must divide the channels"));
    assert_eq!(op(fault(|s| s.arena_len -= 4)), at(0, "needs more scratch than the arena has"));
    assert_eq!(op(fault(|s| s.ops[2].name.len = 1000)), at(2, "a name outside of the names section"));

    assert_eq!(fault(|s| s.tensors[2].offset = 140), Error::Overlap { first: 1, second: 2 });
    assert!(matches!(fault(|s| s.tensors[1].c = 0), Error::Tensor { tensor: 1, .. }));
    assert!(matches!(fault(|s| s.tensors[1].h = 1 << 31), Error::Tensor { tensor: 1, .. }));
    assert!(matches!(fault(|s| s.tensors[4].scale = f32::NAN), Error::Tensor { tensor: 4, .. }));
    assert!(matches!(fault(|s| s.tensors[4].zero = 128), Error::Tensor { tensor: 4, .. }));
    assert!(matches!(fault(|s| s.tensors[3].offset = 292), Error::Tensor { tensor: 3, .. }));
    assert!(matches!(fault(|s| s.tensors[6].last_op = 6), Error::Tensor { tensor: 6, .. }));
    assert!(matches!(fault(|s| s.output = 4), Error::Tensor { tensor: 4, .. }));
    assert!(matches!(fault(|s| s.output = 0), Error::Header(_)));
    assert!(matches!(fault(|s| s.arena_len = 1 << 31), Error::Header(_)));
    assert!(matches!(fault(|s| s.scratch_offset = 434), Error::Header(_)));

    let kind = |error| if let Error::Section { kind, .. } = error { kind } else { 0 };
    assert_eq!(kind(fault(|s| s.ops.clear())), section::OPS);
    assert_eq!(kind(fault(|s| s.tensors.truncate(6))), section::TENSORS);
    assert_eq!(kind(fault(|s| s.ops = vec![s.ops[0]; MAX_RECORDS + 1])), section::OPS);
    assert_eq!(kind(fault(|s| s.names.bytes[3] = 0xFF)), section::NAMES);
    assert_eq!(kind(fault(|s| s.input_channels.truncate(2))), section::INPUT);
    assert_eq!(kind(fault(|s| s.input_channels[2].std = 0.0)), section::INPUT);
    let nan = fault(|s| s.certificate.as_mut().expect("there").1[0].int8_lower = f32::NAN);
    assert_eq!(kind(nan), section::CERTIFICATE);
    assert_eq!(kind(fault(|s| s.monitor.as_mut().expect("there").0.q = 17)), section::MONITOR);
    assert_eq!(kind(fault(|s| s.monitor.as_mut().expect("there").1[0].correct[2] += 1)), section::MONITOR);
}

#[test]
fn the_head_says_what_is_wrong_with_it() {
    let file = spec().to_bytes();
    let with = |at: usize, byte: u8| {
        let mut file = file.clone();
        file[at] = byte;
        load_and_run(&file).expect_err("a fault")
    };
    assert_eq!(with(0, b'k'), Error::Magic(*b"kEEL"));
    assert_eq!(with(4, 9), Error::Version(9));
    assert_eq!(with(6, 2), Error::Packing(2));
    assert!(matches!(with(file.len() - 1, 0xEE), Error::Crc { .. }));
    let shifted = Buffer::new(&[&[0][..], &file].concat());
    assert_eq!(Model::from_bytes(&shifted.bytes()[1..]).err(), Some(Error::Alignment));
    assert_eq!(load_and_run(b""), Err(Error::TooShort { len: 0 }));
    assert_eq!(load_and_run(b"KEEL"), Err(Error::TooShort { len: 4 }));
}

#[test]
fn work_is_limited() {
    // 64 Mi outputs with 64 Ki taps each are 2^42 comparisons.
    let error = fault(|s| {
        s.tensors.truncate(2);
        s.ops.truncate(1);
        for (i, t) in s.tensors.iter_mut().enumerate() {
            (t.h, t.w, t.c, t.offset) = (1, 65535, 1024, i as u32 * 65535 * 1024);
            (t.first_op, t.last_op) = (0, 0);
        }
        s.ops[0].code = op::MAX_POOL;
        (s.ops[0].requant_len, s.ops[0].weights_len) = (0, 0);
        (s.ops[0].kernel, s.ops[0].pad) = ([1, 65535], [0, 32767]);
        (s.scratch_offset, s.arena_len, s.output) = (2 * 65535 * 1024, 2 * 65535 * 1024, 1);
    });
    assert_eq!(error, Error::TooMuchWork);
}

#[test]
fn a_session_says_what_arena_it_wants() {
    let file = Buffer::new(&spec().to_bytes());
    let model = Model::from_bytes(file.bytes()).expect("a good file");
    let mut small = Buffer::zeroed(543);
    let error = Session::new(&model, small.bytes_mut()).err();
    assert_eq!(error, Some(Error::ArenaTooSmall { needed: 544, given: 543 }));
    let mut large = Buffer::zeroed(1000);
    assert_eq!(Session::new(&model, &mut large.bytes_mut()[1..]).err(), Some(Error::ArenaAlignment));
    let mut seen = Vec::new();
    Session::new(&model, large.bytes_mut()).expect("enough").run_observed(|op| seen.push(op));
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}
