//! From a network that is quantised already to the integers that the runtime takes: every scale and zero point is kept.
//!
//! Each mark is a step: the operator before it, the clips between, and the marks that the operator reads. Flatten
//! disappears as in [`super::fuse`].

use super::fuse::{NONE, label, tap_range, whole};
use super::pointwise::{SHARES, moves, table};
use super::quantise::{check_norm, conv_order, linear_order};
use super::{QGraph, QNode, QOp, QParams, fixed, given};
use crate::error::{Context, Error, Result};
use crate::graph::{NodeId, Op, Shape, Window};
use crate::onnx::Marked;
use evenkeel_runtime::format::{InputChannel, input_rounding};
use std::collections::HashMap;

/// The help of errors about what is not quantised.
const MIXED: &str = "every operator needs QuantizeLinear and DequantizeLinear on its inputs and its result; \
    quantise the whole network, or compile the f32 network with --data";

/// The network of a quantised file. `input_norm` is one record per channel, one for all, or none, as in [`super::quantise()`].
///
/// # Errors
/// An operator that is not between QuantizeLinear and DequantizeLinear, scales that the runtime's arithmetic cannot
/// express, weights that are not symmetric, each with the node's name; an `input_norm` of another length.
pub fn from_marks(marked: &Marked, input_norm: Vec<InputChannel>) -> Result<QGraph> {
    let graph = &marked.graph;
    check_norm(graph, &input_norm)?;
    let mut pass = Pass { marked, at: HashMap::new(), nodes: Vec::new() };
    let mut needed = vec![false; graph.nodes.len()];
    needed[graph.output] = true;
    for id in (0..graph.nodes.len()).rev() {
        if needed[id] {
            graph.nodes[id].inputs.iter().for_each(|&i| needed[i] = true);
        }
    }
    for id in (0..graph.nodes.len()).filter(|&id| needed[id] && marked.params.contains_key(&id)) {
        let before = pass.producer(id).0;
        let name = match marked.params.contains_key(&before) {
            true => format!("QuantizeLinear '{}'", graph.nodes[id].name),
            false => label(graph, before),
        };
        let step = pass.step(id).context(name)?;
        pass.at.insert(id, step);
    }
    let output = pass.mark(graph.output, graph.output)?;
    let shape = pass.nodes[output].shape;
    if shape.c > 1 && shape.h * shape.w > 1 && graph.output_shape() != shape {
        return Err(Error::new(format!(
            "the result is {shape} flattened, which the runtime would give in another order"
        ))
        .help("end the network before its last Flatten"));
    }
    Ok(QGraph {
        name: graph.name.clone(),
        input_rank: graph.input_rank,
        input_norm,
        input_rounding: input_rounding::HALF_EVEN,
        nodes: pass.nodes,
        output,
    })
}

struct Pass<'a> {
    marked: &'a Marked,
    /// Per mark, the step that gives its value.
    at: HashMap<NodeId, usize>,
    nodes: Vec<QNode>,
}

