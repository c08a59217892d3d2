//! The listener of the kernel's questions about calls that change files. The live process sets
//! the filter in a take and hands the listener over; every copy that is made from then on has
//! the same filter.
//!
//! As long as somebody holds the listener, a call of the program waits for its answer. When
//! nobody does, such a call fails with ENOSYS.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Whether the kernel says that the descriptor is such a listener: it comes from the program.
pub(crate) fn is_listener(fd: &OwnedFd) -> bool {
    fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .is_ok_and(|name| name == Path::new("anon_inode:seccomp notify"))
}
