//! How a firmware ends before its time: with the reason in the log.

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};
use defmt::{Display2Format, error};
use semihosting::process::ExitCode;

/// Says why there are no results, and ends.
pub fn fail(reason: impl core::fmt::Display) -> ! {
    error!("{}", Display2Format(&reason));
    ExitCode::FAILURE.exit_process()
}

/// Writes the results image to a file on the host.
pub fn write_results(bytes: &[u8]) {
    if let Err(reason) = semihosting::fs::write(c"results.bin", bytes) {
        error!("writing results.bin: {}", defmt::Debug2Format(&reason));
        ExitCode::FAILURE.exit_process()
    }
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
