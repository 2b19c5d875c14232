//! The graph on burn 0.21's Candle backend: a third implementation, with kernels of its own, of what a graph means.

#![expect(deprecated, reason = "burn 0.21 is pinned for this backend, the last burn that has it")]

use burn::backend::Candle;
use burn::tensor::activation::softmax;
use burn::tensor::module::{avg_pool2d, conv1d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Tensor, TensorData};
use evenkeel::graph::{Graph, Node, Op, Shape, Window};
use evenkeel::{Error, Result};

/// A tensor on the Candle backend.
type T<const D: usize> = Tensor<Candle, D>;

/// A network whose weights are Candle tensors; every activation is `[batch, C, H, W]`.
pub struct Opinion {
    graph: Graph,
    /// Per node.
    layers: Vec<Layer>,
}

/// What a node holds beside its operation.
enum Layer {
    /// Nothing.
    Plain,
    /// Weight `[out, in / groups, kh, kw]`, bias `[out]`, and the step and dilation of both axes.
    Conv { weight: T<4>, bias: T<1>, stride: usize, dilation: usize },
    /// Scale and shift `[1, C, 1, 1]`.
    Norm { scale: T<4>, shift: T<4> },
    /// Weight `[in, out]` and bias `[1, out]`.
    Linear { weight: T<2>, bias: T<2> },
    /// How many of each window's taps are inside the image, as a share: `[1, C, H, W]` of the result.
    Inside(T<4>),
}

impl Opinion {
    /// Makes tensors of the graph's weights.
    ///
    /// # Errors
    /// When Candle cannot compute a node: its convolutions have one step and one dilation for both axes, its
    /// pools have no dilation.
    pub fn new(graph: &Graph) -> Result<Self> {
        let layers = graph.nodes.iter().map(|n| Layer::new(graph, n)).collect::<Result<_>>()?;
        Ok(Opinion { graph: graph.clone(), layers })
    }

    /// The result for a batch of samples: `batch × C·H·W` numbers in, `batch × classes` out.
    ///
    /// # Errors
    /// When `x` is not a number of whole samples.
    pub fn forward(&self, x: Vec<f32>) -> Result<Vec<f32>> {
        let s = self.graph.input_shape();
        if x.is_empty() || !x.len().is_multiple_of(s.len()) {
            return Err(Error::new(format!("{} numbers are not a batch of inputs of shape {s}", x.len())));
        }
        let batch = x.len() / s.len();
        let x = tensor(x, [batch, s.c, s.h, s.w]);
        let mut values: Vec<T<4>> = Vec::with_capacity(self.graph.nodes.len());
        for (node, layer) in self.graph.nodes.iter().zip(&self.layers) {
            let value =
                compute(node, layer, |k| values.get(*node.inputs.get(k)?).cloned()).unwrap_or_else(|| x.clone());
            values.push(value);
        }
        let y = values.swap_remove(self.graph.output);
        y.into_data().to_vec().map_err(|e| Error::new(format!("Candle gave no data back: {e:?}")))
    }
}

impl Layer {
    fn new(graph: &Graph, node: &Node) -> Result<Self> {
        let refuse = |why: &str| Err(Error::new(format!("node `{}`: Candle has no {why}", node.name)));
        let from = || graph.nodes[node.inputs[0]].shape;
        Ok(match &node.op {
            Op::Conv(c) => {
                let Some((stride, dilation)) = square(&c.window, from(), node.shape) else {
                    return refuse("convolution that steps or dilates differently along height and width");
                };
                let weight = tensor(c.weight.clone(), [c.out, c.inp, c.window.kernel[0], c.window.kernel[1]]);
                Layer::Conv { weight, bias: tensor(c.bias.clone(), [c.out]), stride, dilation }
            }
            Op::Linear(l) => {
                let by_input = (0..l.inp).flat_map(|i| l.weight[i..].iter().step_by(l.inp).copied());
                Layer::Linear {
                    weight: tensor(by_input.collect(), [l.inp, l.out]),
                    bias: tensor(l.bias.clone(), [1, l.out]),
                }
            }
            Op::BatchNorm(b) => {
                let channels = [1, b.gamma.len(), 1, 1];
                let scale: Vec<f32> = b.gamma.iter().zip(&b.var).map(|(g, v)| g / (v + b.eps).sqrt()).collect();
                let shift = b.beta.iter().zip(&b.mean).zip(&scale).map(|((beta, mean), s)| beta - mean * s).collect();
                Layer::Norm { scale: tensor(scale, channels), shift: tensor(shift, channels) }
            }
            Op::MaxPool(w) | Op::AvgPool { window: w, .. } if w.dilation != [1, 1] => {
                return refuse("pool with dilation");
            }
            Op::AvgPool { window, count_pad: false } if window.pad != [0; 4] => {
                let s = from();
                Layer::Inside(mean(T::ones([1, s.c, s.h, s.w], &Default::default()), window))
            }
            _ => Layer::Plain,
        })
    }
}

