//! The walk over the file's nodes: constants are folded, everything else becomes nodes of the graph.

use super::MAX_NODES;
use super::call::Call;
use super::fold::{self, Budget, fold};
use super::layout::{moved, permutation};
use super::patterns::{SWISH, patterns};
use super::tensor::{Tensor, element};
use crate::error::{Error, Result};
use crate::graph::infer::{infer, result_shape};
use crate::graph::{Activation, Graph, Node, NodeId, Op, Shape, fold_pad};
use onnx_ir::{ModelProto, NodeProto, ValueInfoProto};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Operators that an activation may go through, for the help of errors.
const SUPPORTED: &str = "Conv, BatchNormalization, Relu, Clip, Add, MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool, \
    ReduceMean (over all spatial axes), Gemm, MatMul, Softmax, Concat (of channels), Mul, Sigmoid, Tanh, HardSigmoid, \
    HardSwish, Swish, LeakyRelu, Gelu, Resize and Upsample (nearest, by whole numbers), Pad (with one value), Slice, Split, \
    Flatten, Reshape, Squeeze, Unsqueeze, Transpose (where it moves nothing), Identity, Dropout, Cast, and arithmetic on \
    constants";

/// First operator set whose Add, Mul and Gemm broadcast as today's do.
const OLDEST_OPSET: i64 = 7;

/// What a name of the file stands for.
#[derive(Clone)]
pub(super) enum Value {
    /// A constant.
    Const(Rc<Tensor>),
    /// A value that depends on the network's input.
    Act(Act),
}

/// A node's value as the file sees it: its elements, one sample in a batch of one, under dimensions of the file's choice.
#[derive(Clone)]
pub(super) struct Act {
    pub node: NodeId,
    pub dims: Vec<usize>,
    /// `None` where the elements lie in the node's order (C × H × W); else which axis of the untransposed value
    /// each axis is, and the Transpose that made it so.
    pub order: Option<(Vec<usize>, String)>,
}

/// The state of the walk.
pub(super) struct Importer<'a> {
    values: HashMap<&'a str, Value>,
    pub nodes: Vec<Node>,
    pub budget: Budget,
    /// Softmax nodes that the file has as LogSoftmax.
    pub logarithms: Vec<NodeId>,
    opset: i64,
}

/// Imports a parsed file of `size` bytes.
pub(super) fn graph(name: &str, model: &ModelProto, size: usize) -> Result<Graph> {
    let patterns = model.graph.as_ref().map(patterns).unwrap_or_default();
    let Opened { mut importer, nodes, rank, output, .. } = open(model, size, &patterns)?;
    for node in nodes {
        importer.visit(node)?;
    }
    importer.finish(name, rank, output)
}

/// A file before the walk over its nodes.
pub(super) struct Opened<'a> {
    /// Knows the input and the constants.
    pub importer: Importer<'a>,
    /// The nodes that the result depends on, in the file's order.
    pub nodes: Vec<&'a NodeProto>,
    /// Rank of a sample.
    pub rank: usize,
    /// The input.
    pub input: &'a ValueInfoProto,
    /// Name of the result.
    pub output: &'a str,
}

