//! Kernels of our own for training on the CPU, each with its derivative.
//!
//! burn's CPU backend computes the derivatives of convolutions and pools with general operations that cost
//! many times what the forward pass does on networks as small as ours. The kernels here read and write its
//! tensors as plain arrays, compiled for each level of SIMD that the machine may have (`pulp` picks one at run time, so
//! what is `#[inline(always)]` here gets its instructions). Other devices keep burn's own operations: [`run`] declines their tensors.

mod clip;
mod conv;
mod depthwise;
mod gemm;
mod norm;
mod pool;
#[cfg(test)]
mod tests;
mod window;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, BackendTensor, DispatchKindConversion, DispatchTensor, Flex, TensorMetadata};
use burn::tensor::{DType, Shape, TensorData};
use std::fmt::Debug;

pub use clip::Clip;
pub use conv::Conv;
pub use norm::{Norm, moments};
pub use pool::{GlobalMean, MaxPool};

/// A differentiable function of `N` arrays of f32.
pub trait Kernel<const N: usize>: Clone + Debug + Send + 'static {
    /// The result.
    fn forward(&self, inputs: &[Array; N]) -> Array;

    /// The gradients of the inputs that are `wanted`, from the gradient of the result.
    fn backward(&self, inputs: &[Array; N], grad: Array, wanted: [bool; N]) -> [Option<Array>; N];
}

/// An f32 tensor in row-major order.
#[derive(Clone, Debug)]
pub struct Array(FlexTensor);

impl Array {
    /// From its numbers.
    pub fn new(data: Vec<f32>, shape: impl Into<Shape>) -> Self {
        Array(FlexTensor::from_data(TensorData::new(data, shape)))
    }

    /// Its numbers.
    pub fn data(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_default()
    }

    /// Its dimensions.
    pub fn dims<const D: usize>(&self) -> [usize; D] {
        self.0.layout().shape().dims()
    }

    /// That of a tensor of the CPU backend whose gradients are recorded.
    fn tracked(tensor: &DispatchTensor) -> Option<Self> {
        float::<Autodiff<Flex>>(tensor).map(|t| Array::of(t.primitive()))
    }

    fn of(tensor: &FlexTensor) -> Self {
        Array(tensor.to_contiguous())
    }
}

/// Runs a kernel on tensors of the CPU backend, and records it where they are tracked. `None` for tensors of
/// any other backend.
pub fn run<const N: usize, K: Kernel<N>>(kernel: K, inputs: [DispatchTensor; N]) -> Option<DispatchTensor> {
    if let Some(tensors) = all(inputs.each_ref().map(float::<Autodiff<Flex>>)) {
        let arrays = tensors.each_ref().map(|t| Array::of(t.primitive()));
        let y = pulp::Arch::new().dispatch(|| kernel.forward(&arrays)).0;
        let y = match Step(kernel).prepare::<NoCheckpointing>(tensors.map(|t| t.node())).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(arrays, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        return Some(<DispatchTensor as DispatchKindConversion<Autodiff<Flex>>>::from_backend(BackendTensor::Float(y)));
    }
    let tensors = all(inputs.each_ref().map(float::<Flex>))?;
    let arrays = tensors.map(|t| Array::of(&t));
    let y = pulp::Arch::new().dispatch(|| kernel.forward(&arrays)).0;
    Some(<DispatchTensor as DispatchKindConversion<Flex>>::from_backend(BackendTensor::Float(y)))
}

fn float<B: burn::backend::Backend>(tensor: &DispatchTensor) -> Option<B::FloatTensorPrimitive>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    match <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor.clone()) {
        Ok(BackendTensor::Float(t)) if t.dtype() == DType::F32 => Some(t),
        _ => None,
    }
}

fn all<T, const N: usize>(found: [Option<T>; N]) -> Option<[T; N]> {
    let found: Vec<T> = found.into_iter().flatten().collect();
    found.try_into().ok()
}

/// Sums of `f` over numbers, in parts, which compilers vectorise.
#[inline(always)]
fn sums<const S: usize>(a: &[f32], f: impl Fn(f32) -> [f32; S]) -> [f32; S] {
    sums2(a, a, |a, _| f(a))
}

/// Sums of `f` over pairs of numbers, in parts, which compilers vectorise.
#[inline(always)]
fn sums2<const S: usize>(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> [f32; S]) -> [f32; S] {
    const PARTS: usize = 16;
    let mut parts = [[0.0; PARTS]; S];
    let (whole_a, whole_b) = (a.chunks_exact(PARTS), b.chunks_exact(PARTS));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    let mut sums = rest.fold([0.0; S], |mut sums, (a, b)| {
        sums.iter_mut().zip(f(*a, *b)).for_each(|(s, v)| *s += v);
        sums
    });
    for (a, b) in whole_a.zip(whole_b) {
        for i in 0..PARTS {
            let v = f(a[i], b[i]);
            (0..S).for_each(|s| parts[s][i] += v[s]);
        }
    }
    sums.iter_mut().zip(parts).for_each(|(s, parts)| *s += parts.iter().sum::<f32>());
    sums
}

/// A kernel's step of the backward pass.
#[derive(Debug)]
struct Step<K>(K);

impl<K: Kernel<N>, const N: usize> Backward<Flex, N> for Step<K> {
    type State = [Array; N];

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Array::of(&grads.consume::<Flex>(&ops.node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let Step(kernel) = self;
        let found = pulp::Arch::new().dispatch(|| kernel.backward(&ops.state, grad, wanted));
        for (parent, grad) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(parent.id, grad.0);
            }
        }
    }
}
