//! What the firmware of every board does: it runs a `.keel` model on the batch in external memory, counts, feeds
//! the monitor, and leaves a results image behind the batch that it also writes to a file.

use defmt::info;
use evenkeel_runtime::kernels::{Kernels, Native, Portable};
use evenkeel_runtime::monitor::{Config, Full, Monitor, Source, words};
use evenkeel_runtime::{Model, Session};
use semihosting::process::ExitCode;

use crate::clock::Clock;
use crate::ends::{self, fail};
use crate::image::{PORTABLE, RESULTS_MAGIC, ResultsHead, SLOTS, STATES, UNKNOWN};
use crate::memory::{self, Batch, Results};
use crate::say;

/// Does all that the batch in `memory` asks for, then ends.
pub fn serve(memory: &mut [u8], arena: &mut [u8], clock: &Clock) -> ! {
    let (batch, results) = match memory::split(memory) {
        Ok(parts) => parts,
        Err(fault) => fail(fault),
    };
    let model = match Model::from_bytes(batch.model) {
        Ok(model) => model,
        Err(e) => fail(e),
    };
    if batch.head.flags & PORTABLE != 0 {
        run::<Portable>(&model, arena, &batch, results, clock);
    } else {
        run::<Native>(&model, arena, &batch, results, clock);
    }
    ExitCode::SUCCESS.exit_process()
}

/// Runs the whole batch with one kernel set and writes the results.
fn run<K: Kernels>(model: &Model, arena: &mut [u8], batch: &Batch, bytes: &mut [u8], clock: &Clock) {
    info!(
        "model {=u32:08x}: {=usize} bytes, {=usize} operators, arena {=usize} bytes, kernels {=str}",
        model.crc(),
        model.file_len(),
        model.ops().len(),
        model.arena_len(),
        K::NAME
    );
    let (input_len, output_len) = (model.input().elements(), model.output().elements());
    if batch.head.input_len as usize != input_len {
        fail("the inputs are not of the model's length");
    }
    let config = Config::of(model).unwrap_or_else(|e| fail(e));
    let groups = config.map_or(0, |config| config.groups());
    let words = if groups == 0 { 0 } else { words::<Full>(groups, SLOTS) };
    let results = memory::results(bytes, batch.truth.len(), model.ops().len(), words, output_len);
    let results = results.unwrap_or_else(|fault| fail(fault));
    let Results { head, ops, state, classes, outputs } = results;
    let mut session = Session::<K>::with_kernels(model, arena).unwrap_or_else(|e| fail(e));
    let mut monitor = config.map(|config| Monitor::new(config, state, SLOTS).unwrap_or_else(|e| fail(e)));

    let mut total = 0;
    let results = classes.iter_mut().zip(outputs.chunks_exact_mut(output_len));
    for ((input, truth), (class, output)) in batch.inputs.chunks_exact(input_len).zip(batch.truth).zip(results) {
        session.input_mut().copy_from_slice(input);
        let start = clock.ticks();
        let mut last = start;
        session.run_observed(|op| {
            let now = clock.ticks();
            if let Some(ticks) = ops.get_mut(op) {
                *ticks += now - last;
            }
            last = now;
        });
        total += last - start;
        output.copy_from_slice(session.output());
        *class = session.classify() as u16;

        let Some(monitor) = &mut monitor else { continue };
        let group = (truth.group != UNKNOWN).then_some(truth.group as usize);
        let ticket = monitor.predict(group, &session).unwrap_or_else(|e| fail(e));
        if truth.label == UNKNOWN {
            continue;
        }
        let raised = monitor.label(ticket, truth.label as u16, Source::Reference).unwrap_or_else(|e| fail(e));
        raised.iter().for_each(|(kind, group)| say::alarm(model, monitor, kind, group));
    }
    if let Some(monitor) = &monitor
        && batch.head.flags & STATES != 0
    {
        (0..groups).for_each(|group| say::state(model, monitor, group));
    }
    let count = batch.truth.len() as u32;
    *head = ResultsHead {
        magic: RESULTS_MAGIC,
        count,
        ops: model.ops().len() as u32,
        output_len: output_len as u32,
        groups: groups as u32,
        most: 0,
        ticks: total,
    };
    ends::write_results(bytes);
    info!("{=u32} inferences in {=u64} ticks", count, total);
}
