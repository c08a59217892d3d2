//! Room for descriptors in a frozen copy.
//!
//! A copy opens the program's descriptors, and for a moment a few more. The program may be at
//! its limit, or have lowered the limit below what it has open. So a copy raises its limit, and
//! comes back to life with the program's.
//!
//! Context: AS-SAFE.

use crate::sys;

/// The program's limit, if the copy has another one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room(Option<[u64; 2]>);

impl Room {
    /// Raises the calling process's limit as far as it may. If it may not, the room stays as it
    /// is.
    pub(crate) fn make() -> Self {
        let before = sys::limit(libc::RLIMIT_NOFILE).ok();
        Self(before.filter(|&[soft, hard]| {
            soft < hard && sys::set_limit(libc::RLIMIT_NOFILE, [hard, hard]).is_ok()
        }))
    }

    /// Sets the limit as it was.
    pub(crate) fn give_back(self) {
        if let Self(Some(before)) = self {
            // A limit that was raised can be lowered.
            let _ = sys::set_limit(libc::RLIMIT_NOFILE, before);
        }
    }
}
