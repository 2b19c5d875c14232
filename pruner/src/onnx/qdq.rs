//! Quantised files: the walk over nodes that notes where QuantizeLinear and DequantizeLinear stand.
//!
//! The importer reads the network as if it were f32. A QuantizeLinear becomes a `Clip` to the range that its
//! integers can show, and is noted as a mark with its scale and zero point; DequantizeLinear gives back the marked
//! value, or real weights whose scales are noted. [`crate::quant::from_marks`] makes integers of it.

use super::call::Call;
use super::import::{Act, Importer, Opened, Value, open, unsupported};
use super::layout::{axis, permutation};
use super::tensor::{Data, Tensor, element};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Op};
use crate::quant::QParams;
use onnx_ir::{AttributeProto, AttributeType, ModelProto, NodeProto};
use std::collections::HashMap;
use std::rc::Rc;

/// A quantised network: the real function, and the integers that stand for its values.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Weights and biases are real numbers; marks are `Clip` nodes.
    pub graph: Graph,
    /// The quantisation of each mark. uint8 is shifted to int8.
    pub params: HashMap<NodeId, QParams>,
    /// Scales of the weights of each Conv and Linear, one per output channel.
    pub scales: HashMap<NodeId, Vec<f32>>,
}

/// Operators that only move elements, which may also stand between integers.
const MOVES: [&str; 6] = ["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"];

/// Reads a parsed file of `size` bytes; `None` where it has no QuantizeLinear.
pub(super) fn marked(name: &str, model: &ModelProto, size: usize) -> Result<Option<Marked>> {
    let file = model.graph.as_ref().ok_or_else(|| Error::new("an ONNX file without a graph"))?;
    if !file.node.iter().any(|n| n.op_type == "QuantizeLinear") {
        return Ok(None);
    }
    let none = HashMap::new();
    let Opened { importer, nodes, rank, input, output } = open(model, size, &none)?;
    let kinds = file.initializer.iter().map(|t| (t.name.as_str(), t.data_type)).collect();
    let mut walker = Walker {
        importer,
        kinds,
        integers: HashMap::new(),
        constants: HashMap::new(),
        pads: HashMap::new(),
        params: HashMap::new(),
        scales: HashMap::new(),
    };
    let kind = input.type_.as_ref().map_or(element::FLOAT, |t| t.tensor_type().elem_type);
    // A file need not say the type.
    if kind != 0 && !element::is_float(kind) {
        walker.integers.insert(&input.name, (kind, None));
    }
    for node in nodes {
        walker.visit(node)?;
    }
    let result = walker.importer.output(output)?.node;
    if walker.pads.contains_key(output) {
        return Err(Error::new(format!("output \"{output}\" is padded")));
    }
    let graph = Graph { name: name.to_owned(), input_rank: rank, nodes: walker.importer.nodes, output: result };
    Ok(Some(Marked { graph, params: walker.params, scales: walker.scales }))
}

/// How a constant was quantised.
#[derive(Clone)]
struct Constant {
    /// One, or one for each index of `axis`.
    scales: Vec<f32>,
    axis: Option<usize>,
    /// int8 with zero point 0, or uint8 with 128.
    symmetric: bool,
}

/// Scales and zero points of a QuantizeLinear or DequantizeLinear, and the element type of its integers.
struct Steps {
    scales: Vec<f32>,
    zeros: Vec<i64>,
    kind: i32,
}

struct Walker<'a> {
    importer: Importer<'a>,
    /// Element types of constants.
    kinds: HashMap<&'a str, i32>,
    /// Activations that are integers: their type, and their quantisation (the network's input has none yet).
    integers: HashMap<&'a str, (i32, Option<QParams>)>,
    /// Constants behind DequantizeLinear.
    constants: HashMap<&'a str, Constant>,
    /// Activations behind a Pad, whose value is that before it: zeros at top, left, bottom, right.
    pads: HashMap<&'a str, [i64; 4]>,
    params: HashMap<NodeId, QParams>,
    scales: HashMap<NodeId, Vec<f32>>,
}

