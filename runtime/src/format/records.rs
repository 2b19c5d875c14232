//! The records of a `.keel` file, as they lie in its bytes (little endian, every field naturally aligned).
//!
//! These structs are the one definition of the format: the reader casts to them, the writer casts from
//! them, and nothing else in the project knows a byte offset.

use bytemuck::{Pod, Zeroable};

/// First four bytes of every file.
pub const MAGIC: [u8; 4] = *b"KEEL";
/// Version of the format that this crate reads and writes.
pub const VERSION: u16 = 1;
/// Sections start at multiples of this many bytes, a cache line of the larger targets.
pub const SECTION_ALIGN: usize = 64;
/// Tensors in the arena and pieces of the data section start at multiples of this many bytes.
pub const TENSOR_ALIGN: usize = 4;
/// Largest number of tensors or operators in a file.
pub const MAX_RECORDS: usize = 4096;

/// The head of the file; sections are listed right behind it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// [`VERSION`].
    pub version: u16,
    /// Number of entries in the section table.
    pub sections: u16,
    /// Length of the whole file in bytes.
    pub file_len: u32,
    /// CRC-32 (IEEE) of the rest of this record and of the section table, which holds the checksums of the
    /// sections. What stands before it cannot be changed unseen: a wrong count gives another checksum.
    pub crc: u32,
    /// Elements of arena that a session needs (bytes, or f32 in float models): activations, then scratch.
    pub arena_len: u32,
    /// Where the scratch of the kernels begins in the arena.
    pub scratch_offset: u32,
    /// Index of the tensor that the caller fills.
    pub input: u16,
    /// Index of the tensor that holds the result.
    pub output: u16,
    /// The target class that weights are packed for, a code of [`super::Packing`].
    pub packing: u16,
    /// How input values are rounded, one of [`input_rounding`].
    pub input_rounding: u16,
    /// What the model computes in, a code of [`super::Dtype`].
    pub dtype: u16,
    /// Zero.
    pub reserved: [u16; 15],
}

/// How values half-way between two integers become one, when inputs are quantised.
pub mod input_rounding {
    /// Away from zero. The steps of a calibrated image are often those of its bytes, half a step off: to the even one,
    /// every two of them would become the same.
    pub const HALF_AWAY: u16 = 0;
    /// To the even one, as ONNX's QuantizeLinear does.
    pub const HALF_EVEN: u16 = 1;
}

/// What a section holds.
pub mod section {
    /// `[TensorRecord]`
    pub const TENSORS: u16 = 1;
    /// `[OpRecord]`, in execution order
    pub const OPS: u16 = 2;
    /// Weights, their indices, tables and requantisation records
    pub const DATA: u16 = 3;
    /// UTF-8 names, referred to by offset and length
    pub const NAMES: u16 = 4;
    /// The contract as the user wrote it (UTF-8 TOML)
    pub const CONTRACT: u16 = 5;
    /// `CertificateHead`, then `[CertificateGroup]`
    pub const CERTIFICATE: u16 = 6;
    /// `MonitorHead`, then `[FloorRecord]`
    pub const MONITOR: u16 = 7;
    /// The input normalisation that the network expects: `[InputChannel]`
    pub const INPUT: u16 = 8;
    /// `Signature`, over all bytes before this section; the last section of a file
    pub const SIGNATURE: u16 = 9;
    /// What the monitor compares the field with: `FieldHead`, then `[FieldGroup]`, then confusion matrices
    pub const FIELD: u16 = 10;
    /// The largest code that this crate knows.
    pub const LAST: u16 = FIELD;

    /// Flag: a reader that does not know the section must refuse the file.
    pub const MANDATORY: u16 = 1;
}

/// One entry of the section table.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SectionRecord {
    /// One of [`section`].
    pub kind: u16,
    /// [`section::MANDATORY`] or 0.
    pub flags: u16,
    /// From the start of the file; a multiple of [`SECTION_ALIGN`].
    pub offset: u32,
    /// Bytes.
    pub len: u32,
    /// CRC-32 (IEEE) of the section's bytes; 0 for the signature, which proves itself.
    pub crc: u32,
}

/// An ed25519 signature (RFC 8032) of all bytes of the file before its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Signature {
    /// The public key that it claims to be made with. A loader trusts keys that it brings, never this one.
    pub key: [u8; 32],
    /// `R`, then `S`.
    pub signature: [[u8; 32]; 2],
}

/// A piece of the names section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct NameRef {
    /// From the start of the names section.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// An activation tensor, one sample, laid out H × W × C. Of int8 values, `real = scale * (q - zero)`; f32 values are the
/// real ones, `scale` is 1 and `zero` 0.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct TensorRecord {
    /// Place in the arena, in elements.
    pub offset: u32,
    /// Channels.
    pub c: u32,
    /// Height (1 for sequences and vectors).
    pub h: u32,
    /// Width.
    pub w: u32,
    /// Scale of the quantisation; finite and positive.
    pub scale: f32,
    /// Zero point, -128..=127.
    pub zero: i32,
    /// First operator at which the tensor is alive (0 for the input).
    pub first_op: u32,
    /// Last operator at which the tensor is alive.
    pub last_op: u32,
}

