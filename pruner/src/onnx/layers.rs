//! The operators that become nodes of the graph.

use super::call::Call;
use super::import::{Act, Importer, unsupported};
use super::layout::{axes, axes_of, axis};
use super::tensor::Tensor;
use crate::error::Result;
use crate::graph::{Activation, BatchNorm, Conv, Linear, NodeId, Op, Shape, Window};

/// Largest kernel, step, dilation or padding: what a `.keel` file can hold.
const MAX_WINDOW: i64 = u16::MAX as i64;

impl Importer<'_> {
    /// The node of an activation that has the node's own dimensions, of a rank in `ranks`.
    pub fn image(&self, call: &Call<'_>, x: &Act, ranks: std::ops::RangeInclusive<usize>) -> Result<NodeId> {
        self.in_order(call, x)?;
        if self.is_natural(x) && ranks.contains(&x.dims.len()) {
            return Ok(x.node);
        }
        let what = format!("its input has dimensions {:?}, of a tensor {}", x.dims, self.shape(x));
        Err(call.err(what).help("reshapes that change what a channel is are not supported"))
    }

    /// Finite values of a constant input, paid for.
    fn weights(&mut self, call: &Call<'_>, what: &str, tensor: Option<&Tensor>) -> Result<Vec<f32>> {
        let tensor = tensor.ok_or_else(|| call.err(format!("its {what} is missing")))?;
        self.budget.charge(Some(tensor.data.len())).map_err(|e| call.err(e))?;
        tensor.finite().map_err(|e| call.err(format!("its {what} has {e}")))
    }

    pub fn conv(&mut self, call: &Call<'_>, x: &Act, w: Option<&Tensor>, b: Option<&Tensor>) -> Result<Act> {
        let input = self.image(call, x, 3..=4)?;
        let weight = self.weights(call, "weight", w)?;
        let dims = w.map_or(&[][..], |t| &t.dims);
        let &[out, inp, ref kernel @ ..] = dims else { return Err(call.err("its weight has no kernel")) };
        let declared = call.ints("kernel_shape").is_none_or(|k| k.iter().copied().eq(kernel.iter().map(|&k| k as i64)));
        if kernel.len() + 2 != x.dims.len() || !declared {
            return Err(call.err(format!("a kernel of dimensions {kernel:?} does not fit an input of {:?}", x.dims)));
        }
        let bias = if b.is_some() {
            self.weights(call, "bias", b)?
        } else {
            let n = self.budget.charge(Some(out)).map_err(|e| call.err(e))?;
            vec![0.0; n]
        };
        let groups = usize::try_from(call.int("group", 1)).map_err(|_| call.err("a negative group"))?;
        let window = window(call, &x.dims[2..], kernel)?;
        let op = Op::Conv(Conv { out, inp, groups, window, weight, bias });
        let node = self.push(call, op, &[input])?;
        Ok(self.spatial(node, x.dims.len()))
    }

    /// The node with its own dimensions of the given rank.
    pub fn spatial(&self, node: NodeId, rank: usize) -> Act {
        let Shape { c, h, w } = self.nodes[node].shape;
        let dims = if rank == 3 { vec![1, c, w] } else { vec![1, c, h, w] };
        Act { node, dims, order: None }
    }

    pub fn batch_norm(&mut self, call: &Call<'_>, x: &Act, params: [Option<&Tensor>; 4]) -> Result<Act> {
        let input = self.image(call, x, 2..=4)?;
        if call.int("training_mode", 0) != 0 || call.int("spatial", 1) != 1 {
            return Err(call.err("it is in training mode or not per channel").help("export in evaluation mode"));
        }
        let [gamma, beta, mean, var] = params;
        let norm = BatchNorm {
            gamma: self.weights(call, "scale", gamma)?,
            beta: self.weights(call, "shift", beta)?,
            mean: self.weights(call, "mean", mean)?,
            var: self.weights(call, "variance", var)?,
            eps: call.float("epsilon", 1e-5),
        };
        let positive = |v: &f32| v + norm.eps > 0.0 && (v + norm.eps).is_finite();
        if !norm.var.iter().all(positive) {
            return Err(call.err("a variance that is not positive"));
        }
        let node = self.push(call, Op::BatchNorm(norm), &[input])?;
        Ok(Act { node, ..x.clone() })
    }

    /// Clips; bounds at the ends of f32 are no bounds. Works on any arrangement of the elements.
    pub fn clip(&mut self, call: &Call<'_>, x: &Act, lo: f32, hi: f32) -> Result<Act> {
        let lo = if lo <= f32::MIN { f32::NEG_INFINITY } else { lo };
        let hi = if hi >= f32::MAX { f32::INFINITY } else { hi };
        if (lo, hi) == (f32::NEG_INFINITY, f32::INFINITY) {
            return Ok(x.clone());
        }
        let node = self.push(call, Op::Clip { lo, hi }, &[x.node])?;
        Ok(Act { node, ..x.clone() })
    }

    /// A function of each element, on any arrangement of them.
    pub fn pointwise(&mut self, call: &Call<'_>, x: &Act, f: Activation) -> Result<Act> {
        let node = self.push(call, Op::Activation(f), &[x.node])?;
        Ok(Act { node, ..x.clone() })
    }

    /// The sum of two activations.
    pub fn add(&mut self, call: &Call<'_>, a: &Act, b: &Act) -> Result<Act> {
        if call.op() != "Add" {
            return Err(unsupported(call, "the operator is not supported on two activations"));
        }
        self.in_order(call, a)?;
        self.in_order(call, b)?;
        if a.dims != b.dims || self.shape(a) != self.shape(b) {
            return Err(call.err(format!("dimensions {:?} and {:?} differ", a.dims, b.dims)));
        }
        let node = self.push(call, Op::Add, &[a.node, b.node])?;
        Ok(Act { node, ..a.clone() })
    }

    /// Arithmetic with a constant right behind a layer, which takes it into its weights. `x_first`: `x op c`, not `c op x`.
    pub fn affine(&mut self, call: &Call<'_>, x: &Act, operand: &Tensor, x_first: bool) -> Result<Act> {
        let c = self.shape(x).c;
        let values = per_channel(operand, x, c).ok_or_else(|| {
            let what = format!("a constant of dimensions {:?} with a value of {:?}", operand.dims, x.dims);
            call.err(what).help("constants are supported as one number or one number a channel")
        })?;
        let all = |v: f32| vec![v; c];
        let (scale, shift) = match (call.op(), x_first) {
            ("Add", _) => (all(1.0), values),
            ("Sub", true) => (all(1.0), values.iter().map(|v| -v).collect()),
            ("Sub", false) => (all(-1.0), values),
            ("Mul", _) => (values, all(0.0)),
            ("Div", true) => (values.iter().map(|v| 1.0 / v).collect(), all(0.0)),
            _ => return Err(unsupported(call, "a constant divided by an activation")),
        };
        if !scale.iter().chain(&shift).all(|v| v.is_finite()) {
            return Err(call.err("a constant that is not finite"));
        }
        if scale.iter().all(|&s| s == 1.0) && shift.iter().all(|&s| s == 0.0) {
            return Ok(x.clone());
        }
        if x.node == 0 {
            return Err(call
                .err("it normalises the network's input")
                .help("use [input] in the contract (scale, mean, std), and export the network without it"));
        }
        self.in_order(call, x)?;
        let node = &self.nodes[x.node];
        let size = match &node.op {
            Op::Conv(conv) => conv.weight.len(),
            Op::Linear(linear) => linear.weight.len(),
            Op::BatchNorm(norm) => norm.gamma.len(),
            _ => {
                return Err(unsupported(
                    call,
                    "arithmetic with a constant that is not right behind a Conv, Gemm or MatMul",
                ));
            }
        };
        self.budget.charge(size.checked_add(4 * c)).map_err(|e| call.err(e))?;
        // A new node: whoever else reads the layer goes on reading it unchanged, and if nobody does, it vanishes.
        let mut op = node.op.clone();
        match &mut op {
            Op::Conv(Conv { weight, bias, .. }) | Op::Linear(Linear { weight, bias, .. }) => {
                let row = weight.len() / bias.len();
                for (o, weights) in weight.chunks_exact_mut(row).enumerate() {
                    weights.iter_mut().for_each(|w| *w *= scale[o]);
                    bias[o] = bias[o] * scale[o] + shift[o];
                }
            }
            Op::BatchNorm(norm) => {
                for o in 0..c {
                    norm.gamma[o] *= scale[o];
                    norm.beta[o] = norm.beta[o] * scale[o] + shift[o];
                }
            }
            _ => {}
        }
        let (name, inputs) = (node.name.clone(), node.inputs.clone());
        let node = self.push_as(call, name, op, &inputs)?;
        Ok(Act { node, ..x.clone() })
    }

    pub fn pool(&mut self, call: &Call<'_>, x: &Act) -> Result<Act> {
        let input = self.image(call, x, 3..=4)?;
        let kernel: Option<Vec<usize>> =
            call.ints("kernel_shape").unwrap_or(&[]).iter().map(|&k| usize::try_from(k).ok()).collect();
        let kernel = kernel.filter(|k| k.len() + 2 == x.dims.len());
        let kernel = kernel.ok_or_else(|| call.err("its kernel does not fit its input"))?;
        let window = window(call, &x.dims[2..], &kernel)?;
        let shape = self.shape(x);
        if call.int("ceil_mode", 0) != 0 && ceil_matters(&window, shape) {
            return Err(call.err("ceil_mode adds a window that is partly outside").help("export with ceil_mode=False"));
        }
        let whole = Window { kernel: [shape.h, shape.w], stride: window.stride, dilation: [1, 1], pad: [0; 4] };
        let op = match call.op() {
            "MaxPool" => Op::MaxPool(window),
            _ if window == whole => Op::GlobalAvgPool,
            _ => Op::AvgPool { window, count_pad: call.int("count_include_pad", 0) != 0 },
        };
        let node = self.push(call, op, &[input])?;
        Ok(self.spatial(node, x.dims.len()))
    }

    pub fn global_pool(&mut self, call: &Call<'_>, x: &Act) -> Result<Act> {
        let input = self.image(call, x, 3..=4)?;
        let Shape { h, w, .. } = self.shape(x);
        if (h, w) == (1, 1) {
            return Ok(x.clone());
        }
        let op = match call.op() {
            "GlobalAveragePool" => Op::GlobalAvgPool,
            _ => Op::MaxPool(Window { kernel: [h, w], stride: [1, 1], dilation: [1, 1], pad: [0; 4] }),
        };
        let node = self.push(call, op, &[input])?;
        Ok(self.spatial(node, x.dims.len()))
    }

    /// A mean over all spatial axes that have more than one element, whatever order the axes are in.
    pub fn reduce_mean(&mut self, call: &Call<'_>, x: &Act, input: Option<&Tensor>) -> Result<Act> {
        let named = |what: String| call.err(what);
        let rank = x.dims.len();
        let reduced = match axes_of(call, input).map_err(named)? {
            Some(list) if !list.is_empty() => axes(&list, rank).map_err(named)?,
            _ if call.int("noop_with_empty_axes", 0) != 0 => return Ok(x.clone()),
            _ => (0..rank).collect(),
        };
        let keep = call.int("keepdims", 1) != 0;
        let left = |i: usize| if !reduced.contains(&i) { Some(x.dims[i]) } else { keep.then_some(1) };
        let dims: Vec<usize> = (0..rank).filter_map(left).collect();

        // The axes as they lie in memory.
        let stored = |i: usize| x.order.as_ref().map_or(i, |(order, _)| order[i]);
        let mut before = vec![1; rank];
        (0..rank).for_each(|i| before[stored(i)] = x.dims[i]);
        let mut gone: Vec<usize> = reduced.iter().map(|&i| stored(i)).filter(|&i| before[i] > 1).collect();
        gone.sort_unstable();
        if gone.is_empty() && x.order.is_none() {
            return Ok(Act { node: x.node, dims, order: None });
        }
        let plain = Act { node: x.node, dims: before.clone(), order: None };
        let spatial: Vec<usize> = (2..rank).filter(|&i| before[i] > 1).collect();
        if !self.is_natural(&plain) || gone != spatial {
            return Err(unsupported(call, &format!("a mean over axes {reduced:?} of {:?}", x.dims)));
        }
        let node = self.push(call, Op::GlobalAvgPool, &[x.node])?;
        Ok(Act { node, dims, order: None })
    }

    pub fn gemm(&mut self, call: &Call<'_>, x: &Act, b: Option<&Tensor>, c: Option<&Tensor>) -> Result<Act> {
        if call.int("transA", 0) != 0 {
            return Err(unsupported(call, "a transposed activation"));
        }
        let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
        let mut linear = self.linear(call, x, b, call.int("transB", 0) != 0)?;
        linear.weight.iter_mut().for_each(|w| *w *= alpha);
        if c.is_some() {
            let values = self.weights(call, "bias", c)?;
            let dims = c.map_or(&[][..], |t| &t.dims);
            match (dims, values.len()) {
                (_, 1) => linear.bias.fill(values[0] * beta),
                ([n] | [1, n], _) if *n == linear.out => {
                    linear.bias.iter_mut().zip(values).for_each(|(b, v)| *b = v * beta);
                }
                _ => return Err(call.err(format!("a bias of dimensions {dims:?} for {} outputs", linear.out))),
            }
        }
        self.fully_connected(call, x, linear)
    }

    pub fn mat_mul(&mut self, call: &Call<'_>, x: &Act, b: Option<&Tensor>) -> Result<Act> {
        let linear = self.linear(call, x, b, false)?;
        self.fully_connected(call, x, linear)
    }

    /// The matrix of a fully connected layer, brought to `[out][inp]`; no bias yet.
    fn linear(&mut self, call: &Call<'_>, x: &Act, b: Option<&Tensor>, transposed: bool) -> Result<Linear> {
        self.image(call, x, 2..=2)?;
        let values = self.weights(call, "weight", b)?;
        let &[rows, columns] = b.map_or(&[][..], |t| &t.dims) else {
            return Err(call.err("its weight is no matrix"));
        };
        let (out, inp) = if transposed { (rows, columns) } else { (columns, rows) };
        if inp != self.shape(x).c {
            return Err(call.err(format!("a matrix for {inp} features does not fit an input of {}", self.shape(x).c)));
        }
        let weight = if transposed {
            values
        } else {
            (0..out).flat_map(|o| (0..inp).map(move |i| i * out + o)).map(|i| values[i]).collect()
        };
        // `inp` is not zero, so `out` is bounded by the number of weights.
        Ok(Linear { out, inp, weight, bias: vec![0.0; out] })
    }

    fn fully_connected(&mut self, call: &Call<'_>, x: &Act, linear: Linear) -> Result<Act> {
        if !linear.weight.iter().chain(&linear.bias).all(|v| v.is_finite()) {
            return Err(call.err("its scaled weights are not finite"));
        }
        let dims = vec![1, linear.out];
        let node = self.push(call, Op::Linear(linear), &[x.node])?;
        Ok(Act { node, dims, order: None })
    }

    /// Softmax over the channels of a vector. A LogSoftmax becomes one too: it ranks classes alike, and either is
    /// dropped before training and lowering.
    pub fn softmax(&mut self, call: &Call<'_>, x: &Act) -> Result<Act> {
        self.in_order(call, x)?;
        let default = if call.opset < 13 { 1 } else { -1 };
        let over = axis(call.int("axis", default), x.dims.len()).map_err(|what| call.err(what))?;
        let shape = self.shape(x);
        if shape != Shape::vector(shape.c) || x.dims[over] != shape.c {
            return Err(unsupported(call, "a softmax that is not over the features of a vector"));
        }
        let node = self.push(call, Op::Softmax, &[x.node])?;
        if call.op() == "LogSoftmax" {
            self.logarithms.push(node);
        }
        Ok(Act { node, ..x.clone() })
    }
}

