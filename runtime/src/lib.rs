//! `no_std` runtime for `.keel` models: format, int8 kernels, session, fairness monitor.
#![no_std]
#[cfg(feature = "write")]
extern crate alloc;
#[cfg(any(test, feature = "map"))]
extern crate std;

#[cfg(feature = "map")]
pub mod cast;
mod error;
pub mod format;
pub mod kernels;
pub mod monitor;
pub mod preprocess;
pub mod quant;
mod session;

pub use error::Error;
pub use format::Model;
pub use session::{Aligned, Arena, Session};
