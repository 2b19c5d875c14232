//! Writes a graph as an ONNX file that any runtime loads: operator set 17, a free batch axis, the file's own names.

use crate::error::{Error, Result};
use crate::files;
use crate::graph::{Activation, Axis, Graph, Op, Shape, Window};
use onnx_ir::{AttributeProto, AttributeType, GraphProto, Message, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::HashSet;
use std::path::Path;

/// Operator set of the files.
const OPSET: i64 = 17;
/// File format of that operator set.
const IR_VERSION: i64 = 8;

/// Writes the graph as an ONNX file, through a temporary file beside it.
///
/// # Errors
/// When the graph cannot be written down, or the file cannot be written.
pub fn save(graph: &Graph, path: &Path) -> Result<()> {
    files::write(path, &to_bytes(graph).map_err(|e| e.at(path))?)
}

/// The bytes of the graph as an ONNX file. Sequences become 1-D convolutions again where the whole network is 1-D.
/// Importing the bytes gives the graph back, except for what an importer simplifies (a Flatten of a vector, say).
///
/// # Errors
/// When a node has no form in operator set 17, which is named.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>> {
    let mut writer = Writer::new(graph);
    for id in 1..graph.nodes.len() {
        writer.node(id)?;
    }
    let (mut output, rank) = writer.values[graph.output].clone();
    if graph.output == 0 {
        let input = std::mem::replace(&mut output, writer.output.clone());
        writer.emit("Identity", "", &[&input], &output, vec![]);
    }

    let mut file = writer.file;
    file.name = graph.name.clone();
    file.input = vec![tensor_info(&writer.values[0].0, graph.input_shape(), graph.input_rank + 1)];
    file.output = vec![tensor_info(&output, graph.output_shape(), rank)];
    let mut model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "evenkeel".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(file).into(),
        ..Default::default()
    };
    model.opset_import.push(Default::default());
    model.opset_import[0].version = OPSET;
    model.write_to_bytes().map_err(Error::new)
}

