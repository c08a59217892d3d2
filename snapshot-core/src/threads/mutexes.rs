//! Mutexes whose owner the kernel knows by its id: robust ones, and those with priority
//! inheritance. If a revived thread has a new id, the kernel doesn't recognise it as the owner.
//!
//! Context: AS-SAFE.

use core::sync::atomic::{AtomicBool, Ordering};

/// Whether the program has made mutexes with priority inheritance. Nothing shows which of them
/// are held: an uncontended one is a word in memory like any other.
static PRIORITY_INHERITANCE: AtomicBool = AtomicBool::new(false);

/// Remembers that the program has made one.
pub fn note_priority_inheritance() {
    PRIORITY_INHERITANCE.store(true, Ordering::Relaxed);
}

/// Whether the program has made one.
pub(crate) fn uses_priority_inheritance() -> bool {
    PRIORITY_INHERITANCE.load(Ordering::Relaxed)
}
