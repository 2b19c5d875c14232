//! Fixed-point numbers: from real scales to the multipliers, shifts and biases of `evenkeel_runtime::quant`.

use super::{QParams, QWeights};
use crate::error::{Error, Result};
use evenkeel_runtime::format::Requant;

/// Smallest scale that is used; below it, f32 arithmetic loses digits.
const MIN_SCALE: f64 = 1e-30;
/// Scale of a tensor that is always zero and whose producer has no scale either.
const DEFAULT_SCALE: f64 = 1.0 / 128.0;
/// Biases are at most 2^24 steps of the accumulator: 16 bits more than the output can show.
const BIAS_STEPS: f64 = (1u32 << 24) as f64;
/// Largest left shift of the format.
const MAX_SHIFT: u8 = 15;
/// Largest right shift that a sum gets: more would not change an 8-bit result.
const MAX_ADD_SHIFT: u32 = 20;

/// Parameters that represent `[lo, hi]`, which includes zero, or a scale of zero where the range has no width.
pub(super) fn params(lo: f32, hi: f32) -> (f64, i8) {
    let (lo, hi) = (lo.min(0.0) as f64, hi.max(0.0) as f64);
    let scale = (hi - lo) / 255.0;
    if scale < MIN_SCALE { (0.0, 0) } else { (scale, (-128.0 - lo / scale).round().clamp(-128.0, 127.0) as i8) }
}

/// The integers that a clip to `[lo, hi]` leaves.
pub(super) fn clamp(p: QParams, (lo, hi): (f32, f32)) -> (i8, i8) {
    // Saturating casts: infinities become the ends.
    let q = |v: f32| ((v as f64 / p.scale as f64).round() + p.zero as f64) as i8;
    (q(lo), q(hi))
}

/// The scale as the file has it.
pub(super) fn stored(scale: f64) -> Result<f32> {
    let scale = scale.max(MIN_SCALE) as f32;
    if scale.is_finite() { Ok(scale) } else { Err(Error::new("takes values too large for f32")) }
}

/// The scale of an input that `params` gave, made usable.
pub(super) fn input_scale(scale: f64) -> f64 {
    if scale > 0.0 { scale } else { DEFAULT_SCALE }
}

/// A scale of the output, `wanted` or the next that the multiplier can express, for accumulators up to `acc`
/// in size whose unit is worth `unit`, and the smallest left shift for it.
///
/// The shift is 0 unless `unit` is half an output step or more: `mul = unit / scale * 2^(32 - shift)` has the
/// more bits the smaller the shift is, and the product is exact.
fn output_scale(acc: i64, unit: f64, wanted: f64) -> Result<(f32, u8)> {
    if acc > i32::MAX as i64 {
        return Err(
            Error::new("sums can be larger than 32 bits").help("prune or split the layer: it has too many inputs")
        );
    }
    // Room between the largest accumulator and 2^31.
    let room = ((i32::MAX as i64 / acc.max(1)).ilog2() as u8).min(MAX_SHIFT);
    // An output step finer than what the arithmetic can give is made that coarse; the factor covers rounding.
    let finest = unit / 2f64.powi(room as i32 - 1) * (1.0 + 1e-6);
    let scale = match wanted {
        w if w > 0.0 => w.max(finest),
        // Always zero in calibration: one step of the output is two of the accumulator.
        _ if unit > 0.0 => (2.0 * unit * (1.0 + 1e-6)).max(finest),
        _ => DEFAULT_SCALE,
    };
    let scale = stored(scale)?;
    // Holds at `room` by the choice of `finest`.
    let shift = (0..room).find(|&s| multiplier(unit, scale, s) < (1i64 << 31) as f64).unwrap_or(room);
    Ok((scale, shift))
}

fn multiplier(unit: f64, scale: f32, shift: u8) -> f64 {
    (unit / scale as f64 * 2f64.powi(32 - shift as i32)).round()
}

