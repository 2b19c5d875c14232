//! What each node costs, for people.

use super::{Graph, Shape};

/// One line of a network's summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSummary {
    /// The name in the user's file.
    pub name: String,
    /// [`super::Op::name`].
    pub op: &'static str,
    /// Shape of the result.
    pub shape: Shape,
    /// Multiply-accumulates of one inference.
    pub macs: usize,
    /// Trained parameters.
    pub params: usize,
}

/// Every node in order; the sums are [`Graph::macs`] and [`Graph::params`].
pub fn summary(graph: &Graph) -> Vec<NodeSummary> {
    graph
        .nodes
        .iter()
        .enumerate()
        .map(|(id, node)| NodeSummary {
            name: node.name.clone(),
            op: node.op.name(),
            shape: node.shape,
            macs: graph.macs_of(id),
            params: graph.params_of(id),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples;

    #[test]
    fn the_lines_add_up() {
        for seed in 0..20 {
            let graph = samples::varied_graph(seed);
            let lines = summary(&graph);
            assert_eq!(lines.iter().map(|l| l.macs).sum::<usize>(), graph.macs());
            assert_eq!(lines.iter().map(|l| l.params).sum::<usize>(), graph.params());
        }
    }
}
