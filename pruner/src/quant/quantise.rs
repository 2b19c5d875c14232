//! From a folded f32 graph and calibrated ranges to the integers that the runtime takes.

use super::equalise::equalise;
use super::fixed;
use super::fuse::{Step, fuse, label, tap_range, whole};
use super::pointwise::{SHARES, moves, table};
use super::{Method, QGraph, QNode, QOp, QParams, Ranges};
use crate::error::{Context, Error, Result};
use crate::graph::{Conv, Graph, Linear, NodeId, Op, Shape, Window};
use evenkeel_runtime::format::{InputChannel, input_rounding};

/// Quantises a graph without batch normalisation and softmax; see [`Ranges`] for its activations.
///
/// Clips join the operation before them; Flatten disappears, the weights behind it are reordered. `input_norm` is
/// one record per channel, one for all, or none where raw values are what the network takes.
///
/// Input channels of different sizes get a gain each, which goes into the normalisation and out of the first weights, so
/// there may be more records of `input_norm` afterwards.
///
/// The result's own range is never clipped: which class wins is decided at its ends.
///
/// # Errors
/// Operations and layouts that have no int8 form, nodes without calibration, weights that are not numbers, layers
/// too wide for 32-bit sums, each with the node's name; an `input_norm` of another length.
pub fn quantise(graph: &Graph, ranges: &Ranges, input_norm: Vec<InputChannel>) -> Result<QGraph> {
    check_norm(graph, &input_norm)?;
    let steps = fuse(graph)?;
    let equal = equalise(graph, ranges, &input_norm).context(label(graph, 0))?;
    let (graph, input_norm, input_range) = match &equal {
        Some(e) => (&e.graph, e.norm.clone(), Some(e.range)),
        None => (graph, input_norm, None),
    };
    let mut nodes: Vec<QNode> = Vec::with_capacity(steps.steps.len());
    let last = steps.steps[steps.output].op;
    // Of a concatenation, for all its parts.
    let joined = |id: NodeId| -> Result<QParams> {
        let (lo, hi) = if id == last { ranges.range_by(id, Method::MinMax)? } else { ranges.range(id)? };
        let (scale, zero) = fixed::params(lo, hi);
        Ok(QParams { scale: fixed::stored(fixed::input_scale(scale))?, zero })
    };
    for (i, step) in steps.steps.iter().enumerate() {
        let range = || match (input_range, step.op) {
            (Some(range), 0) => Ok(range),
            _ if i == steps.output => ranges.range_by(step.value, Method::MinMax),
            _ => ranges.range(step.value),
        };
        let given = step.part_of.map(joined).transpose().context(label(graph, step.op))?;
        let given = if graph.nodes[step.op].op == Op::Concat { Some(joined(step.op)?) } else { given };
        nodes.push(one(graph, step, range, given, &nodes).context(label(graph, step.op))?);
    }
    Ok(QGraph {
        name: graph.name.clone(),
        input_rank: graph.input_rank,
        input_norm,
        input_rounding: input_rounding::HALF_AWAY,
        nodes,
        output: steps.output,
    })
}

pub(crate) fn check_norm(graph: &Graph, norm: &[InputChannel]) -> Result<()> {
    let channels = graph.input_shape().c;
    if norm.len() > 1 && norm.len() != channels {
        return Err(Error::new(format!("the input has {channels} channels and {} normalisations", norm.len()))
            .help("give one mean and standard deviation, or one per channel"));
    }
    if norm.iter().any(|n| ![n.scale, n.mean, n.std].iter().all(|v| v.is_finite()) || n.std == 0.0) {
        return Err(Error::new("the input normalisation divides by zero or is not a number"));
    }
    Ok(())
}

