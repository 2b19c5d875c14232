//! The network as a typed graph: what the importer makes, every pass maps, and lowering reads.
//!
//! Shapes are of one sample; the batch axis is implicit. A sequence is an image of height 1, a vector an
//! image of height and width 1. Weights are f32 in PyTorch's order (OIHW); passes are plain functions
//! `Graph -> Graph` in the modules beside this one.

use std::fmt;

mod activation;
pub mod cost;
mod edit;
pub mod eval;
pub mod infer;
pub mod norm;
mod pad;
#[cfg(test)]
pub(crate) mod samples;
pub mod tail;

pub use activation::Activation;
pub(crate) use edit::drop_dead;
pub(crate) use pad::fold_pad;

/// Shape of one sample of an activation: channels, height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Channels (features of a vector).
    pub c: usize,
    /// Height; 1 for sequences and vectors.
    pub h: usize,
    /// Width; the length of a sequence, 1 for vectors.
    pub w: usize,
}

impl Shape {
    /// `c × h × w`.
    pub fn new(c: usize, h: usize, w: usize) -> Self {
        Shape { c, h, w }
    }

    /// A vector of `c` features.
    pub fn vector(c: usize) -> Self {
        Shape { c, h: 1, w: 1 }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Number of elements along an axis.
    pub fn along(&self, axis: Axis) -> usize {
        match axis {
            Axis::C => self.c,
            Axis::H => self.h,
            Axis::W => self.w,
        }
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.c, self.h, self.w)
    }
}

/// Index of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// A feed-forward network with one input and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The network's name (the file's stem).
    pub name: String,
    /// Dimensions of the user's input array without the batch axis: 1 vector, 2 sequence (C, L), 3 image (C, H, W).
    pub input_rank: usize,
    /// Topological order; node 0 is the only [`Op::Input`].
    pub nodes: Vec<Node>,
    /// The node whose value is the network's result.
    pub output: NodeId,
}

/// One operation and the shape of its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The name in the user's file.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Nodes that it reads; each index is smaller than its own.
    pub inputs: Vec<NodeId>,
    /// Shape of the result.
    pub shape: Shape,
}

/// The operations that the chain knows end to end.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The network's input.
    Input,
    /// Convolution (1-D ones have height 1).
    Conv(Conv),
    /// Batch normalisation per channel, in its inference form.
    BatchNorm(BatchNorm),
    /// `min(max(x, lo), hi)`: Relu is `[0, ∞)`, ReLU6 `[0, 6]`.
    Clip {
        /// Lower bound.
        lo: f32,
        /// Upper bound.
        hi: f32,
    },
    /// Element-wise sum of two inputs of the same shape.
    Add,
    /// Maximum over a window; padding never wins.
    MaxPool(Window),
    /// Mean over a window. With `count_pad` the padded zeros count.
    AvgPool {
        /// The window.
        window: Window,
        /// Whether padding is counted in the mean.
        count_pad: bool,
    },
    /// Mean over height and width.
    GlobalAvgPool,
    /// `C × H × W` to a vector, in that order.
    Flatten,
    /// Fully connected layer on a vector.
    Linear(Linear),
    /// Softmax over a vector.
    Softmax,
    /// Two or more inputs of the same height and width, one behind the other along the channels.
    Concat,
    /// Element-wise product. The second input has the shape of the first, or is a vector of one factor per channel.
    Mul,
    /// A function of each element.
    Activation(Activation),
    /// Every element repeated: nearest neighbour at an integer scale.
    Resize {
        /// How often, vertically and horizontally.
        scale: [usize; 2],
    },
    /// A border of one value.
    Pad {
        /// Width of the border: top, left, bottom, right.
        pad: [usize; 4],
        /// What it is filled with.
        value: f32,
    },
    /// A run of neighbours along one axis.
    Slice {
        /// The axis.
        axis: Axis,
        /// Index of the first.
        begin: usize,
        /// How many there are.
        len: usize,
    },
}

/// An axis of a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Channels.
    C,
    /// Height.
    H,
    /// Width.
    W,
}

impl Axis {
    /// Row, column and channel of the first element of a slice that begins at `begin` on this axis.
    pub(crate) fn first(self, begin: usize) -> [usize; 3] {
        match self {
            Axis::H => [begin, 0, 0],
            Axis::W => [0, begin, 0],
            Axis::C => [0, 0, begin],
        }
    }
}

/// Geometry of a sliding window, each pair vertical then horizontal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps.
    pub stride: [usize; 2],
    /// Distances between taps.
    pub dilation: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pad: [usize; 4],
}

