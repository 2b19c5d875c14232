//! Branches, products, activations and movers on files made for the purpose.

use super::*;
use crate::graph::{Activation, Axis};

fn numbers(n: usize) -> Vec<f32> {
    (1..=n).map(|v| v as f32).collect()
}

/// The last operator of a network that should have no others.
fn only(graph: &Graph) -> &Op {
    assert_eq!(graph.nodes.len(), 2, "{:?}", ops(graph));
    &graph.nodes[1].op
}

#[test]
fn patterns_of_exporters_are_one_activation() {
    let file = || {
        File::new(&[1, 4])
            .floats("three", &[], &[3.0])
            .floats("zero", &[], &[0.0])
            .floats("six", &[], &[6.0])
            .floats("sixth", &[1], &[1.0 / 6.0])
            .floats("root", &[], &[std::f32::consts::SQRT_2])
            .floats("half", &[], &[0.5])
            .node("Constant", &[], "one", vec![float("value_float", 1.0)])
    };
    let ramp = || file().node("Add", &["three", "x"], "a", vec![]).node("Clip", &["a", "zero", "six"], "r", vec![]);
    let erf = || {
        let file = file().node("Div", &["x", "root"], "d", vec![]).node("Erf", &["d"], "e", vec![]);
        file.node("Add", &["e", "one"], "g", vec![])
    };
    let slope = vec![float("alpha", 1.0 / 6.0)];
    let hard = Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 };
    let cases = [
        (file().node("Sigmoid", &["x"], "s", vec![]).node("Mul", &["x", "s"], "y", vec![]), Activation::Silu),
        (file().node("Sigmoid", &["x"], "s", vec![]).node("Mul", &["s", "x"], "y", vec![]), Activation::Silu),
        (file().node("HardSigmoid", &["x"], "s", slope).node("Mul", &["x", "s"], "y", vec![]), Activation::HardSwish),
        (ramp().node("Div", &["r", "six"], "y", vec![]), hard),
        (ramp().node("Mul", &["sixth", "r"], "y", vec![]), hard),
        (ramp().node("Div", &["r", "six"], "s", vec![]).node("Mul", &["x", "s"], "y", vec![]), Activation::HardSwish),
        (ramp().node("Mul", &["x", "r"], "m", vec![]).node("Div", &["m", "six"], "y", vec![]), Activation::HardSwish),
        (erf().node("Mul", &["x", "g"], "m", vec![]).node("Mul", &["m", "half"], "y", vec![]), Activation::Gelu),
        (erf().node("Mul", &["half", "g"], "m", vec![]).node("Mul", &["x", "m"], "y", vec![]), Activation::Gelu),
        (erf().node("Mul", &["x", "half"], "m", vec![]).node("Mul", &["m", "g"], "y", vec![]), Activation::Gelu),
    ];
    for (file, want) in cases {
        let graph = file.graph();
        assert_eq!((only(&graph), graph.nodes[1].name.as_str()), (&Op::Activation(want), "Y"));
    }
}

#[test]
fn what_only_looks_like_a_pattern_stays() {
    // The sigmoid of something else; a sigmoid that others read; a product that happens to be gated.
    let graph = File::new(&[1, 2])
        .node("Tanh", &["x"], "t", vec![])
        .node("Sigmoid", &["t"], "s", vec![])
        .node("Mul", &["x", "s"], "y", vec![])
        .graph();
    assert_eq!(ops(&graph), ["Input", "Tanh", "Sigmoid", "Mul"]);
    let graph = File::new(&[1, 2])
        .node("Sigmoid", &["x"], "s", vec![])
        .node("Mul", &["x", "s"], "m", vec![])
        .node("Add", &["m", "s"], "y", vec![])
        .graph();
    assert_eq!(ops(&graph), ["Input", "Sigmoid", "SiLU", "Add"]);
    let graph = File::new(&[1, 2])
        .node("Tanh", &["x"], "t", vec![])
        .node("Mul", &["x", "t"], "m", vec![])
        .node("Sigmoid", &["m"], "s", vec![])
        .node("Mul", &["m", "s"], "y", vec![])
        .graph();
    assert_eq!(ops(&graph), ["Input", "Tanh", "Mul", "SiLU"]);
    // 5 is no hard swish, and a constant added to an activation has no form of its own.
    File::new(&[1, 2])
        .floats("five", &[], &[5.0])
        .floats("zero", &[], &[0.0])
        .node("Tanh", &["x"], "t", vec![])
        .node("Add", &["t", "five"], "a", vec![])
        .node("Clip", &["a", "zero", "five"], "c", vec![])
        .node("Mul", &["t", "c"], "y", vec![])
        .refused(&["Add", "right behind"]);
}

