//! The portable kernels against naive code that shares nothing with them: 64-bit sums over all taps,
//! coordinates tested one by one.

use evenkeel_runtime::format::{Packing, Requant, op};
use evenkeel_runtime::kernels::{AddParams, Geometry, Kernels, Layer, Portable, Weights, portable};
use proptest::prelude::*;

/// One operator with data of the right lengths.
#[derive(Clone, Debug)]
struct Case {
    g: Geometry,
    groups: usize,
    weights: Vec<i8>,
    requant: Vec<Requant>,
    left_shift: u32,
    zeros: (i8, i8),
    clamp: (i8, i8),
    x: Vec<i8>,
}

impl Case {
    fn layer(&self) -> Layer<'_> {
        Layer {
            weights: Weights::Dense(&self.weights),
            tile: Packing::Portable.tile(op::CONV, 0),
            packing: Packing::Portable,
            requant: &self.requant,
            left_shift: self.left_shift,
            zero_in: self.zeros.0,
            zero_out: self.zeros.1 as i32,
            lo: self.clamp.0.min(self.clamp.1) as i32,
            hi: self.clamp.0.max(self.clamp.1) as i32,
        }
    }

    /// The input at a tap, `None` in the padding.
    fn tap(&self, out: [usize; 2], tap: [usize; 2], c: usize) -> Option<i64> {
        let at = |a: usize| {
            let i = (out[a] * self.g.stride[a] + tap[a] * self.g.dilation[a]) as i64 - self.g.pad[a] as i64;
            (0..self.g.input[a] as i64).contains(&i).then_some(i as usize)
        };
        let (row, column) = (at(0)?, at(1)?);
        Some(self.x[(row * self.g.input[1] + column) * self.g.input[2] + c] as i64)
    }

    /// Applies `f` to each output position and channel.
    fn map(&self, mut f: impl FnMut([usize; 2], usize) -> i64) -> Vec<i8> {
        let [h, w, c] = self.g.output;
        let mut y = Vec::new();
        for i in 0..h * w * c {
            y.push(f([i / c / w, i / c % w], i % c) as i8);
        }
        y
    }

    fn requantise(&self, sum: i64, r: Requant) -> i64 {
        // floor(v / 2^32 + 1/2)
        let v = (sum + r.bias as i64) as i128 * (1 << self.left_shift) * r.mul as i128;
        let rounded = (2 * v + (1 << 32)).div_euclid(1 << 33) as i64;
        let l = self.layer();
        (rounded + l.zero_out as i64).clamp(l.lo as i64, l.hi as i64)
    }

    fn taps(&self) -> Vec<[usize; 2]> {
        let [h, w] = self.g.kernel;
        (0..h * w).map(|i| [i / w, i % w]).collect()
    }

    fn output(&self) -> Vec<i8> {
        vec![55; self.g.output.iter().product()]
    }
}

