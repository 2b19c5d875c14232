//! No bytes make the reader panic, and what it accepts runs.

mod common;

use common::wide::wide;
use common::{Buffer, load_and_run, spec, with_sections};
use evenkeel_runtime::format::{
    FileSpec, Header, MAX_RECORDS, OpRecord, Packing, SectionRecord, TensorRecord, encoding, flag, op, repair, section,
};
use evenkeel_runtime::{Error, Model, Session};

/// Files that have, together, every operator, stored form and field.
fn files() -> Vec<Vec<u8>> {
    vec![spec().to_bytes(), wide(Packing::Dsp).to_bytes(), wide(Packing::Vnni).to_bytes()]
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
    assert_eq!(model.crc().to_le_bytes(), file[12..16]);
    assert_eq!(model.certificate().map(|(_, groups)| model.name(groups[0].name)), Some("gender=female"));
    assert_eq!(model.monitor().map(|(head, floors)| (head.groups, floors.len())), Some((1, 1)));
    assert_eq!(model.input_channels().len(), 3);
    for packing in Packing::ALL {
        let mut output = load_and_run(&wide(packing).to_bytes()).expect("a good file");
        output.dedup();
        assert!(output.len() > 1, "{packing:?}: {output:?}");
    }
}

#[test]
fn cut_at_every_length() {
    for file in files() {
        for len in (0..file.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
            assert!(load_and_run(&file[..len]).is_err(), "cut at {len}");
            let mut cut = file[..len].to_vec();
            repair(&mut cut);
            assert!(load_and_run(&cut).is_err(), "cut at {len} and repaired");
        }
        let mut longer = [&file[..], &[0]].concat();
        assert_eq!(load_and_run(&longer), Err(Error::FileLength { stated: file.len() as u32, actual: longer.len() }));
        repair(&mut longer);
        assert!(matches!(load_and_run(&longer), Err(Error::Header(_))));
    }
}

