//! What a program wants done before a take, after a revert, and once nothing can be undone.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C")]

use std::ffi::{c_int, c_void};

use snapshot_core::{Hook, SnapshotError};

use crate::border::{Callback, guarded};

/// Calls `f(data)` before each snapshot that the program itself takes, in the order of registration
/// and in the thread that takes. In a hook the library takes and reverts nothing. Returns 0 or an
/// error; the hook's number, which is never 0, goes to `hook` if that is not null.
///
/// # Safety
/// `f` may be called with `data` in any thread until the hook is removed. `hook` must be null or
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_on_snapshot(
    f: Option<unsafe extern "C-unwind" fn(data: *mut c_void)>,
    data: *mut c_void,
    hook: *mut u64,
) -> c_int {
    // SAFETY: by this function's own condition.
    unsafe {
        add(f, data, hook, |callback| {
            snapshot_core::on_snapshot(move || callback.call())
        })
    }
}

/// Calls `f(data)` after each revert, the hook that was registered last first: for connections that
/// have to be made again, and for random numbers that must not come twice. After a revert to a
/// snapshot that the program took itself they run in the thread that took it, before
/// `snapshot_take` returns; else in a thread of the library's. Returns 0 or an error, and the number
/// as above.
///
/// # Safety
/// As `snapshot_on_snapshot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_on_revert(
    f: Option<unsafe extern "C-unwind" fn(data: *mut c_void)>,
    data: *mut c_void,
    hook: *mut u64,
) -> c_int {
    // SAFETY: by this function's own condition.
    unsafe {
        add(f, data, hook, |callback| {
            snapshot_core::on_revert(move || callback.call())
        })
    }
}

/// The hook runs no more; a run that another thread has begun goes on. It is no error if there is no
/// such hook. Returns 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_remove_hook(hook: u64) -> c_int {
    guarded(|| {
        Hook::from_number(hook).remove()?;
        Ok(0)
    })
}

/// Calls `f(data)` once nothing can undo it: now if there is no snapshot, else as soon as none is
/// left. It is never called if the branch ends before. After a commit from outside a thread of the
/// library's calls it. Returns 0, or an error if it will not be called.
///
/// # Safety
/// `f` may be called with `data` once, in any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_on_commit(
    f: Option<unsafe extern "C-unwind" fn(data: *mut c_void)>,
    data: *mut c_void,
) -> c_int {
    guarded(|| {
        let callback = Callback::new(f, data)?;
        snapshot_core::on_commit(move || callback.call())?;
        Ok(0)
    })
}

/// Registers a hook, and gives its number to `place`.
///
/// # Safety
/// As `snapshot_on_snapshot`.
unsafe fn add(
    f: Option<unsafe extern "C-unwind" fn(data: *mut c_void)>,
    data: *mut c_void,
    place: *mut u64,
    register: impl FnOnce(Callback<()>) -> Result<Hook, SnapshotError>,
) -> c_int {
    guarded(|| {
        let number = register(Callback::new(f, data)?)?.number();
        if !place.is_null() {
            // SAFETY: by this function's own condition.
            unsafe { place.write(number) };
        }
        Ok(0)
    })
}
