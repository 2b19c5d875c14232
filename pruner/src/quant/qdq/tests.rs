//! Quantised reference networks against the results of ONNX Runtime, and every node against real arithmetic.
//!
//! ONNX Runtime computes quantised files in f32, so a value whose exact result is half a step is rounded either way. What
//! differs has to be shown to be such a tie, or to follow from such ties alone.

use super::*;
use crate::lower::{Extras, Target, lower};
use crate::onnx::load_quantised;
use crate::quant::simulate::value;
use crate::quant::testing::run;
use crate::quant::{quantise_input, simulate};
use crate::testing::shared_dir;
use std::path::Path;

/// Nearer to half a step than a step of f32 at the ends of the range: rounding decides.
const TIE: f64 = 1.0 / 65536.0;

struct Golden {
    marked: Marked,
    q: QGraph,
    /// Raw inputs, and the int8 results that they give in ONNX Runtime.
    rows: Vec<(Vec<f32>, Vec<i8>)>,
}

fn array(path: &Path, name: &str) -> Vec<f32> {
    let mut archive = npyz::npz::NpzArchive::open(path).expect("archive");
    archive.by_name(name).expect("readable").expect("present").into_vec().expect("floats")
}

fn golden(name: &str) -> Option<Golden> {
    let dir = shared_dir()?;
    let marked = load_quantised(&dir.join(format!("models/mlperf_tiny/{name}_qdq.onnx"))).expect("read");
    let marked = marked.expect("quantised");
    let q = from_marks(&marked, vec![]).expect("integers");
    let file = dir.join(format!("golden/mlperf_tiny/{name}_qdq.npz"));
    let (x, y) = (array(&file, "x"), array(&file, "y"));
    let (input, output) = (&q.nodes[0], &q.nodes[q.output]);
    // The files end in DequantizeLinear.
    let int8 = |y: &f32| ((y / output.out.scale).round() + f32::from(output.out.zero)) as i8;
    let rows = x.chunks(input.shape.len()).zip(y.chunks(output.shape.len()));
    let rows: Vec<_> = rows.map(|(x, y)| (x.to_vec(), y.iter().map(int8).collect())).collect();
    assert_eq!(rows.len(), 16);
    Some(Golden { marked, q, rows })
}

/// The exact results of a node in steps from its zero point, before rounding and clipping; `None` where nothing is rounded
/// or, in a softmax, ONNX Runtime's f32 is not the definition.
fn real(g: &Golden, id: usize, values: &[Vec<i8>]) -> Option<Vec<f64>> {
    let node = &g.q.nodes[id];
    let out = f64::from(node.out.scale);
    let input = |i: usize| (&g.q.nodes[node.inputs[i]], &values[node.inputs[i]]);
    let steps = |i: usize, at: usize| {
        let (from, x) = input(i);
        i64::from(x[at]) - i64::from(from.out.zero)
    };
    let layer = || {
        let graph = &g.marked.graph;
        let id = graph.nodes.iter().position(|n| n.name == node.name).expect("the node");
        let bias = match &graph.nodes[id].op {
            Op::Conv(conv) => &conv.bias,
            Op::Linear(linear) => &linear.bias,
            _ => unreachable!(),
        };
        (&g.marked.scales[&id], bias)
    };
    let scaled = |o: usize, sum: i64| {
        let (scales, bias) = layer();
        (sum as f64 * f64::from(input(0).0.out.scale) * f64::from(scales[o]) + f64::from(bias[o])) / out
    };
    match &node.op {
        QOp::Linear(w) => {
            let n = input(0).1.len();
            let sum = |o: usize| (0..n).map(|i| i64::from(w.data[o * n + i]) * steps(0, i)).sum();
            Some((0..node.shape.c).map(|o| scaled(o, sum(o))).collect())
        }
        QOp::Conv { window, groups, weights } => {
            let (from, to) = (input(0).0.shape, node.shape);
            let (inp, per_group) = (from.c / groups, to.c / groups);
            let depthwise = *groups > 1 && inp == 1 && per_group == 1;
            let [kh, kw] = window.kernel;
            let mut all = Vec::with_capacity(to.len());
            for at in 0..to.len() {
                let (o, ox, oy) = (at % to.c, at / to.c % to.w, at / to.c / to.w);
                let mut sum = 0;
                for (tap, (ky, kx)) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))).enumerate() {
                    let y = (oy * window.stride[0] + ky * window.dilation[0]).wrapping_sub(window.pad[0]);
                    let x = (ox * window.stride[1] + kx * window.dilation[1]).wrapping_sub(window.pad[1]);
                    if y < from.h && x < from.w {
                        for i in 0..inp {
                            let w = if depthwise { tap * to.c + o } else { (o * kh * kw + tap) * inp + i };
                            let x = (y * from.w + x) * from.c + o / per_group * inp + i;
                            sum += i64::from(weights.data[w]) * steps(0, x);
                        }
                    }
                }
                all.push(scaled(o, sum));
            }
            Some(all)
        }
        QOp::Add { .. } => {
            let scale = |i: usize| f64::from(input(i).0.out.scale);
            let sum = |at: usize| (steps(0, at) as f64 * scale(0) + steps(1, at) as f64 * scale(1)) / out;
            Some((0..node.shape.len()).map(sum).collect())
        }
        QOp::AvgPool { window, .. } => {
            let from = input(0).0;
            assert_eq!(window.kernel, [from.shape.h, from.shape.w], "the reference networks have global means");
            let sum = |c: usize| (0..window.taps()).map(|p| steps(0, p * from.shape.c + c)).sum::<i64>() as f64;
            let unit = f64::from(from.out.scale) / window.taps() as f64 / out;
            Some((0..from.shape.c).map(|c| sum(c) * unit).collect())
        }
        // Exact, or computed in integers alone.
        _ => None,
    }
}

