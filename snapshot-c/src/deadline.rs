//! Deadlines for attempts that are no function, such as a block in another language.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C")]

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use snapshot_core::{Deadline, SnapshotId};

use crate::border::{guarded, text_at};
use crate::error::Failure;

/// Those that run, by their numbers. A revert to a snapshot from before takes one away, with its thread.
static RUNNING: Mutex<BTreeMap<u64, Deadline>> = Mutex::new(BTreeMap::new());

fn running() -> std::sync::MutexGuard<'static, BTreeMap<u64, Deadline>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As `snapshot_revert_with` after so many milliseconds, unless `snapshot_end_deadline` comes before. A
/// thread of the library's waits for that. If the snapshot is gone by then, nothing happens. Returns 0 or
/// an error; the deadline's number, which is never 0, goes to `deadline`.
///
/// # Safety
/// `reason` must be null or NUL-terminated, `deadline` writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_revert_after(
    id: u32,
    milliseconds: u64,
    reason: *const c_char,
    deadline: *mut u64,
) -> c_int {
    guarded(|| {
        if deadline.is_null() {
            return Err(Failure::argument("`deadline` is null"));
        }
        // SAFETY: by this function's own condition.
        let reason = unsafe { text_at(reason) };
        let time = Duration::from_millis(milliseconds);
        let mut running = running();
        let begun = snapshot_core::revert_after(SnapshotId::new(id), time, &reason)?;
        let number = running.last_key_value().map_or(0, |(number, _)| *number) + 1;
        running.insert(number, begun);
        // SAFETY: by this function's own condition.
        unsafe { deadline.write(number) };
        Ok(0)
    })
}

/// Ends a deadline. If its time was over just before, this does not return. It is no error if there is no
/// such deadline. Returns 0.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_end_deadline(deadline: u64) -> c_int {
    guarded(|| {
        let ended = running().remove(&deadline);
        // Not under the lock: it waits for the thread.
        drop(ended);
        Ok(0)
    })
}
