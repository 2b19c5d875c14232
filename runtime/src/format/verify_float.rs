//! Verification of the operators of float models: lengths, and no field of quantisation.

use super::read::{Model, has_weights, piece, records};
use super::verify_weights::matrix_size;
use super::{OpRecord, TENSOR_ALIGN, TensorRecord, encoding, flag, function, op};

/// Weights, biases and the numbers in the record. Weights may be any numbers, NaN too: they spoil results, nothing else.
pub(super) fn content(model: &Model, op: &OpRecord, x: &TensorRecord) -> Result<(), &'static str> {
    let integers = [op.left_shift, op.lo as u8, op.hi as u8, op.encoding] != [0, 0, 0, encoding::DENSE];
    if integers || op.add_shift != 0 || op.add_bias != 0 || op.mid != [0; 4] || (op.index, op.index_len) != (0, 0) {
        return Err("a field of quantisation or of left out weights is not 0");
    }
    let [lo, hi] = op.bounds();
    if !matches!(lo.partial_cmp(&hi), Some(core::cmp::Ordering::Less | core::cmp::Ordering::Equal)) {
        return Err("a range of values is impossible");
    }
    if op.has(flag::COUNT_PAD) && op.code != op::AVG_POOL {
        return Err("only a mean can count its padding");
    }
    let (outputs, taps) = matrix_size(op, x);
    let (weights, numbers) = match op.code {
        op::LUT => return Err("only int8 models have tables"),
        op::AVG_POOL if op.groups > 1 => return Err("has no groups"),
        op::PAD => (0, 1),
        op::ACTIVATION => (0, function::parameters(op.groups).ok_or("an unknown function")?),
        code if has_weights(code) => {
            (outputs.saturating_mul(taps).saturating_mul(model.dtype.weight_bytes()), op.out_channels)
        }
        _ => (0, 0),
    };
    if op.weights_len as usize != weights {
        return Err("the number of weights does not follow from the shapes");
    }
    if !(op.weights as usize).is_multiple_of(TENSOR_ALIGN) || piece(model.data, op.weights, weights).is_none() {
        return Err("weights must lie in the data section at a multiple of 4");
    }
    if op.requant_len != numbers {
        return Err(
            "needs one bias per output channel, or the parameters of its function, or the value of its border, or none",
        );
    }
    let Some(numbers) = records::<f32>(model.data, op.requant, numbers) else {
        return Err("biases and parameters must lie in the data section at a multiple of 4");
    };
    if numbers.iter().all(|n| n.is_finite()) { Ok(()) } else { Err("biases and parameters must be finite") }
}
