//! Fixed-point numbers for scales that are given: what [`super::fixed`] does for networks that are quantised already.
//!
//! A given output scale cannot be made coarser, so what the runtime's arithmetic cannot express is an error here.

use super::{QParams, QWeights};
use crate::error::{Error, Result};
use evenkeel_runtime::format::Requant;

/// Largest left shift of the format.
const MAX_SHIFT: u8 = 15;
/// Multipliers of a sum end at 2^21 and its shift at 22, so that the whole sum, at most
/// `2 * 255 * 2^21 + 128 * 2^22 + 2^21`, stays in 32 bits.
const MAX_ADD_MUL: f64 = (1u32 << 21) as f64;
const MAX_ADD_SHIFT: u32 = 22;
/// Results beyond this many steps are clipped whatever follows.
const SATURATED: f64 = 512.0;
/// Multiplier of a channel that is constant, at shift 0: one step of the result is 16 of its bias, which no shift loses.
const CONSTANT_MUL: f64 = (1u32 << 28) as f64;

/// The smallest left shift with which a step of the accumulator worth `unit` output steps has a multiplier.
fn left_shift(unit: f64) -> Result<u8> {
    let fits = |&s: &u8| (unit * factor(s)).round() < (1i64 << 31) as f64;
    (0..=MAX_SHIFT).find(fits).ok_or_else(|| {
        Error::new(format!("a step of its sums is {unit:.3e} steps of its result, more than the arithmetic can give"))
            .help("the scale of the result is far too small: check the quantiser's calibration data")
    })
}

fn factor(shift: u8) -> f64 {
    2f64.powi(32 - i32::from(shift))
}

/// An error unless accumulators up to `acc` in size stay in 32 bits when shifted.
fn check_room(acc: i64, shift: u8) -> Result<()> {
    if acc.checked_shl(shift.into()).is_some_and(|a| a <= i64::from(i32::MAX)) {
        return Ok(());
    }
    Err(Error::new("sums can be larger than 32 bits")
        .help("the layer has too many inputs, or a bias that is too large"))
}

/// Requantisation of the layer with int8 weights `data` = `[out][fan_in]` of `scales`, one per output, and real biases.
///
/// `mul = scale_in * scale_w / scale_out * 2^(32 - left_shift)`, rounded. Where a channel's weights are tiny, its
/// multiplier has few bits, and a large bias would be wrong by as much as the multiplier is; so the bias is given in steps
/// of the rounded multiplier. A channel without weights is its bias, rounded here.
///
/// # Errors
/// Sums that can leave 32 bits, results whose steps are too fine.
pub(super) fn layer(data: Vec<i8>, scales: &[f32], bias: &[f32], input: QParams, out: QParams) -> Result<QWeights> {
    let unit = |scale: f32| f64::from(input.scale) * f64::from(scale) / f64::from(out.scale);
    let fan_in = data.len() / bias.len().max(1);
    let rows = || data.chunks(fan_in.max(1)).zip(scales).zip(bias);
    let largest = rows().filter(|((row, _), _)| row.iter().any(|&w| w != 0)).map(|((_, &s), _)| unit(s));
    let left_shift = left_shift(largest.fold(0.0, f64::max))?;
    let zero = i64::from(input.zero);
    let requant = rows().map(|((row, &scale), &bias)| {
        // In steps of the result.
        let bias = f64::from(bias) / f64::from(out.scale);
        if row.iter().all(|&w| w == 0) {
            let mul = CONSTANT_MUL / 2f64.powi(left_shift.into());
            let steps = bias.clamp(-SATURATED, SATURATED).round_ties_even();
            return Ok(Requant { bias: (steps * 2f64.powi(32) / CONSTANT_MUL) as i32, mul: mul as i32 });
        }
        let mul = (unit(scale) * factor(left_shift)).round().max(1.0);
        let bias = (bias * factor(left_shift) / mul).round();
        if bias.abs() > f64::from(i32::MAX) {
            return Err(Error::new("a bias leaves 32 bits").help("the scale of its weights is far too small"));
        }
        let (bias, mut lowest, mut highest, mut sum) = (bias as i64, 0i64, 0i64, 0i64);
        for w in row.iter().map(|&w| i64::from(w)) {
            let ends = [w * (-128 - zero), w * (127 - zero)];
            lowest += ends[0].min(ends[1]);
            highest += ends[0].max(ends[1]);
            sum += w;
        }
        check_room((bias + highest).abs().max((bias + lowest).abs()).max(bias.abs()), left_shift)?;
        let folded = i32::try_from(bias - zero * sum).map_err(|_| Error::new("a bias leaves 32 bits"))?;
        Ok(Requant { bias: folded, mul: mul as i32 })
    });
    let requant = requant.collect::<Result<Vec<_>>>()?;
    Ok(QWeights { data, requant, left_shift })
}

