//! Shapes and the sliding window of one operator, and what kernel sets ask of them before they take a pointer.

use core::ops::Range;

use super::portable::taps;

/// Shapes (H × W × C) and the sliding window of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Input height, width, channels.
    pub input: [usize; 3],
    /// Output height, width, channels.
    pub output: [usize; 3],
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Padding above and to the left.
    pub pad: [usize; 2],
}

impl Geometry {
    /// Whether input and output have these lengths and are not empty, and no offset in them or in a window overflows:
    /// neither 31 bits on an axis nor an address. Verified models have no other windows on the devices that they fit,
    /// but the safety of pointers does not rest on that.
    #[inline(never)]
    pub fn fits(&self, x: &[i8], y: &[i8]) -> bool {
        // Short, as it lies in the flash of small devices: what saturates is too large at the end.
        let mut all = self.input[2].max(self.output[2]);
        for axis in 0..2 {
            let last = self.output[axis].saturating_mul(self.stride[axis]);
            let extent = self.kernel[axis].saturating_mul(self.dilation[axis]);
            let reach = last.saturating_add(extent).saturating_add(self.pad[axis]).saturating_add(self.input[axis]);
            if last == 0 || extent == 0 || reach > i32::MAX as usize {
                return false;
            }
            all = all.saturating_mul(reach);
        }
        // Exact, for `all` is no smaller.
        let len = |[h, w, c]: [usize; 3]| h.wrapping_mul(w).wrapping_mul(c);
        all <= isize::MAX as usize
            && !x.is_empty()
            && !y.is_empty()
            && x.len() == len(self.input)
            && y.len() == len(self.output)
    }

    /// The output rows (axis 0) or columns (axis 1) whose windows lie wholly on the input.
    pub fn inside(&self, axis: usize) -> Range<usize> {
        let extent = (self.kernel[axis] - 1) * self.dilation[axis];
        let room = (self.input[axis] + self.pad[axis]).saturating_sub(extent);
        // A stride is at least 1; said so that no division can panic.
        let stride = self.stride[axis].max(1);
        let first = self.pad[axis].div_ceil(stride);
        let end = room.div_ceil(stride).min(self.output[axis]);
        first.min(end)..end
    }

    /// The taps of output row or column `out` that lie on the input, without divisions where all do.
    #[inline(always)]
    pub fn valid_taps(&self, axis: usize, out: usize) -> Range<usize> {
        let start = out * self.stride[axis];
        let extent = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        if start >= self.pad[axis] && start + extent <= self.input[axis] + self.pad[axis] {
            0..self.kernel[axis]
        } else {
            taps(self, axis, out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_one_axis([input, kernel, stride, dilation, pad]: [usize; 5]) -> Geometry {
        Geometry {
            input: [input, 1, 4],
            output: [(input - 1 + pad) / stride + 1, 1, 8],
            kernel: [kernel, 1],
            stride: [stride, 1],
            dilation: [dilation, 1],
            pad: [pad, 0],
        }
    }

    #[test]
    fn inside_means_that_all_taps_are_valid() {
        for of in [[8, 3, 1, 1, 1], [8, 3, 2, 1, 0], [5, 3, 2, 2, 2], [3, 4, 1, 1, 3], [1, 1, 1, 1, 0], [9, 2, 3, 3, 1]]
        {
            let g = on_one_axis(of);
            for out in 0..g.output[0] {
                assert_eq!(g.inside(0).contains(&out), taps(&g, 0, out) == (0..g.kernel[0]), "{g:?} at {out}");
                assert_eq!(g.valid_taps(0, out), taps(&g, 0, out), "{g:?} at {out}");
            }
        }
    }

    #[test]
    fn what_overflows_does_not_fit() {
        let g = on_one_axis([8, 3, 1, 1, 1]);
        let (x, y) = ([0; 32], [0; 72]);
        assert!(g.fits(&x, &y));
        assert!(!g.fits(&x[1..], &y) && !g.fits(&x, &y[1..]));
        for change in [
            |g: &mut Geometry| g.kernel[0] = 0,
            |g: &mut Geometry| g.dilation[0] = usize::MAX,
            |g: &mut Geometry| g.pad[1] = 1 << 31,
            // Products that wrap to the right lengths.
            |g: &mut Geometry| g.input = [1 << (usize::BITS - 3), 8, 32],
            |g: &mut Geometry| g.input[..2].fill(1 << (usize::BITS / 2)),
        ] {
            let mut g = g;
            change(&mut g);
            assert!(!g.fits(&x, &y), "{g:?}");
        }
    }
}
