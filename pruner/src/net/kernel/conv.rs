//! Convolution as products of matrices: the weight `[out, inp·kh·kw]` times the columns of a few samples at
//! a time, so that they stay in the cache. Both derivatives are products with the same columns.

use super::gemm::Matrix;
use super::{Array, Kernel, depthwise, sums};
use crate::graph::Window;

/// Output positions per product: wide enough for it to be fast, and its columns fit in a core's cache.
const POSITIONS: usize = 512;

/// Convolution of `x` `[n, c, h, w]` with a weight `[out, c / groups, kh, kw]` and a bias `[out]`.
#[derive(Clone, Debug)]
pub struct Conv {
    /// The window.
    pub window: Window,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl Kernel<3> for Conv {
    #[inline(always)]
    fn forward(&self, [x, weight, bias]: &[Array; 3]) -> Array {
        let shape = Sizes::new(self, x, weight);
        let mut y = vec![0.0; shape.n * shape.out * shape.positions()];
        if shape.is_depthwise() {
            depthwise::forward(&shape, x.data(), weight.data(), bias.data(), &mut y);
        } else {
            forward(&shape, x.data(), weight.data(), bias.data(), &mut y);
        }
        let [oh, ow] = shape.output;
        Array::new(y, [shape.n, shape.out, oh, ow])
    }

    #[inline(always)]
    fn backward(&self, [x, weight, _]: &[Array; 3], grad: Array, wanted: [bool; 3]) -> [Option<Array>; 3] {
        let shape = Sizes::new(self, x, weight);
        let mut dx = wanted[0].then(|| vec![0.0; x.data().len()]);
        let mut dw = wanted[1].then(|| vec![0.0; weight.data().len()]);
        if shape.is_depthwise() {
            depthwise::backward(&shape, x.data(), weight.data(), grad.data(), dx.as_deref_mut(), dw.as_deref_mut());
        } else {
            backward(&shape, x.data(), weight.data(), grad.data(), dx.as_deref_mut(), dw.as_deref_mut());
        }
        let db = wanted[2].then(|| {
            let mut db = vec![0.0; shape.out];
            for (plane, o) in grad.data().chunks(shape.positions()).zip((0..shape.out).cycle()) {
                db[o] += sums(plane, |v| [v])[0];
            }
            Array::new(db, [shape.out])
        });
        [dx.map(|d| Array::new(d, x.dims::<4>())), dw.map(|d| Array::new(d, weight.dims::<4>())), db]
    }
}

/// All sizes of a convolution.
pub struct Sizes {
    /// Samples.
    pub n: usize,
    /// Channels, height, width of the input.
    pub input: [usize; 3],
    /// Output channels.
    pub out: usize,
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Input channels per group.
    pub inp: usize,
    /// Groups.
    pub groups: usize,
    /// The window.
    pub window: Window,
}

impl Sizes {
    #[inline(always)]
    fn new(conv: &Conv, x: &Array, weight: &Array) -> Self {
        let [n, c, h, w] = x.dims();
        let [out, inp, _, _] = weight.dims();
        let (oh, ow) = conv.window.output(h, w).unwrap_or_default();
        Sizes { n, input: [c, h, w], out, output: [oh, ow], inp, groups: conv.groups, window: conv.window }
    }

    /// Output positions per plane.
    #[inline(always)]
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    #[inline(always)]
    fn is_depthwise(&self) -> bool {
        self.inp == 1 && self.out == self.groups
    }

    /// Numbers in a plane of the input.
    #[inline(always)]
    pub fn plane(&self) -> usize {
        self.input[1] * self.input[2]
    }

    /// Rows of the columns: weights per output channel.
    #[inline(always)]
    fn fan_in(&self) -> usize {
        self.inp * self.window.taps()
    }

    /// Calls `f(row of the columns, its part, part of x)` for every run that a tap reads of one sample's group.
    #[inline(always)]
    fn runs(&self, mut f: impl FnMut(usize, std::ops::Range<usize>, usize)) {
        let [kh, kw] = self.window.kernel;
        let [oh, ow] = self.output;
        let mut row = 0;
        for c in 0..self.inp {
            for i in 0..kh {
                for j in 0..kw {
                    let (lo, hi, first) = self.window.span(j, self.input[2], ow);
                    for y in 0..oh {
                        if let Some(r) = self.window.row(i, y, self.input[1]).filter(|_| lo < hi) {
                            f(row, y * ow + lo..y * ow + hi, c * self.plane() + r * self.input[2] + first);
                        }
                    }
                    row += 1;
                }
            }
        }
    }
}

/// Samples per product, and so the blocks of samples.
#[inline(always)]
fn blocks(s: &Sizes) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (n, size) = (s.n, (POSITIONS / s.positions().max(1)).clamp(1, s.n.max(1)));
    (0..n).step_by(size).map(move |b| (b, size.min(n - b)))
}