/// Requantisation of a mean, one record for each number of valid taps in `taps.0..=taps.1`, and its left shift; `counted` as
/// in [`super::fixed::mean`].
///
/// # Errors
/// Windows so large that a sum could leave 32 bits, results whose steps are too fine.
pub(super) fn mean(
    taps: (usize, usize),
    counted: Option<usize>,
    input: QParams,
    out: QParams,
) -> Result<(Vec<Requant>, u8)> {
    let unit = |n: usize| f64::from(input.scale) / f64::from(out.scale) / counted.unwrap_or(n) as f64;
    let left_shift = left_shift(unit(taps.0))?;
    check_room(i64::try_from(taps.1).unwrap_or(i64::MAX).saturating_mul(255), left_shift)?;
    let record = |n: usize| Requant {
        // Fits: 255 n does.
        bias: -(n as i64 * i64::from(input.zero)) as i32,
        mul: (unit(n) * factor(left_shift)).round() as i32,
    };
    Ok(((taps.0..=taps.1).map(record).collect(), left_shift))
}

/// Multipliers, bias and right shift of a sum. The multipliers have 21 bits: with 15, as calibrated networks have, one result
/// in a thousand is off by one.
///
/// # Errors
/// A result whose steps are too fine.
pub(super) fn sum(inputs: [QParams; 2], out: QParams) -> Result<([i32; 2], i32, u32)> {
    let ratios = inputs.map(|p| f64::from(p.scale) / f64::from(out.scale));
    let mul = |shift: u32, r: f64| (r * f64::from(1u32 << shift)).round();
    let largest = ratios[0].max(ratios[1]);
    let shift = (0..=MAX_ADD_SHIFT).rev().find(|&s| mul(s, largest) <= MAX_ADD_MUL).ok_or_else(|| {
        Error::new(format!("a step of its inputs is {largest:.3e} steps of its result"))
            .help("the scale of the result is far too small: check the quantiser's calibration data")
    })?;
    let mul = ratios.map(|r| mul(shift, r) as i32);
    let rounding = if shift > 0 { 1i64 << (shift - 1) } else { 0 };
    let zeros: i64 = (0..2).map(|i| i64::from(mul[i]) * i64::from(inputs[i].zero)).sum();
    // Wraps where the zero points are large; so does the sum, and the total is right.
    Ok((mul, (rounding + (i64::from(out.zero) << shift) - zeros) as i32, shift))
}

/// Multiplier and left shift of a product.
///
/// # Errors
/// A result whose steps are too fine.
pub(super) fn product(inputs: [QParams; 2], out: QParams) -> Result<(i32, u8)> {
    let unit = f64::from(inputs[0].scale) * f64::from(inputs[1].scale) / f64::from(out.scale);
    let left_shift = left_shift(unit)?;
    check_room(255 * 255, left_shift)?;
    Ok(((unit * factor(left_shift)).round() as i32, left_shift))
}

