//! Values held between two bounds.

use super::{Array, Kernel};

/// `x` where it is between the bounds, else the nearer bound; its derivative is 0 at and beyond them.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Lower bound, or minus infinity.
    pub lo: f32,
    /// Upper bound, or infinity.
    pub hi: f32,
}

impl Kernel<1> for Clip {
    #[inline(always)]
    fn forward(&self, [x]: &[Array; 1]) -> Array {
        let Clip { lo, hi } = *self;
        // What is no number is neither below nor above, so it is not hidden.
        let clip = |v: &f32| {
            if *v < lo {
                lo
            } else if *v > hi {
                hi
            } else {
                *v
            }
        };
        Array::new(x.data().iter().map(clip).collect(), x.dims::<4>())
    }

    #[inline(always)]
    fn backward(&self, [x]: &[Array; 1], grad: Array, _: [bool; 1]) -> [Option<Array>; 1] {
        let Clip { lo, hi } = *self;
        let mut dx = vec![0.0; x.data().len()];
        for ((d, g), v) in dx.iter_mut().zip(grad.data()).zip(x.data()) {
            // Without a branch: which numbers are clipped cannot be predicted.
            *d = if (*v > lo) & (*v < hi) { *g } else { 0.0 };
        }
        [Some(Array::new(dx, x.dims::<4>()))]
    }
}
