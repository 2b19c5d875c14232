//! Typed views of a file's bytes, verified once.

use core::str;

use bytemuck::{Pod, cast_slice, try_cast_slice};

use super::{
    CertificateGroup, CertificateHead, Dtype, FieldGroup, FieldHead, FloorRecord, Header, InputChannel, MonitorHead,
    NameRef, OpRecord, Packing, Requant, Signature, TensorRecord, encoding, op, verify,
};
use crate::Error;
use crate::kernels::portable::div_ceil;
use crate::kernels::{Columns, Weights};

/// A verified model: views into the bytes of a `.keel` file, nothing copied.
///
/// To have one is to have the proof that every index, offset, shape and count in the file is sound, so
/// what follows (accessors, [`crate::Session`]) has no errors to report.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub(super) header: &'a Header,
    pub(super) packing: Packing,
    pub(super) dtype: Dtype,
    pub(super) signature: Option<&'a Signature>,
    pub(super) tensors: &'a [TensorRecord],
    pub(super) input: &'a TensorRecord,
    pub(super) output: &'a TensorRecord,
    pub(super) ops: &'a [OpRecord],
    pub(super) data: &'a [u8],
    pub(super) names: &'a str,
    pub(super) contract: &'a str,
    pub(super) certificate: Option<(&'a CertificateHead, &'a [CertificateGroup])>,
    pub(super) monitor: Option<(&'a MonitorHead, &'a [FloorRecord])>,
    pub(crate) field: &'a [u8],
    pub(super) input_channels: &'a [InputChannel],
}

/// What the monitor compares the field with.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Gap detector, bins, self-test.
    pub head: &'a FieldHead,
    /// One record per group of the monitor.
    pub groups: &'a [FieldGroup],
    /// Confusion matrices, one per group, see [`FieldHead::classes`].
    pub confusion: &'a [u16],
}

impl<'a> Model<'a> {
    /// Verifies the whole file in one pass, without allocation, and gives typed views of it.
    ///
    /// `bytes` is exactly one file and starts at a multiple of 4 in memory ([`crate::Aligned`] for bytes
    /// in flash; files that are mapped and the buffers of usual allocators are aligned anyway).
    ///
    /// # Errors
    /// The first fault found, and where, and [`Error::KernelPacking`] if this build does not read the packing
    /// ([`Packing::is_read_here`]). No bytes make it panic, and its time is bounded: by the length of the file, the pairs
    /// of tensors and of operators and, for an operator, the windows that begin in its padding (at most 4096 on an
    /// axis).
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        verify::model(bytes)
    }

    /// The head of the file.
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// Length of the file in bytes.
    pub fn file_len(&self) -> usize {
        self.header.file_len as usize
    }

    /// The checksum that the file carries (and that was verified): names the version of a model in logs.
    pub fn crc(&self) -> u32 {
        self.header.crc
    }

    /// Elements of arena that a session needs: bytes, or f32 in float models.
    pub fn arena_len(&self) -> usize {
        self.header.arena_len as usize
    }

    /// Bytes of arena that a session needs.
    pub fn arena_bytes(&self) -> usize {
        self.arena_len() * self.dtype.arena_bytes()
    }

    /// The signature that the file carries. That it is there proves nothing: see `signature` (feature `sign`).
    pub fn signature(&self) -> Option<&'a Signature> {
        self.signature
    }

    /// All activation tensors.
    pub fn tensors(&self) -> &'a [TensorRecord] {
        self.tensors
    }

    /// All operators in execution order.
    pub fn ops(&self) -> &'a [OpRecord] {
        self.ops
    }

    /// The tensor that the caller fills.
    pub fn input(&self) -> &'a TensorRecord {
        self.input
    }

    /// The tensor that holds the result.
    pub fn output(&self) -> &'a TensorRecord {
        self.output
    }

    /// The text that a record refers to; empty when it is not of this file.
    pub fn name(&self, name: NameRef) -> &'a str {
        let start = name.offset as usize;
        start.checked_add(name.len as usize).and_then(|end| self.names.get(start..end)).unwrap_or("")
    }

    /// The contract as the user wrote it (TOML); empty for none.
    pub fn contract(&self) -> &'a str {
        self.contract
    }

    /// What the verdict measured on these bytes.
    pub fn certificate(&self) -> Option<(&'a CertificateHead, &'a [CertificateGroup])> {
        self.certificate
    }

    /// The device monitor's configuration, see [`crate::monitor`].
    pub fn monitor(&self) -> Option<(&'a MonitorHead, &'a [FloorRecord])> {
        self.monitor
    }

    /// What the monitor compares the field with; none where the file states nothing, or not in the form of a
    /// [`FieldHead`] and what it counts. Its numbers are checked where a monitor is configured
    /// ([`crate::monitor::Config::of`]), so that firmware without one need not carry the check.
    pub fn field(&self) -> Option<Field<'a>> {
        let [head] = records::<FieldHead>(self.field, 0, 1)? else { return None };
        let start = size_of::<FieldHead>();
        let groups = records::<FieldGroup>(self.field, start as u32, head.groups)?;
        let confusion = try_cast_slice::<u8, u16>(self.field.get(start + size_of_val(groups)..)?).ok()?;
        let cells = head.classes.checked_mul(head.classes)?.checked_mul(head.groups)?;
        (confusion.len() == cells as usize).then_some(Field { head, groups, confusion })
    }

    /// How raw values become real ones: none (they are), one for all channels, or one per channel.
    pub fn input_channels(&self) -> &'a [InputChannel] {
        self.input_channels
    }

    /// The target class that the weights are packed for.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// What the model computes in.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The bytes of an operator's weights, little endian in float models. Nothing for operators without weights and
    /// records of other models.
    pub fn weight_bytes(&self, op: &OpRecord) -> &'a [u8] {
        piece(self.data, op.weights, op.weights_len as usize).unwrap_or(&[])
    }

    /// The biases or parameters of an operator of this float model.
    pub fn floats(&self, op: &OpRecord) -> &'a [f32] {
        records(self.data, op.requant, op.requant_len).unwrap_or(&[])
    }

    /// The weights of an operator of this model, in the order that its code and the packing state; nothing for
    /// operators without weights. `None` for records of other models.
    pub fn weights(&self, op: &OpRecord) -> Option<Weights<'a>> {
        let bytes = cast_slice::<u8, i8>(piece(self.data, op.weights, op.weights_len as usize)?);
        let index = piece(self.data, op.index, op.index_len as usize)?;
        match op.encoding {
            encoding::BLOCKS8 | encoding::BLOCKS16 => {
                let down = div_ceil(op.out_channels as usize, self.packing.tile(op.code, op.encoding).rows);
                let (counts, columns) = index.split_at_checked(down.checked_mul(2)?)?;
                let columns = match op.encoding {
                    encoding::BLOCKS8 => Columns::U8(columns),
                    _ => Columns::U16(try_cast_slice(columns).ok()?),
                };
                Some(Weights::Blocks { counts: try_cast_slice(counts).ok()?, columns, tiles: bytes })
            }
            encoding::TWO_OF_FOUR => Some(Weights::TwoOfFour { positions: index, values: bytes }),
            _ => Some(Weights::Dense(bytes)),
        }
    }

    /// The table of a [`op::LUT`] of this model.
    pub fn table(&self, op: &OpRecord) -> Option<&'a [i8; 256]> {
        cast_slice::<u8, i8>(piece(self.data, op.weights, 256)?).first_chunk()
    }

    /// The table of a [`op::SOFTMAX`] of this model.
    pub fn exponentials(&self, op: &OpRecord) -> Option<&'a [u32; 256]> {
        records::<u32>(self.data, op.weights, 256)?.first_chunk()
    }

    /// The requantisation records of an operator of this model.
    pub fn requant(&self, op: &OpRecord) -> &'a [Requant] {
        records(self.data, op.requant, op.requant_len).unwrap_or(&[])
    }

    /// Multiply-accumulates with stored weights that the operator of this index takes for one input, padding
    /// of the input counted; 0 for pools and sums, and when there is no such operator.
    pub fn macs(&self, op: usize) -> u64 {
        let Some(op) = self.ops.get(op).filter(|op| has_weights(op.code)) else { return 0 };
        match op.encoding {
            encoding::DENSE => match [op.input, op.output].map(|t| self.tensors.get(t as usize)) {
                [Some(x), Some(y)] => work(op, x, y),
                _ => 0,
            },
            _ => {
                let pixels = self.tensors.get(op.output as usize).map_or(0, |y| y.h as u64 * y.w as u64);
                op.weights_len as u64 * pixels
            }
        }
    }
}

