//! The stored form of each layer's weights: every one of them, or only the tiles that are not zero where that pays.

use super::pays::{Layer, pays};
use super::program::Stored;
use super::target::Target;
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::quant::{QGraph, QNode, QOp, QWeights};
use clap::ValueEnum;
use evenkeel_runtime::format::pack::{Form, Packed, density, pack};
use evenkeel_runtime::format::{TENSOR_ALIGN, encoding, op};

/// Which stored forms convolutions and linear operators get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Forms {
    /// Blocks where they cost less and take fewer bytes, else dense
    #[default]
    Auto,
    /// Every weight
    Dense,
    /// Only the tiles that are not zero, in every layer
    Blocks,
    /// Two of each four taps where a layer has no more than these, else dense: saves bytes, not time
    TwoOfFour,
}

/// The weights of all nodes, ready to be stored; `arena` is what a network with these stored forms needs.
pub(super) fn all(
    q: &QGraph,
    target: Target,
    forms: Forms,
    arena: impl Fn(&[Option<Stored>]) -> Result<u32>,
) -> Result<Vec<Option<Packed>>> {
    let by = |forms| q.nodes.iter().map(move |node| packed(q, node, target, forms));
    let mut all: Vec<Option<Packed>> = by(forms).collect::<Result<_>>()?;
    // Kernels for blocks of linear layers may want a copy of their input, which must not break a budget.
    let bound = vec![None; all.len()];
    let sizes = sizes(&all);
    if forms == Forms::Auto && sizes != bound && arena(&sizes)? > arena(&bound)? {
        for ((all, dense), node) in all.iter_mut().zip(by(Forms::Dense)).zip(&q.nodes) {
            if matches!(node.op, QOp::Linear(_)) {
                *all = dense?;
            }
        }
    }
    Ok(all)
}

/// The sizes of what is not stored densely.
pub(super) fn sizes(packed: &[Option<Packed>]) -> Vec<Option<Stored>> {
    let size = |p: &Packed| Stored { encoding: p.encoding, weights: p.weights.len(), index: p.index.len() };
    packed.iter().map(|p| p.as_ref().filter(|p| p.encoding != encoding::DENSE).map(size)).collect()
}

/// The weights of a convolution or a linear operator, ready to be stored; `None` for other operations. The tiles that
/// are left out are those that are zero after quantisation.
fn packed(q: &QGraph, node: &QNode, target: Target, forms: Forms) -> Result<Option<Packed>> {
    let (weights, code) = match &node.op {
        QOp::Conv { weights, groups: 1, .. } => (weights, op::CONV),
        QOp::Linear(weights) => (weights, op::LINEAR),
        _ => return Ok(None),
    };
    let QWeights { data, requant, .. } = weights;
    let taps = data.len() / requant.len().max(1);
    let as_form = |form: Form| pack(data, taps, target.packing(), code, form);
    let sparse = match forms {
        Forms::Dense => None,
        Forms::Blocks => as_form(Form::Blocks),
        Forms::TwoOfFour => as_form(Form::TwoOfFour),
        Forms::Auto => {
            let tile = target.packing().tile(code, encoding::BLOCKS8);
            let layer = Layer::of(&node.op, q.nodes[node.inputs[0]].shape, node.shape);
            let wanted = layer.is_some_and(|l| pays(target, &l, density(data, taps, tile)));
            wanted.then(|| as_form(Form::Blocks)).flatten()
        }
    };
    let dense = as_form(Form::Dense).ok_or_else(|| Error::new("internal error: weights that do not pack"))?;
    let bytes =
        |p: &Packed| p.weights.len().next_multiple_of(TENSOR_ALIGN) + p.index.len().next_multiple_of(TENSOR_ALIGN);
    // What is known of a network before its weights are, the cost of its shapes, stays an upper bound.
    let smaller = |p: &Packed| bytes(p) <= bytes(&dense) && p.weights.len() <= data.len();
    Ok(Some(sparse.filter(|p| forms != Forms::Auto || smaller(p)).unwrap_or(dense)))
}

impl Layer {
    /// What the cost model has to know of a quantised operation from `from` to `to`; `None` for those without a
    /// matrix of weights.
    pub(super) fn of(op: &QOp, from: Shape, to: Shape) -> Option<Layer> {
        match op {
            QOp::Conv { window, groups: 1, .. } => Some(Layer::conv(window, from, to)),
            QOp::Linear(_) => Some(Layer::linear(from.len(), to.c)),
            _ => None,
        }
    }
}
