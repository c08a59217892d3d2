//! Where the time of a take goes.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports a function to C")]

use std::ffi::c_int;
use std::time::Duration;

use crate::border::{Growing, Out, guarded};
use crate::error::Failure;

/// Where the time of the last snapshot went, in microseconds.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct snapshot_phases {
    /// Set it to `sizeof(struct snapshot_phases)` before the call.
    pub size: u32,
    /// Every thread was stopped.
    pub park_us: u32,
    /// What a copy lacks was recorded: timers, pending signals.
    pub record_us: u32,
    /// The process was copied, as `fork()` does.
    pub split_us: u32,
    /// The copy recorded what it shares, and the supervisor looked for what won't roll back. In a
    /// program alone: the threads were made again.
    pub complete_us: u32,
    /// The threads were released.
    pub release_us: u32,
    /// From the release until the last thread ran the program's code again.
    pub leave_us: u32,
}

// SAFETY: it is `repr(C)` of `u32` alone, so there is no padding; the size is the first.
unsafe impl Growing for snapshot_phases {
    const FIRST_BYTES: u32 = 28;

    fn set_size(&mut self, bytes: u32) {
        self.size = bytes;
    }
}

/// Says where the time of this program's last snapshot went; zeros if there was none. Returns 0 or an
/// error.
///
/// # Safety
/// `phases` must be a structure with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_last_phases(phases: *mut snapshot_phases) -> c_int {
    guarded(|| {
        if phases.is_null() {
            return Err(Failure::argument("`phases` is null"));
        }
        // SAFETY: by this function's own condition.
        let out = unsafe { Out::at(phases) }?;
        let last = snapshot_core::last_phases();
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        out.fill(snapshot_phases {
            size: 0,
            park_us: micros(last.park),
            record_us: micros(last.record),
            split_us: micros(last.split),
            complete_us: micros(last.complete),
            release_us: micros(last.release),
            leave_us: micros(last.leave),
        });
        Ok(0)
    })
}
