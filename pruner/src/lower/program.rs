//! From the operations of a network to the operators and tensors of a file: residual sums join the convolution before
//! them, and what is concatenated is written where it belongs. Shapes alone decide.

use crate::graph::{Graph, Op, Shape, Window};
use crate::quant::fuse::{Step, Steps, whole};
use crate::quant::{QGraph, QNode, QOp};

/// An operation, by shape.
pub(super) struct Item<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub inputs: &'a [usize],
    pub shape: Shape,
    /// Whether a sum can be computed with it: there are bounds for one of the two only where they are integers.
    pub takes_sum: bool,
    /// How its weights are stored, where it is not every one of them.
    pub stored: Option<Stored>,
}

/// A stored form by its sizes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub encoding: u8,
    pub weights: usize,
    pub index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Input,
    Conv {
        window: Window,
        groups: usize,
    },
    Linear,
    Add,
    MaxPool(Window),
    Mean(Window),
    Mul,
    Lut,
    Softmax,
    Resize([usize; 2]),
    /// First row, column and channel.
    Slice([usize; 3]),
    /// Rows above, columns to the left.
    Pad([usize; 2]),
    Concat,
    /// A function of one value in f32: its code, and how many parameters it has.
    Activation {
        function: u16,
        parameters: usize,
    },
}

/// The items of a quantised network; of each node, how its weights are stored.
pub(super) fn of_quantised<'a>(q: &'a QGraph, stored: &[Option<Stored>]) -> Vec<Item<'a>> {
    let kind = |op: &QOp| match op {
        QOp::Input => Kind::Input,
        QOp::Conv { window, groups, .. } => Kind::Conv { window: *window, groups: *groups },
        QOp::Linear(_) => Kind::Linear,
        QOp::Add { .. } => Kind::Add,
        QOp::MaxPool(window) => Kind::MaxPool(*window),
        QOp::AvgPool { window, .. } => Kind::Mean(*window),
        QOp::Mul { .. } => Kind::Mul,
        QOp::Lut(_) => Kind::Lut,
        QOp::Softmax { .. } => Kind::Softmax,
        QOp::Resize(by) => Kind::Resize(*by),
        QOp::Slice(first) => Kind::Slice(*first),
        QOp::Pad(first) => Kind::Pad(*first),
        QOp::Concat => Kind::Concat,
    };
    let item = |(n, stored): (&'a QNode, &Option<Stored>)| Item {
        name: &n.name,
        kind: kind(&n.op),
        inputs: &n.inputs,
        shape: n.shape,
        takes_sum: true,
        stored: *stored,
    };
    q.nodes.iter().zip(stored).map(item).collect()
}

/// The items that a graph will have when it is quantised.
pub(super) fn of_steps<'a>(graph: &'a Graph, steps: &'a Steps) -> Vec<Item<'a>> {
    let item = |step: &'a Step| {
        let node = &graph.nodes[step.op];
        let kind = match &node.op {
            Op::Conv(c) => Kind::Conv { window: c.window, groups: c.groups },
            Op::Linear(_) => Kind::Linear,
            Op::Add => Kind::Add,
            Op::MaxPool(window) => Kind::MaxPool(*window),
            Op::AvgPool { window, .. } => Kind::Mean(*window),
            Op::GlobalAvgPool => Kind::Mean(whole(steps.steps[step.inputs[0]].shape)),
            Op::Clip { .. } => Kind::Mean(whole(Shape::vector(1))),
            Op::Concat if step.requantises => Kind::Lut,
            Op::Concat => Kind::Concat,
            Op::Mul => Kind::Mul,
            Op::Activation(_) => Kind::Lut,
            Op::Resize { scale } => Kind::Resize(*scale),
            Op::Pad { pad, .. } => Kind::Pad([pad[0], pad[1]]),
            Op::Slice { axis, begin, .. } => Kind::Slice(axis.first(*begin)),
            Op::Softmax => Kind::Softmax,
            // Nothing else becomes a step.
            Op::Input | Op::BatchNorm(_) | Op::Flatten => Kind::Input,
        };
        Item { name: &node.name, kind, inputs: &step.inputs, shape: step.shape, takes_sum: true, stored: None }
    };
    steps.steps.iter().map(item).collect()
}

