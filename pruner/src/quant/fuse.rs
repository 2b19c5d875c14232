//! From a folded graph to the steps that the runtime takes: clipping joins its producer, Flatten disappears, parts of a
//! concatenation get its quantisation.
//!
//! Shapes alone decide, so the cost of a network can be known without its numbers.

use crate::error::{Context, Error, Result};
use crate::graph::{Graph, NodeId, Op, Shape, Window};

/// One operation of the runtime.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// The node that says what to compute. A `Clip` here has a producer that others read too, so it becomes an
    /// operation of its own.
    pub op: NodeId,
    /// The node whose values the result has to represent: `op`, or the last clip or maximum that only it feeds.
    pub value: NodeId,
    /// Bounds of the clips that joined.
    pub clip: (f32, f32),
    /// Steps that it reads.
    pub inputs: Vec<usize>,
    /// Shape of the result, never flattened.
    pub shape: Shape,
    /// The concatenation that the result goes into, whose quantisation it then has.
    pub part_of: Option<NodeId>,
    /// The step only brings its input to the quantisation of that concatenation; `op` is the concatenation.
    pub requantises: bool,
}

/// Steps in topological order, the input first, and the step of the result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Steps {
    /// Without those that do not lead to the result.
    pub steps: Vec<Step>,
    /// Index of the result.
    pub output: usize,
}

/// Takes the graph apart into steps.
///
/// # Errors
/// A batch normalisation or softmax that is left, and layouts that the runtime does not have, by node.
pub(crate) fn fuse(graph: &Graph) -> Result<Steps> {
    fuse_for(graph, true)
}

/// As [`fuse`]; `saturates` where the input is clipped to its range anyway, as int8 is.
///
/// # Errors
/// As [`fuse`].
pub(crate) fn fuse_for(graph: &Graph, saturates: bool) -> Result<Steps> {
    let readers = readers(graph);
    let at = vec![usize::MAX; graph.nodes.len()];
    let mut fusing = Fusing { graph, readers: &readers, at, steps: Vec::new(), saturates };
    for (id, &readers) in readers.iter().enumerate() {
        // Node 0 is what the caller fills, read or not.
        if readers > 0 || id == 0 {
            fusing.node(id).context(label(graph, id))?;
        }
    }
    let output = fusing.at[graph.output];
    let shape = fusing.steps[output].shape;
    if shape.c > 1 && shape.h * shape.w > 1 && graph.output_shape() != shape {
        let e = Error::new(format!("the result is {shape} flattened, which the runtime would give in another order"));
        return Err(e.help("end the network before its last Flatten")).context(label(graph, graph.output));
    }
    Ok(Steps { steps: fusing.steps, output })
}

/// How errors call a node of the user's network.
pub(crate) fn label(graph: &Graph, id: NodeId) -> String {
    let node = &graph.nodes[id];
    format!("{} '{}'", node.op.name(), node.name)
}

/// How often each node is read on the way to the result; the result is read once more, by the caller.
fn readers(graph: &Graph) -> Vec<usize> {
    let mut readers = vec![0; graph.nodes.len()];
    readers[graph.output] = 1;
    for id in (0..graph.nodes.len()).rev() {
        if readers[id] > 0 {
            for &i in &graph.nodes[id].inputs {
                readers[i] += 1;
            }
        }
    }
    readers
}

/// The window of a mean over the whole of `shape`.
pub(crate) fn whole(shape: Shape) -> Window {
    Window { kernel: [shape.h, shape.w], stride: [1, 1], dilation: [1, 1], pad: [0; 4] }
}

/// Smallest and largest number of valid taps of one axis (0 vertical, 1 horizontal), over `out` positions.
pub(crate) fn valid_taps(w: &Window, axis: usize, len: usize, out: usize) -> (usize, usize) {
    let (pad, dilation) = (w.pad[axis] as i64, w.dilation[axis] as i64);
    let counts = (0..out as i64).map(|position| {
        let start = position * w.stride[axis] as i64 - pad;
        // Taps t with 0 <= start + t * dilation < len.
        let first = (-start).max(0).div_euclid(dilation) + i64::from((-start).max(0) % dilation != 0);
        let end = ((len as i64 - start - 1).div_euclid(dilation) + 1).min(w.kernel[axis] as i64);
        (end - first).max(0) as usize
    });
    counts.fold((usize::MAX, 0), |(lo, hi), n| (lo.min(n), hi.max(n)))
}

/// Smallest and largest number of valid taps of a window on `input` that gives `output`.
///
/// # Errors
/// When a window lies wholly in the padding.
pub(crate) fn tap_range(w: &Window, input: Shape, output: Shape) -> Result<(usize, usize)> {
    let (rows, columns) = (valid_taps(w, 0, input.h, output.h), valid_taps(w, 1, input.w, output.w));
    if rows.0 * columns.0 == 0 {
        return Err(Error::new("a window lies wholly in the padding").help("pad by less than the kernel's size"));
    }
    Ok((rows.0 * columns.0, rows.1 * columns.1))
}

struct Fusing<'a> {
    graph: &'a Graph,
    readers: &'a [usize],
    /// Per node, the step that gives its value (for a flattened one: in the layout before).
    at: Vec<usize>,
    steps: Vec<Step>,
    /// Whether the input can clip.
    saturates: bool,
}

