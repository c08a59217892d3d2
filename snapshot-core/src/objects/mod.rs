//! What a copy shares with the original, or lacks, although a program believes it to be
//! its own: recorded while everything is parked, put back on revive.
//!
//! Context: AS-SAFE.

mod files;
mod timers;

use crate::sys::Errno;

/// The records of one frozen copy.
pub(crate) struct Objects {
    files: files::Offsets,
    timers: timers::Intervals,
}

impl Objects {
    /// Records them.
    ///
    /// # Errors
    /// Where one can't be read, or there is no memory for the record.
    pub(crate) fn record() -> Result<Self, Errno> {
        Ok(Self {
            files: files::Offsets::record()?,
            timers: timers::Intervals::record()?,
        })
    }

    /// Puts them back; the number of those that could not be.
    pub(crate) fn restore(&mut self) -> u32 {
        self.files.restore() + self.timers.restore()
    }

    /// Puts back only what a copy lacks and does not share: for the live side of the
    /// classic orientation.
    pub(crate) fn restore_in_copy(&self) -> u32 {
        self.timers.restore()
    }

    /// Gives the records' memory back.
    pub(crate) fn release(self) {
        self.files.release();
    }
}
