//! The AArch64 kernels against the portable ones, on the same packed weights, each instruction set in turn.
#![cfg(target_arch = "aarch64")]

use evenkeel_runtime::format::pack::{Form, Packed, pack};
use evenkeel_runtime::format::{MAX_PIXELS, Packing, Requant, encoding, op};
use evenkeel_runtime::kernels::aarch64::{Aarch64, Level, conv, linear};
use evenkeel_runtime::kernels::{AddParams, Columns, Geometry, Kernels, Layer, MulParams, Portable, Weights};
use proptest::prelude::*;

/// Xorshift (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn values(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.bits() as i8).collect()
    }
}

/// Which weights there are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Any.
    Any,
    /// As quantised networks have them.
    WithoutLowest,
    /// -128 everywhere, and as values too.
    Lowest,
}

/// Weights in a stored form.
#[derive(Clone, Debug)]
struct Stored {
    packed: Packed,
    counts: Vec<u16>,
    columns16: Vec<u16>,
}

impl Stored {
    fn new(packed: Packed, outputs: usize) -> Self {
        let words = |bytes: &[u8]| bytes.chunks(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
        let down = outputs.div_ceil(8);
        let (counts, columns16) = match packed.encoding {
            encoding::BLOCKS8 => (words(&packed.index[..down * 2]), Vec::new()),
            encoding::BLOCKS16 => (words(&packed.index[..down * 2]), words(&packed.index[down * 2..])),
            _ => (Vec::new(), Vec::new()),
        };
        Stored { packed, counts, columns16 }
    }

    fn weights(&self) -> Weights<'_> {
        let (tiles, counts) = (&self.packed.weights, &self.counts);
        match self.packed.encoding {
            encoding::BLOCKS8 => {
                let columns = Columns::U8(&self.packed.index[counts.len() * 2..]);
                Weights::Blocks { counts, columns, tiles }
            }
            encoding::BLOCKS16 => Weights::Blocks { counts, columns: Columns::U16(&self.columns16), tiles },
            encoding::TWO_OF_FOUR => Weights::TwoOfFour { positions: &self.packed.index, values: tiles },
            _ => Weights::Dense(tiles),
        }
    }
}

/// One operator with data of the right lengths.
#[derive(Clone, Debug)]
struct Case {
    g: Geometry,
    stored: Stored,
    requant: Vec<Requant>,
    left_shift: u32,
    zeros: (i8, i8),
    clamp: (i8, i8),
    x: Vec<i8>,
}

impl Case {
    fn layer(&self) -> Layer<'_> {
        Layer {
            weights: self.stored.weights(),
            tile: Packing::Sdot.tile(op::CONV, self.stored.packed.encoding),
            packing: Packing::Sdot,
            requant: &self.requant,
            left_shift: self.left_shift,
            zero_in: self.zeros.0,
            zero_out: self.zeros.1 as i32,
            lo: self.clamp.0.min(self.clamp.1) as i32,
            hi: self.clamp.0.max(self.clamp.1) as i32,
        }
    }

    /// Garbage that every value must overwrite.
    fn output(&self) -> Vec<i8> {
        vec![55; self.g.output.iter().product()]
    }

    /// As much as the format states, and full of garbage.
    fn scratch(&self) -> Vec<u8> {
        let column = self.g.kernel[0] * self.g.kernel[1] * self.g.input[2];
        let pixels = (self.g.output[0] * self.g.output[1]).min(MAX_PIXELS);
        vec![77; column.next_multiple_of(64) * pixels]
    }
}

