//! Verification of the operators: shapes, windows, numbers.

use super::read::{Model, records, work};
use super::verify::known;
use super::verify_float;
use super::verify_weights as weights;
use super::{MAX_WORK, OpRecord, Requant, TensorRecord, flag, op, rounding};
use crate::Error;
use crate::kernels::portable::div_ceil;
use crate::strips::{float_scratch_len, is_windowed, scratch_len};

/// Largest extent of a dilated kernel: with it, no window arithmetic of a kernel overflows 32 bits.
const MAX_EXTENT: usize = u16::MAX as usize;

/// How often the data section may be gone through as indices of weights and ends of matrices.
const MAX_CHECKED: u64 = 16;

/// Most windows of an axis that may begin in the padding: verification goes through them.
const MAX_IN_PADDING: usize = 4096;

/// Each operator by itself, and the sum of their work.
pub(super) fn operators(model: &Model) -> Result<(), Error> {
    let (mut total, mut checked) = (0u64, 0u64);
    let scratch = (model.header.arena_len - model.header.scratch_offset) as usize;
    for (i, op) in model.ops.iter().enumerate() {
        let wrong = |fault| Error::Op { op: i, fault };
        let tensor = |t: u16| model.tensors.get(t as usize).ok_or(wrong("no such tensor"));
        let (x, y) = (tensor(op.input)?, tensor(op.output)?);
        let b = second(op).map(tensor).transpose()?;
        shapes(op, x, b, y).map_err(wrong)?;
        // Operators may share weights, but a file cannot have the same bytes gone through again and again.
        checked = checked.saturating_add(weights::checked_bytes(model, op, x));
        if checked > MAX_CHECKED * model.data.len() as u64 {
            return Err(wrong("the operators have weights checked that are 16 times as long as the data section"));
        }
        let needed = if model.dtype.is_float() {
            verify_float::content(model, op, x).map_err(wrong)?;
            float_scratch_len(model.dtype, op, x, y)
        } else {
            content(model, op, x, y).map_err(wrong)?;
            scratch_len(model.packing, op, x, y)
        };
        if needed > scratch {
            return Err(wrong("needs more scratch than the arena has"));
        }
        if !known(model, op.name) {
            return Err(wrong("a name outside of the names section"));
        }
        total = total.saturating_add(work(op, x, y));
    }
    if total > MAX_WORK { Err(Error::TooMuchWork) } else { Ok(()) }
}

/// The second tensor that an operator reads.
pub(super) fn second(op: &OpRecord) -> Option<u16> {
    (matches!(op.code, op::ADD | op::MUL) || op.has(flag::FUSED_ADD)).then_some(op.input2)
}

fn shapes(op: &OpRecord, x: &TensorRecord, b: Option<&TensorRecord>, y: &TensorRecord) -> Result<(), &'static str> {
    let written = op.out_channels;
    if written == 0 || op.out_channel.checked_add(written).is_none_or(|end| end > y.c) {
        return Err("writes channels that its output does not have");
    }
    if op.flags & !flag::ALL != 0 || op.rounding != rounding::HIGH_HALF_UP {
        return Err("unknown flags or rounding rule");
    }
    if op.has(flag::FUSED_ADD)
        && (!matches!(op.code, op::CONV | op::DEPTHWISE | op::LINEAR | op::GROUPED_CONV)
            || written != y.c
            || b.is_some_and(|b| b.shape() != y.shape())
            || op.mid[1] > op.mid[2])
    {
        return Err("a fused sum needs weights before it, and a second tensor of the output's shape");
    }
    if (op.strip_rows != 0 && !is_windowed(op)) || (op.has(flag::REVERSE) && op.strip_rows == 0) {
        return Err("has no strips");
    }
    let whole = (x.h, x.w) == (y.h, y.w);
    match op.code {
        op::CONV | op::MAX_POOL | op::AVG_POOL | op::DEPTHWISE | op::GROUPED_CONV => window(op, x, y)?,
        op::LINEAR if y.h != 1 || y.w != 1 => return Err("the result of a linear operator is a vector"),
        op::LINEAR => {}
        op::ADD
            if x.shape() != [y.h, y.w, written].map(|n| n as usize) || b.is_some_and(|b| b.shape() != x.shape()) =>
        {
            return Err("the tensors of a sum must have one shape");
        }
        op::MUL
            if !whole
                || x.c != written
                || b.is_some_and(|b| b.shape() != x.shape() && b.shape() != [1, 1, x.c as usize]) =>
        {
            return Err("the tensors of a product must have one shape, or the second one value per channel");
        }
        op::LUT | op::SOFTMAX | op::ACTIVATION if !whole || x.c != written => {
            return Err("input and output shapes differ");
        }
        op::ADD | op::MUL | op::LUT | op::SOFTMAX | op::ACTIVATION => {}
        op::RESIZE => {
            let by = op.stride.map(u32::from);
            if by.contains(&0)
                || x.c != written
                || [x.h.checked_mul(by[0]), x.w.checked_mul(by[1])] != [Some(y.h), Some(y.w)]
            {
                return Err("the output is not a multiple of the input");
            }
        }
        op::SLICE => {
            let inside = |first: u16, len: u32, of: u32| (first as u32).checked_add(len).is_some_and(|end| end <= of);
            if !(inside(op.pad[0], y.h, x.h) && inside(op.pad[1], y.w, x.w) && inside(op.groups, written, x.c)) {
                return Err("reaches out of its input");
            }
        }
        op::PAD => {
            let inside = |first: u16, len: u32, of: u32| (first as u32).checked_add(len).is_some_and(|end| end <= of);
            if !(inside(op.pad[0], x.h, y.h) && inside(op.pad[1], x.w, y.w)) || x.c != written {
                return Err("the output does not hold its input");
            }
        }
        _ => return Err("unknown code"),
    }
    unused(op)?;
    match op.code {
        op::DEPTHWISE | op::MAX_POOL | op::AVG_POOL if x.c != written => Err("input and output channels differ"),
        op::GROUPED_CONV => {
            let groups = op.groups as u32;
            let divides = groups > 1 && x.c.is_multiple_of(groups) && written.is_multiple_of(groups);
            if divides { Ok(()) } else { Err("the groups must divide the channels") }
        }
        op::AVG_POOL | op::SLICE | op::ACTIVATION => Ok(()),
        _ if op.groups > 1 => Err("has no groups"),
        _ => Ok(()),
    }
}

