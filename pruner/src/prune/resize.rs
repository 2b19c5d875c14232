//! Shapes of a network at other widths, without weights: what the search for what to prune asks for cost.

use crate::couple::{Coupling, widths};
use crate::graph::{Axis, Graph, NodeId, Op};

/// A network's shapes, whose classes can be set to any width of at least one. It has no weights.
#[derive(Clone, Debug)]
pub struct Shapes<'a> {
    graph: Graph,
    coupling: &'a Coupling,
    /// Channels of each class now.
    widths: Vec<usize>,
    /// Slices of channels, and where each began in the network as it was.
    slices: Vec<(NodeId, usize)>,
}

impl<'a> Shapes<'a> {
    /// The shapes of a folded network `graph`, of which `coupling` is.
    pub fn new(graph: &Graph, coupling: &'a Coupling) -> Self {
        let mut graph = graph.clone();
        let mut slices = Vec::new();
        for (id, node) in graph.nodes.iter_mut().enumerate() {
            match &mut node.op {
                Op::Conv(c) => (c.weight, c.bias) = (vec![], vec![]),
                Op::Linear(l) => (l.weight, l.bias) = (vec![], vec![]),
                Op::Slice { axis: Axis::C, begin, .. } => slices.push((id, *begin)),
                _ => {}
            }
        }
        Shapes { graph, coupling, widths: widths(coupling), slices }
    }

    /// Gives a class another width.
    pub fn set(&mut self, class: usize, width: usize) {
        self.widths[class] = width;
        let class = &self.coupling.classes[class];
        for &id in &class.nodes {
            let features = self.coupling.features(id, &self.widths);
            let node = &mut self.graph.nodes[id];
            node.shape.c = features;
            match &mut node.op {
                Op::Conv(c) if class.through.iter().any(|m| m.node == id) => (c.out, c.groups) = (features, features),
                Op::Conv(c) => c.out = features,
                Op::Linear(l) => l.out = features,
                Op::Slice { axis: Axis::C, len, .. } => *len = features,
                _ => {}
            }
        }
        for consumer in &class.consumers {
            let input = self.graph.nodes[consumer.node].inputs[0];
            let features = self.coupling.features(input, &self.widths);
            match &mut self.graph.nodes[consumer.node].op {
                Op::Conv(c) if c.groups == 1 => c.inp = features,
                Op::Linear(l) => l.inp = features,
                _ => {}
            }
        }
        for &(id, old) in &self.slices {
            let (mut before, mut now) = (0, 0);
            // Classes end where a slice begins, unless none of them can change.
            for part in self.coupling.parts(self.graph.nodes[id].inputs[0]) {
                let end = before + part.span * self.coupling.classes[part.class].channels;
                if end > old {
                    now += old - before;
                    break;
                }
                (before, now) = (end, now + part.span * self.widths[part.class]);
            }
            if let Op::Slice { begin, .. } = &mut self.graph.nodes[id].op {
                *begin = now;
            }
        }
    }

    /// The network at its widths now, good for its geometry only.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::couple::couple;
    use crate::graph::samples::{Builder, varied_graph};
    use crate::graph::{Node, Shape};
    use crate::prune::shrink::shrink;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// All that shapes decide of a node.
    fn geometry(n: &Node) -> (Shape, [usize; 3]) {
        let sizes = match &n.op {
            Op::Conv(c) => [c.out, c.inp, c.groups],
            Op::Linear(l) => [l.out, l.inp, 1],
            Op::Slice { begin, len, .. } => [*begin, *len, 0],
            _ => [0; 3],
        };
        (n.shape, sizes)
    }

    fn agrees(graph: &Graph, seed: u64) {
        let coupling = couple(graph);
        let mut shapes = Shapes::new(graph, &coupling);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Twice, so that nothing of the first widths is left.
        for _ in 0..2 {
            let width = |c: &crate::couple::Class, rng: &mut ChaCha8Rng| match c.frozen {
                Some(_) => c.channels,
                None => rng.random_range(1..c.channels + 1),
            };
            let widths: Vec<usize> = coupling.classes.iter().map(|c| width(c, &mut rng)).collect();
            widths.iter().enumerate().for_each(|(class, &w)| shapes.set(class, w));
            let keep: Vec<Vec<usize>> = widths.iter().map(|&w| (0..w).collect()).collect();
            let small = shrink(graph, &coupling, &keep).unwrap();
            for (a, b) in shapes.graph().nodes.iter().zip(&small.nodes) {
                assert_eq!(geometry(a), geometry(b), "{}", a.name);
            }
            assert_eq!(shapes.graph().macs(), small.macs());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn shapes_are_those_of_the_shrunk_network(seed in any::<u64>()) {
            agrees(&varied_graph(seed), seed);
        }
    }

    #[test]
    fn what_follows_a_flatten_keeps_its_span() {
        let mut b = Builder::new(1, Shape::new(2, 4, 4));
        let x = b.conv(0, 6, [3, 3], 1, 1);
        let x = b.flatten(x);
        let x = b.clip(x, 6.0);
        let x = b.conv(x, 5, [1, 1], 1, 1);
        let x = b.linear(x, 3);
        let graph = b.finish(x);
        (0..20).for_each(|seed| agrees(&graph, seed));
    }
}
