//! A `.keel` as an ONNX file with QuantizeLinear and DequantizeLinear: what other int8 runtimes read.
//!
//! Every tensor is written in real numbers between a QuantizeLinear and a DequantizeLinear with the file's scale and
//! zero point; weights are int8 with a DequantizeLinear of their own. Their scales follow from the multipliers:
//! `mul = scale_in * scale_w / scale_out * 2^(32 - left_shift)`, so they are right to a part in 2^20 or better, and
//! outputs may differ by a step where a sum lies between two. Zeros of pruned patterns stay zeros. Values are
//! N × C × H × W throughout: a fully connected layer is a convolution over the whole input.

use super::onnx_file::{INT8, INT32, OnnxFile, int, ints, text};
use crate::aligned::AlignedBytes;
use crate::error::{Error, Result};
use evenkeel_runtime::Model;
use evenkeel_runtime::format::pack::Form;
use evenkeel_runtime::format::{InputChannel, OpRecord, Packing, Requant, TensorRecord, flag, op, repack_model};

/// The bytes of an ONNX file of operator set 17. Its input takes raw values, N × C × H × W; the normalisation that the
/// `.keel` carries is part of the network.
///
/// # Errors
/// Names the operator that has no form in ONNX.
pub fn to_onnx(model: &Model, name: &str) -> Result<Vec<u8>> {
    write(model, name, true)
}

/// [`to_onnx`], with the normalisation or without.
fn write(model: &Model, name: &str, normalise: bool) -> Result<Vec<u8>> {
    // Weights output by output, whatever they were packed for.
    let plain = repack_model(model, Packing::Portable, |_, _| Form::Dense).map_err(Error::new)?;
    let plain = AlignedBytes::new(&plain);
    let model = &Model::from_bytes(plain.bytes()).map_err(Error::new)?;
    let mut writer = Writer {
        model,
        file: OnnxFile::new(name),
        values: vec![String::new(); model.tensors().len()],
        parts: vec![Vec::new(); model.tensors().len()],
    };
    let input = model.header().input;
    let real = if normalise { writer.normalised() } else { "input".to_owned() };
    writer.values[input as usize] = writer.pair("input", &real, model.input().scale, model.input().zero);
    for op in model.ops() {
        writer.op(op).map_err(|e| e.prefix(format!("{} \"{}\"", op.code_name(), model.name(op.name))))?;
    }
    let (result, shape) = (writer.values[model.header().output as usize].clone(), model.output());
    let output = if shape.h * shape.w == 1 {
        writer.file.last("Flatten", &result, vec![int("axis", 1)]);
        vec![shape.c]
    } else {
        writer.file.last("Identity", &result, vec![]);
        vec![shape.c, shape.h, shape.w]
    };
    let input = model.input();
    writer.file.bytes(&[input.c, input.h, input.w], &output)
}

struct Writer<'m> {
    model: &'m Model<'m>,
    file: OnnxFile,
    /// The name of each tensor's value.
    values: Vec<String>,
    /// Of a tensor that several operators write: the first channel of each part, how many, and its name.
    parts: Vec<Vec<(u32, u32, String)>>,
}

/// How the real result of an operator is clipped and quantised.
#[derive(Clone, Copy)]
struct Steps {
    scale: f32,
    zero: i32,
    lo: i32,
    hi: i32,
}

