//! Operators that join, cut, repeat and border activations, and the product of two of them.

use super::call::Call;
use super::fold::ranges;
use super::import::{Act, Importer, unsupported};
use super::layout::{axes_of, axis};
use super::tensor::Tensor;
use crate::error::Result;
use crate::graph::{Axis, Op, Shape};

/// Largest scale of a Resize.
const MAX_SCALE: usize = 256;

impl Importer<'_> {
    /// Which axis of the node's shape is axis `at` of its dimensions; not for the batch, which is refused.
    fn spatial_axis(&self, call: &Call<'_>, x: &Act, at: usize) -> Result<Axis> {
        match (at, x.dims.len()) {
            (1, _) => Ok(Axis::C),
            (2, 4) => Ok(Axis::H),
            (2, 3) | (3, 4) => Ok(Axis::W),
            _ => Err(unsupported(call, "it works along the batch")),
        }
    }

    /// Activations one behind the other along the channels.
    pub fn concat(&mut self, call: &Call<'_>, parts: &[Act]) -> Result<Act> {
        let [first, others @ ..] = parts else { return Err(call.err("inputs are missing")) };
        let mut nodes = vec![self.image(call, first, 2..=4)?];
        let mut dims = first.dims.clone();
        let at = axis(call.int("axis", 1), dims.len()).map_err(|what| call.err(what))?;
        for part in others {
            nodes.push(self.image(call, part, 2..=4)?);
            if part.dims.len() != dims.len() || part.dims[2..] != dims[2..] {
                return Err(call.err(format!("dimensions {:?} and {:?} do not join", first.dims, part.dims)));
            }
            // Each is at most 2^28, and the file has fewer inputs than bytes: the sum cannot overflow.
            dims[1] += part.dims[1];
        }
        if at != 1 {
            return Err(unsupported(call, &format!("it joins along axis {at}, not along the channels")));
        }
        if nodes.len() == 1 {
            return Ok(first.clone());
        }
        let node = self.push(call, Op::Concat, &nodes)?;
        Ok(Act { node, dims, order: None })
    }

    /// The product of two activations; the one that is a factor per channel becomes the second.
    pub fn product(&mut self, call: &Call<'_>, a: &Act, b: &Act) -> Result<Act> {
        self.in_order(call, a)?;
        self.in_order(call, b)?;
        if a.dims == b.dims && self.shape(a) == self.shape(b) {
            let node = self.push(call, Op::Mul, &[a.node, b.node])?;
            return Ok(Act { node, ..a.clone() });
        }
        let (x, factor) = if self.shape(a).len() < self.shape(b).len() { (b, a) } else { (a, b) };
        let (input, gate) = (self.image(call, x, 2..=4)?, self.image(call, factor, 2..=4)?);
        if x.dims.len() != factor.dims.len() || self.shape(factor) != Shape::vector(self.shape(x).c) {
            let what = format!("dimensions {:?} and {:?}", a.dims, b.dims);
            return Err(call.err(what).help("supported are equal ones, and one factor per channel"));
        }
        let node = self.push(call, Op::Mul, &[input, gate])?;
        Ok(Act { node, ..x.clone() })
    }

    /// The elements `begin..begin + len` along one axis of the dimensions.
    fn run(&mut self, call: &Call<'_>, name: String, x: &Act, at: usize, begin: usize, len: usize) -> Result<Act> {
        if (begin, len) == (0, x.dims[at]) {
            return Ok(x.clone());
        }
        let input = self.image(call, x, 2..=4)?;
        let axis = self.spatial_axis(call, x, at)?;
        let node = self.push_as(call, name, Op::Slice { axis, begin, len }, &[input])?;
        let mut dims = x.dims.clone();
        dims[at] = len;
        Ok(Act { node, dims, order: None })
    }

    pub fn slice(&mut self, call: &Call<'_>, x: &Act, constants: &[Option<&Tensor>]) -> Result<Act> {
        let mut out = x.clone();
        for range in ranges(call, constants).map_err(|what| call.err(what))? {
            let at = axis(range.axis, x.dims.len()).map_err(|what| call.err(what))?;
            // Activations have at most 2^28 elements.
            let size = out.dims[at] as i64;
            let clamp = |v: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(0, size) as usize;
            let (begin, end) = (clamp(range.start), clamp(range.end));
            if range.step != 1 {
                return Err(unsupported(call, &format!("a step of {}", range.step)));
            }
            if begin >= end {
                return Err(call.err(format!("nothing is left of axis {at}, which has {size} elements")));
            }
            out = self.run(call, call.name().to_owned(), &out, at, begin, end - begin)?;
        }
        Ok(out)
    }

    /// A slice for each of `parts` results.
    pub fn split(&mut self, call: &Call<'_>, x: &Act, sizes: Option<&Tensor>, parts: usize) -> Result<Vec<Act>> {
        let at = axis(call.int("axis", 0), x.dims.len()).map_err(|what| call.err(what))?;
        let size = x.dims[at];
        let given = match (call.ints("split"), sizes) {
            (Some(list), _) => Some(list),
            (None, Some(tensor)) => Some(tensor.as_ints().map_err(|what| call.err(what))?),
            (None, None) => None,
        };
        let lens: Vec<usize> = match given {
            Some(list) => list.iter().map(|&len| usize::try_from(len).unwrap_or(usize::MAX)).collect(),
            None => {
                let each = size.div_ceil(parts.max(1));
                (0..parts).map(|i| size.saturating_sub(i * each).min(each)).collect()
            }
        };
        let total = lens.iter().try_fold(0usize, |sum, &len| sum.checked_add(len));
        if lens.len() != parts || total != Some(size) || lens.contains(&0) {
            return Err(call.err(format!("parts of {lens:?} do not make up axis {at} of {size} elements")));
        }
        let mut begin = 0;
        let mut out = Vec::with_capacity(parts);
        for (i, len) in lens.into_iter().enumerate() {
            out.push(self.run(call, format!("{}.{i}", call.name()), x, at, begin, len)?);
            begin += len;
        }
        Ok(out)
    }

    pub fn pad(&mut self, call: &Call<'_>, x: &Act, constants: &[Option<&Tensor>]) -> Result<Act> {
        let input = self.image(call, x, 2..=4)?;
        let constant = |i: usize| constants.get(i).copied().flatten();
        if !matches!(call.string("mode"), b"" | b"constant") {
            return Err(unsupported(call, "a border that is not of one value"));
        }
        let named = |what: String| call.err(what);
        let rank = x.dims.len();
        let pads = match (call.ints("pads"), constant(1)) {
            (Some(pads), _) => pads,
            (None, Some(pads)) => pads.as_ints().map_err(named)?,
            (None, None) => return Err(call.err("its pads are missing")),
        };
        let axes = match axes_of(call, constant(3)).map_err(named)? {
            Some(list) => list.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>().map_err(named)?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(call.err(format!("{} pads for {} axes", pads.len(), axes.len())));
        }
        let value = match constant(2) {
            Some(tensor) => tensor.single().ok_or_else(|| call.err("a value that is not one number"))?,
            None => call.float("value", 0.0),
        };
        let mut pad = [0; 4];
        for (i, &at) in axes.iter().enumerate() {
            let sides = [pads[i], pads[i + axes.len()]].map(|p| usize::try_from(p).ok().filter(|&p| p <= 1 << 16));
            let [Some(before), Some(behind)] = sides else {
                return Err(call.err(format!("pads {pads:?}, of which one is negative or very large")));
            };
            if before + behind == 0 {
                continue;
            }
            let side = match self.spatial_axis(call, x, at)? {
                Axis::C => return Err(unsupported(call, "a border of channels")),
                Axis::H => 0,
                Axis::W => 1,
            };
            (pad[side], pad[side + 2]) = (before, behind);
        }
        if pad == [0; 4] {
            return Ok(x.clone());
        }
        let node = self.push(call, Op::Pad { pad, value }, &[input])?;
        Ok(self.spatial(node, rank))
    }

    /// Resize and Upsample, where they repeat every element a whole number of times.
    pub fn resize(&mut self, call: &Call<'_>, x: &Act, constants: &[Option<&Tensor>]) -> Result<Act> {
        let input = self.image(call, x, 3..=4)?;
        // An empty tensor stands for none.
        let constant = |i: usize| constants.get(i).copied().flatten().filter(|t| (1..=4).contains(&t.data.len()));
        if !matches!(call.string("mode"), b"" | b"nearest") {
            let mode = String::from_utf8_lossy(call.string("mode"));
            return Err(unsupported(call, &format!("mode {mode:?}; only nearest is supported")));
        }
        let named = |what: String| call.err(what);
        let rank = x.dims.len();
        let axes = match call.ints("axes") {
            Some(list) => list.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>().map_err(named)?,
            None => (0..rank).collect(),
        };
        let old = call.op() == "Upsample" || call.opset < 11;
        let (scales, sizes) = if old { (constant(1), None) } else { (constant(2), constant(3)) };
        let wanted: Vec<f64> = match (scales, call.floats("scales"), sizes) {
            (Some(scales), ..) => scales.to_floats().iter().map(|&s| f64::from(s)).collect(),
            (None, Some(scales), _) => scales.iter().map(|&s| f64::from(s)).collect(),
            (None, None, Some(sizes)) => {
                let sizes = sizes.as_ints().map_err(named)?;
                axes.iter().zip(sizes).map(|(&at, &size)| size as f64 / x.dims[at] as f64).collect()
            }
            _ => return Err(call.err("it has neither scales nor sizes")),
        };
        if wanted.len() != axes.len() {
            return Err(call.err(format!("{} scales for {} axes", wanted.len(), axes.len())));
        }
        let mut scale = [1; 2];
        for (&at, &by) in axes.iter().zip(&wanted) {
            if by == 1.0 {
                continue;
            }
            let side = match self.spatial_axis(call, x, at)? {
                Axis::C => return Err(unsupported(call, "channels that are scaled")),
                Axis::H => 0,
                Axis::W => 1,
            };
            let whole = by as usize;
            if by.fract() != 0.0 || !(1..=MAX_SCALE).contains(&whole) || !repeats(call, whole, old) {
                return Err(unsupported(call, &format!("a scale of {by} in this mode is no repetition of elements")));
            }
            scale[side] = whole;
        }
        if scale == [1, 1] {
            return Ok(x.clone());
        }
        let node = self.push(call, Op::Resize { scale }, &[input])?;
        Ok(self.spatial(node, rank))
    }
}

/// True when nearest neighbour at this scale takes element `i / scale` for result `i`, with the call's way to count
/// coordinates and to round. `old` operators have one way only.
fn repeats(call: &Call<'_>, scale: usize, old: bool) -> bool {
    let attribute = |name: &str, default: &'static str| match call.string(name) {
        b"" => default.as_bytes(),
        set => set,
    };
    let (place, round) = match old {
        true => (&b"asymmetric"[..], &b"floor"[..]),
        false => {
            (attribute("coordinate_transformation_mode", "half_pixel"), attribute("nearest_mode", "round_prefer_floor"))
        }
    };
    let by = scale as f64;
    // The pattern is the same behind every element.
    (0..scale).all(|i| {
        let x = match place {
            b"asymmetric" => i as f64 / by,
            b"half_pixel" | b"pytorch_half_pixel" | b"half_pixel_symmetric" => (i as f64 + 0.5) / by - 0.5,
            _ => return false,
        };
        let at = match round {
            b"floor" => x.floor(),
            b"ceil" => x.ceil(),
            b"round_prefer_floor" => (x - 0.5).ceil(),
            b"round_prefer_ceil" => (x + 0.5).floor(),
            _ => return false,
        };
        at == 0.0
    })
}
