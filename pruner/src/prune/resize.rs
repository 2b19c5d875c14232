//! Shapes of the network at other widths, without weights: what the search for what to prune asks for cost.

use crate::couple::Coupling;
use crate::graph::{Graph, Op};

/// The graph without its weights; geometry only.
pub fn skeleton(graph: &Graph) -> Graph {
    let mut g = graph.clone();
    for n in &mut g.nodes {
        match &mut n.op {
            Op::Conv(c) => (c.weight, c.bias) = (vec![], vec![]),
            Op::Linear(l) => (l.weight, l.bias) = (vec![], vec![]),
            _ => {}
        }
    }
    g
}

/// Sets the widths of all classes in a skeleton. Widths are at least one.
pub fn resize(graph: &mut Graph, coupling: &Coupling, widths: &[usize]) {
    for (class, &width) in coupling.classes.iter().zip(widths) {
        for &id in &class.nodes {
            // A flattened value has several features per channel.
            let span = (graph.nodes[id].shape.c / class.channels.max(1)).max(1);
            let span = if matches!(graph.nodes[id].op, Op::Flatten) { span } else { 1 };
            graph.nodes[id].shape.c = width * span;
            match &mut graph.nodes[id].op {
                Op::Conv(c) if class.through.contains(&id) => (c.out, c.groups) = (width, width),
                Op::Conv(c) => c.out = width,
                Op::Linear(l) => l.out = width,
                _ => {}
            }
        }
        for consumer in &class.consumers {
            match &mut graph.nodes[consumer.node].op {
                Op::Conv(c) if c.groups == 1 => c.inp = width,
                Op::Linear(l) => l.inp = width * consumer.span,
                _ => {}
            }
        }
    }
}
