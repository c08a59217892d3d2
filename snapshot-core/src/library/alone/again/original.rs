//! The process that keeps a copy's memory as it was before its first run.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "makes a process")]

use crate::acts::split::split_for_self;
use crate::sys::{self, Errno, Side};

/// A process that only sleeps, with the memory of the calling one.
pub(super) struct Original(i32);

impl Original {
    /// Makes it. It ends with the calling process.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM: there is no room for a process.
    ///
    /// # Safety
    /// The calling thread must be the only one of its process, with all signals blocked.
    #[inline(always)]
    pub(super) unsafe fn make() -> Result<Self, Errno> {
        let parent = sys::getpid();
        // SAFETY: there is no other thread.
        match unsafe { split_for_self() }? {
            Side::Original(pid) => Ok(Self(pid)),
            Side::Copy => sleep(parent),
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.0
    }

    pub(super) fn end(&self) {
        let _ = sys::kill(self.0, libc::SIGKILL);
        let _ = sys::wait_for_child(self.0, libc::WEXITED);
    }
}

/// Of the memory it writes only what is unused of the stack.
fn sleep(parent: i32) -> ! {
    sys::set_parent_death_signal(libc::SIGKILL);
    if sys::getppid() != parent {
        sys::exit_group(0);
    }
    sys::close_all_descriptors();
    loop {
        // Every signal is blocked; each that arrives is taken off and ignored.
        sys::wait_for_any_signal();
    }
}
