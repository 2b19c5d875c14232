//! Pointwise functions that exporters write as several nodes: SiLU, hard sigmoid, hard swish, GELU.
//!
//! PyTorch exports SiLU as `x * Sigmoid(x)`, hard swish as `x * HardSigmoid(x)` or `x * Clip(x + 3, 0, 6) / 6`, and GELU as
//! `x * (Erf(x / √2) + 1) * 0.5`, with the factors in any order. A node that ends such a product is replaced by a
//! node of one operator; the others vanish unless something else reads them.

use super::tensor::Tensor;
use onnx_ir::{AttributeProto, AttributeType, GraphProto, NodeProto};
use std::collections::HashMap;

/// Products of more nodes than this are not looked through.
const DEPTH: usize = 3;

/// A node's name in the table of operators for [`crate::graph::Activation::Silu`] (ONNX has it since operator set 24).
pub(super) const SWISH: &str = "Swish";

/// For each node that ends a pattern, by its index, the node that does the same at once.
pub(super) fn patterns(file: &GraphProto) -> HashMap<usize, NodeProto> {
    let mut made_by = HashMap::new();
    let mut scalars = HashMap::new();
    for node in &file.node {
        let standard = node.domain.is_empty() || node.domain == "ai.onnx";
        let [output] = &node.output[..] else { continue };
        if standard {
            made_by.insert(output.as_str(), node);
        }
        if node.op_type == "Constant"
            && let Some(v) = constant(node)
        {
            scalars.insert(output.as_str(), v);
        }
    }
    for tensor in file.initializer.iter().filter(|t| t.dims.is_empty() || t.dims == [1]) {
        if let Some(v) = Tensor::decode(tensor).ok().and_then(|t| t.single()) {
            scalars.insert(tensor.name.as_str(), v);
        }
    }
    let nodes = Nodes { made_by, scalars };
    let replaced = |(i, node): (usize, &NodeProto)| {
        let [output] = &node.output[..] else { return None };
        let ends = matches!(node.op_type.as_str(), "Mul" | "Div") && std::ptr::eq(*nodes.made_by.get(&**output)?, node);
        let (op, input, attribute) =
            ends.then(|| nodes.products(output, DEPTH))?.iter().find_map(|p| nodes.known(p))?;
        let name = if node.name.is_empty() { output } else { &node.name };
        Some((
            i,
            NodeProto {
                op_type: op.into(),
                name: name.clone(),
                input: vec![input.into()],
                output: node.output.clone(),
                attribute,
                ..Default::default()
            },
        ))
    };
    file.node.iter().enumerate().filter_map(replaced).collect()
}

/// The value of a Constant node that is one number.
fn constant(node: &NodeProto) -> Option<f32> {
    let attribute = node.attribute.first()?;
    match (attribute.name.as_str(), attribute.t.as_ref()) {
        ("value", Some(tensor)) if tensor.dims.is_empty() || tensor.dims == [1] => {
            Tensor::decode(tensor).ok()?.single()
        }
        ("value_float", _) => Some(attribute.f),
        _ => None,
    }
}

/// A constant times the values of these names.
type Product<'a> = (f32, Vec<&'a str>);

struct Nodes<'a> {
    made_by: HashMap<&'a str, &'a NodeProto>,
    scalars: HashMap<&'a str, f32>,
}