#[inline(always)]
fn forward(s: &Sizes, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (p, rows) = (s.positions(), s.out / s.groups);
    for g in 0..s.groups {
        let w = Matrix::of(&weight[g * rows * s.fan_in()..(g + 1) * rows * s.fan_in()], s.fan_in());
        let mut columns = Matrix::zeros(0, 0);
        for (first, count) in blocks(s) {
            fill_columns(s, x, g, first, count, &mut columns);
            let product = w.times(&columns);
            for (o, row) in product.data().chunks(count * p).enumerate() {
                let o = g * rows + o;
                for (i, part) in row.chunks(p).enumerate() {
                    let to = ((first + i) * s.out + o) * p;
                    y[to..to + p].iter_mut().zip(part).for_each(|(y, v)| *y = v + bias[o]);
                }
            }
        }
    }
}

#[inline(always)]
fn backward(
    s: &Sizes,
    x: &[f32],
    weight: &[f32],
    grad: &[f32],
    mut dx: Option<&mut [f32]>,
    mut dw: Option<&mut [f32]>,
) {
    let (p, rows) = (s.positions(), s.out / s.groups);
    let sample = s.input[0] * s.plane();
    for g in 0..s.groups {
        let of_group = g * rows * s.fan_in()..(g + 1) * rows * s.fan_in();
        let w = Matrix::of(&weight[of_group.clone()], s.fan_in());
        let (mut columns, mut dy) = (Matrix::zeros(0, 0), Matrix::zeros(0, 0));
        let mut turned = vec![0.0; s.fan_in() * rows];
        for (first, count) in blocks(s) {
            dy.resize(rows, count * p);
            for (o, row) in dy.data_mut().chunks_mut(count * p).enumerate() {
                for (i, part) in row.chunks_mut(p).enumerate() {
                    let from = ((first + i) * s.out + g * rows + o) * p;
                    part.copy_from_slice(&grad[from..from + p]);
                }
            }
            if dw.is_some() {
                fill_columns(s, x, g, first, count, &mut columns);
                // The transposed gradient, because the long factor comes first: its product is the faster one.
                let part = columns.times_transposed(&dy);
                turned.iter_mut().zip(part.data()).for_each(|(a, b)| *a += b);
            }
            if let Some(dx) = dx.as_deref_mut() {
                let back = w.transposed_times(&dy);
                for i in 0..count {
                    let from = (first + i) * sample + g * s.inp * s.plane();
                    add_columns(s, &back.data()[i * p..], count * p, &mut dx[from..from + s.inp * s.plane()]);
                }
            }
        }
        if let Some(dw) = dw.as_deref_mut() {
            for (o, row) in dw[of_group].chunks_mut(s.fan_in()).enumerate() {
                row.iter_mut().zip(turned[o..].iter().step_by(rows)).for_each(|(d, t)| *d = *t);
            }
        }
    }
}

/// What each tap reads at each output position, `[fan_in, count · positions]`, zero in the padding.
#[inline(always)]
fn fill_columns(s: &Sizes, x: &[f32], group: usize, first: usize, count: usize, columns: &mut Matrix) {
    let (p, stride) = (s.positions(), s.window.stride[1]);
    // The padding is never written to, so it stays zero from block to block.
    columns.resize(s.fan_in(), count * p);
    let data = columns.data_mut();
    for i in 0..count {
        let from = (first + i) * s.input[0] * s.plane() + group * s.inp * s.plane();
        let x = &x[from..from + s.inp * s.plane()];
        s.runs(|row, part, from| {
            let at = row * count * p + i * p;
            let to = &mut data[at + part.start..at + part.end];
            if stride == 1 {
                to.copy_from_slice(&x[from..from + to.len()]);
            } else {
                to.iter_mut().zip(x[from..].iter().step_by(stride)).for_each(|(t, v)| *t = *v);
            }
        });
    }
}

/// Adds columns of one sample, rows `width` apart, back to where they were read.
#[inline(always)]
fn add_columns(s: &Sizes, columns: &[f32], width: usize, dx: &mut [f32]) {
    let stride = s.window.stride[1];
    s.runs(|row, part, to| {
        let from = &columns[row * width + part.start..row * width + part.end];
        if stride == 1 {
            dx[to..to + from.len()].iter_mut().zip(from).for_each(|(d, v)| *d += v);
        } else {
            dx[to..].iter_mut().step_by(stride).zip(from).for_each(|(d, v)| *d += v);
        }
    });
}
