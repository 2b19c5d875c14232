//! What a network costs on the device, from shapes alone and to the byte.

use super::extras::Extras;
use super::program::of_steps;
use super::skeleton::{Skeleton, skeleton};
use super::target::Target;
use crate::error::Result;
use crate::graph::{Graph, Op, norm::fold_batch_norm, tail::drop_softmax};
use crate::quant::{equalise, fuse::fuse};
use evenkeel_runtime::format::{Dtype, SECTION_ALIGN};
use std::borrow::Cow;

/// What the lowered file of a network costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Bytes of the file.
    pub flash: u64,
    /// Bytes of the arena.
    pub ram: u64,
}

/// The cost that `graph` has when it is folded, quantised with `norm` records of input normalisation given
/// (0, 1 or one per channel), and lowered with `extras` for `target`: exactly that of [`super::lower`]. Weights and the numbers in `extras` do not matter.
///
/// # Errors
/// What quantisation or lowering would refuse because of shapes.
pub fn cost(graph: &Graph, norm: usize, extras: &Extras, target: Target) -> Result<Cost> {
    let unfolded = graph.nodes.iter().any(|n| matches!(n.op, Op::BatchNorm(_) | Op::Softmax));
    let graph = match unfolded {
        true => Cow::Owned(drop_softmax(fold_batch_norm(graph.clone())).0),
        false => Cow::Borrowed(graph),
    };
    let steps = fuse(&graph)?;
    let items = of_steps(&graph, &steps);
    let Skeleton { mut spec, data_len, macs, .. } =
        skeleton(&items, steps.output, equalise::records(&graph, norm), extras, target, Dtype::Int8)?;
    // Sections begin at multiples of 64, so a data section that is shorter by such a multiple makes the file
    // shorter by as much: no need to write megabytes of zeros to know the length.
    let left_out = data_len.saturating_sub(1) / SECTION_ALIGN * SECTION_ALIGN;
    spec.data = vec![0; data_len - left_out];
    Ok(Cost { macs, flash: (spec.to_bytes().len() + left_out) as u64, ram: spec.arena_len as u64 })
}