impl<'a> Walker<'a> {
    fn visit(&mut self, node: &'a NodeProto) -> Result<()> {
        let call = self.importer.call(node);
        let inputs = self.importer.inputs(&call)?;
        let value = match (call.op(), inputs.first()) {
            ("QuantizeLinear", Some(Some(Value::Act(x)))) => Value::Act(self.quantise(&call, x, &inputs)?),
            ("QuantizeLinear", Some(Some(Value::Const(t)))) => self.quantise_constant(&call, t, &inputs)?,
            ("DequantizeLinear", Some(Some(Value::Act(x)))) => Value::Act(self.dequantise(&call, x, &inputs)?),
            ("DequantizeLinear", Some(Some(Value::Const(t)))) => self.dequantise_constant(&call, t, &inputs)?,
            ("Pad", Some(Some(Value::Act(x)))) => Value::Act(self.pad(&call, x, &inputs)?),
            _ => self.other(&call, &inputs)?,
        };
        self.importer.result(&call, value)
    }

    /// Names of a node's first input and result.
    fn ends(&self, call: &Call<'a>) -> (&'a str, &'a str) {
        let first = |list: &'a [String]| list.first().map_or("", String::as_str);
        (first(&call.node.input), first(&call.node.output))
    }

    /// Scales and zero points; without zero points the integers have `kind`, and zero stands for zero.
    fn steps(&self, call: &Call<'a>, inputs: &[Option<Value>], kind: i32) -> Result<Steps> {
        if call.int("block_size", 0) != 0 {
            return Err(call.err("it has scales per block").help("quantise weights per tensor or per channel"));
        }
        let constant = |i: usize, what: &str| match inputs.get(i) {
            None | Some(None) => Ok(None),
            Some(Some(Value::Const(t))) => Ok(Some(t.clone())),
            Some(Some(Value::Act(_))) => Err(call
                .err(format!("its {what} depends on the network's input"))
                .help("quantise statically: scales and zero points must be constants")),
        };
        let scale = constant(1, "scale")?.ok_or_else(|| call.err("its scale is missing"))?;
        let scales = scale.finite().map_err(|e| call.err(format!("its scale has {e}")))?;
        if let Some(bad) = scales.iter().find(|s| !(s.is_normal() && **s > 0.0)) {
            return Err(call.err(format!("a scale of {bad}")).help("scales must be positive numbers"));
        }
        let Some(zero) = constant(2, "zero point")? else {
            return Ok(Steps { zeros: vec![0; scales.len()], scales, kind });
        };
        let name = call.node.input.get(2).map_or("", String::as_str);
        let kind = self.kinds.get(name).copied().unwrap_or(kind);
        let zeros = zero.as_ints().map_err(|e| call.err(format!("its zero point: {e}")))?.to_vec();
        if zeros.len() != scales.len() {
            return Err(call.err(format!("it has {} scales and {} zero points", scales.len(), zeros.len())));
        }
        Ok(Steps { scales, zeros, kind })
    }

    /// The quantisation of an activation.
    fn activation_params(&self, call: &Call<'a>, steps: &Steps) -> Result<QParams> {
        let (&[scale], &[zero]) = (&steps.scales[..], &steps.zeros[..]) else {
            return Err(call
                .err(format!("an activation has {} scales", steps.scales.len()))
                .help("activations are quantised per tensor"));
        };
        let Some(shift) = shift_to_int8(steps.kind) else {
            return Err(call
                .err(format!("activations of element type {}", steps.kind))
                .help("supported are int8 and uint8"));
        };
        let zero = i8::try_from(zero - shift).map_err(|_| call.err(format!("a zero point of {zero}")))?;
        Ok(QParams { scale, zero })
    }

    fn quantise(&mut self, call: &Call<'a>, x: &Act, inputs: &[Option<Value>]) -> Result<Act> {
        let (from, to) = self.ends(call);
        if self.integers.contains_key(from) {
            return Err(call.err(format!("\"{from}\" is quantised already")));
        }
        let declared = match call.int("output_dtype", 0) {
            0 => element::UINT8,
            code => code as i32,
        };
        let steps = self.steps(call, inputs, declared)?;
        let params = self.activation_params(call, &steps)?;
        let act = self.mark(call, x, params)?;
        if let Some(&pads) = self.pads.get(from) {
            if act.node != x.node {
                return Err(call
                    .err("it changes the scale or zero point between a Pad and what is before it")
                    .help("quantise the padded value like the one before the Pad"));
            }
            self.pads.insert(to, pads);
        }
        self.integers.insert(to, (steps.kind, Some(params)));
        Ok(act)
    }

