//! The session's own processes beside the live one: frozen copies, keepers, the supervisor and
//! its helpers.
//!
//! Copies and keepers share what the program has, and must not pass for foreign processes that
//! share it. The supervisor shares nothing, but has a descriptor for each snapshot: a search
//! through them would make each take slower than the one before. A name or a parent proves
//! nothing: any program can take a copy's name, and the supervisor adopts the program's
//! orphans. So the engine records each process that it makes, as a bit in memory that all of
//! them share; the process that reaps one clears the bit.
//!
//! Context: AS-SAFE. Nothing but atomics. Written by the maker of a copy and by the copy
//! itself, cleared by the one who reaps it, before its number can be another's.
#![expect(unsafe_code, reason = "refers to shared memory")]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The kernel's highest number is lower (`PID_MAX_LIMIT`).
const MOST: usize = 4 << 20;

/// The numbers of a session's own processes. All zero is none. Unused pages cost nothing.
#[repr(C)]
pub(crate) struct OwnProcesses([AtomicU64; MOST / 64]);

/// This session's; null if there is none.
static OF_SESSION: AtomicPtr<OwnProcesses> = AtomicPtr::new(ptr::null_mut());

/// Sets the session's list.
pub(crate) fn begin(own: &'static OwnProcesses) {
    OF_SESSION.store(ptr::from_ref(own).cast_mut(), Ordering::Release);
}

fn word_of(pid: i32) -> Option<(&'static AtomicU64, u64)> {
    // SAFETY: null, or memory that `begin` was promised to stay.
    let own = unsafe { OF_SESSION.load(Ordering::Acquire).as_ref() }?;
    let pid = usize::try_from(pid).ok()?;
    Some((own.0.get(pid / 64)?, 1 << (pid % 64)))
}

/// Adds this process.
pub fn add(pid: i32) {
    if let Some((word, bit)) = word_of(pid) {
        // Release: a process that searches later has heard of the copy from its maker.
        word.fetch_or(bit, Ordering::Release);
    }
}

/// Removes this process: it is about to be reaped, or lives as the program.
pub fn remove(pid: i32) {
    if let Some((word, bit)) = word_of(pid) {
        word.fetch_and(!bit, Ordering::Release);
    }
}

/// Whether this process is on the list.
pub fn contain(pid: i32) -> bool {
    word_of(pid).is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_contained_until_it_is_removed() {
        // SAFETY: atomics, which may all be zero.
        let own = unsafe { Box::<OwnProcesses>::new_zeroed().assume_init() };
        begin(Box::leak(own));
        for pid in [1, 63, 64, 4_194_303] {
            assert!(!contain(pid));
            add(pid);
            assert!(contain(pid));
            assert!(!contain(pid - 1) || pid == 64);
        }
        remove(64);
        assert!(!contain(64) && contain(63));
        for pid in [0, -1, 4 << 20] {
            add(pid);
            remove(pid);
        }
        assert!(!contain(4 << 20));
        for pid in [1, 63, 4_194_303] {
            remove(pid);
        }
    }
}
