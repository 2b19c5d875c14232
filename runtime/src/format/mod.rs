//! The `.keel` file format: records, the verifying reader, and the writer (feature `write`).

mod records;
pub use records::*;