impl Window {
    /// Output height and width, or `None` where the window does not fit or a field is zero.
    pub fn output(&self, h: usize, w: usize) -> Option<(usize, usize)> {
        let one = |size: usize, i: usize, pad: usize| {
            let span = self.dilation[i].checked_mul(self.kernel[i].checked_sub(1)?)?.checked_add(1)?;
            let room = size.checked_add(pad)?.checked_sub(span)?;
            Some(room.checked_div(self.stride[i])? + 1)
        };
        Some((one(h, 0, self.pad[0].checked_add(self.pad[2])?)?, one(w, 1, self.pad[1].checked_add(self.pad[3])?)?))
    }

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// Weights of a convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Output channels.
    pub out: usize,
    /// Input channels per group.
    pub inp: usize,
    /// Groups; equal to the input channels and to `out` in a depthwise convolution.
    pub groups: usize,
    /// The sliding window.
    pub window: Window,
    /// `[out][inp][kh][kw]`.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

impl Conv {
    /// One filter per channel.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.inp == 1 && self.groups == self.out
    }

    /// Weights per output channel.
    pub fn fan_in(&self) -> usize {
        self.inp * self.window.taps()
    }
}

/// Batch normalisation: `(x - mean) / sqrt(var + eps) * gamma + beta`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Scale per channel.
    pub gamma: Vec<f32>,
    /// Shift per channel.
    pub beta: Vec<f32>,
    /// Running mean per channel.
    pub mean: Vec<f32>,
    /// Running variance per channel.
    pub var: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

/// Weights of a fully connected layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Output features.
    pub out: usize,
    /// Input features.
    pub inp: usize,
    /// `[out][inp]`.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

impl Graph {
    /// Shape of the input.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// Shape of the result.
    pub fn output_shape(&self) -> Shape {
        self.nodes[self.output].shape
    }

    /// Multiply-accumulates per node, for one sample.
    pub fn macs_of(&self, id: NodeId) -> usize {
        let n = &self.nodes[id];
        match &n.op {
            Op::Conv(c) => n.shape.len() * c.fan_in(),
            Op::Linear(l) => l.inp * l.out,
            _ => 0,
        }
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> usize {
        (0..self.nodes.len()).map(|i| self.macs_of(i)).sum()
    }

    /// Trained parameters of a node: weights, biases, and normalisation.
    pub fn params_of(&self, id: NodeId) -> usize {
        match &self.nodes[id].op {
            Op::Conv(c) => c.weight.len() + c.bias.len(),
            Op::Linear(l) => l.weight.len() + l.bias.len(),
            Op::BatchNorm(b) => 4 * b.gamma.len(),
            _ => 0,
        }
    }

    /// Trained parameters of the network.
    pub fn params(&self) -> usize {
        (0..self.nodes.len()).map(|i| self.params_of(i)).sum()
    }

    /// The layer that makes the result: the first with weights on the way back from the output. `None` where several
    /// tensors meet before there is one.
    pub fn last_layer(&self) -> Option<NodeId> {
        let mut id = self.output;
        loop {
            match (&self.nodes[id].op, self.nodes[id].inputs.as_slice()) {
                (Op::Conv(_) | Op::Linear(_), _) => return Some(id),
                (_, &[input]) => id = input,
                _ => return None,
            }
        }
    }

    /// For each node, the nodes that read it.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut out = vec![Vec::new(); self.nodes.len()];
        for (i, n) in self.nodes.iter().enumerate() {
            for &j in &n.inputs {
                out[j].push(i);
            }
        }
        out
    }
}

impl Op {
    /// The name that users know it by.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "Input",
            Op::Conv(c) if c.is_depthwise() => "DepthwiseConv",
            Op::Conv(_) => "Conv",
            Op::BatchNorm(_) => "BatchNorm",
            Op::Clip { lo, hi } if *lo == 0.0 && *hi == 6.0 => "ReLU6",
            Op::Clip { lo, hi } if *lo == 0.0 && *hi == f32::INFINITY => "ReLU",
            Op::Clip { .. } => "Clip",
            Op::Add => "Add",
            Op::MaxPool(_) => "MaxPool",
            Op::AvgPool { .. } => "AvgPool",
            Op::GlobalAvgPool => "GlobalAvgPool",
            Op::Flatten => "Flatten",
            Op::Linear(_) => "Linear",
            Op::Softmax => "Softmax",
            Op::Concat => "Concat",
            Op::Mul => "Mul",
            Op::Activation(f) => f.name(),
            Op::Resize { .. } => "Resize",
            Op::Pad { .. } => "Pad",
            Op::Slice { .. } => "Slice",
        }
    }
}
