//! Matrix times vector: a convolution of one pixel.

use super::conv::products;
use super::tiles::{Dot, Runs, Taps};
use crate::kernels::Layer;

/// `None` where it is left to the portable kernels.
pub(super) fn linear<I: Dot>(l: &Layer, x: &[i8], y: &mut [i8], scratch: &mut [u8]) -> Option<()> {
    let taps = x.len();
    let len = taps.next_multiple_of(4);
    let x = if len == taps {
        x
    } else {
        let column = bytemuck::cast_slice_mut(scratch.get_mut(..len)?);
        column[..taps].copy_from_slice(x);
        column[taps..].fill(0);
        column
    };
    if y.is_empty() || taps == 0 {
        return None;
    }
    let place = |_, taps: &mut [Taps]| taps.fill(Taps { start: x.as_ptr(), step: 0 });
    // SAFETY: `x` has all the taps of the only pixel in one run.
    unsafe { products::<I>(l, y.len(), taps, Runs { count: 1, len }, place, y) }
}