/// Reads all of a parsed file of `size` bytes but its nodes; `patterns` are nodes to be taken in place of the file's.
pub(super) fn open<'a>(
    model: &'a ModelProto,
    size: usize,
    patterns: &'a HashMap<usize, NodeProto>,
) -> Result<Opened<'a>> {
    let file = model.graph.as_ref().ok_or_else(|| Error::new("an ONNX file without a graph"))?;
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let opset = model.opset_import.iter().find(|o| standard(&o.domain)).map_or(0, |o| o.version);
    if opset < OLDEST_OPSET {
        return Err(Error::new(format!("operator set {opset} of ONNX")).help("export with operator set 13 or newer"));
    }
    if file.node.len() > MAX_NODES {
        return Err(Error::new(format!("{} nodes; at most {MAX_NODES} are supported", file.node.len())));
    }
    let constants: HashSet<&str> = file.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<&ValueInfoProto> = file.input.iter().filter(|i| !constants.contains(i.name.as_str())).collect();
    let input = single("input", &inputs)?;
    let output = single("output", &file.output.iter().collect::<Vec<_>>())?;

    let nodes: Vec<&NodeProto> = file.node.iter().enumerate().map(|(i, n)| patterns.get(&i).unwrap_or(n)).collect();

    let (shape, rank, dims) = sample_shape(input)?;
    let node = Node { name: input.name.clone(), op: Op::Input, inputs: vec![], shape };
    let mut importer = Importer {
        values: HashMap::new(),
        nodes: vec![node],
        budget: Budget(size.saturating_mul(4) + (1 << 20)),
        logarithms: vec![],
        opset,
    };
    importer.define(&input.name, Value::Act(Act { node: 0, dims, order: None }))?;

    let (alive, read) = needed(&nodes, &output.name);
    for tensor in file.initializer.iter().filter(|t| read.contains(t.name.as_str())) {
        let value = Tensor::decode(tensor).map_err(|what| {
            Error::new(format!("tensor \"{}\": {what}", tensor.name))
                .help("export the network as one file with its weights inside, as 32-bit floats")
        })?;
        importer.define(&tensor.name, Value::Const(Rc::new(value)))?;
    }
    let nodes = nodes.into_iter().zip(alive).filter_map(|(node, alive)| alive.then_some(node)).collect();
    Ok(Opened { importer, nodes, rank, input, output: &output.name })
}

/// The only input or output.
fn single<'a>(what: &str, list: &[&'a ValueInfoProto]) -> Result<&'a ValueInfoProto> {
    match list {
        [one] => Ok(one),
        _ => {
            let names: Vec<&str> = list.iter().map(|v| v.name.as_str()).take(8).collect();
            Err(Error::new(format!("the network has {} {what}s: {}", list.len(), names.join(", ")))
                .help(format!("export a network with one {what}")))
        }
    }
}

/// Shape of one sample, its rank, and its dimensions in a batch of one.
fn sample_shape(input: &ValueInfoProto) -> Result<(Shape, usize, Vec<usize>)> {
    let wrong = |what: String| Error::new(format!("input \"{}\": {what}", input.name));
    let dims = input.type_.as_ref().and_then(|t| t.tensor_type().shape.as_ref()).map_or(&[][..], |s| &s.dim);
    let mut sizes = vec![1];
    for (axis, dim) in dims.iter().enumerate() {
        match (axis, dim.dim_value()) {
            // A free axis reads as 0.
            (0, 0 | 1) => {}
            (0, n) => {
                let help = "export with a free batch axis, or with a batch of 1";
                return Err(wrong(format!("the batch is fixed at {n}")).help(help));
            }
            (_, n) => sizes.push(usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
                wrong(format!("axis {axis} has no fixed size"))
                    .help("export with fixed sizes; only the batch axis may be free")
            })?),
        }
    }
    let shape = match sizes[..] {
        [_, c] => Shape::vector(c),
        [_, c, w] => Shape::new(c, 1, w),
        [_, c, h, w] => Shape::new(c, h, w),
        _ => {
            let help = "supported are a batch of vectors (N, F), sequences (N, C, L) or images (N, C, H, W)";
            return Err(wrong(format!("it has rank {}", dims.len())).help(help));
        }
    };
    // The same bound as for every other activation, so that nothing multiplies sizes unchecked.
    result_shape(&Op::Clip { lo: 0.0, hi: 0.0 }, &[shape]).map_err(wrong)?;
    Ok((shape, sizes.len() - 1, sizes))
}

/// Which nodes the result depends on, and every name that those read.
fn needed<'a>(nodes: &[&'a NodeProto], output: &'a str) -> (Vec<bool>, HashSet<&'a str>) {
    let mut read = HashSet::from([output]);
    let mut alive = vec![false; nodes.len()];
    for (node, alive) in nodes.iter().zip(&mut alive).rev() {
        *alive = node.output.iter().any(|o| !o.is_empty() && read.contains(o.as_str()));
        if *alive {
            read.extend(node.input.iter().map(String::as_str));
        }
    }
    (alive, read)
}