/// Operator codes.
pub mod op {
    /// Convolution with `groups == 1`; weights are a matrix of output channels × taps (OHWI).
    pub const CONV: u16 = 1;
    /// Depthwise convolution, one output channel per input channel; weights HWC.
    pub const DEPTHWISE: u16 = 2;
    /// Fully connected over the whole input tensor, read H × W × C; weights `[out][in]`.
    pub const LINEAR: u16 = 3;
    /// Element-wise sum of two tensors of the same shape.
    pub const ADD: u16 = 4;
    /// Maximum over a window.
    pub const MAX_POOL: u16 = 5;
    /// Mean over a window, the padding not counted.
    pub const AVG_POOL: u16 = 6;
    /// Grouped convolution with `1 < groups`, not depthwise; weights OHWI with I = input channels / groups.
    pub const GROUPED_CONV: u16 = 7;
    /// Element-wise product of two tensors of the same shape, or of a tensor and one value per channel.
    pub const MUL: u16 = 8;
    /// `y = table[x + 128]`: any function of one value, and changes of scale.
    pub const LUT: u16 = 9;
    /// Softmax over the channels of each pixel, by a table of exponentials.
    pub const SOFTMAX: u16 = 10;
    /// Each pixel becomes `stride[0] × stride[1]` equal ones.
    pub const RESIZE: u16 = 11;
    /// The pixels and channels of a box of the input: its first row and column in `pad`, its first channel in
    /// `groups`.
    pub const SLICE: u16 = 12;
    /// The input with a border of the input's zero point (in float models: of the one number at `requant`): `pad` pixels above and to the left.
    pub const PAD: u16 = 13;
    /// A function of each value, see [`super::function`]; only in float models.
    pub const ACTIVATION: u16 = 14;
}

/// Functions of an [`op::ACTIVATION`]; its parameters are f32 numbers in the data section at
/// [`OpRecord::requant`].
pub mod function {
    /// `x`, for the sake of the bounds.
    pub const IDENTITY: u16 = 0;
    /// `1 / (1 + exp(-x))`
    pub const SIGMOID: u16 = 1;
    /// Hyperbolic tangent.
    pub const TANH: u16 = 2;
    /// `clamp(alpha * x + beta, 0, 1)`; parameters `alpha`, `beta`.
    pub const HARD_SIGMOID: u16 = 3;
    /// `x * clamp(x / 6 + 1/2, 0, 1)`
    pub const HARD_SWISH: u16 = 4;
    /// `x * sigmoid(x)`
    pub const SILU: u16 = 5;
    /// `x` where it is positive, `slope * x` elsewhere; parameter `slope`.
    pub const LEAKY_RELU: u16 = 6;
    /// `x * (1 + erf(x / √2)) / 2`
    pub const GELU: u16 = 7;

    /// How many parameters a function has; `None` for unknown codes.
    pub fn parameters(code: u16) -> Option<u32> {
        match code {
            HARD_SIGMOID => Some(2),
            LEAKY_RELU => Some(1),
            IDENTITY..=GELU => Some(0),
            _ => None,
        }
    }
}

/// How weights are stored.
pub mod encoding {
    /// Every weight.
    pub const DENSE: u8 = 0;
    /// Only tiles that are not all zero, with a `u8` column each: see [`crate::kernels::Weights::Blocks`].
    pub const BLOCKS8: u8 = 1;
    /// Likewise with a `u16` column each.
    pub const BLOCKS16: u8 = 2;
    /// Two of each four weights along the taps of an output, with two bits of position each: see
    /// [`crate::kernels::Weights::TwoOfFour`].
    pub const TWO_OF_FOUR: u8 = 3;
}

/// Bits of [`OpRecord::flags`].
pub mod flag {
    /// Strips of output rows are computed from the last to the first.
    pub const REVERSE: u8 = 1;
    /// A convolution or linear operator whose result, requantised to `mid`, is then added to `input2`.
    pub const FUSED_ADD: u8 = 2;
    /// A mean over all taps of the window, those in the padding being zeros; only in float models.
    pub const COUNT_PAD: u8 = 4;
    /// Every bit that has a meaning.
    pub const ALL: u8 = 7;
}

/// Rounding rules of requantisation ([`OpRecord::rounding`]).
pub mod rounding {
    /// The high word of the product, rounded half up: [`crate::quant::requantise`].
    pub const HIGH_HALF_UP: u8 = 0;
}

