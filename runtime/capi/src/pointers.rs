//! From C's pointers to references, checked as far as a pointer can be checked: NULL, alignment, length.
//!
//! Every function says what the caller of the exported function must promise beyond that.

use core::slice;

use crate::Status;

/// NULL, alignment, and a length that an object can have.
fn check<T>(p: *const T, len: usize) -> Result<(), Status> {
    if p.is_null() {
        return Err(Status::NullPointer);
    }
    if !p.is_aligned() {
        return Err(Status::Alignment);
    }
    match len.checked_mul(size_of::<T>()) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(Status::Length),
    }
}

/// `len` values to read.
///
/// # Safety
/// If `p` is not NULL, `len` initialised values are there, and nobody writes them while the slice is used.
pub(crate) unsafe fn read<'a, T>(p: *const T, len: usize) -> Result<&'a [T], Status> {
    check(p, len)?;
    // SAFETY: not NULL, aligned, no longer than an object can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(p, len) })
}

/// `len` values to change.
///
/// # Safety
/// If `p` is not NULL, `len` initialised values are there, and nobody else uses them while the slice is used.
pub(crate) unsafe fn change<'a, T>(p: *mut T, len: usize) -> Result<&'a mut [T], Status> {
    check(p, len)?;
    // SAFETY: not NULL, aligned, no longer than an object can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(p, len) })
}

/// Puts a value into storage of the caller's.
///
/// # Safety
/// If `p` is not NULL, it points to room for a `T` that may be written.
pub(crate) unsafe fn put<T>(p: *mut T, value: T) -> Result<(), Status> {
    check(p, 1)?;
    // SAFETY: not NULL and aligned; the rest is the caller's promise.
    unsafe { p.write(value) };
    Ok(())
}

/// As [`put`], where NULL means that the caller does not want to know.
///
/// # Safety
/// As [`put`].
pub(crate) unsafe fn put_if_wanted<T>(p: *mut T, value: T) -> Result<(), Status> {
    // SAFETY: the caller's promise.
    if p.is_null() { Ok(()) } else { unsafe { put(p, value) } }
}

/// An object in storage of the caller's: a mark that tells it from storage which nobody has written, and the value.
#[repr(C)]
pub(crate) struct Marked<T> {
    mark: usize,
    pub(crate) value: T,
}

/// A value that fresh memory hardly holds.
const MARK: u32 = 0x4b45_656b;

impl<T: Copy> Marked<T> {
    /// Writes a value and its mark.
    ///
    /// # Safety
    /// If `storage` is not NULL, it points to room for a `Marked<T>` that may be written.
    pub(crate) unsafe fn init<S>(storage: *mut S, value: T) -> Result<(), Status> {
        const { assert!(size_of::<Self>() <= size_of::<S>() && align_of::<Self>() <= align_of::<S>()) };
        check(storage, 1)?;
        // SAFETY: storage is large and aligned enough (asserted above); the rest is the caller's promise.
        unsafe { put(storage.cast::<Self>(), Marked { mark: MARK as usize, value }) }
    }

    /// Makes storage one that holds no value, so that a failed initialisation does not leave the one before.
    ///
    /// # Safety
    /// As [`Marked::init`].
    pub(crate) unsafe fn clear<S>(storage: *mut S) -> Result<(), Status> {
        check(storage, 1)?;
        // SAFETY: the mark is the first field of the storage, aligned as it is; the rest is the caller's promise.
        unsafe { put(storage.cast::<usize>(), 0) }
    }

    /// The value that [`Marked::init`] wrote.
    ///
    /// # Safety
    /// If `storage` is not NULL, it is what [`Marked::init`] has written, or its first word is initialised and not the
    /// mark.
    pub(crate) unsafe fn get<S>(storage: *const S) -> Result<T, Status> {
        check(storage, 1)?;
        // SAFETY: not NULL and aligned; the first word is there and initialised by the caller's promise.
        if unsafe { storage.cast::<usize>().read() } != MARK as usize {
            return Err(Status::NotInitialised);
        }
        // SAFETY: the mark says that `init` wrote this storage.
        Ok(unsafe { &*storage.cast::<Self>() }.value)
    }
}
