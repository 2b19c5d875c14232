//! SysTick as a clock that does not wrap.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;

/// SysTick counts 24 bits down.
const RELOAD: u32 = (1 << 24) - 1;

static WRAPS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    WRAPS.fetch_add(1, Ordering::Relaxed);
}

/// A running SysTick, at the processor's clock: 25 MHz on the MPS2 board, 32 MHz on the MPS3.
pub struct Clock(());

impl Clock {
    /// Starts to count.
    pub fn start(mut syst: SYST) -> Self {
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(RELOAD);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
        Clock(())
    }

    /// Ticks since the start.
    #[inline(always)]
    pub fn ticks(&self) -> u64 {
        loop {
            let wraps = WRAPS.load(Ordering::Relaxed);
            let count = RELOAD - SYST::get_current();
            // A wrap between the two readings: read again.
            if wraps == WRAPS.load(Ordering::Relaxed) {
                return (wraps as u64) << 24 | count as u64;
            }
        }
    }
}
