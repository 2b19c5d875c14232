//! The graph as a trainable burn network, on the device that the user picks.
//!
//! [`Net`] keeps the graph for its structure and the weights as a burn module. Every activation is a
//! tensor `[batch, C, H, W]`; sequences have height 1, vectors height and width 1. Weights go in with
//! [`Net::new`] and come back with [`Net::to_graph`].

mod average;
mod device;
mod kernel;
pub mod loss;
pub mod optimise;
mod pointwise;
pub mod set;
pub mod term;
pub mod train;
pub mod zoo;

pub use device::{DEVICES, device};
pub use set::{Set, Split};

use crate::error::{Error, Result};
use crate::graph::{Axis, Graph, Node, NodeId, Op, Window};
use burn::module::{Module, Param, RunningState};
use burn::nn::BatchNorm;
use burn::tensor::activation::softmax;
use burn::tensor::module::{adaptive_avg_pool2d, avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData};

/// Weight and bias of a convolution `[out, in, kh, kw]` or, flattened to rank 4, of a linear layer
/// `[out, in, 1, 1]`.
#[derive(Module, Debug)]
pub struct Affine {
    /// The weight.
    pub weight: Param<Tensor<4>>,
    /// The bias, `[out]`.
    pub bias: Param<Tensor<1>>,
}

/// A layer that has weights.
#[derive(Module, Debug)]
pub enum Layer {
    /// Convolution or linear layer.
    Affine(Affine),
    /// Batch normalisation.
    Norm(BatchNorm),
}

/// All layers with weights, in node order.
#[derive(Module, Debug)]
pub struct Layers {
    /// The layers.
    pub layers: Vec<Layer>,
}

/// A network on a device.
#[derive(Clone, Debug)]
pub struct Net {
    /// The structure; its weights are those that the network began with.
    graph: Graph,
    /// Per node, the index of its layer.
    slot: Vec<Option<usize>>,
    /// The weights.
    pub layers: Layers,
    device: Device,
}

/// Share of a batch's statistics that enters the running ones.
const BN_MOMENTUM: f64 = 0.1;

impl Net {
    /// Puts the graph's weights on a device. On an autodiff device the network can be trained, and batch
    /// normalisation uses the statistics of the batch.
    pub fn new(graph: &Graph, device: &Device) -> Self {
        let mut slot = vec![None; graph.nodes.len()];
        let mut layers = Vec::new();
        for (i, n) in graph.nodes.iter().enumerate() {
            let layer = match &n.op {
                Op::Conv(c) => {
                    affine(&c.weight, [c.out, c.inp, c.window.kernel[0], c.window.kernel[1]], &c.bias, device)
                }
                Op::Linear(l) => affine(&l.weight, [l.out, l.inp, 1, 1], &l.bias, device),
                Op::BatchNorm(b) => Layer::Norm(BatchNorm {
                    gamma: Param::from_tensor(vector(&b.gamma, device)),
                    beta: Param::from_tensor(vector(&b.beta, device)),
                    training: Param::from_bool(true),
                    running_mean: RunningState::new(vector(&b.mean, device)),
                    running_var: RunningState::new(vector(&b.var, device)),
                    momentum: BN_MOMENTUM,
                    epsilon: b.eps as f64,
                }),
                _ => continue,
            };
            slot[i] = Some(layers.len());
            layers.push(layer);
        }
        Net { graph: graph.clone(), slot, layers: Layers { layers }, device: device.clone() }
    }

    /// The structure that the network was made from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The trained weights, in a graph of the same structure.
    pub fn to_graph(&self) -> Result<Graph> {
        let mut g = self.graph.clone();
        for (n, slot) in g.nodes.iter_mut().zip(&self.slot) {
            let Some(layer) = slot.map(|s| &self.layers.layers[s]) else { continue };
            match (&mut n.op, layer) {
                (Op::Conv(c), Layer::Affine(a)) => {
                    c.weight = floats(a.weight.val())?;
                    c.bias = floats(a.bias.val())?;
                }
                (Op::Linear(l), Layer::Affine(a)) => {
                    l.weight = floats(a.weight.val())?;
                    l.bias = floats(a.bias.val())?;
                }
                (Op::BatchNorm(b), Layer::Norm(bn)) => {
                    b.gamma = floats(bn.gamma.val())?;
                    b.beta = floats(bn.beta.val())?;
                    b.mean = floats(bn.running_mean.value_sync())?;
                    b.var = floats(bn.running_var.value_sync())?;
                }
                _ => return Err(Error::new(format!("node `{}` lost its layer", n.name))),
            }
        }
        Ok(g)
    }

