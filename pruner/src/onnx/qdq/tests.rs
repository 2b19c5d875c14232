//! Quantised files made for the purpose: what they become, and what is refused.

use crate::graph::eval::eval_output;
use crate::graph::{Op, Shape};
use crate::onnx::tests::{File, float, int, ints};
use crate::onnx::{Marked, quantised_from_bytes};
use crate::quant::{QGraph, QOp, dequantise, from_marks, quantise_input, simulate};
use onnx_ir::TensorProto;
use proptest::prelude::*;

/// Element types of ONNX.
const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;

impl File {
    /// A constant of small integers.
    fn small(mut self, name: &str, kind: i32, dims: &[i64], v: &[i32]) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: kind,
            int32_data: v.to_vec(),
            ..Default::default()
        });
        self
    }

    /// `from` through QuantizeLinear and DequantizeLinear; the nodes are `{to}_q` and `to`, in capitals.
    fn pair(self, from: &str, to: &str, scale: f32, kind: i32, zero: i32) -> Self {
        let (s, z, q) = (format!("{to}_s"), format!("{to}_z"), format!("{to}_q"));
        self.floats(&s, &[], &[scale])
            .small(&z, kind, &[], &[zero])
            .node("QuantizeLinear", &[from, &s, &z], &q, vec![])
            .node("DequantizeLinear", &[&q, &s, &z], to, vec![])
    }

    /// A dequantised int8 constant `name` with scales along `axis`.
    fn weight(self, name: &str, dims: &[i64], values: &[i32], scales: &[f32], axis: i64) -> Self {
        let (w, s) = (format!("{name}_w"), format!("{name}_s"));
        let per_channel = [scales.len() as i64];
        self.small(&w, INT8, dims, values)
            .floats(&s, if scales.len() == 1 { &[] } else { &per_channel }, scales)
            .small(
                &format!("{name}_z"),
                INT8,
                if scales.len() == 1 { &[] } else { &per_channel },
                &vec![0; scales.len()],
            )
            .node("DequantizeLinear", &[&w, &s, &format!("{name}_z")], name, vec![int("axis", axis)])
    }

    fn marked(self) -> Marked {
        quantised_from_bytes("made", &self.bytes()).expect("read").expect("quantised")
    }

    fn quantised(self) -> (Marked, QGraph) {
        let marked = self.marked();
        let q = from_marks(&marked, vec![]).expect("integers");
        (marked, q)
    }

    /// The error of reading or of making integers, which must have all the words.
    fn no_qdq(self, words: &[&str]) {
        let result =
            quantised_from_bytes("made", &self.bytes()).and_then(|m| from_marks(&m.expect("quantised"), vec![]));
        let error = result.expect_err(words[0]).to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}\nlacks one of {words:?}");
    }
}

fn numbers(n: usize, seed: i32) -> Vec<i32> {
    (0..n as i32).map(|i| (i * 37 + seed * 91 + i * i * 13).rem_euclid(255) - 127).collect()
}

fn row(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 29 + seed * 17) % 41) as f32 / 20.0 - 1.0).collect()
}

/// The integers stand for the real values, to `steps` steps of the result.
fn agree((marked, q): &(Marked, QGraph), steps: f32) {
    for seed in 0..5 {
        let x = row(q.nodes[0].shape.len(), seed);
        let (want, out) = (eval_output(&marked.graph, &x), &q.nodes[q.output]);
        let got = dequantise(out.out, &simulate(q, &quantise_input(q, &x))[q.output]);
        let (shape, pixels) = (out.shape, out.shape.h * out.shape.w);
        assert_eq!(want.len(), got.len());
        for (i, want) in want.iter().enumerate() {
            let got = got[i % pixels * shape.c + i / pixels];
            assert!((want - got).abs() <= steps * out.out.scale, "{i}: {want} {got}");
        }
    }
}

fn ops(q: &QGraph) -> Vec<&'static str> {
    let name = |op: &QOp| match op {
        QOp::Input => "Input",
        QOp::Conv { .. } => "Conv",
        QOp::Linear(_) => "Linear",
        QOp::Add { .. } => "Add",
        QOp::MaxPool(_) => "MaxPool",
        QOp::AvgPool { .. } => "AvgPool",
        QOp::Softmax { .. } => "Softmax",
        QOp::Mul { .. } => "Mul",
        QOp::Lut(_) => "Lut",
        QOp::Resize(_) => "Resize",
        QOp::Slice(_) => "Slice",
        QOp::Pad(_) => "Pad",
        QOp::Concat => "Concat",
    };
    q.nodes.iter().map(|n| name(&n.op)).collect()
}

