//! What a branch says to the program that comes back: for attempts that are no function, such as a
//! block in another language.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C")]

use std::ffi::{c_char, c_int};

use snapshot_core::SnapshotId;

use crate::border::{guarded, text_at};
use crate::error::{keep_text, snapshot_last_error};

/// As `snapshot_revert_to`, and says why: `snapshot_reason` gives it to whoever comes back. `reason` is
/// UTF-8; of a long one the first 4,000 bytes come through.
///
/// # Safety
/// `reason` must be null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_revert_with(id: u32, reason: *const c_char) -> c_int {
    guarded(|| {
        // SAFETY: by this function's own condition.
        let reason = unsafe { text_at(reason) };
        let Err(error) = snapshot_core::revert_with(SnapshotId::new(id), &reason);
        Err(error.into())
    })
}

/// Why the branch of snapshot `id` has ended, if it said so by `snapshot_revert_with`; else "". It can
/// be asked for once, after `snapshot_take` has returned `SNAPSHOT_REVERTED`. The text stays until this
/// thread's next call of this library.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_reason(id: u32) -> *const c_char {
    guarded(|| {
        keep_text(&snapshot_core::reason_for(SnapshotId::new(id)).unwrap_or_default());
        Ok(0)
    });
    snapshot_last_error()
}
