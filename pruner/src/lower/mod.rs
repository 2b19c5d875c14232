//! From a quantised network to the bytes of a `.keel` file.
//!
//! The size of a file depends on shapes, names, the contract's text and the number and names of groups, never on
//! measured values. So [`cost()`] knows it before anything is quantised, and the certificate can be put in after the
//! verdict without moving a byte.

mod cost;
mod extras;
mod float;
pub mod forecast;
mod forms;
mod memory;
pub mod pays;
pub mod plan;
mod program;
mod skeleton;
mod target;

#[cfg(test)]
mod tests;

pub use cost::{Cost, cost};
pub use extras::{Certificate, Extras, Floor, GroupCertificate, MonitorPlan};
pub use float::lower_float;
pub use forms::Forms;
pub use target::Target;

use crate::aligned::AlignedBytes;
use crate::error::{Context, Error, Result};
use crate::quant::{QGraph, QNode, QOp, QWeights};
use evenkeel_runtime::Model;
use evenkeel_runtime::format::pack::{Packed, fold_offset};
use evenkeel_runtime::format::{Dtype, FileSpec, OpRecord, Requant};
use program::{Item, of_quantised};
use skeleton::{Skeleton, skeleton};

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

/// Gives a quantised network its bytes, for a target. Weights are stored as [`Forms::Auto`] says.
///
/// # Errors
/// Networks beyond the format's limits, by name; numbers in `extras` that the runtime refuses (a metric that is not a
/// number, likelihood ratios that would alarm without cause).
pub fn lower(q: &QGraph, extras: &Extras, target: Target) -> Result<Lowered> {
    lower_as(q, extras, target, Forms::Auto)
}

/// [`lower`] with stored forms of the caller's choice.
///
/// # Errors
/// As [`lower`].
pub fn lower_as(q: &QGraph, extras: &Extras, target: Target, forms: Forms) -> Result<Lowered> {
    let laid_out = |items: &[Item]| skeleton(items, q.output, q.input_norm.len(), extras, target, Dtype::Int8);
    let arena = |stored: &[_]| laid_out(&of_quantised(q, stored)).map(|s| s.spec.arena_len);
    let packed = forms::all(q, target, forms, arena)?;
    let items = of_quantised(q, &forms::sizes(&packed));
    let Skeleton { mut spec, program, data_len, .. } = laid_out(&items)?;
    spec.input_channels.clone_from(&q.input_norm);
    spec.input_rounding = q.input_rounding;
    spec.data = vec![0; data_len];
    for (record, &item) in spec.tensors.iter_mut().zip(&program.tensors) {
        (record.scale, record.zero) = (q.nodes[item].out.scale, q.nodes[item].out.zero.into());
    }
    for (i, planned) in program.ops.iter().enumerate() {
        let node = &q.nodes[planned.item];
        // A copy into a concatenation has no numbers.
        if items[planned.item].kind == planned.kind {
            fill(&mut spec, i, node, packed[planned.item].as_ref(), target)
                .context(format!("cannot lower '{}'", node.name))?;
        }
        if let Some(sum) = planned.sum {
            add_sum(&mut spec.ops[i], node, &q.nodes[sum.item], sum.second)?;
        }
    }
    let bytes = spec.to_bytes();
    let macs = verify(&bytes)?;
    Ok(Lowered { bytes, arena: spec.arena_len as usize, macs })
}

/// Puts the numbers of `node`, whose matrix is `packed` where it has one, into operator `i`.
fn fill(spec: &mut FileSpec, i: usize, node: &QNode, packed: Option<&Packed>, target: Target) -> Result<()> {
    let op = &mut spec.ops[i];
    (op.lo, op.hi) = node.clamp;
    let as_bytes = |data: &[i8]| -> Vec<u8> { data.iter().map(|&w| w as u8).collect() };
    match &node.op {
        QOp::Conv { weights: QWeights { data, requant, left_shift }, .. }
        | QOp::Linear(QWeights { data, requant, left_shift }) => {
            op.left_shift = *left_shift;
            let mut requant = requant.clone();
            if let Some(packed) = packed {
                let taps = data.len() / requant.len().max(1);
                fold_offset(target.packing(), data, taps, &mut requant);
                put(&mut spec.data, op.index, op.index_len as usize, &packed.index)?;
            }
            let stored = packed.map_or(data, |p| &p.weights);
            put(&mut spec.data, op.weights, op.weights_len as usize, &as_bytes(stored))?;
            put_requant(&mut spec.data, op, &requant)?;
        }
        QOp::AvgPool { requant, left_shift, .. } => {
            op.left_shift = *left_shift;
            put_requant(&mut spec.data, op, requant)?;
        }
        QOp::Mul { mul, left_shift } => {
            op.left_shift = *left_shift;
            put_requant(&mut spec.data, op, &[Requant { bias: 0, mul: *mul }])?;
        }
        QOp::Add { mul, bias, shift } => {
            (op.add_mul, op.add_bias, op.add_shift) = (*mul, *bias, *shift as u16);
        }
        QOp::Lut(table) => put(&mut spec.data, op.weights, 256, &as_bytes(&table[..]))?,
        QOp::Softmax { table } => {
            let bytes: Vec<u8> = table.iter().flat_map(|e| e.to_le_bytes()).collect();
            put(&mut spec.data, op.weights, 1024, &bytes)?;
        }
        QOp::Input | QOp::MaxPool(_) | QOp::Resize(_) | QOp::Slice(_) | QOp::Pad(_) | QOp::Concat => {}
    }
    Ok(())
}

/// Lets the operator of `node` compute `sum` with it; `second` when `node` is the sum's second input.
fn add_sum(op: &mut OpRecord, node: &QNode, sum: &QNode, second: bool) -> Result<()> {
    let QOp::Add { mul, bias, shift } = sum.op else { return Err(Error::new("internal error: not a sum")) };
    op.mid = [node.out.zero, node.clamp.0, node.clamp.1, 0];
    op.add_mul = if second { [mul[1], mul[0]] } else { mul };
    (op.add_bias, op.add_shift) = (bias, shift as u16);
    (op.lo, op.hi) = sum.clamp;
    Ok(())
}

fn put_requant(data: &mut [u8], op: &OpRecord, records: &[Requant]) -> Result<()> {
    let bytes: Vec<u8> = records.iter().flat_map(|r| [r.bias.to_le_bytes(), r.mul.to_le_bytes()].concat()).collect();
    put(data, op.requant, op.requant_len as usize * size_of::<Requant>(), &bytes)
}

fn put(data: &mut [u8], offset: u32, len: usize, bytes: &[u8]) -> Result<()> {
    let room = data.get_mut(offset as usize..).and_then(|d| d.get_mut(..len)).filter(|d| d.len() == bytes.len());
    let room = room.ok_or_else(|| {
        Error::new(format!("internal error: {} bytes of numbers where its shape has {len}", bytes.len()))
    })?;
    room.copy_from_slice(bytes);
    Ok(())
}

/// Reads the file back with the runtime's own reader, and counts its multiply-accumulates.
fn verify(bytes: &[u8]) -> Result<u64> {
    let copy = AlignedBytes::new(bytes);
    let model = Model::from_bytes(copy.bytes())
        .map_err(|e| Error::new(format!("the runtime refuses the lowered file: {e}")))?;
    Ok((0..model.ops().len()).map(|i| model.macs(i)).sum())
}