impl<'a> Importer<'a> {
    pub fn define(&mut self, name: &'a str, value: Value) -> Result<()> {
        match self.values.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(Error::new(format!("value \"{name}\" is made twice"))),
        }
    }

    /// Appends a node; its shape follows from its inputs.
    pub fn push(&mut self, call: &Call<'_>, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        self.push_as(call, call.name().to_owned(), op, inputs)
    }

    /// [`Importer::push`] under another name than the call's.
    pub fn push_as(&mut self, call: &Call<'_>, name: String, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.nodes[i].shape).collect();
        let shape = result_shape(&op, &shapes).map_err(|what| call.err(what))?;
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(self.nodes.len() - 1)
    }

    /// Shape of an activation's node.
    pub fn shape(&self, act: &Act) -> Shape {
        self.nodes[act.node].shape
    }

    /// True when the dimensions are the node's own: (1, C), (1, C, W) or (1, C, H, W).
    pub fn is_natural(&self, act: &Act) -> bool {
        act.order.is_none() && natural(self.shape(act), &act.dims)
    }

    fn visit(&mut self, node: &'a NodeProto) -> Result<()> {
        let call = self.call(node);
        let inputs = self.inputs(&call)?;
        if let ("Split", Some(Some(Value::Act(x)))) = (call.op(), inputs.first()) {
            let sizes = match inputs.get(1) {
                Some(Some(Value::Const(sizes))) => Some(&**sizes),
                Some(Some(Value::Act(_))) => return Err(unsupported(&call, "an input that must be constant is not")),
                _ => None,
            };
            let parts = self.split(&call, x, sizes, node.output.len())?;
            let named = node.output.iter().zip(parts).filter(|(name, _)| !name.is_empty());
            return named.into_iter().try_for_each(|(name, part)| self.define(name, Value::Act(part)));
        }
        let value = self.value(&call, &inputs)?;
        self.result(&call, value)
    }

    /// A node under the file's operator set.
    pub fn call<'n>(&self, node: &'n NodeProto) -> Call<'n> {
        Call { node, opset: self.opset }
    }

    /// What the inputs of a node stand for.
    pub fn inputs(&self, call: &Call<'_>) -> Result<Vec<Option<Value>>> {
        let node = call.node;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(match (name.as_str(), self.values.get(name.as_str())) {
                ("", _) => None,
                (_, Some(value)) => Some(value.clone()),
                (name, None) => {
                    let help =
                        "nodes must be in topological order and may read only first results, constants and the input";
                    return Err(call.err(format!("it reads \"{name}\", which nothing before it makes")).help(help));
                }
            });
        }
        if !(node.domain.is_empty() || node.domain == "ai.onnx") {
            return Err(unsupported(call, &format!("domain \"{}\" is not supported", node.domain)));
        }
        Ok(inputs)
    }

    /// Gives the first result of a node its value.
    pub fn result(&mut self, call: &Call<'a>, value: Value) -> Result<()> {
        match call.node.output.first() {
            Some(name) if !name.is_empty() => self.define(name, value),
            _ => Err(call.err("it has no first result")),
        }
    }

    /// The value that a node gives to its inputs.
    pub fn value(&mut self, call: &Call<'_>, inputs: &[Option<Value>]) -> Result<Value> {
        let named = |what: String| call.err(what);
        let constants: Vec<Option<&Tensor>> = inputs
            .iter()
            .map(|i| match i {
                Some(Value::Const(tensor)) => Some(&**tensor),
                _ => None,
            })
            .collect();
        let x = inputs.iter().flatten().find_map(|i| match i {
            Value::Act(act) => Some(act),
            Value::Const(_) => None,
        });
        let Some(x) = x else {
            return match fold(call, &constants, &mut self.budget).map_err(named)? {
                Some(tensor) => Ok(Value::Const(Rc::new(tensor))),
                None => Err(unsupported(call, "not supported on constants")),
            };
        };
        let first = matches!(inputs.first(), Some(Some(Value::Act(_))));
        match (call.op(), first) {
            ("Shape", true) => {
                return fold::shape(call, &x.dims).map(|t| Value::Const(Rc::new(t))).map_err(named);
            }
            ("CastLike", false) => {
                let constant = constants.first().copied().flatten().ok_or_else(|| call.err("input 0 is missing"))?;
                self.budget.charge(Some(constant.data.len())).map_err(named)?;
                let tensor = Tensor { data: super::tensor::Data::Float(constant.to_floats()), ..constant.clone() };
                return Ok(Value::Const(Rc::new(tensor)));
            }
            ("Add" | "Sub" | "Mul" | "Div" | "Concat", _) => {}
            (_, true) => {}
            (_, false) => return Err(unsupported(call, "its first input is constant and another one is not")),
        }
        let others_constant = inputs.iter().skip(1).flatten().all(|i| matches!(i, Value::Const(_)));
        if !(others_constant || matches!(call.op(), "Add" | "Sub" | "Mul" | "Div" | "CastLike" | "Concat")) {
            return Err(unsupported(call, "an input that must be constant is not"));
        }
        self.activation(call, x, inputs, &constants).map(Value::Act)
    }

    /// One operator on the activation `x`; `constants` are those of its inputs that are constant.
    fn activation(
        &mut self,
        call: &Call<'_>,
        x: &Act,
        inputs: &[Option<Value>],
        constants: &[Option<&Tensor>],
    ) -> Result<Act> {
        let constant = |i: usize| constants.get(i).copied().flatten();
        match call.op() {
            "Conv" => self.conv(call, x, constant(1), constant(2)),
            "BatchNormalization" => self.batch_norm(call, x, [1, 2, 3, 4].map(constant)),
            "Relu" => self.clip(call, x, 0.0, f32::INFINITY),
            "Clip" => {
                let bound = |i: usize, name: &str, default: f32| match constant(i) {
                    Some(tensor) => tensor.single().ok_or_else(|| call.err("a bound that is not one number")),
                    None => Ok(call.float(name, default)),
                };
                let (lo, hi) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
                self.clip(call, x, lo, hi)
            }
            "Add" | "Sub" | "Mul" | "Div" => match (inputs, constant(0).or(constant(1))) {
                ([Some(Value::Act(a)), Some(Value::Act(b))], _) if call.op() == "Mul" => self.product(call, a, b),
                ([Some(Value::Act(a)), Some(Value::Act(b))], _) => self.add(call, a, b),
                ([Some(_), Some(_)], Some(operand)) => self.affine(call, x, operand, constant(1).is_some()),
                _ => Err(call.err("it needs two inputs")),
            },
            "MaxPool" | "AveragePool" => self.pool(call, x),
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(call, x),
            "ReduceMean" => self.reduce_mean(call, x, constant(1)),
            "Gemm" => self.gemm(call, x, constant(1), constant(2)),
            "MatMul" => self.mat_mul(call, x, constant(1)),
            "Softmax" | "LogSoftmax" => self.softmax(call, x),
            "Identity" | "CastLike" => Ok(x.clone()),
            "Dropout" => match constant(2).and_then(Tensor::single) {
                None | Some(0.0) => Ok(x.clone()),
                Some(_) => Err(call.err("it is in training mode").help("export the network in evaluation mode")),
            },
            "Cast" if element::is_float(call.int("to", 0) as i32) => Ok(x.clone()),
            "Cast" => Err(unsupported(call, "a conversion of activations to integers")),
            "Concat" => {
                let act = |i: &Option<Value>| match i {
                    Some(Value::Act(act)) => Some(act.clone()),
                    _ => None,
                };
                let parts: Option<Vec<Act>> = inputs.iter().map(act).collect();
                let parts = parts.ok_or_else(|| unsupported(call, "it joins an activation with a constant"))?;
                self.concat(call, &parts)
            }
            "Slice" => self.slice(call, x, constants),
            "Pad" => self.pad(call, x, constants),
            "Resize" | "Upsample" => self.resize(call, x, constants),
            "Sigmoid" => self.pointwise(call, x, Activation::Sigmoid),
            "Tanh" => self.pointwise(call, x, Activation::Tanh),
            "HardSigmoid" => {
                let f = Activation::HardSigmoid { alpha: call.float("alpha", 0.2), beta: call.float("beta", 0.5) };
                self.pointwise(call, x, f)
            }
            "HardSwish" => self.pointwise(call, x, Activation::HardSwish),
            SWISH if call.float("alpha", 1.0) == 1.0 => self.pointwise(call, x, Activation::Silu),
            "LeakyRelu" => {
                let f = Activation::LeakyRelu { slope: call.float("alpha", 0.01) };
                self.pointwise(call, x, f)
            }
            "PRelu" => match constant(1).and_then(Tensor::single) {
                Some(slope) => self.pointwise(call, x, Activation::LeakyRelu { slope }),
                None => Err(unsupported(call, "a slope per channel")),
            },
            "Gelu" if matches!(call.string("approximate"), b"" | b"none") => self.pointwise(call, x, Activation::Gelu),
            "Transpose" => transpose(call, x),
            "QuantizeLinear" | "DequantizeLinear" => Err(call
                .err("the network is quantised already")
                .help("`evenkeel compile` takes it as it is; give other commands the f32 network")),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
                self.in_order(call, x)?;
                match moved(call, &x.dims, constant(1)).map_err(|what| call.err(what))? {
                    Some(dims) => self.reshape(call, x, dims),
                    None => Err(unsupported(call, "not supported")),
                }
            }
            _ => Err(unsupported(call, "the operator is not supported")),
        }
    }

    /// Refuses a transposed activation.
    pub fn in_order(&self, call: &Call<'_>, x: &Act) -> Result<()> {
        match &x.order {
            None => Ok(()),
            Some((_, by)) => Err(call
                .err(format!("it reads a value whose axes Transpose \"{by}\" has exchanged"))
                .help("export the network with channels first (N, C, H, W), where no such Transpose is needed")),
        }
    }

    /// The same elements under other dimensions. A vector made of an image is a Flatten; all else leaves no trace.
    fn reshape(&mut self, call: &Call<'_>, x: &Act, dims: Vec<usize>) -> Result<Act> {
        let node = &self.nodes[x.node];
        if let (Op::Flatten, &[before]) = (&node.op, &node.inputs[..])
            && natural(self.nodes[before].shape, &dims)
        {
            return Ok(Act { node: before, dims, order: None });
        }
        let flattens = dims == [1, node.shape.len()] && node.shape != Shape::vector(node.shape.c);
        let node = if flattens { self.push(call, Op::Flatten, &[x.node])? } else { x.node };
        Ok(Act { node, dims, order: None })
    }

    /// The activation that is the network's result.
    pub fn output(&self, output: &str) -> Result<&Act> {
        let wrong = |what: &str| Error::new(format!("output \"{output}\" {what}"));
        let act = match self.values.get(output) {
            Some(Value::Act(act)) => act,
            Some(Value::Const(_)) => return Err(wrong("does not depend on the input")),
            None => return Err(wrong("is made by no node")),
        };
        if let Some((_, by)) = &act.order {
            return Err(
                wrong(&format!("has axes that Transpose \"{by}\" exchanged")).help("export with channels first")
            );
        }
        Ok(act)
    }

    fn finish(self, name: &str, input_rank: usize, output: &str) -> Result<Graph> {
        let output = self.output(output)?.node;
        let graph = Graph { name: name.to_owned(), input_rank, nodes: self.nodes, output };
        let read = graph.consumers();
        if let Some(&id) = self.logarithms.iter().find(|&&id| !read[id].is_empty()) {
            return Err(Error::new(format!("LogSoftmax node \"{}\" is not the last operator", graph.nodes[id].name))
                .help("a LogSoftmax is supported at the end of the network only"));
        }
        infer(fold_pad(graph))
    }
}

fn natural(shape: Shape, dims: &[usize]) -> bool {
    match *dims {
        [1, c] => shape == Shape::vector(c),
        [1, c, w] => shape == Shape::new(c, 1, w),
        [1, c, h, w] => shape == Shape::new(c, h, w),
        _ => false,
    }
}

/// Keeps track of exchanged axes; axes of one element are free to move.
fn transpose(call: &Call<'_>, x: &Act) -> Result<Act> {
    let perm = permutation(call, x.dims.len()).map_err(|what| call.err(what))?;
    let dims: Vec<usize> = perm.iter().map(|&p| x.dims[p]).collect();
    let from: Vec<usize> = match &x.order {
        Some((order, _)) => perm.iter().map(|&p| order[p]).collect(),
        None => perm,
    };
    let moves = from.iter().zip(&dims).filter(|&(_, &d)| d != 1).map(|(&f, _)| f);
    let order = if moves.is_sorted() { None } else { Some((from, call.name().to_owned())) };
    Ok(Act { node: x.node, dims, order })
}

/// The error that says what is supported.
pub(super) fn unsupported(call: &Call<'_>, what: &str) -> Error {
    call.err(what).help(format!("supported: {SUPPORTED}"))
}
