//! Dependency groups: which channels of which tensors stand and fall together.
//!
//! A class is a set of channels that many tensors share. A convolution or fully connected layer makes a class; normalisation,
//! activations, pools and depthwise convolutions pass it on; a sum makes two classes one (the rules of Torch-Pruning,
//! Fang et al., "DepGraph", CVPR 2023, for the operators that a [`Graph`] has). Behind a Flatten every channel is a run
//! of `span` neighbouring features.

use crate::graph::{Graph, NodeId, Op};

/// The classes of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupling {
    /// In the order of their first node.
    pub classes: Vec<Class>,
    of: Vec<usize>,
}

/// Channels that can only be removed together.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// How many channels there are.
    pub channels: usize,
    /// Convolutions and fully connected layers whose output channels these are.
    pub producers: Vec<NodeId>,
    /// Depthwise convolutions and normalisations that have parameters for each of these channels.
    pub through: Vec<NodeId>,
    /// Layers that read these channels, once for each input that is of this class.
    pub consumers: Vec<Consumer>,
    /// Why no channel can be removed, where that is so.
    pub frozen: Option<String>,
    /// Name of the first producer, or of the network's input.
    pub name: String,
    /// All nodes whose value has these channels.
    pub nodes: Vec<NodeId>,
}

/// A layer that reads the channels of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The layer.
    pub node: NodeId,
    /// Its input columns per channel: 1, or height × width behind a Flatten.
    pub span: usize,
}

impl Coupling {
    /// Index of the class whose channels the value of a node has.
    pub fn class_of(&self, node: NodeId) -> usize {
        self.of[node]
    }
}

/// Channels of each class.
pub fn widths(coupling: &Coupling) -> Vec<usize> {
    coupling.classes.iter().map(|c| c.channels).collect()
}

/// Channels of one node's value, while classes are still being united: a tree of which the root stands for the class.
struct Sets {
    parent: Vec<usize>,
    channels: Vec<usize>,
    frozen: Vec<Option<String>>,
}

impl Sets {
    fn root(&mut self, mut set: usize) -> usize {
        while self.parent[set] != set {
            self.parent[set] = self.parent[self.parent[set]];
            set = self.parent[set];
        }
        set
    }

    fn fresh(&mut self, channels: usize) -> usize {
        self.parent.push(self.parent.len());
        self.channels.push(channels);
        self.frozen.push(None);
        self.parent.len() - 1
    }

    fn freeze(&mut self, set: usize, why: String) {
        let root = self.root(set);
        self.frozen[root].get_or_insert(why);
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (old, new) = (a.min(b), a.max(b));
        if old != new {
            self.parent[new] = old;
            if let Some(why) = self.frozen[new].take() {
                self.frozen[old].get_or_insert(why);
            }
        }
    }
}

/// Finds the classes of a graph whose shapes are right ([`crate::graph::infer`]).
pub fn couple(graph: &Graph) -> Coupling {
    let mut sets = Sets { parent: vec![], channels: vec![], frozen: vec![] };
    let mut set_of: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let input = |i: usize| set_of[node.inputs[i]];
        let set = match &node.op {
            Op::Input => {
                let set = sets.fresh(node.shape.c);
                sets.freeze(set, "network input".into());
                set
            }
            Op::Conv(conv) if conv.is_depthwise() => input(0),
            Op::Conv(conv) => {
                let set = sets.fresh(conv.out);
                if conv.groups > 1 {
                    let why = format!("grouped convolution \"{}\"", node.name);
                    sets.freeze(input(0), why.clone());
                    sets.freeze(set, why);
                }
                set
            }
            Op::Linear(linear) => sets.fresh(linear.out),
            Op::Add => {
                let (a, b) = (sets.root(input(0)), sets.root(input(1)));
                if sets.channels[a] == sets.channels[b] {
                    sets.unite(a, b);
                } else {
                    // One side is flattened, the other is not: their channels are runs of different lengths.
                    let why = format!("sum \"{}\" of tensors with different channels", node.name);
                    sets.freeze(a, why.clone());
                    sets.freeze(b, why);
                }
                a
            }
            Op::Softmax => {
                if id != graph.output {
                    sets.freeze(input(0), format!("softmax \"{}\"", node.name));
                }
                input(0)
            }
            Op::BatchNorm(_)
            | Op::Clip { .. }
            | Op::MaxPool(_)
            | Op::AvgPool { .. }
            | Op::GlobalAvgPool
            | Op::Flatten => input(0),
        };
        set_of.push(set);
    }
    sets.freeze(set_of[graph.output], "network output".into());
    collect(graph, sets, &set_of)
}

/// Lists the members of every class.
fn collect(graph: &Graph, mut sets: Sets, set_of: &[usize]) -> Coupling {
    let mut index = vec![None; sets.parent.len()];
    let mut classes: Vec<Class> = Vec::new();
    let mut of: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let root = sets.root(set_of[id]);
        let class = *index[root].get_or_insert_with(|| {
            classes.push(Class {
                channels: sets.channels[root],
                producers: vec![],
                through: vec![],
                consumers: vec![],
                frozen: sets.frozen[root].clone(),
                name: node.name.clone(),
                nodes: vec![],
            });
            classes.len() - 1
        });
        of.push(class);
        classes[class].nodes.push(id);
        let depthwise = matches!(&node.op, Op::Conv(conv) if conv.is_depthwise());
        match &node.op {
            Op::BatchNorm(_) => classes[class].through.push(id),
            Op::Conv(_) if depthwise => classes[class].through.push(id),
            Op::Conv(_) | Op::Linear(_) => {
                classes[class].producers.push(id);
                let read = of[node.inputs[0]];
                let span = graph.nodes[node.inputs[0]].shape.c / classes[read].channels;
                classes[read].consumers.push(Consumer { node: id, span });
            }
            _ => {}
        }
    }
    Coupling { classes, of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Shape, samples::Builder};

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
        assert_eq!(stream.producers, [stem, project]);
        assert_eq!(stream.through, [norm]);
        assert_eq!(stream.consumers, [Consumer { node: expand, span: 1 }, Consumer { node: head, span: 16 }]);
        assert_eq!(stream.nodes, [stem, norm, relu, project, sum, flat]);
        assert_eq!(inner.through, [depth]);
        assert_eq!(inner.nodes, [expand, depth]);
        assert_eq!((stream.name.as_str(), input.name.as_str()), ("conv1", "input"));
        assert_eq!(coupling.class_of(flat), 1);
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
        let frozen = |id: NodeId| coupling.classes[coupling.class_of(id)].frozen.as_deref().unwrap_or("free");
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
        assert_eq!(coupling.classes[0].producers, [conv, next]);
        assert_eq!(coupling.classes[0].frozen.as_deref(), Some("network input"));
    }
}
