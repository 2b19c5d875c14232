//! What a file is lowered for: how weights lie, and what the target would rather save, memory or time.

use crate::error::{Error, Result};
use evenkeel_runtime::format::Packing;
use std::fmt;
use std::str::FromStr;

/// A class of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Any device; weights lie row by row.
    #[default]
    Portable,
    /// Cortex-M4, M7 and M33.
    CortexM4,
    /// Cortex-M55 and M85.
    CortexM55,
    /// 64-bit ARM.
    Aarch64,
    /// x86-64.
    X86_64,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 5] =
        [Target::Portable, Target::CortexM4, Target::CortexM55, Target::Aarch64, Target::X86_64];

    /// The name that commands take.
    pub fn name(self) -> &'static str {
        match self {
            Target::Portable => "portable",
            Target::CortexM4 => "cortex-m4",
            Target::CortexM55 => "cortex-m55",
            Target::Aarch64 => "aarch64",
            Target::X86_64 => "x86-64",
        }
    }

    /// The layout of weights that its kernels read.
    pub fn packing(self) -> Packing {
        match self {
            Target::Portable => Packing::Portable,
            Target::CortexM4 => Packing::Dsp,
            Target::CortexM55 => Packing::Mve,
            Target::Aarch64 => Packing::Sdot,
            Target::X86_64 => Packing::Vnni,
        }
    }

    /// Whether outputs may overlap inputs strip by strip: it saves RAM, which microcontrollers lack, and costs calls.
    pub fn saves_ram(self) -> bool {
        !matches!(self, Target::Aarch64 | Target::X86_64)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let names = || Self::ALL.map(Target::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|t| t.name() == s)
            .ok_or_else(|| Error::new(format!("there is no target `{s}`")).help(format!("targets are {}", names())))
    }
}
