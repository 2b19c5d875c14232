//! The plain f32 evaluator: what a graph means. Tests compare everything else with it.

use super::{Axis, Conv, Graph, Op, Shape, Window};

/// Evaluates one sample `x` (C × H × W) and returns every node's value, in the order of the nodes.
///
/// # Panics
/// When `x` has not the input's length, or the graph has not passed [`super::infer::infer`].
pub fn eval(graph: &Graph, x: &[f32]) -> Vec<Vec<f32>> {
    assert_eq!(x.len(), graph.input_shape().len(), "one sample of the network's input");
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let shape = |i: usize| graph.nodes[node.inputs[i]].shape;
        let input = |i: usize| values[node.inputs[i]].as_slice();
        let value = match &node.op {
            Op::Input => x.to_vec(),
            Op::Conv(c) => conv(c, input(0), shape(0), node.shape),
            Op::BatchNorm(n) => {
                let plane = shape(0).h * shape(0).w;
                let mut out = input(0).to_vec();
                for (c, row) in out.chunks_exact_mut(plane).enumerate() {
                    let scale = n.gamma[c] / (n.var[c] + n.eps).sqrt();
                    row.iter_mut().for_each(|v| *v = (*v - n.mean[c]) * scale + n.beta[c]);
                }
                out
            }
            Op::Clip { lo, hi } => input(0).iter().map(|v| v.max(*lo).min(*hi)).collect(),
            Op::Add => input(0).iter().zip(input(1)).map(|(a, b)| a + b).collect(),
            Op::MaxPool(window) => {
                pool(window, input(0), shape(0), node.shape, |taps| taps.flatten().fold(f32::NEG_INFINITY, f32::max))
            }
            Op::AvgPool { window, count_pad } => pool(window, input(0), shape(0), node.shape, |taps| {
                let (mut sum, mut inside) = (0.0, 0usize);
                for v in taps.flatten() {
                    sum += v;
                    inside += 1;
                }
                sum / if *count_pad { window.taps() } else { inside } as f32
            }),
            Op::GlobalAvgPool => {
                let plane = shape(0).h * shape(0).w;
                input(0).chunks_exact(plane).map(|row| row.iter().sum::<f32>() / plane as f32).collect()
            }
            Op::Flatten => input(0).to_vec(),
            Op::Linear(l) => l
                .weight
                .chunks_exact(l.inp)
                .zip(&l.bias)
                .map(|(row, bias)| bias + row.iter().zip(input(0)).map(|(w, v)| w * v).sum::<f32>())
                .collect(),
            Op::Softmax => {
                let max = input(0).iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exps: Vec<f32> = input(0).iter().map(|v| (v - max).exp()).collect();
                let sum: f32 = exps.iter().sum();
                exps.iter().map(|e| e / sum).collect()
            }
            Op::Concat => (0..node.inputs.len()).flat_map(|i| input(i).iter().copied()).collect(),
            Op::Mul => {
                // One factor per channel, or per element.
                let run = input(0).len() / input(1).len();
                input(0).iter().enumerate().map(|(i, v)| v * input(1)[i / run]).collect()
            }
            Op::Activation(f) => input(0).iter().map(|&v| f.apply(v)).collect(),
            Op::Resize { scale: [v, h] } => input(0)
                .chunks_exact(shape(0).w)
                .flat_map(|row| std::iter::repeat_n(row, *v))
                .flat_map(|row| row.iter().flat_map(|&x| std::iter::repeat_n(x, *h)))
                .collect(),
            Op::Pad { pad: [top, left, ..], value } => {
                let (from, mut out) = (shape(0), vec![*value; node.shape.len()]);
                for (row, values) in input(0).chunks_exact(from.w).enumerate() {
                    let (c, y) = (row / from.h, row % from.h);
                    out[(c * node.shape.h + y + top) * node.shape.w + left..][..from.w].copy_from_slice(values);
                }
                out
            }
            &Op::Slice { axis, begin, len } => {
                let Shape { c, h, w } = shape(0);
                let (outer, inner) = match axis {
                    Axis::C => (1, h * w),
                    Axis::H => (c, w),
                    Axis::W => (c * h, 1),
                };
                let block = input(0).len() / outer;
                let pick = |o: usize| &input(0)[o * block + begin * inner..][..len * inner];
                (0..outer).flat_map(pick).copied().collect()
            }
        };
        debug_assert_eq!(value.len(), node.shape.len(), "{}", node.name);
        values.push(value);
    }
    values
}

