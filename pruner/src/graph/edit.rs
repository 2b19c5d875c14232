//! Removing nodes from a graph.

use super::{Graph, Node, NodeId, Op};

/// Removes the nodes that the result does not depend on; the input stays.
pub(crate) fn drop_dead(graph: Graph) -> Graph {
    let mut alive = vec![false; graph.nodes.len()];
    alive[0] = true;
    alive[graph.output] = true;
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        if alive[id] {
            for &i in &node.inputs {
                alive[i] = true;
            }
        }
    }
    let everyone: Vec<NodeId> = (0..graph.nodes.len()).collect();
    retain(graph, &alive, &everyone)
}

/// Removes the nodes whose `stands_in` is another node; whoever read them reads that one, which comes earlier and stays.
pub(super) fn bypass(graph: Graph, stands_in: &[NodeId]) -> Graph {
    let keep: Vec<bool> = stands_in.iter().enumerate().map(|(id, &to)| id == to).collect();
    retain(graph, &keep, stands_in)
}

fn retain(graph: Graph, keep: &[bool], stands_in: &[NodeId]) -> Graph {
    let mut renumbered = vec![0; graph.nodes.len()];
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for (id, mut node) in graph.nodes.into_iter().enumerate() {
        if keep[id] {
            renumbered[id] = nodes.len();
            for i in &mut node.inputs {
                *i = renumbered[stands_in[*i]];
            }
            nodes.push(node);
        }
    }
    debug_assert!(matches!(nodes[0].op, Op::Input));
    Graph { output: renumbered[stands_in[graph.output]], nodes, ..graph }
}