    /// A mark on an activation, unless it has that mark.
    fn mark(&mut self, call: &Call<'a>, x: &Act, params: QParams) -> Result<Act> {
        if self.params.get(&x.node) == Some(&params) {
            return Ok(x.clone());
        }
        let real = |q: f32| params.scale * (q - f32::from(params.zero));
        let node = self.importer.push(call, Op::Clip { lo: real(-128.0), hi: real(127.0) }, &[x.node])?;
        self.params.insert(node, params);
        Ok(Act { node, ..x.clone() })
    }

    fn dequantise(&mut self, call: &Call<'a>, x: &Act, inputs: &[Option<Value>]) -> Result<Act> {
        let (from, to) = self.ends(call);
        let Some(&(kind, made)) = self.integers.get(from) else {
            return Err(call.err(format!("it reads \"{from}\", which is not quantised")));
        };
        let steps = self.steps(call, inputs, kind)?;
        let params = self.activation_params(call, &steps)?;
        if steps.kind != kind || made.is_some_and(|made| made != params) {
            return Err(call
                .err(format!("its scale or zero point is not that with which \"{from}\" was quantised"))
                .help("quantise and dequantise a value alike"));
        }
        if let Some(&pads) = self.pads.get(from) {
            self.pads.insert(to, pads);
        }
        self.mark(call, x, params)
    }

    fn quantise_constant(&mut self, call: &Call<'a>, t: &Tensor, inputs: &[Option<Value>]) -> Result<Value> {
        let steps = self.steps(call, inputs, element::UINT8)?;
        let shift = shift_to_int8(steps.kind).ok_or_else(|| {
            call.err(format!("a constant of element type {}", steps.kind)).help("supported are int8 and uint8")
        })?;
        let values = t.finite().map_err(|e| call.err(e))?;
        let (_, index) = self.per_channel(call, t, &steps)?;
        let one = |(i, v): (usize, &f32)| {
            let k = index(i);
            // As ONNX has it: ties to even, then the zero point.
            let q = (v / steps.scales[k]).round_ties_even() as i64;
            q.saturating_add(steps.zeros[k]).clamp(shift - 128, shift + 127)
        };
        let data = Data::Int(values.iter().enumerate().map(one).collect());
        self.kinds.insert(self.ends(call).1, steps.kind);
        Ok(Value::Const(Rc::new(Tensor { dims: t.dims.clone(), data })))
    }

    fn dequantise_constant(&mut self, call: &Call<'a>, t: &Tensor, inputs: &[Option<Value>]) -> Result<Value> {
        let (from, to) = self.ends(call);
        let kind = self.kinds.get(from).copied().unwrap_or(element::UINT8);
        let steps = self.steps(call, inputs, kind)?;
        let values = t.as_ints().map_err(|e| call.err(e))?;
        let (axis, index) = self.per_channel(call, t, &steps)?;
        let one = |(i, v): (usize, &i64)| {
            let k = index(i);
            (v - steps.zeros[k]) as f32 * steps.scales[k]
        };
        let data = Data::Float(values.iter().enumerate().map(one).collect());
        let symmetric = shift_to_int8(kind).is_some_and(|shift| steps.zeros.iter().all(|&z| z == shift));
        self.constants.insert(to, Constant { scales: steps.scales, axis, symmetric });
        Ok(Value::Const(Rc::new(Tensor { dims: t.dims.clone(), data })))
    }

    /// The axis along which a constant has scales (none: one scale), and the scale of each element. Pays for a copy.
    fn per_channel(
        &mut self,
        call: &Call<'a>,
        t: &Tensor,
        steps: &Steps,
    ) -> Result<(Option<usize>, impl Fn(usize) -> usize + use<'a>)> {
        self.importer.budget.charge(Some(t.data.len())).map_err(|e| call.err(e))?;
        let n = steps.scales.len();
        if n == 1 {
            return Ok((None, index(1, 1)));
        }
        let along = axis(call.int("axis", 1), t.dims.len()).map_err(|e| call.err(e))?;
        if t.dims[along] != n {
            return Err(call
                .err(format!("{n} scales for dimensions {:?} along axis {along}", t.dims))
                .help("weights have one scale, or one for each output channel along `axis`"));
        }
        Ok((Some(along), index(t.dims[along + 1..].iter().product(), n)))
    }

