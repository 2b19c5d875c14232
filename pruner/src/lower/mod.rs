//! From a quantised network to the bytes of a `.keel` file.
//!
//! The size of a file depends on shapes, names, the contract's text and the number and names of groups, never on
//! measured values. So [`cost()`] knows it before anything is quantised, and the certificate can be put in after the
//! verdict without moving a byte.

mod cost;
mod extras;
pub mod plan;
mod skeleton;

#[cfg(test)]
mod tests;

pub use cost::{Cost, cost};
pub use extras::{Certificate, Extras, Floor, GroupCertificate, MonitorPlan};

use crate::error::{Context, Error, Result};
use crate::quant::{QGraph, QNode, QOp, QWeights};
use evenkeel_runtime::Model;
use evenkeel_runtime::format::{FileSpec, Requant};
use skeleton::{Skeleton, of_quantised, skeleton};

/// A lowered network.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// The file.
    pub bytes: Vec<u8>,
    /// Bytes of arena that a session needs.
    pub arena: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
}

impl Lowered {
    /// The three numbers that budgets are about.
    pub fn cost(&self) -> Cost {
        Cost { macs: self.macs, flash: self.bytes.len() as u64, ram: self.arena as u64 }
    }
}

/// Gives a quantised network its bytes.
///
/// # Errors
/// Networks beyond the format's limits, by name; numbers in `extras` that the runtime refuses (a metric that is not a
/// number, likelihood ratios that would alarm without cause).
pub fn lower(q: &QGraph, extras: &Extras) -> Result<Lowered> {
    let items = of_quantised(q)?;
    let Skeleton { mut spec, data_len, macs } = skeleton(&items, q.output, q.input_norm.len(), extras)?;
    spec.input_channels.clone_from(&q.input_norm);
    spec.data = vec![0; data_len];
    for (i, node) in q.nodes.iter().enumerate() {
        (spec.tensors[i].scale, spec.tensors[i].zero) = (node.out.scale, node.out.zero.into());
        if i > 0 {
            fill(&mut spec, i - 1, node).context(format!("cannot lower '{}'", node.name))?;
        }
    }
    let bytes = spec.to_bytes();
    verify(&bytes)?;
    Ok(Lowered { bytes, arena: spec.arena_len as usize, macs })
}

/// Puts the numbers of `node` into operator `i`.
fn fill(spec: &mut FileSpec, i: usize, node: &QNode) -> Result<()> {
    let op = &mut spec.ops[i];
    (op.lo, op.hi) = node.clamp;
    match &node.op {
        QOp::Conv { weights: QWeights { data, requant, left_shift }, .. }
        | QOp::Linear(QWeights { data, requant, left_shift }) => {
            op.left_shift = *left_shift;
            // int8 to its byte, as it is.
            let data: Vec<u8> = data.iter().map(|&w| w as u8).collect();
            put(&mut spec.data, op.weights, op.weights_len as usize, &data)?;
            put(&mut spec.data, op.requant, op.requant_len as usize * size_of::<Requant>(), &requant_bytes(requant))?;
        }
        QOp::AvgPool { requant, left_shift, .. } => {
            op.left_shift = *left_shift;
            put(&mut spec.data, op.requant, op.requant_len as usize * size_of::<Requant>(), &requant_bytes(requant))?;
        }
        QOp::Add { mul, bias, shift } => {
            let narrow = |m: i32| i16::try_from(m).map_err(|_| Error::new("the format's sums have 16-bit multipliers"));
            (op.add_mul, op.add_bias, op.add_shift) = ([narrow(mul[0])?, narrow(mul[1])?], *bias, *shift as u16);
        }
        QOp::Input | QOp::MaxPool(_) | QOp::Softmax { .. } => {}
    }
    Ok(())
}

fn put(data: &mut [u8], offset: u32, len: usize, bytes: &[u8]) -> Result<()> {
    let room = data.get_mut(offset as usize..).and_then(|d| d.get_mut(..len)).filter(|d| d.len() == bytes.len());
    let room = room.ok_or_else(|| {
        Error::new(format!("internal error: {} bytes of numbers where its shape has {len}", bytes.len()))
    })?;
    room.copy_from_slice(bytes);
    Ok(())
}

fn requant_bytes(records: &[Requant]) -> Vec<u8> {
    records.iter().flat_map(|r| [r.bias.to_le_bytes(), r.mul.to_le_bytes()].concat()).collect()
}

/// Reads the file back with the runtime's own reader.
fn verify(bytes: &[u8]) -> Result<()> {
    // The allocator need not align bytes to 4; one of four starts does.
    let mut copy = vec![0; bytes.len() + 4];
    let start = copy.as_ptr().addr().next_multiple_of(4) - copy.as_ptr().addr();
    copy[start..start + bytes.len()].copy_from_slice(bytes);
    Model::from_bytes(&copy[start..start + bytes.len()])
        .map(|_| ())
        .map_err(|e| Error::new(format!("the runtime refuses the lowered file: {e}")))
}
