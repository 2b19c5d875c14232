//! Pointwise functions beyond clipping: what each computes, on one number.

use statrs::function::erf::erf;
use std::f64::consts::FRAC_1_SQRT_2;

/// A function of one number, applied to every element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `clamp(alpha * x + beta, 0, 1)`; PyTorch's has `alpha` 1/6 and `beta` 1/2.
    HardSigmoid {
        /// Slope between the two flat ends.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `x * clamp(x / 6 + 1/2, 0, 1)` (Howard et al., Searching for MobileNetV3, ICCV 2019).
    HardSwish,
    /// `x * sigmoid(x)`, also called Swish.
    Silu,
    /// `x` where it is positive, `slope * x` elsewhere.
    LeakyRelu {
        /// Slope below zero.
        slope: f32,
    },
    /// `x * (1 + erf(x / √2)) / 2`: the exact form, not the one by tanh.
    Gelu,
}

impl Activation {
    /// The value at `x`.
    pub fn apply(self, x: f32) -> f32 {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self {
            Activation::Sigmoid => sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Activation::Silu => x * sigmoid(x),
            Activation::LeakyRelu { slope } => x * if x > 0.0 { 1.0 } else { slope },
            Activation::Gelu => {
                let x = f64::from(x);
                (x * 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2))) as f32
            }
        }
    }

    /// The name that users know it by.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh => "Tanh",
            Activation::HardSigmoid { .. } => "HardSigmoid",
            Activation::HardSwish => "HardSwish",
            Activation::Silu => "SiLU",
            Activation::LeakyRelu { .. } => "LeakyReLU",
            Activation::Gelu => "GELU",
        }
    }

    /// True when its parameters are numbers.
    pub(super) fn is_finite(self) -> bool {
        match self {
            Activation::HardSigmoid { alpha, beta } => alpha.is_finite() && beta.is_finite(),
            Activation::LeakyRelu { slope } => slope.is_finite(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_formulas() {
        let cases = [
            (Activation::Sigmoid, [0.119_202_92, 0.5, 0.952_574_13]),
            (Activation::Tanh, [-0.964_027_6, 0.0, 0.995_054_7]),
            (Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }, [0.1, 0.5, 1.0]),
            (Activation::HardSwish, [-0.333_333_34, 0.0, 3.0]),
            (Activation::Silu, [-0.238_405_84, 0.0, 2.857_722_3]),
            (Activation::LeakyRelu { slope: 0.1 }, [-0.2, 0.0, 3.0]),
            (Activation::Gelu, [-0.045_500_264, 0.0, 2.995_950_2]),
        ];
        for (f, want) in cases {
            for (x, want) in [-2.0, 0.0, 3.0].into_iter().zip(want) {
                assert!((f.apply(x) - want).abs() < 1e-6, "{} at {x}: {}", f.name(), f.apply(x));
            }
        }
        // The ends of f32 give no NaN.
        assert_eq!((Activation::Silu.apply(-1e30), Activation::Sigmoid.apply(-1e30)), (0.0, 0.0));
    }
}
