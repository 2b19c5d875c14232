//! Batch normalisation with the statistics of the batch (Ioffe and Szegedy 2015).

use super::{Array, Kernel, sums};
use burn::tensor::Tensor;

/// Mean and variance (over all, not one less) of each channel of `[n, c, h, w]`, where the tensor is on the CPU
/// backend and gradients are recorded there.
pub fn moments(x: &Tensor<4>) -> Option<(Vec<f32>, Vec<f32>)> {
    let x = Array::tracked(&x.clone().into_dispatch())?;
    Some(pulp::Arch::new().dispatch(|| of_channels(&x)))
}

#[inline(always)]
fn of_channels(x: &Array) -> (Vec<f32>, Vec<f32>) {
    let [n, c, h, w] = x.dims();
    let (plane, count) = (h * w, (n * h * w) as f64);
    let channel = |k: usize| (0..n).map(move |i| &x.data()[(i * c + k) * plane..(i * c + k + 1) * plane]);
    let mean: Vec<f32> =
        (0..c).map(|k| (channel(k).map(|p| f64::from(sums(p, |v| [v])[0])).sum::<f64>() / count) as f32).collect();
    let var = mean.iter().enumerate().map(|(k, m)| {
        let squares = channel(k).map(|p| f64::from(sums(p, |v| [(v - m) * (v - m)])[0])).sum::<f64>();
        (squares / count) as f32
    });
    let var = var.collect();
    (mean, var)
}

/// `gamma · (x - mean) / sqrt(var + eps) + beta` per channel of `[n, c, h, w]`, where mean and variance are those
/// of `x`, which the derivative regards.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Means of the channels.
    pub mean: Vec<f32>,
    /// Their variances.
    pub var: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

impl Norm {
    #[inline(always)]
    fn inverse(&self, k: usize) -> f32 {
        1.0 / (self.var[k] + self.eps).sqrt()
    }
}

impl Kernel<3> for Norm {
    #[inline(always)]
    fn forward(&self, [x, gamma, beta]: &[Array; 3]) -> Array {
        let [n, c, h, w] = x.dims();
        let (mut y, plane) = (vec![0.0; n * c * h * w], (h * w).max(1));
        for (i, (x, y)) in x.data().chunks(plane).zip(y.chunks_mut(plane)).enumerate() {
            let k = i % c;
            let scale = gamma.data()[k] * self.inverse(k);
            let offset = beta.data()[k] - self.mean[k] * scale;
            y.iter_mut().zip(x).for_each(|(y, v)| *y = v * scale + offset);
        }
        Array::new(y, [n, c, h, w])
    }

    #[inline(always)]
    fn backward(&self, [x, gamma, _]: &[Array; 3], grad: Array, wanted: [bool; 3]) -> [Option<Array>; 3] {
        let [n, c, h, w] = x.dims();
        let plane = (h * w).max(1);
        // Per channel, the sums of the gradient and of its product with the normalised input.
        let (mut of_grad, mut of_product) = (vec![0.0; c], vec![0.0; c]);
        for (i, (x, g)) in x.data().chunks(plane).zip(grad.data().chunks(plane)).enumerate() {
            let (k, mean) = (i % c, self.mean[i % c]);
            let [sum, product] = super::sums2(g, x, |g, x| [g, g * (x - mean)]);
            of_grad[k] += f64::from(sum);
            of_product[k] += f64::from(product * self.inverse(k));
        }
        let dx = wanted[0].then(|| {
            let count = (n * h * w) as f64;
            let mut dx = vec![0.0; n * c * h * w];
            let planes = x.data().chunks(plane).zip(grad.data().chunks(plane)).zip(dx.chunks_mut(plane));
            for (i, ((x, g), dx)) in planes.enumerate() {
                let k = i % c;
                let (inverse, mean) = (self.inverse(k), self.mean[k]);
                let scale = gamma.data()[k] * inverse;
                let (a, b) = ((of_grad[k] / count) as f32, (of_product[k] / count) as f32 * inverse);
                let each = dx.iter_mut().zip(g).zip(x);
                each.for_each(|((d, g), x)| *d = scale * (g - a - (x - mean) * b));
            }
            Array::new(dx, [n, c, h, w])
        });
        let vector = |v: Vec<f64>| Array::new(v.into_iter().map(|v| v as f32).collect(), [c]);
        [dx, wanted[1].then(|| vector(of_product)), wanted[2].then(|| vector(of_grad))]
    }
}
