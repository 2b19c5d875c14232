//! The kernels for x86-64 against the portable ones: the same bytes for every shape, with each set of instructions
//! that the processor has, from the same packed weights; and the same as from weights packed for no target.
#![cfg(target_arch = "x86_64")]

use evenkeel_runtime::format::pack::{Form, Packed, fold_offset, pack};
use evenkeel_runtime::format::{OpRecord, Packing, Requant, encoding, op};
use evenkeel_runtime::kernels::x86::{Avx2, Avx512, AvxVnni, X86};
use evenkeel_runtime::kernels::{AddParams, Columns, Geometry, Kernels, Layer, MulParams, Portable, Weights};
use proptest::prelude::*;

/// Random bytes.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> i8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as i8
    }

    fn vec(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.next()).collect()
    }

    fn word(&mut self) -> i32 {
        i32::from_le_bytes([0; 4].map(|_| self.next() as u8))
    }

    /// Numbers as networks have them, or any at all: sums and products then wrap.
    fn requant(&mut self, len: usize, any: bool) -> Vec<Requant> {
        let mut one = || match any {
            true => Requant { bias: self.word(), mul: self.word() },
            false => Requant { bias: self.next() as i32 * 64, mul: (self.next() as i32 + 129) << 17 },
        };
        (0..len).map(|_| one()).collect()
    }
}

/// Everything but the weights.
#[derive(Debug)]
struct Case {
    g: Geometry,
    requant: Vec<Requant>,
    left_shift: u32,
    zeros: (i8, i8),
    clamp: (i32, i32),
    x: Vec<i8>,
    seed: u64,
}

impl Case {
    fn new(g: Geometry, seed: u64) -> Self {
        let mut bytes = Bytes(seed | 1);
        let taps = g.kernel[0] * g.kernel[1];
        let any = bytes.next() < -64;
        let requant = bytes.requant(g.output[2].max(taps + 1), any);
        let (a, b) = (bytes.next() as i32, bytes.next() as i32);
        // Half of the time the whole range, as without an activation.
        let clamp = if bytes.next() < 0 { (-128, 127) } else { (a.min(b), a.max(b)) };
        let left_shift = if bytes.next() < 0 { 0 } else { bytes.next() as u32 % if any { 16 } else { 4 } };
        let zeros = (bytes.next(), bytes.next());
        let x = bytes.vec(g.input.iter().product());
        Case { g, requant, left_shift, zeros, clamp, x, seed: bytes.0 }
    }

    fn layer<'a>(&self, weights: Weights<'a>, packing: Packing, code: u16, requant: &'a [Requant]) -> Layer<'a> {
        Layer {
            weights,
            tile: packing.tile(code, weights.encoding()),
            packing,
            requant,
            left_shift: self.left_shift,
            zero_in: self.zeros.0,
            zero_out: self.zeros.1 as i32,
            lo: self.clamp.0,
            hi: self.clamp.1,
        }
    }

    fn scratch(&self, code: u16) -> Vec<u8> {
        let narrow = |of: [usize; 2]| of.map(|n| n as u16);
        let g = &self.g;
        let [kernel, stride, dilation, pad] = [g.kernel, g.stride, g.dilation, g.pad].map(narrow);
        let record = OpRecord { code, kernel, stride, dilation, pad, ..OpRecord::default() };
        vec![0x5a; Packing::Vnni.scratch_len(&record, g.input, g.output)]
    }

    /// What `run` gives, and that it touches nothing around its output.
    fn run(&self, len: usize, run: impl Fn(&mut [i8])) -> Vec<i8> {
        let mut y = vec![55; len + 128];
        run(&mut y[64..64 + len]);
        assert!(y[..64].iter().chain(&y[64 + len..]).all(|v| *v == 55), "writes around its output");
        y[64..64 + len].to_vec()
    }
}

/// Weights as a loaded file gives them.
struct Stored {
    packed: Packed,
    counts: Vec<u16>,
    wide: Vec<u16>,
}

