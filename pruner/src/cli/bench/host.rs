//! Times of single inferences on this host.

use super::layers;
use evenkeel::chain;
use evenkeel::error::{Context, Result};
use evenkeel_runtime::kernels::{Kernels, Native, Portable};
use evenkeel_runtime::{FloatSession, Model, Session};
use serde_json::{Value, json};
use std::time::Instant;

/// A session on values of type `T`.
trait Run<T> {
    fn input_mut(&mut self) -> &mut [T];
    fn run_observed(&mut self, observe: &mut dyn FnMut(usize));
}

impl<K: Kernels> Run<i8> for Session<'_, '_, K> {
    fn input_mut(&mut self) -> &mut [i8] {
        Session::input_mut(self)
    }
    fn run_observed(&mut self, observe: &mut dyn FnMut(usize)) {
        Session::run_observed(self, observe);
    }
}

impl Run<f32> for FloatSession<'_, '_> {
    fn input_mut(&mut self) -> &mut [f32] {
        FloatSession::input_mut(self)
    }
    fn run_observed(&mut self, observe: &mut dyn FnMut(usize)) {
        FloatSession::run_observed(self, observe);
    }
}

/// An int8 model, with the fastest kernels or the portable ones.
pub(super) fn int8(model: &Model, inputs: &[i8], portable: bool) -> Result<Value> {
    let mut arena = chain::arena(model);
    let arena = bytemuck::cast_slice_mut(&mut arena);
    let cannot = "cannot start a session";
    if portable {
        let mut session = Session::<Portable>::with_kernels(model, arena).context(cannot)?;
        return Ok(timed(model, &mut session, inputs, "portable"));
    }
    let mut session = Session::<Native>::with_kernels(model, arena).context(cannot)?;
    Ok(timed(model, &mut session, inputs, "native"))
}

/// A float model.
pub(super) fn float(model: &Model, inputs: &[f32]) -> Result<Value> {
    let mut arena = chain::float_arena(model);
    let mut session = FloatSession::new(model, &mut arena).context("cannot start a session")?;
    Ok(timed(model, &mut session, inputs, model.dtype().name()))
}

/// Median, minimum and 99th percentile of single inferences, after a warm-up.
fn timed<T: Copy>(model: &Model, session: &mut impl Run<T>, inputs: &[T], kernels: &str) -> Value {
    let width = model.input().elements();
    let repeats = (400 / (inputs.len() / width).max(1)).max(20);
    let (mut totals, mut per_layer) = (Vec::new(), vec![Vec::new(); model.ops().len()]);
    for round in 0..=repeats {
        for x in inputs.chunks(width) {
            session.input_mut().copy_from_slice(x);
            let begin = Instant::now();
            session.run_observed(&mut |_| {});
            let total = begin.elapsed().as_nanos() as u64;
            // The input's place in the arena may be used again: it is filled anew for the second run.
            session.input_mut().copy_from_slice(x);
            let mut last = Instant::now();
            session.run_observed(&mut |i| {
                let now = Instant::now();
                if round > 0 {
                    per_layer[i].push((now - last).as_nanos() as u64);
                }
                last = Instant::now();
            });
            if round > 0 {
                totals.push(total);
            }
        }
    }
    totals.sort_unstable();
    per_layer.iter_mut().for_each(|v| v.sort_unstable());
    json!({
        "target": "host", "unit": "ns", "kernels": kernels, "total": totals[totals.len() / 2], "min": totals[0],
        "p99": totals[totals.len() * 99 / 100], "inferences": totals.len(),
        "layers": layers(model, |i| per_layer[i][per_layer[i].len() / 2]),
    })
}