#[test]
fn every_byte_changed() {
    for file in files() {
        let mut accepted = 0;
        for i in (0..file.len()).step_by(if cfg!(miri) { 397 } else { 1 }) {
            for flip in [1, 0x80, 0xFF] {
                let mut changed = file.clone();
                changed[i] ^= flip;
                assert!(load_and_run(&changed).is_err(), "byte {i}, flip {flip}: the checksums see every change");
                repair(&mut changed);
                accepted += load_and_run(&changed).is_ok() as usize;
            }
        }
        // Weights, names, the contract and so on may be anything; the rest may not.
        assert!(cfg!(miri) || (accepted > file.len() / 4 && accepted < 5 * file.len() / 2), "{accepted} accepted");
    }
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
    assert_eq!(op(fault(|s| s.ops[1].input = 3)), at(1, "reads a tensor before it is written"));
    assert_eq!(op(fault(|s| s.ops[3].input = 1)), at(3, "reads a tensor after the end of its lifetime"));
    assert_eq!(op(fault(|s| s.ops[1].output = 1)), at(1, "writes channels that have been written"));
    let dead = "must write a tensor that is alive, and not the input";
    assert_eq!(op(fault(|s| s.tensors[2].first_op = 2)), at(1, dead));
    assert_eq!(op(fault(|s| s.ops[5].out_channels = 4)), at(5, "writes channels that its output does not have"));
    assert_eq!(op(fault(|s| s.ops[5].out_channel = u32::MAX)), at(5, "writes channels that its output does not have"));
    let missing = fault(|s| {
        (s.ops[5].out_channels, s.ops[5].weights_len, s.ops[5].requant_len) = (2, 72, 2);
    });
    assert_eq!(missing, Error::Tensor { tensor: 6, fault: "not all of its channels are written" });
    assert_eq!(op(fault(|s| s.ops[2].strip_rows = 1)), at(2, "has no strips"));
    assert_eq!(op(fault(|s| s.ops[0].flags = flag::REVERSE)), at(0, "has no strips"));
    assert_eq!(op(fault(|s| s.ops[0].flags = 8)), at(0, "unknown flags or rounding rule"));
    let unused = "a field that the operator has no use for is not 0";
    assert_eq!(op(fault(|s| s.ops[2].kernel[1] = 1)), at(2, unused));
    assert_eq!(op(fault(|s| s.ops[5].pad[0] = 1)), at(5, unused));
    assert_eq!(op(fault(|s| s.ops[5].stride = [1, 1])), at(5, unused));
    assert_eq!(op(fault(|s| s.ops[0].mid[0] = 1)), at(0, unused));
    assert_eq!(op(fault(|s| s.ops[0].rounding = 1)), at(0, "unknown flags or rounding rule"));
    assert_eq!(op(fault(|s| s.ops[0].encoding = 9)), at(0, "unknown encoding of weights"));
    let sparse = "only convolutions and linear operators can leave weights out";
    assert_eq!(op(fault(|s| s.ops[1].encoding = encoding::BLOCKS8)), at(1, sparse));
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
        at(0, "weights and index must lie in the data section at a multiple of 4")
    );
    let one_each = "needs one requantisation record per output channel, or one for a product, or none";
    assert_eq!(op(fault(|s| s.ops[5].requant_len = 2)), at(5, one_each));
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
    assert_eq!(kind(fault(|s| s.tensors.clear())), section::TENSORS);
    assert!(matches!(fault(|s| s.tensors.truncate(6)), Error::Header(_)));
    assert_eq!(kind(fault(|s| s.ops = vec![s.ops[0]; MAX_RECORDS + 1])), section::OPS);
    assert_eq!(kind(fault(|s| s.names.bytes[3] = 0xFF)), section::NAMES);
    assert_eq!(kind(fault(|s| s.input_channels.truncate(2))), section::INPUT);
    assert_eq!(kind(fault(|s| s.input_channels[2].std = 0.0)), section::INPUT);
    let nan = fault(|s| s.certificate.as_mut().expect("there").1[0].int8_lower = f32::NAN);
    assert_eq!(kind(nan), section::CERTIFICATE);
    assert_eq!(kind(fault(|s| s.monitor.as_mut().expect("there").0.q = 17)), section::MONITOR);
    assert_eq!(kind(fault(|s| s.monitor.as_mut().expect("there").1[0].correct[2] += 1)), section::MONITOR);
    assert_eq!(kind(fault(|s| s.field.as_mut().expect("there").0.classes = 2)), section::FIELD);
    assert_eq!(kind(fault(|s| s.field.as_mut().expect("there").0.classes = u32::MAX)), section::FIELD);
    assert_eq!(kind(fault(|s| s.field.as_mut().expect("there").0.edges[4] = 200)), section::FIELD);
    assert_eq!(kind(fault(|s| s.field.as_mut().expect("there").0.gap_q = 0)), section::FIELD);
    // Groups that move together in the window of a settlement would alarm falsely without a tolerance.
    assert_eq!(kind(fault(|s| s.field.as_mut().expect("there").1[0].tolerance = 0)), section::FIELD);
    assert_eq!(kind(fault(|s| s.field.as_mut().expect("there").1[0].tolerance = 1 << 25)), section::FIELD);
    assert_eq!(kind(fault(|s| s.field.as_mut().expect("there").1.clear())), section::FIELD);
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
    assert!(matches!(with(file.len() - 1, 0xEE), Error::Crc { .. }));
    // Too many sections, and another packing.
    assert!(matches!(with(6, 7), Error::Crc { .. }));
    assert!(matches!(with(core::mem::offset_of!(Header, packing), 2), Error::Crc { .. }));
    let mut unknown = spec();
    unknown.packing = 5;
    assert_eq!(load_and_run(&unknown.to_bytes()), Err(Error::Packing(5)));
    // The first format had another head, and shorter files.
    let old = load_and_run(b"KEEL\0\0\0\0").expect_err("of version 0");
    assert_eq!(old.to_string(), "format version 0, which is no longer read: compile or prune the network again");
    let shifted = Buffer::new(&[&[0][..], &file].concat());
    assert_eq!(Model::from_bytes(&shifted.bytes()[1..]).err(), Some(Error::Alignment));
    assert_eq!(load_and_run(b""), Err(Error::TooShort { len: 0 }));
    assert_eq!(load_and_run(b"KEEL"), Err(Error::TooShort { len: 4 }));
}

