//! Runs `.keel` models: `no_std`, no allocation, from a Cortex-M4 to a server.
//!
//! A `.keel` file is an int8 network together with the contract that it was pruned under and the
//! certificate of what was measured on exactly these bytes. The story of using one has three steps.
//!
//! 1. **Bytes are checked once.** [`Model::from_bytes`] goes over the whole file: checksum, sections, every
//!    shape, offset, count and lifetime, the amount of work, the premise of the monitor's guarantee. It is
//!    the only way to a [`Model`], and no bytes make it panic. From there on there are typed views into the
//!    file (in flash, mapped, or in a buffer; nothing is copied), and nothing left that could go wrong.
//! 2. **A session runs it.** The file states the arena: activations, then scratch. A [`Session`] borrows
//!    the model and that much memory, checks its length, and runs. Which [`kernels`] it runs with is a type
//!    parameter. All sets give the same bytes, because [`quant`] defines each rounding; so what a verdict
//!    measured on a host is what a device computes. [`preprocess`] brings a user's values into the input.
//! 3. **A monitor watches the contract.** When labels arrive, now or later, [`monitor::Monitor`] counts them per group
//!    and tells when a group's accuracy has fallen below its certified floor, or behind all others, with a guaranteed
//!    average time between false alarms, in integers and 8 to 188 bytes a group. Its state outlives power cuts and is
//!    sent as snapshots (`snapshot`).
//!
//! ```
//! use evenkeel_runtime::{Error, Model, Session, preprocess::quantise_input};
//!
//! /// `file` and `arena` start at multiples of 4 in memory; `raw` is C × H × W.
//! fn classify(file: &[u8], arena: &mut [u8], raw: &[f32]) -> Result<usize, Error> {
//!     let model = Model::from_bytes(file)?;
//!     let mut session = Session::new(&model, arena)?;
//!     quantise_input(&model, raw, session.input_mut())?;
//!     session.run();
//!     Ok(session.classify())
//! }
//! # assert_eq!(classify(&[], &mut [], &[]), Err(Error::TooShort { len: 0 }));
//! ```
//!
//! | module | job |
//! |---|---|
//! | [`format`] | the records, the verifying reader, the writer (feature `write`) |
//! | [`quant`] | the one requantisation |
//! | [`kernels`] | the operators: portable ones that define them, and one set per instruction set |
//! | [`preprocess`] | normalisation and quantisation of inputs |
//! | [`monitor`] | floors and gaps per group, late labels, episodes; planning on hosts (feature `write`) |
//! | `snapshot` | the monitor's state kept over power cuts, and sent (feature `snapshot`) |
//! | `cast` | mapped files (feature `map`) |
//! | `batch` | batches over the cores of a host (feature `std`) |
#![no_std]
#[cfg(feature = "write")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "map")]
pub mod cast;
mod error;
#[cfg(feature = "float")]
mod float_session;
pub mod format;
pub mod kernels;
pub mod monitor;
pub mod preprocess;
pub mod quant;
mod session;
#[cfg(feature = "snapshot")]
pub mod snapshot;
pub mod strips;

pub use error::Error;
#[cfg(feature = "float")]
pub use float_session::FloatSession;
pub use format::Model;
pub use session::{Aligned, Arena, Session};