/// int8 weights of the layer with `weight` = `[out][fan_in]`, quantised per output channel, and its output scale:
/// `wanted`, or more where the arithmetic cannot give steps so fine.
///
/// Symmetric per channel, `scale_w = max|w| / 127` (Jacob et al., Quantization and Training of Neural Networks
/// for Efficient Integer-Arithmetic-Only Inference, CVPR 2018). The accumulator is
/// `sum w (x - zero_in) + bias / (scale_in scale_w)`.
///
/// # Errors
/// Weights that are not numbers, and layers so wide that an accumulator could leave 32 bits.
pub(super) fn layer(weight: &[f32], bias: &[f32], input: QParams, wanted: f64) -> Result<(QWeights, f32)> {
    if let Some(bad) = weight.iter().chain(bias).find(|v| !v.is_finite()) {
        return Err(Error::new(format!("has a weight that is {bad}")).help("train again: the network has diverged"));
    }
    let fan_in = weight.len() / bias.len().max(1);
    let scale_in = input.scale as f64;
    let mut data = Vec::with_capacity(weight.len());
    // Per channel: worth of one accumulator step, folded bias.
    let mut channels = Vec::with_capacity(bias.len());
    let (mut largest_acc, mut largest_unit) = (0i64, 0f64);
    for (row, &bias) in weight.chunks(fan_in.max(1)).zip(bias) {
        let largest = row.iter().fold(0f64, |m, w| m.max(w.abs() as f64));
        // Where the bias dwarfs the weights, the bias sets the scale, or it would not fit.
        let scale_w = (largest / 127.0).max(bias.abs() as f64 / (scale_in * BIAS_STEPS));
        let unit = scale_in * scale_w;
        let start = data.len();
        // A channel of zeros stays zeros, whatever its scale.
        data.extend(row.iter().map(|&w| if scale_w > 0.0 { (w as f64 / scale_w).round() as i8 } else { 0 }));
        let bias = if unit > 0.0 { (bias as f64 / unit).round() as i64 } else { 0 };
        let (mut lowest, mut highest, mut sum) = (bias, bias, 0i64);
        let zero = input.zero as i64;
        for w in data[start..].iter().map(|&w| w as i64) {
            let ends = [w * (-128 - zero), w * (127 - zero)];
            lowest += ends[0].min(ends[1]);
            highest += ends[0].max(ends[1]);
            sum += w;
        }
        largest_acc = largest_acc.max(highest).max(-lowest);
        largest_unit = largest_unit.max(unit);
        let folded = i32::try_from(bias - zero * sum).map_err(|_| Error::new("a bias leaves 32 bits"))?;
        channels.push((unit, folded));
    }
    let (scale, left_shift) = output_scale(largest_acc, largest_unit, wanted)?;
    let requant = channels
        .into_iter()
        .map(|(unit, bias)| Requant { bias, mul: multiplier(unit, scale, left_shift) as i32 })
        .collect();
    Ok((QWeights { data, requant, left_shift }, scale))
}

/// Requantisation of a mean, one record for each number of valid taps in `taps.0..=taps.1`, its left shift and its
/// output scale. With `counted` the sum is divided by that number whatever is valid, because padding counts.
///
/// # Errors
/// Windows so large that a sum could leave 32 bits.
pub(super) fn mean(
    taps: (usize, usize),
    counted: Option<usize>,
    input: QParams,
    wanted: f64,
) -> Result<(Vec<Requant>, u8, f32)> {
    let unit = |n: usize| input.scale as f64 / counted.unwrap_or(n) as f64;
    let (scale, left_shift) = output_scale(taps.1 as i64 * 255, unit(taps.0), wanted)?;
    let record = |n: usize| {
        // Fits: 255 n does.
        let bias = -(n as i64 * input.zero as i64) as i32;
        Requant { bias, mul: multiplier(unit(n), scale, left_shift) as i32 }
    };
    Ok(((taps.0..=taps.1).map(record).collect(), left_shift, scale))
}

/// Multipliers, bias and right shift of a sum, and its output scale.
///
/// # Errors
/// Scales that f32 cannot hold.
pub(super) fn sum(inputs: [QParams; 2], zero: i8, wanted: f64) -> Result<([i32; 2], i32, u32, f32)> {
    let scales = inputs.map(|p| p.scale as f64);
    let largest = scales[0].max(scales[1]);
    // Steps finer than 1/128 of the input's have nothing to show, and their multipliers would not fit.
    let scale = stored(if wanted > 0.0 { wanted.max(largest / 128.0) } else { largest })?;
    let mul = |shift: u32, s: f64| (s / scale as f64 * (1u32 << shift) as f64).round();
    let shift = (0..=MAX_ADD_SHIFT).rev().find(|&s| mul(s, largest) <= i16::MAX as f64).unwrap_or(0);
    let mul = scales.map(|s| mul(shift, s) as i32);
    // At most 2^19 + 2^27 + 2 * 2^22, so no sum leaves 32 bits.
    let rounding = if shift > 0 { 1 << (shift - 1) } else { 0 };
    let zeros: i32 = (0..2).map(|i| mul[i] * inputs[i].zero as i32).sum();
    Ok((mul, rounding + ((zero as i32) << shift) - zeros, shift, scale))
}