fn distance_to_tie(v: f64) -> f64 {
    (v - v.floor() - 0.5).abs()
}

/// The values of a node that rounding could as well have made one more or less, with the other choice.
fn ties(g: &Golden, id: usize, values: &[Vec<i8>]) -> Vec<(usize, i8)> {
    let node = &g.q.nodes[id];
    let int8 = |v: f64| (v + f64::from(node.out.zero)).clamp(node.clamp.0.into(), node.clamp.1.into()) as i8;
    let list = real(g, id, values).unwrap_or_default();
    let near = list.iter().enumerate().filter(|(_, v)| distance_to_tie(**v) <= TIE);
    let other = |(at, v): (usize, &f64)| {
        let (low, high) = (int8(v.floor()), int8(v.floor() + 1.0));
        let taken = values[id][at];
        assert!(taken == low || taken == high, "{} is neither {low} nor {high}", node.name);
        (at, if taken == low { high } else { low })
    };
    near.map(other).filter(|&(at, other)| other != values[id][at]).collect()
}

/// True when some choice among the ties from node `id` on gives `want` in the end.
fn ties_explain(g: &Golden, id: usize, values: &mut Vec<Vec<i8>>, want: &[i8]) -> bool {
    if id == g.q.nodes.len() {
        return values[g.q.output] == want;
    }
    values.truncate(id);
    values.push(value(&g.q, id, values));
    let ties = ties(g, id, values);
    assert!(ties.len() < 12, "{} has too many ties to try", g.q.nodes[id].name);
    let own = values[id].clone();
    (0u32..1 << ties.len()).any(|choice| {
        values.truncate(id);
        let mut chosen = own.clone();
        let taken = ties.iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1);
        taken.for_each(|(_, &(at, other))| chosen[at] = other);
        values.push(chosen);
        ties_explain(g, id + 1, values, want)
    })
}

/// Compares every row, and returns how many values differ, all of them because of ties.
fn differences(g: &Golden) -> usize {
    let mut differ = 0;
    for (i, (x, want)) in g.rows.iter().enumerate() {
        let input = quantise_input(&g.q, x);
        let got = &simulate(&g.q, &input)[g.q.output];
        let n = got.iter().zip(want).filter(|(a, b)| a != b).count();
        if n > 0 {
            differ += n;
            let mut values = vec![input];
            assert!(ties_explain(g, 1, &mut values, want), "{} row {i}: {n} values differ, and not for ties", g.q.name);
            println!("{} row {i}: {n} of {} values differ, for ties", g.q.name, want.len());
        }
    }
    differ
}

#[test]
fn reference_networks_give_the_results_of_onnx_runtime() {
    for name in ["kws", "vww", "ad"] {
        let Some(g) = golden(name) else { return };
        assert_eq!(differences(&g), 0, "{name}");
    }
}

/// The means over 64 pixels often end on exactly half a step, which f32 rounds up in one row and down in another.
#[test]
fn the_residual_network_differs_only_by_ties() {
    let Some(g) = golden("ic") else { return };
    assert!(differences(&g) <= 3);
}

#[test]
fn every_node_is_right_to_half_a_step() {
    for name in ["kws", "vww", "ic", "ad"] {
        let Some(g) = golden(name) else { return };
        for (x, _) in g.rows.iter().take(2) {
            let values = simulate(&g.q, &quantise_input(&g.q, x));
            for (id, node) in g.q.nodes.iter().enumerate() {
                let zero = f64::from(node.out.zero);
                for (real, &got) in real(&g, id, &values).iter().flatten().zip(&values[id]) {
                    let clipped = (real + zero).clamp(node.clamp.0.into(), node.clamp.1.into());
                    let error = (f64::from(got) - clipped).abs();
                    // 2e-4: the multipliers of a sum have 21 bits.
                    assert!(error <= 0.5 + 2e-4, "{name} {}: {got} for {clipped}", node.name);
                }
            }
        }
    }
}

/// The runtime gives the bytes of the simulation, whatever the weights are packed for.
#[test]
fn the_runtime_takes_a_quantised_network() {
    for name in ["kws", "ad"] {
        let Some(g) = golden(name) else { return };
        for target in Target::ALL {
            let lowered = lower(&g.q, &Extras::default(), target).expect("lowered");
            for (x, _) in g.rows.iter().take(2) {
                let input = quantise_input(&g.q, x);
                assert_eq!(run(&lowered.bytes, &input), simulate(&g.q, &input)[g.q.output], "{name} for {target}");
            }
        }
    }
}

#[test]
fn softmax_shares_add_up() {
    for (name, classes) in [("kws", 12), ("ic", 10), ("vww", 2)] {
        let Some(g) = golden(name) else { return };
        let QOp::Softmax { table } = &g.q.nodes[g.q.output].op else { panic!("{name} ends in a softmax") };
        assert_eq!((table.len(), g.q.nodes[g.q.output].shape), (256, Shape::vector(classes)));
        let values = simulate(&g.q, &quantise_input(&g.q, &g.rows[0].0));
        let sum: i32 = values[g.q.output].iter().map(|&v| i32::from(v) + 128).sum();
        // Half a step for each class, and 256 of 256 is cut to 255.
        assert!((256 - sum).abs() <= classes as i32 / 2 + 1, "{name}: {sum}");
    }
}
