//! Firmware for the MPS2 board with a Cortex-M4 that runs no model: it feeds a monitor with a made-up stream of events,
//! and counts what that costs.
//!
//! Its code is compiled as a product would have it, for size; what the monitor takes of flash is the size of this
//! program's functions of the runtime's module `monitor` and of [`apply`], which calls them.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use defmt::info;
use defmt_semihosting as _;
use evenkeel_runtime::Model;
use evenkeel_runtime::monitor::{Config, Full, Monitor, words};
use semihosting::process::ExitCode;

#[path = "../../firmware-common/clock.rs"]
mod clock;
#[path = "../../firmware-common/ends.rs"]
mod ends;
#[allow(dead_code, reason = "shared with the host, which needs more of it")]
#[path = "../../emulator/src/image.rs"]
mod image;
#[allow(dead_code, reason = "shared with the firmware that runs models")]
#[path = "../../firmware-common/memory.rs"]
mod memory;
#[path = "../../firmware-common/say.rs"]
mod say;
#[allow(dead_code, reason = "shared with the host, which needs more of it")]
#[path = "../../emulator/src/stream.rs"]
mod stream;

use clock::Clock;
use ends::fail;
use image::{MEMORY_LEN, MPS2_AN386_MEMORY, RESULTS_MAGIC, ResultsHead, SLOTS};
use memory::Results;
use stream::{GROUPS, Stream, apply, labelled};

// What a device with sixteen groups keeps in RAM.
const _: () = assert!(words::<Full>(GROUPS, SLOTS) * 4 <= 3584);

#[entry]
fn main() -> ! {
    let Some(peripherals) = cortex_m::Peripherals::take() else { fail("the peripherals are taken") };
    let clock = Clock::start(peripherals.SYST);
    // SAFETY: the board has that much PSRAM there, the linker knows nothing of it, and this is the only
    // reference to it. Any bytes are valid bytes.
    let memory = unsafe { core::slice::from_raw_parts_mut(MPS2_AN386_MEMORY as *mut u8, MEMORY_LEN) };
    let (batch, bytes) = memory::split(memory).unwrap_or_else(|fault| fail(fault));
    let model = Model::from_bytes(batch.model).unwrap_or_else(|e| fail(e));
    let Ok(Some(config)) = Config::of(&model) else { fail("the model has no monitor") };
    let words = words::<Full>(config.groups(), SLOTS);
    let output_len = model.output().elements();
    let results = memory::results(bytes, 0, model.ops().len(), words, output_len).unwrap_or_else(|fault| fail(fault));
    let Results { head, state, .. } = results;
    let mut monitor = Monitor::<Full>::new(config, state, SLOTS).unwrap_or_else(|e| fail(e));

    let mut stream = Stream::new(batch.head.events);
    let (mut total, mut most) = (0, 0);
    while labelled(&monitor) < batch.head.events {
        let step = stream.step();
        let start = clock.ticks();
        let done = apply(&mut monitor, &step);
        let ticks = clock.ticks() - start;
        (total, most) = (total + ticks, most.max(ticks));
        let Some((ticket, raised)) = done else { fail("the monitor has other groups than the stream") };
        stream.issued(&step, ticket);
        raised.iter().for_each(|(kind, group)| say::alarm(&model, &monitor, kind, group));
    }
    info!("{=u32} labelled events in {=u64} ticks, at most {=u64}", labelled(&monitor), total, most);
    (0..config.groups()).for_each(|group| say::state(&model, &monitor, group));
    *head = ResultsHead {
        magic: RESULTS_MAGIC,
        count: 0,
        ops: model.ops().len() as u32,
        output_len: output_len as u32,
        groups: config.groups() as u32,
        most: most as u32,
        ticks: total,
    };
    ends::write_results(bytes);
    ExitCode::SUCCESS.exit_process()
}
