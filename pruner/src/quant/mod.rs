//! int8: calibration, quantisation, simulation equal to the runtime bit for bit.

mod calibrate;
pub(crate) mod equalise;
mod fixed;
pub(crate) mod fuse;
mod given;
mod histogram;
mod model;
mod pointwise;
mod qdq;
pub(crate) mod quantise;
mod simulate;

#[cfg(test)]
mod real_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use calibrate::{Method, Ranges};
pub use model::{QGraph, QNode, QOp, QParams, QWeights};
pub use qdq::from_marks;
pub use quantise::quantise;
pub use simulate::{dequantise, quantise_input, simulate};
