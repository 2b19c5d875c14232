//! What the host and the firmware exchange: a batch image that QEMU loads into external memory, and a results
//! image that the firmware leaves there and writes to a file. The firmware includes this file, so that every
//! offset has one definition. All numbers are little endian.

use bytemuck::{Pod, Zeroable};

/// Where the external memory (PSRAM) of the MPS2 board begins; the batch image lies at its start.
pub const MPS2_AN386_MEMORY: usize = 0x2100_0000;
/// Where the external memory (DDR) of the MPS3 board begins; the batch image lies at its start.
pub const MPS3_AN547_MEMORY: usize = 0x6000_0000;
/// Bytes of external memory that are used, for the batch and the results together.
pub const MEMORY_LEN: usize = 16 << 20;
/// Largest arena that the firmware can give a model.
pub const ARENA_LEN: usize = 3584 << 10;
/// The parts of the images begin at multiples of this many bytes.
pub const ALIGN: usize = 16;

/// First bytes of the batch image; the last one is the version.
pub const BATCH_MAGIC: [u8; 4] = *b"EKB\x02";
/// First bytes of the results image; the last one is the version.
pub const RESULTS_MAGIC: [u8; 4] = *b"EKR\x02";
/// Flag of a batch: use the portable kernels, not the board's own.
pub const PORTABLE: u32 = 1;
/// Flag of a batch: say at the end what the monitor knows of each group.
pub const STATES: u32 = 2;
/// Predictions that can wait for their labels on the device.
pub const SLOTS: usize = 64;
/// A label or a group that nobody knows.
pub const UNKNOWN: u8 = u8::MAX;

/// The head of the batch image. Offsets are from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BatchHead {
    /// [`BATCH_MAGIC`].
    pub magic: [u8; 4],
    /// [`PORTABLE`], [`STATES`].
    pub flags: u32,
    /// Offset of the `.keel` file.
    pub model: u32,
    /// Bytes of the `.keel` file.
    pub model_len: u32,
    /// Offset of the inputs, one behind the other.
    pub inputs: u32,
    /// Bytes of one input.
    pub input_len: u32,
    /// Number of inputs.
    pub count: u32,
    /// Offset of a [`Truth`] for each input.
    pub truth: u32,
    /// Offset of the memory for the results image.
    pub results: u32,
    /// Bytes of the results image.
    pub results_len: u32,
    /// Labelled events that the firmware of the monitor takes from its stream.
    pub events: u32,
}

/// What is known of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Truth {
    /// The right class, or [`UNKNOWN`].
    pub label: u8,
    /// The group of people, or [`UNKNOWN`].
    pub group: u8,
}

/// The head of the results image; [`ResultsLayout`] says what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ResultsHead {
    /// [`RESULTS_MAGIC`].
    pub magic: [u8; 4],
    /// Number of inputs that were run.
    pub count: u32,
    /// Number of operators.
    pub ops: u32,
    /// Bytes of one output.
    pub output_len: u32,
    /// Number of groups that the monitor has; 0 without a monitor.
    pub groups: u32,
    /// Most SysTick ticks of one event, from the firmware of the monitor; 0 from others.
    pub most: u32,
    /// SysTick ticks in all inferences, or in all events.
    pub ticks: u64,
}

/// The parts of the results image, as offsets from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultsLayout {
    /// Ticks of each operator over all inferences: `u64`.
    pub ops: usize,
    /// State of the monitor: `u32`.
    pub state: usize,
    /// Predicted classes: `u16`.
    pub classes: usize,
    /// Outputs, one behind the other.
    pub outputs: usize,
    /// Bytes of the whole image.
    pub len: usize,
}

impl ResultsLayout {
    /// For `count` inputs through a model with `ops` operators, outputs of `output_len` bytes and a monitor
    /// whose state has `words` words. `None` when no memory is large enough.
    pub fn new(count: usize, ops: usize, words: usize, output_len: usize) -> Option<Self> {
        let mut end = size_of::<ResultsHead>();
        let mut part = |len: usize| {
            let start = end.checked_next_multiple_of(ALIGN)?;
            end = start.checked_add(len)?;
            Some(start)
        };
        let ops = part(ops.checked_mul(8)?)?;
        let state = part(words.checked_mul(4)?)?;
        let classes = part(count.checked_mul(2)?)?;
        let outputs = part(count.checked_mul(output_len)?)?;
        Some(ResultsLayout { ops, state, classes, outputs, len: end })
    }
}
