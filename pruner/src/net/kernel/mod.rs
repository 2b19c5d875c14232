//! Kernels of our own for training on the CPU, each with its derivative.
//!
//! burn's CPU backend computes the derivatives of convolutions and pools with general operations that cost
//! many times what the forward pass does on networks as small as ours. The kernels here read and write its
//! tensors as plain arrays. Other devices keep burn's own operations: [`run`] declines their tensors.

mod conv;
mod depthwise;
mod gemm;
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

pub use conv::Conv;
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

    fn of(tensor: &FlexTensor) -> Self {
        Array(tensor.to_contiguous())
    }
}

/// Runs a kernel on tensors of the CPU backend, and records it where they are tracked. `None` for tensors of
/// any other backend.
pub fn run<const N: usize, K: Kernel<N>>(kernel: K, inputs: [DispatchTensor; N]) -> Option<DispatchTensor> {
    if let Some(tensors) = all(inputs.each_ref().map(float::<Autodiff<Flex>>)) {
        let arrays = tensors.each_ref().map(|t| Array::of(t.primitive()));
        let y = kernel.forward(&arrays).0;
        let y = match Step(kernel).prepare::<NoCheckpointing>(tensors.map(|t| t.node())).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(arrays, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        return Some(<DispatchTensor as DispatchKindConversion<Autodiff<Flex>>>::from_backend(BackendTensor::Float(y)));
    }
    let tensors = all(inputs.each_ref().map(float::<Flex>))?;
    let y = kernel.forward(&tensors.map(|t| Array::of(&t))).0;
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

/// A kernel's step of the backward pass.
#[derive(Debug)]
struct Step<K>(K);

impl<K: Kernel<N>, const N: usize> Backward<Flex, N> for Step<K> {
    type State = [Array; N];

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Array::of(&grads.consume::<Flex>(&ops.node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, grad) in ops.parents.into_iter().zip(self.0.backward(&ops.state, grad, wanted)) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(parent.id, grad.0);
            }
        }
    }
}
