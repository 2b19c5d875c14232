//! Batches over the cores of a host (feature `std`): one session a thread, all over one model in memory.

use std::thread;
use std::vec;
use std::vec::Vec;

use bytemuck::{Pod, Zeroable, cast_slice_mut};

use crate::kernels::Native;
use crate::{Error, Model, Session};

/// A cache line: vectors that cross lines are slower.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Runs quantised `inputs`, one after another, on at most `threads` threads; `outputs` has one output for each.
///
/// Which thread runs which input changes no byte. With one thread nothing is spawned.
///
/// # Errors
/// When `inputs` and `outputs` are not whole samples of one number, and those of [`Session::new`].
pub fn run_batch(model: &Model, inputs: &[i8], outputs: &mut [i8], threads: usize) -> Result<(), Error> {
    let (width, out_width) = (model.input().elements(), model.output().elements());
    let samples = inputs.len() / width;
    for (needed, given) in [(samples * width, inputs.len()), (samples * out_width, outputs.len())] {
        if needed != given {
            return Err(Error::InputLength { needed, given });
        }
    }
    if samples == 0 {
        return Ok(());
    }
    let part = samples.div_ceil(threads.max(1));
    let mut parts = inputs.chunks(part * width).zip(outputs.chunks_mut(part * out_width));
    let first = parts.next();
    thread::scope(|scope| {
        let others: Vec<_> = parts.map(|(x, y)| scope.spawn(move || run(model, x, y))).collect();
        let mine = first.map_or(Ok(()), |(x, y)| run(model, x, y));
        others.into_iter().fold(mine, |done, other| match other.join() {
            Ok(result) => done.and(result),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Samples of one thread.
fn run(model: &Model, inputs: &[i8], outputs: &mut [i8]) -> Result<(), Error> {
    let mut arena = vec![Line::zeroed(); model.arena_len().div_ceil(size_of::<Line>())];
    let mut session = Session::<Native>::with_kernels(model, cast_slice_mut(&mut arena))?;
    let samples = inputs.chunks(model.input().elements()).zip(outputs.chunks_mut(model.output().elements()));
    for (input, output) in samples {
        session.input_mut().copy_from_slice(input);
        session.run();
        output.copy_from_slice(session.output());
    }
    Ok(())
}