    /// Zeros around images, which the next Conv takes in.
    fn pad(&mut self, call: &Call<'a>, x: &Act, inputs: &[Option<Value>]) -> Result<Act> {
        let (from, to) = self.ends(call);
        let help = "supported is a Pad with constant zeros on height and width, right before a Conv";
        let refuse = |what: &str| Err(call.err(what).help(help));
        if self.integers.contains_key(from) || self.pads.contains_key(from) {
            return refuse("it reads integers, or what is padded already");
        }
        let constant = |i: usize| match inputs.get(i) {
            Some(Some(Value::Const(t))) => Some(t),
            _ => None,
        };
        let zero = match inputs.get(2) {
            None | Some(None) => true,
            _ => constant(2).and_then(|t| t.single()) == Some(0.0),
        };
        if !zero || !matches!(call.string("mode"), b"" | b"constant") || inputs.get(3).is_some_and(Option::is_some) {
            return refuse("it pads with other than constant zeros, or has axes");
        }
        let list = constant(1).and_then(|t| t.as_ints().ok()).or(call.ints("pads")).unwrap_or(&[]);
        let pads = match *list {
            [0, 0, left, 0, 0, right] => [0, left, 0, right],
            [0, 0, top, left, 0, 0, bottom, right] => [top, left, bottom, right],
            _ => return refuse(&format!("pads of {list:?}")),
        };
        if list.len() != 2 * x.dims.len() || !self.importer.is_natural(x) || pads.iter().any(|&p| p < 0) {
            return refuse(&format!("pads of {list:?} on dimensions {:?}", x.dims));
        }
        self.pads.insert(to, pads);
        Ok(x.clone())
    }

    /// Every other operator, as the importer reads it.
    fn other(&mut self, call: &Call<'a>, inputs: &[Option<Value>]) -> Result<Value> {
        let (from, to) = self.ends(call);
        for name in call.node.input.iter().map(String::as_str) {
            if self.integers.contains_key(name) && !(MOVES.contains(&call.op()) || call.op() == "MaxPool") {
                return Err(call
                    .err(format!("it reads the integers \"{name}\""))
                    .help("every operator needs DequantizeLinear on its inputs"));
            }
            if self.pads.contains_key(name) && call.op() != "Conv" {
                return Err(unsupported(call, "it reads a padded value, and only Conv takes a Pad in"));
            }
        }
        let value = match self.pads.get(from) {
            Some(pads) => {
                let node = padded(call, pads)?;
                self.importer.value(&self.importer.call(&node), inputs)?
            }
            None => self.importer.value(call, inputs)?,
        };
        match (&value, call.op()) {
            (Value::Act(_), op) if MOVES.contains(&op) || op == "MaxPool" => {
                if let Some(&integers) = self.integers.get(from) {
                    self.integers.insert(to, integers);
                }
            }
            (Value::Act(act), "Conv" | "Gemm" | "MatMul") => {
                let scales = self.weight_scales(call, act.node)?;
                self.scales.insert(act.node, scales);
            }
            // A constant joined the bias of the layer before it, in a node of its own.
            (Value::Act(act), "Add" | "Sub") if !self.scales.contains_key(&act.node) => {
                let layer = inputs.iter().flatten().find_map(|v| match v {
                    Value::Act(x) => self.scales.get(&x.node),
                    Value::Const(_) => None,
                });
                if let (Some(scales), Op::Conv(_) | Op::Linear(_)) = (layer, &self.importer.nodes[act.node].op) {
                    self.scales.insert(act.node, scales.clone());
                }
            }
            (Value::Const(t), "Constant") => {
                let tensor = call.node.attribute.iter().find_map(|a| a.t.as_ref());
                let kind = tensor.map_or(if matches!(t.data, Data::Int(_)) { 7 } else { 1 }, |t| t.data_type);
                self.kinds.insert(to, kind);
            }
            (Value::Const(t), op) if MOVES.contains(&op) => self.move_constant(call, t.dims.len())?,
            _ => {}
        }
        Ok(value)
    }