/// An operator of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    /// The item whose numbers it has; for a copy into a concatenation, the item that is copied.
    pub item: usize,
    /// What it computes.
    pub kind: Kind,
    /// Tensors that it reads.
    pub inputs: Vec<usize>,
    /// The tensor that it writes.
    pub output: usize,
    /// The first channel that it writes, and how many.
    pub channels: (usize, usize),
    /// The sum that is computed with it, and whether the item is the sum's second input.
    pub sum: Option<Sum>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sum {
    /// The item of the sum.
    pub item: usize,
    /// Whether what is added to the other tensor is the sum's second input.
    pub second: bool,
}

/// Operators in the order of execution, and tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Program {
    pub ops: Vec<Planned>,
    /// The item whose value each tensor holds; tensor 0 is the input.
    pub tensors: Vec<usize>,
}

impl Program {
    /// The tensor of an item's value.
    pub fn tensor(&self, item: usize) -> Option<usize> {
        self.tensors.iter().position(|&t| t == item)
    }
}

/// Puts items together; `fuse_sums` where memory is short.
pub(super) fn program(items: &[Item], output: usize, fuse_sums: bool) -> Program {
    let mut readers = vec![0usize; items.len()];
    readers[output] += 1;
    items.iter().flat_map(|item| item.inputs).for_each(|&i| readers[i] += 1);
    let places = places(items, output, &readers);
    let sums = if fuse_sums { sums(items, &readers, &places) } else { vec![None; items.len()] };

    let mut program = Program { ops: Vec::new(), tensors: vec![0] };
    let mut at = vec![0; items.len()];
    for (i, item) in items.iter().enumerate().skip(1) {
        // A sum that has joined an earlier operator is there already.
        if sums.contains(&Some(Sum { item: i, second: false })) || sums.contains(&Some(Sum { item: i, second: true })) {
            continue;
        }
        let sum = sums[i];
        let whole = places[i].map_or(sum.map_or(i, |s| s.item), |p| p.0);
        let tensor = program.tensor(whole).unwrap_or_else(|| {
            program.tensors.push(whole);
            program.tensors.len() - 1
        });
        at[i] = tensor;
        if let Some(sum) = sum {
            at[sum.item] = tensor;
        }
        let first = places[i].map_or(0, |p| p.1);
        if item.kind == Kind::Concat {
            let mut channel = first;
            for &part in item.inputs {
                let c = items[part].shape.c;
                // What others read too, or what is concatenated twice, is copied.
                if places[part] != Some((whole, channel)) {
                    program.ops.push(Planned {
                        item: part,
                        kind: Kind::Slice([0; 3]),
                        inputs: vec![at[part]],
                        output: tensor,
                        channels: (channel, c),
                        sum: None,
                    });
                }
                channel += c;
            }
            continue;
        }
        let mut inputs: Vec<usize> = item.inputs.iter().map(|&j| at[j]).collect();
        if let Some(sum) = sum {
            let other = items[sum.item].inputs[usize::from(!sum.second)];
            inputs.push(at[other]);
        }
        let channels = (first, item.shape.c);
        program.ops.push(Planned { item: i, kind: item.kind, inputs, output: tensor, channels, sum });
    }
    program
}

/// For each item that only a concatenation reads: the outermost concatenation, and its first channel there.
fn places(items: &[Item], output: usize, readers: &[usize]) -> Vec<Option<(usize, usize)>> {
    let mut places: Vec<Option<(usize, usize)>> = vec![None; items.len()];
    for (i, item) in items.iter().enumerate().rev().filter(|(_, item)| item.kind == Kind::Concat) {
        let (whole, mut channel) = places[i].unwrap_or((i, 0));
        for &part in item.inputs {
            if readers[part] == 1 && part != output && items[part].kind != Kind::Input {
                places[part] = Some((whole, channel));
            }
            channel += items[part].shape.c;
        }
    }
    places
}

/// For each item, the sum that can be computed with it: that of its only reader, whose other input is there before it.
fn sums(items: &[Item], readers: &[usize], places: &[Option<(usize, usize)>]) -> Vec<Option<Sum>> {
    let mut sums = vec![None; items.len()];
    for (i, item) in items.iter().enumerate().filter(|(i, item)| item.kind == Kind::Add && places[*i].is_none()) {
        let [a, b] = [item.inputs[0], item.inputs[1]];
        let (later, second) = if b > a { (b, true) } else { (a, false) };
        let weighted = matches!(items[later].kind, Kind::Conv { .. } | Kind::Linear);
        if a != b && weighted && items[later].takes_sum && readers[later] == 1 && items[later].shape == item.shape {
            sums[later] = Some(Sum { item: i, second });
        }
    }
    sums
}
