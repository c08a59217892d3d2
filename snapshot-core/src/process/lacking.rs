//! What the kernel forgets in a copy: timers, pending signals, locked memory. The original
//! records it, while everything is parked, before the split; a copy that comes back to life
//! puts it back.
//!
//! Context: AS-SAFE.

use super::{locked_memory, pending, posix_timers, timers, wiped_memory};
use crate::sys::{self, Errno, SignalInfo, SignalSet};

/// What a copy lacks.
pub(crate) struct Lacking {
    intervals: timers::Intervals,
    timers: posix_timers::Timers,
    pending: pending::Pending,
    locked: locked_memory::Locked,
    wiped: wiped_memory::Wiped,
    is_subreaper: bool,
}

impl Lacking {
    /// Records it in the original, whose threads are parked. Of the signals of `kept` those
    /// that `is_kept` says are the session's own, and not recorded. With `reseed`, what is
    /// wiped in copies stays so.
    ///
    /// # Errors
    /// Where it can't be read, or there is no memory for the record.
    pub(crate) fn record(
        kept: SignalSet,
        is_kept: fn(&SignalInfo) -> bool,
        reseed: bool,
    ) -> Result<Self, Errno> {
        // First: a timer whose signal waits has stopped, and goes on as the signal is taken
        // off its queue.
        let pending = pending::Pending::record(kept, is_kept)?;
        Ok(Self {
            pending,
            intervals: timers::Intervals::record()?,
            timers: posix_timers::Timers::record()?,
            locked: locked_memory::Locked::record()?,
            wiped: wiped_memory::Wiped::record(reseed)?,
            is_subreaper: sys::is_subreaper(),
        })
    }

    /// In a copy, before its threads are made again.
    pub(crate) fn prepare(&self) {
        self.pending.publish();
    }

    /// Puts it back in a copy whose threads have been made again and wait; the number of
    /// things that could not be. `own` is the id that the calling thread had.
    pub(crate) fn restore(&self, own: i32) -> u32 {
        if self.is_subreaper {
            sys::set_subreaper(true);
        }
        // Signals last: they wait until the threads' masks let them through.
        self.wiped.restore()
            + self.locked.restore()
            + self.intervals.restore()
            + self.timers.restore()
            + self.pending.restore(own)
    }

    /// Puts back, in the original, what has gone on while it was frozen: its timers.
    pub(crate) fn restore_in_original(&self) -> u32 {
        self.intervals.restore() + self.timers.rearm()
    }

    /// Gives the records' memory back.
    pub(crate) fn release(self) {
        self.timers.release();
        self.pending.release();
        self.locked.release();
        self.wiped.release();
    }
}
