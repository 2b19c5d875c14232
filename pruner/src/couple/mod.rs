//! Dependency groups: which channels of which tensors stand and fall together.
//!
//! A class is a set of channels that many tensors share. A convolution or fully connected layer makes a class; normalisation,
//! activations, pools, depthwise convolutions, borders and resizing pass it on; a sum or a product makes two classes one
//! (the rules of Torch-Pruning, Fang et al., "DepGraph", CVPR 2023, for the operators that a [`Graph`] has). A
//! concatenation puts classes one behind the other, and a slice of channels cuts one in two, so the channels of a tensor are
//! a list of classes. Behind a Flatten every channel is a run of `span` neighbouring features.
//!
//! A removed channel need not be zero where it was (a sigmoid of zero is not): all that reads it loses the weights that
//! do, so nothing of it arrives.

mod pieces;

use crate::graph::{Axis, Graph, NodeId, Op};
use pieces::{Piece, Pieces};

/// The classes of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupling {
    /// In the order of their first node.
    pub classes: Vec<Class>,
    parts: Vec<Vec<Part>>,
}

/// A class as part of a tensor's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the class, all of whose channels follow one another.
    pub class: usize,
    /// Features of the tensor per channel: 1, or height × width behind a Flatten.
    pub span: usize,
}

/// Channels that can only be removed together.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// How many channels there are.
    pub channels: usize,
    /// Convolutions and fully connected layers with these among their output channels.
    pub producers: Vec<Member>,
    /// Depthwise convolutions and normalisations that have parameters for each of these channels.
    pub through: Vec<Member>,
    /// Layers that read these channels, once for each input that has them.
    pub consumers: Vec<Member>,
    /// Why no channel can be removed, where that is so.
    pub frozen: Option<String>,
    /// Name of the first node that has these channels, and which of its channels they are unless all.
    pub name: String,
    /// All nodes whose value has these channels.
    pub nodes: Vec<NodeId>,
}

/// A layer with parameters for the channels of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The layer.
    pub node: NodeId,
    /// The output channel, or of a consumer the input column, that belongs to the first channel of the class.
    pub offset: usize,
    /// How many there are per channel: 1, or height × width behind a Flatten.
    pub span: usize,
}

impl Coupling {
    /// The classes whose channels the value of a node has, one behind the other.
    pub fn parts(&self, node: NodeId) -> &[Part] {
        &self.parts[node]
    }

    /// Features of a node's value when every class has as many channels as `widths` says.
    pub fn features(&self, node: NodeId, widths: &[usize]) -> usize {
        self.parts[node].iter().map(|p| p.span * widths[p.class]).sum()
    }
}

/// Channels of each class.
pub fn widths(coupling: &Coupling) -> Vec<usize> {
    coupling.classes.iter().map(|c| c.channels).collect()
}

/// Finds the classes of a graph whose shapes are right ([`crate::graph::infer`]).
///
/// A graph that cuts channels into millions of pieces, which no network does, is not analysed: none of its channels
/// can be removed.
pub fn couple(graph: &Graph) -> Coupling {
    analyse(graph).unwrap_or_else(|| {
        let mut pieces = Pieces::default();
        let whole = |node: &crate::graph::Node| {
            let piece = pieces.fresh(node.shape.c);
            pieces.freeze(piece, "channels in too many pieces");
            vec![piece]
        };
        let tensors = graph.nodes.iter().map(whole).collect();
        collect(graph, pieces, tensors)
    })
}

