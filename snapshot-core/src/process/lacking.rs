//! What the kernel doesn't copy: timers, pending signals, locked memory. The original records
//! it before the split, while all threads are parked; a revived copy puts it back.
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
    /// Records it in the original, with all threads parked. Leaves out the signals of `kept`
    /// that are the session's own by `is_kept`. With `reseed`, memory that is wiped in copies
    /// stays wiped.
    ///
    /// # Errors
    /// If it can't be read, or if there is no memory for the record.
    pub(crate) fn record(
        kept: SignalSet,
        is_kept: fn(&SignalInfo) -> bool,
        reseed: bool,
    ) -> Result<Self, Errno> {
        // First: a timer with a waiting signal has stopped, and goes on as the signal leaves
        // its queue.
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

    /// Whether nothing of it changes while the program makes no system call.
    pub(crate) fn is_still(&self) -> bool {
        self.intervals.are_idle() && self.timers.is_empty() && self.wiped.is_empty()
    }

    /// In a copy, before its threads are made again.
    pub(crate) fn prepare(&self) {
        self.pending.publish();
    }

    /// Puts it back in a copy, with its new threads waiting; returns how many things failed.
    /// `own` is the calling thread's id in the snapshot.
    pub(crate) fn restore(&self, own: i32) -> u32 {
        if self.is_subreaper {
            sys::set_subreaper(true);
        }
        // Signals last: they wait for the threads' masks.
        self.wiped.restore()
            + self.locked.restore()
            + self.intervals.restore()
            + self.timers.restore()
            + self.pending.restore(own)
    }

    /// In the original: puts back what went on while it stood still, its timers.
    pub(crate) fn restore_in_original(&self) -> u32 {
        self.intervals.restore() + self.timers.rearm()
    }

    /// Frees the records' memory.
    pub(crate) fn release(self) {
        self.timers.release();
        self.pending.release();
        self.locked.release();
        self.wiped.release();
    }
}