#[test]
fn activations_by_name() {
    let one = |op: &str, attributes: Vec<AttributeProto>| {
        let graph = File::new(&[1, 2, 3]).floats("slope", &[1], &[0.25]).node(op, &["x"], "y", attributes).graph();
        only(&graph).clone()
    };
    assert_eq!(one("Sigmoid", vec![]), Op::Activation(Activation::Sigmoid));
    assert_eq!(one("Tanh", vec![]), Op::Activation(Activation::Tanh));
    assert_eq!(one("HardSigmoid", vec![]), Op::Activation(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }));
    assert_eq!(one("HardSwish", vec![]), Op::Activation(Activation::HardSwish));
    assert_eq!(one("Swish", vec![]), Op::Activation(Activation::Silu));
    assert_eq!(one("LeakyRelu", vec![]), Op::Activation(Activation::LeakyRelu { slope: 0.01 }));
    assert_eq!(one("Gelu", vec![]), Op::Activation(Activation::Gelu));
    let graph = File::new(&[1, 2]).floats("s", &[1], &[0.25]).node("PRelu", &["x", "s"], "y", vec![]).graph();
    assert_eq!(*only(&graph), Op::Activation(Activation::LeakyRelu { slope: 0.25 }));
    let refuse = |op: &str, attributes, words: &[&str]| {
        File::new(&[1, 2]).node(op, &["x"], "y", attributes).refused(words);
    };
    refuse("Gelu", vec![text("approximate", "tanh")], &["Gelu", "\"Y\""]);
    refuse("LeakyRelu", vec![float("alpha", f32::NAN)], &["LeakyRelu", "not finite"]);
    // A softmax may stand anywhere.
    let graph = File::new(&[1, 2]).node("Softmax", &["x"], "s", vec![]).node("Tanh", &["s"], "y", vec![]).graph();
    assert_eq!(ops(&graph), ["Input", "Softmax", "Tanh"]);
}

#[test]
fn channels_are_joined_and_gated() {
    let graph = File::new(&[1, 2, 2, 2])
        .node("GlobalAveragePool", &["x"], "p", vec![])
        .node("Sigmoid", &["p"], "s", vec![])
        .node("Mul", &["s", "x"], "m", vec![])
        .node("Concat", &["m", "x", "m"], "y", vec![int("axis", -3)])
        .graph();
    assert_eq!(ops(&graph), ["Input", "GlobalAvgPool", "Sigmoid", "Mul", "Concat"]);
    // The factors come second, whatever the file's order.
    assert_eq!(graph.nodes[3].inputs, [0, 2]);
    assert_eq!(graph.output_shape(), Shape::new(6, 2, 2));
    let y = eval_output(&graph, &numbers(8));
    assert_eq!(y[8..16], numbers(8)[..]);
    assert!((y[0] - 1.0 / (1.0 + (-2.5f32).exp())).abs() < 1e-6 && y[..8] == y[16..]);

    let vectors = File::new(&[1, 3]).node("Concat", &["x", "x"], "y", vec![int("axis", 1)]).graph();
    assert_eq!(vectors.output_shape(), Shape::vector(6));

    let image = || File::new(&[1, 2, 4, 4]).floats("c", &[1, 2, 4, 4], &numbers(32));
    image().node("Concat", &["x", "x"], "y", vec![int("axis", 2)]).refused(&["Concat", "axis 2"]);
    image().node("Concat", &["x", "c"], "y", vec![int("axis", 1)]).refused(&["Concat", "constant"]);
    let half = || image().node("MaxPool", &["x"], "p", vec![ints("kernel_shape", &[2, 2])]);
    half().node("Concat", &["x", "p"], "y", vec![int("axis", 1)]).refused(&["Concat", "join"]);
    half().node("Mul", &["x", "p"], "y", vec![]).refused(&["Mul", "per channel"]);
    half().node("Div", &["x", "x"], "y", vec![]).refused(&["Div", "two activations"]);
}

