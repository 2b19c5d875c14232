//! Kernels for the Cortex-M4 and its DSP instructions, in inline assembler.

use super::Kernels;

/// The Cortex-M4 kernel set.
#[derive(Clone, Copy, Debug, Default)]
pub struct CortexM4;

impl Kernels for CortexM4 {
    const NAME: &'static str = "cortex-m4";
}
