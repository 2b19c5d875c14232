//! Evaluates operators on constants: the shape arithmetic and the bias juggling that exporters leave in a file.

use super::call::Call;
use super::layout::{axis, moved, permutation};
use super::tensor::{Data, Tensor, count, element};

/// Elements that an import may still make. Keeps memory and work in proportion to the file, whatever it asks for.
pub(super) struct Budget(pub usize);

impl Budget {
    /// Takes `n` elements, if they are left.
    pub fn charge(&mut self, n: Option<usize>) -> Result<usize, String> {
        let n = n.filter(|&n| n <= self.0).ok_or("constants grow far beyond the size of the file")?;
        self.0 -= n;
        Ok(n)
    }
}

/// Evaluates one operator whose inputs are all constant; `None` when it is not one that folds.
pub(super) fn fold(call: &Call<'_>, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Result<Option<Tensor>, String> {
    let input = |i: usize| inputs.get(i).copied().flatten();
    let need = |i: usize| input(i).ok_or_else(|| format!("input {i} is missing"));
    if call.op() == "Constant" {
        return constant(call).map(Some);
    }
    if let "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" = call.op() {
        let x = need(0)?;
        budget.charge(Some(x.data.len()))?;
        return Ok(moved(call, &x.dims, input(1))?.map(|dims| Tensor { dims, data: x.data.clone() }));
    }
    Ok(Some(match call.op() {
        "Shape" => shape(call, &need(0)?.dims)?,
        "Cast" => cast(need(0)?, call.int("to", 0) as i32, budget)?,
        "CastLike" => {
            let to = if matches!(need(1)?.data, Data::Float(_)) { element::FLOAT } else { 7 };
            cast(need(0)?, to, budget)?
        }
        "Gather" => gather(call, need(0)?, need(1)?, budget)?,
        "Concat" => concat(call, inputs, budget)?,
        "Slice" => slice(call, inputs, budget)?,
        "Transpose" => {
            let x = need(0)?;
            let perm = permutation(call, x.dims.len())?;
            let strides = strides(&x.dims);
            let dims = perm.iter().map(|&p| x.dims[p]).collect();
            strided(x, dims, &perm.iter().map(|&p| strides[p]).collect::<Vec<_>>(), budget)?
        }
        "Expand" => {
            let x = need(0)?;
            let target = dims_of(need(1)?)?;
            let dims = broadcast(&x.dims, &target)?;
            expand(x, &dims, budget)?
        }
        "ConstantOfShape" => {
            let dims = dims_of(need(0)?)?;
            let n = budget.charge(count(&dims))?;
            let value = call.tensor("value")?.unwrap_or_else(|| Tensor::floats(vec![0.0]));
            if value.data.len() != 1 {
                return Err("its value is not one element".into());
            }
            Tensor { dims, data: value.data.pick(&vec![0; n]) }
        }
        "Range" => {
            let (from, to, step) = (need(0)?, need(1)?, need(2)?);
            let (&[from], &[to], &[step]) = (from.as_ints()?, to.as_ints()?, step.as_ints()?) else {
                return Err("its bounds are not scalars".into());
            };
            if step == 0 {
                return Err("its step is zero".into());
            }
            Tensor::ints(run(from, to, step, budget)?)
        }
        "Add" | "Sub" | "Mul" | "Div" => arithmetic(call.op(), need(0)?, need(1)?, budget)?,
        _ => return Ok(None),
    }))
}

/// The value of a Constant node.
fn constant(call: &Call<'_>) -> Result<Tensor, String> {
    if let Some(value) = call.tensor("value")? {
        return Ok(value);
    }
    if let Some(v) = call.ints("value_ints") {
        return Ok(Tensor::ints(v.to_vec()));
    }
    if let Some(v) = call.floats("value_floats") {
        return Ok(Tensor::floats(v.to_vec()));
    }
    if call.has("value_int") {
        return Ok(Tensor::ints(vec![call.int("value_int", 0)]).scalar());
    }
    if call.has("value_float") {
        return Ok(Tensor::floats(vec![call.float("value_float", 0.0)]).scalar());
    }
    Err("a kind of value that is not supported".into())
}

/// The result of a Shape node on a value with `dims`.
pub(super) fn shape(call: &Call<'_>, dims: &[usize]) -> Result<Tensor, String> {
    let rank = dims.len() as i64;
    let clamp = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
    let (start, end) = (clamp(call.int("start", 0)), clamp(call.int("end", rank)));
    Ok(Tensor::ints(dims.get(start..end).unwrap_or(&[]).iter().map(|&d| d as i64).collect()))
}

