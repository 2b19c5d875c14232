//! Verification of order and memory: what is read has been written whole, and nothing alive is overwritten.

use super::read::Model;
use super::verify_ops::second;
use super::{OpRecord, TensorRecord, flag, op};
use crate::Error;
use crate::strips::keeps_input;

/// Every tensor but the input is written whole before it is read, each channel once.
pub(super) fn order(model: &Model) -> Result<(), Error> {
    let (tensors, input) = (model.tensors, model.header.input);
    // At most MAX_RECORDS^2 / 2 = 8 million pairs of operators in all.
    for (i, op) in model.ops.iter().enumerate() {
        let wrong = |fault| Err(Error::Op { op: i, fault });
        let Some(y) = tensors.get(op.output as usize) else { return wrong("no such tensor") };
        if op.output == input || !(y.first_op as usize..=y.last_op as usize).contains(&i) {
            return wrong("must write a tensor that is alive, and not the input");
        }
        let channels = |op: &OpRecord| op.out_channel..op.out_channel + op.out_channels;
        let mine = channels(op);
        for other in model.ops.iter().take(i).filter(|o| o.output == op.output) {
            if channels(other).start < mine.end && mine.start < channels(other).end {
                return wrong("writes channels that have been written");
            }
        }
        for t in [Some(op.input), second(op)].into_iter().flatten() {
            let Some(tensor) = tensors.get(t as usize) else { return wrong("no such tensor") };
            let late = model.ops.iter().skip(i).any(|o| o.output == t);
            if late || (t != input && tensor.first_op as usize >= i) {
                return wrong("reads a tensor before it is written");
            }
            if (tensor.last_op as usize) < i {
                return wrong("reads a tensor after the end of its lifetime");
            }
        }
    }
    for (t, tensor) in tensors.iter().enumerate().filter(|(t, _)| *t != input as usize) {
        let writers = model.ops.iter().filter(|o| o.output as usize == t);
        if writers.map(|o| o.out_channels as u64).sum::<u64>() != tensor.c as u64 {
            return Err(Error::Tensor { tensor: t, fault: "not all of its channels are written" });
        }
    }
    Ok(())
}

/// No two tensors that are alive at the same time share bytes, unless the one grows where the other is read for
/// the last time; and the result outlives the last operator.
pub(super) fn lifetimes(model: &Model) -> Result<(), Error> {
    let (input, output) = (model.header.input as usize, model.header.output as usize);
    let tensors = model.tensors;
    if model.input.first_op != 0 {
        return Err(Error::Tensor { tensor: input, fault: "the input must be alive from the start" });
    }
    if model.output.last_op as usize + 1 != model.ops.len() {
        return Err(Error::Tensor { tensor: output, fault: "the output must be alive to the end" });
    }
    for (i, a) in tensors.iter().enumerate() {
        for (j, b) in tensors.iter().enumerate().take(i) {
            let together = a.first_op <= b.last_op && b.first_op <= a.last_op;
            let (first, second) = (a.range(), b.range());
            let overlap = first.start < second.end && second.start < first.end;
            if together && overlap && !replaces(model, (i, a), (j, b)) && !replaces(model, (j, b), (i, a)) {
                return Err(Error::Overlap { first: j, second: i });
            }
        }
    }
    Ok(())
}

/// Whether tensor `new` is written by the one operator that reads `old` for the last time, in a way that spoils
/// nothing: strip by strip behind the rows that are still read, or element by element in the same place.
fn replaces(model: &Model, (new, y): (usize, &TensorRecord), (old, x): (usize, &TensorRecord)) -> bool {
    if y.first_op != x.last_op {
        return false;
    }
    let Some(op) = model.ops.get(y.first_op as usize) else { return false };
    if op.output as usize != new || op.out_channels != y.c {
        return false;
    }
    let (is_first, is_second) = (op.input as usize == old, second(op).is_some_and(|t| t as usize == old));
    let same_place = x.offset == y.offset && x.shape() == y.shape();
    match (is_first, is_second) {
        (true, false) => same_place && is_elementwise(op) || keeps_input(op, x, y),
        (false, true) => same_place && (op.code == op::ADD || op.has(flag::FUSED_ADD)),
        _ => false,
    }
}

/// Whether each value of the result depends on the values in the same place only.
fn is_elementwise(op: &OpRecord) -> bool {
    matches!(op.code, op::ADD | op::MUL | op::LUT | op::ACTIVATION)
}
