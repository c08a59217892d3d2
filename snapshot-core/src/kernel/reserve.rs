//! Memory for what the engine keeps as long as the program lives, set aside before the
//! program's `main`.
//!
//! What is mapped in the middle of a take lies where the kernel finds room: perhaps in a hole
//! that the program has made a moment before, and counts on. So such memory comes from here,
//! and what is only needed for a take is given back before the program runs.
//!
//! Until it is used it costs nothing but addresses. Where it is used up, or nobody has set
//! any aside (the library alone), memory is mapped where there is room.
//!
//! Context: [`begin`] is IN-PROCESS; the rest is AS-SAFE.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys;

/// Two stacks, a keeper's, and places for some thousands of threads.
const BYTES: usize = 4 << 20;
const PAGE: usize = 4096;

/// Where it begins; 0 where there is none.
static START: AtomicUsize = AtomicUsize::new(0);
/// How much of it is given away.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Sets it aside, once.
pub fn begin() {
    if START.load(Ordering::Acquire) == 0
        && let Some(start) = sys::reserve_addresses(BYTES)
    {
        START.store(start, Ordering::Release);
    }
}

/// Memory that is never given back, zeroed. `None` when there is none left anywhere.
pub(crate) fn lasting_memory(length: usize) -> Option<NonNull<u8>> {
    take(length).or_else(|| sys::map_memory(length, false))
}

fn take(length: usize) -> Option<NonNull<u8>> {
    let start = START.load(Ordering::Acquire);
    let length = length.checked_next_multiple_of(PAGE)?;
    if start == 0 {
        return None;
    }
    // Relaxed: nobody reads what others have written there.
    let at = USED
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(length).filter(|&end| end <= BYTES)
        })
        .ok()?;
    sys::protect(start + at, length, libc::PROT_READ | libc::PROT_WRITE).ok()?;
    NonNull::new(ptr::with_exposed_provenance_mut(start + at))
}
