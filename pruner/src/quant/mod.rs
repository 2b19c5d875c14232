//! int8: calibration, quantisation, simulation equal to the runtime bit for bit.

mod model;

pub use model::{QGraph, QNode, QOp, QParams, QWeights};
