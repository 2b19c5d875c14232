//! What the firmware of every board does: it runs a `.keel` model on the batch in external memory, counts, feeds
//! the monitor, and leaves a results image behind the batch that it also writes to a file.

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};
use defmt::{Display2Format, error, info, warn};
use evenkeel_runtime::kernels::{Kernels, Native, Portable};
use evenkeel_runtime::monitor::Monitor;
use evenkeel_runtime::{Model, Session};
use semihosting::process::ExitCode;

use crate::clock::Clock;
use crate::image::{PORTABLE, RESULTS_MAGIC, ResultsHead, UNKNOWN};
use crate::memory::{self, Batch, Results};

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
    let groups = model.monitor().map_or(0, |(_, floors)| floors.len());
    let results = memory::results(bytes, batch.truth.len(), model.ops().len(), groups, output_len);
    let results = results.unwrap_or_else(|fault| fail(fault));
    let Results { head, ops, states, classes, outputs } = results;
    let mut session = Session::<K>::with_kernels(model, arena).unwrap_or_else(|e| fail(e));
    let mut monitor = model.monitor().map(|(head, floors)| {
        let monitor = Monitor::new(head, floors, states).unwrap_or_else(|e| fail(e));
        (monitor, floors)
    });

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

        let Some((monitor, floors)) = &mut monitor else { continue };
        if truth.label == UNKNOWN || truth.group == UNKNOWN {
            continue;
        }
        match monitor.observe(truth.group as usize, *class == truth.label as u16) {
            Ok(Some(alarm)) => warn!(
                "alarm: group {=str} is below its floor, {=u32} of {=u32} correct (event {=u32})",
                floors.get(alarm.group).map_or("", |floor| model.name(floor.name)),
                alarm.correct,
                alarm.n,
                alarm.events
            ),
            Ok(None) => {}
            Err(e) => fail(e),
        }
    }
    if let Some((monitor, floors)) = &monitor {
        for (floor, state) in floors.iter().zip(monitor.states()) {
            info!(
                "group {=str}: {=u32} of {=u32} correct, {=u32} alarms",
                model.name(floor.name),
                state.correct,
                state.n,
                state.alarms
            );
        }
    }
    let count = batch.truth.len() as u32;
    *head = ResultsHead {
        magic: RESULTS_MAGIC,
        count,
        ops: model.ops().len() as u32,
        output_len: output_len as u32,
        groups: groups as u32,
        reserved: 0,
        ticks: total,
    };
    if let Err(e) = semihosting::fs::write(c"results.bin", &*bytes) {
        fail_debug(e);
    }
    info!("{=u32} inferences in {=u64} ticks", count, total);
}

/// Says why there are no results, and ends.
pub fn fail(reason: impl core::fmt::Display) -> ! {
    error!("{}", Display2Format(&reason));
    ExitCode::FAILURE.exit_process()
}

fn fail_debug(reason: semihosting::io::Error) -> ! {
    error!("writing results.bin: {}", defmt::Debug2Format(&reason));
    ExitCode::FAILURE.exit_process()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    fail(info)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr());
    ExitCode::FAILURE.exit_process()
}
