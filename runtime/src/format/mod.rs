//! The `.keel` file format: records, the verifying reader, and the writer (feature `write`).

mod crc;
mod dtype;
#[cfg(feature = "write")]
pub mod pack;
mod packing;
mod promises;
mod read;
mod records;
#[cfg(feature = "write")]
mod repack;
mod repair;
#[cfg(feature = "sign")]
pub mod signature;
mod verify;
mod verify_float;
mod verify_head;
mod verify_memory;
mod verify_ops;
mod verify_weights;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only the kernels for x86-64 need all of it"))]
pub(crate) mod vnni;
#[cfg(feature = "write")]
mod write;

pub use crc::crc32;
#[cfg(feature = "snapshot")]
pub(crate) use crc::extend as crc32_extend;
pub use dtype::Dtype;
pub use packing::{MAX_PIXELS, Packing, Tile};
pub use promises::*;
pub use read::{Field, Model};
pub use records::*;
#[cfg(feature = "write")]
pub use repack::{repack, repack_model};
pub use repair::repair;
pub(crate) use verify_weights::matrix_size;
#[cfg(feature = "write")]
pub use write::{FileSpec, Names};

/// The header's checksum covers the file from here, behind the field [`Header::crc`], to the end of the table.
pub const CRC_START: usize = 16;

/// Largest number of multiplications that one run of a model may take: hours on the slowest target, not
/// years, so that no file can make a run endless.
pub const MAX_WORK: u64 = 1 << 40;

/// Largest arena that a file may ask for, in bytes (not elements).
pub const MAX_ARENA: u32 = 1 << 30;
