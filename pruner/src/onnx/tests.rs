//! Golden numbers, the round trip, operators on files made for the purpose, and hostile bytes.

use super::*;
use crate::graph::eval::eval_output;
use crate::graph::{Op, Shape, samples};
use crate::testing::shared_dir;
use onnx_ir::{AttributeProto, AttributeType, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use proptest::prelude::*;
use std::path::PathBuf;

mod operators;

/// Every network with its golden numbers.
fn shared_networks() -> Vec<(PathBuf, PathBuf)> {
    let Some(dir) = shared_dir() else { return vec![] };
    let torch = ["ecg_resnet1d", "face_mbv2", "face_resnet8", "har_cnn", "har_cnn_bn", "har_dscnn"];
    let tiny = ["ad_f32", "ic_f32", "kws_f32", "vww_f32"];
    let torch = torch.map(|n| (dir.join(format!("models/{n}.onnx")), dir.join(format!("golden/torch/{n}.npz"))));
    let tiny = tiny
        .map(|n| (dir.join(format!("models/mlperf_tiny/{n}.onnx")), dir.join(format!("golden/mlperf_tiny/{n}.npz"))));
    torch.into_iter().chain(tiny).collect()
}

fn array(path: &Path, name: &str) -> Vec<f32> {
    let mut archive = npyz::npz::NpzArchive::open(path).expect("archive");
    archive.by_name(name).expect("readable").expect("present").into_vec().expect("floats")
}

#[test]
fn golden_networks_evaluate_as_in_onnx_runtime() {
    for (model, golden) in shared_networks() {
        let graph = load(&model).expect("supported");
        let (x, y) = (array(&golden, "x"), array(&golden, "y"));
        let (width, classes) = (graph.input_shape().len(), graph.output_shape().len());
        assert_eq!(x.len() / width, y.len() / classes);
        let scale = y.iter().fold(1f32, |m, v| m.max(v.abs()));
        let mut worst = 0f32;
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact(classes)).take(24) {
            let got = eval_output(&graph, x);
            worst = got.iter().zip(y).fold(worst, |m, (a, b)| m.max((a - b).abs()));
        }
        println!("{}: {} nodes, {} MACs, error {worst:e}", graph.name, graph.nodes.len(), graph.macs());
        assert!(worst <= 1e-4 * scale, "{}: {worst}", model.display());
    }
}

#[test]
fn exported_networks_import_as_they_were() {
    for (model, _) in shared_networks() {
        let graph = load(&model).expect("supported");
        let bytes = to_bytes(&graph).expect("written");
        assert_eq!(from_bytes(&graph.name, &bytes).expect("supported"), graph, "{}", model.display());
    }
}

#[test]
fn save_and_load_by_path() {
    let dir = tempfile::tempdir().expect("a folder");
    let graph = samples::random_graph(7);
    let path = dir.path().join("sample.onnx");
    save(&graph, &path).expect("written");
    assert_eq!(load(&path).expect("read"), graph);
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1);
    let error = load(&dir.path().join("none.onnx")).expect_err("absent").to_string();
    assert!(error.contains("none.onnx"), "{error}");
}

proptest! {
    #[test]
    fn random_networks_survive_the_round_trip(seed in any::<u64>()) {
        let graph = samples::varied_graph(seed);
        let bytes = to_bytes(&graph).expect("written");
        prop_assert_eq!(from_bytes("sample", &bytes).expect("supported"), graph);
    }

    #[test]
    fn flipped_bytes_never_panic(seed in 0u64..64, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = to_bytes(&samples::varied_graph(seed)).expect("written");
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        let _ = from_bytes("flipped", &bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = from_bytes("random", &bytes);
    }
}

#[test]
fn cut_files_never_panic() {
    let bytes = to_bytes(&samples::varied_graph(11)).expect("written");
    for len in 0..bytes.len() {
        let _ = from_bytes("cut", &bytes[..len]);
    }
}

/// A file made node by node.
pub(crate) struct File {
    pub graph: GraphProto,
    opset: i64,
}

fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let mut info = ValueInfoProto { name: name.into(), ..Default::default() };
    let shape = info.type_.mut_or_insert_default().mut_tensor_type().shape.mut_or_insert_default();
    for &d in dims {
        shape.dim.push(Default::default());
        if let Some(dim) = shape.dim.last_mut().filter(|_| d >= 0) {
            dim.set_dim_value(d);
        }
    }
    info
}