impl Stored {
    fn new(packed: Packed, rows: usize) -> Self {
        let words = |bytes: &[u8]| bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        let (counts, columns) = packed.index.split_at(if packed.encoding == encoding::DENSE { 0 } else { rows * 2 });
        let (counts, wide) = (words(counts), words(columns));
        Stored { packed, counts, wide }
    }

    fn weights(&self) -> Weights<'_> {
        let tiles = &self.packed.weights[..];
        let columns = match self.packed.encoding {
            encoding::DENSE => return Weights::Dense(tiles),
            encoding::BLOCKS8 => Columns::U8(&self.packed.index[self.counts.len() * 2..]),
            _ => Columns::U16(&self.wide),
        };
        Weights::Blocks { counts: &self.counts, columns, tiles }
    }
}

/// A matrix with zeros in tiles of 16 × 4: none of them, some, whole rows of tiles, or all.
fn matrix(bytes: &mut Bytes, outputs: usize, taps: usize, zeros: u8) -> Vec<i8> {
    let across = taps.div_ceil(4);
    let kept: Vec<bool> = (0..outputs.div_ceil(16) * across)
        .map(|i| match zeros {
            0 => true,
            1 => bytes.next() < 0,
            2 => i / across % 2 == 1,
            _ => false,
        })
        .collect();
    let mut weights = bytes.vec(outputs * taps);
    for (i, w) in weights.iter_mut().enumerate() {
        if !kept[i / taps / 16 * across + i % taps / 4] {
            *w = 0;
        }
    }
    weights
}

/// Runs a check with every set.
macro_rules! with_sets {
    ($check:ident($($arg:expr),*)) => {
        $check::<Avx512>($($arg),*);
        $check::<AvxVnni>($($arg),*);
        $check::<Avx2>($($arg),*);
        $check::<X86>($($arg),*);
    };
}

fn check_matrix<K: Kernels>(case: &Case, code: u16, layer: &Layer, expected: &[i8]) {
    let y = case.run(expected.len(), |y| {
        let mut scratch = case.scratch(code);
        // Scratch is at a multiple of 4, no more.
        scratch.extend([0; 4]);
        let start = scratch.as_ptr().align_offset(4);
        let end = scratch.len() - 4 + start;
        match code {
            op::CONV => K::conv(&case.g, layer, &case.x, y, &mut scratch[start..end]),
            _ => K::linear(layer, &case.x, y, &mut scratch[start..end]),
        }
    });
    assert_eq!(y, expected, "{} {:?} {:?}", K::NAME, case.g, layer.weights.encoding());
}

/// A convolution (or the linear operator that is one window) of a matrix in both packings and all forms.
fn check_packings(case: &Case, code: u16, zeros: u8) {
    let g = &case.g;
    let (outputs, taps) = (g.output[2], g.kernel[0] * g.kernel[1] * g.input[2]);
    let weights = matrix(&mut Bytes(case.seed | 1), outputs, taps, zeros);
    let mut expected = vec![0; g.output.iter().product()];
    let plain = case.layer(Weights::Dense(&weights), Packing::Portable, code, &case.requant);
    match code {
        op::CONV => Portable::conv(g, &plain, &case.x, &mut expected, &mut []),
        _ => Portable::linear(&plain, &case.x, &mut expected, &mut []),
    }
    with_sets!(check_matrix(case, code, &plain, &expected));
    for form in [Form::Dense, Form::Blocks] {
        let packed = pack(&weights, taps, Packing::Vnni, code, form).expect("packed");
        let stored = Stored::new(packed, outputs.div_ceil(16));
        let mut requant = case.requant.clone();
        fold_offset(Packing::Vnni, &weights, taps, &mut requant);
        let layer = case.layer(stored.weights(), Packing::Vnni, code, &requant);
        check_matrix::<Portable>(case, code, &layer, &expected);
        with_sets!(check_matrix(case, code, &layer, &expected));
    }
}

