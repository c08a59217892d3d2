//! Shared memory of the engine's own, which no record includes.
//!
//! Context: AS-SAFE.

use core::sync::atomic::{AtomicUsize, Ordering};

const MOST_KEPT_OUT: usize = 16;

/// Where the engine's own memory is mapped; 0 is an empty entry.
static KEPT_OUT: [AtomicUsize; MOST_KEPT_OUT] = [const { AtomicUsize::new(0) }; MOST_KEPT_OUT];

/// Registers a mapping that begins at this address as the engine's own.
pub(crate) fn keep_out(start: usize) {
    for place in &KEPT_OUT {
        let taken = place.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
        if taken.is_ok() || taken == Err(start) {
            return;
        }
    }
}

/// It is the engine's no more.
pub(crate) fn let_in(start: usize) {
    for place in &KEPT_OUT {
        let _ = place.compare_exchange(start, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

pub(crate) fn is_kept_out(start: usize) -> bool {
    KEPT_OUT
        .iter()
        .any(|place| place.load(Ordering::Relaxed) == start)
}