/// `round(exp(-scale * d) * 2^q)` for `d` in 0..=255, with the largest `q` for which neither `channels` times nor 256 times
/// the largest entry reaches `2^31`.
pub(super) fn softmax_table(scale: f32, channels: usize) -> Vec<u32> {
    let room = (1u64 << 31) - 1;
    let one = 1u64 << (room / channels.max(256) as u64).max(1).ilog2();
    (0..256).map(|d| ((-f64::from(scale) * f64::from(d)).exp() * one as f64).round() as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::quant;
    use proptest::prelude::*;

    proptest! {
        /// The result is the real one, rounded, also where weights are tiny and biases large.
        #[test]
        fn a_layer_is_right_to_half_a_step(
            rows in prop::collection::vec((prop::collection::vec(any::<i8>(), 6), -1i32..24, -300f32..300.0), 1..5),
            x in prop::collection::vec(any::<i8>(), 6),
            zeros in any::<[i8; 2]>(), scale_in in 0.01f32..1.0, scale_out in 0.01f32..1.0, dead in any::<bool>(),
        ) {
            let (input, out) = (QParams { scale: scale_in, zero: zeros[0] }, QParams { scale: scale_out, zero: zeros[1] });
            let data: Vec<i8> = rows.iter().flat_map(|r| r.0.iter().map(|w| if dead { 0 } else { *w })).collect();
            let scales: Vec<f32> = rows.iter().map(|r| 0.01 * 2f32.powi(-r.1)).collect();
            let bias: Vec<f32> = rows.iter().map(|r| r.2 * scale_out).collect();
            let Ok(q) = layer(data.clone(), &scales, &bias, input, out) else { return Ok(()) };
            for (o, r) in q.requant.iter().enumerate() {
                let dot = |zero: i64| -> i64 { data[o * 6..][..6].iter().zip(&x).map(|(&w, &x)| w as i64 * (x as i64 - zero)).sum() };
                let real = (dot(input.zero as i64) as f64 * scale_in as f64 * scales[o] as f64 + bias[o] as f64) / scale_out as f64;
                let acc = dot(0) + r.bias as i64;
                prop_assert!(((acc << q.left_shift) as i32) as i64 == acc << q.left_shift, "wraps");
                let got = quant::high_mul((acc as i32) << q.left_shift, r.mul) as f64;
                let unit = scale_in as f64 * scales[o] as f64 / scale_out as f64;
                // A real bias is rounded to a step of the accumulator; beyond 512 steps, clipping makes up for all else.
                if real.abs() < 512.0 {
                    prop_assert!((got - real).abs() <= 0.5 + unit / 2.0 + 1e-3, "{got} {real}");
                } else {
                    prop_assert!(got.abs() >= 500.0 && got.signum() == real.signum(), "{got} {real}");
                }
            }
        }

        #[test]
        fn a_sum_is_right_to_half_a_step(
            a in any::<i8>(), b in any::<i8>(), zeros in any::<[i8; 3]>(),
            sa in 0.001f32..1.0, sb in 0.001f32..1.0, so in 0.001f32..1.0,
        ) {
            let inputs = [QParams { scale: sa, zero: zeros[0] }, QParams { scale: sb, zero: zeros[1] }];
            let (mul, bias, shift) = sum(inputs, QParams { scale: so, zero: zeros[2] }).unwrap();
            let total = a as i64 * mul[0] as i64 + b as i64 * mul[1] as i64 + bias as i64;
            let got = (total as i32 >> shift) as f64;
            let real = ((a as f64 - zeros[0] as f64) * sa as f64 + (b as f64 - zeros[1] as f64) * sb as f64) / so as f64;
            // A multiplier has 20 bits or more of the larger ratio.
            let error = 0.5 + 255.0 / f64::from(1u32 << shift);
            prop_assert!((got - real - zeros[2] as f64).abs() <= error, "{got} {real}");
        }

        #[test]
        fn a_mean_is_right_to_half_a_step(n in 1usize..40, extra in 0usize..9, zero in any::<i8>(), ratio in 0.01f32..4.0, sum in -128i64..128) {
            let (input, out) = (QParams { scale: ratio, zero }, QParams { scale: 1.0, zero: 0 });
            let (records, shift) = mean((n, n + extra), None, input, out).unwrap();
            for (i, r) in records.iter().enumerate() {
                let taps = (n + i) as i64;
                let acc = sum * taps + r.bias as i64;
                let real = (sum - zero as i64) as f64 * ratio as f64;
                let got = quant::high_mul((acc as i32) << shift, r.mul) as f64;
                prop_assert!((got - real).abs() <= 0.5 + 1e-4, "{got} {real}");
            }
        }
    }

    #[test]
    fn tables_leave_room() {
        for channels in [1, 2, 256, 257, 1000, 1 << 20] {
            let table = softmax_table(0.1, channels);
            assert!(table.iter().is_sorted_by(|a, b| a >= b) && table[0].is_power_of_two());
            let sum = u64::from(table[0]) * channels.max(256) as u64;
            assert!((1 << 29..1 << 31).contains(&sum), "{channels}: {sum}");
        }
        assert_eq!(softmax_table(0.0, 10)[255], 1 << 22);
    }

    #[test]
    fn steps_that_are_too_fine_are_refused() {
        let (input, out) = (QParams { scale: 1.0, zero: 0 }, QParams { scale: 1e-6, zero: 0 });
        let words = |e: Error| assert!(e.to_string().contains("steps of its result"), "{e}");
        words(layer(vec![1], &[1.0], &[0.0], input, out).unwrap_err());
        words(mean((1, 1), None, input, out).unwrap_err());
        words(sum([input, input], QParams { scale: 1e-7, zero: 0 }).unwrap_err());
        let fine = QParams { scale: 1.0, zero: 0 };
        let e = layer(vec![127; 100_000], &[1.0], &[0.0], input, fine).unwrap_err();
        assert!(e.to_string().contains("32 bits"), "{e}");
        assert!(layer(vec![1], &[1e-9], &[1e9], fine, fine).unwrap_err().to_string().contains("32 bits"));
    }
}
