//! Linear CKA: how alike two layers represent the same rows, whatever their widths.
//!
//! `CKA = <K, L> / (|K| |L|)` of the centred Gram matrices `K = HXX'H` and `L = HYY'H` of the activations `X` and `Y`
//! (Kornblith et al., ICML 2019; anatome's formula, by rows instead of by features). 1 is the same representation up to
//! rotation and scale. With few rows beside many features it lies too high, so compare only values of equally many rows.
//! A low value says that a layer changed, not that the change is unfair: over the runs of Simon Says, sparsity explains
//! dissimilarity as well as bias does.

/// Inner products of all pairs of rows, `rows × rows`, uncentred.
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    rows: usize,
    products: Vec<f64>,
}

impl Gram {
    /// Of activations `rows × features`.
    pub fn of(x: &[f32], rows: usize) -> Self {
        let width = x.len() / rows.max(1);
        let row = |i: usize| &x[i * width..(i + 1) * width];
        let mut products = vec![0.0; rows * rows];
        for i in 0..rows {
            for j in 0..=i {
                let dot: f64 = row(i).iter().zip(row(j)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                products[i * rows + j] = dot;
                products[j * rows + i] = dot;
            }
        }
        Gram { rows, products }
    }

    /// Of some of the rows.
    pub fn subset(&self, rows: &[usize]) -> Self {
        let products = rows.iter().flat_map(|&i| rows.iter().map(move |&j| self.products[i * self.rows + j])).collect();
        Gram { rows: rows.len(), products }
    }

    /// With the mean of every feature taken away; `None` where no more than rounding is left of it.
    fn centred(&self) -> Option<Vec<f64>> {
        let n = self.rows as f64;
        let means: Vec<f64> = self.products.chunks(self.rows.max(1)).map(|r| r.iter().sum::<f64>() / n).collect();
        let all = means.iter().sum::<f64>() / n;
        let centre = |(k, v): (usize, &f64)| v - means[k / self.rows] - means[k % self.rows] + all;
        let centred: Vec<f64> = self.products.iter().enumerate().map(centre).collect();
        (dot(&centred, &centred) > 1e-24 * dot(&self.products, &self.products)).then_some(centred)
    }
}

/// Standard error of [`linear_cka`] by the jackknife that leaves out one block at a time (Tukey; Künsch 1989); `blocks`
/// says which block each row is in: a cluster, or rows far from each other. A bootstrap would not do: rows that repeat
/// are alike in both representations, which raises every replicate. `None` for fewer than two blocks.
pub fn jackknife_error(x: &Gram, y: &Gram, blocks: &[u32]) -> Option<f64> {
    let names: std::collections::BTreeSet<u32> = blocks.iter().copied().collect();
    let without = |block: &u32| {
        let rows: Vec<usize> = (0..blocks.len()).filter(|&i| blocks[i] != *block).collect();
        linear_cka(&x.subset(&rows), &y.subset(&rows))
    };
    let values = names.iter().map(without).collect::<Option<Vec<f64>>>()?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (n > 1.0).then(|| ((n - 1.0) / n * squares).sqrt())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Linear CKA of two representations of the same rows, 0 to 1; `None` where one of them is the same for all rows.
pub fn linear_cka(x: &Gram, y: &Gram) -> Option<f64> {
    let (x, y) = (x.centred()?, y.centred()?);
    Some(dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt())
}
