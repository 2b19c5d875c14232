//! The end of the network: class probabilities are not needed to rank classes.

use super::edit::bypass;
use super::{Graph, NodeId, Op};

/// Removes a trailing softmax, so that the result is logits; says whether there was one.
pub fn drop_softmax(graph: Graph) -> (Graph, bool) {
    let last = graph.output;
    if !matches!(graph.nodes[last].op, Op::Softmax) || !graph.consumers()[last].is_empty() {
        return (graph, false);
    }
    let mut stands_in: Vec<NodeId> = (0..graph.nodes.len()).collect();
    stands_in[last] = graph.nodes[last].inputs[0];
    (bypass(graph, &stands_in), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Shape, samples::Builder};

    #[test]
    fn only_a_trailing_softmax_goes() {
        let mut b = Builder::new(3, Shape::vector(4));
        let logits = b.linear(0, 3);
        let plain = b.graph.clone();
        let y = b.push(Op::Softmax, &[logits]);
        let (graph, dropped) = drop_softmax(b.finish(y));
        assert!(dropped);
        assert_eq!((graph.output, graph.nodes.len()), (logits, 2));
        assert_eq!(graph.nodes, plain.nodes);
        assert_eq!(drop_softmax(graph.clone()), (graph, false));
    }
}
