//! The file without its numbers: records, places in memory, names. Shapes alone decide it, so lowering fills
//! it in and the cost of a network that was never quantised is read from it.

use super::extras::Extras;
use super::memory::place;
use super::program::{Item, Kind, Planned, Program, program};
use super::target::Target;
use crate::error::{Context, Error, Result};
use crate::graph::{Shape, Window};
use crate::quant::fuse::tap_range;
use evenkeel_runtime::format::{
    Dtype, FileSpec, InputChannel, MAX_RECORDS, OpRecord, Packing, Requant, TENSOR_ALIGN, TensorRecord, encoding, flag,
    op,
};

/// The file to be: its numbers are zero and its data section is still empty.
pub(super) struct Skeleton {
    /// Operator `i` is that of `program.ops[i]`, tensors likewise.
    pub spec: FileSpec,
    /// What each operator and tensor stands for.
    pub program: Program,
    /// Bytes of the data section.
    pub data_len: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
}

/// Lays out `items` with the result `output`, `norm` input normalisations and the extras.
///
/// # Errors
/// Networks that the format cannot hold: too many operators, or sizes beyond its fields.
pub(super) fn skeleton(
    items: &[Item],
    output: usize,
    norm: usize,
    extras: &Extras,
    target: Target,
    dtype: Dtype,
) -> Result<Skeleton> {
    if output == 0 || items.len() > MAX_RECORDS {
        return Err(Error::new(format!("a network of {} operations cannot be lowered", items.len().saturating_sub(1)))
            .help(format!("the format holds 1 to {} operations", MAX_RECORDS - 1)));
    }
    let program = program(items, output, target.saves_ram());
    // Float weights lie as they are for every target.
    let packing = if dtype.is_float() { Packing::Portable } else { target.packing() };
    let mut data = DataLayout { len: 0, weight_align: packing.weights_align() };
    let mut spec = FileSpec { packing: packing as u16, dtype: dtype as u16, ..FileSpec::default() };
    // All fit: there are no more tensors than items.
    spec.output = program.tensor(output).unwrap_or_default() as u16;
    let mut macs = 0u64;
    for planned in &program.ops {
        let name = items[planned.item].name;
        let (mut record, weights) =
            record(items, &program, planned, &mut data, packing, dtype).context(format!("cannot lower '{name}'"))?;
        record.name = spec.names.add(name);
        let shape = items[planned.item].shape;
        macs += weights as u64 * (shape.h * shape.w) as u64;
        spec.ops.push(record);
    }
    let lifetimes = lifetimes(&program, spec.output as usize);
    spec.tensors.extend(program.tensors.iter().zip(&lifetimes).map(|(&item, alive)| {
        let Shape { c, h, w } = items[item].shape;
        let [c, h, w, first_op, last_op] = [c, h, w, alive.0, alive.1].map(|v| v as u32);
        TensorRecord { offset: 0, c, h, w, scale: 1.0, zero: 0, first_op, last_op }
    }));
    place(&mut spec, target, packing, dtype)?;

    spec.contract = extras.contract.clone();
    spec.certificate = extras.certificate.as_ref().map(|c| c.records(&mut spec.names));
    spec.monitor = extras.monitor.as_ref().map(|m| m.records(&mut spec.names));
    spec.field = extras.monitor.as_ref().and_then(|m| m.field.clone());
    spec.input_channels = vec![InputChannel { scale: 1.0, mean: 0.0, std: 1.0 }; norm];
    Ok(Skeleton { spec, program, data_len: data.len, macs })
}

/// First and last operator at which each tensor is alive; the result stays to the end.
fn lifetimes(program: &Program, output: usize) -> Vec<(usize, usize)> {
    let mut alive = vec![(usize::MAX, 0); program.tensors.len()];
    alive[0] = (0, 0);
    for (i, planned) in program.ops.iter().enumerate() {
        for &t in planned.inputs.iter().chain([&planned.output]) {
            alive[t] = (alive[t].0.min(i), alive[t].1.max(i));
        }
    }
    alive[output].1 = program.ops.len().saturating_sub(1);
    alive
}

/// The data section as it grows.
struct DataLayout {
    len: usize,
    weight_align: usize,
}

impl DataLayout {
    /// Reserves `len` bytes and gives their offset.
    fn reserve(&mut self, len: usize, align: usize) -> Result<u32> {
        if len == 0 {
            return Ok(0);
        }
        let offset = self.len.next_multiple_of(align);
        self.len = offset.saturating_add(len);
        u32::try_from(self.len).map_err(|_| Error::new("more than 4 GiB of weights"))?;
        Ok(offset as u32)
    }
}

