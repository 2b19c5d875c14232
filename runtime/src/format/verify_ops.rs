//! Verification of the operators: shapes, windows, pieces of data, order and memory.

use super::read::{Model, piece, records, work};
use super::verify::known;
use super::{MAX_WORK, OpRecord, Requant, TENSOR_ALIGN, TensorRecord, op};
use crate::Error;
use crate::kernels::scratch_len;

/// Largest extent of a dilated kernel: with it, no window arithmetic of a kernel overflows 32 bits.
const MAX_EXTENT: u64 = u16::MAX as u64;

/// Each operator by itself, and the sum of their work.
pub(super) fn operators(model: &Model) -> Result<(), Error> {
    let mut total = 0u64;
    let scratch = (model.header.arena_len - model.header.scratch_offset) as usize;
    for (i, op) in model.ops.iter().enumerate() {
        let wrong = |fault| Error::Op { op: i, fault };
        let tensor = |t: u16| model.tensors.get(t as usize).ok_or(wrong("no such tensor"));
        let (x, y) = (tensor(op.input)?, tensor(op.output)?);
        let x2 = (op.code == op::ADD).then(|| tensor(op.input2)).transpose()?;
        order(model, op, i).map_err(wrong)?;
        shapes(op, x, x2, y).map_err(wrong)?;
        content(model, op, x, y).map_err(wrong)?;
        if scratch_len(op, x.c as usize) > scratch {
            return Err(wrong("needs more scratch than the arena has"));
        }
        if !known(model, op.name) {
            return Err(wrong("a name outside of the names section"));
        }
        total = total.saturating_add(work(model.tensors, op));
    }
    if total > MAX_WORK { Err(Error::TooMuchWork) } else { Ok(()) }
}

/// An operator reads what has been written and is alive, and writes the tensor that begins with it.
///
/// There are as many operators as tensors besides the input, and a tensor begins with one operator; so
/// each of those tensors is written exactly once, and never the input.
fn order(model: &Model, op: &OpRecord, i: usize) -> Result<(), &'static str> {
    let input = model.header.input;
    if op.output == input || model.tensors[op.output as usize].first_op as usize != i {
        return Err("must write the tensor that is alive from this operator on");
    }
    for t in [op.input, if op.code == op::ADD { op.input2 } else { op.input }] {
        let tensor = &model.tensors[t as usize];
        if t != input && tensor.first_op as usize >= i {
            return Err("reads a tensor before it is written");
        }
        if (tensor.last_op as usize) < i {
            return Err("reads a tensor after the end of its lifetime");
        }
    }
    Ok(())
}

fn shapes(op: &OpRecord, x: &TensorRecord, x2: Option<&TensorRecord>, y: &TensorRecord) -> Result<(), &'static str> {
    let same_channels = x.c == y.c;
    match op.code {
        op::CONV | op::MAX_POOL | op::AVG_POOL | op::DEPTHWISE | op::GROUPED_CONV => window(op, x, y)?,
        op::LINEAR if y.h != 1 || y.w != 1 => return Err("the result of a linear operator is a vector"),
        op::LINEAR => {}
        op::ADD if x.shape() != y.shape() || x2.is_some_and(|x2| x2.shape() != y.shape()) => {
            return Err("the tensors of a sum must have one shape");
        }
        op::ADD => {}
        _ => return Err("unknown code"),
    }
    match op.code {
        op::DEPTHWISE | op::MAX_POOL | op::AVG_POOL if !same_channels => Err("input and output channels differ"),
        op::GROUPED_CONV => {
            let groups = op.groups as u32;
            let divides = groups > 1 && x.c.is_multiple_of(groups) && y.c.is_multiple_of(groups);
            if divides { Ok(()) } else { Err("the groups must divide the channels") }
        }
        op::AVG_POOL => Ok(()),
        _ if op.groups > 1 => Err("has no groups"),
        _ => Ok(()),
    }
}

/// The sliding window on both axes.
fn window(op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Result<(), &'static str> {
    axis(op, 0, x.h, y.h)?;
    axis(op, 1, x.w, y.w)?;
    Ok(())
}

