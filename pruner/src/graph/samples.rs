//! Small random networks for tests.

use super::infer::{infer, result_shape};
use super::{Activation, Axis, BatchNorm, Conv, Graph, Linear, Node, NodeId, Op, Shape, Window};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Builds a graph node by node; weights are random, names are the operator and the node's number.
pub(crate) struct Builder {
    pub(crate) graph: Graph,
    rng: ChaCha8Rng,
}

impl Builder {
    /// A graph of an input.
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        let input_rank = if shape.h > 1 { 3 } else { 1 + usize::from(shape.w > 1) };
        let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], shape };
        let graph = Graph { name: "sample".into(), input_rank, nodes: vec![input], output: 0 };
        Builder { graph, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    pub(crate) fn shape(&self, id: NodeId) -> Shape {
        self.graph.nodes[id].shape
    }

    pub(crate) fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shape(i)).collect();
        let shape = result_shape(&op, &shapes).expect("a sound node");
        let name = format!("{}{}", op.name().to_lowercase(), self.graph.nodes.len());
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        self.graph.nodes.len() - 1
    }

    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.rng.random_range(-1.0..1.0)).collect()
    }

    /// A convolution padded to keep the size at stride 1.
    pub(crate) fn conv(&mut self, x: NodeId, out: usize, kernel: [usize; 2], stride: usize, groups: usize) -> NodeId {
        let shape = self.shape(x);
        let inp = shape.c / groups;
        let weight = self.values(out * inp * kernel[0] * kernel[1]);
        let bias = self.values(out);
        let (top, left) = (kernel[0] / 2, kernel[1] / 2);
        let vertical = if shape.h > 1 { stride } else { 1 };
        let window = Window { kernel, stride: [vertical, stride], dilation: [1, 1], pad: [top, left, top, left] };
        self.push(Op::Conv(Conv { out, inp, groups, window, weight, bias }), &[x])
    }

    pub(crate) fn norm(&mut self, x: NodeId) -> NodeId {
        let c = self.shape(x).c;
        let (gamma, beta, mean) = (self.values(c), self.values(c), self.values(c));
        let var = self.values(c).iter().map(|v| v.abs() + 0.1).collect();
        self.push(Op::BatchNorm(BatchNorm { gamma, beta, mean, var, eps: 1e-5 }), &[x])
    }

    pub(crate) fn clip(&mut self, x: NodeId, hi: f32) -> NodeId {
        self.push(Op::Clip { lo: 0.0, hi }, &[x])
    }

    pub(crate) fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.push(Op::Add, &[a, b])
    }

    pub(crate) fn flatten(&mut self, x: NodeId) -> NodeId {
        self.push(Op::Flatten, &[x])
    }

    pub(crate) fn linear(&mut self, x: NodeId, out: usize) -> NodeId {
        let inp = self.shape(x).c;
        let (weight, bias) = (self.values(out * inp), self.values(out));
        self.push(Op::Linear(Linear { out, inp, weight, bias }), &[x])
    }

    pub(crate) fn finish(mut self, output: NodeId) -> Graph {
        self.graph.output = output;
        infer(self.graph).expect("a sound graph")
    }
}

/// A sample for the graph.
pub(crate) fn input(graph: &Graph, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    (0..graph.input_shape().len()).map(|_| rng.random_range(-2.0..2.0)).collect()
}

/// A small network of the operators that have an int8 form, 1-D or 2-D: plain, depthwise and grouped convolutions, normalisation, residual sums, pools, and a head
/// behind a Flatten or a global pool.
pub(crate) fn random_graph(seed: u64) -> Graph {
    random(seed, |_, _, x| x)
}

/// A [`random_graph`] with every other operator as well.
pub(crate) fn varied_graph(seed: u64) -> Graph {
    random(seed, varied)
}

