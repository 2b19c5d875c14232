//! Shape inference: recomputes every shape from the input's and checks all that a graph promises.

use super::{Graph, Node, Op, Shape, Window};
use crate::error::{Error, Result};

/// Largest number of elements of one activation; what is larger is a broken file, not a network for a device.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// Recomputes every shape and checks the graph: node 0 is the only input, nodes are in topological order with the right
/// number of inputs, and every parameter has the length that its operator needs.
///
/// # Errors
/// Names the node and what does not fit.
pub fn infer(mut graph: Graph) -> Result<Graph> {
    let shape = match graph.nodes.first() {
        Some(Node { op: Op::Input, inputs, shape, .. }) if inputs.is_empty() => *shape,
        _ => return Err(Error::new("the first node of a graph must be its input")),
    };
    let fits = match graph.input_rank {
        1 => shape.h == 1 && shape.w == 1,
        2 => shape.h == 1,
        rank => rank == 3,
    };
    if !fits {
        return Err(Error::new(format!("an input of shape {shape} cannot have rank {}", graph.input_rank)));
    }
    sized(shape).map_err(|what| named(&graph.nodes[0], &what))?;
    if graph.output >= graph.nodes.len() {
        return Err(Error::new(format!("output is node {} of {}", graph.output, graph.nodes.len())));
    }
    for id in 1..graph.nodes.len() {
        let node = &graph.nodes[id];
        let inputs: Option<Vec<Shape>> = node.inputs.iter().map(|&i| (i < id).then(|| graph.nodes[i].shape)).collect();
        let shape = inputs
            .ok_or_else(|| "it reads a node that does not come before it".to_owned())
            .and_then(|inputs| result_shape(&node.op, &inputs))
            .map_err(|what| named(node, &what))?;
        graph.nodes[id].shape = shape;
    }
    Ok(graph)
}

fn named(node: &Node, what: &str) -> Error {
    Error::new(format!("{} node \"{}\": {what}", node.op.name(), node.name))
}

/// Shape of the result of one operation.
///
/// # Errors
/// Says what does not fit.
pub fn result_shape(op: &Op, inputs: &[Shape]) -> std::result::Result<Shape, String> {
    let arity = match op {
        Op::Input => 0,
        Op::Add => 2,
        _ => 1,
    };
    let &[x, ..] = inputs else { return Err("a second input, or a node without inputs".into()) };
    if inputs.len() != arity {
        return Err(format!("it has {} inputs and needs {arity}", inputs.len()));
    }
    let shape = match op {
        Op::Input => x,
        Op::Conv(conv) => {
            let w = &conv.window;
            let grouped = conv.groups > 0 && conv.out % conv.groups == 0;
            if !grouped || conv.inp.checked_mul(conv.groups) != Some(x.c) {
                return Err(format!(
                    "{} groups of {} input channels into {} do not fit an input of {x}",
                    conv.groups, conv.inp, conv.out
                ));
            }
            let weights = product(&[conv.out, conv.inp, w.kernel[0], w.kernel[1]]);
            lengths("weights", weights, &conv.weight)?;
            lengths("biases", Some(conv.out), &conv.bias)?;
            let (h, w) = slide(w, x)?;
            Shape::new(conv.out, h, w)
        }
        Op::BatchNorm(norm) => {
            for (what, values) in
                [("scales", &norm.gamma), ("shifts", &norm.beta), ("means", &norm.mean), ("variances", &norm.var)]
            {
                lengths(what, Some(x.c), values)?;
            }
            x
        }
        Op::Clip { lo, hi } => {
            if lo.is_nan() || hi.is_nan() || lo > hi {
                return Err(format!("bounds {lo} and {hi} hold no value"));
            }
            x
        }
        Op::Add => {
            if inputs[1] != x {
                return Err(format!("shapes {x} and {} differ", inputs[1]));
            }
            x
        }
        Op::MaxPool(window) | Op::AvgPool { window, .. } => {
            // A window without any tap on the input has neither a maximum nor a mean.
            let covered = |i: usize| match window.pad[i].max(window.pad[i + 2]) {
                0 => true,
                pad => window.dilation[i] == 1 && pad < window.kernel[i],
            };
            if !(covered(0) && covered(1)) {
                return Err("a window can lie wholly in the padding".into());
            }
            let (h, w) = slide(window, x)?;
            Shape::new(x.c, h, w)
        }
        Op::GlobalAvgPool => Shape::vector(x.c),
        Op::Flatten => Shape::vector(x.len()),
        Op::Linear(linear) => {
            if x != Shape::vector(linear.inp) {
                return Err(format!("it takes a vector of {} features, not {x}", linear.inp));
            }
            lengths("weights", product(&[linear.out, linear.inp]), &linear.weight)?;
            lengths("biases", Some(linear.out), &linear.bias)?;
            Shape::vector(linear.out)
        }
        Op::Softmax => {
            if x != Shape::vector(x.c) {
                return Err(format!("it takes a vector, not {x}"));
            }
            x
        }
    };
    sized(shape)?;
    Ok(shape)
}

fn slide(window: &Window, x: Shape) -> std::result::Result<(usize, usize), String> {
    let positive = [window.kernel, window.stride, window.dilation].iter().flatten().all(|&n| n > 0);
    window
        .output(x.h, x.w)
        .filter(|_| positive)
        .ok_or_else(|| format!("a window of {}×{} does not fit an input of {x}", window.kernel[0], window.kernel[1]))
}

fn sized(shape: Shape) -> std::result::Result<(), String> {
    match product(&[shape.c, shape.h, shape.w]) {
        Some(1..=MAX_ELEMENTS) => Ok(()),
        _ => Err(format!("shape {shape} is empty or too large")),
    }
}

fn lengths(what: &str, wanted: Option<usize>, values: &[f32]) -> std::result::Result<(), String> {
    if wanted != Some(values.len()) {
        return Err(format!("it has {} {what} where its shape says {}", values.len(), wanted.unwrap_or(usize::MAX)));
    }
    Ok(())
}

fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1usize, |product, &f| product.checked_mul(f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::{self, Builder};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn built_graphs_infer_to_themselves(seed in any::<u64>()) {
            let graph = samples::random_graph(seed);
            prop_assert_eq!(infer(graph.clone()).expect("sound"), graph);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut b = Builder::new(1, Shape::new(2, 4, 4));
        let x = b.conv(0, 3, [3, 3], 1, 1);
        let x = b.flatten(x);
        let x = b.linear(x, 5);
        let good = b.finish(x);
        type Break = fn(&mut Graph);
        let broken: [(&str, &str, Break); 7] = [
            ("Conv", "conv1", |g| g.nodes[0].shape.c = 3),
            ("Linear", "linear3", |g| g.nodes[0].shape.h = 5),
            ("Linear", "linear3", |g| g.nodes[3].inputs[0] = 1),
            ("Flatten", "flatten2", |g| g.nodes[2].inputs[0] = 2),
            ("Conv", "conv1", |g| g.nodes[1].inputs.push(0)),
            ("output", "9", |g| g.output = 9),
            ("Input", "too large", |g| g.nodes[0].shape.w = usize::MAX),
        ];
        for (op, word, break_it) in broken {
            let mut graph = good.clone();
            break_it(&mut graph);
            let error = infer(graph).expect_err(word).to_string();
            assert!(error.contains(op) && error.contains(word), "{error}");
        }
        let mut huge = good;
        let Op::Conv(conv) = &mut huge.nodes[1].op else { unreachable!() };
        conv.window.pad = [usize::MAX / 4; 4];
        assert!(infer(huge).is_err());
    }
}
