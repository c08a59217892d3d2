//! A lock that knows whether this thread has it: a hook that calls the library gets an error, and
//! doesn't wait for itself.
//!
//! Context: IN-PROCESS. A thread's id may change in a revert, so the owner is told by the address of
//! its memory.
#![expect(unsafe_code, reason = "asks libc for this thread's address")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::SnapshotError;

/// A number that no other living thread has.
fn this_thread() -> u64 {
    // SAFETY: has no conditions. The type is an integer or a pointer, of this size.
    unsafe { libc::pthread_self() }
}

/// Protects a value.
#[derive(Debug)]
pub(super) struct OwnLock<T> {
    value: Mutex<T>,
    /// 0 if nobody has it.
    owner: AtomicU64,
}

/// The value, as long as this lives.
#[derive(Debug)]
pub(super) struct Guard<'a, T> {
    value: MutexGuard<'a, T>,
    owner: &'a AtomicU64,
}

impl<T> OwnLock<T> {
    pub(super) const fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            owner: AtomicU64::new(0),
        }
    }

    /// Waits for other threads.
    ///
    /// # Errors
    /// [`SnapshotError::Busy`] if this thread has it, and was interrupted by a signal handler.
    pub(super) fn lock(&self) -> Result<Guard<'_, T>, SnapshotError> {
        if self.is_mine() {
            return Err(SnapshotError::Busy);
        }
        // A panic in a hook leaves what is protected whole.
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        self.owner.store(this_thread(), Ordering::Relaxed);
        Ok(Guard {
            value,
            owner: &self.owner,
        })
    }

    /// Whether this thread has it.
    pub(super) fn is_mine(&self) -> bool {
        // Relaxed: only this thread can have stored its own number.
        self.owner.load(Ordering::Relaxed) == this_thread()
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.owner.store(0, Ordering::Relaxed);
    }
}

impl<T> std::ops::Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> std::ops::DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
