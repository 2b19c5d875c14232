//! ONNX import and export.
//!
//! The importer walks the protobuf's nodes in order with a batch of one. Every ONNX value is either a constant, which a small
//! evaluator folds, or an activation: a node of the [`Graph`] with the dimensions that the file gives it. So shape arithmetic,
//! reshapes and other traces that exporters leave disappear, and what remains is the network. It keeps the names of
//! the file's nodes (the typed graph of `onnx-ir` would rename them, which is why only its protobuf types are used).

mod call;
mod export;
mod fold;
mod import;
mod layers;
mod layout;
mod movers;
mod patterns;
mod qdq;
mod tensor;

pub use export::{save, to_bytes};
pub use qdq::Marked;

use crate::error::{Context, Error, Result};
use crate::graph::Graph;
use onnx_ir::{Message, ModelProto};
use std::path::Path;

/// Largest number of nodes that a file may have.
const MAX_NODES: usize = 1 << 16;

/// Loads an ONNX file. The network's name is the file's stem.
///
/// # Errors
/// Names the file, the node and its operator, and what is supported instead.
pub fn load(path: &Path) -> Result<Graph> {
    let bytes = std::fs::read(path).at(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    from_bytes(&name, &bytes).map_err(|e| e.at(path))
}

/// Imports the bytes of an ONNX file as a network called `name`. Never panics, and allocates in proportion to
/// the number of bytes.
///
/// # Errors
/// As [`load`], but without the file.
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Graph> {
    import::graph(name, &parse(bytes)?, bytes.len())
}

/// Loads a quantised ONNX file (QuantizeLinear and DequantizeLinear around every operator); `None` where the file
/// has no QuantizeLinear.
///
/// # Errors
/// As [`load`], and scales or zero points that have no int8 form.
pub fn load_quantised(path: &Path) -> Result<Option<Marked>> {
    let bytes = std::fs::read(path).at(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    quantised_from_bytes(&name, &bytes).map_err(|e| e.at(path))
}

/// As [`load_quantised`], from the bytes of a file. Never panics, and allocates in proportion to their number.
///
/// # Errors
/// As [`load_quantised`], but without the file.
pub fn quantised_from_bytes(name: &str, bytes: &[u8]) -> Result<Option<Marked>> {
    qdq::marked(name, &parse(bytes)?, bytes.len())
}

fn parse(bytes: &[u8]) -> Result<ModelProto> {
    ModelProto::parse_from_bytes(bytes)
        .map_err(|e| Error::new(format!("not an ONNX file: {e}")).help("check that the file is complete"))
}

#[cfg(test)]
pub(crate) mod tests;
