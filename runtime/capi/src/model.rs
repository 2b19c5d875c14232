//! Verifying a model, and what is in it.

use core::ffi::c_char;

use evenkeel_runtime::Model;
use evenkeel_runtime::format::{TensorRecord, verdict};

use crate::Status;
use crate::pointers::{Marked, put, read};
use crate::status::status;
use crate::text::copy;

/// Words (of `uintptr_t`) of a model.
pub const EK_MODEL_WORDS: usize = 30;

/// A verified model: views into its bytes. Provide the room; ek_model_verify fills it. It may be copied.
#[repr(C)]
pub struct ModelStorage {
    words: [usize; EK_MODEL_WORDS],
}

/// What the certificate in the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Verdict {
    /// No verdict was made.
    None = 0,
    /// The contract holds at its confidence.
    Pass = 1,
    /// The contract is broken at its confidence.
    Fail = 2,
    /// The data could not tell.
    Undecided = 3,
}

/// An int8 tensor, laid out height × width × channels: `real = scale * (q - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct TensorInfo {
    /// Height; 1 for sequences and vectors.
    pub height: usize,
    /// Width.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Scale.
    pub scale: f32,
    /// Zero point, -128..=127.
    pub zero: i32,
}

/// What is in a model.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct ModelInfo {
    /// Bytes of the file.
    pub file_len: usize,
    /// Bytes of arena that a session needs.
    pub arena_len: usize,
    /// The checksum of the file, which names its version in logs.
    pub crc: u32,
    /// Number of operators.
    pub operators: usize,
    /// The input.
    pub input: TensorInfo,
    /// The output; a classifier has one value per class.
    pub output: TensorInfo,
    /// Groups that the monitor watches; 0 for a model without a monitor.
    pub groups: usize,
    /// The certificate's verdict.
    pub verdict: Verdict,
    /// Whether the file was written in spite of its verdict.
    pub unproven: bool,
    /// Rows that the verdict was made on.
    pub verdict_rows: u32,
}

/// The model in its storage. The bytes that it views are the caller's, who keeps them while the model is used.
///
/// # Safety
/// As [`Marked::get`].
pub(crate) unsafe fn model_of(model: *const ModelStorage) -> Result<Model<'static>, Status> {
    // SAFETY: the caller's promise.
    unsafe { Marked::<Model<'static>>::get(model) }
}

/// Verifies the bytes of a .keel file, once: afterwards running the model cannot fail.
///
/// The bytes start at a multiple of 4, are not copied, and stay where they are, unchanged, while the model is used.
///
/// # Safety
/// `bytes` points to `len` bytes and `model` to an `ek_model`, or they are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_verify(bytes: *const u8, len: usize, model: *mut ModelStorage) -> Status {
    // SAFETY: the caller's promise.
    let verify = || unsafe {
        Marked::<Model<'static>>::clear(model)?;
        let bytes: &'static [u8] = read(bytes, len)?;
        Marked::init(model, Model::from_bytes(bytes)?)
    };
    status(verify())
}

/// Bytes of arena that a session needs; 0 when there is no verified model.
///
/// # Safety
/// `model` is NULL, or an `ek_model` that is zeroed or that ek_model_verify was given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_arena_len(model: *const ModelStorage) -> usize {
    // SAFETY: the caller's promise.
    unsafe { model_of(model) }.map_or(0, |model| model.arena_len())
}

/// What is in a model.
///
/// # Safety
/// As ek_arena_len; `info` points to an `ek_model_info_t` or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_model_info(model: *const ModelStorage, info: *mut ModelInfo) -> Status {
    // SAFETY: the caller's promise.
    status(unsafe { model_of(model) }.and_then(|model| unsafe { put(info, info_of(&model)) }))
}

/// The name of a group that the monitor watches, for example `gender=female`, as UTF-8 that ends in a NUL byte.
///
/// A name longer than the buffer is cut. Gives the length of the whole name without the NUL; 0 for no such group.
///
/// # Safety
/// As ek_arena_len; `buf` points to `len` bytes or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_group_name(
    model: *const ModelStorage,
    group: usize,
    buf: *mut c_char,
    len: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let model = unsafe { model_of(model) };
    let name = model.as_ref().ok().and_then(|m| Some(m.name(m.monitor()?.1.get(group)?.name)));
    // SAFETY: the caller's promise.
    unsafe { copy(name.unwrap_or(""), buf, len) }
}

fn info_of(model: &Model) -> ModelInfo {
    let certificate = model.certificate().map(|(head, _)| head);
    ModelInfo {
        file_len: model.file_len(),
        arena_len: model.arena_len(),
        crc: model.crc(),
        operators: model.ops().len(),
        input: tensor(model.input()),
        output: tensor(model.output()),
        groups: model.monitor().map_or(0, |(_, floors)| floors.len()),
        verdict: match certificate.map(|head| head.verdict) {
            Some(verdict::PASS) => Verdict::Pass,
            Some(verdict::FAIL) => Verdict::Fail,
            Some(verdict::UNDECIDED) => Verdict::Undecided,
            _ => Verdict::None,
        },
        unproven: certificate.is_some_and(|head| head.unproven != 0),
        verdict_rows: certificate.map_or(0, |head| head.n),
    }
}

fn tensor(t: &TensorRecord) -> TensorInfo {
    let [height, width, channels] = t.shape();
    TensorInfo { height, width, channels, scale: t.scale, zero: t.zero }
}