/// The value of a node from those of its inputs; `None` for the network's own input.
fn compute(node: &Node, layer: &Layer, arg: impl Fn(usize) -> Option<T<4>>) -> Option<T<4>> {
    let x = arg(0)?;
    Some(match (&node.op, layer) {
        (Op::Conv(c), Layer::Conv { weight, bias, stride, dilation }) => {
            let pad = c.window.pad;
            // Candle pads all sides alike, the two ends of a sequence by itself.
            if c.window.kernel[0] == 1 && x.dims()[2] == 1 && pad[0] + pad[2] == 0 {
                let (x, own) = if pad[1] == pad[3] { (x, pad[1]) } else { (padded(x, pad, 0.0), 0) };
                let options = ConvOptions::new([*stride], [own], [*dilation], c.groups);
                conv1d(x.squeeze_dim::<3>(2), weight.clone().squeeze_dim::<3>(2), Some(bias.clone()), options)
                    .unsqueeze_dim(2)
            } else {
                let (x, own) = if pad == [pad[0]; 4] { (x, pad[0]) } else { (padded(x, pad, 0.0), 0) };
                conv2d(
                    x,
                    weight.clone(),
                    Some(bias.clone()),
                    ConvOptions::new([*stride; 2], [own; 2], [*dilation; 2], c.groups),
                )
            }
        }
        (Op::Linear(l), Layer::Linear { weight, bias }) => {
            let batch = x.dims()[0];
            (x.reshape([batch, l.inp]).matmul(weight.clone()) + bias.clone()).reshape([batch, l.out, 1, 1])
        }
        (Op::BatchNorm(_), Layer::Norm { scale, shift }) => x * scale.clone() + shift.clone(),
        (Op::Clip { lo, hi }, _) if hi.is_finite() => x.clamp(*lo, *hi),
        (Op::Clip { lo, .. }, _) => x.clamp_min(*lo),
        (Op::Add, _) => x + arg(1)?,
        (Op::MaxPool(w), _) => {
            max_pool2d(padded(x, w.pad, f32::NEG_INFINITY), w.kernel, w.stride, [0, 0], [1, 1], false)
        }
        (Op::AvgPool { window, .. }, Layer::Inside(share)) => mean(x, window) / share.clone(),
        (Op::AvgPool { window, .. }, _) => mean(x, window),
        (Op::GlobalAvgPool, _) => x.mean_dim(3).mean_dim(2),
        (Op::Flatten, _) => {
            let batch = x.dims()[0];
            x.reshape([batch, node.shape.c, 1, 1])
        }
        (Op::Softmax, _) => softmax(x, 1),
        _ => return None,
    })
}

/// The mean over windows, padding counted.
fn mean(x: T<4>, w: &Window) -> T<4> {
    avg_pool2d(padded(x, w.pad, 0.0), w.kernel, w.stride, [0, 0], true, false)
}

/// Pads top, left, bottom and right.
fn padded(x: T<4>, [top, left, bottom, right]: [usize; 4], with: f32) -> T<4> {
    if top + left + bottom + right == 0 { x } else { x.pad((left, right, top, bottom), PadMode::Constant(with)) }
}

