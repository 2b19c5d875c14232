//! What a function returns: done, or what was wrong, as a number.

use evenkeel_runtime::Error;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A pointer is NULL.
    NullPointer = 1,
    /// A pointer is not a multiple of what its type demands; model bytes and arenas must start at a multiple of 4.
    Alignment = 2,
    /// A length is larger than any object.
    Length = 3,
    /// An object was not made by its function (ek_model_verify, ek_session_init, ek_monitor_init).
    NotInitialised = 4,
    /// The bytes are fewer or more than the file says: it was cut, or something was appended.
    FileLength = 5,
    /// The bytes are not a .keel file.
    FileMagic = 6,
    /// A version of the format that this library does not read.
    FileVersion = 7,
    /// Weights packed for targets that this library does not know.
    FilePacking = 8,
    /// A checksum is wrong: the file is damaged.
    FileDamaged = 9,
    /// The signature is missing or wrong.
    FileSignature = 10,
    /// A record of the file is not sound.
    FileInvalid = 11,
    /// One run of the model would take more work than any file may ask for.
    FileWork = 12,
    /// Weights packed for a target that this library's kernels do not run.
    KernelPacking = 13,
    /// The arena is smaller than the model demands.
    ArenaTooSmall = 14,
    /// The number of values is not that of the model's input.
    InputLength = 15,
    /// The model has no monitor.
    NoMonitor = 16,
    /// The monitor has no group of this number.
    NoSuchGroup = 17,
    /// The state is not of EK_MONITOR_STATE_WORDS words, or is of another model or number of slots.
    MonitorState = 18,
    /// An error that this list does not name yet.
    Other = 19,
    /// The label came too late or twice, or its ticket was never given.
    Ticket = 20,
    /// A source of labels that is no ek_source.
    NoSuchSource = 21,
    /// The model does not compute what it computed when it was certified.
    SelfTest = 22,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub const ALL: [Status; 23] = [
        Status::Ok,
        Status::NullPointer,
        Status::Alignment,
        Status::Length,
        Status::NotInitialised,
        Status::FileLength,
        Status::FileMagic,
        Status::FileVersion,
        Status::FilePacking,
        Status::FileDamaged,
        Status::FileSignature,
        Status::FileInvalid,
        Status::FileWork,
        Status::KernelPacking,
        Status::ArenaTooSmall,
        Status::InputLength,
        Status::NoMonitor,
        Status::NoSuchGroup,
        Status::MonitorState,
        Status::Other,
        Status::Ticket,
        Status::NoSuchSource,
        Status::SelfTest,
    ];

    /// What is wrong and the way out, for people.
    pub fn text(self) -> &'static str {
        match self {
            Status::Ok => "done",
            Status::NullPointer => "a pointer is NULL",
            Status::Alignment => "a pointer is not aligned: model bytes and arenas must start at a multiple of 4",
            Status::Length => "a length is larger than any object",
            Status::NotInitialised => {
                "an object was not initialised: call its verify or init function and look at its status"
            }
            Status::FileLength => "the length is not what the file says: it was cut, or something was appended",
            Status::FileMagic => "the bytes are not a .keel file",
            Status::FileVersion => {
                "a format version that this library does not read: compile the network again, or update the library"
            }
            Status::FilePacking => "weights are packed for targets that this library does not know",
            Status::FileDamaged => "a checksum is wrong: the file is damaged",
            Status::FileSignature => "the signature is missing or wrong",
            Status::FileInvalid => "a record of the file is not sound: `evenkeel inspect` names it",
            Status::FileWork => "one run of the model would take more than 2^40 multiplications",
            Status::KernelPacking => "weights are packed for another target: compile the model for this one",
            Status::ArenaTooSmall => "the arena is smaller than ek_arena_len says",
            Status::InputLength => "the number of values is not that of the model's input",
            Status::NoMonitor => "the model has no monitor",
            Status::NoSuchGroup => "the monitor has no group of this number",
            Status::MonitorState => {
                "the state has another length than EK_MONITOR_STATE_WORDS says, or is of another model: begin with zeros"
            }
            Status::Ticket => "the label came too late or twice, or its ticket was never given",
            Status::NoSuchSource => "the source of a label is one of ek_source",
            Status::SelfTest => "the model does not compute what was certified: the file or the device is damaged",
            Status::Other => "an error without a number of its own",
        }
    }
}

impl From<Error> for Status {
    fn from(e: Error) -> Self {
        match e {
            Error::Alignment | Error::ArenaAlignment => Status::Alignment,
            Error::TooShort { .. } | Error::FileLength { .. } => Status::FileLength,
            Error::Magic(_) => Status::FileMagic,
            Error::Version(_) => Status::FileVersion,
            Error::Packing(_) => Status::FilePacking,
            Error::KernelPacking { .. } => Status::KernelPacking,
            Error::Signature(_) => Status::FileSignature,
            Error::Crc { .. } => Status::FileDamaged,
            Error::Header(_) | Error::Section { .. } | Error::Tensor { .. } | Error::Op { .. } => Status::FileInvalid,
            Error::Overlap { .. } | Error::Monitor(_) => Status::FileInvalid,
            Error::TooMuchWork => Status::FileWork,
            Error::ArenaTooSmall { .. } => Status::ArenaTooSmall,
            Error::InputLength { .. } => Status::InputLength,
            Error::NoSuchGroup { .. } => Status::NoSuchGroup,
            Error::MonitorState { .. } => Status::MonitorState,
            Error::Ticket(_) => Status::Ticket,
            Error::SelfTest { .. } => Status::SelfTest,
            _ => Status::Other,
        }
    }
}

/// The number of a call whose inside has a result.
pub(crate) fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::Ok)
}
