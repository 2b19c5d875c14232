//! Classifies sensor values with a `.keel` model that lies in flash.
//!
//! What to change for a product: [`read_sensor`], and what happens with the class. No formatting is linked and no way
//! to panic, and nothing of it allocates. The kernels are those for a model that is compiled for the target
//! (`--target cortex-m4`): `Session::new` takes any, for 3 KiB more.
#![no_std]
#![no_main]

mod console;
mod interrupts;

use console::Line;
use cortex_m_rt::entry;
use evenkeel_runtime::kernels::NativePacked;
use evenkeel_runtime::{Arena, Error, Session};
use model::{ARENA_LEN, INPUT_LEN};

#[entry]
fn main() -> ! {
    static mut ARENA: Arena<ARENA_LEN> = Arena::new();
    static mut VALUES: [f32; INPUT_LEN] = [0.0; INPUT_LEN];

    let done = serve(&mut ARENA.0, VALUES);
    if done.is_err() {
        Line::default().text("error: the model does not run here").show();
    }
    semihosting::process::exit(done.is_err() as i32)
}

/// Four windows, and the class of each.
fn serve(arena: &mut [u8], values: &mut [f32; INPUT_LEN]) -> Result<(), Error> {
    let model = model::model()?;
    let mut session = Session::<NativePacked>::with_kernels(&model, arena)?;
    for time in 0..4 {
        read_sensor(values, time);
        let class = model::classify(&mut session, values)?;
        let mut line = Line::default();
        line.text("class ").number(class as i32).text(" output");
        for &value in session.output() {
            line.text(" ").number(value as i32);
        }
        line.show();
    }
    Ok(())
}

/// A window of raw values, channels × height × width. Here they are made up.
fn read_sensor(window: &mut [f32], time: usize) {
    for (i, value) in window.iter_mut().enumerate() {
        *value = ((i * 37 + time * 11) % 101) as i32 as f32;
        *value = (*value - 50.0) / 16.0;
    }
}

/// A panic would end in an endless loop, where a watchdog finds it. Nothing here can panic, so this is not linked.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
