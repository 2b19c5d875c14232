//! Texts for C: the version, errors, names.

use core::ffi::{CStr, c_char};

use crate::Status;
use crate::pointers::change;

/// The library's version, ending in a NUL byte; valid for ever.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no NUL byte"),
};

/// The library's version.
#[unsafe(no_mangle)]
pub extern "C" fn ek_version() -> *const c_char {
    VERSION.as_ptr()
}

/// What a status means, as text that ends in a NUL byte and is cut where the buffer ends.
///
/// Gives the length of the whole text without the NUL.
///
/// # Safety
/// `buf` points to `len` bytes or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_error_text(code: i32, buf: *mut c_char, len: usize) -> usize {
    let status = usize::try_from(code).ok().and_then(|i| Status::ALL.get(i));
    // SAFETY: the caller's promise.
    unsafe { copy(status.unwrap_or(&Status::Other).text(), buf, len) }
}

/// Copies as much of a text as fits, whole characters only, and a NUL byte.
///
/// # Safety
/// `buf` points to `len` bytes that may be written, or is NULL.
pub(crate) unsafe fn copy(text: &str, buf: *mut c_char, len: usize) -> usize {
    // SAFETY: the caller's promise; bytes have no alignment, and none is read before it is written.
    let room = if len == 0 { Err(Status::Length) } else { unsafe { change(buf.cast::<u8>(), len) } };
    if let Ok([room @ .., last]) = room {
        let fits = text.floor_char_boundary(room.len());
        let mut bytes = text.bytes().take(fits);
        for place in room {
            *place = bytes.next().unwrap_or(0);
        }
        *last = 0;
    }
    text.len()
}