fn check_depthwise<K: Kernels>(case: &Case, layer: &Layer, expected: &[i8]) {
    let y = case.run(expected.len(), |y| {
        K::depthwise(&case.g, layer, &case.x, y, &mut case.scratch(op::DEPTHWISE));
    });
    assert_eq!(y, expected, "{} {:?}", K::NAME, case.g);
}

fn check_pools<K: Kernels>(case: &Case, layer: &Layer, max: &[i8], mean: &[i8]) {
    assert_eq!(case.run(max.len(), |y| K::max_pool(&case.g, &case.x, y)), max, "{} {:?}", K::NAME, case.g);
    assert_eq!(case.run(mean.len(), |y| K::avg_pool(&case.g, layer, 1, &case.x, y)), mean, "{} {:?}", K::NAME, case.g);
}

fn check_sum<K: Kernels>(p: &AddParams, a: &[i8], b: &[i8]) {
    let mut expected = vec![0; a.len()];
    Portable::add(p, a, b, &mut expected);
    let mut y = vec![0; a.len()];
    K::add(p, a, b, &mut y);
    assert_eq!(y, expected, "{}", K::NAME);
    let mut y = b.to_vec();
    K::add_onto(p, a, &mut y);
    assert_eq!(y, expected, "{}", K::NAME);
}

fn check_product<K: Kernels>(p: &MulParams, a: &[i8], b: &[i8]) {
    let (mut expected, mut y) = (vec![0; a.len()], vec![0; a.len()]);
    Portable::mul(p, a, b, &mut expected);
    K::mul(p, a, b, &mut y);
    assert_eq!(y, expected, "{}", K::NAME);
}

fn check_table<K: Kernels>(table: &[i8; 256], x: &[i8]) {
    let (mut expected, mut y) = (vec![0; x.len()], vec![0; x.len()]);
    Portable::lut(table, x, &mut expected);
    K::lut(table, x, &mut y);
    assert_eq!(y, expected, "{}", K::NAME);
}

/// One axis: size, kernel, stride, dilation, padding, share of the largest output.
fn axis(sizes: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 6]> {
    let kernel = prop_oneof![1..2usize, 3..4usize, 1..7usize];
    let small = || prop_oneof![3 => 1..2usize, 1 => 1..4usize];
    (sizes, kernel, small(), small(), 0..8usize, 0..4usize).prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f])
}

fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![1..70usize, prop::sample::select(vec![1, 3, 4, 8, 16, 32, 64, 128])]
}