/// The record of an operator without its numbers, and how many weights each output pixel meets.
fn record(
    items: &[Item],
    program: &Program,
    planned: &Planned,
    data: &mut DataLayout,
    packing: Packing,
    dtype: Dtype,
) -> Result<(OpRecord, usize)> {
    let item = &items[planned.item];
    let from = items[program.tensors[planned.inputs[0]]].shape;
    let to = item.shape;
    let (code, window, groups, taps, requant) = match planned.kind {
        Kind::Input | Kind::Concat => return Err(Error::new("internal error: not an operator")),
        Kind::Conv { window, groups } => {
            let taps = (from.c / groups.max(1)) * window.taps();
            match groups {
                1 => (op::CONV, Some(window), 1, taps, to.c),
                g if g == from.c && g == to.c => (op::DEPTHWISE, Some(window), 1, taps, to.c),
                g => (op::GROUPED_CONV, Some(window), g, taps, to.c),
            }
        }
        Kind::Linear => (op::LINEAR, None, 1, from.len(), to.c),
        Kind::Add => (op::ADD, None, 1, 0, 0),
        Kind::MaxPool(window) => (op::MAX_POOL, Some(window), 1, 0, 0),
        Kind::Mean(window) => {
            let (base, most) = tap_range(&window, from, to)?;
            let (base, records) = if dtype.is_float() { (1, 0) } else { (base, most - base + 1) };
            (op::AVG_POOL, Some(window), base, 0, records)
        }
        Kind::Mul => (op::MUL, None, 1, 0, usize::from(!dtype.is_float())),
        Kind::Lut => (op::LUT, None, 1, 0, 0),
        Kind::Softmax => (op::SOFTMAX, None, 1, 0, 0),
        Kind::Resize(_) => (op::RESIZE, None, 1, 0, 0),
        Kind::Slice(first) => (op::SLICE, None, first[2], 0, 0),
        Kind::Pad(_) => (op::PAD, None, 1, 0, usize::from(dtype.is_float())),
        Kind::Activation { function, parameters } => (op::ACTIVATION, None, function.into(), 0, parameters),
    };
    let tile = packing.tile(code, encoding::DENSE);
    let (encoded, index) = item.stored.map_or((encoding::DENSE, 0), |s| (s.encoding, s.index));
    let weights = match (code, item.stored) {
        (op::CONV | op::LINEAR, Some(stored)) => stored.weights,
        (op::CONV | op::LINEAR, None) => tile.dense_len(to.c, taps),
        (op::LUT, _) => 256,
        (op::SOFTMAX, _) if !dtype.is_float() => 1024,
        _ => to.c * taps,
    };
    let weights = weights * dtype.weight_bytes();
    let record_len = if dtype.is_float() { size_of::<f32>() } else { size_of::<Requant>() };
    let align = if taps > 0 { data.weight_align } else { TENSOR_ALIGN };
    let pair = |of: fn(&Window) -> [usize; 2], other: [usize; 2]| -> Result<[u16; 2]> {
        let [v, h] = window.as_ref().map_or(other, of);
        Ok([u16_of(v)?, u16_of(h)?])
    };
    let (first, by) = match planned.kind {
        Kind::Slice([row, column, _]) => ([row, column], [0; 2]),
        Kind::Pad(first) => (first, [0; 2]),
        Kind::Resize(by) => ([0; 2], by),
        _ => ([0; 2], [0; 2]),
    };
    let record = OpRecord {
        code,
        input: u16_of(planned.inputs[0])?,
        input2: planned.inputs.get(1).map_or(Ok(u16::MAX), |&i| u16_of(i))?,
        output: u16_of(planned.output)?,
        out_channel: planned.channels.0 as u32,
        out_channels: planned.channels.1 as u32,
        kernel: pair(|w| w.kernel, [0; 2])?,
        stride: pair(|w| w.stride, by)?,
        dilation: pair(|w| w.dilation, [0; 2])?,
        pad: pair(|w| [w.pad[0], w.pad[1]], first)?,
        weights: data.reserve(weights, align)?,
        weights_len: weights as u32,
        index: data.reserve(index, TENSOR_ALIGN)?,
        index_len: index as u32,
        encoding: encoded,
        requant: data.reserve(requant * record_len, TENSOR_ALIGN)?,
        requant_len: requant as u32,
        groups: u16_of(groups)?,
        flags: if planned.sum.is_some() { flag::FUSED_ADD } else { 0 },
        ..OpRecord::default()
    };
    Ok((record, to.c * taps))
}

fn u16_of(v: usize) -> Result<u16> {
    u16::try_from(v)
        .map_err(|_| Error::new(format!("{v} does not fit the format, whose windows and groups end at 65535")))
}
