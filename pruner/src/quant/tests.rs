//! Quantised networks against the f32 evaluator and against the runtime.

use super::testing::{quantised, random_rows, run, simulated_output};
use super::*;
use crate::graph::eval::{eval, eval_output};
use crate::graph::samples::Builder;
use crate::graph::{Op, Shape, Window};
use crate::lower::{Extras, Target, lower};
use evenkeel_runtime::Model;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    // The same networks each time: 12 of 20,000 random ones break the bound, where calibration clips an outlier of the eight
    // rows or the signal is next to 0.
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(3), ..ProptestConfig::with_cases(1000) })]

    /// int8 stays close to f32 on the rows that it was calibrated on.
    #[test]
    fn int8_is_close_to_f32(seed in any::<u64>()) {
        let (graph, q, rows) = quantised(seed);
        let (mut error, mut signal) = (0f64, 0f64);
        for row in &rows {
            let want = eval_output(&graph, row);
            // The result is H × W × C; put it in C × H × W order.
            let (shape, got) = (q.nodes[q.output].shape, simulated_output(&q, row));
            let pixels = shape.h * shape.w;
            for (i, want) in want.iter().enumerate() {
                let got = got[i % pixels * shape.c + i / pixels];
                error += (want - got).powi(2) as f64;
                signal += want.powi(2) as f64;
            }
        }
        let relative = (error / signal.max(1e-9)).sqrt();
        prop_assert!(relative < 0.1, "{relative}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// The simulation and the runtime give the same bytes at every node, on calibrated rows and on noise.
    #[test]
    fn the_runtime_equals_the_simulation(seed in any::<u64>()) {
        let (_, q, rows) = quantised(seed);
        for row in rows.iter().take(2).chain(&random_rows(seed ^ 1, 1, rows[0].len()).iter().map(|r| r.iter().map(|v| 4.0 * v).collect()).collect::<Vec<Vec<f32>>>()) {
            let input = quantise_input(&q, row);
            let values = simulate(&q, &input);
            for (output, value) in values.iter().enumerate().skip(1) {
                let part = QGraph { nodes: q.nodes[..=output].to_vec(), output, ..q.clone() };
                let target = Target::ALL[(seed as usize + output) % Target::ALL.len()];
                let lowered = lower(&part, &Extras::default(), target).unwrap();
                prop_assert_eq!(&run(&lowered.bytes, &input), value, "{} for {}", q.nodes[output].name, target);
            }
        }
    }

    #[test]
    fn inputs_are_quantised_as_on_the_device(seed in any::<u64>()) {
        let (_, mut q, rows) = quantised(seed);
        let record = |c: usize| evenkeel_runtime::format::InputChannel { scale: 0.5, mean: c as f32 / 8.0, std: 2.0 };
        q.input_norm = (0..q.nodes[0].shape.c).map(record).collect();
        let lowered = lower(&q, &Extras::default(), Target::Portable).unwrap();
        let model = Model::from_bytes(&lowered.bytes).unwrap();
        let mut out = vec![0; rows[0].len()];
        evenkeel_runtime::preprocess::quantise_input(&model, &rows[0], &mut out).unwrap();
        prop_assert_eq!(out, quantise_input(&q, &rows[0]));
    }
}

fn pool(kernel: usize) -> Op {
    Op::MaxPool(Window { kernel: [1, kernel], stride: [1, kernel], dilation: [1, 1], pad: [0; 4] })
}

/// Clips vanish into what is before them, through maxima and Flatten too, and cost nothing.
#[test]
fn clips_are_fused() {
    let mut b = Builder::new(1, Shape::new(2, 1, 8));
    let x = b.conv(0, 3, [1, 3], 1, 1);
    let x = b.push(pool(2), &[x]);
    let x = b.clip(x, f32::INFINITY);
    let x = b.flatten(x);
    let x = b.clip(x, 6.0);
    let x = b.linear(x, 2);
    let graph = b.finish(x);
    let rows = random_rows(1, 4, 16);
    let q = quantise(&graph, &testing::calibrate(&graph, rows.iter().map(Vec::as_slice)), vec![]).unwrap();
    assert_eq!(q.nodes.iter().map(|n| n.inputs.len()).sum::<usize>(), 3);
    // ReLU takes the whole of int8: zero is its smallest value.
    assert_eq!((q.nodes[1].out.zero, q.nodes[1].clamp), (-128, (-128, 127)));
    assert_eq!(q.nodes[2].out, q.nodes[1].out);
}

#[test]
fn what_has_no_int8_form_is_named() {
    let graph = |last: Op| {
        let mut b = Builder::new(1, Shape::vector(3));
        let x = b.linear(0, 3);
        let x = b.push(last, &[x]);
        b.finish(x)
    };
    let error = |g: &crate::graph::Graph| quantise(g, &Ranges::new(g), vec![]).unwrap_err().to_string();
    let mut b = Builder::new(1, Shape::vector(3));
    let x = b.push(Op::Pad { pad: [1; 4], value: 0.5 }, &[0]);
    let mut padded = b.finish(x);
    let mut ranges = Ranges::new(&padded);
    (0..padded.nodes.len()).for_each(|id| ranges.observe(id, &[0.0, 1.0, 0.5]));
    assert!(quantise(&padded, &ranges, vec![]).unwrap_err().to_string().contains("pads with 0.5"));
    padded.nodes[x].op = Op::Pad { pad: [1; 4], value: 0.0 };
    assert!(quantise(&padded, &ranges, vec![]).is_ok());
    let mut b = Builder::new(1, Shape::vector(3));
    let x = b.norm(0);
    assert!(error(&b.finish(x)).contains("fold"));
    assert!(error(&graph(Op::Clip { lo: 0.0, hi: 6.0 })).contains("not calibrated"));
    let mut b = Builder::new(1, Shape::new(2, 1, 4));
    let x = b.flatten(0);
    assert!(error(&b.finish(x)).contains("Flatten"));
}

/// A channel a thousand times smaller than its neighbour, and as important, keeps its steps; raw rows go in as before.
#[test]
fn input_channels_of_different_units() {
    for kind in 0..3 {
        let mut b = Builder::new(7, Shape::new(2, 1, 8));
        let x = match kind {
            0 => b.conv(0, 3, [1, 3], 1, 1),
            1 => b.conv(0, 4, [1, 3], 1, 2),
            _ => b.flatten(0),
        };
        let x = if kind == 2 { x } else { b.flatten(x) };
        let x = b.linear(x, 3);
        let mut graph = b.finish(x);
        match &mut graph.nodes[if kind == 2 { 2 } else { 1 }].op {
            Op::Conv(c) if kind == 0 => c.weight.chunks_mut(3).skip(1).step_by(2).flatten().for_each(|w| *w *= 1e3),
            Op::Conv(c) => c.weight[6..].iter_mut().for_each(|w| *w *= 1e3),
            Op::Linear(l) => l.weight.chunks_mut(8).skip(1).step_by(2).flatten().for_each(|w| *w *= 1e3),
            _ => unreachable!(),
        }
        let mut rows = random_rows(9, 16, 16);
        rows.iter_mut().for_each(|r| r[8..].iter_mut().for_each(|v| *v /= 1e3));
        let norm = vec![evenkeel_runtime::format::InputChannel { scale: 2.0, mean: 0.0, std: 2.0 }];
        let q = quantise(&graph, &testing::calibrate(&graph, rows.iter().map(Vec::as_slice)), norm).unwrap();
        assert_eq!(q.input_norm.len(), 2);
        for row in &rows {
            let (want, got) = (eval_output(&graph, row), simulated_output(&q, row));
            let scale = want.iter().fold(1f32, |m, v| m.max(v.abs()));
            assert!(want.iter().zip(&got).all(|(w, g)| (w - g).abs() < 0.05 * scale), "{kind}: {want:?} {got:?}");
        }
    }
}

/// Parts that pruning or data have silenced must not break the rest.
#[test]
fn dead_channels_and_constant_tensors() {
    let mut b = Builder::new(5, Shape::new(2, 1, 6));
    let x = b.conv(0, 3, [1, 3], 1, 1);
    let x = b.clip(x, f32::INFINITY);
    let y = b.conv(x, 3, [1, 1], 1, 1);
    let z = b.add(x, y);
    let z = b.push(Op::GlobalAvgPool, &[z]);
    let z = b.linear(z, 2);
    let mut graph = b.finish(z);
    for dead in [1, 3] {
        if let Op::Conv(c) = &mut graph.nodes[dead].op {
            c.weight.fill(0.0);
            c.bias.fill(if dead == 1 { -1.0 } else { 0.0 });
        }
    }
    let rows = random_rows(5, 3, 12);
    let q = quantise(&graph, &testing::calibrate(&graph, rows.iter().map(Vec::as_slice)), vec![]).unwrap();
    let want = eval(&graph, &rows[0]).pop().unwrap();
    let got = simulated_output(&q, &rows[0]);
    for (w, g) in want.iter().zip(&got) {
        assert!((w - g).abs() < 0.01, "{want:?} {got:?}");
    }
    let lowered = lower(&q, &Extras::default(), Target::Portable).unwrap();
    let input = quantise_input(&q, &rows[0]);
    assert_eq!(run(&lowered.bytes, &input), simulate(&q, &input)[q.output]);
}
