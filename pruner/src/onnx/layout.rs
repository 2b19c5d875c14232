//! What operators that only move elements do to dimensions; the same for constants and for activations.

use super::call::Call;
use super::tensor::{Tensor, count};

/// The index of an axis that may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_start).ok().filter(|&a| a < rank).ok_or_else(|| format!("axis {axis} of rank {rank}"))
}

/// Indices of several axes, sorted, each once.
pub(super) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut axes = list.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<usize>, String>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

/// The axes of a call, which older operator sets give as an attribute and newer ones as its second input.
pub(super) fn axes_of(call: &Call<'_>, input: Option<&Tensor>) -> Result<Option<Vec<i64>>, String> {
    match (call.ints("axes"), input) {
        (Some(axes), _) => Ok(Some(axes.to_vec())),
        (None, Some(axes)) => Ok(Some(axes.as_ints()?.to_vec())),
        (None, None) => Ok(None),
    }
}

/// New dimensions of a Reshape, Flatten, Squeeze or Unsqueeze of a tensor with `dims`; `None` for other operators.
pub(super) fn moved(call: &Call<'_>, dims: &[usize], input: Option<&Tensor>) -> Result<Option<Vec<usize>>, String> {
    Ok(Some(match call.op() {
        "Identity" => dims.to_vec(),
        "Reshape" => {
            let target = input.ok_or("a shape that is not constant")?.as_ints()?;
            reshape(dims, target, call.int("allowzero", 0) != 0)?
        }
        "Flatten" => {
            let at = match call.int("axis", 1) {
                at if at == dims.len() as i64 => dims.len(),
                at => axis(at, dims.len())?,
            };
            let (left, right) = dims.split_at(at);
            vec![count(left).ok_or("too many elements")?, count(right).ok_or("too many elements")?]
        }
        "Squeeze" => {
            let gone = match axes_of(call, input)? {
                Some(list) => axes(&list, dims.len())?,
                None => (0..dims.len()).filter(|&i| dims[i] == 1).collect(),
            };
            if let Some(&bad) = gone.iter().find(|&&i| dims[i] != 1) {
                return Err(format!("axis {bad} has {} elements and cannot be squeezed", dims[bad]));
            }
            dims.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, &d)| d).collect()
        }
        "Unsqueeze" => {
            let list = axes_of(call, input)?.ok_or("axes that are not constant")?;
            let rank = dims.len().saturating_add(list.len());
            if rank > 8 {
                return Err(format!("rank {rank}"));
            }
            let new = axes(&list, rank)?;
            if new.len() != list.len() {
                return Err("the same axis twice".into());
            }
            let mut old = dims.iter();
            (0..rank).map(|i| if new.contains(&i) { 1 } else { *old.next().unwrap_or(&1) }).collect()
        }
        _ => return Ok(None),
    }))
}

/// Resolves the 0 and -1 of a Reshape.
fn reshape(dims: &[usize], target: &[i64], allow_zero: bool) -> Result<Vec<usize>, String> {
    let wrong = || format!("dimensions {dims:?} cannot become {target:?}");
    if target.len() > 8 {
        return Err(wrong());
    }
    let total = count(dims).ok_or_else(wrong)?;
    let mut unknown = None;
    let mut out = Vec::with_capacity(target.len());
    for (i, &t) in target.iter().enumerate() {
        out.push(match t {
            -1 if unknown.replace(i).is_none() => 1,
            0 if !allow_zero => *dims.get(i).ok_or_else(wrong)?,
            t => usize::try_from(t).map_err(|_| wrong())?,
        });
    }
    let known = count(&out).ok_or_else(wrong)?;
    if let Some(i) = unknown {
        out[i] = total.checked_div(known).ok_or_else(wrong)?;
    }
    if count(&out) == Some(total) { Ok(out) } else { Err(wrong()) }
}

/// The permutation of a Transpose; reverses the axes when the call names none.
pub(super) fn permutation(call: &Call<'_>, rank: usize) -> Result<Vec<usize>, String> {
    let Some(perm) = call.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let list = perm.iter().map(|&p| axis(p, rank)).collect::<Result<Vec<usize>, String>>()?;
    let mut sorted = list.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(format!("permutation {perm:?} of rank {rank}"));
    }
    Ok(list)
}