/// The network's result for one sample.
///
/// # Panics
/// As [`eval`].
pub fn eval_output(graph: &Graph, x: &[f32]) -> Vec<f32> {
    eval(graph, x).swap_remove(graph.output)
}

fn conv(conv: &Conv, x: &[f32], from: Shape, to: Shape) -> Vec<f32> {
    let Window { kernel: [kh, kw], stride, dilation, pad } = conv.window;
    let mut out = vec![0.0; to.len()];
    for o in 0..conv.out {
        let plane = &mut out[o * to.h * to.w..][..to.h * to.w];
        plane.fill(conv.bias[o]);
        let first = o / (conv.out / conv.groups) * conv.inp;
        for i in 0..conv.inp {
            let image = &x[(first + i) * from.h * from.w..][..from.h * from.w];
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let weight = conv.weight[((o * conv.inp + i) * kh + ky) * kw + kx];
                // The outputs of a row whose tap lies on the input, found once for all rows.
                let (tap, left) = (kx * dilation[1], pad[1]);
                let begin = left.saturating_sub(tap).div_ceil(stride[1]);
                let end = (from.w + left).saturating_sub(tap).div_ceil(stride[1]).min(to.w);
                if begin >= end {
                    continue;
                }
                for oy in 0..to.h {
                    let Some(iy) = source(oy, stride[0], ky * dilation[0], pad[0], from.h) else { continue };
                    let taps = &image[iy * from.w..][..from.w][begin * stride[1] + tap - left..];
                    let row = &mut plane[oy * to.w..][begin..end];
                    row.iter_mut().zip(taps.iter().step_by(stride[1])).for_each(|(y, v)| *y += weight * v);
                }
            }
        }
    }
    out
}

/// Reduces every window of every channel; a tap in the padding is `None`.
fn pool(
    window: &Window,
    x: &[f32],
    from: Shape,
    to: Shape,
    reduce: impl Fn(&mut dyn Iterator<Item = Option<f32>>) -> f32,
) -> Vec<f32> {
    let Window { kernel: [kh, kw], stride, dilation, pad } = *window;
    let mut out = Vec::with_capacity(to.len());
    for image in x.chunks_exact(from.h * from.w) {
        for (oy, ox) in (0..to.h).flat_map(|oy| (0..to.w).map(move |ox| (oy, ox))) {
            let mut taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))).map(|(ky, kx)| {
                let iy = source(oy, stride[0], ky * dilation[0], pad[0], from.h)?;
                let ix = source(ox, stride[1], kx * dilation[1], pad[1], from.w)?;
                Some(image[iy * from.w + ix])
            });
            out.push(reduce(&mut taps));
        }
    }
    out
}