#[test]
fn slices_and_splits() {
    let slice = |dims: &[i64], ranges: [&[i64]; 4]| {
        let [begin, end, axes, steps] = ranges;
        File::new(dims).ints("b", begin).ints("e", end).ints("a", axes).ints("s", steps).node(
            "Slice",
            &["x", "b", "e", "a", "s"],
            "y",
            vec![],
        )
    };
    let graph = slice(&[1, 4, 2, 2], [&[1], &[i64::MAX], &[1], &[1]]).graph();
    assert_eq!(*only(&graph), Op::Slice { axis: Axis::C, begin: 1, len: 3 });
    let graph = slice(&[1, 2, 5], [&[0, -3], &[1, -1], &[0, -1], &[1, 1]]).graph();
    assert_eq!(*only(&graph), Op::Slice { axis: Axis::W, begin: 2, len: 2 });
    let graph = slice(&[1, 1, 3, 3], [&[1, 0], &[3, 2], &[2, 3], &[1, 1]]).graph();
    assert_eq!(eval_output(&graph, &numbers(9)), [4.0, 5.0, 7.0, 8.0]);
    assert_eq!(ops(&slice(&[1, 4], [&[0], &[9], &[1], &[1]]).graph()), ["Input"]);
    slice(&[1, 4], [&[0], &[4], &[1], &[2]]).refused(&["Slice", "step of 2"]);
    slice(&[1, 4], [&[3], &[2], &[1], &[1]]).refused(&["Slice", "nothing is left"]);
    slice(&[1, 4], [&[1], &[4], &[0], &[1]]).refused(&["Slice", "nothing is left of axis 0"]);
    let mut old = File::new(&[1, 4]).node("Slice", &["x"], "y", vec![ints("starts", &[2]), ints("ends", &[4])]);
    old.opset = 9;
    old.graph.node[0].attribute.push(ints("axes", &[1]));
    assert_eq!(eval_output(&old.graph(), &numbers(4)), [3.0, 4.0]);

    let split = |attributes: Vec<AttributeProto>, inputs: &[&str]| {
        let mut file = File::new(&[1, 5]).ints("sizes", &[2, 3]).node("Split", inputs, "p", attributes);
        file.graph.node[0].output.push("q".into());
        file.node("Tanh", &["q"], "t", vec![]).node("Concat", &["t", "p"], "y", vec![int("axis", 1)])
    };
    let graph = split(vec![int("axis", 1)], &["x", "sizes"]).graph();
    assert_eq!(ops(&graph), ["Input", "Slice", "Slice", "Tanh", "Concat"]);
    assert_eq!(graph.nodes[1].name, "P.0");
    assert_eq!(eval_output(&graph, &numbers(5))[3..], [1.0, 2.0]);
    // Equal parts, the last one smaller.
    assert_eq!(eval_output(&split(vec![int("axis", 1)], &["x"]).graph(), &numbers(5))[2..], [1.0, 2.0, 3.0]);
    split(vec![], &["x"]).refused(&["Split", "axis 0 of 1"]);
    split(vec![int("axis", 1), ints("split", &[2, 2])], &["x"]).refused(&["Split", "make up"]);
}