fn cast(x: &Tensor, to: i32, budget: &mut Budget) -> Result<Tensor, String> {
    budget.charge(Some(x.data.len()))?;
    let data = match &x.data {
        Data::Float(v) if to == element::BOOL => Data::Int(v.iter().map(|&v| i64::from(v != 0.0)).collect()),
        Data::Int(v) if to == element::BOOL => Data::Int(v.iter().map(|&v| i64::from(v != 0)).collect()),
        Data::Float(v) if !element::is_float(to) => Data::Int(v.iter().map(|&v| v as i64).collect()),
        Data::Int(_) if element::is_float(to) => Data::Float(x.to_floats()),
        same => same.clone(),
    };
    Ok(Tensor { dims: x.dims.clone(), data })
}

fn dims_of(shape: &Tensor) -> Result<Vec<usize>, String> {
    let list = shape.as_ints()?;
    let dims: Option<Vec<usize>> = list.iter().map(|&d| usize::try_from(d).ok()).collect();
    dims.filter(|d| d.len() <= 8).ok_or_else(|| format!("shape {list:?}"))
}

/// Distance between neighbours along each axis of a row-major tensor.
fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(dims[i]);
    }
    strides
}

/// The tensor of `dims` that reads `x` with the given strides.
fn strided(x: &Tensor, dims: Vec<usize>, strides: &[usize], budget: &mut Budget) -> Result<Tensor, String> {
    let n = budget.charge(count(&dims))?;
    let mut indices = Vec::with_capacity(n);
    let mut place = vec![0; dims.len()];
    for _ in 0..n {
        indices.push(place.iter().zip(strides).map(|(p, s)| p * s).sum());
        for (p, &d) in place.iter_mut().zip(&dims).rev() {
            *p += 1;
            if *p < d {
                break;
            }
            *p = 0;
        }
    }
    Ok(Tensor { dims, data: x.data.pick(&indices) })
}

/// Dimensions that two tensors broadcast to.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], i: usize| (i + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(format!("dimensions {a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

/// `x` repeated to `dims`, which it must broadcast to.
fn expand(x: &Tensor, dims: &[usize], budget: &mut Budget) -> Result<Tensor, String> {
    let own = strides(&x.dims);
    let missing = dims.len() - x.dims.len();
    let strides: Vec<usize> = (0..dims.len())
        .map(|i| match i.checked_sub(missing) {
            Some(i) if x.dims[i] != 1 => own[i],
            _ => 0,
        })
        .collect();
    strided(x, dims.to_vec(), &strides, budget)
}

fn arithmetic(op: &str, a: &Tensor, b: &Tensor, budget: &mut Budget) -> Result<Tensor, String> {
    let dims = broadcast(&a.dims, &b.dims)?;
    let (a, b) = (expand(a, &dims, budget)?, expand(b, &dims, budget)?);
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => {
            let f: fn(f32, f32) -> f32 = match op {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                _ => |a, b| a / b,
            };
            Data::Float(a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect())
        }
        (Data::Int(a), Data::Int(b)) => {
            let f = match op {
                "Add" => i64::checked_add,
                "Sub" => i64::checked_sub,
                "Mul" => i64::checked_mul,
                _ => i64::checked_div,
            };
            let values: Option<Vec<i64>> = a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
            Data::Int(values.ok_or("integers overflow")?)
        }
        _ => return Err("integers and floats mixed".into()),
    };
    Ok(Tensor { dims, data })
}

fn gather(call: &Call<'_>, x: &Tensor, indices: &Tensor, budget: &mut Budget) -> Result<Tensor, String> {
    let at = axis(call.int("axis", 0), x.dims.len())?;
    let list = indices.as_ints()?.iter().map(|&i| axis(i, x.dims[at])).collect::<Result<Vec<usize>, _>>()?;
    let mut picked = along(x, at, &list, budget)?;
    picked.dims.splice(at..=at, indices.dims.iter().copied());
    if picked.dims.len() > 8 { Err("rank over 8".into()) } else { Ok(picked) }
}

/// The slices of `x` at `list` along one axis.
fn along(x: &Tensor, at: usize, list: &[usize], budget: &mut Budget) -> Result<Tensor, String> {
    let mut dims = x.dims.clone();
    dims[at] = list.len();
    budget.charge(count(&dims))?;
    // An empty tensor has no slices to pick, however large its other dimensions claim to be.
    if dims.contains(&0) {
        return Ok(Tensor { dims, data: x.data.pick(&[]) });
    }
    let inner: usize = x.dims[at + 1..].iter().product();
    let outer: usize = x.dims[..at].iter().product();
    let indices: Vec<usize> = (0..outer)
        .flat_map(|o| list.iter().map(move |&i| (o, i)))
        .flat_map(|(o, i)| (0..inner).map(move |k| (o, i, k)))
        .map(|(o, i, k)| (o * x.dims[at] + i) * inner + k)
        .collect();
    Ok(Tensor { dims, data: x.data.pick(&indices) })
}