/// The fields of windows and sums are zero where nothing reads them, so that later versions can give them a meaning.
fn unused(op: &OpRecord) -> Result<(), &'static str> {
    let (windowed, nothing) = (is_windowed(op), [0; 2]);
    let good = (windowed || (op.kernel == nothing && op.dilation == nothing))
        && (windowed || op.code == op::RESIZE || op.stride == nothing)
        && (windowed || matches!(op.code, op::SLICE | op::PAD) || op.pad == nothing)
        && op.mid[3] == 0
        && (op.has(flag::FUSED_ADD) || op.mid == [0; 4]);
    if good { Ok(()) } else { Err("a field that the operator has no use for is not 0") }
}

/// The sliding window on both axes.
fn window(op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Result<(), &'static str> {
    axis(op, 0, x.h, y.h)?;
    axis(op, 1, x.w, y.w)?;
    Ok(())
}

/// Checks one axis of the window and gives the smallest and largest number of valid taps of a position.
fn axis(op: &OpRecord, axis: usize, len: u32, out: u32) -> Result<[usize; 2], &'static str> {
    let [kernel, stride, dilation, pad] =
        [op.kernel, op.stride, op.dilation, op.pad].map(|of: [u16; 2]| of[axis] as usize);
    let (len, out) = (len as usize, out as usize);
    if kernel < 1 || stride < 1 || dilation < 1 {
        return Err("kernel, stride and dilation must be at least 1");
    }
    let extent = (kernel - 1) * dilation + 1;
    if extent > MAX_EXTENT {
        return Err("the dilated kernel is larger than 65535");
    }
    if pad >= extent {
        return Err("the padding is larger than the kernel");
    }
    // Places are counted from the start of the padding. Tensors have at most 2^30 elements, so that what does not fit
    // 32 bits is behind the input.
    let end = len.saturating_add(pad);
    let Some(last) = out.saturating_sub(1).checked_mul(stride).filter(|&last| last < end) else {
        return Err("the output is larger than the input allows");
    };

    // Taps on the input of the window that begins at `start`, which is before `end`.
    let taps = |start: usize| {
        let first = div_ceil(pad.saturating_sub(start), dilation);
        div_ceil(end - start, dilation).min(kernel).saturating_sub(first)
    };
    // Behind the windows that begin in the padding, the count only falls.
    let in_pad = out.min(div_ceil(pad, stride));
    if in_pad > MAX_IN_PADDING {
        return Err("more than 4096 windows begin in the padding");
    }
    let n = taps(last);
    let [mut fewest, mut most] = [n, n];
    for position in 0..(in_pad + 1).min(out) {
        let n = taps(position * stride);
        (fewest, most) = (fewest.min(n), most.max(n));
    }
    if fewest == 0 {
        return Err("a window lies wholly in the padding");
    }
    Ok([fewest, most])
}

/// Weights, requantisation and the numbers in the record.
fn content(model: &Model, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Result<(), &'static str> {
    if op.code == op::ACTIVATION || op.has(flag::COUNT_PAD) {
        return Err("only float models have it");
    }
    weights::check(model, op, x)?;
    let requant = match op.code {
        op::AVG_POOL => {
            let (rows, columns) = (axis(op, 0, x.h, y.h)?, axis(op, 1, x.w, y.w)?);
            // Each is below 2^16.
            let (fewest, most) = (rows[0] * columns[0], rows[1] * columns[1]);
            let base = op.groups as usize;
            if fewest < base || most - base >= op.requant_len as usize {
                return Err("a mean needs one requantisation record for each number of valid taps");
            }
            op.requant_len
        }
        op::CONV | op::GROUPED_CONV | op::DEPTHWISE | op::LINEAR => op.out_channels,
        op::MUL => 1,
        _ => 0,
    };
    if op.requant_len != requant {
        return Err("needs one requantisation record per output channel, or one for a product, or none");
    }
    if records::<Requant>(model.data, op.requant, op.requant_len).is_none() {
        return Err("the requantisation must lie in the data section at a multiple of 4");
    }
    if op.left_shift > 15 || op.add_shift > 30 || op.lo > op.hi {
        return Err("a shift or a range of values is impossible");
    }
    Ok(())
}