/// [`couple`], or `None` when there are too many pieces.
fn analyse(graph: &Graph) -> Option<Coupling> {
    let mut pieces = Pieces::default();
    let mut tensors: Vec<Vec<Piece>> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let input = |i: usize| tensors[node.inputs[i]].as_slice();
        let tensor = match &node.op {
            Op::Input => {
                let piece = pieces.fresh(node.shape.c);
                pieces.freeze(piece, "network input");
                vec![piece]
            }
            Op::Conv(conv) if !conv.is_depthwise() => {
                let piece = pieces.fresh(conv.out);
                if conv.groups > 1 {
                    let why = format!("grouped convolution \"{}\"", node.name);
                    pieces.freeze_all(input(0), &why)?;
                    pieces.freeze(piece, &why);
                }
                vec![piece]
            }
            Op::Linear(linear) => vec![pieces.fresh(linear.out)],
            Op::Add | Op::Mul => {
                // Where one side is flattened and the other is not, their channels are runs of different lengths.
                let kind = if node.op == Op::Add { "sum" } else { "product" };
                let why = format!("{kind} \"{}\" of tensors with different channels", node.name);
                pieces.unite(input(0), input(1), &why)?;
                pieces.resolve(input(0))?
            }
            Op::Softmax => {
                if id != graph.output {
                    pieces.freeze_all(input(0), &format!("softmax \"{}\"", node.name))?;
                }
                pieces.resolve(input(0))?
            }
            Op::Concat => {
                let mut all = Vec::new();
                for i in 0..node.inputs.len() {
                    all.extend(pieces.resolve(input(i))?);
                }
                all
            }
            &Op::Slice { axis: Axis::C, begin, len } => match pieces.cut(input(0), begin, len)? {
                Some(run) => run,
                None => {
                    let why = format!("slice \"{}\" through the middle of a channel", node.name);
                    pieces.freeze_all(input(0), &why)?;
                    let piece = pieces.fresh(len);
                    pieces.freeze(piece, &why);
                    vec![piece]
                }
            },
            Op::Flatten => {
                let from = graph.nodes[node.inputs[0]].shape;
                let run = |p: Piece| Piece { span: p.span * from.h * from.w, ..p };
                pieces.resolve(input(0))?.into_iter().map(run).collect()
            }
            Op::Conv(_)
            | Op::BatchNorm(_)
            | Op::Clip { .. }
            | Op::MaxPool(_)
            | Op::AvgPool { .. }
            | Op::GlobalAvgPool
            | Op::Activation(_)
            | Op::Resize { .. }
            | Op::Pad { .. }
            | Op::Slice { .. } => pieces.resolve(input(0))?,
        };
        tensors.push(tensor);
    }
    pieces.freeze_all(&tensors[graph.output], "network output")?;
    for tensor in &mut tensors {
        *tensor = pieces.resolve(tensor)?;
    }
    Some(collect(graph, pieces, tensors))
}