#[test]
fn sections_are_known_or_may_be_skipped() {
    let file = spec().to_bytes();
    let changed = |change: &dyn Fn(&mut Vec<common::Section>)| load_and_run(&with_sections(&file, change));
    let fault = |kind, fault| Err(Error::Section { kind, fault });
    assert_eq!(changed(&|_| {}), load_and_run(&file));
    assert_eq!(with_sections(&file, |_| {}), file);
    assert_eq!(changed(&|s| s.push((77, 0, vec![1, 2, 3]))), load_and_run(&file));
    assert_eq!(changed(&|s| s.insert(0, (0xFFFF, 0, vec![1]))), load_and_run(&file));
    let mandatory = "unknown to this runtime, and the file says that it must not be skipped";
    assert_eq!(changed(&|s| s.push((77, 1, vec![1]))), fault(77, mandatory));
    assert_eq!(changed(&|s| s.push((0, 1, vec![1]))), fault(0, mandatory));
    assert_eq!(changed(&|s| s.push((77, 2, vec![1]))), fault(77, "unknown flags"));
    assert_eq!(changed(&|s| s.push(s[3].clone())), fault(section::NAMES, "listed twice"));
    let place = "must not be empty and begin at the next multiple of 64 behind what is before it";
    assert_eq!(changed(&|s| s.push((77, 0, vec![]))), fault(77, place));
    let last = "must be the last section, without a checksum";
    assert_eq!(changed(&|s| s.insert(0, (section::SIGNATURE, 0, vec![0; 96]))), fault(section::SIGNATURE, last));
    let length = "not of a signature's length";
    assert_eq!(changed(&|s| s.push((section::SIGNATURE, 0, vec![0; 95]))), fault(section::SIGNATURE, length));
    assert!(changed(&|s| s.push((section::SIGNATURE, 0, vec![0; 96]))).is_ok(), "a signature that nobody asked for");
    for kind in [section::TENSORS, section::OPS] {
        assert!(changed(&|s| s.retain(|s| s.0 != kind)).is_err());
        let cut = changed(&|s| s.iter_mut().filter(|s| s.0 == kind).for_each(|s| s.2.truncate(s.2.len() - 1)));
        assert_eq!(cut, fault(kind, "not a whole number of records"));
    }
}

/// Sections in each other, in another order, with something between them: no byte is left out or read twice.
#[test]
fn every_byte_of_a_file_has_one_place() {
    let file = spec().to_bytes();
    let with = |entry: usize, change: &dyn Fn(&mut SectionRecord)| {
        let mut file = file.clone();
        let at = 64 + 16 * entry;
        let mut record: SectionRecord = bytemuck::pod_read_unaligned(&file[at..at + 16]);
        change(&mut record);
        file[at..at + 16].copy_from_slice(bytemuck::bytes_of(&record));
        repair(&mut file);
        load_and_run(&file).expect_err("a fault")
    };
    let entry = |i: usize| bytemuck::pod_read_unaligned::<SectionRecord>(&file[64 + 16 * i..80 + 16 * i]);
    let place = "must not be empty and begin at the next multiple of 64 behind what is before it";
    for (i, change) in [64u32, 64u32.wrapping_neg(), 4].into_iter().enumerate() {
        let error = with(4, &|r| r.offset = r.offset.wrapping_add(change));
        assert_eq!(error, Error::Section { kind: section::CONTRACT, fault: place }, "{i}");
    }
    assert!(matches!(with(3, &|r| r.offset = entry(2).offset), Error::Section { fault, .. } if fault == place));
    let outside = Error::Section { kind: section::FIELD, fault: "not inside the file" };
    assert_eq!(with(8, &|r| r.len = u32::MAX), outside);
    assert_eq!(with(8, &|r| r.len += 1), outside);
    assert!(matches!(with(8, &|r| r.len -= 12), Error::Header(_)), "bytes behind the last section");

    let names = entry(3);
    let gap = (names.offset + names.len) as usize;
    assert!(!gap.is_multiple_of(64), "there is a gap");
    let mut between = file.clone();
    between[gap] = 1;
    let error = Error::Section { kind: section::CONTRACT, fault: "the bytes before it are not 0" };
    assert_eq!(load_and_run(&between), Err(error));
}

