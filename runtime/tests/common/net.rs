//! Networks in the making, for tests: operators with random weights, tensors at random places of the arena.

use super::Data;
use evenkeel_runtime::format::pack::{Form, fold_offset, pack};
use evenkeel_runtime::format::{FileSpec, OpRecord, Packing, Requant, TensorRecord, encoding, flag, op};
use evenkeel_runtime::strips::{keeps_input, scratch_len};

/// Height, width, channels.
pub type Shape = [u32; 3];

/// How an operator's result may lie over something that is read for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: at a place of its own.
    Apart,
    /// Before the input, as far over it as strips from the first row on allow.
    Before,
    /// Behind the input, as far over it as strips from the last row on allow.
    Behind,
}

/// A network in the making.
pub struct Net {
    pub packing: Packing,
    pub tensors: Vec<TensorRecord>,
    pub ops: Vec<OpRecord>,
    data: Data,
    state: u64,
    end: u32,
}

impl Net {
    /// With an input of this shape, tensor 0, behind some room.
    pub fn new(packing: Packing, input: Shape, seed: u64) -> Self {
        let mut net = Net {
            packing,
            tensors: Vec::new(),
            ops: Vec::new(),
            data: Data::default(),
            state: seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15) | 1,
            end: 64,
        };
        net.tensor(input);
        net
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((self.state >> 32) % n as u64) as u32
    }

    fn byte(&mut self) -> i8 {
        self.below(256) as u8 as i8
    }

    /// A tensor at a place of its own.
    pub fn tensor(&mut self, shape: Shape) -> u16 {
        let offset = self.end;
        self.end = (offset + shape.iter().product::<u32>()).next_multiple_of(4);
        self.tensor_at(shape, offset)
    }

    /// A tensor at this place.
    pub fn tensor_at(&mut self, [h, w, c]: Shape, offset: u32) -> u16 {
        let zero = self.below(9) as i32 - 4;
        self.end = self.end.max((offset + h * w * c).next_multiple_of(4));
        self.tensors.push(TensorRecord { offset, c, h, w, scale: 0.05, zero, first_op: 0, last_op: 0 });
        (self.tensors.len() - 1) as u16
    }

    pub fn shape(&self, t: u16) -> Shape {
        let t = &self.tensors[t as usize];
        [t.h, t.w, t.c]
    }

    /// Adds an operator that writes all of a new tensor of this shape, at a place of its own.
    pub fn push(&mut self, op: OpRecord, shape: Shape) -> u16 {
        let output = self.tensor(shape);
        self.push_to(OpRecord { out_channels: shape[2], ..op }, output)
    }

    /// Adds an operator that writes to a tensor.
    pub fn push_to(&mut self, op: OpRecord, output: u16) -> u16 {
        self.ops.push(OpRecord { output, ..op });
        output
    }

    /// Adds an operator with a window whose result lies over its input as `place` says. Nothing else may be alive.
    pub fn push_over(&mut self, op: OpRecord, shape: Shape, place: Place) -> u16 {
        if place == Place::Apart {
            return self.push(op, shape);
        }
        let flags = op.flags | if place == Place::Behind { flag::REVERSE } else { 0 };
        let op = OpRecord { flags, out_channels: shape[2], ..op };
        let x = self.tensors[op.input as usize];
        let (first, len) = (x.offset.saturating_sub(shape.iter().product::<u32>()), x.elements() as u32);
        let output = self.tensor_at(shape, 0);
        let y = self.tensors[output as usize];
        let good = |offset: &u32| keeps_input(&op, &x, &TensorRecord { offset: *offset, ..y });
        let chosen = match place == Place::Behind {
            true => (x.offset..=x.offset + len).filter(|o| o.is_multiple_of(4)).find(good),
            false => (first..=x.offset).rev().filter(|o| o.is_multiple_of(4)).find(good),
        };
        // Apart is always good.
        let offset = chosen.unwrap_or_else(|| (x.offset + len).next_multiple_of(4));
        self.tensors[output as usize].offset = offset;
        self.end = self.end.max((offset + shape.iter().product::<u32>()).next_multiple_of(4));
        self.push_to(op, output)
    }

    /// The record of an operator on `input`.
    pub fn on(&mut self, code: u16, input: u16) -> OpRecord {
        OpRecord { code, input, lo: -120 + self.below(20) as i8, ..OpRecord::default() }
    }

    /// Weights and requantisation of a convolution (`op.kernel` set) or a linear operator for `outputs` channels.
    pub fn weighted(&mut self, op: OpRecord, outputs: u32, form: Form) -> OpRecord {
        let [h, w, c] = self.shape(op.input);
        let window = op.kernel[0] as u32 * op.kernel[1] as u32;
        let taps = match op.code {
            op::CONV => window * c,
            op::GROUPED_CONV => window * c / op.groups as u32,
            op::DEPTHWISE => window,
            _ => h * w * c,
        } as usize;
        let mut weights: Vec<i8> = (0..outputs as usize * taps).map(|_| self.byte()).collect();
        self.thin(&mut weights, taps, form);
        let (packed, bytes, index) = if matches!(op.code, op::CONV | op::LINEAR) {
            let packed = pack(&weights, taps, self.packing, op.code, form).expect("of this form");
            (packed.encoding, packed.weights, packed.index)
        } else {
            (encoding::DENSE, weights.clone(), Vec::new())
        };
        let mut requant: Vec<Requant> = (0..outputs)
            .map(|_| Requant { bias: self.byte() as i32 * 64, mul: (1 << 24) + (self.below(1 << 12) << 12) as i32 })
            .collect();
        if matches!(op.code, op::CONV | op::LINEAR) {
            fold_offset(self.packing, &weights, taps, &mut requant);
        }
        let (weights, weights_len) = self.data.bytes(bytemuck::cast_slice(&bytes));
        let (index, index_len) = self.data.bytes(&index);
        let (requant, _) = self.data.bytes(bytemuck::cast_slice(&requant));
        let left_shift = self.below(2) as u8;
        OpRecord {
            weights,
            weights_len,
            index,
            index_len,
            requant,
            requant_len: outputs,
            encoding: packed,
            left_shift,
            ..op
        }
    }

    /// Makes weights zero so that they have the form.
    fn thin(&mut self, weights: &mut [i8], taps: usize, form: Form) {
        match form {
            Form::Dense => {}
            Form::Blocks => {
                // Four outputs by sixteen taps are some tiles, or a part of one, in every packing.
                for (i, w) in weights.iter_mut().enumerate() {
                    let tile = (i / taps / 4 * 31 + i % taps / 16) as u32;
                    *w *= (tile % 3 == 1) as i8;
                }
            }
            Form::TwoOfFour => {
                for row in weights.chunks_mut(taps) {
                    for four in row.chunks_mut(4) {
                        let gone = self.below(4) as usize;
                        for (i, w) in four.iter_mut().enumerate() {
                            *w *= (i != gone && i != (gone + 1) % 4) as i8;
                        }
                    }
                }
            }
        }
    }

    /// A mean over the window of `op`: a multiplier for each number of taps from 1 on.
    pub fn mean(&mut self, op: OpRecord) -> OpRecord {
        let taps = op.kernel[0] as i32 * op.kernel[1] as i32;
        let requant: Vec<Requant> = (1..=taps).map(|n| Requant { bias: n, mul: i32::MAX / (n + 1) }).collect();
        let (requant, _) = self.data.bytes(bytemuck::cast_slice(&requant));
        OpRecord { code: op::AVG_POOL, requant, requant_len: taps as u32, groups: 1, left_shift: 1, ..op }
    }

    /// A product of two tensors.
    pub fn product(&mut self, a: u16, b: u16) -> OpRecord {
        let (requant, requant_len) = (self.data.bytes(bytemuck::bytes_of(&Requant { bias: 0, mul: 1 << 25 })).0, 1);
        OpRecord { input2: b, requant, requant_len, left_shift: 3, ..self.on(op::MUL, a) }
    }

    /// A sum of two tensors.
    pub fn sum(&mut self, a: u16, b: u16) -> OpRecord {
        OpRecord { code: op::ADD, input: a, input2: b, mid: [0; 4], ..self.numbers() }
    }

    /// The numbers of a sum.
    fn numbers(&mut self) -> OpRecord {
        let add_mul = [(1 << 12) + self.below(1 << 12) as i32, (1 << 12) + self.below(1 << 12) as i32];
        OpRecord { add_mul, add_shift: 13, add_bias: 1 << 12, mid: [3, -100, 110, 0], ..OpRecord::default() }
    }

    /// `op`, whose result is then added to `b`.
    pub fn onto(&mut self, op: OpRecord, b: u16) -> OpRecord {
        let sum = self.numbers();
        OpRecord {
            input2: b,
            flags: op.flags | flag::FUSED_ADD,
            add_mul: sum.add_mul,
            add_shift: sum.add_shift,
            add_bias: sum.add_bias,
            mid: sum.mid,
            ..op
        }
    }

    /// A table of any function.
    pub fn lut(&mut self, x: u16) -> OpRecord {
        let table: Vec<u8> = (0..256).map(|i| (i * 5 / 3) as u8 ^ 0x5A).collect();
        let (weights, weights_len) = self.data.bytes(&table);
        OpRecord { weights, weights_len, ..self.on(op::LUT, x) }
    }

    /// Softmax over the channels.
    pub fn softmax(&mut self, x: u16) -> OpRecord {
        let table: Vec<u32> = (0..256).map(|d| (65536.0 * (-0.05 * d as f64).exp()) as u32).collect();
        let (weights, weights_len) = self.data.bytes(bytemuck::cast_slice(&table));
        OpRecord { weights, weights_len, ..self.on(op::SOFTMAX, x) }
    }

    /// The file; its result is tensor `output`.
    pub fn finish(mut self, output: u16) -> FileSpec {
        let last = self.ops.len() as u32 - 1;
        for (t, tensor) in self.tensors.iter_mut().enumerate() {
            let writes = self.ops.iter().position(|o| o.output as usize == t);
            tensor.first_op = writes.unwrap_or(0) as u32;
            let two = |o: &OpRecord| matches!(o.code, op::ADD | op::MUL) || o.has(flag::FUSED_ADD);
            let uses = |o: &OpRecord| [o.input, o.output].contains(&(t as u16)) || two(o) && o.input2 as usize == t;
            tensor.last_op = self.ops.iter().rposition(uses).unwrap_or(0) as u32;
            if t == output as usize {
                tensor.last_op = last;
            }
        }
        let scratch = self.ops.iter().map(|o| {
            let tensor = |t: u16| &self.tensors[t as usize];
            scratch_len(self.packing, o, tensor(o.input), tensor(o.output)) as u32
        });
        let scratch = scratch.max().unwrap_or(0);
        FileSpec {
            arena_len: self.end + scratch,
            scratch_offset: self.end,
            packing: self.packing as u16,
            input: 0,
            output,
            tensors: self.tensors,
            ops: self.ops,
            data: self.data.0,
            ..FileSpec::default()
        }
    }
}
