//! From a network in f32 to the bytes of a float model: the same file without quantisation.

use super::Lowered;
use super::extras::Extras;
use super::program::{Item, Kind, of_steps};
use super::skeleton::{Skeleton, skeleton};
use super::target::Target;
use super::{put, verify};
use crate::error::{Context, Error, Result};
use crate::graph::{Activation, Graph, Op};
use crate::quant::fuse::{Step, Steps, fuse_for, label};
use crate::quant::quantise::{check_norm, conv_order, linear_order};
use evenkeel_runtime::format::{Dtype, FileSpec, InputChannel, flag, function};
use half::f16;

/// Gives a network its bytes as a float model: activations in f32, weights in f32 or f16.
///
/// `graph` has its normalisation folded; `norm` is what the file says of raw inputs (nothing, one for all channels or
/// one per channel). `target` decides whether memory is saved; weights lie in one order for all.
///
/// # Errors
/// Networks that the runtime has no operators for and those beyond the format's limits, by node; weights that are not
/// finite numbers of the type; a `dtype` that is no float.
pub fn lower_float(
    graph: &Graph,
    norm: &[InputChannel],
    extras: &Extras,
    target: Target,
    dtype: Dtype,
) -> Result<Lowered> {
    if !dtype.is_float() {
        return Err(Error::new("an int8 model is lowered from a quantised network").help("quantise the network first"));
    }
    check_norm(graph, norm)?;
    let steps = fuse_for(graph, false)?;
    let items = of_float_steps(graph, &steps);
    let Skeleton { mut spec, program, data_len, .. } =
        skeleton(&items, steps.output, norm.len(), extras, target, dtype)?;
    spec.input_channels = norm.to_vec();
    spec.data = vec![0; data_len];
    for (i, planned) in program.ops.iter().enumerate() {
        let step = &steps.steps[planned.item];
        // A copy into a concatenation has no numbers.
        let is_copy = items[planned.item].kind != planned.kind;
        let (lo, hi) = match planned.sum {
            Some(sum) => steps.steps[sum.item].clip,
            None if is_copy => (f32::NEG_INFINITY, f32::INFINITY),
            None => step.clip,
        };
        spec.ops[i] = spec.ops[i].with_bounds(lo, hi);
        if !is_copy {
            fill(&mut spec, i, graph, &steps, step, dtype).context(label(graph, step.op))?;
        }
    }
    let bytes = spec.to_bytes();
    let macs = verify(&bytes)?;
    Ok(Lowered { bytes, arena: spec.arena_len as usize * dtype.arena_bytes(), macs })
}

/// The items of a network in f32: functions are computed, and nothing has to change its scale.
fn of_float_steps<'a>(graph: &'a Graph, steps: &'a Steps) -> Vec<Item<'a>> {
    let mut items = of_steps(graph, steps);
    for (item, step) in items.iter_mut().zip(&steps.steps) {
        let function = match &graph.nodes[step.op].op {
            Op::Activation(f) => Some(code(*f)),
            Op::Clip { .. } => Some((function::IDENTITY, vec![])),
            _ if step.requantises => Some((function::IDENTITY, vec![])),
            _ => None,
        };
        if let Some((function, parameters)) = function {
            item.kind = Kind::Activation { function, parameters: parameters.len() };
        }
        item.takes_sum = step.clip == (f32::NEG_INFINITY, f32::INFINITY);
    }
    items
}

/// The format's code of a function, and its parameters.
fn code(f: Activation) -> (u16, Vec<f32>) {
    match f {
        Activation::Sigmoid => (function::SIGMOID, vec![]),
        Activation::Tanh => (function::TANH, vec![]),
        Activation::HardSigmoid { alpha, beta } => (function::HARD_SIGMOID, vec![alpha, beta]),
        Activation::HardSwish => (function::HARD_SWISH, vec![]),
        Activation::Silu => (function::SILU, vec![]),
        Activation::LeakyRelu { slope } => (function::LEAKY_RELU, vec![slope]),
        Activation::Gelu => (function::GELU, vec![]),
    }
}

/// Puts the numbers of `step` into operator `i`.
fn fill(spec: &mut FileSpec, i: usize, graph: &Graph, steps: &Steps, step: &Step, dtype: Dtype) -> Result<()> {
    let (weights, numbers) = match &graph.nodes[step.op].op {
        Op::Conv(conv) => (conv_order(&conv.weight, conv), conv.bias.clone()),
        Op::Linear(linear) => {
            let from = steps.steps[step.inputs[0]].shape;
            (linear_order(&linear.weight, linear, from), linear.bias.clone())
        }
        Op::Activation(f) => (vec![], code(*f).1),
        Op::Pad { value, .. } => (vec![], vec![*value]),
        Op::AvgPool { count_pad: true, .. } => {
            spec.ops[i].flags |= flag::COUNT_PAD;
            (vec![], vec![])
        }
        _ => (vec![], vec![]),
    };
    let op = &spec.ops[i];
    put(&mut spec.data, op.weights, op.weights_len as usize, &stored(&weights, dtype)?)?;
    let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    put(&mut spec.data, op.requant, op.requant_len as usize * size_of::<f32>(), &numbers)
}

/// Weights as a file holds them.
fn stored(weights: &[f32], dtype: Dtype) -> Result<Vec<u8>> {
    if let Some(w) = weights.iter().find(|w| !w.is_finite()) {
        return Err(Error::new(format!("has a weight of {w}")).help("train the network anew"));
    }
    if dtype == Dtype::F32 {
        return Ok(weights.iter().flat_map(|w| w.to_le_bytes()).collect());
    }
    let small = weights.iter().map(|&w| f16::from_f32(w));
    let bytes = small.map(|w| w.is_finite().then_some(w.to_le_bytes()));
    let bytes: Option<Vec<[u8; 2]>> = bytes.collect();
    let bytes = bytes.ok_or_else(|| {
        Error::new(format!("has a weight beyond ±{}, which f16 cannot hold", f16::MAX)).help("use --dtype f32")
    })?;
    Ok(bytes.concat())
}

#[cfg(test)]
mod tests;