/// Two tensors and one operator on them, both of this shape.
fn one_operator([h, w, c]: [u32; 3], op: OpRecord) -> FileSpec {
    let mut spec = spec();
    let tensor = |offset| TensorRecord { offset, c, h, w, first_op: 0, last_op: 0, ..spec.tensors[0] };
    let len = (h * w * c).next_multiple_of(4);
    spec.tensors = vec![tensor(0), tensor(len)];
    spec.ops = vec![OpRecord { output: 1, out_channels: c, ..op }];
    (spec.scratch_offset, spec.arena_len, spec.output) = (2 * len, 2 * len, 1);
    spec.input_channels.clear();
    spec
}

/// The one operator of `spec` so many times, one behind the other.
fn in_a_row(spec: &FileSpec, times: u32) -> FileSpec {
    let mut many = spec.clone();
    let len = spec.tensors[1].offset;
    for i in 1..times {
        many.tensors.push(TensorRecord { offset: (i + 1) * len, first_op: i, last_op: i, ..spec.tensors[1] });
        many.ops.push(OpRecord { input: i as u16, output: i as u16 + 1, ..spec.ops[0] });
        many.tensors[i as usize].last_op = i;
    }
    let end = (times + 1) * len;
    many.arena_len = end + spec.arena_len - spec.scratch_offset;
    (many.scratch_offset, many.output) = (end, times as u16);
    many
}

