//! Memory for what the engine keeps as long as the program lives, reserved before the program's
//! `main`.
//!
//! A new mapping in the middle of a take may land in a hole that the program has just made and
//! relies on. So lasting memory comes from here, and memory that only a take needs is freed
//! before the program runs.
//!
//! Until it is used it costs only addresses. If it is used up, or was never reserved (the
//! library alone), memory is mapped anywhere.
//!
//! Context: [`begin`] is IN-PROCESS; the rest is AS-SAFE.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys;

/// Two stacks, a keeper's stack, slots for some thousands of threads, and the guards' memory.
const BYTES: usize = 7 << 20;
const PAGE: usize = 4096;

/// Its address; 0 if there is none.
static START: AtomicUsize = AtomicUsize::new(0);
/// How much of it is in use.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Reserves it, once.
pub fn begin() {
    if START.load(Ordering::Acquire) == 0
        && let Some(start) = sys::reserve_addresses(BYTES)
    {
        START.store(start, Ordering::Release);
    }
}

/// Zeroed memory that is never freed. `None` if there is none left.
pub(crate) fn lasting_memory(length: usize) -> Option<NonNull<u8>> {
    take(length).or_else(|| sys::map_memory(length, false))
}

fn take(length: usize) -> Option<NonNull<u8>> {
    let start = lasting_addresses(length)?;
    sys::protect(start, length, libc::PROT_READ | libc::PROT_WRITE).ok()?;
    NonNull::new(ptr::with_exposed_provenance_mut(start))
}

/// Addresses to map something at. `None` if there are none left.
pub(crate) fn lasting_addresses(length: usize) -> Option<usize> {
    let start = START.load(Ordering::Acquire);
    let length = length.checked_next_multiple_of(PAGE)?;
    if start == 0 {
        return None;
    }
    // Relaxed: no thread reads what others have written there.
    let at = USED
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(length).filter(|&end| end <= BYTES)
        })
        .ok()?;
    Some(start + at)
}
