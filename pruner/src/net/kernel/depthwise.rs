//! Depthwise convolution: each tap adds a multiple of a row to a row.

use super::{conv::Sizes, sums2};

/// `y` of `x`.
#[inline(always)]
pub fn forward(s: &Sizes, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let stride = s.window.stride[1];
    for (plane, (x, y)) in x.chunks(s.plane()).zip(y.chunks_mut(s.positions())).enumerate() {
        let c = plane % s.out;
        y.fill(bias[c]);
        taps(s, c, |tap, to, from| {
            let y = &mut y[to];
            let w = weight[tap];
            if stride == 1 {
                y.iter_mut().zip(&x[from..]).for_each(|(y, x)| *y += w * x);
            } else {
                y.iter_mut().zip(x[from..].iter().step_by(stride)).for_each(|(y, x)| *y += w * x);
            }
        });
    }
}

/// Adds to the gradients of `x` and of the weight.
#[inline(always)]
pub fn backward(
    s: &Sizes,
    x: &[f32],
    weight: &[f32],
    grad: &[f32],
    mut dx: Option<&mut [f32]>,
    mut dw: Option<&mut [f32]>,
) {
    let stride = s.window.stride[1];
    for (plane, (x, grad)) in x.chunks(s.plane()).zip(grad.chunks(s.positions())).enumerate() {
        let c = plane % s.out;
        if let Some(dw) = dw.as_deref_mut() {
            taps(s, c, |tap, to, from| {
                let grad = &grad[to];
                dw[tap] += if stride == 1 {
                    sums2(grad, &x[from..from + grad.len()], |g, x| [g * x])[0]
                } else {
                    grad.iter().zip(x[from..].iter().step_by(stride)).map(|(g, x)| g * x).sum()
                };
            });
        }
        if let Some(dx) = dx.as_deref_mut() {
            let dx = &mut dx[plane * s.plane()..(plane + 1) * s.plane()];
            taps(s, c, |tap, to, from| {
                let (grad, w) = (&grad[to], weight[tap]);
                if stride == 1 {
                    dx[from..].iter_mut().zip(grad).for_each(|(d, g)| *d += w * g);
                } else {
                    dx[from..].iter_mut().step_by(stride).zip(grad).for_each(|(d, g)| *d += w * g);
                }
            });
        }
    }
}

/// Calls `f(index of the weight, part of y, first of x)` for every run that a tap of channel `c` reads.
#[inline(always)]
fn taps(s: &Sizes, c: usize, mut f: impl FnMut(usize, std::ops::Range<usize>, usize)) {
    let [kh, kw] = s.window.kernel;
    let [oh, ow] = s.output;
    for i in 0..kh {
        for j in 0..kw {
            let (lo, hi, first) = s.window.span(j, s.input[2], ow);
            for y in 0..oh {
                if let Some(r) = s.window.row(i, y, s.input[1]).filter(|_| lo < hi) {
                    f((c * kh + i) * kw + j, y * ow + lo..y * ow + hi, r * s.input[2] + first);
                }
            }
        }
    }
}