/// One operator. Fields that an operator has no use for are zero.
///
/// In float models: weights are f32 or f16, every one stored, in the order of `Packing::Portable`; `requant` is where
/// the biases lie, `requant_len` f32 numbers, one per output channel (of an [`op::ACTIVATION`]: its parameters, and
/// `groups` is its [`function`]); `add_mul` holds the bits of two f32 numbers, the bounds of the result (of a fused Add:
/// of the sum). A sum is `a + b`, a product `a * b`; [`op::SOFTMAX`] has no table and [`op::AVG_POOL`] no records (and
/// [`flag::COUNT_PAD`]); no float model has an [`op::LUT`]. All fields of quantisation are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OpRecord {
    /// One of [`op`].
    pub code: u16,
    /// Tensor index.
    pub input: u16,
    /// Second tensor index (Add, Mul, a fused Add), else `u16::MAX`.
    pub input2: u16,
    /// Tensor index.
    pub output: u16,
    /// The first channel of the output tensor that is written: a concatenation is a tensor that several
    /// operators write.
    pub out_channel: u32,
    /// How many channels are written.
    pub out_channels: u32,
    /// Kernel height and width.
    pub kernel: [u16; 2],
    /// Vertical and horizontal step.
    pub stride: [u16; 2],
    /// Distance between taps.
    pub dilation: [u16; 2],
    /// Padding above and to the left; what is needed below and to the right follows from the output shape.
    pub pad: [u16; 2],
    /// Weights (int8) or a table: offset in the data section.
    pub weights: u32,
    /// Bytes of weights or table.
    pub weights_len: u32,
    /// Which weights are stored: offset in the data section.
    pub index: u32,
    /// Bytes of the index.
    pub index_len: u32,
    /// Requantisation: offset in the data section of `[Requant]`: one per output channel (conv, depthwise,
    /// linear); for the mean one per number of valid taps, beginning at `count_base`; one for a product.
    pub requant: u32,
    /// Number of requantisation records.
    pub requant_len: u32,
    /// Left shift of the accumulator before the multiplication, 0..=15.
    pub left_shift: u8,
    /// Smallest output value.
    pub lo: i8,
    /// Largest output value.
    pub hi: i8,
    /// One of [`rounding`].
    pub rounding: u8,
    /// Groups of a grouped convolution, else 1; `count_base` of a mean: the smallest number of valid taps; the
    /// first channel of a slice.
    pub groups: u16,
    /// One of [`encoding`].
    pub encoding: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Output rows that are computed at a time, so that the output may lie over rows of the input that are read
    /// no more; 0 for all at once.
    pub strip_rows: u16,
    /// Add: right shift, 0..=30.
    pub add_shift: u16,
    /// Add: multipliers of the two inputs (of a fused Add: of the result, then of `input2`).
    pub add_mul: [i32; 2],
    /// Add: bias (rounding and zero points folded in).
    pub add_bias: i32,
    /// A fused Add: zero point, smallest and largest value of what is added to `input2`, then zero.
    pub mid: [i8; 4],
    /// The node's name in the user's network.
    pub name: NameRef,
}

/// Requantisation of one output channel, see [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Requant {
    /// Bias with the input zero point folded in: `bias - zero_in * sum(weights)`.
    pub bias: i32,
    /// `round(scale_in * scale_w / scale_out * 2^(32 - left_shift))`.
    pub mul: i32,
}

/// How a user's value becomes the real value that the network takes: `real = (value * scale - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct InputChannel {
    /// Factor on the raw value.
    pub scale: f32,
    /// Mean, after the factor.
    pub mean: f32,
    /// Standard deviation, after the factor.
    pub std: f32,
}

impl Default for OpRecord {
    /// Nothing yet: no second input, the whole range of int8, one group.
    fn default() -> Self {
        OpRecord { input2: u16::MAX, lo: i8::MIN, hi: i8::MAX, groups: 1, ..<Self as Zeroable>::zeroed() }
    }
}

impl OpRecord {
    /// Whether this bit of [`flag`] is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Float models: smallest and largest value of the result.
    pub fn bounds(&self) -> [f32; 2] {
        self.add_mul.map(|bits| f32::from_bits(bits as u32))
    }

    /// Float models: a record without numbers of quantisation, with these bounds.
    pub fn with_bounds(self, lo: f32, hi: f32) -> Self {
        OpRecord { lo: 0, hi: 0, add_mul: [lo, hi].map(|bound| bound.to_bits() as i32), ..self }
    }

    /// The operator's name for people.
    pub fn code_name(&self) -> &'static str {
        match self.code {
            op::CONV => "Conv",
            op::DEPTHWISE => "DepthwiseConv",
            op::LINEAR => "Linear",
            op::ADD => "Add",
            op::MAX_POOL => "MaxPool",
            op::AVG_POOL => "AvgPool",
            op::GROUPED_CONV => "GroupedConv",
            op::MUL => "Mul",
            op::LUT => "Lut",
            op::SOFTMAX => "Softmax",
            op::RESIZE => "Resize",
            op::SLICE => "Slice",
            op::PAD => "Pad",
            op::ACTIVATION => "Activation",
            _ => "unknown",
        }
    }
}