impl<'a> Nodes<'a> {
    /// The node of an operator that makes a value.
    fn maker(&self, op: &str, name: &str) -> Option<&'a NodeProto> {
        self.made_by.get(name).copied().filter(|n| n.op_type == op)
    }

    /// The value that one of two operands is, and the constant that the other one is.
    fn with_scalar(&self, node: &'a NodeProto) -> Option<(&'a str, f32)> {
        let [a, b] = &node.input[..] else { return None };
        match (self.scalars.get(a.as_str()), self.scalars.get(b.as_str())) {
            (None, Some(&v)) => Some((a, v)),
            (Some(&v), None) if node.op_type != "Div" => Some((b, v)),
            _ => None,
        }
    }

    /// Ways to write a value as a product of at most two values and a constant, looking through `depth` nodes.
    fn products(&self, name: &'a str, depth: usize) -> Vec<Product<'a>> {
        let mut ways = vec![(1.0, vec![name])];
        let maker = self.maker("Mul", name).or_else(|| self.maker("Div", name));
        let Some(node) = maker.filter(|_| depth > 0) else { return ways };
        if let Some((value, scalar)) = self.with_scalar(node) {
            let factor = if node.op_type == "Div" { 1.0 / scalar } else { scalar };
            ways.extend(self.products(value, depth - 1).into_iter().map(|(c, values)| (c * factor, values)));
        } else if let ([a, b], "Mul") = (&node.input[..], node.op_type.as_str()) {
            let (left, right) = (self.products(a, depth - 1), self.products(b, depth - 1));
            for (c, x) in &left {
                for (d, y) in right.iter().filter(|(_, y)| x.len() + y.len() <= 2) {
                    ways.push((c * d, [&x[..], y].concat()));
                }
            }
        }
        ways
    }

    /// The operator that a product is, with its input and attributes.
    fn known(&self, (factor, values): &Product<'a>) -> Option<(&'static str, &'a str, Vec<AttributeProto>)> {
        let is = |v: f32| (factor - v).abs() < 1e-5;
        match values[..] {
            [gate] => {
                let (x, shift, top) = self.ramp(gate)?;
                let alpha = *factor;
                let whole = alpha > 0.0 && (top * alpha - 1.0).abs() < 1e-5;
                let attributes = vec![float("alpha", alpha), float("beta", shift * alpha)];
                whole.then_some(("HardSigmoid", x, attributes))
            }
            [a, b] => [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
                let of_x = |op: &str| self.maker(op, gate).filter(|n| n.input.first().is_some_and(|i| i == x));
                let hard = is(1.0) && of_x("HardSigmoid").is_some_and(is_of_hard_swish)
                    || is(1.0 / 6.0) && self.ramp(gate) == Some((x, 3.0, 6.0));
                if is(1.0) && of_x("Sigmoid").is_some() {
                    Some((SWISH, x, vec![]))
                } else if hard {
                    Some(("HardSwish", x, vec![]))
                } else {
                    (is(0.5) && self.erf_plus_one(gate) == Some(x)).then_some(("Gelu", x, vec![]))
                }
            }),
            _ => None,
        }
    }

    /// `(x, shift, top)` where the value is `Clip(x + shift, 0, top)`.
    fn ramp(&self, name: &str) -> Option<(&'a str, f32, f32)> {
        let clip = self.maker("Clip", name)?;
        let bound = |i: usize, name: &str| match clip.input.get(i) {
            Some(input) => self.scalars.get(input.as_str()).copied(),
            None => clip.attribute.iter().find(|a| a.name == name).map(|a| a.f),
        };
        let (x, shift) = self.with_scalar(self.maker("Add", clip.input.first()?)?)?;
        (bound(1, "min")? == 0.0).then_some((x, shift, bound(2, "max")?))
    }

    /// `x` where the value is `Erf(x / √2) + 1`.
    fn erf_plus_one(&self, name: &str) -> Option<&'a str> {
        let (erf, one) = self.with_scalar(self.maker("Add", name)?)?;
        let inner = self.maker("Erf", erf)?.input.first()?;
        let scaled = self.maker("Div", inner).or_else(|| self.maker("Mul", inner))?;
        let (x, factor) = self.with_scalar(scaled)?;
        let factor = if scaled.op_type == "Div" { 1.0 / factor } else { factor };
        (one == 1.0 && (factor - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-4).then_some(x)
    }
}

/// True of a HardSigmoid with the slope of a hard swish.
fn is_of_hard_swish(node: &NodeProto) -> bool {
    let attribute = |name: &str, default: f32| node.attribute.iter().find(|a| a.name == name).map_or(default, |a| a.f);
    (attribute("alpha", 0.2) - 1.0 / 6.0).abs() < 1e-6 && attribute("beta", 0.5) == 0.5
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::FLOAT.into(), f, ..Default::default() }
}