/// Quantises one step to its `range`, or with parameters that a concatenation gives; `done` are the steps before it.
fn one(
    graph: &Graph,
    step: &Step,
    range: impl Fn() -> Result<(f32, f32)>,
    given: Option<QParams>,
    done: &[QNode],
) -> Result<QNode> {
    let node = &graph.nodes[step.op];
    let input = |i: usize| &done[step.inputs[i]];
    let finish = |op: QOp, out: QParams, clamp: (i8, i8)| {
        let (name, inputs, shape) = (node.name.clone(), step.inputs.clone(), step.shape);
        Ok(QNode { name, op, inputs, shape, out, clamp })
    };
    if let Op::MaxPool(window) = &node.op {
        tap_range(window, input(0).shape, step.shape)?;
        return finish(QOp::MaxPool(*window), input(0).out, (-128, 127));
    }

    match (&node.op, given) {
        (Op::Concat, Some(out)) if step.requantises => {
            return finish(QOp::Lut(table(|x| x, input(0).out, out, step.clip)), out, (-128, 127));
        }
        (Op::Concat, Some(out)) => return finish(QOp::Concat, out, (-128, 127)),
        (Op::Resize { .. } | Op::Pad { .. } | Op::Slice { .. }, _) => {
            return finish(moves(&node.op)?, input(0).out, (-128, 127));
        }
        (Op::Softmax, _) => {
            let table = super::given::softmax_table(input(0).out.scale, step.shape.c);
            return finish(QOp::Softmax { table }, SHARES, (-128, 127));
        }
        _ => {}
    }

    let (wanted, zero) = match given {
        Some(out) => (out.scale as f64, out.zero),
        None => {
            let (lo, hi) = range()?;
            fixed::params(lo.clamp(step.clip.0, step.clip.1), hi.clamp(step.clip.0, step.clip.1))
        }
    };
    let mean = |window: Window, count_pad: bool| -> Result<(QOp, f32)> {
        let taps = tap_range(&window, input(0).shape, step.shape)?;
        let counted = count_pad.then_some(window.taps());
        let (requant, left_shift, scale) = fixed::mean(taps, counted, input(0).out, wanted)?;
        Ok((QOp::AvgPool { window, requant, count_base: taps.0, left_shift }, scale))
    };
    let (op, scale) = match &node.op {
        Op::Input => (QOp::Input, fixed::stored(fixed::input_scale(wanted))?),
        Op::Conv(conv) => {
            let (mut weights, scale) = fixed::layer(&conv.weight, &conv.bias, input(0).out, wanted)?;
            weights.data = conv_order(&weights.data, conv);
            (QOp::Conv { window: conv.window, groups: conv.groups, weights }, scale)
        }
        Op::Linear(linear) => {
            let (mut weights, scale) = fixed::layer(&linear.weight, &linear.bias, input(0).out, wanted)?;
            weights.data = linear_order(&weights.data, linear, input(0).shape);
            (QOp::Linear(weights), scale)
        }
        Op::Add => {
            let (mul, bias, shift, scale) = fixed::sum([input(0).out, input(1).out], zero, wanted)?;
            (QOp::Add { mul: mul.map(i32::from), bias, shift }, scale)
        }
        Op::Mul => {
            let (mul, left_shift, scale) = fixed::product([input(0).out, input(1).out], wanted)?;
            (QOp::Mul { mul, left_shift }, scale)
        }
        Op::Activation(f) => {
            let scale = fixed::stored(fixed::input_scale(wanted))?;
            (QOp::Lut(table(|x| f.apply(x), input(0).out, QParams { scale, zero }, step.clip)), scale)
        }
        Op::AvgPool { window, count_pad } => mean(*window, *count_pad)?,
        Op::GlobalAvgPool => mean(whole(input(0).shape), false)?,
        // Values that others read unclipped: the mean over one tap is a requantisation.
        Op::Clip { .. } => mean(whole(Shape::vector(1)), false)?,
        _ => {
            return Err(Error::new("internal error: not a step"));
        }
    };
    let out = QParams { scale, zero };
    if given.is_some_and(|g| g.scale != scale) {
        return Err(Error::new("its steps are coarser than those of the concatenation that it goes into")
            .help("let the parts of a concatenation have values of similar size"));
    }
    // The caller fills the input; nothing clips it but int8.
    let clamp = if op == QOp::Input { (-128, 127) } else { fixed::clamp(out, step.clip) };
    finish(op, out, clamp)
}

/// OIHW to OHWI, or to HWC for a depthwise convolution (one filter per channel).
pub(crate) fn conv_order<T: Copy>(weight: &[T], conv: &Conv) -> Vec<T> {
    let taps = conv.window.taps();
    let at = |o: usize, tap: usize, i: usize| weight[(o * conv.inp + i) * taps + tap];
    if conv.is_depthwise() {
        (0..taps).flat_map(|tap| (0..conv.out).map(move |o| at(o, tap, 0))).collect()
    } else {
        let inner = move |o| (0..taps).flat_map(move |tap| (0..conv.inp).map(move |i| at(o, tap, i)));
        (0..conv.out).flat_map(inner).collect()
    }
}

/// Rows in C × H × W order to rows in H × W × C order, the order of the tensor `from`.
pub(crate) fn linear_order<T: Copy>(weight: &[T], linear: &Linear, from: Shape) -> Vec<T> {
    let pixels = from.h * from.w;
    let row = |row: &[T]| -> Vec<T> {
        (0..pixels).flat_map(|p| (0..from.c).map(move |c| c * pixels + p)).map(|i| row[i]).collect()
    };
    weight.chunks(linear.inp.max(1)).flat_map(row).collect()
}
