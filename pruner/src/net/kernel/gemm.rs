//! Products of matrices in row-major order, by the CPU backend's own matrix product.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, Shape};

/// A matrix; its buffer can be filled again and again.
pub struct Matrix(FlexTensor);

impl Matrix {
    /// Zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Matrix(FlexTensor::zeros(Shape::new([rows, columns]), DType::F32))
    }

    /// A copy of numbers in row-major order.
    pub fn of(data: &[f32], columns: usize) -> Self {
        let rows = data.len() / columns.max(1);
        let mut m = Matrix::zeros(rows, columns);
        m.data_mut().copy_from_slice(data);
        m
    }

    /// Makes it zeros of another size, where it has not that size.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        let shape = Shape::new([rows, columns]);
        if *self.0.layout().shape() != shape {
            self.0 = FlexTensor::zeros(shape, DType::F32);
        }
    }

    /// Its numbers.
    pub fn data(&self) -> &[f32] {
        self.0.storage()
    }

    /// Its numbers, to be changed.
    pub fn data_mut(&mut self) -> &mut [f32] {
        self.0.storage_mut()
    }

    /// `self × other`.
    pub fn times(&self, other: &Matrix) -> Matrix {
        product(self.0.clone(), other.0.clone())
    }

    /// `self × otherᵀ`.
    pub fn times_transposed(&self, other: &Matrix) -> Matrix {
        product(self.0.clone(), other.0.transpose(0, 1))
    }

    /// `selfᵀ × other`.
    pub fn transposed_times(&self, other: &Matrix) -> Matrix {
        product(self.0.transpose(0, 1), other.0.clone())
    }
}

fn product(a: FlexTensor, b: FlexTensor) -> Matrix {
    Matrix(Flex::float_matmul(a, b))
}
