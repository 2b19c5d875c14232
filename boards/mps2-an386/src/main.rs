//! Firmware for the MPS2 board with a Cortex-M4 (AN386), the board that QEMU emulates.
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
use image::{ARENA_LEN, MEMORY_LEN, MPS2_AN386_MEMORY};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<ARENA_LEN> = Arena::new();

    let Some(peripherals) = cortex_m::Peripherals::take() else { ends::fail("the peripherals are taken") };
    let clock = Clock::start(peripherals.SYST);
    // SAFETY: the board has that much PSRAM there, the linker knows nothing of it, and this is the only
    // reference to it. Any bytes are valid bytes.
    let memory = unsafe { core::slice::from_raw_parts_mut(MPS2_AN386_MEMORY as *mut u8, MEMORY_LEN) };
    serve::serve(memory, &mut ARENA.0, &clock)
}
