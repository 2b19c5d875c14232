//! `no_std` runtime for `.keel` models: format, int8 kernels, session, fairness monitor.
#![no_std]
#[cfg(feature = "write")]
extern crate alloc;
#[cfg(any(test, feature = "map"))]
extern crate std;

mod error;
pub mod format;
pub mod kernels;
pub mod quant;

pub use error::Error;
pub use format::Model;
