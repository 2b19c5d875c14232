//! The file without its numbers: records, places in memory, names. Shapes alone decide it, so lowering fills
//! it in and the cost of a network that was never quantised is read from it.

use super::extras::Extras;
use super::plan::plan;
use crate::error::{Context, Error, Result};
use crate::graph::{Graph, Op, Shape, Window};
use crate::quant::fuse::{Steps, tap_range, whole};
use crate::quant::{QGraph, QNode, QOp};
use evenkeel_runtime::format::{
    FileSpec, InputChannel, MAX_ARENA, MAX_RECORDS, NameRef, OpRecord, Requant, TENSOR_ALIGN, TensorRecord, op,
};
use evenkeel_runtime::kernels::scratch_len;

/// A tensor and the operator that writes it, by shape.
pub(super) struct Item<'a> {
    name: &'a str,
    kind: Kind,
    inputs: &'a [usize],
    shape: Shape,
}

enum Kind {
    Input,
    Conv { window: Window, groups: usize },
    Linear,
    Add,
    MaxPool(Window),
    Mean(Window),
}

/// The items of a quantised network.
///
/// # Errors
/// Operations that the format does not have, by name.
pub(super) fn of_quantised(q: &QGraph) -> Result<Vec<Item<'_>>> {
    let kind = |n: &QNode| -> Result<Kind> {
        Ok(match &n.op {
            QOp::Input => Kind::Input,
            QOp::Conv { window, groups, .. } => Kind::Conv { window: *window, groups: *groups },
            QOp::Linear(_) => Kind::Linear,
            QOp::Add { .. } => Kind::Add,
            QOp::MaxPool(window) => Kind::MaxPool(*window),
            QOp::AvgPool { window, .. } => Kind::Mean(*window),
            QOp::Softmax { .. } => {
                return Err(Error::new(format!("cannot lower '{}': the format has no softmax", n.name)));
            }
        })
    };
    q.nodes.iter().map(|n| Ok(Item { name: &n.name, kind: kind(n)?, inputs: &n.inputs, shape: n.shape })).collect()
}

/// The items that a graph will have when it is quantised.
pub(super) fn of_steps<'a>(graph: &'a Graph, steps: &'a Steps) -> Vec<Item<'a>> {
    let item = |step: &'a crate::quant::fuse::Step| {
        let node = &graph.nodes[step.op];
        let kind = match &node.op {
            Op::Conv(c) => Kind::Conv { window: c.window, groups: c.groups },
            Op::Linear(_) => Kind::Linear,
            Op::Add => Kind::Add,
            Op::MaxPool(window) => Kind::MaxPool(*window),
            Op::AvgPool { window, .. } => Kind::Mean(*window),
            Op::GlobalAvgPool => Kind::Mean(whole(steps.steps[step.inputs[0]].shape)),
            Op::Clip { .. } => Kind::Mean(whole(Shape::vector(1))),
            // Nothing else becomes a step.
            Op::Input | Op::BatchNorm(_) | Op::Flatten | Op::Softmax => Kind::Input,
        };
        Item { name: &node.name, kind, inputs: &step.inputs, shape: step.shape }
    };
    steps.steps.iter().map(item).collect()
}

/// The file to be: its numbers are zero and its data section is still empty.
pub(super) struct Skeleton {
    /// Operator `i` writes tensor `i + 1`, which is item `i + 1`.
    pub spec: FileSpec,
    /// Bytes of the data section.
    pub data_len: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
}

/// Lays out `items` with the result `output`, `norm` input normalisations and the extras.
///
/// # Errors
/// Networks that the format cannot hold: too many operators, or sizes beyond its fields.
pub(super) fn skeleton(items: &[Item], output: usize, norm: usize, extras: &Extras) -> Result<Skeleton> {
    if output == 0 || items.len() > MAX_RECORDS {
        return Err(Error::new(format!("a network of {} operations cannot be lowered", items.len().saturating_sub(1)))
            .help(format!("the format holds 1 to {} operations", MAX_RECORDS - 1)));
    }
    let mut data = DataLayout { len: 0 };
    let mut spec = FileSpec { input: 0, output: u16_of(output)?, ..FileSpec::default() };
    let mut macs = 0u64;
    let mut scratch = 0;
    for (i, item) in items.iter().enumerate().skip(1) {
        let mut record = record(items, i, &mut data).context(format!("cannot lower '{}'", item.name))?;
        record.name = spec.names.add(item.name);
        scratch = scratch.max(scratch_len(&record, items[item.inputs[0]].shape.c));
        macs += record.weights_len as u64 * (item.shape.h * item.shape.w) as u64;
        spec.ops.push(record);
    }

    let lifetimes = lifetimes(items, output);
    let sizes: Vec<usize> = items.iter().map(|i| i.shape.len()).collect();
    let (offsets, total) = plan(&sizes, &lifetimes);
    let arena = total.saturating_add(scratch);
    if arena > MAX_ARENA as usize {
        return Err(Error::new(format!("the network needs an arena of {arena} bytes"))
            .help(format!("the format allows {MAX_ARENA}: use a smaller input or more stride")));
    }
    (spec.scratch_offset, spec.arena_len) = (total as u32, arena as u32);
    // All fit: no size is larger than the arena, no operator number than MAX_RECORDS.
    spec.tensors.extend(items.iter().enumerate().map(|(i, item)| TensorRecord {
        offset: offsets[i] as u32,
        c: item.shape.c as u32,
        h: item.shape.h as u32,
        w: item.shape.w as u32,
        scale: 1.0,
        zero: 0,
        first_op: lifetimes[i].0 as u32,
        last_op: lifetimes[i].1 as u32,
    }));

    spec.contract = extras.contract.clone();
    spec.certificate = extras.certificate.as_ref().map(|c| c.records(&mut spec.names));
    spec.monitor = extras.monitor.as_ref().map(|m| m.records(&mut spec.names));
    spec.input_channels = vec![InputChannel { scale: 1.0, mean: 0.0, std: 1.0 }; norm];
    Ok(Skeleton { spec, data_len: data.len, macs })
}

