//! Ids: a copy that comes back to life takes over the ids of the process it was made of,
//! where it may choose them.
//!
//! A process can't change its own id. But it can make another one that shares all it has,
//! its memory, its stack and its descriptors, under the id that is wanted, and end: who
//! returns from that call is the other one, and nothing else has changed.
//!
//! Context: AS-SAFE. Called by [`crate::acts::take`], in a copy that has one thread.
#![expect(unsafe_code, reason = "becomes another process")]

use core::mem::size_of;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch;
use crate::sys::{self, CloneArguments, Errno};

/// Whether this process has got its own id back, and its threads may have theirs.
static CHOSEN: AtomicBool = AtomicBool::new(false);

/// A number is free a little after its last owner has been reaped; on a machine with much to
/// do that may be held up.
const PATIENCE_NS: u64 = 1_000_000_000;
/// It is not free at all while a process group has it.
const GROUP_PATIENCE_NS: u64 = 5_000_000;
/// The same for the number outside, which anybody may have taken meanwhile.
const OUTER_PATIENCE_NS: u64 = 2_000_000;
const GLANCE_NS: u64 = 100_000;

/// Whether threads may choose their ids.
pub(crate) fn are_chosen() -> bool {
    CHOSEN.load(Ordering::Acquire)
}

/// A copy begins without a choice.
pub(crate) fn forget_choice() {
    CHOSEN.store(false, Ordering::Release);
}

/// Tries again while the number is not free yet, for so long.
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
                sys::pause_ns(GLANCE_NS);
            }
            done => return done,
        }
    }
}

/// Waits until nobody has this number: its owner is ending, and somebody else reaps it.
pub(crate) fn wait_until_free(pid: i32) {
    let deadline_ns = sys::now_ns() + PATIENCE_NS;
    while sys::kill(pid, 0).is_ok() && sys::now_ns() < deadline_ns {
        sys::pause_ns(GLANCE_NS);
    }
}

/// Becomes the process of this id, and of that one in the namespace around the session's;
/// 0 where that one can't be chosen.
///
/// # Errors
/// EPERM where ids may not be chosen, EEXIST where somebody has this one. The calling
/// process is what it was then.
///
/// # Safety
/// The calling thread must be the only one of its process. It must have given its
/// registrations with the kernel up, and have all signals blocked.
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
    // SAFETY: by the caller's promise nothing is left that the end of this task would
    // change in the memory that both share.
    let answer =
        unsafe { arch::become_child((&raw const arguments).cast(), size_of::<CloneArguments>()) };
    match answer {
        0 => Ok(()),
        failed => Err(Errno(i32::try_from(-failed).unwrap_or(libc::EINVAL))),
    }
}