/// Geometry: any window whose every position sees the input, as verified files have.
fn case(depthwise: bool) -> impl Strategy<Value = Case> {
    let axis = || (1..12usize, 1..5usize, 1..4usize, 1..4usize, 0..8usize, 0..100usize);
    (axis(), axis(), 1..5usize, 1..40usize, 1..5usize, any::<u64>()).prop_filter_map(
        "a window wholly in the padding",
        move |(v, h, groups, per_group, out_per_group, seed)| {
            let groups = if depthwise { 1 } else { groups };
            let channels = groups * if depthwise { per_group * 4 } else { per_group };
            let out_c = if depthwise { channels } else { groups * out_per_group };
            let mut g = Geometry {
                input: [v.0, h.0, channels],
                output: [0, 0, out_c],
                kernel: [v.1, h.1],
                stride: [v.2, h.2],
                dilation: [v.3, h.3],
                pad: [0, 0],
            };
            for (a, drawn) in [v, h].into_iter().enumerate() {
                g.pad[a] = drawn.4.min((g.kernel[a] - 1) * g.dilation[a]);
                let largest = (g.input[a] - 1 + g.pad[a]) / g.stride[a] + 1;
                g.output[a] = 1 + drawn.5 % largest;
                let seen = |o: usize| {
                    (0..g.kernel[a]).any(|k| {
                        let i = o * g.stride[a] + k * g.dilation[a];
                        i >= g.pad[a] && i - g.pad[a] < g.input[a]
                    })
                };
                if !(0..g.output[a]).all(seen) {
                    return None;
                }
            }
            let mut state = seed | 1;
            let mut byte = move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as i8
            };
            let filters = if depthwise { 1 } else { out_c };
            let weights = (0..filters * g.kernel[0] * g.kernel[1] * channels / groups).map(|_| byte()).collect();
            let taps = g.kernel[0] * g.kernel[1] + 1;
            let requant = (0..out_c.max(taps))
                .map(|_| Requant { bias: byte() as i32 * 64, mul: (byte() as i32 + 129) << 18 })
                .collect();
            let x = (0..g.input.iter().product()).map(|_| byte()).collect();
            let (left_shift, zeros, clamp) = (byte() as u32 % 3, (byte(), byte()), (byte(), byte()));
            Some(Case { g, groups, weights, requant, left_shift, zeros, clamp, x })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 6 } else { 400 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn convolution(case in case(false)) {
        let [_, _, channels] = case.g.input;
        let (group_in, group_out) = (channels / case.groups, case.g.output[2] / case.groups);
        let expected = case.map(|out, o| {
            let mut sum = 0;
            for (t, tap) in case.taps().into_iter().enumerate() {
                for i in 0..group_in {
                    let x = case.tap(out, tap, o / group_out * group_in + i).unwrap_or(case.zeros.0 as i64);
                    sum += x * case.weights[(o * case.taps().len() + t) * group_in + i] as i64;
                }
            }
            case.requantise(sum, case.requant[o])
        });
        let mut y = case.output();
        Portable::grouped_conv(&case.g, &case.layer(), case.groups, &case.x, &mut y);
        prop_assert_eq!(&y, &expected);
        if case.groups == 1 {
            let mut y = case.output();
            Portable::conv(&case.g, &case.layer(), &case.x, &mut y, &mut []);
            prop_assert_eq!(&y, &expected);
        }
    }

    #[test]
    fn depthwise(case in case(true)) {
        let channels = case.g.input[2];
        let expected = case.map(|out, c| {
            let mut sum = 0;
            for (t, tap) in case.taps().into_iter().enumerate() {
                let x = case.tap(out, tap, c).unwrap_or(case.zeros.0 as i64);
                sum += x * case.weights[t * channels + c] as i64;
            }
            case.requantise(sum, case.requant[c])
        });
        let mut y = case.output();
        Portable::depthwise(&case.g, &case.layer(), &case.x, &mut y, &mut []);
        prop_assert_eq!(y, expected);
    }

    #[test]
    fn pools(case in case(true)) {
        let valid = |out, c| case.taps().into_iter().filter_map(|tap| case.tap(out, tap, c)).collect::<Vec<_>>();
        let max = case.map(|out, c| valid(out, c).into_iter().max().expect("a valid tap"));
        let mut y = case.output();
        Portable::max_pool(&case.g, &case.x, &mut y);
        prop_assert_eq!(y, max);

        let mean = case.map(|out, c| {
            let valid = valid(out, c);
            case.requantise(valid.iter().sum(), case.requant[valid.len() - 1])
        });
        let mut y = case.output();
        Portable::avg_pool(&case.g, &case.layer(), 1, &case.x, &mut y);
        prop_assert_eq!(y, mean);
    }

    #[test]
    fn linear(case in case(false)) {
        let n = case.x.len().min(case.weights.len());
        let rows = (case.weights.len() / n).min(case.requant.len());
        let case = Case { weights: case.weights[..n * rows].to_vec(), x: case.x[..n].to_vec(), ..case };
        let expected: Vec<i8> = (0..rows)
            .map(|o| {
                let sum = (0..n).map(|i| case.x[i] as i64 * case.weights[o * n + i] as i64).sum();
                case.requantise(sum, case.requant[o]) as i8
            })
            .collect();
        let mut y = vec![0; rows];
        portable::linear(&case.layer(), &case.x, &mut y);
        prop_assert_eq!(y, expected);
    }

    #[test]
    fn sum(
        ab in prop::collection::vec(any::<(i8, i8)>(), 1..200),
        mul in any::<[i16; 2]>(),
        bias in -1_000_000..1_000_000i32,
        shift in 0..31u32,
    ) {
        let (a, b): (Vec<i8>, Vec<i8>) = ab.into_iter().unzip();
        let p = AddParams { mul: mul.map(i32::from), bias, shift, lo: -100, hi: 127 };
        let mut y = vec![0; a.len()];
        Portable::add(&p, &a, &b, &mut y);
        for i in 0..a.len() {
            let sum = a[i] as i64 * mul[0] as i64 + b[i] as i64 * mul[1] as i64 + bias as i64;
            prop_assert_eq!(y[i] as i64, sum.div_euclid(1 << shift).clamp(-100, 127));
        }
    }
}
