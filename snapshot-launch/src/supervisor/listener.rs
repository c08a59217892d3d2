//! The listener of the kernel's questions about calls that change files. The live process sets
//! the filter in a take and hands the listener over; every copy that is made from then on has
//! the same filter.
//!
//! As long as somebody holds the listener, a call of the program waits for its answer. When
//! nobody does, such a call fails with ENOSYS. So it stays here until the journal has it.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// What has come of asking for a listener.
#[derive(Debug, Default)]
pub(crate) enum Listening {
    /// No take has asked the live process for one.
    #[default]
    Unasked,
    /// The live process can't have one: the kernel's reason.
    #[expect(dead_code, reason = "for the journal, which says what that means")]
    Refused(i32),
    /// It is here.
    #[expect(dead_code, reason = "for the journal, which answers")]
    Here(Listener),
}

/// The listener, and how it was set.
#[derive(Debug)]
#[expect(dead_code, reason = "for the journal, which answers")]
pub(crate) struct Listener {
    pub(crate) fd: OwnedFd,
    /// The program can't gain rights by an exec any more.
    pub(crate) no_new_privs: bool,
    /// A thread with a received question waits for its answer whatever signal comes. Else
    /// (before Linux 5.19) a call may be carried out twice.
    pub(crate) waits_killable: bool,
}

/// Whether the kernel says that the descriptor is such a listener: it comes from the program.
pub(crate) fn is_listener(fd: &OwnedFd) -> bool {
    fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .is_ok_and(|name| name == Path::new("anon_inode:seccomp notify"))
}