impl Fusing<'_> {
    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = &self.graph.nodes[id];
        match &node.op {
            Op::BatchNorm(_) => {
                return Err(Error::new("is not folded into a convolution").help("fold batch normalisation first"));
            }
            Op::Flatten => self.at[id] = self.at[node.inputs[0]],
            Op::Clip { lo, hi } => {
                if lo.is_nan() || hi.is_nan() {
                    return Err(Error::new("a bound is not a number"));
                }
                let clip = (lo.min(*hi), *hi);
                match self.producer(node.inputs[0], clip) {
                    Some(step) => {
                        let s = &mut self.steps[step];
                        s.clip = (s.clip.0.clamp(clip.0, clip.1), s.clip.1.clamp(clip.0, clip.1));
                        self.live(node.inputs[0], id);
                        self.at[id] = self.at[node.inputs[0]];
                    }
                    None => {
                        let shape = self.steps[self.at[node.inputs[0]]].shape;
                        self.push(id, shape, clip);
                    }
                }
            }
            Op::Linear(_) => self.push(id, node.shape, NONE),
            Op::Activation(_) => self.push(id, self.steps[self.at[node.inputs[0]]].shape, NONE),
            Op::Mul => {
                let [a, b] = [0, 1].map(|i| self.steps[self.at[node.inputs[i]]].shape);
                if a != b && b != Shape::vector(a.c) {
                    return Err(Error::new(format!("multiplies {a} by {b}, one of them flattened"))
                        .help("multiply before Flatten, or flatten tensors of one shape"));
                }
                self.push(id, a, NONE);
            }
            Op::Concat => {
                let mut parts = Vec::new();
                for &input in &node.inputs {
                    self.natural(input)?;
                    parts.push(self.part(id, input));
                }
                self.at[id] = self.steps.len();
                let (inputs, shape) = (parts, node.shape);
                self.steps.push(Step {
                    op: id,
                    value: id,
                    clip: NONE,
                    inputs,
                    shape,
                    part_of: None,
                    requantises: false,
                });
            }
            Op::Add => {
                let [a, b] = [0, 1].map(|i| self.steps[self.at[node.inputs[i]]].shape);
                if a != b {
                    return Err(Error::new(format!("adds {a} to {b}, one of them flattened"))
                        .help("add before Flatten, or flatten tensors of one shape"));
                }
                self.push(id, a, NONE);
            }
            Op::Input => self.push(id, node.shape, NONE),
            Op::Conv(_)
            | Op::MaxPool(_)
            | Op::AvgPool { .. }
            | Op::GlobalAvgPool
            | Op::Resize { .. }
            | Op::Pad { .. }
            | Op::Slice { .. }
            | Op::Softmax => {
                self.natural(node.inputs[0])?;
                self.push(id, node.shape, NONE);
                if let Op::MaxPool(_) = node.op {
                    self.live(node.inputs[0], id);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, id: NodeId, shape: Shape, clip: (f32, f32)) {
        let inputs = self.graph.nodes[id].inputs.iter().map(|&i| self.at[i]).collect();
        self.at[id] = self.steps.len();
        self.steps.push(Step { op: id, value: id, clip, inputs, shape, part_of: None, requantises: false });
    }

    /// An error where an operation would read a flattened tensor.
    fn natural(&self, input: NodeId) -> Result<()> {
        let (from, shape) = (self.graph.nodes[input].shape, self.steps[self.at[input]].shape);
        if from == shape {
            return Ok(());
        }
        Err(Error::new(format!("reads {shape} flattened to {from}"))
            .help("only Linear, Add, Mul, Clip and functions of one value can follow a Flatten"))
    }

    /// The step that gives `input` the quantisation of the concatenation `id`: its own where it is free to have any,
    /// else a new one.
    fn part(&mut self, id: NodeId, input: NodeId) -> usize {
        let step = self.at[input];
        let free = match self.graph.nodes[self.steps[step].op].op {
            Op::Input | Op::MaxPool(_) | Op::Concat | Op::Softmax => false,
            Op::Resize { .. } | Op::Pad { .. } | Op::Slice { .. } => false,
            _ => self.readers[input] == 1 && self.steps[step].part_of.is_none(),
        };
        if free {
            self.steps[step].part_of = Some(id);
            return step;
        }
        let (inputs, shape) = (vec![step], self.steps[step].shape);
        self.steps.push(Step { op: id, value: id, clip: NONE, inputs, shape, part_of: Some(id), requantises: true });
        self.steps.len() - 1
    }

    /// The steps from the one of `node` up through maxima whose every value goes only this way, the nearest
    /// first: a maximum keeps the quantisation of its input, and clipping can as well come before it.
    fn chain(&self, mut node: NodeId) -> Vec<usize> {
        let mut chain = Vec::new();
        while self.readers[node] == 1 {
            let step = self.at[node];
            if self.steps[step].op == node {
                chain.push(step);
                if !matches!(self.graph.nodes[node].op, Op::MaxPool(_)) {
                    break;
                }
            }
            node = match self.graph.nodes[node].inputs.first() {
                Some(&input) => input,
                None => break,
            };
        }
        chain
    }

    /// The step that can clip the value of `node` for its only reader.
    fn producer(&self, node: NodeId, clip: (f32, f32)) -> Option<usize> {
        let step = *self.chain(node).last()?;
        match self.graph.nodes[self.steps[step].op].op {
            // These only move values, or have a range of their own.
            Op::MaxPool(_) | Op::Concat | Op::Resize { .. } | Op::Pad { .. } | Op::Slice { .. } | Op::Softmax => None,
            // Saturation to int8 is all that clips the input, and zero is always in its range.
            Op::Input => (self.saturates && clip.0 <= 0.0 && clip.1 >= 0.0).then_some(step),
            _ => Some(step),
        }
    }

    /// What matters of `node` and of what only it reads are the values of `id`.
    fn live(&mut self, node: NodeId, id: NodeId) {
        for step in self.chain(node) {
            self.steps[step].value = id;
        }
    }
}

/// The clip that clips nothing.
pub(super) const NONE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