/// Geometry: any window whose every position sees the input, as verified files have. `widths` are the channels.
fn case(depthwise: bool, widths: impl Strategy<Value = usize>) -> impl Strategy<Value = Case> {
    let axis = || (1..12usize, 1..5usize, 1..4usize, 1..3usize, 0..8usize, 0..100usize);
    let kind = prop_oneof![Just(Kind::Any), Just(Kind::WithoutLowest), Just(Kind::Lowest)];
    let form = prop_oneof![3 => Just(Form::Dense), 3 => Just(Form::Blocks), 1 => Just(Form::TwoOfFour)];
    (axis(), axis(), widths, 1..40usize, kind, form, 0..4u64, any::<u64>()).prop_filter_map(
        "a window wholly in the padding",
        move |(v, h, channels, outputs, kind, form, kept, seed)| {
            let outputs = if depthwise { channels } else { outputs };
            let mut g = Geometry {
                input: [v.0, h.0, channels],
                output: [0, 0, outputs],
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
            let mut random = Random(seed | 1);
            let taps = g.kernel[0] * g.kernel[1] * if depthwise { 1 } else { channels };
            let mut weights = random.values(outputs * taps);
            for w in &mut weights {
                match kind {
                    Kind::Any => {}
                    Kind::WithoutLowest => *w = (*w).max(-127),
                    Kind::Lowest => *w = -128,
                }
            }
            thin(&mut weights, taps, form, kept, &mut random);
            let packed = if depthwise {
                Packed { encoding: encoding::DENSE, weights, index: Vec::new() }
            } else {
                pack(&weights, taps, Packing::Sdot, op::CONV, form)?
            };
            let count = outputs.max(g.kernel[0] * g.kernel[1] + 1);
            // Numbers as networks have them, or any at all: sums and products then wrap.
            let any = random.bits() % 4 == 0;
            let mut word = || random.bits() as i32;
            let mut one = |any| match any {
                true => Requant { bias: word(), mul: word() },
                false => Requant { bias: (word() % 128) * 64, mul: (word() % 128 + 129) << 18 },
            };
            let requant = (0..count).map(|_| one(any)).collect();
            let mut int = || random.bits() as i8 as i32;
            let (left_shift, clamp) = (int() as u32 % if any { 16 } else { 3 }, (int() as i8, int() as i8));
            let zeros = (int() as i8, int() as i8);
            let mut x = random.values(g.input.iter().product());
            if let Kind::Lowest = kind {
                x.fill(-128);
            }
            Some(Case { g, stored: Stored::new(packed, outputs), requant, left_shift, zeros, clamp, x })
        },
    )
}

/// Makes zeros so that weights have a form, and that some tiles are left out.
fn thin(weights: &mut [i8], taps: usize, form: Form, kept: u64, random: &mut Random) {
    match form {
        Form::Dense => {}
        Form::Blocks => {
            let across = taps.div_ceil(4);
            let kept: Vec<bool> = (0..weights.len().div_ceil(4) + across).map(|_| random.bits() % 4 < kept).collect();
            for (i, w) in weights.iter_mut().enumerate() {
                *w = if kept[i / taps / 8 * across + i % taps / 4] { *w } else { 0 };
            }
        }
        Form::TwoOfFour => {
            for four in weights.chunks_mut(taps).flat_map(|row| row.chunks_mut(4)) {
                four[random.bits() as usize % four.len()] = 0;
                if let Some(w) = four.iter_mut().filter(|w| **w != 0).nth(2) {
                    *w = 0;
                }
            }
        }
    }
}

fn check_conv(case: &Case) -> Result<(), TestCaseError> {
    let mut expected = case.output();
    Portable::conv(&case.g, &case.layer(), &case.x, &mut expected, &mut []);
    for level in Level::all() {
        let mut y = case.output();
        conv(level, &case.g, &case.layer(), &case.x, &mut y, &mut case.scratch());
        prop_assert_eq!(&y, &expected, "{}", level.name());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn convolution(case in case(false, 1..70usize)) {
        check_conv(&case)?;
    }

    #[test]
    fn convolution_of_whole_vectors(case in case(false, (1..9usize).prop_map(|n| n * 4))) {
        check_conv(&case)?;
    }

    #[test]
    fn pointwise(case in case(false, prop_oneof![1..100usize, 1030..1040usize])) {
        let mut case = case;
        let taps = case.stored.packed.weights.len().min(case.x.len()).min(case.g.input[2]);
        case.g = Geometry { kernel: [1, 1], dilation: [1, 1], pad: [0, 0], ..case.g };
        for axis in 0..2 {
            case.g.output[axis] = (case.g.input[axis] - 1) / case.g.stride[axis] + 1;
        }
        // The matrix is cut to its first taps: fresh weights of the new size.
        let mut random = Random(case.x.len() as u64 + 1);
        let mut weights = random.values(case.g.output[2] * case.g.input[2]);
        let form = if taps % 2 == 0 { Form::Dense } else { Form::Blocks };
        thin(&mut weights, case.g.input[2], form, 2, &mut random);
        let packed = pack(&weights, case.g.input[2], Packing::Sdot, op::CONV, form).expect("any matrix has these forms");
        case.stored = Stored::new(packed, case.g.output[2]);
        check_conv(&case)?;
    }

    #[test]
    fn fully_connected(case in case(false, 1..40usize)) {
        let taps = case.g.kernel[0] * case.g.kernel[1] * case.g.input[2];
        let x: Vec<i8> = case.x.iter().cycle().take(taps).copied().collect();
        let mut expected = vec![55; case.g.output[2]];
        Portable::linear(&case.layer(), &x, &mut expected, &mut []);
        for level in Level::all() {
            let mut y = vec![44; expected.len()];
            linear(level, &case.layer(), &x, &mut y, &mut case.scratch());
            prop_assert_eq!(&y, &expected, "{}", level.name());
        }
    }

    #[test]
    fn depthwise(case in case(true, 1..70usize)) {
        let mut expected = case.output();
        Portable::depthwise(&case.g, &case.layer(), &case.x, &mut expected, &mut []);
        let mut y = case.output();
        Aarch64::depthwise(&case.g, &case.layer(), &case.x, &mut y, &mut []);
        prop_assert_eq!(y, expected);
    }

    #[test]
    fn pools(case in case(true, 1..70usize)) {
        let mut expected = case.output();
        Portable::max_pool(&case.g, &case.x, &mut expected);
        let mut y = case.output();
        Aarch64::max_pool(&case.g, &case.x, &mut y);
        prop_assert_eq!(&y, &expected);
        Portable::avg_pool(&case.g, &case.layer(), 1, &case.x, &mut expected);
        Aarch64::avg_pool(&case.g, &case.layer(), 1, &case.x, &mut y);
        prop_assert_eq!(&y, &expected);
    }

    #[test]
    fn sums(
        ab in prop::collection::vec(any::<(i8, i8)>(), 1..200),
        mul in prop_oneof![any::<[i16; 2]>().prop_map(|m| m.map(i32::from)), any::<[i32; 2]>()],
        bias in any::<i32>(),
        shift in 0..32u32,
        clamp in any::<(i8, i8)>(),
    ) {
        let (a, b): (Vec<i8>, Vec<i8>) = ab.into_iter().unzip();
        let (lo, hi) = (clamp.0.min(clamp.1) as i32, clamp.0.max(clamp.1) as i32);
        let p = AddParams { mul, bias, shift, lo, hi };
        let (mut y, mut expected) = (vec![0; a.len()], vec![0; a.len()]);
        Portable::add(&p, &a, &b, &mut expected);
        Aarch64::add(&p, &a, &b, &mut y);
        prop_assert_eq!(&y, &expected);
        let mut y = b.clone();
        Aarch64::add_onto(&p, &a, &mut y);
        prop_assert_eq!(&y, &expected);
    }

    #[test]
    fn products(
        a in prop::collection::vec(any::<i8>(), 1..200),
        per_channel in any::<bool>(),
        zero in any::<[i8; 2]>(),
        mul in any::<i32>(),
        left_shift in 0..3u32,
        zero_out in any::<i8>(),
        clamp in any::<(i8, i8)>(),
    ) {
        let (lo, hi) = (clamp.0.min(clamp.1) as i32, clamp.0.max(clamp.1) as i32);
        let zero = zero.map(i32::from);
        let p = MulParams { zero, mul, left_shift, zero_out: zero_out as i32, lo, hi };
        let channels = if per_channel { (1..=a.len()).rev().find(|n| a.len() % n == 0 && *n < 60) } else { None };
        let b: Vec<i8> = a.iter().rev().take(channels.unwrap_or(a.len())).copied().collect();
        let (mut y, mut expected) = (vec![0; a.len()], vec![0; a.len()]);
        Portable::mul(&p, &a, &b, &mut expected);
        Aarch64::mul(&p, &a, &b, &mut y);
        prop_assert_eq!(y, expected);
    }

    #[test]
    fn tables(x in prop::collection::vec(any::<i8>(), 1..600), seed in any::<u64>()) {
        let table: [i8; 256] = Random(seed | 1).values(256).try_into().expect("256 values");
        let (mut y, mut expected) = (vec![0; x.len()], vec![0; x.len()]);
        Portable::lut(&table, &x, &mut expected);
        Aarch64::lut(&table, &x, &mut y);
        prop_assert_eq!(y, expected);
    }
}

#[test]
fn accumulators_may_overflow_and_ranges_may_be_odd() {
    let mut random = Random(7);
    let weights = random.values(9 * 40);
    let packed = pack(&weights, 40, Packing::Sdot, op::LINEAR, Form::Dense).expect("a dense matrix");
    let stored = Stored::new(packed, 9);
    let x = random.values(40);
    for (lo, hi, zero_out) in [(-128, 127, -5), (-128, 127, 1000), (5, -5, 0), (-300, 300, 0)] {
        for left_shift in [0, 1, 9, 31] {
            let requant: Vec<_> = (0..9)
                .map(|i| Requant {
                    bias: (random.bits() as i32).wrapping_mul(77_777_777),
                    mul: [i32::MIN, i32::MAX, -1, 0x4000_0000, random.bits() as i32][i % 5],
                })
                .collect();
            let layer = Layer {
                weights: stored.weights(),
                tile: Packing::Sdot.tile(op::LINEAR, encoding::DENSE),
                packing: Packing::Sdot,
                requant: &requant,
                left_shift,
                zero_in: 0,
                zero_out,
                lo,
                hi,
            };
            let mut expected = [0; 9];
            Portable::linear(&layer, &x, &mut expected, &mut []);
            for level in Level::all() {
                let mut y = [1; 9];
                linear(level, &layer, &x, &mut y, &mut [0; 64]);
                assert_eq!(y, expected, "{} {lo} {hi} {zero_out} {left_shift}", level.name());
            }
        }
    }
}

#[test]
fn sparse_matrices_that_lie_are_left_alone() {
    // A column past the end, which no verified file has: it is left to the portable kernels, which stop there.
    let (counts, tiles) = ([1u16], [1i8; 32]);
    let layer = Layer {
        weights: Weights::Blocks { counts: &counts, columns: Columns::U8(&[200]), tiles: &tiles },
        tile: Packing::Sdot.tile(op::LINEAR, encoding::BLOCKS8),
        packing: Packing::Sdot,
        requant: &[Requant { bias: 0, mul: 1 << 30 }; 8],
        left_shift: 0,
        zero_in: 0,
        zero_out: 0,
        lo: -128,
        hi: 127,
    };
    let mut expected = [9; 8];
    Portable::linear(&layer, &[1; 8], &mut expected, &mut []);
    for level in Level::all() {
        let mut y = [9; 8];
        linear(level, &layer, &[1; 8], &mut y, &mut [0; 64]);
        assert_eq!(y, expected, "{}", level.name());
    }
}
