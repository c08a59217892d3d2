//! Terminals: settings and the foreground group.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "terminal system calls")]

use super::{Result, arg, check};
use crate::arch::syscall;

/// The kernel's `struct termios`, which is not libc's.
#[cfg(feature = "std")]
pub(crate) type Terminal = [u8; 44];

/// ioctl(TCGETS)
///
/// # Errors
/// ENOTTY where the descriptor is no terminal.
#[cfg(feature = "std")]
pub(crate) fn terminal(fd: i32) -> Result<Terminal> {
    let mut settings = [0_u8; 44];
    // SAFETY: TCGETS writes the kernel's termios, 36 bytes.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TCGETS).unwrap_or(0),
                settings.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(settings)
}

/// ioctl(TCSETS)
///
/// # Errors
/// EIO, ENOTTY.
#[cfg(feature = "std")]
pub(crate) fn set_terminal(fd: i32, settings: &Terminal) -> Result<()> {
    // SAFETY: TCSETS reads the kernel's termios, 36 bytes.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TCSETS).unwrap_or(0),
                settings.as_ptr().expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })
    .map(drop)
}

/// ioctl(TIOCGPGRP): the foreground process group.
///
/// # Errors
/// ENOTTY where the descriptor is not the controlling terminal.
pub(crate) fn foreground_group(fd: i32) -> Result<i32> {
    let mut group = 0_i32;
    // SAFETY: the request writes one pid.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TIOCGPGRP).unwrap_or(0),
                (&raw mut group).expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(group)
}

/// ioctl(TIOCSPGRP). The caller must have SIGTTOU blocked.
///
/// # Errors
/// ENOTTY, EPERM.
pub(crate) fn set_foreground_group(fd: i32, group: i32) -> Result<()> {
    // SAFETY: the request reads one pid.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TIOCSPGRP).unwrap_or(0),
                (&raw const group).expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })
    .map(drop)
}
