//! An ONNX file in the making: nodes, constants, and names that nothing else has.

use crate::error::{Error, Result};
use onnx_ir::{AttributeProto, AttributeType, GraphProto, Message, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::HashSet;

/// Operator set of the files.
const OPSET: i64 = 17;
/// File format of that operator set.
const IR_VERSION: i64 = 8;

/// Element types of ONNX.
const FLOAT: i32 = 1;
/// int8.
pub const INT8: i32 = 3;
/// int32.
pub const INT32: i32 = 6;
const INT64: i32 = 7;

/// A graph with one input `input` and one output `output`.
pub struct OnnxFile {
    graph: GraphProto,
    taken: HashSet<String>,
}

impl OnnxFile {
    /// A graph without nodes.
    pub fn new(name: &str) -> Self {
        let taken = ["input", "output"].map(str::to_owned).into();
        OnnxFile { graph: GraphProto { name: name.into(), ..Default::default() }, taken }
    }

    /// A name like `base` that nothing else has.
    fn unique(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut n = 1;
        while !self.taken.insert(name.clone()) {
            n += 1;
            name = format!("{base}_{n}");
        }
        name
    }

    /// Adds a node; gives the name of its value, which is the node's and like `name`.
    pub fn node(&mut self, op: &str, name: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let name = self.unique(name);
        self.push(op, &name, inputs, attribute);
        name
    }

    /// Adds the node whose value is the output.
    pub fn last(&mut self, op: &str, input: &str, attribute: Vec<AttributeProto>) {
        self.push(op, "output", &[input], attribute);
    }

    fn push(&mut self, op: &str, name: &str, inputs: &[&str], attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.iter().map(|s| (*s).into()).collect(),
            output: vec![name.into()],
            attribute,
            ..Default::default()
        });
    }

    /// Adds a constant of floats.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes_of(name, FLOAT, dims, &raw)
    }

    /// Adds a list of integers.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes_of(name, INT64, &[values.len()], &raw)
    }

    /// Adds a constant of any type, as little-endian bytes.
    pub fn bytes_of(&mut self, name: &str, data_type: i32, dims: &[usize], raw: &[u8]) -> String {
        let name = self.unique(name);
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type,
            raw_data: raw.to_vec().into(),
            ..Default::default()
        });
        name
    }

    /// The bytes of the file; the shapes are without the batch axis, which is free.
    pub fn bytes(mut self, input: &[u32], output: &[u32]) -> Result<Vec<u8>> {
        self.graph.input = vec![info("input", input)];
        self.graph.output = vec![info("output", output)];
        let mut model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "evenkeel".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph).into(),
            ..Default::default()
        };
        model.opset_import.push(Default::default());
        model.opset_import[0].version = OPSET;
        model.write_to_bytes().map_err(Error::new)
    }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INTS.into(), ints: values.to_vec(), ..Default::default() }
}

/// An attribute that is an integer.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INT.into(), i, ..Default::default() }
}

/// An attribute that is text.
pub fn text(name: &str, s: &str) -> AttributeProto {
    let s = s.as_bytes().to_vec().into();
    AttributeProto { name: name.into(), type_: AttributeType::STRING.into(), s, ..Default::default() }
}

/// An input or output of floats.
fn info(name: &str, shape: &[u32]) -> ValueInfoProto {
    let mut info = ValueInfoProto { name: name.into(), ..Default::default() };
    let tensor = info.type_.mut_or_insert_default().mut_tensor_type();
    tensor.elem_type = FLOAT;
    let dims = &mut tensor.shape.mut_or_insert_default().dim;
    dims.resize(shape.len() + 1, Default::default());
    dims[0].set_dim_param("N".into());
    for (dim, &size) in dims[1..].iter_mut().zip(shape) {
        dim.set_dim_value(i64::from(size));
    }
    info
}
