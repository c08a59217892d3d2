//! Objects by their descriptors, for calls that take a path, and for people.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::readlink;

/// A path for calls that take no descriptor, or not this kind.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> CString {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    CString::new(path).unwrap_or_default()
}

/// Where an object is now, for people and for limits that people draw.
///
/// # Errors
/// If `/proc` can't be read.
pub(super) fn path_now(fd: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    Ok(PathBuf::from(readlink(path_of(fd).as_c_str())?))
}

/// What the kernel said; an error without a number counts as one of the disk's.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
