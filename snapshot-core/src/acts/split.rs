//! Split: one process becomes two, with the same memory.
//!
//! Context: AS-SAFE. Called by [`crate::acts::take`] (the copy freezes) and
//! [`crate::library::alone`] (the copy lives).
#![expect(unsafe_code, reason = "makes a process")]

use crate::sys::{self, Errno, Side};

/// A copy that is the child of this process's own parent, which reaps it. The program's
/// children and parent never learn of it.
///
/// # Errors
/// EAGAIN, ENOMEM: there is no room for a copy. ENOSYS: a filter hides clone3.
///
/// # Safety
/// The caller must have parked every other thread.
#[inline(always)]
pub(crate) unsafe fn split_for_parent() -> Result<Side, Errno> {
    // SAFETY: the copy has this thread alone, and by the caller's promise none that it
    // could wait for.
    unsafe { sys::fork(libc::CLONE_PARENT, 0) }
}

/// A copy that is a child of this process and ends without a SIGCHLD: the program must not find
/// a child that it never made.
///
/// # Errors
/// As above.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn split_for_self() -> Result<Side, Errno> {
    // SAFETY: as above.
    unsafe { sys::fork(0, 0) }
}