/// The file being written.
struct Writer<'a> {
    graph: &'a Graph,
    file: GraphProto,
    /// Names of values and of parameters, all different.
    taken: HashSet<String>,
    /// Per node, the name and rank of its value.
    values: Vec<(String, usize)>,
    /// Name of the network's result.
    output: String,
    /// Rank of images and sequences: 3 when the whole network is 1-D.
    spatial: usize,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph) -> Self {
        let flat = |w: &Window| (w.kernel[0], w.stride[0], w.dilation[0], w.pad[0], w.pad[2]) == (1, 1, 1, 0, 0);
        let one_dimensional = graph.nodes.iter().all(|n| {
            n.shape.h == 1
                && match &n.op {
                    Op::Conv(c) => flat(&c.window),
                    Op::MaxPool(w) | Op::AvgPool { window: w, .. } => flat(w),
                    Op::Slice { axis, .. } => *axis != Axis::H,
                    _ => true,
                }
        });
        let spatial = if graph.input_rank < 3 && one_dimensional { 3 } else { 4 };
        let mut writer = Writer {
            graph,
            file: GraphProto::default(),
            taken: HashSet::new(),
            values: Vec::new(),
            output: String::new(),
            spatial,
        };
        let input = writer.unique(&graph.nodes[0].name);
        writer.values.push((input, graph.input_rank + 1));
        writer.output = writer.unique("output");
        writer
    }

    /// A name like `base` that nothing else has.
    fn unique(&mut self, base: &str) -> String {
        let base = if base.is_empty() { "value" } else { base };
        let mut name = base.to_owned();
        let mut n = 1;
        while !self.taken.insert(name.clone()) {
            n += 1;
            name = format!("{base}_{n}");
        }
        name
    }

    fn emit(&mut self, op: &str, name: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.file.node.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.iter().map(|s| (*s).into()).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        });
    }

    /// Adds a parameter of a node and returns its name.
    fn floats(&mut self, node: &str, what: &str, dims: &[usize], values: &[f32]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(&format!("{node}.{what}"), 1, dims, raw)
    }

    /// [`Writer::floats`] for a list of integers.
    fn integers(&mut self, node: &str, what: &str, values: &[usize]) -> String {
        let raw = values.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect();
        self.constant(&format!("{node}.{what}"), 7, &[values.len()], raw)
    }

    /// A function of each element. SiLU and GELU, which operator set 17 has not, are written as PyTorch writes them.
    fn activation(&mut self, f: Activation, name: &str, x: &str, result: &str) {
        match f {
            Activation::Sigmoid | Activation::Tanh | Activation::HardSwish => {
                self.emit(f.name(), name, &[x], result, vec![]);
            }
            Activation::HardSigmoid { alpha, beta } => {
                self.emit("HardSigmoid", name, &[x], result, vec![float("alpha", alpha), float("beta", beta)]);
            }
            Activation::LeakyRelu { slope } => {
                self.emit("LeakyRelu", name, &[x], result, vec![float("alpha", slope)]);
            }
            Activation::Silu => {
                let gate = self.step("Sigmoid", name, &[x]);
                self.emit("Mul", name, &[x, &gate], result, vec![]);
            }
            Activation::Gelu => {
                let [root, one, half] = [("root", std::f32::consts::SQRT_2), ("one", 1.0), ("half", 0.5)]
                    .map(|(what, v)| self.floats(name, what, &[], &[v]));
                let scaled = self.step("Div", name, &[x, &root]);
                let erf = self.step("Erf", name, &[&scaled]);
                let gate = self.step("Add", name, &[&erf, &one]);
                let product = self.step("Mul", name, &[x, &gate]);
                self.emit("Mul", name, &[&product, &half], result, vec![]);
            }
        }
    }

    /// One of several nodes that a node becomes; returns the name of its value.
    fn step(&mut self, op: &str, name: &str, inputs: &[&str]) -> String {
        let output = self.unique(&format!("{name}.{}", op.to_lowercase()));
        self.emit(op, &output, inputs, &output, vec![]);
        output
    }

    fn constant(&mut self, name: &str, data_type: i32, dims: &[usize], raw: Vec<u8>) -> String {
        let name = self.unique(name);
        self.file.initializer.push(TensorProto {
            name: name.clone(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type,
            raw_data: raw.into(),
            ..Default::default()
        });
        name
    }

    /// The name of a node's value, brought to a rank.
    fn at_rank(&mut self, id: usize, rank: usize) -> String {
        let (name, own) = self.values[id].clone();
        if own == rank {
            return name;
        }
        let output = self.unique(&format!("{name}.rank{rank}"));
        if rank == 2 {
            self.emit("Flatten", "", &[&name], &output, vec![int("axis", 1)]);
        } else {
            // New axes of one element go behind the channels: the height of a sequence, or both axes of a vector.
            let axes: Vec<u8> = (2i64..).take(rank - own).flat_map(i64::to_le_bytes).collect();
            let axes = self.constant(&format!("{output}.axes"), 7, &[rank - own], axes);
            self.emit("Unsqueeze", "", &[&name, &axes], &output, vec![]);
        }
        output
    }

    fn node(&mut self, id: usize) -> Result<()> {
        let node = &self.graph.nodes[id];
        let name = node.name.clone();
        let first = node.inputs[0];
        let spatial = self.spatial;
        let result = if id == self.graph.output { self.output.clone() } else { self.unique(&format!("{name}.out")) };
        let rank = match &node.op {
            Op::Flatten | Op::Linear(_) | Op::Softmax => 2,
            Op::Conv(_) | Op::MaxPool(_) | Op::AvgPool { .. } | Op::GlobalAvgPool => spatial,
            Op::Resize { .. } | Op::Pad { .. } | Op::Slice { axis: Axis::H | Axis::W, .. } => spatial,
            Op::Add | Op::Mul | Op::Concat => node.inputs.iter().map(|&i| self.values[i].1).max().unwrap_or(2),
            _ => self.values[first].1,
        };
        match &node.op {
            Op::Input => {}
            Op::Conv(c) => {
                let x = self.at_rank(first, rank);
                let [kh, kw] = c.window.kernel;
                let dims = if spatial == 3 { vec![c.out, c.inp, kw] } else { vec![c.out, c.inp, kh, kw] };
                let weight = self.floats(&name, "weight", &dims, &c.weight);
                let bias = self.floats(&name, "bias", &[c.out], &c.bias);
                let mut attributes = window(&c.window, spatial, true);
                attributes.push(int("group", c.groups as i64));
                self.emit("Conv", &name, &[&x, &weight, &bias], &result, attributes);
            }
            Op::BatchNorm(n) => {
                let x = self.at_rank(first, rank);
                let params = [("scale", &n.gamma), ("bias", &n.beta), ("mean", &n.mean), ("var", &n.var)]
                    .map(|(what, values)| self.floats(&name, what, &[values.len()], values));
                let [scale, bias, mean, var] = &params;
                let attributes = vec![float("epsilon", n.eps)];
                self.emit("BatchNormalization", &name, &[&x, scale, bias, mean, var], &result, attributes);
            }
            &Op::Clip { lo, hi } => {
                let x = self.at_rank(first, rank);
                if (lo, hi) == (0.0, f32::INFINITY) {
                    self.emit("Relu", &name, &[&x], &result, vec![]);
                } else {
                    // An absent bound is an empty name.
                    let mut bound = |what: &str, v: f32| {
                        if v.is_finite() { self.floats(&name, what, &[], &[v]) } else { String::new() }
                    };
                    let (min, max) = (bound("min", lo), bound("max", hi));
                    self.emit("Clip", &name, &[&x, &min, &max], &result, vec![]);
                }
            }
            Op::Add | Op::Mul | Op::Concat => {
                let inputs: Vec<String> = node.inputs.iter().map(|&i| self.at_rank(i, rank)).collect();
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                let attributes = if node.op == Op::Concat { vec![int("axis", 1)] } else { vec![] };
                self.emit(node.op.name(), &name, &inputs, &result, attributes);
            }
            Op::MaxPool(w) => {
                let x = self.at_rank(first, rank);
                self.emit("MaxPool", &name, &[&x], &result, window(w, spatial, true));
            }
            Op::AvgPool { window: w, count_pad } => {
                if w.dilation != [1, 1] {
                    return Err(Error::new(format!("AvgPool node \"{name}\" has dilations"))
                        .help("ONNX has dilated average pools since operator set 19, which is not written"));
                }
                let x = self.at_rank(first, rank);
                let mut attributes = window(w, spatial, false);
                attributes.push(int("count_include_pad", i64::from(*count_pad)));
                self.emit("AveragePool", &name, &[&x], &result, attributes);
            }
            Op::GlobalAvgPool => {
                let x = self.at_rank(first, rank);
                self.emit("GlobalAveragePool", &name, &[&x], &result, vec![]);
            }
            Op::Flatten => {
                let x = self.values[first].0.clone();
                self.emit("Flatten", &name, &[&x], &result, vec![int("axis", 1)]);
            }
            Op::Linear(l) => {
                let x = self.at_rank(first, rank);
                let weight = self.floats(&name, "weight", &[l.out, l.inp], &l.weight);
                let bias = self.floats(&name, "bias", &[l.out], &l.bias);
                self.emit("Gemm", &name, &[&x, &weight, &bias], &result, vec![int("transB", 1)]);
            }
            Op::Softmax => {
                let x = self.at_rank(first, rank);
                self.emit("Softmax", &name, &[&x], &result, vec![int("axis", -1)]);
            }
            Op::Activation(f) => {
                let x = self.at_rank(first, rank);
                self.activation(*f, &name, &x, &result);
            }
            Op::Resize { scale: [v, h] } => {
                let x = self.at_rank(first, rank);
                let scales = [1.0, 1.0, *v as f32, *h as f32];
                let scales = if spatial == 3 { vec![1.0, 1.0, scales[3]] } else { scales.to_vec() };
                let scales = self.floats(&name, "scales", &[spatial], &scales);
                let way = [
                    text("mode", "nearest"),
                    text("coordinate_transformation_mode", "asymmetric"),
                    text("nearest_mode", "floor"),
                ];
                self.emit("Resize", &name, &[&x, "", &scales], &result, way.to_vec());
            }
            &Op::Pad { pad: [top, left, bottom, right], value } => {
                let x = self.at_rank(first, rank);
                let pads = match spatial {
                    3 => vec![0, 0, left, 0, 0, right],
                    _ => vec![0, 0, top, left, 0, 0, bottom, right],
                };
                let pads = self.integers(&name, "pads", &pads);
                let value = self.floats(&name, "value", &[], &[value]);
                self.emit("Pad", &name, &[&x, &pads, &value], &result, vec![]);
            }
            &Op::Slice { axis, begin, len } => {
                let x = self.at_rank(first, rank);
                let at = match axis {
                    Axis::C => 1,
                    Axis::H => 2,
                    Axis::W => rank - 1,
                };
                let [begin, end, axis] = [("begin", begin), ("end", begin + len), ("axis", at)]
                    .map(|(what, v)| self.integers(&name, what, &[v]));
                self.emit("Slice", &name, &[&x, &begin, &end, &axis], &result, vec![]);
            }
        }
        self.values.push((result, rank));
        Ok(())
    }
}

