//! What a program believes to be its own although a copy of it shares it, or lacks it.
//!
//! [`Lacking`] is what the kernel forgets in a copy: timers, pending signals, locked
//! memory. It is recorded by the original, while everything is parked, before the split.
//! [`Shared`] is what both sides have one of: file offsets. It is recorded by the frozen
//! side. Both are put back on revive.
//!
//! Context: AS-SAFE.

mod files;
mod kinds;
mod locked_memory;
mod posix_timers;
mod signals;
mod timers;

pub use kinds::{Kind, Why};
pub(crate) use signals::{take_back_pending, tell_pending};

use crate::sys::{self, Errno, SignalSet};

/// What a copy lacks.
pub(crate) struct Lacking {
    intervals: timers::Intervals,
    timers: posix_timers::Timers,
    pending: signals::Pending,
    locked: locked_memory::Locked,
    is_subreaper: bool,
}

impl Lacking {
    /// Records it in the original, whose threads are parked. Signals of `kept` are the
    /// session's own, and not recorded.
    ///
    /// # Errors
    /// Where it can't be read, or there is no memory for the record.
    pub(crate) fn record(kept: SignalSet) -> Result<Self, Errno> {
        // First: a timer whose signal waits has stopped, and goes on as the signal is taken
        // off its queue.
        let pending = signals::Pending::record(kept)?;
        Ok(Self {
            pending,
            intervals: timers::Intervals::record()?,
            timers: posix_timers::Timers::record()?,
            locked: locked_memory::Locked::record()?,
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
        self.locked.restore()
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
    }
}

/// What a copy shares.
pub(crate) struct Shared {
    files: files::Offsets,
}

impl Shared {
    /// Records it.
    ///
    /// # Errors
    /// Where it can't be read, or there is no memory for the record.
    pub(crate) fn record() -> Result<Self, Errno> {
        Ok(Self {
            files: files::Offsets::record()?,
        })
    }

    /// Puts it back; the number of things that could not be.
    pub(crate) fn restore(&mut self) -> u32 {
        self.files.restore()
    }

    /// Gives the records' memory back.
    pub(crate) fn release(self) {
        self.files.release();
    }
}
