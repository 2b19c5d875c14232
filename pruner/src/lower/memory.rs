//! Places in the arena: which tensors may overlap, where [`super::plan`] puts them, and how many rows at a time an
//! operator may then compute.

use super::plan::{Overlap, Share, Tensor, plan};
use super::target::Target;
use crate::error::{Error, Result};
use evenkeel_runtime::format::{Dtype, FileSpec, MAX_ARENA, OpRecord, Packing, TensorRecord, flag, op};
use evenkeel_runtime::strips::{
    MAX_STRIPS, float_scratch_len, is_staged, is_windowed, keeps_input, needed, scratch_len, strips,
};

/// Gives tensors their offsets, operators their strips, and the arena its length.
///
/// # Errors
/// When the arena would be larger than the format allows.
pub(super) fn place(spec: &mut FileSpec, target: Target, packing: Packing, dtype: Dtype) -> Result<()> {
    let unit = dtype.arena_bytes();
    let most = MAX_ARENA as usize / unit;
    let shares = if target.saves_ram() { shares(spec) } else { in_place(spec) };
    let tensor = |t: &TensorRecord| Tensor { size: t.elements(), alive: (t.first_op as usize, t.last_op as usize) };
    let tensors: Vec<Tensor> = spec.tensors.iter().map(tensor).collect();
    let (offsets, total) = plan(&tensors, &shares);
    let too_large = |elements: usize| {
        Error::new(format!("the network needs an arena of {} bytes", elements.saturating_mul(unit)))
            .help(format!("the format allows {MAX_ARENA}: use a smaller input or more stride"))
    };
    if total > most {
        return Err(too_large(total));
    }
    for (t, &offset) in spec.tensors.iter_mut().zip(&offsets) {
        t.offset = offset as u32;
    }
    let mut scratch = 0;
    for op in &mut spec.ops {
        let (x, y) = (&spec.tensors[op.input as usize], &spec.tensors[op.output as usize]);
        choose_strips(op, x, y, target)?;
        let needed = if dtype.is_float() { float_scratch_len(dtype, op, x, y) } else { scratch_len(packing, op, x, y) };
        scratch = scratch.max(needed);
    }
    let arena = total.saturating_add(scratch).next_multiple_of(4);
    if arena > most {
        return Err(too_large(arena));
    }
    (spec.scratch_offset, spec.arena_len) = (total as u32, arena as u32);
    Ok(())
}

/// The operator that reads `old` for the last time and writes the whole of a new tensor.
fn heirs(spec: &FileSpec) -> impl Iterator<Item = (&OpRecord, usize, usize)> {
    spec.ops.iter().enumerate().flat_map(move |(i, op)| {
        let new = op.output as usize;
        let whole = op.out_channels == spec.tensors[new].c && spec.tensors[new].first_op as usize == i;
        let inputs = [op.input, op.input2].into_iter().map(usize::from).filter(move |&old| {
            whole && old < spec.tensors.len() && old != new && spec.tensors[old].last_op as usize == i
        });
        let twice = op.input == op.input2;
        inputs.filter(move |_| !twice).map(move |old| (op, old, new))
    })
}

/// What may overlap, where RAM is short.
fn shares(spec: &FileSpec) -> Vec<Share> {
    let mut shares = in_place(spec);
    for (op, old, new) in heirs(spec) {
        let (x, y) = (&spec.tensors[old], &spec.tensors[new]);
        let few = y.h.div_ceil(least_rows(op, y) as u32) <= MAX_STRIPS;
        if op.input as usize == old && is_windowed(op) && op.input2 as usize != old && few {
            let how = shifts(&OpRecord { strip_rows: least_rows(op, y), ..*op }, x, y);
            shares.push(Share { old, new, how });
        }
    }
    shares
}

/// What may take the place of an input element by element.
fn in_place(spec: &FileSpec) -> Vec<Share> {
    let shares = heirs(spec).filter(|(op, old, new)| {
        let same_shape = spec.tensors[*old].shape() == spec.tensors[*new].shape();
        let (first, second) = (op.input as usize == *old, op.input2 as usize == *old);
        let elementwise = match op.code {
            op::ADD => true,
            op::MUL | op::LUT | op::ACTIVATION => first,
            _ => op.has(flag::FUSED_ADD) && second,
        };
        same_shape && elementwise
    });
    shares.map(|(_, old, new)| Share { old, new, how: Overlap::Same }).collect()
}

/// The fewest rows that an operator should compute at a time: kernels for microcontrollers take pixels in pairs.
fn least_rows(op: &OpRecord, y: &TensorRecord) -> u16 {
    if op.code == op::CONV && y.w % 2 == 1 && y.h > 1 { 2 } else { 1 }
}

/// How far the output has to begin before the input, or behind it, so that its strips cover read rows only.
fn shifts(op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> Overlap {
    let row = |t: &TensorRecord| t.w as i64 * t.c as i64;
    let (mut before, mut behind) = (i64::MIN, i64::MIN);
    for strip in strips(op, y.h) {
        let needed = needed(op, x.h, &strip);
        before = before.max(strip.end as i64 * row(y) - needed.start as i64 * row(x));
        behind = behind.max(needed.end as i64 * row(x) - strip.start as i64 * row(y));
    }
    Overlap::Shifted { before, behind }
}

/// Strips of as many rows as the places allow, or none where nothing asks for them.
fn choose_strips(op: &mut OpRecord, x: &TensorRecord, y: &TensorRecord, target: Target) -> Result<()> {
    if !is_windowed(op) {
        return Ok(());
    }
    let least = least_rows(op, y);
    let overlap = x.range().start < y.range().end && y.range().start < x.range().end;
    if !overlap {
        // A strip on its way through the scratch should be short.
        if is_staged(op, y) && target.saves_ram() {
            op.strip_rows = least;
        }
        return Ok(());
    }
    let most = if is_staged(op, y) { least } else { y.h.min(u16::MAX as u32) as u16 };
    let rows = (1..=most / least).rev().map(|n| n * least).chain([1]);
    let ways = rows.flat_map(|rows| [0, flag::REVERSE].map(|reverse| (rows, op.flags | reverse)));
    let chosen = ways.map(|(strip_rows, flags)| OpRecord { strip_rows, flags, ..*op }).find(|op| keeps_input(op, x, y));
    *op = chosen.ok_or_else(|| Error::new("internal error: the memory plan spoils an input"))?;
    Ok(())
}
