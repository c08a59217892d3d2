//! What must not be done in a branch that may be reverted.
//!
//! What waits for a commit lies in the program's own memory: a revert to a snapshot from before takes
//! it away, with all else.
//!
//! Context: IN-PROCESS.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use super::agent::{Agent, notices};
use super::error::SnapshotError;
use super::helper;
use super::listing::depth;
use super::own_lock::OwnLock;

type Action = Box<dyn FnOnce() + Send>;

static PENDING: OwnLock<VecDeque<Action>> = OwnLock::new(VecDeque::new());
/// Held by the thread that calls them: others wait until they have been called.
static SETTLING: OwnLock<()> = OwnLock::new(());

/// Calls `f` if nothing can undo it: at depth 0. Else it returns `None`.
///
/// ```
/// let sent = snapshot_core::root_only(|| "the mail is sent");
/// assert_eq!(sent, Some("the mail is sent"));
/// ```
pub fn root_only<R>(f: impl FnOnce() -> R) -> Option<R> {
    (depth() == 0).then(f)
}

/// Calls `f` once nothing can undo it: now at depth 0, else as soon as no snapshot is left under the
/// program. It is never called if the branch ends before.
///
/// After a commit by the program itself it has been called when [`crate::commit`] returns. After one
/// from outside a thread of the library's calls it. What waits is called in the order in which it
/// was given.
///
/// # Errors
/// [`SnapshotError::Busy`] in a signal handler that has interrupted the library, and
/// [`SnapshotError::Failed`] if that thread can't be started. Then `f` is not called.
pub fn on_commit(f: impl FnOnce() + Send + 'static) -> Result<(), SnapshotError> {
    if depth() == 0 {
        settle()?;
        f();
        return Ok(());
    }
    if Agent::here().is_some() {
        helper::does(notices()?, || {
            let _ = settle();
        })?;
    }
    PENDING.lock()?.push_back(Box::new(f));
    // The last snapshot may have gone just before.
    settle()
}

/// Calls what waits, if nothing can undo it any more.
pub(super) fn settle() -> Result<(), SnapshotError> {
    if SETTLING.is_mine() {
        // What is called now has called the library.
        return Ok(());
    }
    let _settling = SETTLING.lock()?;
    loop {
        let mut pending = PENDING.lock()?;
        if pending.is_empty() || depth() > 0 {
            return Ok(());
        }
        let next = pending.pop_front();
        // It may call the library.
        drop(pending);
        if let Some(action) = next {
            action();
        }
    }
}

/// Owns what must not be dropped in a branch that may be reverted, because that would do something
/// outside: a temporary directory, a child to kill, a lock on a server.
///
/// Dropped at depth 0 it drops its value. Dropped deeper it keeps it until a commit, and a revert
/// brings it back whole.
///
/// ```
/// use snapshot_core::RootOnly;
/// let name = RootOnly::new(String::from("held"));
/// assert_eq!(name.len(), 4);
/// ```
#[derive(Debug)]
pub struct RootOnly<T: Send + 'static>(ManuallyDrop<T>);

impl<T: Send + 'static> RootOnly<T> {
    /// Owns `value`.
    pub const fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }

    /// Gives it away: from here on it is dropped as usual.
    pub fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        Self::take(&mut this)
    }

    #[expect(
        unsafe_code,
        reason = "moves the value out of what is not dropped again"
    )]
    fn take(this: &mut Self) -> T {
        // SAFETY: both callers are the last to look at it.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T: Send + 'static> Drop for RootOnly<T> {
    fn drop(&mut self) {
        let value = Self::take(self);
        // If it can't wait it is forgotten: to drop it might do what a revert doesn't undo.
        let value = ManuallyDrop::new(value);
        let _ = on_commit(move || drop(ManuallyDrop::into_inner(value)));
    }
}

impl<T: Send + 'static> Deref for RootOnly<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + 'static> DerefMut for RootOnly<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Send + 'static> From<T> for RootOnly<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