    /// The affine layer of a node, for its gradients.
    pub fn affine(&self, id: NodeId) -> Option<&Affine> {
        match self.slot[id].map(|s| &self.layers.layers[s]) {
            Some(Layer::Affine(a)) => Some(a),
            _ => None,
        }
    }

    /// A batch of inputs `[batch, C, H, W]` from `batch × C·H·W` numbers.
    pub fn input(&self, x: Vec<f32>) -> Tensor<4> {
        let s = self.graph.input_shape();
        let n = x.len() / s.len();
        Tensor::from_data(TensorData::new(x, [n, s.c, s.h, s.w]), &self.device)
    }

    /// The result `[batch, classes]`; a spatial result is flattened.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.forward_hooked(x, &[], &[]).0
    }

    /// The same, and the values of the nodes in `watch`. What a node in `gates` reads first is multiplied by its gate,
    /// `[batch or 1, channels, 1, 1]`.
    pub fn forward_hooked(
        &self,
        x: Tensor<4>,
        gates: &[(NodeId, Tensor<4>)],
        watch: &[NodeId],
    ) -> (Tensor<2>, Vec<Tensor<4>>) {
        let last = self.last_use();
        let mut values: Vec<Option<Tensor<4>>> = vec![None; self.graph.nodes.len()];
        let mut watched = vec![None; watch.len()];
        for (i, n) in self.graph.nodes.iter().enumerate() {
            let gate = gates.iter().find(|g| g.0 == i).map(|g| &g.1);
            let value = self.compute(i, n, &values, &x, gate);
            for (seen, _) in watched.iter_mut().zip(watch).filter(|(_, w)| **w == i) {
                *seen = Some(value.clone());
            }
            values[i] = Some(value);
            for &j in &n.inputs {
                if last[j] == i {
                    values[j] = None;
                }
            }
        }
        let y = values[self.graph.output].take().unwrap_or(x);
        (y.flatten(1, 3), watched.into_iter().flatten().collect())
    }

    /// The value of every node, for calibration and statistics.
    pub fn forward_all(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        let mut values: Vec<Option<Tensor<4>>> = vec![None; self.graph.nodes.len()];
        for (i, n) in self.graph.nodes.iter().enumerate() {
            values[i] = Some(self.compute(i, n, &values, &x, None));
        }
        values.into_iter().flatten().collect()
    }

    fn last_use(&self) -> Vec<usize> {
        let mut last = vec![usize::MAX; self.graph.nodes.len()];
        for (i, n) in self.graph.nodes.iter().enumerate() {
            for &j in &n.inputs {
                last[j] = i;
            }
        }
        last[self.graph.output] = usize::MAX;
        last
    }

    fn compute(
        &self,
        id: NodeId,
        n: &Node,
        values: &[Option<Tensor<4>>],
        x: &Tensor<4>,
        gate: Option<&Tensor<4>>,
    ) -> Tensor<4> {
        // A graph is in topological order, so an input that is missing can only be the network's own.
        let arg = |k: usize| {
            let value = values[n.inputs[k]].clone().unwrap_or_else(|| x.clone());
            match gate {
                Some(gate) if k == 0 => value * gate.clone(),
                _ => value,
            }
        };
        let layer = self.slot[id].map(|s| &self.layers.layers[s]);
        match (&n.op, layer) {
            (Op::Conv(c), Some(Layer::Affine(a))) => conv(arg(0), a.weight.val(), a.bias.val(), &c.window, c.groups),
            (Op::Linear(l), Some(Layer::Affine(a))) => {
                let w: Tensor<2> = a.weight.val().reshape([l.out, l.inp]);
                let y: Tensor<2> = arg(0).flatten::<2>(1, 3).matmul(w.transpose()) + a.bias.val().unsqueeze();
                let [batch, out] = y.dims();
                y.reshape([batch, out, 1, 1])
            }
            (Op::BatchNorm(_), Some(Layer::Norm(b))) => norm(arg(0), b),
            (Op::Clip { lo, hi }, _) => clip(arg(0), *lo, *hi),
            (Op::Add, _) => arg(0) + arg(1),
            (Op::MaxPool(w), _) => max_pool(arg(0), w),
            (Op::AvgPool { window: w, count_pad }, _) if w.dilation != [1, 1] => dilated_mean(arg(0), w, *count_pad),
            (Op::AvgPool { window: w, count_pad }, _) => avg_pool2d(
                arg(0),
                AvgPoolOptions::new(w.kernel)
                    .with_stride(w.stride)
                    .with_padding_pairs(pairs(w))
                    .with_count_include_pad(*count_pad),
            ),
            (Op::GlobalAvgPool, _) => global_mean(arg(0)),
            (Op::Flatten, _) => {
                let v = arg(0);
                let batch = v.dims()[0];
                v.reshape([batch, n.shape.c, 1, 1])
            }
            (Op::Softmax, _) => softmax(arg(0), 1),
            (Op::Concat, _) => Tensor::cat((0..n.inputs.len()).map(arg).collect(), 1),
            (Op::Mul, _) => arg(0) * arg(1),
            (Op::Activation(f), _) => pointwise::apply(*f, arg(0)),
            (Op::Resize { scale: [v, h] }, _) => repeated(arg(0), *v, *h),
            (&Op::Pad { pad: [top, left, bottom, right], value }, _) => {
                arg(0).pad([(top, bottom), (left, right)], PadMode::Constant(value))
            }
            (&Op::Slice { axis, begin, len }, _) => {
                let dim = match axis {
                    Axis::C => 1,
                    Axis::H => 2,
                    Axis::W => 3,
                };
                arg(0).narrow(dim, begin, len)
            }
            // The input itself; weights are there for every node that has some.
            _ => x.clone(),
        }
    }
}

