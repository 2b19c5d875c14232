//! Firmware for the MPS3 board with a Cortex-M55 (AN547), as QEMU emulates it.
//!
//! It runs any `.keel` model on a batch of inputs that `evenkeel-emulator` put into external memory.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use defmt_semihosting as _;
use evenkeel_runtime::Arena;

#[path = "../../firmware-common/clock.rs"]
mod clock;
#[path = "../../firmware-common/ends.rs"]
mod ends;
#[allow(dead_code, reason = "shared with the host, which needs more of it")]
#[path = "../../emulator/src/image.rs"]
mod image;
#[path = "../../firmware-common/memory.rs"]
mod memory;
#[path = "../../firmware-common/say.rs"]
mod say;
#[path = "../../firmware-common/serve.rs"]
mod serve;

use clock::Clock;
use image::{ARENA_LEN, MEMORY_LEN, MPS3_AN547_MEMORY};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<ARENA_LEN> = Arena::new();

    let Some(peripherals) = cortex_m::Peripherals::take() else { ends::fail("the peripherals are taken") };
    // SAFETY: LOB (Armv8.1-M Architecture Reference Manual, CCR bit 19) lets the core remember where low-overhead loops
    // begin: it changes how long the kernels' loops take, and nothing else.
    unsafe { peripherals.SCB.ccr.modify(|ccr| ccr | 1 << 19) };
    let clock = Clock::start(peripherals.SYST);
    // SAFETY: the board has that much DDR memory there, the linker knows nothing of it, and this is the only
    // reference to it. Any bytes are valid bytes.
    let memory = unsafe { core::slice::from_raw_parts_mut(MPS3_AN547_MEMORY as *mut u8, MEMORY_LEN) };
    serve::serve(memory, &mut ARENA.0, &clock)
}
