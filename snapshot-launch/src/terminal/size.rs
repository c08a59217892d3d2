//! A terminal's size.
#![expect(unsafe_code, reason = "asks a terminal for its size")]

use std::os::fd::AsRawFd;

use nix::libc;

nix::ioctl_read_bad!(get_size, libc::TIOCGWINSZ, libc::winsize);

/// Rows and columns.
pub(crate) fn size_of(terminal: &impl AsRawFd) -> Option<libc::winsize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request writes one winsize, a live local.
    unsafe { get_size(terminal.as_raw_fd(), &raw mut size) }.ok()?;
    Some(size)
}