fn conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, w: &Window, groups: usize) -> Tensor<4> {
    let ours = kernel::Conv { window: *w, groups };
    let inputs = [x.clone().into_dispatch(), weight.clone().into_dispatch(), bias.clone().into_dispatch()];
    kernel::run(ours, inputs).map(Tensor::from_dispatch).unwrap_or_else(|| {
        conv2d(x, weight, Some(bias), ConvOptions::new_with_padding(w.stride, pairs(w), w.dilation, groups))
    })
}

/// As [`BatchNorm::forward`], which on an autodiff device normalises by the batch and moves the running statistics.
fn norm(x: Tensor<4>, b: &BatchNorm) -> Tensor<4> {
    let Some((mean, var)) = kernel::moments(&x) else { return b.forward(x) };
    let move_on = |running: &RunningState<Tensor<1>>, now: &[f32]| {
        let old = running.value_sync();
        let now = vector(now, &old.device());
        running.update(old * (1.0 - b.momentum) + now * b.momentum);
    };
    move_on(&b.running_mean, &mean);
    move_on(&b.running_var, &var);
    let inputs = [x.clone().into_dispatch(), b.gamma.val().into_dispatch(), b.beta.val().into_dispatch()];
    let ours = kernel::run(kernel::Norm { mean, var, eps: b.epsilon as f32 }, inputs);
    ours.map(Tensor::from_dispatch).unwrap_or_else(|| b.forward(x))
}

fn max_pool(x: Tensor<4>, w: &Window) -> Tensor<4> {
    let ours = kernel::run(kernel::MaxPool(*w), [x.clone().into_dispatch()]);
    let options =
        || MaxPoolOptions::new(w.kernel).with_stride(w.stride).with_padding_pairs(pairs(w)).with_dilation(w.dilation);
    ours.map(Tensor::from_dispatch).unwrap_or_else(|| max_pool2d(x, options()))
}

fn global_mean(x: Tensor<4>) -> Tensor<4> {
    let ours = kernel::run(kernel::GlobalMean, [x.clone().into_dispatch()]);
    ours.map(Tensor::from_dispatch).unwrap_or_else(|| adaptive_avg_pool2d(x, [1, 1]))
}

fn clip(x: Tensor<4>, lo: f32, hi: f32) -> Tensor<4> {
    if let Some(ours) = kernel::run(kernel::Clip { lo, hi }, [x.clone().into_dispatch()]) {
        return Tensor::from_dispatch(ours);
    }
    match (lo == 0.0, hi.is_finite()) {
        (true, false) => burn::tensor::activation::relu(x),
        (false, false) => x.clamp_min(lo),
        _ if lo == f32::NEG_INFINITY => x.clamp_max(hi),
        _ => x.clamp(lo, hi),
    }
}

/// Every element repeated `v` times downwards and `h` times to the right.
fn repeated(x: Tensor<4>, v: usize, h: usize) -> Tensor<4> {
    let [n, c, height, width] = x.dims();
    let x: Tensor<6> = x.reshape([n, c, height, 1, width, 1]);
    x.repeat_dim(3, v).repeat_dim(5, h).reshape([n, c, height * v, width * h])
}

