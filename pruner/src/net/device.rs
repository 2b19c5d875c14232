//! The device that a network runs on, by the name that the user types.

use crate::error::{Error, Result};
use burn::tensor::Device;

/// Devices of this build.
pub const DEVICES: &[&str] = &[
    "cpu",
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "tch")]
    "tch",
];

/// The device of that name; `.autodiff()` makes it one to train on.
///
/// # Errors
/// An unknown name, with the names of this build and how to get others.
pub fn device(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0usize)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "tch")]
        "tch" => Ok(Device::libtorch_cuda(0usize)),
        _ => Err(Error::new(format!("device `{name}` is not in this build, which has {}", DEVICES.join(", ")))
            .help("build with --features cuda, wgpu or tch for others")),
    }
}
