//! Room for descriptors in a frozen copy.
//!
//! A copy opens what the program has, and a little more for the moment: also of a program that
//! is at its limit on descriptors, or has lowered it below what it has open. So a copy gives
//! itself as many as it may have, and comes back to life with the limit that the program had.
//!
//! Context: AS-SAFE.

use crate::sys;

/// The limit that the program had, if the copy has another one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room(Option<[u64; 2]>);

impl Room {
    /// Raises the calling process's limit as far as it may. Where it may not there is only
    /// the room that there is.
    pub(crate) fn make() -> Self {
        let before = sys::limit(libc::RLIMIT_NOFILE).ok();
        Self(before.filter(|&[soft, hard]| {
            soft < hard && sys::set_limit(libc::RLIMIT_NOFILE, [hard, hard]).is_ok()
        }))
    }

    /// The limit is as it was.
    pub(crate) fn give_back(self) {
        if let Self(Some(before)) = self {
            // What could be raised can be lowered.
            let _ = sys::set_limit(libc::RLIMIT_NOFILE, before);
        }
    }
}