/// A convolution of images with a Pad, a clip, a maximum, a flattened Linear.
fn image(kind: i32) -> File {
    let zero = |z: i32| if kind == UINT8 { z + 128 } else { z };
    File::new(&[1, 2, 5, 4])
        .ints("pads", &[0, 0, 1, 0, 0, 0, 0, 1])
        .floats("lo", &[], &[0.0])
        .floats("hi", &[], &[1.5])
        .pair("x", "a", 1.0 / 64.0, kind, zero(-3))
        .weight("w", &[3, 2, 2, 2], &numbers(24, 1), &[0.004, 0.002, 0.003], 0)
        .node("Pad", &["a", "pads"], "p", vec![])
        .node("Conv", &["p", "w"], "c", vec![ints("kernel_shape", &[2, 2])])
        .node("Clip", &["c", "lo", "hi"], "r", vec![])
        .pair("r", "b", 1.5 / 255.0, kind, zero(-128))
        .node("MaxPool", &["b"], "m", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[1, 2])])
        .pair("m", "d", 1.5 / 255.0, kind, zero(-128))
        .node("Flatten", &["d"], "f", vec![])
        .weight("v", &[24, 5], &numbers(120, 2), &[0.005], 0)
        .small("bias", INT32, &[5], &[100, -2000, 30, 0, 9000])
        .floats("bias_s", &[], &[0.005 * 1.5 / 255.0])
        .node("DequantizeLinear", &["bias", "bias_s"], "bias_d", vec![])
        .node("Gemm", &["f", "v", "bias_d"], "g", vec![])
        .pair("g", "y", 0.05, kind, zero(7))
}

#[test]
fn images_with_padding_clips_and_flattened_layers() {
    for kind in [INT8, UINT8] {
        let made = image(kind).quantised();
        assert_eq!(ops(&made.1), ["Input", "Conv", "MaxPool", "Linear"]);
        let q = &made.1;
        assert_eq!((q.nodes[0].out.zero, q.nodes[3].out.zero, q.nodes[3].out.scale), (-3, 7, 0.05));
        assert_eq!((q.nodes[1].name.as_str(), q.nodes[1].clamp), ("C", (-128, 127)));
        assert!(matches!(q.nodes[1].op, QOp::Conv { window, .. } if window.pad == [1, 0, 0, 1]));
        agree(&made, 4.0);
    }
    assert_eq!(image(INT8).quantised().1, image(UINT8).quantised().1);
}

#[test]
fn groups_sums_means_and_requantisation() {
    let made = File::new(&[-1, 4, 6])
        .pair("x", "a", 1.0 / 100.0, INT8, 5)
        .weight("w", &[4, 1, 3], &numbers(12, 3), &[0.01, 0.002, 0.004, 0.007], 0)
        .floats("real", &[4], &[0.5, -0.25, 0.0, 1.0])
        .node("Conv", &["a", "w", "real"], "c", vec![int("group", 4), ints("pads", &[1, 1])])
        .pair("c", "b", 0.02, INT8, 0)
        .node("Add", &["a", "b"], "s", vec![])
        .node("Relu", &["s"], "r", vec![])
        .pair("r", "d", 0.013, INT8, -128)
        .weight("v", &[6, 2, 1], &numbers(12, 4), &[0.006], 0)
        .node("Conv", &["d", "v"], "e", vec![int("group", 2)])
        .pair("e", "g", 0.03, INT8, 1)
        .pair("g", "h", 0.04, INT8, -2)
        .node("GlobalAveragePool", &["h"], "m", vec![])
        .pair("m", "n", 0.02, INT8, 3)
        .ints("axes", &[2])
        .node("Squeeze", &["n", "axes"], "o", vec![])
        .weight("u", &[6, 3], &numbers(18, 5), &[0.005, 0.01, 0.02], 1)
        .floats("shift", &[3], &[0.1, 0.2, -0.3])
        .node("MatMul", &["o", "u"], "t", vec![])
        .node("Add", &["t", "shift"], "k", vec![])
        .pair("k", "y", 0.02, INT8, 0)
        .quantised();
    assert_eq!(ops(&made.1), ["Input", "Conv", "Add", "Conv", "AvgPool", "AvgPool", "Linear"]);
    assert_eq!(made.1.input_rank, 2);
    agree(&made, 5.0);
}

