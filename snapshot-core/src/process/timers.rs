//! Interval timers (`alarm`, `setitimer`). A copy has none, so it arms them again with the time
//! that was left.
//!
//! Context: AS-SAFE.

use crate::sys::{self, Errno, IntervalTimer};

const KINDS: [i32; 3] = [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF];

/// The three interval timers of a process.
pub(super) struct Intervals {
    timers: [IntervalTimer; 3],
}

impl Intervals {
    /// # Errors
    /// None that these kinds can cause.
    pub(super) fn record() -> Result<Self, Errno> {
        let mut timers = [[0; 4]; 3];
        for (slot, kind) in timers.iter_mut().zip(KINDS) {
            *slot = sys::interval_timer(kind)?;
        }
        Ok(Self { timers })
    }

    /// Whether none runs.
    pub(super) fn are_idle(&self) -> bool {
        self.timers.iter().all(|timer| *timer == [0; 4])
    }

    /// Arms the timers; returns how many failed.
    pub(super) fn restore(&self) -> u32 {
        let mut failed = 0;
        for (timer, kind) in self.timers.iter().zip(KINDS) {
            let [every @ .., left_seconds, left] = *timer;
            let mut timer = *timer;
            // A timer with an interval and no time left has just expired, and its signal is
            // pending: it must not stay at 0.
            if [left_seconds, left] == [0, 0] {
                timer[2..].copy_from_slice(&every);
            }
            // A copy's timers are unarmed already.
            if timer != [0; 4] && sys::set_interval_timer(kind, &timer).is_err() {
                failed += 1;
            }
        }
        failed
    }
}