/// Multiplier and left shift of a product, and its output scale: `wanted`, or more where the arithmetic cannot give steps
/// so fine.
///
/// # Errors
/// Scales that f32 cannot hold.
pub(super) fn product(inputs: [QParams; 2], wanted: f64) -> Result<(i32, u8, f32)> {
    let unit = inputs[0].scale as f64 * inputs[1].scale as f64;
    let (scale, left_shift) = output_scale(255 * 255, unit, wanted)?;
    Ok((multiplier(unit, scale, left_shift) as i32, left_shift, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::quant;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the scales, no accumulator wraps and the result is the real one, rounded.
        #[test]
        fn a_layer_is_right_to_half_a_step(
            rows in prop::collection::vec((prop::collection::vec(-1.0f32..1.0, 6), -2f32..2.0), 1..5),
            x in prop::collection::vec(any::<i8>(), 6),
            zero in any::<i8>(), scale_in in -30i32..20, channel in -20i32..20, wanted in -20i32..20,
        ) {
            let input = QParams { scale: 2f32.powi(scale_in), zero };
            let factor = |o: usize| 2f32.powi(channel * (o % 2) as i32);
            let weight: Vec<f32> = rows.iter().enumerate().flat_map(|(o, r)| r.0.iter().map(move |w| w * factor(o))).collect();
            let bias: Vec<f32> = rows.iter().map(|r| r.1 * input.scale).collect();
            let (q, scale) = layer(&weight, &bias, input, 2f64.powi(wanted + scale_in)).unwrap();
            prop_assert!(scale >= 2f32.powi(wanted + scale_in));
            for (o, r) in q.requant.iter().enumerate() {
                let w = &q.data[o * 6..][..6];
                let acc: i64 = w.iter().zip(&x).map(|(&w, &x)| w as i64 * x as i64).sum::<i64>() + r.bias as i64;
                prop_assert!(((acc << q.left_shift) as i32) as i64 == acc << q.left_shift, "wraps");
                let largest = weight[o * 6..][..6].iter().fold(0f64, |m, w| m.max(w.abs() as f64));
                let floor = bias[o].abs() as f64 / (input.scale as f64 * BIAS_STEPS);
                let scale_w = (largest / 127.0).max(floor);
                let real = acc as f64 * input.scale as f64 * scale_w / scale as f64;
                let got = quant::high_mul((acc as i32) << q.left_shift, r.mul) as f64;
                prop_assert!((got - real).abs() <= 0.5 + 0.26, "{got} {real}");
            }
        }

        #[test]
        fn a_sum_is_right_to_a_step(
            a in any::<i8>(), b in any::<i8>(), za in any::<i8>(), zb in any::<i8>(), z in any::<i8>(),
            sa in 0.001f32..10.0, sb in 0.001f32..10.0, wanted in 0.001f64..100.0,
        ) {
            let inputs = [QParams { scale: sa, zero: za }, QParams { scale: sb, zero: zb }];
            let (mul, bias, shift, scale) = sum(inputs, z, wanted).unwrap();
            let got = quant::add(a, b, mul, bias, shift, i32::MIN, i32::MAX);
            let real = ((a as f64 - za as f64) * sa as f64 + (b as f64 - zb as f64) * sb as f64) / scale as f64;
            let real = (real + z as f64).clamp(-1e9, 1e9);
            // The cast of the runtime keeps the low byte; compare where the result is an int8.
            if (-120.0..120.0).contains(&real) {
                // Multipliers are rounded: at most 255 * 2^-8 each where the output is finest.
                prop_assert!((got as f64 - real).abs() <= 2.5, "{got} {real}");
            }
        }
    }

    #[test]
    fn ranges_become_parameters() {
        assert_eq!(params(0.0, 2.55), (2.55f32 as f64 / 255.0, -128));
        assert_eq!(params(-1.0, 0.0).1, 127);
        assert_eq!(params(0.0, 0.0), (0.0, 0));
        let p = QParams { scale: 0.5, zero: -128 };
        assert_eq!(clamp(p, (0.0, f32::INFINITY)), (-128, 127));
        assert_eq!(clamp(p, (1.0, 6.0)), (-126, -116));
        assert_eq!(clamp(p, (f32::NEG_INFINITY, 0.0)), (-128, -128));
    }

    #[test]
    fn dead_and_impossible_layers() {
        let input = QParams { scale: 0.1, zero: 3 };
        // A dead channel keeps its bias, and a dead layer a usable scale.
        let (q, scale) = layer(&[0.0, 0.0], &[1.5], input, 1.5 / 255.0).unwrap();
        let v = quant::high_mul(q.requant[0].bias << q.left_shift, q.requant[0].mul);
        assert_eq!((v as f32 * scale * 100.0).round(), 150.0);
        let (_, scale) = layer(&[0.0, 0.0], &[0.0], input, 0.0).unwrap();
        assert!(scale > 0.0);
        assert!(layer(&[f32::NAN], &[0.0], input, 1.0).is_err());
        assert!(layer(&vec![1.0; 200_000], &[0.0], input, 1.0).unwrap_err().to_string().contains("32 bits"));
    }
}
