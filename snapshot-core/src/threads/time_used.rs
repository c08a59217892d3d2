//! The processor time of the calling thread.
//!
//! Context: AS-SAFE.

use crate::sys;

/// What has been used: in all, and of that outside of the kernel. In nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// In all.
    pub total: i64,
    /// In the program itself; the rest the kernel has used for it.
    pub user: i64,
}

pub(crate) fn clock(clock: i32) -> i64 {
    let time = sys::time_on(clock);
    time.map_or(0, |[seconds, rest]| seconds * 1_000_000_000 + rest)
}

/// The clocks of the calling thread, as others ask for them: each writes that down as it parks.
/// To ask for those of another one takes the kernel ten times as long.
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
