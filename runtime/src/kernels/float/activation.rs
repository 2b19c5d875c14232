//! Functions of one value, by their formulas; exponentials and the error function are those of the `libm` crate on
//! every machine.

use super::Clip;

/// A function of one value; the codes are those of the format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `x`: for bounds alone.
    Identity,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `clamp(alpha * x + beta, 0, 1)`.
    HardSigmoid {
        /// Slope between the two flat ends.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `x * clamp(x / 6 + 1/2, 0, 1)`.
    HardSwish,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x` where it is positive, `slope * x` elsewhere.
    LeakyRelu {
        /// Slope below zero.
        slope: f32,
    },
    /// `x * (1 + erf(x / √2)) / 2`.
    Gelu,
}

impl Function {
    /// By the code (see [`crate::format::function`]) and the parameters of an operator.
    pub fn new(code: u16, parameters: &[f32]) -> Option<Self> {
        use crate::format::function as code_of;
        Some(match (code, parameters) {
            (code_of::IDENTITY, []) => Function::Identity,
            (code_of::SIGMOID, []) => Function::Sigmoid,
            (code_of::TANH, []) => Function::Tanh,
            (code_of::HARD_SIGMOID, &[alpha, beta]) => Function::HardSigmoid { alpha, beta },
            (code_of::HARD_SWISH, []) => Function::HardSwish,
            (code_of::SILU, []) => Function::Silu,
            (code_of::LEAKY_RELU, &[slope]) => Function::LeakyRelu { slope },
            (code_of::GELU, []) => Function::Gelu,
            _ => return None,
        })
    }

    /// Replaces each value by the function's, within bounds.
    pub fn apply(self, clip: Clip, y: &mut [f32]) {
        const UNIT: Clip = Clip { lo: 0.0, hi: 1.0 };
        match self {
            Function::Identity => each(clip, y, |x| x),
            Function::Sigmoid => each(clip, y, sigmoid),
            Function::Tanh => each(clip, y, libm::tanhf),
            Function::HardSigmoid { alpha, beta } => each(clip, y, |x| UNIT.apply(alpha * x + beta)),
            Function::HardSwish => each(clip, y, |x| x * UNIT.apply(x / 6.0 + 0.5)),
            Function::Silu => each(clip, y, |x| x * sigmoid(x)),
            Function::LeakyRelu { slope } => each(clip, y, |x| x * if x > 0.0 { 1.0 } else { slope }),
            Function::Gelu => {
                // As erfc, without cancellation below zero.
                each(clip, y, |x| x * 0.5 * libm::erfcf(-x * core::f32::consts::FRAC_1_SQRT_2));
            }
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

fn each(clip: Clip, y: &mut [f32], f: impl Fn(f32) -> f32) {
    y.iter_mut().for_each(|y| *y = clip.apply(f(*y)));
}