/// Between QuantizeLinear and DequantizeLinear, elements may move, and the maximum is that of the integers.
#[test]
fn integers_move_and_constants_quantise() {
    let made = File::new(&[1, 3, 2, 2])
        .floats("s", &[], &[0.01])
        .small("z", INT8, &[], &[4])
        .node("QuantizeLinear", &["x", "s", "z"], "q", vec![])
        .node("MaxPool", &["q"], "m", vec![ints("kernel_shape", &[1, 2])])
        .ints("flat", &[1, -1])
        .node("Reshape", &["m", "flat"], "f", vec![])
        .node("DequantizeLinear", &["f", "s", "z"], "a", vec![])
        .floats("real", &[2, 6], &row(12, 7))
        .floats("ws", &[2], &[0.01, 0.009])
        .small("wz", INT8, &[2], &[0, 0])
        .node("QuantizeLinear", &["real", "ws", "wz"], "wq", vec![int("axis", 0)])
        .node("DequantizeLinear", &["wq", "ws", "wz"], "wd", vec![int("axis", 0)])
        .node("Transpose", &["wd"], "w", vec![ints("perm", &[1, 0])])
        .node("MatMul", &["a", "w"], "l", vec![])
        .pair("l", "y", 0.03, INT8, 0)
        .quantised();
    assert_eq!(ops(&made.1), ["Input", "MaxPool", "Linear"]);
    assert_eq!(made.1.nodes[1].shape, Shape::new(3, 2, 1));
    agree(&made, 2.0);

    // The network's input and result may be integers themselves.
    let mut file = File::new(&[1, 3]).floats("s", &[], &[0.01]);
    file.graph.input[0].type_.mut_or_insert_default().mut_tensor_type().elem_type = INT8;
    let (_, q) = file
        .node("DequantizeLinear", &["x", "s"], "a", vec![])
        .weight("w", &[3, 2], &numbers(6, 1), &[0.01], 0)
        .node("Gemm", &["a", "w"], "g", vec![])
        .small("z", INT8, &[], &[9])
        .node("QuantizeLinear", &["g", "s", "z"], "y", vec![])
        .quantised();
    assert_eq!((q.nodes[0].out.zero, q.nodes[1].out.zero), (0, 9));
}

#[test]
fn zero_points_default_to_zero_of_uint8() {
    let file = File::new(&[1, 3])
        .floats("s", &[], &[0.01])
        .node("QuantizeLinear", &["x", "s"], "q", vec![])
        .node("DequantizeLinear", &["q", "s"], "a", vec![])
        .node("Relu", &["a"], "r", vec![])
        .node("QuantizeLinear", &["r", "s"], "y", vec![]);
    let (marked, q) = file.quantised();
    // Such integers have no negative values, so ReLU changes nothing.
    assert_eq!((q.nodes[0].out.zero, ops(&q)), (-128, vec!["Input"]));
    assert!(matches!(marked.graph.nodes[1].op, Op::Clip { lo: 0.0, .. }));
}

#[test]
fn softmax_has_one_quantisation() {
    let softmax = |scale: f32, kind: i32, zero: i32| {
        File::new(&[1, 4])
            .pair("x", "a", 0.1, INT8, 0)
            .node("Softmax", &["a"], "s", vec![int("axis", -1)])
            .pair("s", "y", scale, kind, zero)
    };
    let (_, q) = softmax(1.0 / 256.0, UINT8, 0).quantised();
    let y: [i8; 4] = simulate(&q, &[0, 10, -100, 10])[1][..].try_into().expect("four");
    // e / (2e + 1 + e^-10) and so on, in 256ths.
    assert_eq!(y.map(|v| i32::from(v) + 128), [40, 108, 0, 108]);
    softmax(0.01, INT8, -128).no_qdq(&["Softmax", "'S'", "1/256"]);
    softmax(1.0 / 256.0, INT8, 0).no_qdq(&["Softmax", "'S'", "zero point"]);
}

/// A layer between marks, where one thing is wrong.
fn layer() -> File {
    File::new(&[1, 2]).pair("x", "a", 0.1, INT8, 0)
}

