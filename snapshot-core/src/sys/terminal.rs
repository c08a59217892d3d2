//! Terminals: settings and the foreground group.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "terminal system calls")]

use super::{Result, arg, check, plain, small, with};
use crate::arch::syscall;

/// The kernel's `struct termios`, which is not libc's.
pub(crate) type Terminal = [u8; 44];

/// ioctl(TCGETS)
///
/// # Errors
/// ENOTTY if the descriptor is no terminal.
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

/// ioctl(TIOCSCTTY): makes this the terminal of the calling process's session, which has none.
///
/// # Errors
/// EPERM if another session has it.
pub(crate) fn take_terminal(fd: i32) -> Result<()> {
    let request = usize::try_from(libc::TIOCSCTTY).unwrap_or(0);
    // SAFETY: takes numbers; 0 means not to take it from another session.
    unsafe { with(libc::SYS_ioctl, [arg(fd), request, 0]) }.map(drop)
}

/// ioctl(TIOCGPGRP): the foreground process group.
///
/// # Errors
/// ENOTTY if the descriptor is not the controlling terminal.
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

/// `struct winsize`: rows, columns, and the same in pixels.
pub(crate) type WindowSize = [u16; 4];

fn window_request(fd: i32, request: u64, size: &mut WindowSize) -> Result<()> {
    // SAFETY: both requests read or write one winsize, four shorts.
    unsafe {
        with(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(request).unwrap_or(0),
                size.as_mut_ptr().expose_provenance(),
            ],
        )
    }
    .map(drop)
}

/// ioctl(TIOCGWINSZ)
///
/// # Errors
/// ENOTTY.
pub(crate) fn window_size(fd: i32) -> Result<WindowSize> {
    let mut size = WindowSize::default();
    window_request(fd, libc::TIOCGWINSZ, &mut size)?;
    Ok(size)
}

/// ioctl(TIOCSWINSZ)
///
/// # Errors
/// ENOTTY.
pub(crate) fn set_window_size(fd: i32, mut size: WindowSize) -> Result<()> {
    window_request(fd, libc::TIOCSWINSZ, &mut size)
}

/// ioctl(TIOCGPTN): the number of the terminal that belongs to this master.
///
/// # Errors
/// ENOTTY if this is no master.
pub(crate) fn terminal_number(fd: i32) -> Result<u32> {
    let mut number = 0_u32;
    // SAFETY: the request writes one int.
    unsafe {
        with(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TIOCGPTN).unwrap_or(0),
                (&raw mut number).expose_provenance(),
            ],
        )
    }?;
    Ok(number)
}

/// ioctl(TIOCSPTLCK), ioctl(TIOCGPTPEER): opens the second end of a terminal through its
/// master.
///
/// # Errors
/// EIO if this is no master.
pub(crate) fn open_other_end(master: i32, flags: i32) -> Result<i32> {
    let unlocked = 0_i32;
    // SAFETY: the request reads one int.
    unsafe {
        with(
            libc::SYS_ioctl,
            [
                arg(master),
                usize::try_from(libc::TIOCSPTLCK).unwrap_or(0),
                (&raw const unlocked).expose_provenance(),
            ],
        )
    }?;
    plain(
        libc::SYS_ioctl,
        [
            arg(master),
            usize::try_from(libc::TIOCGPTPEER).unwrap_or(0),
            arg(flags | libc::O_CLOEXEC),
        ],
    )
    .map(small)
}