#[test]
fn borders_go_into_what_reads_them_or_stay() {
    let pad = |pads: &[i64], value: f32| {
        File::new(&[1, 1, 3, 4])
            .ints("pads", pads)
            .floats("v", &[], &[value])
            .floats("w", &[1, 1, 2, 2], &[1.0; 4])
            .node("Pad", &["x", "pads", "v"], "p", vec![])
            .node("Conv", &["p", "w"], "y", vec![])
    };
    let graph = pad(&[0, 0, 1, 2, 0, 0, 0, 3], 0.0).graph();
    let Op::Conv(conv) = only(&graph) else { unreachable!() };
    assert_eq!(conv.window.pad, [1, 2, 0, 3]);
    let graph = pad(&[0, 0, 1, 0, 0, 0, 0, 0], 2.0).graph();
    assert_eq!(graph.nodes[1].op, Op::Pad { pad: [1, 0, 0, 0], value: 2.0 });
    assert_eq!(eval_output(&graph, &numbers(12))[..3], [7.0, 9.0, 11.0]);
    assert_eq!(ops(&pad(&[0; 8], 1.0).graph()), ["Input", "Conv"]);
    pad(&[0, 1, 0, 0, 0, 0, 0, 0], 0.0).refused(&["Pad", "channels"]);
    pad(&[0, 0, -1, 0, 0, 0, 0, 0], 0.0).refused(&["Pad", "negative"]);
    pad(&[0, 0, 1, 1], 0.0).refused(&["Pad", "4 pads for 4 axes"]);
    pad(&[0, 0, 1, 0, 0, 0, 0, 0], f32::INFINITY).refused(&["Pad", "not finite"]);

    let mut old = File::new(&[1, 2, 4]).node("Pad", &["x"], "y", vec![ints("pads", &[0, 0, 1, 0, 0, 2])]);
    old.opset = 9;
    old.graph.node[0].attribute.push(float("value", -1.0));
    assert_eq!(eval_output(&old.graph(), &numbers(8))[..7], [-1.0, 1.0, 2.0, 3.0, 4.0, -1.0, -1.0]);
    let mode = vec![text("mode", "reflect"), ints("pads", &[0, 0, 1, 0, 0, 1])];
    File::new(&[1, 2, 4]).node("Pad", &["x"], "y", mode).refused(&["Pad", "one value"]);
    let some = File::new(&[1, 2, 4]).ints("pads", &[1, 2]).ints("axes", &[-1]);
    let graph = some.node("Pad", &["x", "pads", "", "axes"], "y", vec![]).graph();
    assert_eq!(*only(&graph), Op::Pad { pad: [0, 1, 0, 2], value: 0.0 });
}

#[test]
fn resizes_that_repeat_elements() {
    let resize = |by: f32, place: &str, round: &str| {
        let way = vec![text("coordinate_transformation_mode", place), text("nearest_mode", round)];
        File::new(&[1, 1, 2, 2]).floats("s", &[4], &[1.0, 1.0, by, 3.0]).floats("none", &[0], &[]).node(
            "Resize",
            &["x", "none", "s"],
            "y",
            way,
        )
    };
    for (place, round) in [
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("pytorch_half_pixel", "round_prefer_ceil"),
        ("", ""),
    ] {
        assert_eq!(*only(&resize(2.0, place, round).graph()), Op::Resize { scale: [2, 3] }, "{place} {round}");
    }
    for (place, round) in [("asymmetric", "round_prefer_floor"), ("half_pixel", "floor"), ("align_corners", "floor")] {
        resize(2.0, place, round).refused(&["Resize", "no repetition"]);
    }
    resize(1.5, "asymmetric", "floor").refused(&["Resize", "1.5"]);
    resize(-2.0, "asymmetric", "floor").refused(&["Resize", "-2"]);
    resize(f32::NAN, "asymmetric", "floor").refused(&["Resize", "NaN"]);
    let linear = vec![text("mode", "linear")];
    let file = File::new(&[1, 1, 2, 2]).floats("s", &[4], &[1.0, 1.0, 2.0, 2.0]);
    file.node("Resize", &["x", "", "s"], "y", linear).refused(&["Resize", "linear"]);

    let sizes = File::new(&[1, 2, 4]).ints("n", &[1, 2, 8]).node("Resize", &["x", "", "", "n"], "y", vec![]).graph();
    assert_eq!(*only(&sizes), Op::Resize { scale: [1, 2] });
    assert_eq!(eval_output(&sizes, &numbers(8))[..4], [1.0, 1.0, 2.0, 2.0]);
    let mut old = File::new(&[1, 2, 4]).node("Upsample", &["x"], "y", vec![]);
    old.opset = 7;
    let scales = AttributeProto { floats: vec![1.0, 1.0, 3.0], ..float("scales", 0.0) };
    old.graph.node[0].attribute.push(scales);
    assert_eq!(*only(&old.graph()), Op::Resize { scale: [1, 3] });
    let channels = File::new(&[1, 2, 4]).floats("s", &[3], &[1.0, 2.0, 1.0]);
    channels.node("Resize", &["x", "", "s"], "y", vec![]).refused(&["Resize", "channels"]);
}
