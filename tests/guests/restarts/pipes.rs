//! The pipes that calls wait on.

use std::os::fd::{IntoRawFd, RawFd};

/// A pipe that stays open.
pub fn pipe() -> (RawFd, RawFd) {
    let (read, write) = nix::unistd::pipe().expect("there are descriptors left");
    (read.into_raw_fd(), write.into_raw_fd())
}

pub fn write_byte(fd: RawFd) {
    // SAFETY: reads one byte of a constant.
    let written = unsafe { libc::write(fd, c"x".as_ptr().cast(), 1) };
    assert_eq!(written, 1, "a pipe takes one byte");
}

/// Waits for a byte, or for the end of the last sender.
pub fn wait_for_byte(fd: RawFd) {
    let mut byte = 0_u8;
    // SAFETY: fills a live local.
    unsafe { libc::read(fd, (&raw mut byte).cast(), 1) };
}
