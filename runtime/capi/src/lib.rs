//! The runtime for C and C++: `libevenkeel.a` and `evenkeel.h`.
//!
//! Each function does three things: it checks its pointers, calls the runtime, and turns an error into a number. Objects
//! live in storage that the caller provides ([`ModelStorage`] and the like), because nothing here allocates. The header
//! is made of this source by `cargo xtask header`, and a test keeps it up to date.
//!
//! `unsafe` is allowed in this crate: a C interface takes raw pointers, and only the caller knows what they point to.
//! All of it is in `pointers` and in the bodies of the exported functions, which turn pointers into references through
//! it; what the caller promises is in each function's `# Safety`. References live no longer than a call: between calls
//! only raw pointers are kept, so C code may read and write its buffers in the meantime.
#![cfg_attr(not(feature = "std"), no_std)]
#![allow(unsafe_code)]

mod model;
mod monitor;
mod pointers;
mod session;
mod status;
mod text;

pub use model::*;
pub use monitor::*;
pub use session::*;
pub use status::Status;
pub use text::*;

/// A panic ends in an endless loop, where a watchdog finds it; no message is kept, to keep formatting out of flash.
#[cfg(all(not(feature = "std"), target_os = "none"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