#[test]
fn work_is_limited() {
    // 64 Mi outputs with 64 Ki taps each are 2^42 comparisons.
    let window = OpRecord { code: op::MAX_POOL, stride: [1, 1], dilation: [1, 1], ..OpRecord::default() };
    let wide = OpRecord { kernel: [1, 65535], pad: [0, 4096], ..window };
    assert_eq!(load_and_run(&one_operator([1, 65535, 1024], wide).to_bytes()), Err(Error::TooMuchWork));
    let fault = |spec: FileSpec| match load_and_run(&spec.to_bytes()) {
        Err(Error::Op { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    let padded = OpRecord { kernel: [1, 65535], pad: [0, 4097], ..window };
    assert_eq!(fault(one_operator([1, 65535, 1], padded)), "more than 4096 windows begin in the padding");

    // As many strips as rows, over the input: each would have to be looked at.
    let point = OpRecord { kernel: [1, 1], strip_rows: 1, ..window };
    for (rows, good) in [(4096, true), (4097, false)].into_iter().take(if cfg!(miri) { 0 } else { 2 }) {
        let mut spec = one_operator([rows, 1, 4], point);
        assert!(load_and_run(&spec.to_bytes()).is_ok());
        spec.tensors[0].offset = 4;
        spec.tensors[1].offset = 0;
        let seen = load_and_run(&spec.to_bytes());
        assert_eq!(seen.is_ok(), good, "{rows} rows: {seen:?}");
    }

    let shared = "the operators have weights checked that are 16 times as long as the data section";
    // One index that all operators of a large file would have gone through.
    let mut spec = one_operator([1, 1, 256], OpRecord::default());
    let (counts, columns) = (256u16.to_le_bytes().repeat(256), (0..=255).collect::<Vec<u8>>().repeat(256));
    let (weights_len, index_len) = (1 << 16, (512 + (1 << 16)) as u32);
    let requant = weights_len + index_len;
    spec.data = [vec![0; 1 << 16], counts, columns, vec![0; 256 * 8]].concat();
    spec.ops[0] = OpRecord {
        code: op::LINEAR,
        encoding: encoding::BLOCKS8,
        weights_len,
        index: weights_len,
        index_len,
        requant,
        requant_len: 256,
        ..spec.ops[0]
    };
    assert!(load_and_run(&spec.to_bytes()).is_ok());
    // Nor one matrix of which half is zeros that fill up tiles, shared by all.
    let mut dense = one_operator([1, 1, 258], OpRecord::default());
    let tile = Packing::Mve.tile(op::LINEAR, encoding::DENSE);
    (dense.packing, dense.data) = (Packing::Mve as u16, vec![0; tile.dense_len(258, 258) + 258 * 8]);
    let weights_len = tile.dense_len(258, 258) as u32;
    dense.ops[0] = OpRecord { code: op::LINEAR, weights_len, requant: weights_len, requant_len: 258, ..dense.ops[0] };
    assert!(load_and_run(&dense.to_bytes()).is_ok());
    assert!(load_and_run(&in_a_row(&dense, 100).to_bytes()).is_ok(), "of these few, many may share one");
    assert_eq!(fault(in_a_row(&dense, 400)), shared);

    let many = in_a_row(&spec, 100);
    assert_eq!(fault(many), shared);
}

/// The largest number of records, each as laborious to check as it can be, is checked in a moment.
#[test]
fn the_time_of_verification_is_limited() {
    let point = OpRecord { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], strip_rows: 1, ..OpRecord::default() };
    // Many windows in the padding, then many strips over the input.
    let padded = OpRecord { code: op::MAX_POOL, kernel: [4096, 1], pad: [4095, 0], ..point };
    for (op, places) in [(padded, [0, 4096]), (OpRecord { code: op::MAX_POOL, ..point }, [4, 0])] {
        let mut spec = one_operator([4096, 1, 1], op);
        let (tensor, op) = (spec.tensors[1], spec.ops[0]);
        let count = if cfg!(miri) { 3 } else { MAX_RECORDS as u32 };
        spec.tensors.truncate(1);
        spec.ops.clear();
        spec.tensors[0].offset = places[0];
        for i in 0..count - 1 {
            spec.tensors[i as usize].last_op = i;
            let offset = places[(i as usize + 1) % 2];
            spec.tensors.push(TensorRecord { offset, first_op: i, last_op: i, ..tensor });
            let flags = if i % 2 == 1 { flag::REVERSE } else { 0 };
            spec.ops.push(OpRecord { input: i as u16, output: i as u16 + 1, flags, ..op });
        }
        spec.output = count as u16 - 1;
        let file = Buffer::new(&spec.to_bytes());
        // Nothing is timed here: a test that does not end is the fault.
        assert_eq!(Model::from_bytes(file.bytes()).map(|m| m.ops().len()), Ok(count as usize - 1));
    }
}

/// What a session relies on without looking again.
#[test]
fn what_would_spoil_memory_is_refused() {
    let point = OpRecord { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], ..OpRecord::default() };
    let overlap = Err(Error::Overlap { first: 0, second: 1 });
    let at = |mut spec: FileSpec, x: u32, y: u32| {
        (spec.tensors[0].offset, spec.tensors[1].offset) = (x, y);
        load_and_run(&spec.to_bytes())
    };
    // A window of three rows, written where the middle one is still read.
    let pool = OpRecord { code: op::MAX_POOL, kernel: [3, 1], pad: [1, 0], strip_rows: 1, ..point };
    let pooled = one_operator([4, 1, 4], pool);
    assert_eq!(at(pooled.clone(), 0, 0), overlap);
    assert_eq!(at(pooled.clone(), 4, 0), overlap);
    assert!(at(pooled.clone(), 8, 0).is_ok());
    let reverse = one_operator([4, 1, 4], OpRecord { flags: flag::REVERSE, ..pool });
    assert_eq!(at(reverse.clone(), 8, 0), overlap);
    assert_eq!(at(reverse.clone(), 0, 4), overlap);
    assert!(at(reverse, 0, 8).is_ok());
    assert_eq!(at(one_operator([4, 1, 4], OpRecord { strip_rows: 0, ..pool }), 8, 0), overlap);
    // Sums of a tensor with itself, and softmax, have no second place to read from.
    let sum = OpRecord { code: op::ADD, input2: 0, ..OpRecord::default() };
    assert_eq!(at(one_operator([1, 1, 4], sum), 0, 0), overlap);
    assert!(at(one_operator([1, 1, 4], sum), 0, 4).is_ok());
    assert_eq!(
        at(one_operator([1, 1, 4], OpRecord { code: op::RESIZE, stride: [1, 1], ..OpRecord::default() }), 0, 0),
        overlap
    );
    // Fused sums need weights before them.
    let fused = OpRecord { flags: flag::FUSED_ADD, input2: 0, ..pool };
    assert!(matches!(at(one_operator([4, 1, 4], fused), 0, 16), Err(Error::Op { op: 0, .. })));
}

#[test]
fn operators_that_move_values_stay_inside() {
    let fault = |op: OpRecord| match load_and_run(&one_operator([4, 4, 4], op).to_bytes()) {
        Err(Error::Op { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    let base = OpRecord::default();
    for (pad, groups) in [([1, 0], 0), ([0, 1], 0), ([65535, 65535], 0), ([0, 0], 1), ([0, 0], 65535)] {
        assert_eq!(fault(OpRecord { code: op::SLICE, pad, groups, ..base }), "reaches out of its input");
    }
    for pad in [[1, 0], [0, 1], [65535, 65535]] {
        assert_eq!(fault(OpRecord { code: op::PAD, pad, ..base }), "the output does not hold its input");
    }
    for stride in [[0, 1], [1, 0], [2, 1], [65535, 65535]] {
        assert_eq!(fault(OpRecord { code: op::RESIZE, stride, ..base }), "the output is not a multiple of the input");
    }
    assert_eq!(fault(OpRecord { code: op::LUT, ..base }), "a table has 256 bytes");
    assert_eq!(fault(OpRecord { code: op::SOFTMAX, ..base }), "a table of exponentials has 1024 bytes");
    assert_eq!(fault(OpRecord { code: op::MUL, input2: 9, ..base }), "no such tensor");
}

/// Indices of stored weights never lead out of the matrix.
#[test]
fn indices_of_weights_are_checked() {
    for packing in Packing::ALL {
        let good = wide(packing);
        let blocks: Vec<usize> = (0..good.ops.len()).filter(|i| good.ops[*i].index_len != 0).collect();
        assert!(blocks.len() >= 4);
        for i in blocks {
            let op = good.ops[i];
            for (at, len) in [(-4i32, 0i32), (0, -1), (0, 1), (0, 4), (2, 0)] {
                let mut spec = good.clone();
                spec.ops[i].index = op.index.wrapping_add_signed(at);
                spec.ops[i].index_len = op.index_len.wrapping_add_signed(len);
                if at == -4 {
                    let _ = load_and_run(&spec.to_bytes());
                } else {
                    assert!(load_and_run(&spec.to_bytes()).is_err(), "{packing:?}, operator {i}, {at} {len}");
                }
            }
            if op.encoding != encoding::TWO_OF_FOUR {
                for column in (op.index..op.index + op.index_len).step_by(if cfg!(miri) { 7 } else { 1 }) {
                    let mut spec = good.clone();
                    spec.data[column as usize] = 0xFF;
                    assert!(load_and_run(&spec.to_bytes()).is_err(), "{packing:?}, operator {i}, column at {column}");
                }
            }
        }
    }
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
