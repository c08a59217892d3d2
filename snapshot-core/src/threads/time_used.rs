//! The processor time of the calling thread.
//!
//! Context: AS-SAFE.

use crate::sys;

/// Processor time in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// In all.
    pub total: i64,
    /// Outside of the kernel.
    pub user: i64,
}

pub(crate) fn clock(clock: i32) -> i64 {
    let time = sys::time_on(clock);
    time.map_or(0, |[seconds, rest]| seconds * 1_000_000_000 + rest)
}

/// The calling thread's clocks. Each thread records its own as it parks: to read another
/// thread's takes the kernel ten times as long.
pub(crate) fn parking_thread_now() -> Used {
    const ANY_SELF: i32 = !0 << 3;
    const OF_THREAD: i32 = 4;
    const USER: i32 = 1;
    const ALL: i32 = 2;
    let clock = |which| clock(ANY_SELF | OF_THREAD | which);
    Used {
        total: clock(ALL),
        user: clock(USER),
    }
}
