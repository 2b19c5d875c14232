//! Every kernel gives what burn's operation gives, and so do its gradients.

use super::super::{device, floats, pairs};
use super::{Clip, Conv, GlobalMean, Kernel, MaxPool, Norm, moments, run};
use crate::graph::Window;
use burn::tensor::module::{adaptive_avg_pool2d, batch_norm_train, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

/// Pairs of a sequence.
const HALVING: Window = Window { kernel: [1, 2], stride: [1, 2], dilation: [1, 1], pad: [0; 4] };

/// Numbers of which some are equal, in no order.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + seed) * 7919 + 13) % 31) as f32 / 8.0 - 2.0).collect()
}

fn leaf<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(shape.iter().product(), seed), shape), device).require_grad()
}

/// The result, and the gradient of its product with some numbers.
fn derived(y: &Tensor<4>, x: &[&Tensor<4>], vectors: &[&Tensor<1>]) -> Vec<Vec<f32>> {
    let other = TensorData::new(numbers(y.shape().num_elements(), 5), y.dims());
    let grads = (y.clone() * Tensor::from_data(other, &y.device())).sum().backward();
    let mut all = vec![floats(y.clone()).unwrap()];
    all.extend(x.iter().map(|x| floats(x.grad(&grads).unwrap()).unwrap()));
    all.extend(vectors.iter().map(|v| floats(v.grad(&grads).unwrap()).unwrap()));
    all
}

fn near(ours: &[Vec<f32>], burns: &[Vec<f32>]) -> Result<(), TestCaseError> {
    for (ours, burns) in ours.iter().zip(burns) {
        prop_assert_eq!(ours.len(), burns.len());
        let scale = burns.iter().fold(1f32, |m, v| m.max(v.abs()));
        prop_assert!(ours.iter().zip(burns).all(|(a, b)| (a - b).abs() < 1e-4 * scale), "{ours:?}\n{burns:?}");
    }
    Ok(())
}

fn window() -> impl Strategy<Value = Window> {
    let pair = |range: std::ops::RangeInclusive<usize>| [range.clone(), range];
    (pair(1..=3), pair(1..=3), pair(1..=2), [0..=1usize, 0..=1, 0..=1, 0..=1]).prop_map(
        |(kernel, stride, dilation, pad)| {
            // burn pads a pool by less than its kernel.
            let pad = [
                pad[0].min(kernel[0] - 1),
                pad[1].min(kernel[1] - 1),
                pad[2].min(kernel[0] - 1),
                pad[3].min(kernel[1] - 1),
            ];
            Window { kernel, stride, dilation, pad }
        },
    )
}

/// Groups, input channels per group, output channels per group.
fn channels() -> impl Strategy<Value = (usize, usize, usize)> {
    prop_oneof![
        (1..=1usize, 1..=5usize, 1..=5usize),
        (2..=4usize, 1..=1usize, 1..=1usize),
        (2..=3usize, 1..=3usize, 1..=3usize)
    ]
}

fn ours<const N: usize>(kernel: impl Kernel<N>, inputs: [burn::backend::DispatchTensor; N]) -> Tensor<4> {
    Tensor::from_dispatch(run(kernel, inputs).unwrap())
}

proptest! {
    #[test]
    fn convolutions_are_those_of_burn(window in window(), (groups, inp, out) in channels(), [n, h, w] in [1..=9usize, 5..=9, 5..=20]) {
        let device = device("cpu").unwrap().autodiff();
        let x = leaf([n, groups * inp, h, w], 0, &device);
        let weight = leaf([groups * out, inp, window.kernel[0], window.kernel[1]], 1, &device);
        let bias = leaf([groups * out], 2, &device);
        let inputs = [x.clone().into_dispatch(), weight.clone().into_dispatch(), bias.clone().into_dispatch()];
        let y = ours(Conv { window, groups }, inputs);
        let options = ConvOptions::new_with_padding(window.stride, pairs(&window), window.dilation, groups);
        let theirs = conv2d(x.clone(), weight.clone(), Some(bias.clone()), options);
        near(&derived(&y, &[&x, &weight], &[&bias]), &derived(&theirs, &[&x, &weight], &[&bias]))?;
    }

    #[test]
    fn maxima_are_those_of_burn(window in prop_oneof![window(), Just(HALVING)], [n, c, h, w] in [1..=3usize, 1..=3, 5..=9, 5..=20]) {
        let device = device("cpu").unwrap().autodiff();
        let x = leaf([n, c, h, w], 0, &device);
        let y = ours(MaxPool(window), [x.clone().into_dispatch()]);
        let options = MaxPoolOptions::new(window.kernel)
            .with_stride(window.stride)
            .with_padding_pairs(pairs(&window))
            .with_dilation(window.dilation);
        let theirs = max_pool2d(x.clone(), options);
        near(&derived(&y, &[&x], &[]), &derived(&theirs, &[&x], &[]))?;
    }

    #[test]
    fn normalisations_are_those_of_burn([n, c, h, w] in [2..=5usize, 1..=3, 1..=9, 2..=20]) {
        let device = device("cpu").unwrap().autodiff();
        let x = leaf([n, c, h, w], 0, &device);
        let (gamma, beta) = (leaf([c], 1, &device), leaf([c], 2, &device));
        let theirs = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), 1e-3);
        let (mean, var) = moments(&x).unwrap();
        let inputs = [x.clone().into_dispatch(), gamma.clone().into_dispatch(), beta.clone().into_dispatch()];
        let y = ours(Norm { mean: mean.clone(), var: var.clone(), eps: 1e-3 }, inputs);
        near(&[mean, var], &[floats(theirs.mean).unwrap(), floats(theirs.variance).unwrap()])?;
        near(&derived(&y, &[&x], &[&gamma, &beta]), &derived(&theirs.output, &[&x], &[&gamma, &beta]))?;
    }

    /// The bounds are no number of the input, where burn's two operations differ.
    #[test]
    fn clips_are_those_of_burn(lo in -1.99f32..0.0, hi in 0.01f32..2.0, [n, c, h, w] in [1..=3usize, 1..=3, 1..=9, 1..=20]) {
        prop_assume!((lo * 8.0).fract() != 0.0 && (hi * 8.0).fract() != 0.0);
        let device = device("cpu").unwrap().autodiff();
        let x = leaf([n, c, h, w], 0, &device);
        let y = ours(Clip { lo, hi }, [x.clone().into_dispatch()]);
        near(&derived(&y, &[&x], &[]), &derived(&x.clone().clamp(lo, hi), &[&x], &[]))?;
    }

    #[test]
    fn means_are_those_of_burn([n, c, h, w] in [1..=3usize, 1..=3, 1..=9, 1..=9]) {
        let device = device("cpu").unwrap().autodiff();
        let x = leaf([n, c, h, w], 0, &device);
        let y = ours(GlobalMean, [x.clone().into_dispatch()]);
        let theirs = adaptive_avg_pool2d(x.clone(), [1, 1]);
        near(&derived(&y, &[&x], &[]), &derived(&theirs, &[&x], &[]))?;
    }
}

/// What is no number stays none.
#[test]
fn a_maximum_hides_nothing() {
    let device = device("cpu").unwrap();
    for window in [HALVING, Window { kernel: [1, 4], ..HALVING }] {
        for data in [vec![1.0, f32::NAN, 2.0, 0.0], vec![f32::NAN, 1.0, 2.0, 0.0]] {
            let x = Tensor::<4>::from_data(TensorData::new(data, [1, 1, 1, 4]), &device);
            assert!(floats(ours(MaxPool(window), [x.into_dispatch()])).unwrap()[0].is_nan());
        }
    }
}
