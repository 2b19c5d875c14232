//! Dot products of one vector with several rows: the inner loop of convolutions and linear operators.

/// Partial sums of a dot product, each over every fourth element: a vector of the smaller targets.
pub const LANES: usize = 4;

/// Rows that meet a vector at a time: as many sums as 32 registers hold beside the operands.
pub const ROWS: usize = crate::strips::FLOAT_FILTERS;

/// The partial sums of [`ROWS`] dot products.
#[derive(Clone, Copy)]
pub struct Sums([[f32; LANES]; ROWS]);

impl Sums {
    /// Nothing yet.
    pub const ZERO: Sums = Sums([[0.0; LANES]; ROWS]);

    /// Adds the products of `x` with row `r` of `w`, whose rows are `stride` apart and as long as `x`.
    #[inline(always)]
    pub fn add(&mut self, x: &[f32], w: &[f32], stride: usize) {
        let rows: [&[f32]; ROWS] = core::array::from_fn(|r| &w[r * stride..][..x.len()]);
        let whole = x.len() - x.len() % LANES;
        let mut sums = self.0;
        for i in (0..whole).step_by(LANES) {
            for (sums, row) in sums.iter_mut().zip(rows) {
                for ((sum, &x), &w) in sums.iter_mut().zip(&x[i..i + LANES]).zip(&row[i..i + LANES]) {
                    *sum += x * w;
                }
            }
        }
        for (sums, row) in sums.iter_mut().zip(rows) {
            for ((sum, &x), &w) in sums.iter_mut().zip(&x[whole..]).zip(&row[whole..]) {
                *sum += x * w;
            }
        }
        self.0 = sums;
    }

    /// As [`Sums::add`], for a single row.
    #[inline(always)]
    pub fn add_one(&mut self, x: &[f32], w: &[f32]) {
        let mut sums = self.0[0];
        let (xs, ws) = (x.chunks_exact(LANES), w[..x.len()].chunks_exact(LANES));
        let rest = xs.remainder().iter().zip(ws.remainder());
        for (x, w) in xs.zip(ws) {
            for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
                *sum += x * w;
            }
        }
        for (sum, (&x, &w)) in sums.iter_mut().zip(rest) {
            *sum += x * w;
        }
        self.0[0] = sums;
    }

    /// The dot product of row `r`.
    #[inline(always)]
    pub fn of(&self, r: usize) -> f32 {
        let [a, b, c, d] = self.0[r];
        (a + c) + (b + d)
    }
}
