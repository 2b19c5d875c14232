//! From a user's values to the network's int8 input: the same function on hosts and devices.

use crate::Error;
use crate::format::{InputChannel, Model};

/// Normalises and quantises one sample: `raw` in the user's order C × H × W, `out` in the arena's order
/// H × W × C.
///
/// `real = (raw * scale - mean) / std`, then `q = clamp(round(real / tensor.scale) + tensor.zero)`, half
/// rounded away from zero. Plain f32 operations in this order (none fused), so that every machine gets
/// the same bytes; NaN becomes the zero point.
///
/// # Errors
/// When `raw` or `out` does not have one element per element of the input tensor.
pub fn quantise_input(model: &Model, raw: &[f32], out: &mut [i8]) -> Result<(), Error> {
    let tensor = model.input();
    let needed = tensor.elements();
    for given in [raw.len(), out.len()] {
        if given != needed {
            return Err(Error::InputLength { needed, given });
        }
    }
    let (channels, pixels) = (tensor.c as usize, tensor.h as usize * tensor.w as usize);
    let identity = InputChannel { scale: 1.0, mean: 0.0, std: 1.0 };
    for c in 0..channels {
        let norms = model.input_channels();
        let norm = norms.get(c).or(norms.first()).unwrap_or(&identity);
        for (p, &value) in raw[c * pixels..(c + 1) * pixels].iter().enumerate() {
            let real = (value * norm.scale - norm.mean) / norm.std;
            out[p * channels + c] = quantise(real, tensor.scale, tensor.zero);
        }
    }
    Ok(())
}

/// `clamp(round(real / scale) + zero)` to int8, half rounded to even as ONNX's QuantizeLinear does.
pub fn quantise(real: f32, scale: f32, zero: i32) -> i8 {
    /// 1.5 * 2^23: floats of this size are integers, so that adding it rounds.
    const INTEGERS: f32 = 12_582_912.0;
    // Zero points cannot bring what is beyond ±512 back into range.
    let v = (real / scale).clamp(-512.0, 512.0);
    let rounded = ((v + INTEGERS) - INTEGERS) as i32;
    (rounded + zero).clamp(-128, 127) as i8
}

#[cfg(test)]
mod tests {
    use super::quantise;

    #[test]
    fn rounds_half_to_even_and_clamps() {
        assert_eq!(quantise(0.5, 1.0, 0), 0);
        assert_eq!(quantise(1.5, 1.0, 0), 2);
        assert_eq!(quantise(-0.5, 1.0, 0), 0);
        assert_eq!(quantise(-1.25, 0.5, 3), 1);
        assert_eq!(quantise(0.49, 1.0, -128), -128);
        assert_eq!(quantise(1e30, 1e-30, 0), 127);
        assert_eq!(quantise(f32::NEG_INFINITY, 1.0, 127), -128);
        assert_eq!(quantise(f32::NAN, 1.0, 7), 7);
        assert_eq!(quantise(-255.0, 1.0, 127), -128);
        assert_eq!(quantise(255.0, 1.0, -128), 127);
    }
}