    /// Keeps what is known of a constant that is moved.
    fn move_constant(&mut self, call: &Call<'a>, rank: usize) -> Result<()> {
        let (from, to) = self.ends(call);
        if let Some(&kind) = self.kinds.get(from) {
            self.kinds.insert(to, kind);
        }
        let Some(mut constant) = self.constants.get(from).cloned() else { return Ok(()) };
        match (constant.axis, call.op()) {
            (None, _) | (_, "Identity") => {}
            (Some(axis), "Transpose") => {
                let perm = permutation(call, rank).map_err(|e| call.err(e))?;
                constant.axis = perm.iter().position(|&p| p == axis);
            }
            // Which channel is where is not followed through a reshape.
            _ => return Ok(()),
        }
        self.constants.insert(to, constant);
        Ok(())
    }

    /// Scales of a layer's weights, one per output channel.
    fn weight_scales(&self, call: &Call<'a>, layer: NodeId) -> Result<Vec<f32>> {
        let name = call.node.input.get(1).map_or("", String::as_str);
        let Some(constant) = self.constants.get(name) else {
            return Err(call
                .err(format!("its weight \"{name}\" is not quantised"))
                .help("every operator needs QuantizeLinear and DequantizeLinear; quantise the whole network"));
        };
        if !constant.symmetric {
            return Err(call
                .err(format!("its weight \"{name}\" is not int8 with zero point 0"))
                .help("quantise weights to int8 and symmetrically"));
        }
        let out = match &self.importer.nodes[layer].op {
            Op::Conv(conv) => conv.out,
            Op::Linear(linear) => linear.out,
            _ => return Err(call.err("internal error: not a layer")),
        };
        let channels = match call.op() {
            "Conv" => 0,
            "Gemm" if call.int("transB", 0) != 0 => 0,
            _ => 1,
        };
        match constant.axis {
            None => Ok(vec![constant.scales[0]; out]),
            Some(axis) if axis == channels => Ok(constant.scales.clone()),
            Some(axis) => Err(call
                .err(format!(
                    "its weight \"{name}\" has scales along axis {axis}; its output channels are axis {channels}"
                ))
                .help("quantise weights per tensor or per output channel")),
        }
    }
}

/// What to take from integers of an element type to have int8; `None` for types of other sizes.
fn shift_to_int8(kind: i32) -> Option<i64> {
    match kind {
        element::INT8 => Some(0),
        element::UINT8 => Some(128),
        _ => None,
    }
}

/// Which of `n` scales an element has, where `inner` elements in a row share one.
fn index(inner: usize, n: usize) -> impl Fn(usize) -> usize {
    move |i| i / inner.max(1) % n
}

/// The Conv with `pads` in its own.
fn padded(call: &Call<'_>, pads: &[i64; 4]) -> Result<NodeProto> {
    if !matches!(call.string("auto_pad"), b"" | b"NOTSET" | b"VALID") {
        return Err(unsupported(call, "a Pad before automatic padding"));
    }
    let own = call.ints("pads").unwrap_or(&[]);
    let added: Vec<i64> = match own.len() {
        2 => vec![own[0].saturating_add(pads[1]), own[1].saturating_add(pads[3])],
        4 => own.iter().zip(pads).map(|(a, b)| a.saturating_add(*b)).collect(),
        0 if call.ints("kernel_shape").is_some_and(|k| k.len() == 1) => vec![pads[1], pads[3]],
        0 => pads.to_vec(),
        _ => return Err(call.err(format!("pads {own:?}"))),
    };
    let mut node = call.node.clone();
    node.attribute.retain(|a| !matches!(a.name.as_str(), "pads" | "auto_pad"));
    let type_ = AttributeType::INTS.into();
    node.attribute.push(AttributeProto { name: "pads".into(), type_, ints: added, ..Default::default() });
    Ok(node)
}

#[cfg(test)]
mod tests;