/// Whether an operator of this code has a matrix or filters of weights.
pub(super) fn has_weights(code: u16) -> bool {
    matches!(code, op::CONV | op::GROUPED_CONV | op::DEPTHWISE | op::LINEAR)
}

/// `len` bytes from `offset`, if they are there.
pub(super) fn piece(bytes: &[u8], offset: u32, len: usize) -> Option<&[u8]> {
    let start = offset as usize;
    bytes.get(start..start.checked_add(len)?)
}

/// `count` records from `offset`, if they are there and aligned.
pub(super) fn records<T: Pod>(bytes: &[u8], offset: u32, count: u32) -> Option<&[T]> {
    let len = (count as usize).checked_mul(size_of::<T>())?;
    try_cast_slice(piece(bytes, offset, len)?).ok()
}

/// Multiplications, additions or comparisons of an operator from `x` to `y`. Saturates.
pub(super) fn work(op: &OpRecord, x: &TensorRecord, y: &TensorRecord) -> u64 {
    let out = (y.h as u64 * y.w as u64).saturating_mul(op.out_channels as u64);
    let taps = op.kernel[0] as u64 * op.kernel[1] as u64;
    out.saturating_mul(match op.code {
        op::CONV => taps.saturating_mul(x.c as u64),
        op::GROUPED_CONV => taps.saturating_mul((x.c / op.groups.max(1) as u32) as u64),
        op::LINEAR => x.elements() as u64,
        op::DEPTHWISE | op::MAX_POOL | op::AVG_POOL => taps,
        _ => 1,
    })
}

impl TensorRecord {
    /// Elements, in int8 models also bytes; exact for the tensors of a verified model.
    pub fn elements(&self) -> usize {
        (self.c as usize).saturating_mul(self.h as usize).saturating_mul(self.w as usize)
    }

    /// Height, width, channels: the order of the bytes.
    pub fn shape(&self) -> [usize; 3] {
        [self.h as usize, self.w as usize, self.c as usize]
    }

    /// The elements of the arena that it takes.
    pub fn range(&self) -> core::ops::Range<usize> {
        self.offset as usize..(self.offset as usize).saturating_add(self.elements())
    }
}