/// Any window whose every position sees the input, as verified files have.
fn geometry(channels: [usize; 2], axes: [[usize; 6]; 2]) -> Option<Geometry> {
    let mut g = Geometry {
        input: [0, 0, channels[0]],
        output: [0, 0, channels[1]],
        kernel: [0; 2],
        stride: [0; 2],
        dilation: [0; 2],
        pad: [0; 2],
    };
    for (a, [size, kernel, stride, dilation, pad, less]) in axes.into_iter().enumerate() {
        (g.input[a], g.kernel[a], g.stride[a], g.dilation[a]) = (size, kernel, stride, dilation);
        g.pad[a] = pad.min((kernel - 1) * dilation);
        let largest = (size - 1 + g.pad[a]) / stride + 1;
        g.output[a] = largest.saturating_sub(less).max(1);
        let seen = |o: usize| {
            let tap = |k: usize| (o * stride + k * dilation).checked_sub(g.pad[a]);
            (0..kernel).any(|k| tap(k).is_some_and(|i| i < size))
        };
        if !(0..g.output[a]).all(seen) {
            return None;
        }
    }
    Some(g)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn convolution(
        c in [channels(), channels()],
        axes in [axis(1..14), axis(1..14)],
        zeros in 0..4u8,
        seed in any::<u64>(),
    ) {
        let Some(g) = geometry(c, axes) else { return Ok(()) };
        check_packings(&Case::new(g, seed), op::CONV, zeros);
    }

    /// More rows than the scratch has a band for, or more pixels than are taken together.
    #[test]
    fn large_convolution(c in [1..40usize, 1..40usize], axes in [axis(30..50), axis(20..50)], seed in any::<u64>()) {
        let Some(g) = geometry(c, axes) else { return Ok(()) };
        if g.output.iter().product::<usize>() * g.kernel[0] * g.kernel[1] * c[0] < 3_000_000 {
            check_packings(&Case::new(g, seed), op::CONV, (seed % 2) as u8);
        }
    }

    #[test]
    fn depthwise(c in channels(), axes in [axis(1..20), axis(1..20)], seed in any::<u64>()) {
        let Some(g) = geometry([c, c], axes) else { return Ok(()) };
        let case = Case::new(g, seed);
        let weights = Bytes(case.seed | 1).vec(g.kernel[0] * g.kernel[1] * c);
        for packing in [Packing::Portable, Packing::Vnni] {
            let layer = case.layer(Weights::Dense(&weights), packing, op::DEPTHWISE, &case.requant);
            let mut expected = vec![0; g.output.iter().product()];
            Portable::depthwise(&g, &layer, &case.x, &mut expected, &mut []);
            with_sets!(check_depthwise(&case, &layer, &expected));
        }
    }

    #[test]
    fn linear(taps in 1..700usize, outputs in 1..150usize, zeros in 0..4u8, seed in any::<u64>()) {
        let one = [1, 1];
        let g = Geometry {
            input: [1, 1, taps], output: [1, 1, outputs], kernel: one, stride: one, dilation: one, pad: [0, 0],
        };
        check_packings(&Case::new(g, seed), op::LINEAR, zeros);
    }

    /// Columns of two bytes.
    #[test]
    fn wide_linear(taps in 1025..3000usize, outputs in 1..40usize, seed in any::<u64>()) {
        let one = [1, 1];
        let g = Geometry {
            input: [1, 1, taps], output: [1, 1, outputs], kernel: one, stride: one, dilation: one, pad: [0, 0],
        };
        check_packings(&Case::new(g, seed), op::LINEAR, 1);
    }

    #[test]
    fn pools(c in channels(), axes in [axis(1..20), axis(1..20)], seed in any::<u64>()) {
        let Some(g) = geometry([c, c], axes) else { return Ok(()) };
        let case = Case::new(g, seed);
        let layer = case.layer(Weights::Dense(&[]), Packing::Vnni, op::AVG_POOL, &case.requant);
        let (mut max, mut mean) = (vec![0; g.output.iter().product()], vec![0; g.output.iter().product()]);
        Portable::max_pool(&g, &case.x, &mut max);
        Portable::avg_pool(&g, &layer, 1, &case.x, &mut mean);
        with_sets!(check_pools(&case, &layer, &max, &mean));
    }

    #[test]
    fn sum(
        ab in prop::collection::vec(any::<(i8, i8)>(), 1..300),
        mul in any::<[i32; 2]>(),
        bits in 0..20u32,
        bias in any::<i32>(),
        shift in 0..31u32,
    ) {
        let mul = mul.map(|m| m >> bits);
        let (a, b): (Vec<i8>, Vec<i8>) = ab.into_iter().unzip();
        with_sets!(check_sum(&AddParams { mul, bias, shift, lo: -100, hi: 127 }, &a, &b));
    }

    #[test]
    fn product(channels in 1..150usize, pixels in 1..9usize, seed in any::<u64>(), mul in any::<i32>()) {
        let mut bytes = Bytes(seed | 1);
        let (a, b) = (bytes.vec(channels * pixels), bytes.vec(channels * pixels));
        let (zero, left_shift) = ([bytes.next() as i32, bytes.next() as i32], seed as u32 % 16);
        let p = MulParams { zero, mul, left_shift, zero_out: bytes.next() as i32, lo: -128, hi: 100 };
        with_sets!(check_product(&p, &a, &b));
        with_sets!(check_product(&p, &a, &b[..channels]));
    }

    #[test]
    fn table(len in 1..400usize, seed in any::<u64>()) {
        let mut bytes = Bytes(seed | 1);
        let table: [i8; 256] = bytes.vec(256).try_into().expect("256 values");
        with_sets!(check_table(&table, &bytes.vec(len)));
    }
}
