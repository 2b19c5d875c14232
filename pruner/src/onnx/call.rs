//! One node of the file: its attributes, and errors that name it.

use super::tensor::Tensor;
use crate::error::Error;
use onnx_ir::{AttributeProto, NodeProto};

/// A node as the file calls it.
pub(super) struct Call<'a> {
    pub node: &'a NodeProto,
    pub opset: i64,
}

impl<'a> Call<'a> {
    /// The operator's name.
    pub fn op(&self) -> &'a str {
        &self.node.op_type
    }

    /// The node's name, or that of its result when it has none.
    pub fn name(&self) -> &'a str {
        match self.node.name.as_str() {
            "" => self.node.output.first().map_or("", |s| s.as_str()),
            name => name,
        }
    }

    /// An error that names the node.
    pub fn err(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format!("{} node \"{}\": {what}", self.op(), self.name()))
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|a| a.name == name)
    }

    /// True when the attribute is there.
    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// An integer attribute.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |a| a.i)
    }

    /// A float attribute.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |a| a.f)
    }

    /// A list of integers.
    pub fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    /// A list of floats.
    pub fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.attribute(name).map(|a| a.floats.as_slice())
    }

    /// A string; empty when it is absent.
    pub fn string(&self, name: &str) -> &'a [u8] {
        self.attribute(name).map_or(&[], |a| &a.s)
    }

    /// A tensor.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        self.attribute(name).and_then(|a| a.t.as_ref()).map(Tensor::decode).transpose()
    }
}