/// One step and one dilation for both axes, where there is such a pair with the same result: an axis with one
/// output takes any step that the window cannot take again, an axis with one tap any dilation.
fn square(w: &Window, from: Shape, to: Shape) -> Option<(usize, usize)> {
    let dilation = match (w.dilation, w.kernel) {
        ([a, b], _) if a == b => a,
        ([_, b], [1, _]) => b,
        ([a, _], [_, 1]) => a,
        _ => return None,
    };
    let (size, outputs) = ([from.h, from.w], [to.h, to.w]);
    let room = |i: usize| size[i] + w.pad[i] + w.pad[i + 2] - dilation * (w.kernel[i] - 1) - 1;
    let free = |i: usize, step: usize| outputs[i] == 1 && room(i) < step;
    let stride = match w.stride {
        [a, b] if a == b => a,
        [_, b] if free(0, b) => b,
        [a, _] if free(1, a) => a,
        _ => return None,
    };
    Some((stride, dilation))
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> T<D> {
    T::from_data(TensorData::new(values, shape), &Default::default())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use evenkeel::graph::eval::eval_output;
    use evenkeel::graph::{BatchNorm, Conv, Linear};

    /// Deterministic numbers in [-1, 1] without a pattern that a wrong index would keep.
    fn numbers(n: usize, salt: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + 7 * salt) * 7919 % 1009) as f32 / 504.0) - 1.0).collect()
    }

    struct Builder(Graph);

    impl Builder {
        fn new(c: usize, h: usize, w: usize) -> Self {
            let input = Node { name: "x".into(), op: Op::Input, inputs: vec![], shape: Shape::new(c, h, w) };
            Builder(Graph { name: "test".into(), input_rank: 3, nodes: vec![input], output: 0 })
        }

        /// Appends a node that reads the last one, and another where `also` names it.
        fn push(mut self, op: Op, shape: Shape, also: Option<usize>) -> Self {
            let inputs = [Some(self.0.output), also].into_iter().flatten().collect();
            self.0.nodes.push(Node { name: op.name().into(), op, inputs, shape });
            self.0.output += 1;
            self
        }

        fn window(self, window: Window, op: impl Fn(Window) -> Op, channels: usize) -> Self {
            let s = self.0.output_shape();
            let (h, w) = window.output(s.h, s.w).unwrap();
            self.push(op(window), Shape::new(channels, h, w), None)
        }

        fn conv(self, out: usize, groups: usize, window: Window) -> Self {
            let inp = self.0.output_shape().c / groups;
            let (weight, bias) = (numbers(out * inp * window.taps(), 1), numbers(out, 2));
            let op = |window| Op::Conv(Conv { out, inp, groups, window, weight: weight.clone(), bias: bias.clone() });
            self.window(window, op, out)
        }

        fn same(self, op: Op, also: Option<usize>) -> Self {
            let shape = self.0.output_shape();
            self.push(op, shape, also)
        }

        /// Compares two samples at once with the reference evaluator.
        fn check(self) {
            let Builder(graph) = self;
            let n = graph.input_shape().len();
            let x = numbers(2 * n, 3);
            let got = Opinion::new(&graph).unwrap().forward(x.clone()).unwrap();
            let want: Vec<f32> = x.chunks_exact(n).flat_map(|x| eval_output(&graph, x)).collect();
            assert_eq!(got.len(), want.len());
            for (i, (a, b)) in got.iter().zip(&want).enumerate() {
                assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{i}: {a} for {b}");
            }
        }
    }

    fn window(kernel: [usize; 2], stride: [usize; 2], pad: [usize; 4]) -> Window {
        Window { kernel, stride, dilation: [1, 1], pad }
    }

    #[test]
    fn images_agree_with_the_reference() {
        let norm = BatchNorm {
            gamma: numbers(4, 4),
            beta: numbers(4, 5),
            mean: numbers(4, 6),
            var: numbers(4, 7).iter().map(|v| v + 1.5).collect(),
            eps: 1e-3,
        };
        Builder::new(3, 9, 7)
            .conv(4, 1, window([3, 2], [2, 2], [1, 0, 2, 1]))
            .same(Op::BatchNorm(norm), None)
            .same(Op::Clip { lo: 0.0, hi: 6.0 }, None)
            .conv(4, 4, window([3, 3], [1, 1], [1; 4]))
            .same(Op::Add, Some(3))
            .conv(6, 2, window([1, 1], [1, 1], [0; 4]))
            .same(Op::Clip { lo: 0.0, hi: f32::INFINITY }, None)
            .push(Op::GlobalAvgPool, Shape::vector(6), None)
            .push(
                Op::Linear(Linear { out: 3, inp: 6, weight: numbers(18, 8), bias: numbers(3, 9) }),
                Shape::vector(3),
                None,
            )
            .same(Op::Softmax, None)
            .check();
    }

    #[test]
    fn sequences_agree_with_the_reference() {
        let dilated = Window { kernel: [1, 3], stride: [1, 2], dilation: [1, 2], pad: [0, 2, 0, 2] };
        Builder::new(4, 1, 21)
            .conv(6, 1, dilated)
            .conv(6, 6, window([1, 4], [1, 1], [0, 1, 0, 2]))
            .window(window([1, 2], [1, 2], [0, 0, 0, 1]), Op::MaxPool, 6)
            .push(Op::Flatten, Shape::vector(36), None)
            .check();
    }

    #[test]
    fn padded_pools_agree_with_the_reference() {
        let w = window([3, 2], [2, 1], [1, 0, 0, 1]);
        Builder::new(2, 6, 5).window(w, Op::MaxPool, 2).check();
        for count_pad in [true, false] {
            Builder::new(2, 6, 5).window(w, |window| Op::AvgPool { window, count_pad }, 2).check();
        }
    }

    #[test]
    fn steps_differ_only_where_it_makes_no_difference() {
        // One output along the height, so a step of 3 is as good as the 2.
        Builder::new(2, 4, 8).conv(2, 1, window([3, 3], [2, 3], [0; 4])).check();
        let Builder(graph) = Builder::new(2, 8, 8).conv(2, 1, window([3, 3], [1, 2], [0; 4]));
        assert!(Opinion::new(&graph).is_err_and(|e| e.to_string().contains("Conv")));
    }

    #[test]
    fn refuses_half_a_sample() {
        let Builder(graph) = Builder::new(2, 2, 2);
        assert!(Opinion::new(&graph).unwrap().forward(vec![0.0; 7]).is_err());
    }
}