/// A random network; `more` may put something behind each of its blocks.
fn random(seed: u64, more: fn(&mut Builder, &mut ChaCha8Rng, NodeId) -> NodeId) -> Graph {
    let mut pick = ChaCha8Rng::seed_from_u64(seed.wrapping_add(1));
    let image = pick.random_bool(0.5);
    let c = pick.random_range(1..4);
    let mut b = Builder::new(seed, if image { Shape::new(c, 6, 8) } else { Shape::new(c, 1, 12) });
    let kernel = |k: usize| if image { [k, k] } else { [1, k] };
    let mut x = 0;
    for _ in 0..pick.random_range(1..5) {
        let c = b.shape(x).c;
        x = match pick.random_range(0..7) {
            0 => {
                let out = pick.random_range(2..6);
                b.conv(x, out, kernel(3), pick.random_range(1..3), 1)
            }
            1 if c > 1 => b.conv(x, c, kernel(3), 1, c),
            2 if c.is_multiple_of(2) => b.conv(x, 4, kernel(1), 1, 2),
            3 => {
                let inner = b.conv(x, pick.random_range(2..5), kernel(1), 1, 1);
                let inner = b.clip(inner, 6.0);
                let out = b.conv(inner, c, kernel(3), 1, 1);
                b.add(out, x)
            }
            4 => {
                let out = pick.random_range(2..6);
                let (left, right) = (b.conv(x, out, kernel(3), 2, 1), b.conv(x, out, kernel(1), 2, 1));
                b.add(left, right)
            }
            5 if b.shape(x).w > 3 && (!image || b.shape(x).h > 3) => {
                let [kh, kw] = kernel(2);
                let window = Window { kernel: [kh, kw], stride: [kh, kw], dilation: [1, 1], pad: [0; 4] };
                let max = pick.random_bool(0.5);
                b.push(if max { Op::MaxPool(window) } else { Op::AvgPool { window, count_pad: false } }, &[x])
            }
            _ => {
                let out = pick.random_range(2..6);
                b.conv(x, out, kernel(1), 1, 1)
            }
        };
        x = more(&mut b, &mut pick, x);
        if pick.random_bool(0.5) {
            x = b.norm(x);
        }
        if pick.random_bool(0.7) {
            x = b.clip(x, if pick.random_bool(0.5) { 6.0 } else { f32::INFINITY });
        }
    }
    let spread = b.shape(x).h * b.shape(x).w > 1;
    x = match pick.random_range(0..2) {
        _ if !spread => x,
        0 => b.flatten(x),
        _ => b.push(Op::GlobalAvgPool, &[x]),
    };
    if pick.random_bool(0.5) {
        x = b.linear(x, 5);
        x = b.clip(x, f32::INFINITY);
        x = more(&mut b, &mut pick, x);
    }
    x = b.linear(x, 3);
    b.finish(x)
}

/// One or two of the operators that [`random_graph`] has not, behind `x`.
fn varied(b: &mut Builder, pick: &mut ChaCha8Rng, x: NodeId) -> NodeId {
    let shape = b.shape(x);
    let vector = shape == Shape::vector(shape.c);
    match pick.random_range(0..8) {
        // Branches side by side, one of them with itself.
        0 => {
            let other = layer(b, pick, x);
            let parts = if pick.random_bool(0.5) { vec![x, other] } else { vec![other, x, other] };
            b.push(Op::Concat, &parts)
        }
        // Squeeze and excitation.
        1 => {
            let pool = if vector { x } else { b.push(Op::GlobalAvgPool, &[x]) };
            let gate = b.linear(pool, 2);
            let gate = b.push(Op::Activation(Activation::Silu), &[gate]);
            let gate = b.linear(gate, shape.c);
            let gate = activation(b, pick, gate);
            b.push(Op::Mul, &[x, gate])
        }
        2 => {
            let (left, right) = (b.conv(x, 3, [1, 1], 1, 1), b.conv(x, 3, [1, 1], 1, 1));
            b.push(Op::Mul, &[left, right])
        }
        // Half of the channels go through a layer.
        3 if shape.c > 1 => {
            let at = pick.random_range(1..shape.c);
            let [left, right] =
                [(0, at), (at, shape.c - at)].map(|(begin, len)| b.push(Op::Slice { axis: Axis::C, begin, len }, &[x]));
            let inner = b.conv(right, shape.c - at, [1, 1], 1, 1);
            let right = if pick.random_bool(0.5) { b.add(inner, right) } else { inner };
            b.push(Op::Concat, &[right, left])
        }
        4 if !vector && shape.len() < 500 => {
            let scale = if shape.h > 1 { [pick.random_range(1..3), 2] } else { [1, pick.random_range(2..4)] };
            b.push(Op::Resize { scale }, &[x])
        }
        5 if !vector => {
            let mut side = || pick.random_range(0..2);
            let pad = if shape.h > 1 { [side(), side(), side(), 1] } else { [0, side(), 0, 1] };
            b.push(Op::Pad { pad, value: 0.25 }, &[x])
        }
        6 if shape.w > 4 => {
            let axis = if shape.h > 4 && pick.random_bool(0.5) { Axis::H } else { Axis::W };
            let (begin, end) = (pick.random_range(0..2), shape.along(axis) - pick.random_range(1..2));
            b.push(Op::Slice { axis, begin, len: end - begin }, &[x])
        }
        _ => activation(b, pick, x),
    }
}

fn layer(b: &mut Builder, pick: &mut ChaCha8Rng, x: NodeId) -> NodeId {
    let out = pick.random_range(1..4);
    b.conv(x, out, [1, 1], 1, 1)
}

fn activation(b: &mut Builder, pick: &mut ChaCha8Rng, x: NodeId) -> NodeId {
    let f = match pick.random_range(0..7) {
        0 => Activation::Sigmoid,
        1 => Activation::Tanh,
        2 => Activation::HardSigmoid { alpha: 0.25, beta: 0.5 },
        3 => Activation::HardSwish,
        4 => Activation::Silu,
        5 => Activation::LeakyRelu { slope: 0.125 },
        _ => Activation::Gelu,
    };
    b.push(Op::Activation(f), &[x])
}
