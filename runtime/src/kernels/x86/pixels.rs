//! Lengths of slices against a geometry: what the pointers of these kernels rely on.

use crate::kernels::Geometry;

/// Whether input and output have their geometry's lengths, and neither is empty.
pub(super) fn fit(g: &Geometry, x: &[i8], y: &[i8]) -> bool {
    let count = |d: [usize; 3]| d[0].checked_mul(d[1])?.checked_mul(d[2]);
    !x.is_empty()
        && !y.is_empty()
        && count(g.input) == Some(x.len())
        && count(g.output) == Some(y.len())
        && [g.kernel, g.stride, g.dilation].iter().flatten().all(|&n| n > 0)
}