impl Writer<'_> {
    /// The input as the network wants it: `(value * scale - mean) / std`.
    fn normalised(&mut self) -> String {
        let norms = self.model.input_channels();
        let identity = |n: &InputChannel| (n.scale, n.mean, n.std) == (1.0, 0.0, 1.0);
        if norms.iter().all(identity) {
            return "input".to_owned();
        }
        let mut value = "input".to_owned();
        for (op, what, of) in [
            ("Mul", "scale", (|n| n.scale) as fn(&InputChannel) -> f32),
            ("Sub", "mean", |n| n.mean),
            ("Div", "std", |n| n.std),
        ] {
            let numbers: Vec<f32> = norms.iter().map(of).collect();
            let numbers = self.file.floats(&format!("input.{what}"), &[1, norms.len(), 1, 1], &numbers);
            value = self.file.node(op, &format!("input.{}", op.to_lowercase()), &[&value, &numbers], vec![]);
        }
        value
    }

    fn tensor(&self, index: u16) -> Result<&TensorRecord> {
        self.model.tensors().get(index as usize).ok_or_else(|| Error::new("a tensor that is not there"))
    }

    fn value(&self, index: u16) -> String {
        self.values[index as usize].clone()
    }

    fn op(&mut self, o: &OpRecord) -> Result<()> {
        let (x, y) = (*self.tensor(o.input)?, *self.tensor(o.output)?);
        let name = match self.model.name(o.name) {
            "" => o.code_name().to_owned(),
            name => name.to_owned(),
        };
        let input = self.value(o.input);
        let full = Steps { scale: y.scale, zero: y.zero, lo: o.lo as i32, hi: o.hi as i32 };
        let real = match o.code {
            op::CONV | op::GROUPED_CONV | op::DEPTHWISE | op::LINEAR if o.has(flag::FUSED_ADD) => {
                let [zero, lo, hi, _] = o.mid.map(i32::from);
                // What the sum multiplies the middle by says the middle's scale.
                let scale = o.add_mul[0] as f32 / f32::from(1u16 << o.add_shift.min(15)) * y.scale
                    / f32::from(1u16 << o.add_shift.saturating_sub(15));
                let steps = Steps { scale, zero, lo, hi };
                let middle = self.weighted(o, &name, &input, &x, &y, steps)?;
                let middle = self.quantised(&format!("{name}.middle"), &middle, steps);
                self.sum(o, &name, [middle, self.value(o.input2)], [scale, self.tensor(o.input2)?.scale], y.scale)?
            }
            op::CONV | op::GROUPED_CONV | op::DEPTHWISE | op::LINEAR => {
                self.weighted(o, &name, &input, &x, &y, full)?
            }
            op::ADD => {
                let scales = [x.scale, self.tensor(o.input2)?.scale];
                self.sum(o, &name, [input, self.value(o.input2)], scales, y.scale)?
            }
            op::MUL => self.file.node("Mul", &name, &[&input, &self.value(o.input2)], vec![]),
            op::MAX_POOL => self.file.node("MaxPool", &name, &[&input], window(o, &x, &y, true)),
            op::AVG_POOL => self.mean(o, &name, &input, &x, &y)?,
            op::LUT => self.table(o, &name, &input, &x, &y)?,
            op::SOFTMAX => self.file.node("Softmax", &name, &[&input], vec![int("axis", 1)]),
            op::RESIZE => {
                let scales = [1.0, 1.0, o.stride[0] as f32, o.stride[1] as f32];
                let scales = self.file.floats(&format!("{name}.scales"), &[4], &scales);
                let how =
                    [("mode", "nearest"), ("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")];
                self.file.node("Resize", &name, &[&input, "", &scales], how.map(|(k, v)| text(k, v)).to_vec())
            }
            op::SLICE => {
                let begin = [o.groups as i64, o.pad[0] as i64, o.pad[1] as i64];
                let end = [begin[0] + o.out_channels as i64, begin[1] + y.h as i64, begin[2] + y.w as i64];
                let [begin, end, axes] = [("begin", begin), ("end", end), ("axes", [1, 2, 3])]
                    .map(|(what, v)| self.file.integers(&format!("{name}.{what}"), &v));
                self.file.node("Slice", &name, &[&input, &begin, &end, &axes], vec![])
            }
            op::PAD => {
                let [top, left] = o.pad.map(i64::from);
                let after = [y.h as i64 - x.h as i64 - top, y.w as i64 - x.w as i64 - left];
                let pads = self.file.integers(&format!("{name}.pads"), &[0, 0, top, left, 0, 0, after[0], after[1]]);
                self.file.node("Pad", &name, &[&input, &pads], vec![])
            }
            _ => return Err(Error::new("has no form in ONNX")),
        };
        let value = self.quantised(&name, &real, full);
        self.put(o, &y, value);
        Ok(())
    }

    /// Notes a value, or a part of one: the last part joins them.
    fn put(&mut self, o: &OpRecord, y: &TensorRecord, value: String) {
        let index = o.output as usize;
        if o.out_channels == y.c {
            self.values[index] = value;
            return;
        }
        self.parts[index].push((o.out_channel, o.out_channels, value));
        if self.parts[index].iter().map(|p| p.1).sum::<u32>() == y.c {
            self.parts[index].sort();
            let names: Vec<&str> = self.parts[index].iter().map(|p| p.2.as_str()).collect();
            let joined = self.file.node("Concat", "concat", &names, vec![int("axis", 1)]);
            self.values[index] = self.pair("concat", &joined, y.scale, y.zero);
        }
    }

    /// `value` clipped, quantised and dequantised; gives the name of the result.
    fn quantised(&mut self, name: &str, value: &str, s: Steps) -> String {
        let real = |q: i32| (q - s.zero) as f32 * s.scale;
        let clipped = match (s.lo, s.hi) {
            (-128, 127) => value.to_owned(),
            (lo, 127) if lo == s.zero => self.file.node("Relu", &format!("{name}.relu"), &[value], vec![]),
            (lo, hi) => {
                let lo = self.file.floats(&format!("{name}.min"), &[], &[real(lo)]);
                let hi = self.file.floats(&format!("{name}.max"), &[], &[real(hi)]);
                self.file.node("Clip", &format!("{name}.clip"), &[value, &lo, &hi], vec![])
            }
        };
        self.pair(name, &clipped, s.scale, s.zero)
    }

    fn pair(&mut self, name: &str, value: &str, scale: f32, zero: i32) -> String {
        let scale = self.file.floats(&format!("{name}.scale"), &[], &[scale]);
        let zero = self.file.bytes_of(&format!("{name}.zero"), INT8, &[], &[zero as i8 as u8]);
        let q = self.file.node("QuantizeLinear", &format!("{name}.q"), &[value, &scale, &zero], vec![]);
        self.file.node("DequantizeLinear", &format!("{name}.dq"), &[&q, &scale, &zero], vec![])
    }

    /// A convolution, or a fully connected layer as one over the whole input.
    fn weighted(
        &mut self,
        o: &OpRecord,
        name: &str,
        input: &str,
        x: &TensorRecord,
        y: &TensorRecord,
        out: Steps,
    ) -> Result<String> {
        let outputs = o.out_channels as usize;
        let whole = OpRecord { kernel: [x.h as u16, x.w as u16], stride: [1, 1], dilation: [1, 1], pad: [0, 0], ..*o };
        let (o, groups) = match o.code {
            op::LINEAR => (&whole, 1),
            op::DEPTHWISE => (o, outputs),
            _ => (o, o.groups.max(1) as usize),
        };
        let [kh, kw] = o.kernel.map(usize::from);
        let channels = x.c as usize / groups;
        let taps = kh * kw * channels;
        let stored = self.model.weights(o).and_then(|w| w.dense()).ok_or_else(|| Error::new("has no weights"))?;
        let mut matrix = stored.to_vec();
        if o.code == op::DEPTHWISE {
            // H × W × C to C × H × W.
            matrix = (0..outputs * taps).map(|i| stored[i % taps * outputs + i / taps]).collect();
        }
        let (mut scales, mut biases) = (Vec::new(), Vec::new());
        for (row, r) in matrix.chunks_mut(taps.max(1)).zip(self.model.requant(o)) {
            let (scale, bias) = self.channel(o, row, r, x, out.scale)?;
            scales.push(scale);
            biases.push(bias);
        }
        // OHWI to OIHW.
        let at = |o: usize, i: usize, p: usize| matrix[(o * kh * kw + p) * channels + i] as u8;
        let oihw: Vec<u8> = (0..outputs)
            .flat_map(|o| (0..channels).flat_map(move |i| (0..kh * kw).map(move |p| (o, i, p))))
            .map(|(o, i, p)| at(o, i, p))
            .collect();
        let bias_scales: Vec<f32> = scales.iter().map(|s| s * x.scale).collect();
        let bias_bytes: Vec<u8> = biases.iter().flat_map(|b: &i32| b.to_le_bytes()).collect();
        let weight = self.constant(&format!("{name}.weight"), INT8, &[outputs, channels, kh, kw], &oihw, &scales);
        let bias = self.constant(&format!("{name}.bias"), INT32, &[outputs], &bias_bytes, &bias_scales);
        let mut how = window(o, x, y, true);
        how.push(int("group", groups as i64));
        Ok(self.file.node("Conv", name, &[input, &weight, &bias], how))
    }

    /// Scale and bias of an output channel, from its requantisation; a channel that is always zero loses its weights.
    fn channel(
        &self,
        o: &OpRecord,
        row: &mut [i8],
        r: &Requant,
        x: &TensorRecord,
        scale_out: f32,
    ) -> Result<(f32, i32)> {
        if r.mul <= 0 {
            if r.mul < 0 {
                return Err(Error::new("has a negative multiplier, which is no scale"));
            }
            row.fill(0);
            return Ok((1.0, 0));
        }
        let sum: i32 = row.iter().map(|&w| w as i32).sum();
        let scale =
            f64::from(r.mul) * f64::from(scale_out) / f64::from(x.scale) * (f64::from(o.left_shift) - 32.0).exp2();
        Ok((scale as f32, r.bias.wrapping_add(sum.wrapping_mul(x.zero))))
    }

    /// An integer constant and its DequantizeLinear, with a scale for each index of the first axis.
    fn constant(&mut self, name: &str, kind: i32, dims: &[usize], bytes: &[u8], scales: &[f32]) -> String {
        let values = self.file.bytes_of(&format!("{name}.values"), kind, dims, bytes);
        let zeros = vec![0; scales.len() * if kind == INT8 { 1 } else { 4 }];
        let zeros = self.file.bytes_of(&format!("{name}.zero"), kind, &[scales.len()], &zeros);
        let scales = self.file.floats(&format!("{name}.scale"), &[scales.len()], scales);
        self.file.node("DequantizeLinear", name, &[&values, &scales, &zeros], vec![int("axis", 0)])
    }

    /// A sum, whose multipliers must be those of its tensors' scales.
    fn sum(&mut self, o: &OpRecord, name: &str, values: [String; 2], scales: [f32; 2], scale: f32) -> Result<String> {
        for (mul, from) in o.add_mul.into_iter().zip(scales) {
            let exact = f64::from(from) / f64::from(scale) * f64::from(o.add_shift).exp2();
            if (f64::from(mul) - exact).abs() > 1.0 + exact * 1e-3 {
                return Err(Error::new("weighs its inputs, which a sum in ONNX does not"));
            }
        }
        let name = if o.has(flag::FUSED_ADD) { format!("{name}.add") } else { name.to_owned() };
        Ok(self.file.node("Add", &name, &[&values[0], &values[1]], vec![]))
    }

    fn mean(&mut self, o: &OpRecord, name: &str, input: &str, x: &TensorRecord, y: &TensorRecord) -> Result<String> {
        if o.dilation != [1, 1] {
            return Err(
                Error::new("has dilations").help("ONNX has dilated means since operator set 19, which is not written")
            );
        }
        let requant = self.model.requant(o);
        // A mean that counts its padding divides by the same number everywhere.
        let same = requant.len() > 1 && requant.iter().all(|r| r.mul == requant[0].mul);
        let mut how = window(o, x, y, false);
        how.push(int("count_include_pad", i64::from(same)));
        Ok(self.file.node("AveragePool", name, &[input], how))
    }

    /// Any function of one value: the results for all 256, looked up.
    fn table(&mut self, o: &OpRecord, name: &str, input: &str, x: &TensorRecord, y: &TensorRecord) -> Result<String> {
        let table = self.model.table(o).ok_or_else(|| Error::new("has no table"))?;
        let real: Vec<f32> = table.iter().map(|&q| (i32::from(q) - y.zero) as f32 * y.scale).collect();
        let real = self.file.floats(&format!("{name}.table"), &[256], &real);
        // From real values to places in the table: the integers less -128.
        let scale = self.file.floats(&format!("{name}.step"), &[], &[x.scale]);
        let zero = self.file.bytes_of(&format!("{name}.middle"), INT8, &[], &[x.zero as i8 as u8]);
        let first = self.file.bytes_of(&format!("{name}.first"), INT32, &[], &128i32.to_le_bytes());
        let q = self.file.node("QuantizeLinear", &format!("{name}.in"), &[input, &scale, &zero], vec![]);
        let wide = self.file.node("Cast", &format!("{name}.wide"), &[&q], vec![int("to", INT32 as i64)]);
        let place = self.file.node("Add", &format!("{name}.place"), &[&wide, &first], vec![]);
        Ok(self.file.node("Gather", name, &[&real, &place], vec![int("axis", 0)]))
    }
}

/// Attributes of a sliding window; its padding below and to the right follows from the shapes.
fn window(o: &OpRecord, x: &TensorRecord, y: &TensorRecord, dilations: bool) -> Vec<onnx_ir::AttributeProto> {
    let list = |v: [u16; 2]| v.map(i64::from);
    let after = |axis: usize, input: u32, output: u32| {
        let extent = (i64::from(o.kernel[axis]) - 1) * i64::from(o.dilation[axis]) + 1;
        ((i64::from(output) - 1) * i64::from(o.stride[axis]) + extent - i64::from(input) - i64::from(o.pad[axis]))
            .max(0)
    };
    let [top, left] = list(o.pad);
    let mut how = vec![
        ints("kernel_shape", &list(o.kernel)),
        ints("strides", &list(o.stride)),
        ints("pads", &[top, left, after(0, x.h, y.h), after(1, x.w, y.w)]),
    ];
    if dilations {
        how.push(ints("dilations", &list(o.dilation)));
    }
    how
}

#[cfg(test)]
mod tests;
