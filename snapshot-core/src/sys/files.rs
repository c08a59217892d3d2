//! Descriptors and what is behind them.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "file system calls")]

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::{Errno, Result, arg, check, plain, small, with};
use crate::arch::syscall;

/// close(2); an error means the descriptor is gone anyway.
pub fn close(fd: i32) {
    let _ = plain(libc::SYS_close, [arg(fd), 0, 0, 0, 0, 0]);
}

/// openat(2) for reading, close-on-exec.
///
/// # Errors
/// As the manual page says.
pub(crate) fn open_to_read(path: &CStr, extra_flags: i32) -> Result<i32> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | extra_flags;
    // SAFETY: openat reads a NUL-terminated string, which a CStr is.
    check(unsafe {
        syscall(
            libc::SYS_openat,
            [
                arg(libc::AT_FDCWD),
                path.as_ptr().expose_provenance(),
                arg(flags),
                0,
                0,
                0,
            ],
        )
    })
    .map(small)
}

/// getdents64(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn getdents(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: getdents64 writes at most the length given, which is the buffer's.
    check(unsafe {
        syscall(
            libc::SYS_getdents64,
            [
                arg(fd),
                buffer.as_mut_ptr().expose_provenance(),
                buffer.len(),
                0,
                0,
                0,
            ],
        )
    })
}

/// lseek(2)
///
/// # Errors
/// ESPIPE where the descriptor has no offset.
pub(crate) fn lseek(fd: i32, offset: i64, whence: i32) -> Result<i64> {
    plain(
        libc::SYS_lseek,
        [
            arg(fd),
            usize::from_ne_bytes(offset.to_ne_bytes()),
            arg(whence),
            0,
            0,
            0,
        ],
    )
    .map(|offset| i64::try_from(offset).unwrap_or(i64::MAX))
}

/// The mode and the identity of the file behind a descriptor.
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// fstat(2)
///
/// # Errors
/// EBADF and kin.
pub(crate) fn fstat(fd: i32) -> Result<Stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: fstat writes one `struct stat`, which the slot has room for.
    check(unsafe {
        syscall(
            libc::SYS_fstat,
            [arg(fd), stat.as_mut_ptr().expose_provenance(), 0, 0, 0, 0],
        )
    })?;
    // SAFETY: all-zero is a valid `struct stat`, and the kernel has filled it in.
    let stat = unsafe { stat.assume_init() };
    Ok(Stat {
        mode: stat.st_mode,
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

/// fcntl(F_GETFL)
///
/// # Errors
/// EBADF.
pub(crate) fn status_flags(fd: i32) -> Result<i32> {
    plain(libc::SYS_fcntl, [arg(fd), arg(libc::F_GETFL), 0, 0, 0, 0]).map(small)
}

/// fcntl(F_DUPFD_CLOEXEC) to `lowest` or above.
///
/// # Errors
/// EINVAL, EMFILE where the limit is lower.
pub(crate) fn duplicate_above(fd: i32, lowest: i32) -> Result<i32> {
    plain(
        libc::SYS_fcntl,
        [arg(fd), arg(libc::F_DUPFD_CLOEXEC), arg(lowest), 0, 0, 0],
    )
    .map(small)
}

/// fcntl(F_SETFD): clears close-on-exec, so that the descriptor crosses an exec.
///
/// # Errors
/// EBADF.
pub fn keep_across_exec(fd: i32) -> Result<()> {
    plain(libc::SYS_fcntl, [arg(fd), arg(libc::F_SETFD), 0, 0, 0, 0]).map(drop)
}

/// poll(2) on one or two descriptors for reading; gives which are ready.
///
/// # Errors
/// EINTR when a signal came first.
pub(crate) fn poll_readable(fds: [i32; 2], timeout_ms: i32) -> Result<[bool; 2]> {
    let mut poll = fds.map(|fd| libc::pollfd {
        fd, // a negative one is ignored by the kernel
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: poll reads and writes the two entries that are passed.
    check(unsafe {
        syscall(
            libc::SYS_poll,
            [
                poll.as_mut_ptr().expose_provenance(),
                2,
                arg(timeout_ms),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(poll.map(|entry| entry.revents != 0))
}

/// A write(2) of bytes for a person, best effort.
pub fn write(fd: i32, bytes: &[u8]) {
    // SAFETY: write reads the bytes given.
    let _ = unsafe {
        syscall(
            libc::SYS_write,
            [
                arg(fd),
                bytes.as_ptr().expose_provenance(),
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    };
}

/// openat(2) for reading, relative to a directory, close-on-exec. `path` must end with a
/// NUL byte.
///
/// # Errors
/// As the manual page says; EINVAL for a path without its NUL.
pub(crate) fn open_at(directory: i32, path: &[u8]) -> Result<i32> {
    if path.last() != Some(&0) {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: openat reads up to the NUL byte, which is there.
    unsafe {
        with(
            libc::SYS_openat,
            [
                arg(directory),
                path.as_ptr().expose_provenance(),
                arg(libc::O_RDONLY | libc::O_CLOEXEC),
                0,
            ],
        )
    }
    .map(small)
}

/// read(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: read writes at most the length given, which is the buffer's.
    unsafe {
        with(
            libc::SYS_read,
            [
                arg(fd),
                buffer.as_mut_ptr().expose_provenance(),
                buffer.len(),
            ],
        )
    }
}

/// close_range(2) of all descriptors, those of the calling task alone: with whomever it
/// shares them, they stay there.
pub(crate) fn close_all_descriptors() {
    const UNSHARE: usize = 2;
    let _ = plain(libc::SYS_close_range, [0, u32::MAX as usize, UNSHARE]);
}

/// chdir(2) to `/`.
pub(crate) fn change_to_root_directory() {
    // SAFETY: reads up to the NUL.
    let _ = unsafe { with(libc::SYS_chdir, [c"/".as_ptr().expose_provenance()]) };
}