/// Attributes of a sliding window over one (`rank` 3) or two axes.
fn window(w: &Window, rank: usize, dilations: bool) -> Vec<AttributeProto> {
    let skip = 4 - rank;
    let pads = if skip == 1 { vec![w.pad[1], w.pad[3]] } else { w.pad.to_vec() };
    let mut list =
        vec![ints("kernel_shape", &w.kernel[skip..]), ints("strides", &w.stride[skip..]), ints("pads", &pads)];
    if dilations {
        list.push(ints("dilations", &w.dilation[skip..]));
    }
    list
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&v| v as i64).collect();
    AttributeProto { name: name.into(), type_: AttributeType::INTS.into(), ints, ..Default::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INT.into(), i, ..Default::default() }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::FLOAT.into(), f, ..Default::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    let s = s.as_bytes().to_vec().into();
    AttributeProto { name: name.into(), type_: AttributeType::STRING.into(), s, ..Default::default() }
}

/// An input or output of floats with a free batch axis N.
fn tensor_info(name: &str, shape: Shape, rank: usize) -> ValueInfoProto {
    let mut info = ValueInfoProto { name: name.into(), ..Default::default() };
    let tensor = info.type_.mut_or_insert_default().mut_tensor_type();
    tensor.elem_type = 1;
    let dims = &mut tensor.shape.mut_or_insert_default().dim;
    let sizes: &[usize] = match rank {
        2 => &[shape.len()],
        3 => &[shape.c, shape.w],
        _ => &[shape.c, shape.h, shape.w],
    };
    dims.resize(rank, Default::default());
    dims[0].set_dim_param("N".into());
    for (dim, &size) in dims[1..].iter_mut().zip(sizes) {
        dim.set_dim_value(size as i64);
    }
    info
}