impl Pass<'_> {
    /// What a mark quantises, the clip between, seen through Flatten.
    fn producer(&self, mark: NodeId) -> (NodeId, (f32, f32)) {
        let nodes = &self.marked.graph.nodes;
        let (mut clip, mut id) = (NONE, nodes[mark].inputs[0]);
        loop {
            match nodes[id].op {
                _ if self.marked.params.contains_key(&id) => return (id, clip),
                // The later clip has the last word.
                Op::Clip { lo, hi } => clip = (lo.clamp(clip.0, clip.1), hi.clamp(clip.0, clip.1)),
                Op::Flatten => {}
                _ => return (id, clip),
            }
            id = nodes[id].inputs[0];
        }
    }

    /// The step of the mark that `reader` reads as `id`.
    fn mark(&self, mut id: NodeId, reader: NodeId) -> Result<usize> {
        let graph = &self.marked.graph;
        while let (false, Op::Flatten) = (self.at.contains_key(&id), &graph.nodes[id].op) {
            id = graph.nodes[id].inputs[0];
        }
        self.at.get(&id).copied().ok_or_else(|| {
            let what = match id == reader {
                true => format!("the result of {} is not quantised", label(graph, id)),
                false => format!("it reads {}, which is not quantised", label(graph, id)),
            };
            Error::new(what).help(MIXED)
        })
    }

    fn push(&mut self, id: NodeId, op: QOp, inputs: Vec<usize>, shape: Shape, out: QParams, clip: (f32, f32)) -> usize {
        let name = self.marked.graph.nodes[id].name.clone();
        let clamp = if clip == NONE { (-128, 127) } else { fixed::clamp(out, clip) };
        self.nodes.push(QNode { name, op, inputs, shape, out, clamp });
        self.nodes.len() - 1
    }

    /// The step of a mark.
    fn step(&mut self, mark: NodeId) -> Result<usize> {
        let graph = &self.marked.graph;
        let out = self.marked.params[&mark];
        let (id, clip) = self.producer(mark);
        let node = &graph.nodes[id];
        if let Some(&same) = self.at.get(&id) {
            return self.requantise(mark, same, out, clip);
        }
        if node.op == Op::Input {
            return self.input(out, clip);
        }
        let mut inputs = node.inputs.iter().map(|&i| self.mark(i, id)).collect::<Result<Vec<usize>>>()?;
        let from = inputs.iter().map(|&i| (self.nodes[i].shape, self.nodes[i].out)).collect::<Vec<_>>();
        let (shape, params) = from[0];
        // Linear reads any shape, since its weights are put in order.
        let flat = node.inputs.iter().zip(&from).any(|(&i, (shape, _))| graph.nodes[i].shape != *shape);
        let mean = |window: Window, count_pad: bool| -> Result<QOp> {
            let taps = tap_range(&window, shape, node.shape)?;
            let (requant, left_shift) = given::mean(taps, count_pad.then_some(window.taps()), params, out)?;
            Ok(QOp::AvgPool { window, requant, count_base: taps.0, left_shift })
        };
        let alike = matches!(node.op, Op::Concat | Op::Mul) || from.iter().all(|f| f.0 == shape);
        if flat && !matches!(node.op, Op::Linear(_) | Op::Add) || !alike {
            return Err(Error::new(format!("it reads {shape} flattened"))
                .help("only Linear can follow a Flatten, and sums of tensors that are flattened alike"));
        }
        // A sum of what was flattened alike is flattened in the same way.
        let mut result = if let Op::Add = node.op { shape } else { node.shape };
        let op = match &node.op {
            Op::Conv(conv) => {
                let data = self.integers(id, &conv.weight, conv.fan_in())?;
                let mut weights = given::layer(data, self.scales(id)?, &conv.bias, params, out)?;
                weights.data = conv_order(&weights.data, conv);
                QOp::Conv { window: conv.window, groups: conv.groups, weights }
            }
            Op::Linear(linear) => {
                let data = self.integers(id, &linear.weight, linear.inp)?;
                let mut weights = given::layer(data, self.scales(id)?, &linear.bias, params, out)?;
                weights.data = linear_order(&weights.data, linear, shape);
                QOp::Linear(weights)
            }
            Op::Add => {
                let (mul, bias, shift) = given::sum([params, from[1].1], out)?;
                QOp::Add { mul, bias, shift }
            }
            Op::AvgPool { window, count_pad } => mean(*window, *count_pad)?,
            Op::GlobalAvgPool => mean(whole(shape), false)?,
            Op::MaxPool(window) => {
                tap_range(window, shape, node.shape)?;
                let step = self.push(id, QOp::MaxPool(*window), inputs, node.shape, params, NONE);
                return self.requantise(mark, step, out, clip);
            }
            Op::Softmax => {
                if out != SHARES || clip != NONE {
                    return Err(Error::new(format!("its result has scale {} and zero point {}", out.scale, out.zero))
                        .help("a softmax is quantised with scale 1/256 and zero point -128 (0 in uint8)"));
                }
                result = Shape::vector(shape.len());
                QOp::Softmax { table: given::softmax_table(params.scale, shape.len()) }
            }
            Op::Mul => {
                let (mul, left_shift) = given::product([params, from[1].1], out)?;
                QOp::Mul { mul, left_shift }
            }
            Op::Activation(f) => QOp::Lut(table(|x| f.apply(x), params, out, clip)),
            Op::Concat => {
                for part in &mut inputs {
                    *part = self.requantise(mark, *part, out, NONE)?;
                }
                let step = self.push(id, QOp::Concat, inputs, node.shape, out, NONE);
                return self.requantise(mark, step, out, clip);
            }
            Op::Resize { .. } | Op::Slice { .. } | Op::Pad { .. } => {
                let op = moves(&node.op)?;
                let step = self.push(id, op, inputs, node.shape, params, NONE);
                return self.requantise(mark, step, out, clip);
            }
            Op::Input | Op::BatchNorm(_) | Op::Clip { .. } | Op::Flatten => {
                return Err(Error::new("it has no int8 form").help("fold batch normalisation before quantising"));
            }
        };
        Ok(self.push(id, op, inputs, result, out, clip))
    }

    /// The network's input in int8; there is one.
    fn input(&mut self, out: QParams, clip: (f32, f32)) -> Result<usize> {
        if clip != NONE {
            return Err(Error::new("the network's input is clipped before it is quantised").help(MIXED));
        }
        match self.nodes.first() {
            None => Ok(self.push(0, QOp::Input, vec![], self.marked.graph.input_shape(), out, NONE)),
            Some(first) if first.out == out => Ok(0),
            Some(first) => Err(Error::new(format!(
                "the network's input is quantised twice, with scales {} and {}",
                first.out.scale, out.scale
            ))
            .help("quantise the input once")),
        }
    }

    /// The value of `step` under other parameters, clipped: the mean over one tap, or nothing to do.
    fn requantise(&mut self, mark: NodeId, step: usize, out: QParams, clip: (f32, f32)) -> Result<usize> {
        let QNode { shape, out: before, .. } = self.nodes[step];
        if before == out && (clip == NONE || fixed::clamp(out, clip) == (-128, 127)) {
            return Ok(step);
        }
        let (requant, left_shift) = given::mean((1, 1), None, before, out)?;
        let window = whole(Shape::vector(1));
        let op = QOp::AvgPool { window, requant, count_base: 1, left_shift };
        Ok(self.push(mark, op, vec![step], shape, out, clip))
    }

    fn scales(&self, id: NodeId) -> Result<&[f32]> {
        let scales = self.marked.scales.get(&id).map(Vec::as_slice);
        scales.ok_or_else(|| Error::new("its weight is not quantised").help(MIXED))
    }

    /// The int8 weights that `weight` = `[out][fan_in]` was made of.
    fn integers(&self, id: NodeId, weight: &[f32], fan_in: usize) -> Result<Vec<i8>> {
        let mut data = Vec::with_capacity(weight.len());
        for (row, &scale) in weight.chunks(fan_in.max(1)).zip(self.scales(id)?) {
            for &w in row {
                let steps = f64::from(w) / f64::from(scale);
                if (steps - steps.round()).abs() > 1e-3 || !(-128.0..=127.0).contains(&steps.round()) {
                    let what = format!("a weight of {w} is not one of the 256 multiples of its scale {scale}");
                    return Err(Error::new(what).help("quantise weights to int8 after all arithmetic on them"));
                }
                data.push(steps.round() as i8);
            }
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests;