fn concat(call: &Call<'_>, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Result<Tensor, String> {
    let parts: Option<Vec<&Tensor>> = inputs.iter().copied().collect();
    let parts = parts.filter(|p| !p.is_empty()).ok_or("inputs are missing")?;
    let rank = parts[0].dims.len();
    let at = axis(call.int("axis", 0), rank)?;
    let outer = count(&parts[0].dims[..at]).ok_or("too many elements")?;
    let mut dims = parts[0].dims.clone();
    dims[at] = 0;
    let (mut floats, mut ints) = (Vec::new(), Vec::new());
    for part in &parts {
        let same = part.dims.len() == rank && (0..rank).all(|i| i == at || part.dims[i] == dims[i]);
        if !same {
            return Err(format!("dimensions {:?} and {:?} do not join", parts[0].dims, part.dims));
        }
        dims[at] = dims[at].checked_add(part.dims[at]).ok_or("too many elements")?;
        budget.charge(Some(part.data.len()))?;
    }
    // An empty result has no rows to copy, however many its other dimensions claim.
    let outer = if parts.iter().all(|p| p.data.len() == 0) { 0 } else { outer };
    for o in 0..outer {
        for part in &parts {
            let row = part.data.len() / outer;
            match &part.data {
                Data::Float(v) => floats.extend_from_slice(&v[o * row..(o + 1) * row]),
                Data::Int(v) => ints.extend_from_slice(&v[o * row..(o + 1) * row]),
            }
        }
    }
    let data = match (floats.is_empty(), ints.is_empty()) {
        (false, false) => return Err("integers and floats mixed".into()),
        (false, true) => Data::Float(floats),
        (true, false) => Data::Int(ints),
        (true, true) => parts[0].data.pick(&[]),
    };
    Ok(Tensor { dims, data })
}

/// What a Slice takes along one axis, as the file says it.
pub(super) struct Range {
    pub axis: i64,
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

/// The ranges of a Slice, which older operator sets give as attributes and newer ones as inputs behind the first.
pub(super) fn ranges(call: &Call<'_>, inputs: &[Option<&Tensor>]) -> Result<Vec<Range>, String> {
    let list = |name: &str, i: usize| -> Result<Option<Vec<i64>>, String> {
        match (call.ints(name), inputs.get(i).copied().flatten()) {
            (Some(list), _) => Ok(Some(list.to_vec())),
            (None, Some(tensor)) => tensor.as_ints().map(|l| Some(l.to_vec())),
            (None, None) => Ok(None),
        }
    };
    let starts = list("starts", 1)?.ok_or("starts are missing")?;
    let ends = list("ends", 2)?.ok_or("ends are missing")?;
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || starts.len() > 8 {
        return Err("starts, ends, axes and steps differ in number".into());
    }
    let range = |i: usize| Range { axis: axes[i], start: starts[i], end: ends[i], step: steps[i] };
    Ok((0..starts.len()).map(range).collect())
}

fn slice(call: &Call<'_>, inputs: &[Option<&Tensor>], budget: &mut Budget) -> Result<Tensor, String> {
    let x = inputs.first().copied().flatten().ok_or("input 0 is missing")?;
    let mut out = x.clone();
    budget.charge(Some(x.data.len()))?;
    for Range { axis: at, start, end, step } in ranges(call, inputs)? {
        let at = axis(at, out.dims.len())?;
        let size = i64::try_from(out.dims[at]).map_err(|_| "a dimension over 2^63")?;
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let clamp = |v: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(low, high);
        if step == 0 {
            return Err("a step of zero".into());
        }
        let places = run(clamp(start), clamp(end), step, budget)?;
        let places: Vec<usize> = places.into_iter().filter_map(|p| usize::try_from(p).ok()).collect();
        out = along(&out, at, &places, budget)?;
    }
    Ok(out)
}

/// The integers from `from` to before `to` by `step`, which is not zero.
fn run(from: i64, to: i64, step: i64, budget: &mut Budget) -> Result<Vec<i64>, String> {
    let distance = if step > 0 { to.saturating_sub(from) } else { from.saturating_sub(to) }.max(0) as u64;
    let n = distance.div_ceil(step.unsigned_abs());
    let n = budget.charge(usize::try_from(n).ok())?;
    Ok((0..n as i64).map(|i| from.saturating_add(i.saturating_mul(step))).collect())
}
