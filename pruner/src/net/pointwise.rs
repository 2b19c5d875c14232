//! Pointwise functions on tensors, with gradients.

use crate::graph::Activation;
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, hard_sigmoid, hard_swish, leaky_relu, sigmoid, silu};

/// The function of every element.
pub(super) fn apply(f: Activation, x: Tensor<4>) -> Tensor<4> {
    match f {
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::HardSigmoid { alpha, beta } => hard_sigmoid(x, f64::from(alpha), f64::from(beta)),
        Activation::HardSwish => hard_swish(x),
        Activation::Silu => silu(x),
        Activation::LeakyRelu { slope } => leaky_relu(x, f64::from(slope)),
        Activation::Gelu => gelu(x),
    }
}
