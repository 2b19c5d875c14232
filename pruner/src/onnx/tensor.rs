//! Constant tensors of an ONNX file.

use half::{bf16, f16};
use onnx_ir::TensorProto;

/// A constant: row-major elements, floats as f32 and all integers and booleans as i64.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub dims: Vec<usize>,
    pub data: Data,
}

/// Elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// ONNX codes of element types.
pub(super) mod element {
    pub const FLOAT: i32 = 1;
    pub const UINT8: i32 = 2;
    pub const INT8: i32 = 3;
    pub const BOOL: i32 = 9;
    pub const FLOAT16: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const BFLOAT16: i32 = 16;

    /// True of the types that hold fractions.
    pub fn is_float(code: i32) -> bool {
        matches!(code, FLOAT | FLOAT16 | DOUBLE | BFLOAT16)
    }
}

/// Number of elements, if it is a number.
pub(super) fn count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Data::Float(v) => v.len(),
            Data::Int(v) => v.len(),
        }
    }

    /// The elements at `indices`, which must be in range.
    pub fn pick(&self, indices: &[usize]) -> Data {
        match self {
            Data::Float(v) => Data::Float(indices.iter().map(|&i| v[i]).collect()),
            Data::Int(v) => Data::Int(indices.iter().map(|&i| v[i]).collect()),
        }
    }
}

impl Tensor {
    pub fn ints(values: Vec<i64>) -> Self {
        Tensor { dims: vec![values.len()], data: Data::Int(values) }
    }

    pub fn floats(values: Vec<f32>) -> Self {
        Tensor { dims: vec![values.len()], data: Data::Float(values) }
    }

    /// The same elements with no dimensions; only for one element.
    pub fn scalar(self) -> Self {
        Tensor { dims: vec![], ..self }
    }

    /// Elements as finite floats, or what is wrong.
    pub fn finite(&self) -> Result<Vec<f32>, String> {
        let floats = self.to_floats();
        if floats.iter().all(|v| v.is_finite()) { Ok(floats) } else { Err("a constant that is not finite".into()) }
    }

    /// Elements as floats.
    pub fn to_floats(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(v) => v.clone(),
            Data::Int(v) => v.iter().map(|&i| i as f32).collect(),
        }
    }

    /// Elements as integers, or what is wrong.
    pub fn as_ints(&self) -> Result<&[i64], String> {
        match &self.data {
            Data::Int(v) => Ok(v),
            Data::Float(_) => Err("integers are needed, not floats".into()),
        }
    }

    /// The only element, if there is one.
    pub fn single(&self) -> Option<f32> {
        match &self.data {
            Data::Float(v) if v.len() == 1 => Some(v[0]),
            Data::Int(v) if v.len() == 1 => Some(v[0] as f32),
            _ => None,
        }
    }

    /// Decodes a tensor of the file; the elements must really be there, so memory follows the file's size.
    pub fn decode(proto: &TensorProto) -> Result<Tensor, String> {
        if proto.data_location.value() != 0 || !proto.external_data.is_empty() {
            return Err("its data lie in another file".into());
        }
        let dims: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let dims = dims.filter(|d| d.len() <= 8).ok_or_else(|| format!("dimensions {:?}", proto.dims))?;
        let wanted = count(&dims).ok_or_else(|| format!("dimensions {:?}", proto.dims))?;
        let data = elements(proto)?;
        if data.len() != wanted {
            return Err(format!("{} elements for dimensions {dims:?}", data.len()));
        }
        Ok(Tensor { dims, data })
    }
}

fn elements(proto: &TensorProto) -> Result<Data, String> {
    let raw = &proto.raw_data;
    let small = &proto.int32_data;
    Ok(match proto.data_type {
        1 if raw.is_empty() => Data::Float(proto.float_data.clone()),
        1 => Data::Float(each(raw, f32::from_le_bytes)?),
        10 if raw.is_empty() => Data::Float(small.iter().map(|&b| f16::from_bits(b as u16).to_f32()).collect()),
        10 => Data::Float(each(raw, |b| f16::from_le_bytes(b).to_f32())?),
        16 if raw.is_empty() => Data::Float(small.iter().map(|&b| bf16::from_bits(b as u16).to_f32()).collect()),
        16 => Data::Float(each(raw, |b| bf16::from_le_bytes(b).to_f32())?),
        11 if raw.is_empty() => Data::Float(proto.double_data.iter().map(|&v| v as f32).collect()),
        11 => Data::Float(each(raw, |b| f64::from_le_bytes(b) as f32)?),
        7 if raw.is_empty() => Data::Int(proto.int64_data.clone()),
        7 => Data::Int(each(raw, i64::from_le_bytes)?),
        12 | 13 if raw.is_empty() => {
            let values = proto.uint64_data.iter().map(|&v| i64::try_from(v).map_err(|_| "an integer over 2^63"));
            Data::Int(values.collect::<Result<_, _>>()?)
        }
        12 => Data::Int(each(raw, |b| u32::from_le_bytes(b).into())?),
        13 => Data::Int(each(raw, |b| u64::from_le_bytes(b).try_into().unwrap_or(i64::MAX))?),
        2..=6 | 9 if raw.is_empty() => Data::Int(small.iter().map(|&v| v.into()).collect()),
        2 | 9 => Data::Int(each(raw, |b| u8::from_le_bytes(b).into())?),
        3 => Data::Int(each(raw, |b| i8::from_le_bytes(b).into())?),
        4 => Data::Int(each(raw, |b| u16::from_le_bytes(b).into())?),
        5 => Data::Int(each(raw, |b| i16::from_le_bytes(b).into())?),
        6 => Data::Int(each(raw, |b| i32::from_le_bytes(b).into())?),
        other => return Err(format!("element type {other}, which is not supported")),
    })
}

/// Splits raw bytes into elements of `N` bytes.
fn each<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
    let (chunks, []) = raw.as_chunks::<N>() else {
        return Err(format!("{} bytes are no whole number of elements", raw.len()));
    };
    Ok(chunks.iter().map(|&b| convert(b)).collect())
}