/// A constant as one value per channel of `x`, if it broadcasts so.
fn per_channel(operand: &Tensor, x: &Act, channels: usize) -> Option<Vec<f32>> {
    let lead = x.dims.len().checked_sub(operand.dims.len())?;
    if let Some(v) = operand.single() {
        return Some(vec![v; channels]);
    }
    let channels_second = x.dims.len() > 1 && x.dims[..2] == [1, channels];
    let mut sizes = operand.dims.iter().enumerate();
    let fits = sizes.all(|(i, &d)| d == 1 || (lead + i == 1 && d == channels));
    (channels_second && fits && operand.data.len() == channels).then(|| operand.to_floats())
}

/// The sliding window of a Conv or pool over `spatial` (1 or 2) dimensions; a sequence has height 1.
fn window(call: &Call<'_>, spatial: &[usize], kernel: &[usize]) -> Result<Window> {
    let rank = spatial.len();
    let list = |name: &str, len: usize, default: i64| -> Result<Vec<usize>> {
        let values = call.ints(name).map_or_else(|| vec![default; len], <[i64]>::to_vec);
        if values.len() != len || !values.iter().all(|v| (default..=MAX_WINDOW).contains(v)) {
            return Err(call.err(format!("{name} {values:?}")));
        }
        Ok(values.iter().map(|&v| v as usize).collect())
    };
    if !kernel.iter().all(|&k| (1..=MAX_WINDOW as usize).contains(&k)) {
        return Err(call.err(format!("a kernel of {kernel:?}")));
    }
    let (stride, dilation) = (list("strides", rank, 1)?, list("dilations", rank, 1)?);
    let pads = match call.string("auto_pad") {
        b"" | b"NOTSET" => list("pads", 2 * rank, 0)?,
        b"VALID" => vec![0; 2 * rank],
        side @ (b"SAME_UPPER" | b"SAME_LOWER") => {
            let total = |i: usize| {
                let span = (kernel[i] - 1) * dilation[i] + 1;
                ((spatial[i].div_ceil(stride[i]) - 1) * stride[i] + span).saturating_sub(spatial[i])
            };
            let less = |i: usize| total(i) / 2;
            let more = |i: usize| total(i).div_ceil(2);
            let upper = side == b"SAME_UPPER";
            let begin = (0..rank).map(|i| if upper { less(i) } else { more(i) });
            begin.chain((0..rank).map(|i| if upper { more(i) } else { less(i) })).collect()
        }
        other => return Err(call.err(format!("auto_pad {:?}", String::from_utf8_lossy(other)))),
    };
    Ok(match (&stride[..], &dilation[..], &pads[..]) {
        (&[s], &[d], &[left, right]) => {
            Window { kernel: [1, kernel[0]], stride: [1, s], dilation: [1, d], pad: [0, left, 0, right] }
        }
        (&[sh, sw], &[dh, dw], &[top, left, bottom, right]) => Window {
            kernel: [kernel[0], kernel[1]],
            stride: [sh, sw],
            dilation: [dh, dw],
            pad: [top, left, bottom, right],
        },
        _ => return Err(call.err("a window over other than one or two axes")),
    })
}

/// True when rounding the number of windows up would add one.
fn ceil_matters(window: &Window, x: Shape) -> bool {
    let rest = |i: usize, size: usize| {
        let span = (window.kernel[i] - 1) * window.dilation[i] + 1;
        (size + window.pad[i] + window.pad[i + 2]).saturating_sub(span) % window.stride[i]
    };
    rest(0, x.h) != 0 || rest(1, x.w) != 0
}