pub(crate) fn ints(name: &str, v: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INTS.into(), ints: v.to_vec(), ..Default::default() }
}

pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INT.into(), i, ..Default::default() }
}

pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::FLOAT.into(), f, ..Default::default() }
}

pub(crate) fn text(name: &str, s: &str) -> AttributeProto {
    let s = s.as_bytes().to_vec().into();
    AttributeProto { name: name.into(), type_: AttributeType::STRING.into(), s, ..Default::default() }
}

impl File {
    /// A file with input `x` of these dimensions (-1 is free) and output `y`.
    pub fn new(dims: &[i64]) -> Self {
        let graph = GraphProto { input: vec![info("x", dims)], output: vec![info("y", &[])], ..Default::default() };
        File { graph, opset: 17 }
    }

    pub fn floats(mut self, name: &str, dims: &[i64], v: &[f32]) -> Self {
        let (dims, float_data) = (dims.to_vec(), v.to_vec());
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type: 1,
            float_data,
            ..Default::default()
        });
        self
    }

    pub fn ints(mut self, name: &str, v: &[i64]) -> Self {
        let (dims, int64_data) = (vec![v.len() as i64], v.to_vec());
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims,
            data_type: 7,
            int64_data,
            ..Default::default()
        });
        self
    }

    /// Adds a node called like its result in capitals.
    pub fn node(mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> Self {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: output.to_uppercase(),
            input: inputs.iter().map(|s| (*s).into()).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        });
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut model = ModelProto { graph: Some(self.graph).into(), ..Default::default() };
        model.opset_import.push(Default::default());
        model.opset_import[0].version = self.opset;
        model.write_to_bytes().expect("encodes")
    }

    fn import(self) -> Result<Graph> {
        from_bytes("made", &self.bytes())
    }

    fn graph(self) -> Graph {
        self.import().expect("supported")
    }

    /// The error, which must have all the words.
    fn refused(self, words: &[&str]) {
        let error = self.import().expect_err(words[0]).to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}\nlacks one of {words:?}");
    }
}