/// Where along one axis a tap lies in the input, unless it lies in the padding.
fn source(out: usize, stride: usize, tap: usize, pad: usize, size: usize) -> Option<usize> {
    (out * stride + tap).checked_sub(pad).filter(|&i| i < size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::Builder;

    #[test]
    fn pools_and_softmax_by_hand() {
        let window = Window { kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pad: [1, 1, 0, 0] };
        let x = [-1.0, -2.0, -3.0, -4.0];
        let run = |op: Op| {
            let mut b = Builder::new(0, Shape::new(1, 2, 2));
            let y = b.push(op, &[0]);
            eval_output(&b.finish(y), &x)
        };
        assert_eq!(run(Op::MaxPool(window)), [-1.0, -1.0, -1.0, -1.0]);
        assert_eq!(run(Op::AvgPool { window, count_pad: true }), [-0.25, -0.75, -1.0, -2.5]);
        assert_eq!(run(Op::AvgPool { window, count_pad: false }), [-1.0, -1.5, -2.0, -2.5]);
        assert_eq!(run(Op::GlobalAvgPool), [-2.5]);
        assert_eq!(run(Op::Clip { lo: -3.5, hi: -1.5 }), [-1.5, -2.0, -3.0, -3.5]);
        let mut b = Builder::new(0, Shape::vector(2));
        let y = b.push(Op::Softmax, &[0]);
        let [a, c] = eval_output(&b.finish(y), &[100.0, 100.0 + 3f32.ln()])[..] else { unreachable!() };
        assert!((a - 0.25).abs() < 1e-6 && (c - 0.75).abs() < 1e-6);
    }

    #[test]
    fn movers_and_products_by_hand() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let run = |op: Op| {
            let mut b = Builder::new(0, Shape::new(2, 2, 2));
            let y = b.push(op, &[0]);
            eval_output(&b.finish(y), &x)
        };
        let slice = |axis, begin| run(Op::Slice { axis, begin, len: 1 });
        assert_eq!(slice(Axis::C, 1), [5.0, 6.0, 7.0, 8.0]);
        assert_eq!(slice(Axis::H, 0), [1.0, 2.0, 5.0, 6.0]);
        assert_eq!(slice(Axis::W, 1), [2.0, 4.0, 6.0, 8.0]);
        let up = run(Op::Resize { scale: [1, 2] });
        assert_eq!(up, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 6.0, 6.0, 7.0, 7.0, 8.0, 8.0]);
        assert_eq!(run(Op::Resize { scale: [2, 1] })[..6], [1.0, 2.0, 1.0, 2.0, 3.0, 4.0]);
        let bordered = run(Op::Pad { pad: [1, 0, 0, 1], value: 9.0 });
        assert_eq!(bordered[..9], [9.0, 9.0, 9.0, 1.0, 2.0, 9.0, 3.0, 4.0, 9.0]);
        assert_eq!(bordered[9..], [9.0, 9.0, 9.0, 5.0, 6.0, 9.0, 7.0, 8.0, 9.0]);

        let mut b = Builder::new(0, Shape::new(2, 2, 2));
        let gate = b.push(Op::GlobalAvgPool, &[0]);
        let gated = b.push(Op::Mul, &[0, gate]);
        let square = b.push(Op::Mul, &[0, 0]);
        let y = b.push(Op::Concat, &[gated, square]);
        let got = eval_output(&b.finish(y), &x);
        assert_eq!(got[..8], [2.5, 5.0, 7.5, 10.0, 32.5, 39.0, 45.5, 52.0]);
        assert_eq!(got[8..], [1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0]);
    }

    #[test]
    fn convolution_is_its_formula() {
        let window = Window { kernel: [2, 3], stride: [2, 3], dilation: [3, 2], pad: [1, 4, 2, 5] };
        let (from, groups, inp, out) = (Shape::new(4, 5, 7), 2, 2, 6);
        let value = |i: usize| ((i * 37 + 11) % 17) as f32 - 8.0;
        let c = Conv {
            out,
            inp,
            groups,
            window,
            weight: (0..out * inp * 6).map(value).collect(),
            bias: (0..out).map(value).collect(),
        };
        let x: Vec<f32> = (0..from.len()).map(|i| value(i + 5)).collect();
        let mut b = Builder::new(0, from);
        let y = b.push(Op::Conv(c.clone()), &[0]);
        let graph = b.finish(y);
        let (got, to) = (eval_output(&graph, &x), graph.output_shape());
        for (at, got) in got.into_iter().enumerate() {
            let (o, oy, ox) = (at / (to.h * to.w), at / to.w % to.h, at % to.w);
            let mut want = c.bias[o];
            for i in 0..inp * 6 {
                let (ch, ky, kx) = (o / 3 * inp + i / 6, i / 3 % 2, i % 3);
                let (iy, ix) = ((oy * 2 + ky * 3) as i64 - 1, (ox * 3 + kx * 2) as i64 - 4);
                if (0..5).contains(&iy) && (0..7).contains(&ix) {
                    want += c.weight[o * 12 + i] * x[ch * 35 + iy as usize * 7 + ix as usize];
                }
            }
            assert_eq!(got, want, "element {at}");
        }
    }
}