#[test]
fn what_is_not_quantised_is_named() {
    let w = |f: File| f.weight("w", &[2, 2], &[1, 2, 3, 4], &[0.1], 0);
    // Weights, inputs, results.
    layer()
        .floats("w", &[2, 2], &[1.0; 4])
        .node("Gemm", &["a", "w"], "g", vec![])
        .pair("g", "y", 0.1, INT8, 0)
        .no_qdq(&["Gemm node \"G\"", "\"w\" is not quantised", "help: "]);
    w(layer()).node("Gemm", &["a", "w"], "y", vec![]).no_qdq(&["Linear 'Y'", "not quantised", "--data"]);
    w(layer())
        .node("Gemm", &["a", "w"], "g", vec![])
        .node("Relu", &["g"], "r", vec![])
        .node("Gemm", &["r", "w"], "h", vec![])
        .pair("h", "y", 0.1, INT8, 0)
        .no_qdq(&["Linear 'H'", "ReLU 'R'", "not quantised"]);
    w(File::new(&[1, 2])).node("Gemm", &["x", "w"], "g", vec![]).pair("g", "y", 0.1, INT8, 0).no_qdq(&[
        "Linear 'G'",
        "Input 'x'",
        "not quantised",
    ]);
    w(layer()).node("Gemm", &["a_q", "w"], "g", vec![]).pair("g", "y", 0.1, INT8, 0).no_qdq(&[
        "Gemm node \"G\"",
        "integers \"a_q\"",
        "DequantizeLinear",
    ]);
    layer().node("DequantizeLinear", &["a", "a_s", "a_z"], "y", vec![]).no_qdq(&["\"Y\"", "\"a\"", "not quantised"]);
    layer().node("QuantizeLinear", &["a_q", "a_s", "a_z"], "y", vec![]).no_qdq(&["\"Y\"", "already"]);
    // A clip of the input, and an input quantised twice.
    File::new(&[1, 2]).node("Relu", &["x"], "r", vec![]).pair("r", "y", 0.1, INT8, 0).no_qdq(&["input is clipped"]);
    layer()
        .pair("x", "b", 0.2, INT8, 0)
        .node("Add", &["a", "b"], "s", vec![])
        .pair("s", "y", 0.1, INT8, 0)
        .no_qdq(&["twice"]);
    // Arithmetic on weights after they were quantised.
    w(layer())
        .node("Gemm", &["a", "w"], "g", vec![float("alpha", 0.3)])
        .pair("g", "y", 0.1, INT8, 0)
        .no_qdq(&["Linear 'G'", "multiples of its scale"]);
}

#[test]
fn wrong_scales_and_zero_points_are_named() {
    let end = |f: File| f.node("Gemm", &["a", "w"], "g", vec![]).pair("g", "y", 0.1, INT8, 0);
    let weight = |scales: &[f32], axis| end(layer().weight("w", &[2, 2], &[1, 2, 3, 4], scales, axis));
    let (marked, _) = weight(&[0.1, 0.2], 1).quantised();
    assert_eq!(marked.scales.values().next(), Some(&vec![0.1, 0.2]));
    weight(&[0.1, 0.2], 0).no_qdq(&["Gemm node \"G\"", "axis 0", "axis 1"]);
    weight(&[0.1, 0.2, 0.3], 1).no_qdq(&["DequantizeLinear node \"W\"", "3 scales", "axis 1"]);
    weight(&[0.1, 0.2], 2).no_qdq(&["DequantizeLinear node \"W\"", "axis 2 of rank 2"]);
    weight(&[0.0], 0).no_qdq(&["\"W\"", "a scale of 0"]);
    weight(&[f32::INFINITY], 0).no_qdq(&["\"W\"", "finite"]);
    weight(&[0.1, f32::NAN], 1).no_qdq(&["\"W\"", "finite"]);
    // Weights with a zero point; none at all is uint8's 0 where the weights say nothing else.
    let asymmetric = |kind: i32, zero: i32| {
        end(layer()
            .small("wq", kind, &[2, 2], &[1, 2, 3, 4])
            .floats("ws", &[], &[0.1])
            .small("wz", kind, &[], &[zero])
            .node("DequantizeLinear", &["wq", "ws", "wz"], "w", vec![]))
    };
    asymmetric(INT8, 3).no_qdq(&["Gemm node \"G\"", "\"w\"", "symmetric"]);
    asymmetric(UINT8, 0).no_qdq(&["Gemm node \"G\"", "symmetric"]);
    asymmetric(UINT8, 128).quantised();
    let bare = end(layer().small("wq", INT8, &[2, 2], &[1, 2, 3, 4]).floats("ws", &[], &[0.1]).node(
        "DequantizeLinear",
        &["wq", "ws"],
        "w",
        vec![],
    ));
    bare.quantised();

    // Scales that are no constants, or not one.
    File::new(&[1, 1])
        .node("QuantizeLinear", &["x", "x"], "q", vec![])
        .node("DequantizeLinear", &["q", "x"], "y", vec![])
        .no_qdq(&["QuantizeLinear node \"Q\"", "scale depends", "help: "]);
    File::new(&[1, 2]).floats("s", &[2], &[0.1, 0.2]).node("QuantizeLinear", &["x", "s"], "y", vec![]).no_qdq(&[
        "QuantizeLinear node \"Y\"",
        "2 scales",
        "per tensor",
    ]);
    File::new(&[1, 2])
        .floats("s", &[], &[0.1])
        .small("z", INT8, &[2], &[0, 0])
        .node("QuantizeLinear", &["x", "s", "z"], "y", vec![])
        .no_qdq(&["\"Y\"", "1 scales and 2 zero points"]);
    File::new(&[1, 2]).pair("x", "y", 0.1, 5, 0).no_qdq(&["\"Y_Q\"", "element type 5", "int8"]);
    File::new(&[1, 2]).node("QuantizeLinear", &["x"], "y", vec![]).no_qdq(&["\"Y\"", "scale is missing"]);
    layer().floats("other", &[], &[0.3]).node("DequantizeLinear", &["a_q", "other", "a_z"], "y", vec![]).no_qdq(&[
        "DequantizeLinear node \"Y\"",
        "\"a_q\"",
        "alike",
    ]);
    // A result that is a million times finer than its inputs.
    layer()
        .node("Relu", &["a"], "r", vec![])
        .pair("r", "y", 1e-8, INT8, 0)
        .no_qdq(&["QuantizeLinear 'Y_Q'", "too small"]);
}

