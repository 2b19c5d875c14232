//! The quantised network: integers and geometry only, before anything has a place in memory.
//!
//! Activations are H × W × C, weights OHWI (depthwise HWC, linear `[out][h·w·c]`), as the runtime takes
//! them; [`super::simulate`] defines what it computes and [`crate::lower`] gives it bytes.

use crate::graph::{Shape, Window};
use evenkeel_runtime::format::{InputChannel, Requant};

/// `real = scale * (q - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QParams {
    /// Step between two integers.
    pub scale: f32,
    /// The integer that stands for 0.0.
    pub zero: i8,
}

/// A network of int8 operations with one input and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct QGraph {
    /// Name of the network.
    pub name: String,
    /// See [`crate::graph::Graph::input_rank`].
    pub input_rank: usize,
    /// Normalisation of raw values, one per channel or one for all.
    pub input_norm: Vec<InputChannel>,
    /// How inputs are rounded, a code of [`evenkeel_runtime::format::input_rounding`].
    pub input_rounding: u16,
    /// Topological order; node 0 is the input.
    pub nodes: Vec<QNode>,
    /// The node whose value is the result.
    pub output: usize,
}

/// One operation, its result's shape and quantisation.
#[derive(Clone, Debug, PartialEq)]
pub struct QNode {
    /// The name in the user's file.
    pub name: String,
    /// What it computes.
    pub op: QOp,
    /// Nodes that it reads.
    pub inputs: Vec<usize>,
    /// Shape of the result.
    pub shape: Shape,
    /// Quantisation of the result.
    pub out: QParams,
    /// Range that the activation leaves, normally -128..=127.
    pub clamp: (i8, i8),
}

/// The integer operations of the runtime.
#[derive(Clone, Debug, PartialEq)]
pub enum QOp {
    /// The network's input.
    Input,
    /// Convolution (`groups == 1`), grouped or depthwise.
    Conv {
        /// The sliding window.
        window: Window,
        /// Groups; equal to the channels in a depthwise convolution.
        groups: usize,
        /// Weights and requantisation.
        weights: QWeights,
    },
    /// Fully connected over the whole input tensor in H × W × C order.
    Linear(QWeights),
    /// `(a * mul[0] + b * mul[1] + bias) >> shift`
    Add {
        /// Multipliers. Those of calibrated networks fit 16 bits; given scales may need up to 2^21.
        mul: [i32; 2],
        /// Zero points and rounding.
        bias: i32,
        /// Right shift.
        shift: u32,
    },
    /// Maximum over a window.
    MaxPool(Window),
    /// Mean over the valid taps of a window.
    AvgPool {
        /// The window.
        window: Window,
        /// One per number of valid taps, the first for `count_base` taps.
        requant: Vec<Requant>,
        /// Smallest number of valid taps.
        count_base: usize,
        /// Shift of the sum before the multiplication.
        left_shift: u8,
    },
    /// `requantise((a - zero_a) * (b - zero_b))`; the second input has the first one's shape or one value per channel.
    Mul {
        /// `scale_a * scale_b / scale_out * 2^(32 - left_shift)`.
        mul: i32,
        /// Shift of the product before the multiplication.
        left_shift: u8,
    },
    /// `table[x + 128]`
    Lut(Box<[i8; 256]>),
    /// Softmax over the channels of a pixel; the result has scale 1/256 and zero -128. With `d` the distance of a value
    /// from the largest: `clamp(zero + (table[d] * 256 + sum / 2) / sum)`, where `sum` adds up the `table[d]` of all.
    Softmax {
        /// `exp(-scale_in * d)` in fixed point, for each `d` in 0..=255.
        table: Vec<u32>,
    },
    /// Each pixel becomes that many rows and columns of equal ones.
    Resize([usize; 2]),
    /// A box of the input; its first row, column and channel.
    Slice([usize; 3]),
    /// A border of the input's zero point; rows above, columns to the left.
    Pad([usize; 2]),
    /// The channels of all inputs, one after the other; all have the result's quantisation.
    Concat,
}

/// int8 weights with their requantisation.
#[derive(Clone, Debug, PartialEq)]
pub struct QWeights {
    /// OHWI, depthwise HWC, linear `[out][in]`.
    pub data: Vec<i8>,
    /// One per output channel.
    pub requant: Vec<Requant>,
    /// Shift of the accumulator before the multiplication.
    pub left_shift: u8,
}
