//! Pools.

use super::{Array, Kernel};
use crate::graph::Window;

/// The maximum of each window over `[n, c, h, w]`.
#[derive(Clone, Debug)]
pub struct MaxPool(pub Window);

impl Kernel<1> for MaxPool {
    #[inline(always)]
    fn forward(&self, [x]: &[Array; 1]) -> Array {
        let [n, c, h, w] = x.dims();
        let (oh, ow) = self.0.output(h, w).unwrap_or_default();
        let mut y = vec![0.0; n * c * oh * ow];
        if self.halves() {
            for (x, y) in x.data().chunks_exact(w.max(1)).zip(y.chunks_exact_mut(ow.max(1))) {
                for (y, pair) in y.iter_mut().zip(x.chunks_exact(2)) {
                    *y = if second(pair) { pair[1] } else { pair[0] };
                }
            }
            return Array::new(y, [n, c, oh, ow]);
        }
        let mut firsts = Firsts::new(&self.0, [h, w], [oh, ow]);
        for (x, y) in x.data().chunks(h * w).zip(y.chunks_mut((oh * ow).max(1))) {
            firsts.find(x);
            y.copy_from_slice(&firsts.best);
        }
        Array::new(y, [n, c, oh, ow])
    }

    #[inline(always)]
    fn backward(&self, [x]: &[Array; 1], grad: Array, _: [bool; 1]) -> [Option<Array>; 1] {
        let [n, c, h, w] = x.dims();
        let [_, _, oh, ow] = grad.dims();
        let mut dx = vec![0.0; n * c * h * w];
        if self.halves() {
            let rows = dx.chunks_exact_mut(w.max(1)).zip(x.data().chunks_exact(w.max(1)));
            for ((dx, x), grad) in rows.zip(grad.data().chunks_exact(ow.max(1))) {
                for ((d, pair), g) in dx.chunks_exact_mut(2).zip(x.chunks_exact(2)).zip(grad) {
                    let second = second(pair);
                    d[0] = if second { 0.0 } else { *g };
                    d[1] = if second { *g } else { 0.0 };
                }
            }
            return [Some(Array::new(dx, [n, c, h, w]))];
        }
        let mut firsts = Firsts::new(&self.0, [h, w], [oh, ow]);
        let planes = dx.chunks_mut(h * w).zip(x.data().chunks(h * w)).zip(grad.data().chunks((oh * ow).max(1)));
        for ((dx, x), grad) in planes {
            firsts.find(x);
            firsts.at.iter().zip(grad).for_each(|(&at, g)| dx[at as usize] += g);
        }
        [Some(Array::new(dx, [n, c, h, w]))]
    }
}

impl MaxPool {
    /// Whether it takes the larger of each pair of a row, as most pools of sequences do.
    #[inline(always)]
    fn halves(&self) -> bool {
        self.0 == Window { kernel: [1, 2], stride: [1, 2], dilation: self.0.dilation, pad: [0; 4] }
            && self.0.dilation[1] == 1
    }
}

/// Whether the second of two is their first maximum; what is no number wins, so that it is not hidden.
#[inline(always)]
fn second(pair: &[f32]) -> bool {
    pair[1] > pair[0] || pair[1].is_nan()
}

/// The first maximum of each window of a plane.
struct Firsts {
    /// For each tap and row of the output: where the tap reads.
    taps: Vec<Tap>,
    stride: usize,
    /// The maxima.
    best: Vec<f32>,
    /// Where in the plane they are.
    at: Vec<u32>,
}

/// A run of outputs, and where one tap of their windows reads for the first of them.
struct Tap {
    to: std::ops::Range<usize>,
    from: usize,
}

impl Firsts {
    #[inline(always)]
    fn new(v: &Window, [h, w]: [usize; 2], [oh, ow]: [usize; 2]) -> Self {
        let mut taps = Vec::new();
        for i in 0..v.kernel[0] {
            for j in 0..v.kernel[1] {
                let (lo, hi, first) = v.span(j, w, ow);
                for y in (0..oh).filter(|_| lo < hi) {
                    let Some(row) = v.row(i, y, h) else { continue };
                    taps.push(Tap { to: y * ow + lo..y * ow + hi, from: row * w + first });
                }
            }
        }
        Firsts { taps, stride: v.stride[1], best: vec![0.0; oh * ow], at: vec![0; oh * ow] }
    }

    /// Finds them, without a branch that depends on the numbers: these go either way too often to be predicted.
    #[inline(always)]
    fn find(&mut self, x: &[f32]) {
        self.best.fill(f32::NEG_INFINITY);
        for tap in &self.taps {
            let best = self.best[tap.to.clone()].iter_mut().zip(&mut self.at[tap.to.clone()]);
            let taken = x[tap.from..].iter().step_by(self.stride).zip((tap.from as u32..).step_by(self.stride));
            for ((best, at), (&v, from)) in best.zip(taken) {
                // What is no number wins, so that it is not hidden.
                let wins = v > *best || v.is_nan();
                *best = if wins { v } else { *best };
                *at = if wins { from } else { *at };
            }
        }
    }
}

/// The mean of each plane of `[n, c, h, w]`, `[n, c, 1, 1]`.
#[derive(Clone, Debug)]
pub struct GlobalMean;

impl Kernel<1> for GlobalMean {
    #[inline(always)]
    fn forward(&self, [x]: &[Array; 1]) -> Array {
        let [n, c, h, w] = x.dims();
        let size = h * w;
        Array::new(x.data().chunks(size).map(|p| p.iter().sum::<f32>() / size as f32).collect(), [n, c, 1, 1])
    }

    #[inline(always)]
    fn backward(&self, [x]: &[Array; 1], grad: Array, _: [bool; 1]) -> [Option<Array>; 1] {
        let [_, _, h, w] = x.dims();
        let size = h * w;
        let dx = grad.data().iter().flat_map(|g| std::iter::repeat_n(g / size as f32, size)).collect();
        [Some(Array::new(dx, x.dims::<4>()))]
    }
}
