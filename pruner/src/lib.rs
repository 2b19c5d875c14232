//! Evenkeel's host side: a compiler from ONNX and labelled data to a `.keel` file under a fairness contract.

pub mod aligned;
pub mod certify;
pub mod chain;
pub mod contract;
pub mod couple;
pub mod data;
pub mod error;
pub mod export;
pub mod fair;
pub mod field;
pub mod files;
pub mod graph;
pub mod lower;
pub mod net;
pub mod onnx;
pub mod precheck;
pub mod progress;
pub mod prune;
pub mod quant;
pub mod report;
pub mod stream;
#[cfg(test)]
mod testing;

pub use error::{Context, Error, Result};
