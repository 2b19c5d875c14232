//! Running a model.

use core::ptr;

use evenkeel_runtime::monitor::{Prediction, self_test};
use evenkeel_runtime::preprocess::quantise_input;
use evenkeel_runtime::{Model, Session};

use crate::Status;
use crate::model::{ModelStorage, model_of};
use crate::pointers::{Marked, change, put, put_if_wanted, read};
use crate::status::status;

/// Words (of `uintptr_t`) of a session.
pub const EK_SESSION_WORDS: usize = 32;

/// A model and its arena. Provide the room; ek_session_init fills it.
#[repr(C)]
pub struct SessionStorage {
    words: [usize; EK_SESSION_WORDS],
}

/// What is kept between calls: no reference to the arena, in which the caller reads and writes.
#[derive(Clone, Copy)]
struct Parts {
    model: Model<'static>,
    arena: *mut u8,
}

impl Parts {
    /// The parts of an initialised session.
    ///
    /// # Safety
    /// As [`Marked::get`].
    unsafe fn of(session: *const SessionStorage) -> Result<Parts, Status> {
        // SAFETY: the caller's promise.
        unsafe { Marked::<Parts>::get(session) }
    }

    /// A session for the length of a call. The kernels are the fastest of the build.
    ///
    /// # Safety
    /// The arena that the session was initialised with is still there, and nobody else uses it during the call.
    unsafe fn with<R>(&self, call: impl FnOnce(Session<'_, '_>) -> Result<R, Status>) -> Result<R, Status> {
        // SAFETY: the caller's promise.
        let arena = unsafe { change(self.arena, self.model.arena_len()) }?;
        call(Session::new(&self.model, arena)?)
    }
}

/// Prepares a session. The session keeps views of the model's bytes and of the arena: both stay where they are while
/// the session is used. The `ek_model` itself is needed no more.
///
/// The arena has at least ek_arena_len(model) bytes and starts at a multiple of 4.
///
/// # Safety
/// `session` points to an `ek_session` or is NULL; `model` is as in ek_arena_len; `arena` points to `len` bytes that
/// nothing else uses, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_session_init(
    session: *mut SessionStorage,
    model: *const ModelStorage,
    arena: *mut u8,
    len: usize,
) -> Status {
    // SAFETY: the caller's promise. Any bytes are fine in an arena; they are zeroed, so that none is uninitialised.
    let init = || unsafe {
        Marked::<Parts>::clear(session)?;
        let model = model_of(model)?;
        if len < model.arena_len() {
            return Err(Status::ArenaTooSmall);
        }
        change(arena, 0)?;
        ptr::write_bytes(arena, 0, model.arena_len());
        let parts = Parts { model, arena };
        parts.with(|_| Ok(()))?;
        Marked::init(session, parts)
    };
    status(init())
}

/// The int8 input, height × width × channels, to be filled before every run (a run may overwrite it). `len`, unless it
/// is NULL, becomes its length. NULL when there is no session.
///
/// # Safety
/// `session` is NULL, or an `ek_session` that is zeroed or that ek_session_init was given; `len` points to a `size_t`
/// or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_session_input(session: *mut SessionStorage, len: *mut usize) -> *mut i8 {
    // SAFETY: the caller's promise; a verified model's tensors lie in its arena.
    let input = || unsafe {
        let parts = Parts::of(session)?;
        let tensor = parts.model.input();
        put_if_wanted(len, tensor.elements())?;
        Ok::<_, Status>(parts.arena.add(tensor.offset as usize).cast::<i8>())
    };
    input().unwrap_or(ptr::null_mut())
}

/// Normalises and quantises raw values into the input: `len` values in the order channels × height × width, which must
/// be all of the model's input. The model brings the normalisation.
///
/// # Safety
/// As ek_session_input; the model's bytes and the arena are still there; `values` points to `len` floats or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_quantise_input(session: *mut SessionStorage, values: *const f32, len: usize) -> Status {
    // SAFETY: the caller's promise.
    let quantise = || unsafe {
        let parts = Parts::of(session)?;
        let values = read(values, len)?;
        parts.with(|mut session| Ok(quantise_input(&parts.model, values, session.input_mut())?))
    };
    status(quantise())
}

/// Runs the model on what the input holds.
///
/// # Safety
/// As ek_session_input; the model's bytes and the arena are still there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_session_run(session: *mut SessionStorage) -> Status {
    // SAFETY: the caller's promise.
    let run = || unsafe {
        Parts::of(session)?.with(|mut session| {
            session.run();
            Ok(())
        })
    };
    status(run())
}

/// The int8 output, height × width × channels, as the last run left it. `len`, unless it is NULL, becomes its length.
/// NULL when there is no session.
///
/// # Safety
/// As ek_session_input.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_session_output(session: *const SessionStorage, len: *mut usize) -> *const i8 {
    // SAFETY: the caller's promise; a verified model's tensors lie in its arena.
    let output = || unsafe {
        let parts = Parts::of(session)?;
        let tensor = parts.model.output();
        put_if_wanted(len, tensor.elements())?;
        Ok::<_, Status>(parts.arena.add(tensor.offset as usize).cast::<i8>().cast_const())
    };
    output().unwrap_or(ptr::null())
}

/// The index of the largest output of the last run; the first one wins a tie.
///
/// # Safety
/// As ek_session_run; `class_index` points to a `size_t` or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_session_classify(session: *const SessionStorage, class_index: *mut usize) -> Status {
    // SAFETY: the caller's promise.
    let classify = || unsafe {
        let class = Parts::of(session)?.with(|session| Ok(session.classify()))?;
        put(class_index, class)
    };
    status(classify())
}

/// Runs the self-test of the model's file, which says whether the device computes what was certified; input and output
/// are overwritten. A file without one passes. Best called once after ek_session_init.
///
/// # Safety
/// As ek_session_run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_session_self_test(session: *mut SessionStorage) -> Status {
    // SAFETY: the caller's promise.
    let test = || unsafe {
        let parts = Parts::of(session)?;
        parts.with(|mut session| Ok(self_test::run(&parts.model, &mut session).map(drop)?))
    };
    status(test())
}

/// What the last run answered.
///
/// # Safety
/// As [`ek_session_run`].
pub(crate) unsafe fn prediction_of(session: *const SessionStorage) -> Result<Prediction, Status> {
    // SAFETY: the caller's promise.
    unsafe { Parts::of(session)?.with(|session| Ok(Prediction::from(&session))) }
}
