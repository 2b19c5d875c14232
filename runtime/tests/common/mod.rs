//! A small model with every kind of operator, for the tests.
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod net;
pub mod random;
pub mod wide;

use bytemuck::{bytes_of, cast_slice, cast_slice_mut};
use evenkeel_runtime::format::{
    CertificateGroup, CertificateHead, FieldGroup, FieldHead, FileSpec, Header, InputChannel, Names, OpRecord, Requant,
    SectionRecord, TensorRecord, op, repair, verdict,
};
use evenkeel_runtime::kernels::{Kernels, Native, Portable};
use evenkeel_runtime::{
    Error, Model, Session,
    monitor::{Config, ONE_Q26, plan},
};

/// Bytes at a multiple of 4, however long they are.
pub struct Buffer {
    words: Vec<u32>,
    len: usize,
}

impl Buffer {
    pub fn new(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        buffer
    }

    pub fn zeroed(len: usize) -> Self {
        Buffer { words: vec![0; len.div_ceil(4)], len }
    }

    pub fn bytes(&self) -> &[u8] {
        &cast_slice(&self.words)[..self.len]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// Verifies `file` and, if it is a model, runs it; gives the verdict and the output.
pub fn load_and_run(file: &[u8]) -> Result<Vec<i8>, Error> {
    let file = Buffer::new(file);
    let model = Model::from_bytes(file.bytes())?;
    for op in model.ops() {
        let _ = (model.name(op.name), model.weights(op).map(|w| w.stored()), model.requant(op).len());
    }
    let _ =
        (model.contract(), model.certificate(), model.monitor(), model.field(), model.macs(0), model.macs(usize::MAX));
    Config::of(&model)?;
    let output = run::<Portable>(&model)?;
    if Native::PACKINGS.contains(&model.packing()) {
        assert!(
            run::<Native>(&model)? == output,
            "{} differs in {:?}: {:#?}",
            Native::NAME,
            model.packing(),
            model.ops()
        );
    }
    Ok(output)
}

fn run<K: Kernels>(model: &Model) -> Result<Vec<i8>, Error> {
    let mut arena = Buffer::zeroed(model.arena_len());
    let mut session = Session::<K>::with_kernels(model, arena.bytes_mut())?;
    for (i, x) in session.input_mut().iter_mut().enumerate() {
        *x = (i * 37 % 256) as u8 as i8;
    }
    session.run();
    assert!(session.classify() < session.output().len());
    Ok(session.output().to_vec())
}

/// Where the table of sections and its entries lie, and how many there are.
const TABLE: usize = size_of::<Header>();
const ENTRY: usize = size_of::<SectionRecord>();
const COUNT: usize = core::mem::offset_of!(Header, sections);

/// The section table of bytes that may be damaged, as far as it goes.
fn table(file: &[u8]) -> Vec<SectionRecord> {
    let Some(count) = file.get(COUNT..COUNT + 2) else { return Vec::new() };
    let count = u16::from_le_bytes([count[0], count[1]]) as usize;
    let entries = file.get(TABLE..).unwrap_or_default().chunks_exact(ENTRY);
    entries.take(count).map(bytemuck::pod_read_unaligned).collect()
}

/// A section: kind, flags, bytes.
pub type Section = (u16, u16, Vec<u8>);

/// The file with its sections changed and laid out again.
pub fn with_sections(file: &[u8], change: impl FnOnce(&mut Vec<Section>)) -> Vec<u8> {
    let content = |r: &SectionRecord| file[r.offset as usize..][..r.len as usize].to_vec();
    let mut sections: Vec<Section> = table(file).iter().map(|r| (r.kind, r.flags, content(r))).collect();
    change(&mut sections);
    let mut out = file[..TABLE].to_vec();
    out[COUNT..COUNT + 2].copy_from_slice(&(sections.len() as u16).to_le_bytes());
    let mut end = TABLE + sections.len() * ENTRY;
    for (kind, flags, bytes) in &sections {
        let offset = end.next_multiple_of(64);
        end = offset + bytes.len();
        let (offset, len) = (offset as u32, bytes.len() as u32);
        out.extend(bytes_of(&SectionRecord { kind: *kind, flags: *flags, offset, len, crc: 0 }));
    }
    for (.., bytes) in &sections {
        out.resize(out.len().next_multiple_of(64), 0);
        out.extend(bytes);
    }
    repair(&mut out);
    out
}

/// The data section in the making.
#[derive(Default)]
pub struct Data(Vec<u8>);

impl Data {
    /// Offset and length of these bytes, at a multiple of 4.
    fn bytes(&mut self, bytes: &[u8]) -> (u32, u32) {
        let offset = self.0.len();
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        (offset as u32, bytes.len() as u32)
    }

    /// Offset and length of `len` weights.
    fn weights(&mut self, len: usize) -> (u32, u32) {
        let offset = self.0.len();
        self.0.extend((0..len).map(|i| (i * 73 + 11) as u8));
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        (offset as u32, len as u32)
    }

    fn requant(&mut self, count: usize, mul: impl Fn(usize) -> i32) -> (u32, u32) {
        let offset = self.0.len();
        for i in 0..count {
            self.0.extend_from_slice(bytes_of(&Requant { bias: i as i32 * 100 - 150, mul: mul(i) }));
        }
        (offset as u32, count as u32)
    }
}

/// Input 6 × 6 × 3, then conv, depthwise, their sum, max pool, mean, linear: three classes.
pub fn spec() -> FileSpec {
    let (mut data, mut names) = (Data::default(), Names::default());
    let tensor = |offset, [h, w, c]: [u32; 3], first_op, last_op| TensorRecord {
        offset,
        c,
        h,
        w,
        scale: 0.05,
        zero: -3,
        first_op,
        last_op,
    };
    let tensors = vec![
        tensor(0, [6, 6, 3], 0, 0),
        tensor(144, [6, 6, 4], 0, 2),
        tensor(0, [6, 6, 4], 1, 2),
        tensor(288, [6, 6, 4], 2, 3),
        tensor(0, [3, 3, 4], 3, 4),
        tensor(36, [3, 3, 4], 4, 5),
        tensor(0, [1, 1, 3], 5, 5),
    ];
    let base = OpRecord { out_channels: 4, name: names.add("net"), ..OpRecord::default() };
    let window = OpRecord { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pad: [1, 1], ..base };

    let (weights, weights_len) = data.weights(4 * 9 * 3);
    let (requant, requant_len) = data.requant(4, |i| (i as i32 + 1) << 23);
    let name = names.add("conv");
    let conv = OpRecord {
        code: op::CONV,
        output: 1,
        weights,
        weights_len,
        requant,
        requant_len,
        left_shift: 1,
        name,
        ..window
    };

    let (weights, weights_len) = data.weights(9 * 4);
    let (requant, requant_len) = data.requant(4, |_| 1 << 25);
    let name = names.add("depthwise");
    let depthwise = OpRecord {
        code: op::DEPTHWISE,
        input: 1,
        output: 2,
        weights,
        weights_len,
        requant,
        requant_len,
        name,
        ..window
    };

    let add_mul = [1 << 13, 3 << 12];
    let add =
        OpRecord { code: op::ADD, input: 1, input2: 2, output: 3, add_mul, add_shift: 14, add_bias: 1 << 13, ..base };
    let max =
        OpRecord { code: op::MAX_POOL, input: 3, output: 4, kernel: [2, 2], stride: [2, 2], pad: [0, 0], ..window };
    let (requant, requant_len) = data.requant(6, |i| i32::MAX / (i as i32 + 4) * 2);
    let mean =
        OpRecord { code: op::AVG_POOL, input: 4, output: 5, requant, requant_len, left_shift: 1, groups: 4, ..window };
    let (weights, weights_len) = data.weights(3 * 36);
    let (requant, requant_len) = data.requant(3, |_| 1 << 25);
    let name = names.add("head");
    let linear = OpRecord {
        code: op::LINEAR,
        input: 5,
        output: 6,
        out_channels: 3,
        weights,
        weights_len,
        requant,
        requant_len,
        name,
        ..base
    };

    let group = CertificateGroup {
        name: names.add("gender=female"),
        n: 100,
        clusters: 10,
        dense: 0.9,
        pruned: 0.9,
        int8: 0.9,
        int8_lower: 0.85,
        excess_drop: 0.0,
        excess_drop_upper: f32::INFINITY,
        verdict: verdict::PASS,
    };
    let head = CertificateHead {
        verdict: verdict::PASS,
        unproven: 0,
        confidence: 0.95,
        n: 100,
        dense: 0.9,
        pruned: 0.9,
        int8: 0.9,
        groups: 1,
        data_hash: [1, 2],
        dense_cost: [3, 0, 4, 5],
    };
    let floor = plan::floor_record(group.name, 0.83);
    let monitor = plan::head(1, 10_000.0, 8).map(|head| (head, vec![floor])).ok();
    let field = FieldHead {
        gap_threshold: 60_000,
        gap_q: 8,
        classes: 3,
        edges: core::array::from_fn(|i| i as u8),
        ..Default::default()
    };
    let of_group = FieldGroup { tolerance: ONE_Q26 / 50, confidence: [0, ONE_Q26], ..Default::default() };
    FileSpec {
        arena_len: 432 + 112,
        scratch_offset: 432,
        input_rounding: 0,
        packing: 0,
        dtype: 0,
        input: 0,
        output: 6,
        tensors,
        ops: vec![conv, depthwise, add, max, mean, linear],
        data: data.0,
        names,
        contract: String::from("[fairness]\nlimit = 0.02\n"),
        certificate: Some((head, vec![group])),
        monitor,
        field: Some((field, vec![of_group], vec![7; 9])),
        input_channels: vec![InputChannel { scale: 1.0 / 255.0, mean: 0.5, std: 0.25 }; 3],
    }
}