/// The mean over a window with gaps, which burn's pools do not have: a depthwise convolution with ones.
fn dilated_mean(x: Tensor<4>, w: &Window, count_pad: bool) -> Tensor<4> {
    let [_, c, h, width] = x.dims();
    let sum = |x: Tensor<4>| {
        let ones = Tensor::ones([c, 1, w.kernel[0], w.kernel[1]], &x.device());
        conv2d(x, ones, None, ConvOptions::new_with_padding(w.stride, pairs(w), w.dilation, c))
    };
    let device = x.device();
    if count_pad {
        return sum(x) / w.taps() as f32;
    }
    sum(x) / sum(Tensor::ones([1, c, h, width], &device))
}

fn pairs(w: &Window) -> [(usize, usize); 2] {
    [(w.pad[0], w.pad[2]), (w.pad[1], w.pad[3])]
}

fn vector(v: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(v.to_vec(), [v.len()]), device)
}

fn affine(weight: &[f32], shape: [usize; 4], bias: &[f32], device: &Device) -> Layer {
    Layer::Affine(Affine {
        weight: Param::from_tensor(Tensor::from_data(TensorData::new(weight.to_vec(), shape), device)),
        bias: Param::from_tensor(vector(bias, device)),
    })
}

/// A tensor's numbers on the host, in row-major order.
///
/// # Errors
/// When the device cannot give them back.
pub fn floats<const D: usize>(t: Tensor<D>) -> Result<Vec<f32>> {
    t.into_data()
        .convert::<f32>()
        .try_to_vec::<f32>()
        .map_err(|e| Error::new(format!("the device gave no data back: {e:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{eval, samples};
    use crate::quant::testing::random_network;

    /// Every operation of the zoo's networks gives what the reference evaluator gives.
    #[test]
    fn agrees_with_the_reference_evaluator() {
        for arch in zoo::ARCHS {
            let shape = if arch.name == "resnet8" { vec![3, 16, 16] } else { vec![3, 32] };
            let graph = zoo::build(arch.name, &shape, 4, 3).unwrap();
            let net = Net::new(&graph, &device("cpu").unwrap());
            let n = graph.input_shape().len();
            let x: Vec<f32> = (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
            let got = floats(net.forward(net.input(x.clone()))).unwrap();
            let want = eval::eval_output(&graph, &x);
            for (a, b) in got.iter().zip(&want) {
                assert!((a - b).abs() < 1e-3 * b.abs().max(1.0), "{}: {a} {b}", arch.name);
            }
            assert_eq!(net.to_graph().unwrap(), graph);
        }
    }

    /// As do random networks with every operation and odd windows, at every node.
    #[test]
    fn agrees_on_odd_windows() {
        let cpu = device("cpu").unwrap();
        let graphs = (0..80).map(samples::varied_graph).chain((0..80).map(random_network));
        for (seed, graph) in graphs.enumerate() {
            let net = Net::new(&graph, &cpu);
            let x = samples::input(&graph, seed as u64);
            let got = net.forward_all(net.input(x.clone()));
            assert_eq!(got.len(), graph.nodes.len());
            for ((node, got), want) in graph.nodes.iter().zip(got).zip(eval::eval(&graph, &x)) {
                let got = floats(got).unwrap();
                let scale = want.iter().fold(1f32, |m, v| m.max(v.abs()));
                let same = got.len() == want.len() && got.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-4 * scale);
                assert!(same, "{seed} {}: {got:?} {want:?}", node.name);
            }
        }
    }

    /// Every weight of random networks gets a gradient that is a number.
    #[test]
    fn gradients_are_finite() {
        let device = device("cpu").unwrap().autodiff();
        for seed in 0..60 {
            let graph = samples::varied_graph(seed);
            let net = Net::new(&graph, &device);
            let y = net.forward(net.input(samples::input(&graph, seed)));
            let grads = loss::cross_entropy(y, &[1], &[1.0]).backward();
            let read = graph.consumers();
            for (id, node) in graph.nodes.iter().enumerate().filter(|(id, _)| net.affine(*id).is_some()) {
                if read[id].is_empty() && id != graph.output {
                    continue;
                }
                let grad = net.affine(id).and_then(|a| a.weight.grad(&grads)).expect("a gradient");
                assert!(floats(grad).unwrap().iter().all(|g| g.is_finite()), "{seed} {}", node.name);
            }
        }
    }
}