/// Lists the members of every class. No piece of `tensors` is cut any further.
fn collect(graph: &Graph, mut pieces: Pieces, tensors: Vec<Vec<Piece>>) -> Coupling {
    let mut index = std::collections::HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    let mut parts: Vec<Vec<Part>> = Vec::with_capacity(graph.nodes.len());
    for (id, (node, tensor)) in graph.nodes.iter().zip(&tensors).enumerate() {
        let depthwise = matches!(&node.op, Op::Conv(conv) if conv.is_depthwise());
        let mut offset = 0;
        let mut own = Vec::with_capacity(tensor.len());
        for piece in tensor {
            let root = pieces.root(piece.set);
            let end = offset + piece.span * pieces.len(root);
            let class = *index.entry(root).or_insert_with(|| {
                let name = match tensor.len() {
                    1 => node.name.clone(),
                    _ => format!("{}[{offset}..{end}]", node.name),
                };
                classes.push(Class {
                    channels: pieces.len(root),
                    producers: vec![],
                    through: vec![],
                    consumers: vec![],
                    frozen: pieces.frozen(root).map(str::to_owned),
                    name,
                    nodes: vec![],
                });
                classes.len() - 1
            });
            own.push(Part { class, span: piece.span });
            let member = Member { node: id, offset, span: piece.span };
            let class = &mut classes[class];
            if class.nodes.last() != Some(&id) {
                class.nodes.push(id);
            }
            match &node.op {
                Op::BatchNorm(_) => class.through.push(member),
                Op::Conv(_) if depthwise => class.through.push(member),
                Op::Conv(_) | Op::Linear(_) => class.producers.push(member),
                _ => {}
            }
            offset = end;
        }
        if matches!(&node.op, Op::Conv(_) | Op::Linear(_)) && !depthwise {
            let mut offset = 0;
            for &Part { class, span } in &parts[node.inputs[0]] {
                classes[class].consumers.push(Member { node: id, offset, span });
                offset += span * classes[class].channels;
            }
        }
        parts.push(own);
    }
    Coupling { classes, parts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Shape, samples::Builder};

    #[test]
    fn residual_depthwise_and_flatten_couple_as_they_must() {
        let mut b = Builder::new(1, Shape::new(3, 4, 4));
        let stem = b.conv(0, 4, [3, 3], 1, 1);
        let norm = b.norm(stem);
        let relu = b.clip(norm, 6.0);
        let expand = b.conv(relu, 8, [1, 1], 1, 1);
        let depth = b.conv(expand, 8, [3, 3], 1, 8);
        let project = b.conv(depth, 4, [1, 1], 1, 1);
        let sum = b.add(project, relu);
        let flat = b.flatten(sum);
        let head = b.linear(flat, 2);
        let coupling = couple(&b.finish(head));
        assert_eq!(widths(&coupling), [3, 4, 8, 2]);

        let [input, stream, inner, output] = &coupling.classes[..] else { unreachable!() };
        assert_eq!(input.frozen.as_deref(), Some("network input"));
        assert_eq!(output.frozen.as_deref(), Some("network output"));
        assert_eq!((stream.frozen.as_deref(), inner.frozen.as_deref()), (None, None));
        let member = |node, span| Member { node, offset: 0, span };
        assert_eq!(stream.producers, [member(stem, 1), member(project, 1)]);
        assert_eq!(stream.through, [member(norm, 1)]);
        assert_eq!(stream.consumers, [member(expand, 1), member(head, 16)]);
        assert_eq!(stream.nodes, [stem, norm, relu, project, sum, flat]);
        assert_eq!(inner.through, [member(depth, 1)]);
        assert_eq!(inner.nodes, [expand, depth]);
        assert_eq!((stream.name.as_str(), input.name.as_str()), ("conv1", "input"));
        assert_eq!(coupling.parts(flat), [Part { class: 1, span: 16 }]);
    }

    #[test]
    fn grouped_convolutions_and_mixed_sums_freeze() {
        let mut b = Builder::new(1, Shape::new(3, 1, 8));
        let stem = b.conv(0, 4, [1, 3], 1, 1);
        let grouped = b.conv(stem, 6, [1, 1], 1, 2);
        let after = b.conv(grouped, 2, [1, 1], 1, 1);
        let flat = b.flatten(after);
        let other = b.linear(flat, 16);
        let sum = b.add(flat, other);
        let head = b.linear(sum, 2);
        let coupling = couple(&b.finish(head));
        let frozen = |id: NodeId| coupling.classes[coupling.parts(id)[0].class].frozen.as_deref().unwrap_or("free");
        assert!(frozen(stem).contains("grouped") && frozen(grouped).contains("grouped"));
        assert!(frozen(flat).contains("sum") && frozen(other).contains("sum"), "{} {}", frozen(flat), frozen(other));
    }

    #[test]
    fn a_sum_with_the_input_freezes_all_that_it_unites() {
        let mut b = Builder::new(1, Shape::new(3, 4, 4));
        let conv = b.conv(0, 3, [3, 3], 1, 1);
        let sum = b.add(0, conv);
        let next = b.conv(sum, 3, [3, 3], 1, 1);
        let again = b.add(next, sum);
        let last = b.conv(again, 2, [1, 1], 1, 1);
        let coupling = couple(&b.finish(last));
        assert_eq!(coupling.classes.len(), 2);
        let producers: Vec<NodeId> = coupling.classes[0].producers.iter().map(|m| m.node).collect();
        assert_eq!(producers, [conv, next]);
        assert_eq!(coupling.classes[0].frozen.as_deref(), Some("network input"));
    }

    #[test]
    fn concatenations_and_slices_are_lists_of_classes() {
        let mut b = Builder::new(1, Shape::new(3, 4, 4));
        let left = b.conv(0, 4, [3, 3], 1, 1);
        let right = b.conv(0, 6, [1, 1], 1, 1);
        let both = b.push(Op::Concat, &[left, right, left]);
        let norm = b.norm(both);
        let flat = b.flatten(norm);
        let head = b.linear(flat, 2);
        let coupling = couple(&b.finish(head));
        assert_eq!(widths(&coupling), [3, 4, 6, 2]);
        let part = |class, span| Part { class, span };
        assert_eq!(coupling.parts(norm), [part(1, 1), part(2, 1), part(1, 1)]);
        assert_eq!(coupling.parts(flat), [part(1, 16), part(2, 16), part(1, 16)]);
        let member = |node, offset, span| Member { node, offset, span };
        assert_eq!(coupling.classes[1].through, [member(norm, 0, 1), member(norm, 10, 1)]);
        assert_eq!(coupling.classes[1].consumers, [member(head, 0, 16), member(head, 160, 16)]);
        assert_eq!(coupling.classes[2].consumers, [member(head, 64, 16)]);
        assert_eq!(coupling.features(flat, &[3, 2, 1, 2]), 80);

        // The two halves of one convolution; a sum that crosses the cut; a concatenation with a sum over both.
        let mut b = Builder::new(1, Shape::new(3, 4, 4));
        let stem = b.conv(0, 8, [3, 3], 1, 1);
        let slice = |b: &mut Builder, begin, len| b.push(Op::Slice { axis: Axis::C, begin, len }, &[stem]);
        let (a, z) = (slice(&mut b, 0, 5), slice(&mut b, 5, 3));
        let inner = b.conv(z, 3, [3, 3], 1, 1);
        let inner = b.add(inner, z);
        let both = b.push(Op::Concat, &[inner, a]);
        let other = b.conv(0, 8, [1, 1], 1, 1);
        let sum = b.add(both, other);
        let head = b.conv(sum, 2, [1, 1], 1, 1);
        let coupling = couple(&b.finish(head));
        assert_eq!(widths(&coupling), [3, 5, 3, 2]);
        assert_eq!(coupling.classes[1].name, "conv1[0..5]");
        assert_eq!(coupling.parts(stem), [part(1, 1), part(2, 1)]);
        assert_eq!(coupling.parts(sum), [part(2, 1), part(1, 1)]);
        assert_eq!(coupling.classes[2].producers, [member(stem, 5, 1), member(4, 0, 1), member(other, 0, 1)]);
        assert_eq!(coupling.classes[1].producers, [member(stem, 0, 1), member(other, 3, 1)]);
    }

    #[test]
    fn products_couple_and_overlapping_slices_do_with_themselves() {
        let mut b = Builder::new(1, Shape::new(3, 4, 4));
        let x = b.conv(0, 6, [3, 3], 1, 1);
        let pool = b.push(Op::GlobalAvgPool, &[x]);
        let squeeze = b.linear(pool, 2);
        let excite = b.linear(squeeze, 6);
        let gate = b.push(Op::Activation(Activation::Sigmoid), &[excite]);
        let y = b.push(Op::Mul, &[x, gate]);
        let head = b.conv(y, 2, [1, 1], 1, 1);
        let coupling = couple(&b.finish(head));
        assert_eq!(widths(&coupling), [3, 6, 2, 2]);
        let nodes = |members: &[Member]| members.iter().map(|m| m.node).collect::<Vec<_>>();
        assert_eq!(nodes(&coupling.classes[1].producers), [x, excite]);
        assert_eq!(nodes(&coupling.classes[1].consumers), [squeeze, head]);

        let mut b = Builder::new(1, Shape::new(3, 4, 4));
        let x = b.conv(0, 8, [3, 3], 1, 1);
        let slice = |b: &mut Builder, x, begin, len| b.push(Op::Slice { axis: Axis::C, begin, len }, &[x]);
        let (left, right) = (slice(&mut b, x, 0, 6), slice(&mut b, x, 2, 6));
        let sum = b.add(left, right);
        let flat = b.flatten(sum);
        let middle = slice(&mut b, flat, 8, 64);
        let head = b.linear(middle, 2);
        let coupling = couple(&b.finish(head));
        // Channels 0, 2, 4, 6 are one, and so are 1, 3, 5, 7: a cut of two channels each, all united; the last slice
        // cuts through a channel.
        let class = coupling.parts(x)[0].class;
        assert_eq!(coupling.classes[class].channels, 2);
        assert_eq!(coupling.parts(x), [Part { class, span: 1 }; 4]);
        let frozen = |id: NodeId| coupling.classes[coupling.parts(id)[0].class].frozen.clone().unwrap_or_default();
        assert!(frozen(x).contains("middle of a channel") && frozen(middle).contains("middle"), "{}", frozen(x));
    }

    #[test]
    fn channels_in_too_many_pieces_are_left_alone() {
        let mut b = Builder::new(1, Shape::vector(1));
        let mut x = b.linear(0, 1);
        for _ in 0..26 {
            x = b.push(Op::Concat, &[x, x]);
        }
        let coupling = couple(&b.graph);
        assert_eq!(coupling.classes.len(), b.graph.nodes.len());
        assert!(coupling.classes.iter().all(|c| c.frozen.as_deref() == Some("channels in too many pieces")));
        assert_eq!(coupling.features(x, &widths(&coupling)), 1 << 26);
    }
}