#[test]
fn pads_belong_to_a_convolution() {
    let padded = |f: File, pads: &[i64]| f.ints("pads", pads).node("Pad", &["a", "pads"], "p", vec![]);
    let start = || File::new(&[1, 1, 4]).pair("x", "a", 0.1, INT8, 3);
    let conv = |f: File, from: &str| {
        f.weight("w", &[1, 1, 3], &[1, 2, 3], &[0.1], 0)
            .node("Conv", &[from, "w"], "c", vec![ints("pads", &[1, 0])])
            .pair("c", "y", 0.1, INT8, 0)
    };
    // Quantised like what is before it, a padded value is the same integers and zeros.
    let made = conv(padded(start(), &[0, 0, 1, 0, 0, 2]).pair("p", "b", 0.1, INT8, 3), "b").quantised();
    assert_eq!((made.1.nodes[1].shape, ops(&made.1)), (Shape::new(1, 1, 6), vec!["Input", "Conv"]));
    agree(&made, 2.0);
    conv(padded(start(), &[0, 0, 1, 0, 0, 2]).pair("p", "b", 0.2, INT8, 3), "b").no_qdq(&["\"B_Q\"", "Pad"]);
    conv(padded(start(), &[0, 1, 1, 0, 0, 2]), "p").no_qdq(&["Pad node \"P\"", "pads of"]);
    conv(padded(start(), &[0, 0, -1, 0, 0, 2]), "p").no_qdq(&["Pad node \"P\"", "pads of"]);
    padded(start(), &[0, 0, 1, 0, 0, 1])
        .node("MaxPool", &["p"], "m", vec![ints("kernel_shape", &[2])])
        .pair("m", "y", 0.1, INT8, 0)
        .no_qdq(&["MaxPool node \"M\"", "only Conv"]);
}

#[test]
fn networks_without_quantisation_are_left_to_others() {
    let plain = File::new(&[1, 2]).node("Relu", &["x"], "y", vec![]);
    assert!(quantised_from_bytes("made", &plain.bytes()).expect("read").is_none());
    assert!(quantised_from_bytes("made", b"none").is_err());
    let error = crate::onnx::from_bytes("made", &image(INT8).bytes()).expect_err("quantised").to_string();
    assert!(error.contains("quantised already") && error.contains("evenkeel compile"), "{error}");
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = image(INT8).bytes();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Ok(Some(marked)) = quantised_from_bytes("flipped", &bytes)
            && let Ok(q) = from_marks(&marked, vec![])
            && q.nodes[0].shape.len() < 1 << 12
        {
            simulate(&q, &vec![1; q.nodes[0].shape.len()]);
        }
    }
}
