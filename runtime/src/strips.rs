//! Strips: output rows that an operator computes at a time.
//!
//! An operator that works strip by strip needs only some rows of its input for each of them, and rows that no
//! later strip needs may be overwritten. So its output can lie over its input, a little shifted. Verification
//! checks with the same functions that such an overlap is harmless; a session then runs it.

use core::ops::Range;

use crate::format::{Dtype, OpRecord, Packing, TensorRecord, flag, matrix_size, op};
use crate::kernels::Geometry;
use crate::kernels::portable::div_ceil;

/// Most strips of an operator that may overlap its input: verification goes through them.
pub const MAX_STRIPS: u32 = 1 << 12;

/// Whether the operator slides a window, so that an output row needs some input rows.
pub fn is_windowed(op: &OpRecord) -> bool {
    matches!(op.code, op::CONV | op::GROUPED_CONV | op::DEPTHWISE | op::MAX_POOL | op::AVG_POOL)
}

/// Ranges of output rows, in the order of execution.
pub fn strips(op: &OpRecord, output_rows: u32) -> impl Iterator<Item = Range<usize>> {
    let rows = output_rows as usize;
    let size = if op.strip_rows == 0 { rows.max(1) } else { op.strip_rows as usize };
    let (count, reverse) = (div_ceil(rows, size), op.has(flag::REVERSE));
    (0..count).map(move |i| {
        let start = if reverse { count - 1 - i } else { i } * size;
        start..(start + size).min(rows)
    })
}

/// The input rows that windows at these output rows reach.
pub fn needed(op: &OpRecord, input_rows: u32, output: &Range<usize>) -> Range<usize> {
    let [kernel, stride, dilation, pad] = [op.kernel, op.stride, op.dilation, op.pad].map(|of| of[0] as usize);
    let first = (output.start * stride).saturating_sub(pad);
    let extent = kernel.saturating_sub(1) * dilation + 1;
    let end = (output.end.saturating_sub(1) * stride + extent).saturating_sub(pad);
    let end = end.min(input_rows as usize);
    first.min(end)..end
}

/// The geometry of one strip: an operator of its own on the rows that it needs.
pub fn geometry(op: &OpRecord, x: &TensorRecord, y: &TensorRecord, output: &Range<usize>) -> Geometry {
    let needed = needed(op, x.h, output);
    let pair = |of: [u16; 2]| of.map(usize::from);
    let [pad_top, pad_left] = pair(op.pad);
    Geometry {
        input: [needed.len(), x.w as usize, x.c as usize],
        output: [output.len(), y.w as usize, op.out_channels as usize],
        kernel: pair(op.kernel),
        stride: pair(op.stride),
        dilation: pair(op.dilation),
        pad: [pad_top.saturating_sub(output.start * op.stride[0] as usize), pad_left],
    }
}

/// Whether a result goes through the scratch before it gets to its place: what is added to another tensor, and
/// channels that lie between those of others.
pub fn is_staged(op: &OpRecord, y: &TensorRecord) -> bool {
    op.has(flag::FUSED_ADD) || (op.out_channels != y.c && (y.h, y.w) != (1, 1))
}

/// The elements of `y` that an operator writes directly: some rows, or some channels of a vector.
pub(crate) fn part(op: &OpRecord, y: &TensorRecord, rows: &Range<usize>) -> Range<usize> {
    if op.out_channels == y.c {
        return rows_of(y, rows);
    }
    let start = y.offset as usize + op.out_channel as usize;
    start..start + op.out_channels as usize
}

/// The elements of some rows of a tensor.
pub(crate) fn rows_of(t: &TensorRecord, rows: &Range<usize>) -> Range<usize> {
    let row = t.w as usize * t.c as usize;
    t.offset as usize + rows.start * row..t.offset as usize + rows.end * row
}

/// Elements of a strip on its way through the scratch.
pub fn stage_len(op: &OpRecord, y: &TensorRecord) -> usize {
    if !is_staged(op, y) {
        return 0;
    }
    let rows = if op.strip_rows == 0 { y.h } else { y.h.min(op.strip_rows as u32) };
    [y.w, op.out_channels].iter().fold(rows as usize, |n, &d| n.saturating_mul(d as usize))
}

/// Scratch that an operator needs, in bytes: its kernel's, then (at a multiple of 4) a strip's.
pub fn scratch_len(packing: Packing, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> usize {
    kernel_scratch_len(packing, op, x, y).saturating_add(stage_len(op, y))
}

/// The first part of [`scratch_len`], a multiple of 4.
pub fn kernel_scratch_len(packing: Packing, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> usize {
    let [h, w, _] = y.shape();
    packing.scratch_len(op, x.shape(), [h, w, op.out_channels as usize]).saturating_add(3) & !3
}

/// Scratch that an operator of a float model needs, in f32 elements: its kernel's, then a strip's.
pub fn float_scratch_len(dtype: Dtype, op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> usize {
    float_kernel_scratch_len(dtype, op, x).saturating_add(stage_len(op, y))
}

/// Filters that the kernels of float models compute with at a time.
pub const FLOAT_FILTERS: usize = 4;

/// The first part of [`float_scratch_len`], a multiple of 4: filters in f16 are converted there before they meet
/// many windows.
pub fn float_kernel_scratch_len(dtype: Dtype, op: &OpRecord, x: &TensorRecord) -> usize {
    let (outputs, taps) = matrix_size(op, x);
    let filters = match op.code {
        op::CONV | op::GROUPED_CONV if dtype == Dtype::F16 => outputs.min(FLOAT_FILTERS),
        op::DEPTHWISE if dtype == Dtype::F16 => outputs,
        _ => 0,
    };
    filters.saturating_mul(taps).saturating_add(3) & !3
}

/// Whether the operator, writing `y` strip by strip, never destroys a row of its input `x` that a strip still
/// needs: that of the same turn or a later one.
pub fn keeps_input(op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> bool {
    let size = op.strip_rows as usize;
    if !is_windowed(op) || size == 0 || div_ceil(y.h as usize, size) > MAX_STRIPS as usize || op.out_channels != y.c {
        return false;
    }
    let row = |t: &TensorRecord| t.w as usize * t.c as usize;
    let bytes = |t: &TensorRecord, rows: Range<usize>| {
        t.offset as usize + rows.start * row(t)..t.offset as usize + rows.end * row(t)
    };
    strips(op, y.h).all(|strip| {
        let needed = needed(op, x.h, &strip);
        let later = if op.has(flag::REVERSE) { 0..needed.end } else { needed.start..x.h as usize };
        let (written, read) = (bytes(y, strip), bytes(x, later));
        written.end <= read.start || read.end <= written.start
    })
}