/// First and last operator at which each tensor is alive; the result stays to the end.
fn lifetimes(items: &[Item], output: usize) -> Vec<(usize, usize)> {
    let mut lifetimes: Vec<_> = (0..items.len()).map(|i| (i.saturating_sub(1), i.saturating_sub(1))).collect();
    for (i, item) in items.iter().enumerate() {
        for &read in item.inputs {
            lifetimes[read].1 = lifetimes[read].1.max(i - 1);
        }
    }
    lifetimes[output].1 = items.len() - 2;
    lifetimes
}

/// The data section as it grows.
struct DataLayout {
    len: usize,
}

impl DataLayout {
    /// Reserves `len` bytes and gives their offset.
    fn reserve(&mut self, len: usize) -> Result<u32> {
        let offset = self.len.next_multiple_of(TENSOR_ALIGN);
        self.len = offset.saturating_add(len);
        u32::try_from(self.len).map_err(|_| Error::new("more than 4 GiB of weights"))?;
        Ok(offset as u32)
    }
}

/// The record of the operator that writes item `i`, without its numbers.
fn record(items: &[Item], i: usize, data: &mut DataLayout) -> Result<OpRecord> {
    let item = &items[i];
    let from = items[item.inputs[0]].shape;
    let to = item.shape;
    let (code, window, groups, weights, requant) = match item.kind {
        Kind::Input => return Err(Error::new("internal error: a second input")),
        Kind::Conv { window, groups } => {
            let weights = to.c * (from.c / groups.max(1)) * window.taps();
            match groups {
                1 => (op::CONV, Some(window), 1, weights, to.c),
                g if g == from.c && g == to.c => (op::DEPTHWISE, Some(window), 1, weights, to.c),
                g => (op::GROUPED_CONV, Some(window), g, weights, to.c),
            }
        }
        Kind::Linear => (op::LINEAR, None, 1, from.len() * to.c, to.c),
        Kind::Add => (op::ADD, None, 1, 0, 0),
        Kind::MaxPool(window) => (op::MAX_POOL, Some(window), 1, 0, 0),
        Kind::Mean(window) => {
            let (base, most) = tap_range(&window, from, to)?;
            (op::AVG_POOL, Some(window), base, 0, most - base + 1)
        }
    };
    let pair = |of: fn(&Window) -> [usize; 2]| -> Result<[u16; 2]> {
        let [v, h] = window.as_ref().map_or([0, 0], of);
        Ok([u16_of(v)?, u16_of(h)?])
    };
    Ok(OpRecord {
        code,
        input: u16_of(item.inputs[0])?,
        input2: item.inputs.get(1).map_or(Ok(u16::MAX), |&i| u16_of(i))?,
        output: u16_of(i)?,
        kernel: pair(|w| w.kernel)?,
        stride: pair(|w| w.stride)?,
        dilation: pair(|w| w.dilation)?,
        pad: pair(|w| [w.pad[0], w.pad[1]])?,
        weights: if weights > 0 { data.reserve(weights)? } else { 0 },
        weights_len: weights as u32,
        requant: if requant > 0 { data.reserve(requant * size_of::<Requant>())? } else { 0 },
        requant_len: requant as u32,
        left_shift: 0,
        lo: -128,
        hi: 127,
        reserved: 0,
        groups: u16_of(groups)?,
        add_mul: [0; 2],
        add_shift: 0,
        add_bias: 0,
        name: NameRef::default(),
    })
}

fn u16_of(v: usize) -> Result<u16> {
    u16::try_from(v)
        .map_err(|_| Error::new(format!("{v} does not fit the format, whose windows and groups end at 65535")))
}
