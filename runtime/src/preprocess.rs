//! From a user's values to the network's input: the same function on hosts and devices.

use crate::Error;
use crate::format::{InputChannel, Model, input_rounding};
use crate::kernels::portable::runs_mut;

/// Normalises and quantises one sample: `raw` in the user's order C × H × W, `out` in the arena's order
/// H × W × C.
///
/// `real = (raw * scale - mean) / std`, then `q = clamp(round(real / tensor.scale) + tensor.zero)`, half
/// rounded as the header says. Plain f32 operations in this order (none fused), so that every machine gets
/// the same bytes; NaN becomes the zero point.
///
/// # Errors
/// When the model computes in floats, and when `raw` or `out` does not have one element per element of the input tensor.
pub fn quantise_input(model: &Model, raw: &[f32], out: &mut [i8]) -> Result<(), Error> {
    if model.dtype().is_float() {
        return Err(Error::Dtype { dtype: model.dtype().name(), session: "quantise_input" });
    }
    let (tensor, rounding) = (model.input(), model.header().input_rounding);
    each(model, raw, out, |real| quantise(real, tensor.scale, tensor.zero, rounding))
}

/// Normalises one sample for a float model: `raw` in the user's order C × H × W, `out` in the arena's order H × W × C.
///
/// `real = (raw * scale - mean) / std`, as [`quantise_input`].
///
/// # Errors
/// When the model computes in int8, and when `raw` or `out` does not have one element per element of the input tensor.
pub fn normalise_input(model: &Model, raw: &[f32], out: &mut [f32]) -> Result<(), Error> {
    if !model.dtype().is_float() {
        return Err(Error::Dtype { dtype: model.dtype().name(), session: "normalise_input" });
    }
    each(model, raw, out, |real| real)
}

/// Each value normalised and through `f`, from C × H × W to H × W × C.
fn each<T>(model: &Model, raw: &[f32], out: &mut [T], f: impl Fn(f32) -> T) -> Result<(), Error> {
    let tensor = model.input();
    let needed = tensor.elements();
    for given in [raw.len(), out.len()] {
        if given != needed {
            return Err(Error::InputLength { needed, given });
        }
    }
    let (channels, pixels) = (tensor.c as usize, tensor.h as usize * tensor.w as usize);
    let identity = InputChannel { scale: 1.0, mean: 0.0, std: 1.0 };
    let norms = model.input_channels();
    for (p, out) in runs_mut(out, channels).enumerate() {
        for (c, out) in out.iter_mut().enumerate() {
            let norm = norms.get(c).or(norms.first()).unwrap_or(&identity);
            let value = raw.get(c * pixels + p).copied().unwrap_or(0.0);
            *out = f((value * norm.scale - norm.mean) / norm.std);
        }
    }
    Ok(())
}

/// `clamp(round(real / scale) + zero)` to int8, half rounded as a code of [`input_rounding`] says.
pub fn quantise(real: f32, scale: f32, zero: i32, rounding: u16) -> i8 {
    /// 1.5 * 2^23: floats of this size are integers, so that adding it rounds to the nearest, half to even.
    const INTEGERS: f32 = 12_582_912.0;
    // Zero points cannot bring what is beyond ±512 back into range.
    let v = (real / scale).clamp(-512.0, 512.0);
    let rounded = match rounding {
        input_rounding::HALF_EVEN => ((v + INTEGERS) - INTEGERS) as i32,
        // Within ±512 the sum with 0.5 is exact enough.
        _ => (if v < 0.0 { v - 0.5 } else { v + 0.5 }) as i32,
    };
    (rounded + zero).clamp(-128, 127) as i8
}

#[cfg(test)]
mod tests {
    use super::{input_rounding, quantise};

    #[test]
    fn rounds_half_as_told_and_clamps() {
        let cases =
            [(0.5, 1, 0), (1.5, 2, 2), (-0.5, -1, 0), (-1.5, -2, -2), (2.5, 3, 2), (0.49, 0, 0), (-0.51, -1, -1)];
        for (v, away, even) in cases {
            assert_eq!(quantise(v, 1.0, 0, input_rounding::HALF_AWAY), away, "{v}");
            assert_eq!(quantise(v, 1.0, 0, input_rounding::HALF_EVEN), even, "{v}");
        }
        for rounding in [input_rounding::HALF_AWAY, input_rounding::HALF_EVEN] {
            let quantise = |real, scale, zero| quantise(real, scale, zero, rounding);
            assert_eq!(quantise(0.49, 1.0, -128), -128);
            assert_eq!(quantise(1e30, 1e-30, 0), 127);
            assert_eq!(quantise(f32::NEG_INFINITY, 1.0, 127), -128);
            assert_eq!(quantise(f32::NAN, 1.0, 7), 7);
            assert_eq!(quantise(-255.0, 1.0, 127), -128);
            assert_eq!(quantise(255.0, 1.0, -128), 127);
        }
    }
}