fn ops(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

#[test]
fn linear_layers_take_in_what_follows() {
    let w = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let graph = File::new(&[-1, 2])
        .floats("w", &[2, 3], &w)
        .floats("b", &[3], &[10.0, 20.0, 30.0])
        .floats("two", &[], &[2.0])
        .floats("shift", &[1, 3], &[0.5, 0.0, 0.0])
        .node("MatMul", &["x", "w"], "m", vec![])
        .node("Add", &["b", "m"], "a", vec![])
        .node("Mul", &["a", "two"], "t", vec![])
        .node("Sub", &["t", "shift"], "s", vec![])
        .node("Div", &["s", "two"], "y", vec![])
        .graph();
    assert_eq!(ops(&graph), ["Input", "Linear"]);
    assert_eq!(graph.nodes[1].name, "M");
    assert_eq!(eval_output(&graph, &[1.0, -1.0]), [6.75, 17.0, 27.0]);

    let graph = File::new(&[1, 2])
        .floats("w", &[2, 3], &w)
        .floats("b", &[1, 3], &[1.0, 2.0, 3.0])
        .node("Gemm", &["x", "w", "b"], "y", vec![float("alpha", 2.0), float("beta", 10.0)])
        .graph();
    assert_eq!(eval_output(&graph, &[1.0, -1.0]), [4.0, 14.0, 24.0]);
}

#[test]
fn arithmetic_behind_a_shared_layer_leaves_the_layer_alone() {
    let graph = File::new(&[1, 1, 3])
        .floats("w", &[2, 1, 1], &[1.0, 2.0])
        .floats("c", &[2, 1], &[3.0, 5.0])
        .node("Conv", &["x", "w"], "h", vec![])
        .node("Mul", &["h", "c"], "s", vec![])
        .node("Add", &["s", "h"], "y", vec![])
        .graph();
    assert_eq!(ops(&graph), ["Input", "Conv", "Conv", "Add"]);
    assert_eq!(eval_output(&graph, &[1.0, 2.0, 3.0]), [4.0, 8.0, 12.0, 12.0, 24.0, 36.0]);
}

#[test]
fn traces_of_exporters_disappear() {
    // TorchScript's x.view(x.size(0), -1), and an adaptive pool written as a mean.
    let graph = File::new(&[-1, 2, 4])
        .ints("zero", &[0])
        .ints("rest", &[-1])
        .ints("axis", &[0])
        .floats("w", &[2, 8], &[0.5; 16])
        .node("Shape", &["x"], "shape", vec![])
        .node("Gather", &["shape", "zero"], "n", vec![int("axis", 0)])
        .node("Concat", &["n", "rest"], "target", vec![int("axis", 0)])
        .node("Cast", &["x"], "f", vec![int("to", 1)])
        .node("Dropout", &["f"], "d", vec![])
        .node("Reshape", &["d", "target"], "flat", vec![])
        .node("Gemm", &["flat", "w"], "y", vec![int("transB", 1)])
        .graph();
    assert_eq!(ops(&graph), ["Input", "Flatten", "Linear"]);
    assert_eq!(graph.nodes[1].name, "FLAT");
    assert_eq!(eval_output(&graph, &[1.0; 8]), [4.0, 4.0]);

    // Flattened and put back.
    let graph = File::new(&[1, 2, 4])
        .ints("image", &[1, 2, 4])
        .node("Flatten", &["x"], "f", vec![])
        .node("Reshape", &["f", "image"], "i", vec![])
        .node("GlobalAveragePool", &["i"], "y", vec![])
        .graph();
    assert_eq!(ops(&graph), ["Input", "GlobalAvgPool"]);

    // A node that nothing reads may be anything.
    let graph = File::new(&[1, 2]).node("Wild", &["x"], "z", vec![]).node("Relu", &["x"], "y", vec![]).graph();
    assert_eq!(ops(&graph), ["Input", "ReLU"]);
}

#[test]
fn transposes_that_move_nothing_are_seen_through() {
    let to_last = || vec![ints("perm", &[0, 2, 3, 1])];
    let to_first = || vec![ints("perm", &[0, 3, 1, 2])];
    let graph = File::new(&[1, 2, 3, 4])
        .node("Transpose", &["x"], "t", to_last())
        .node("Relu", &["t"], "r", vec![])
        .node("Transpose", &["r"], "u", to_first())
        .node("MaxPool", &["u"], "p", vec![ints("kernel_shape", &[1, 1])])
        .node("Transpose", &["p"], "v", to_last())
        .node("ReduceMean", &["v"], "y", vec![ints("axes", &[1, -2]), int("keepdims", 0)])
        .graph();
    assert_eq!(ops(&graph), ["Input", "ReLU", "MaxPool", "GlobalAvgPool"]);

    File::new(&[1, 2, 3, 4])
        .node("Transpose", &["x"], "t", to_last())
        .node("MaxPool", &["t"], "y", vec![ints("kernel_shape", &[1, 1])])
        .refused(&["MaxPool", "\"Y\"", "\"T\"", "channels first"]);
    File::new(&[1, 2, 3, 4]).node("Transpose", &["x"], "y", to_last()).refused(&["\"Y\"", "channels first"]);
    let graph = File::new(&[1, 2, 1, 1]).node("Transpose", &["x"], "t", to_last()).node("Relu", &["t"], "y", vec![]);
    assert_eq!(ops(&graph.graph()), ["Input", "ReLU"]);
}

#[test]
fn clips_and_automatic_padding() {
    let mut old = File::new(&[1, 3]).node("Clip", &["x"], "y", vec![float("min", -1.0), float("max", 1.0)]);
    old.opset = 7;
    assert_eq!(eval_output(&old.graph(), &[-3.0, 0.5, 3.0]), [-1.0, 0.5, 1.0]);
    let new = File::new(&[1, 3]).floats("six", &[], &[6.0]).node("Clip", &["x", "", "six"], "y", vec![]).graph();
    assert_eq!(new.nodes[1].op, Op::Clip { lo: f32::NEG_INFINITY, hi: 6.0 });

    let pads = |mode: &str| {
        let attributes = vec![text("auto_pad", mode), ints("strides", &[2, 2]), ints("kernel_shape", &[3, 2])];
        let graph = File::new(&[1, 1, 8, 7])
            .floats("w", &[1, 1, 3, 2], &[1.0; 6])
            .node("Conv", &["x", "w"], "y", attributes)
            .graph();
        let Op::Conv(conv) = &graph.nodes[1].op else { unreachable!() };
        (conv.window.pad, graph.output_shape())
    };
    assert_eq!(pads("SAME_UPPER"), ([0, 0, 1, 1], Shape::new(1, 4, 4)));
    assert_eq!(pads("SAME_LOWER"), ([1, 1, 0, 0], Shape::new(1, 4, 4)));
    assert_eq!(pads("VALID"), ([0; 4], Shape::new(1, 3, 3)));

    let pool = |len: i64| {
        let attributes = vec![ints("kernel_shape", &[2]), ints("strides", &[2]), int("ceil_mode", 1)];
        File::new(&[1, 1, len]).node("MaxPool", &["x"], "y", attributes)
    };
    assert_eq!(pool(8).graph().output_shape(), Shape::new(1, 1, 4));
    pool(9).refused(&["MaxPool", "\"Y\"", "ceil_mode"]);
}

#[test]
fn what_is_not_supported_is_named_with_the_way_out() {
    let relu = |dims: &[i64]| File::new(dims).node("Relu", &["x"], "y", vec![]);
    File::new(&[1, 3]).node("Elu", &["x"], "y", vec![]).refused(&["Elu", "\"Y\"", "supported: Conv"]);
    relu(&[32, 3]).refused(&["\"x\"", "fixed at 32", "free batch"]);
    relu(&[-1, 3, -1]).refused(&["axis 2", "fixed sizes"]);
    relu(&[1, 2, 3, 4, 5]).refused(&["rank 5"]);
    relu(&[1, 1 << 40, 1 << 40]).refused(&["too large"]);
    let mut two = relu(&[1, 3]);
    two.graph.input.push(info("z", &[1, 3]));
    two.refused(&["2 inputs", "x, z", "one input"]);
    let mut two = relu(&[1, 3]);
    two.graph.output.push(info("z", &[1, 3]));
    two.refused(&["2 outputs", "y, z"]);
    let mut far = relu(&[1, 3]).floats("c", &[1], &[1.0]).node("Relu", &["c"], "unused", vec![]);
    far.graph.node.swap(0, 1);
    assert!(far.import().is_ok());
    let mut far = File::new(&[1, 3]).floats("w", &[3, 3], &[]).node("MatMul", &["x", "w"], "y", vec![]);
    far.graph.initializer[0].external_data.push(Default::default());
    far.refused(&["\"w\"", "another file", "one file"]);
    let mut old = relu(&[1, 3]);
    old.opset = 6;
    old.refused(&["operator set 6", "13"]);
    File::new(&[1, 3])
        .floats("m", &[1], &[0.5])
        .node("Sub", &["x", "m"], "y", vec![])
        .refused(&["Sub", "[input]", "contract"]);
    File::new(&[1, 3])
        .floats("m", &[1], &[0.5])
        .node("Relu", &["x"], "r", vec![])
        .node("Mul", &["r", "m"], "y", vec![])
        .refused(&["Mul", "right behind"]);
    File::new(&[1, 3])
        .node("LogSoftmax", &["x"], "s", vec![])
        .node("Relu", &["s"], "y", vec![])
        .refused(&["LogSoftmax", "end"]);
    File::new(&[1, 3]).ints("s", &[1, 4]).node("Reshape", &["x", "s"], "y", vec![]).refused(&["Reshape", "[1, 4]"]);
    File::new(&[1, 3])
        .floats("w", &[3, 1], &[f32::NAN; 3])
        .node("MatMul", &["x", "w"], "y", vec![])
        .refused(&["weight", "finite"]);
    File::new(&[1, 3]).floats("c", &[1], &[1.0]).node("Identity", &["c"], "y", vec![]).refused(&["does not depend"]);
    File::new(&[1, 3]).refused(&["\"y\"", "no node"]);
}

#[test]
fn constants_fold_as_numpy_does() {
    // The folded value becomes the bias of a layer, where it can be read.
    let fold = |nodes: &dyn Fn(File) -> File, want: &[f32]| {
        let file = File::new(&[1, 1])
            .floats("w", &[1, want.len() as i64], &vec![0.0; want.len()])
            .floats("six", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
            .floats("row", &[3], &[10.0, 20.0, 30.0]);
        let graph = nodes(file).node("Gemm", &["x", "w", "v"], "y", vec![]).graph();
        assert_eq!(eval_output(&graph, &[0.0]), want);
    };
    fold(
        &|f| f.node("Transpose", &["six"], "t", vec![]).ints("n", &[-1]).node("Reshape", &["t", "n"], "v", vec![]),
        &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0],
    );
    fold(
        &|f| f.node("Add", &["six", "row"], "t", vec![]).ints("n", &[-1]).node("Reshape", &["t", "n"], "v", vec![]),
        &[10.0, 21.0, 32.0, 13.0, 24.0, 35.0],
    );
    fold(
        &|f| f.ints("i", &[-1]).node("Gather", &["six", "i"], "t", vec![]).node("Squeeze", &["t"], "v", vec![]),
        &[3.0, 4.0, 5.0],
    );
    fold(
        &|f| {
            f.ints("from", &[i64::MAX])
                .ints("to", &[i64::MIN])
                .ints("axis", &[1])
                .ints("step", &[-2])
                .ints("n", &[-1])
                .node("Slice", &["six", "from", "to", "axis", "step"], "s", vec![])
                .node("Reshape", &["s", "n"], "v", vec![])
        },
        &[2.0, 0.0, 5.0, 3.0],
    );
    fold(
        &|f| {
            f.ints("zero", &[0])
                .ints("one", &[1])
                .ints("three", &[3])
                .node("Squeeze", &["zero"], "a", vec![])
                .node("Squeeze", &["three"], "b", vec![])
                .node("Squeeze", &["one"], "c", vec![])
                .node("Range", &["a", "b", "c"], "r", vec![])
                .node("Cast", &["r"], "f", vec![int("to", 1)])
                .node("Concat", &["f", "row"], "v", vec![int("axis", 0)])
        },
        &[0.0, 1.0, 2.0, 10.0, 20.0, 30.0],
    );
    fold(
        &|f| f.ints("n", &[2]).node("ConstantOfShape", &["n"], "z", vec![]).node("CastLike", &["z", "x"], "v", vec![]),
        &[0.0, 0.0],
    );
    fold(
        &|f| {
            f.node("Shape", &["six"], "s", vec![int("start", -1)])
                .node("Constant", &[], "c", vec![float("value_float", 7.0)])
                .node("Expand", &["c", "s"], "v", vec![])
        },
        &[7.0, 7.0, 7.0],
    );
}

#[test]
fn files_that_ask_for_the_impossible_are_refused() {
    let ask = |op: &str, dims: &[i64]| {
        File::new(&[1, 1])
            .ints("huge", dims)
            .floats("one", &[1], &[1.0])
            .node(op, if op == "Expand" { &["one", "huge"] } else { &["huge"] }, "c", vec![])
            .node("Add", &["x", "c"], "y", vec![])
    };
    ask("Expand", &[1 << 40]).refused(&["Expand", "size of the file"]);
    ask("ConstantOfShape", &[1 << 31, 1 << 31, 1 << 31]).refused(&["ConstantOfShape", "size of the file"]);
    File::new(&[1, 1])
        .floats("w", &[1 << 40, 1 << 40], &[1.0])
        .node("MatMul", &["x", "w"], "y", vec![])
        .refused(&["\"w\""]);
    // A cycle, a value made twice, nodes out of order.
    let cycle = File::new(&[1, 1]).node("Add", &["x", "y"], "z", vec![]).node("Relu", &["z"], "y", vec![]);
    cycle.refused(&["\"y\"", "topological"]);
    let twice = File::new(&[1, 1]).node("Relu", &["x"], "y", vec![]).node("Relu", &["x"], "y", vec![]);
    twice.refused(&["made twice"]);
    // A layer copied by every node of a long chain.
    let mut copies = File::new(&[1, 64]).floats("w", &[64, 64], &[0.1; 4096]).floats("half", &[], &[0.5]);
    copies = copies.node("MatMul", &["x", "w"], "v0", vec![]);
    for i in 0..5000 {
        copies = copies.node("Mul", &[&format!("v{i}"), "half"], &format!("v{}", i + 1), vec![]);
    }
    copies.node("Relu", &["v5000"], "y", vec![]).refused(&["size of the file"]);
    // Depth alone is no harm; too many nodes are refused.
    let chain = |n: usize| {
        let mut file = File::new(&[1, 1]);
        for i in 0..n {
            let from = if i == 0 { "x".into() } else { format!("v{i}") };
            let to = if i + 1 == n { "y".into() } else { format!("v{}", i + 1) };
            file = file.node("Relu", &[&from], &to, vec![]);
        }
        file
    };
    assert_eq!(chain(5000).graph().nodes.len(), 5001);
    chain(MAX_NODES + 1).refused(&["nodes"]);
}
