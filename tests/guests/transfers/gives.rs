//! Calls that give bytes: each gives all of its bytes, or returns how many it gave.

use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

use crate::bytes::{LENGTH, megabyte};
use crate::channel::{owned, pipe};
use crate::parts::{message, parts};

/// A file of a megabyte without a name.
fn file() -> OwnedFd {
    // SAFETY: a NUL-terminated name.
    let file = owned(unsafe { libc::memfd_create(c"megabyte".as_ptr(), libc::MFD_CLOEXEC) });
    let mut writer = fs::File::from(file);
    writer.write_all(megabyte()).expect("there is memory");
    writer.into()
}

pub fn write(fd: RawFd, bytes: &[u8]) -> isize {
    // SAFETY: reads the bytes.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }
}

/// By the program's `syscall` function.
pub fn write_by_number(fd: RawFd, bytes: &[u8]) -> isize {
    // SAFETY: reads the bytes.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) as isize }
}

pub fn writev(fd: RawFd, bytes: &[u8]) -> isize {
    let parts = parts(bytes);
    // SAFETY: reads the parts.
    unsafe { libc::writev(fd, parts.as_ptr(), parts.len() as i32) }
}

pub fn send(fd: RawFd, bytes: &[u8]) -> isize {
    // SAFETY: reads the bytes.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) }
}

pub fn sendmsg(fd: RawFd, bytes: &[u8]) -> isize {
    let parts = parts(bytes);
    let message = message(&parts);
    // SAFETY: reads the parts.
    unsafe { libc::sendmsg(fd, &raw const message, 0) }
}

/// Three messages, of a third each.
pub fn sendmmsg(fd: RawFd, bytes: &[u8]) -> isize {
    let third = bytes.len().div_ceil(3);
    let parts: Vec<_> = bytes.chunks(third).map(parts).collect();
    let mut messages: Vec<_> = parts
        .iter()
        .map(|parts| libc::mmsghdr {
            msg_hdr: message(parts),
            msg_len: 0,
        })
        .collect();
    let count = messages.len() as u32;
    // SAFETY: reads the parts, writes the lengths.
    let sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, 0) };
    if sent < 0 {
        return -1;
    }
    let sent = messages.iter().take(sent as usize);
    sent.map(|message| message.msg_len as isize).sum()
}

/// The end of a file, of this many bytes.
pub fn sendfile(fd: RawFd, bytes: &[u8]) -> isize {
    let file = file();
    let mut from = (LENGTH - bytes.len()) as i64;
    // SAFETY: reads and writes the offset.
    unsafe { libc::sendfile(fd, file.as_raw_fd(), &raw mut from, bytes.len()) }
}

/// A pipe with all the bytes in it.
pub fn splice(fd: RawFd, bytes: &[u8]) -> isize {
    let full = pipe();
    // SAFETY: takes numbers.
    unsafe { libc::fcntl(full.writer.as_raw_fd(), libc::F_SETPIPE_SZ, LENGTH) };
    assert_eq!(write(full.writer.as_raw_fd(), bytes), bytes.len() as isize);
    // SAFETY: without offsets.
    unsafe {
        libc::splice(
            full.reader.as_raw_fd(),
            null_mut(),
            fd,
            null_mut(),
            bytes.len(),
            0,
        )
    }
}
