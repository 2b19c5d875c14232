//! What can be wrong: with a file, with the memory that a caller gives, with a monitored event.

use core::fmt;

use crate::format::section;

/// The one error type of the crate. Each variant says what is wrong and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes of the file do not start at a multiple of 4 in memory.
    Alignment,
    /// Fewer bytes than the head of a file.
    TooShort {
        /// Bytes given.
        len: usize,
    },
    /// The file does not begin with `KEEL`.
    Magic([u8; 4]),
    /// A version of the format that this crate cannot read.
    Version(u16),
    /// Weights packed for a target class that this crate does not know.
    Packing(u16),
    /// Weights packed for a target class that a kernel set cannot run.
    KernelPacking {
        /// The kernel set.
        kernels: &'static str,
        /// The packing of the model.
        packing: &'static str,
    },
    /// A session, or a function, that is not made for what the model computes in.
    Dtype {
        /// What the model computes in.
        dtype: &'static str,
        /// What was asked for.
        session: &'static str,
    },
    /// The file must be signed and is not, or by another key, or its bytes are not those that were signed.
    Signature(&'static str),
    /// The stated length of the file is not its length: it was cut, or something was appended.
    FileLength {
        /// Bytes that the header states.
        stated: u32,
        /// Bytes given.
        actual: usize,
    },
    /// The bytes changed since they were written.
    Crc {
        /// Checksum in the header.
        stated: u32,
        /// Checksum of the bytes.
        actual: u32,
    },
    /// A field of the header.
    Header(&'static str),
    /// A section, by its code in [`section`].
    Section {
        /// See [`section`].
        kind: u16,
        /// What is wrong.
        fault: &'static str,
    },
    /// A tensor record.
    Tensor {
        /// Its index.
        tensor: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// An operator record.
    Op {
        /// Its index.
        op: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// Two tensors that are alive at the same time share bytes of the arena.
    Overlap {
        /// Index of one tensor.
        first: usize,
        /// Index of the other.
        second: usize,
    },
    /// One run would take more than [`crate::format::MAX_WORK`] multiplications.
    TooMuchWork,
    /// The arena that the caller gave is smaller than the file demands.
    ArenaTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The arena does not start at a multiple of 4 in memory.
    ArenaAlignment,
    /// A buffer does not have one element per element of the model's input.
    InputLength {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        given: usize,
    },
    /// The monitor has no group of this number.
    NoSuchGroup {
        /// The number given.
        group: usize,
        /// How many groups there are.
        groups: usize,
    },
    /// The monitor's memory has another length than it needs.
    MonitorState {
        /// Words needed.
        needed: usize,
        /// Words given.
        given: usize,
    },
    /// A label that cannot be joined with its prediction.
    Ticket(&'static str),
    /// The model does not compute what it computed when it was certified.
    SelfTest {
        /// Checksum of the outputs that the file states.
        stated: u32,
        /// Checksum of these outputs.
        actual: u32,
    },
    /// A configuration of the monitor that would give no guarantee.
    Monitor(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Alignment => f.write_str("the bytes of a .keel file must start at a multiple of 4 in memory"),
            Error::TooShort { len } => write!(f, "{len} bytes are too few for a .keel file"),
            Error::Magic(m) => write!(f, "not a .keel file: it begins with {m:02x?}"),
            Error::Version(v) if v < crate::format::VERSION => {
                write!(f, "format version {v}, which is no longer read: compile or prune the network again")
            }
            Error::Version(v) => {
                write!(f, "format version {v}, but this runtime reads version {}", crate::format::VERSION)
            }
            Error::Packing(p) => write!(f, "weights are in packing {p}, which this runtime does not know"),
            Error::KernelPacking { kernels, packing } => {
                write!(
                    f,
                    "weights are packed for {packing}, which the {kernels} kernels do not run: pack the model for this target"
                )
            }
            Error::Dtype { dtype, session } => {
                write!(
                    f,
                    "the model computes in {dtype}, which {session} does not: Session runs int8 models and FloatSession (feature float) f32 and f16 ones"
                )
            }
            Error::Signature(fault) => write!(f, "signature: {fault}"),
            Error::FileLength { stated, actual } => {
                write!(f, "the file should have {stated} bytes and has {actual}; it was cut or appended to")
            }
            Error::Crc { stated, actual } => {
                write!(f, "checksum {actual:08x} instead of {stated:08x}: the file is damaged")
            }
            Error::Header(fault) => write!(f, "header: {fault}"),
            Error::Section { kind, fault } => write!(f, "section {} ({kind}): {fault}", section_name(kind)),
            Error::Tensor { tensor, fault } => write!(f, "tensor {tensor}: {fault}"),
            Error::Op { op, fault } => write!(f, "operator {op}: {fault}"),
            Error::Overlap { first, second } => {
                write!(f, "tensors {first} and {second} are alive at the same time and share arena bytes")
            }
            Error::TooMuchWork => f.write_str("one run of the model would take more than 2^40 multiplications"),
            Error::ArenaTooSmall { needed, given } => write!(f, "the arena must have {needed} bytes and has {given}"),
            Error::ArenaAlignment => f.write_str("the arena must start at a multiple of 4 in memory"),
            Error::InputLength { needed, given } => {
                write!(f, "the model's input has {needed} elements, but {given} were given")
            }
            Error::NoSuchGroup { group, groups } => write!(f, "no group {group}: the monitor has {groups}"),
            Error::MonitorState { needed, given } => {
                write!(f, "the monitor needs {needed} words of memory and got {given}")
            }
            Error::Ticket(fault) => write!(f, "no label for this ticket: {fault}"),
            Error::SelfTest { stated, actual } => {
                write!(
                    f,
                    "self-test: outputs with checksum {actual:08x} instead of {stated:08x}: flash or kernels are damaged"
                )
            }
            Error::Monitor(fault) => write!(f, "monitor: {fault}"),
        }
    }
}

impl core::error::Error for Error {}

fn section_name(kind: u16) -> &'static str {
    match kind {
        section::TENSORS => "tensors",
        section::OPS => "operators",
        section::DATA => "data",
        section::NAMES => "names",
        section::CONTRACT => "contract",
        section::CERTIFICATE => "certificate",
        section::MONITOR => "monitor",
        section::INPUT => "input",
        section::SIGNATURE => "signature",
        section::FIELD => "field",
        _ => "unknown",
    }
}
