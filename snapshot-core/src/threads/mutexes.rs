//! Mutexes whose owner the kernel knows by its id: those with priority inheritance, and
//! robust ones. Where a revived thread has a new id, the kernel takes it for a stranger.
//!
//! Context: AS-SAFE.

use core::sync::atomic::{AtomicBool, Ordering};

/// Whether the program has made mutexes with priority inheritance. Which of them are held
/// cannot be seen: an uncontended one is a word in the program's memory like any other.
static PRIORITY_INHERITANCE: AtomicBool = AtomicBool::new(false);

/// Remembers that it has.
pub fn note_priority_inheritance() {
    PRIORITY_INHERITANCE.store(true, Ordering::Relaxed);
}

/// Whether it has.
pub(crate) fn uses_priority_inheritance() -> bool {
    PRIORITY_INHERITANCE.load(Ordering::Relaxed)
}
