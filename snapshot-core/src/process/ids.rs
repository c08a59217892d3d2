//! A revived copy takes over the ids of its original, if it may choose them.
//!
//! A process can't change its own id. But it can make another one that shares its memory, stack
//! and descriptors, under the id it wants, and end. The new process returns from that call, and
//! nothing else has changed.
//!
//! Context: AS-SAFE. Called by [`crate::acts::take`], in a copy that has one thread.
#![expect(unsafe_code, reason = "becomes another process")]

use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch;
use crate::sys::{self, CloneArguments, Errno};

/// Whether this process has its own id back, so that its threads may have theirs.
static CHOSEN: AtomicBool = AtomicBool::new(false);

/// A number becomes free shortly after its owner has been reaped; on a busy machine that takes
/// longer.
const PATIENCE_NS: u64 = 1_000_000_000;
/// The same while a process group has the number: it may not become free at all.
const GROUP_PATIENCE_NS: u64 = 5_000_000;
/// The same for the number outside, which any process may have taken meanwhile.
const OUTER_PATIENCE_NS: u64 = 2_000_000;
const LOOK_AGAIN_NS: u64 = 100_000;

/// Whether threads may choose their ids.
pub(crate) fn are_chosen() -> bool {
    CHOSEN.load(Ordering::Acquire)
}

/// A copy begins without a choice.
pub(crate) fn forget_choice() {
    CHOSEN.store(false, Ordering::Release);
}

/// Tries again for this long while the number is not free.
pub(crate) fn with_patience(
    patience_ns: u64,
    mut attempt: impl FnMut() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut deadline_ns = None;
    loop {
        match attempt() {
            Err(Errno(libc::EEXIST)) => {
                let now_ns = sys::now_ns();
                if now_ns >= *deadline_ns.get_or_insert(now_ns + patience_ns) {
                    return Err(Errno(libc::EEXIST));
                }
                sys::pause_ns(LOOK_AGAIN_NS);
            }
            done => return done,
        }
    }
}

/// Waits until no process has this number: its owner is ending, and another process reaps it.
pub(crate) fn wait_until_free(pid: i32) {
    let deadline_ns = sys::now_ns() + PATIENCE_NS;
    while sys::kill(pid, 0).is_ok() && sys::now_ns() < deadline_ns {
        sys::pause_ns(LOOK_AGAIN_NS);
    }
}

/// Becomes the process with this id, and with `outer_pid` in the namespace around the
/// session's; 0 if that can't be chosen.
///
/// # Errors
/// EPERM if ids may not be chosen, EEXIST if the id is taken. Then the calling process has not
/// changed.
///
/// # Safety
/// The calling thread must be the only one of its process. It must have given up its
/// registrations with the kernel, and have all signals blocked.
pub(crate) unsafe fn take_over(pid: i32, outer_pid: i32) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    let become_these = |ids: &[i32]| unsafe { become_one(ids) };
    let has_both = outer_pid > 0
        && with_patience(OUTER_PATIENCE_NS, || become_these(&[pid, outer_pid])).is_ok();
    if !has_both {
        let patience_ns = if sys::has_group(pid) {
            GROUP_PATIENCE_NS
        } else {
            PATIENCE_NS
        };
        with_patience(patience_ns, || become_these(&[pid]))?;
    }
    CHOSEN.store(true, Ordering::Release);
    Ok(())
}

/// # Safety
/// As [`take_over`].
#[inline(never)]
unsafe fn become_one(ids: &[i32]) -> Result<(), Errno> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_SYSVSEM
        | libc::CLONE_IO
        | libc::CLONE_PARENT;
    let arguments = CloneArguments {
        flags: u64::from(flags.cast_unsigned()),
        ..CloneArguments::default()
    }
    .with_ids(ids);
    // SAFETY: by the caller's promise the end of this task changes nothing in the memory that
    // both share.
    let answer =
        unsafe { arch::become_child((&raw const arguments).cast(), size_of::<CloneArguments>()) };
    match answer {
        0 => Ok(()),
        failed => Err(Errno(i32::try_from(-failed).unwrap_or(libc::EINVAL))),
    }
}