/// Checks one axis of the window and gives the smallest and largest number of valid taps of a position.
fn axis(op: &OpRecord, axis: usize, len: u32, out: u32) -> Result<(u64, u64), &'static str> {
    let [kernel, stride, dilation, pad] =
        [op.kernel, op.stride, op.dilation, op.pad].map(|of: [u16; 2]| of[axis] as i64);
    let (len, out) = (len as i64, out as i64);
    if kernel < 1 || stride < 1 || dilation < 1 {
        return Err("kernel, stride and dilation must be at least 1");
    }
    let extent = (kernel - 1) * dilation + 1;
    if extent as u64 > MAX_EXTENT {
        return Err("the dilated kernel is larger than 65535");
    }
    if pad >= extent {
        return Err("the padding is larger than the kernel");
    }
    // All values are below 2^32 here, the product below 2^48.
    let last = (out - 1) * stride - pad;
    if last >= len {
        return Err("the output is larger than the input allows");
    }

    // Taps of the window that begins at `start` (which may be in the padding).
    let taps = |start: i64| {
        let first = (-start).max(0).div_ceil_signed(dilation);
        let end = (len - start).div_ceil_signed(dilation).min(kernel);
        (end - first).max(0) as u64
    };
    // Windows that begin in the padding are few (`pad` is 16 bits); behind them the count only falls.
    let in_pad = out.min(pad.div_ceil_signed(stride));
    let mut range = (taps(last), taps(last));
    for position in (0..in_pad).chain((in_pad < out).then_some(in_pad)) {
        let n = taps(position * stride - pad);
        range = (range.0.min(n), range.1.max(n));
    }
    if range.0 == 0 {
        return Err("a window lies wholly in the padding");
    }
    Ok(range)
}

trait DivCeil {
    /// Rounds up; the divisor is positive.
    fn div_ceil_signed(self, by: Self) -> Self;
}

impl DivCeil for i64 {
    fn div_ceil_signed(self, by: i64) -> i64 {
        -(-self).div_euclid(by)
    }
}

/// Weights, requantisation and the numbers in the record.
fn content(model: &Model, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Result<(), &'static str> {
    let taps = op.kernel[0] as u64 * op.kernel[1] as u64;
    // Wide enough: taps below 2^32, channels at most 2^30 (the arena's limit), products saturate.
    let filters = y.c as u64;
    let weights = match op.code {
        op::CONV => filters.saturating_mul(taps.saturating_mul(x.c as u64)),
        op::GROUPED_CONV => filters.saturating_mul(taps.saturating_mul((x.c / op.groups as u32) as u64)),
        op::DEPTHWISE => filters.saturating_mul(taps),
        op::LINEAR => filters.saturating_mul(x.elements() as u64),
        _ => 0,
    };
    if op.weights_len as u64 != weights {
        return Err("the number of weights does not follow from the shapes");
    }
    if !(op.weights as usize).is_multiple_of(TENSOR_ALIGN)
        || piece(model.data, op.weights, op.weights_len as usize).is_none()
    {
        return Err("the weights must lie in the data section at a multiple of 4");
    }
    match op.code {
        op::AVG_POOL => {
            let (rows, columns) = (axis(op, 0, x.h, y.h)?, axis(op, 1, x.w, y.w)?);
            let (fewest, most) = (rows.0 * columns.0, rows.1 * columns.1);
            let base = op.groups as u64;
            if fewest < base || most >= base + op.requant_len as u64 {
                return Err("a mean needs one requantisation record for each number of valid taps");
            }
        }
        op::CONV | op::GROUPED_CONV | op::DEPTHWISE | op::LINEAR if op.requant_len != y.c => {
            return Err("needs one requantisation record per output channel");
        }
        op::ADD | op::MAX_POOL if op.requant_len != 0 => return Err("has no requantisation records"),
        _ => {}
    }
    if records::<Requant>(model.data, op.requant, op.requant_len).is_none() {
        return Err("the requantisation must lie in the data section at a multiple of 4");
    }
    if op.left_shift > 15 || op.add_shift > 30 || op.lo > op.hi {
        return Err("a shift or a range of values is impossible");
    }
    if op.reserved != 0 {
        return Err("a reserved field is not 0");
    }
    Ok(())
}

/// No two tensors that are alive at the same time share bytes, and the result outlives the last operator.
pub(super) fn lifetimes(model: &Model) -> Result<(), Error> {
    let (input, output) = (model.header.input as usize, model.header.output as usize);
    let tensors = model.tensors;
    if tensors[input].first_op != 0 {
        return Err(Error::Tensor { tensor: input, fault: "the input must be alive from the start" });
    }
    if tensors[output].last_op as usize + 1 != model.ops.len() {
        return Err(Error::Tensor { tensor: output, fault: "the output must be alive to the end" });
    }
    // At most MAX_RECORDS^2 / 2 = 8 million pairs, six comparisons each.
    for (i, a) in tensors.iter().enumerate() {
        for (j, b) in tensors[..i].iter().enumerate() {
            let together = a.first_op <= b.last_op && b.first_op <= a.last_op;
            let (a, b) = (a.range(), b.range());
            if together && a.start < b.end && b.start < a.end {
                return Err(Error::Overlap { first: j, second: i });
            }
        }
    }
    Ok(())
}
