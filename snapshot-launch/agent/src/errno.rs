//! libc's `errno` of the calling thread: how a function that stands before libc's reports
//! failure.
//!
//! Context: AS-SAFE. Signal handlers never call it.

use core::ffi::c_int;

fn location() -> *mut c_int {
    // SAFETY: has no precondition.
    unsafe { libc::__errno_location() }
}

/// Sets it.
pub(crate) fn set(errno: c_int) {
    // SAFETY: the address is this thread's own, for as long as it lives.
    unsafe { location().write(errno) };
}

/// Reads it.
pub(crate) fn get() -> c_int {
    // SAFETY: as above.
    unsafe { location().read() }
}
