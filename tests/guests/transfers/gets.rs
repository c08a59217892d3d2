//! Calls that get bytes, from the other end or from a device.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};

use crate::parts::{message, parts};

pub fn receive(fd: RawFd, bytes: &mut [u8]) -> isize {
    // SAFETY: writes into the buffer.
    unsafe {
        libc::recv(
            fd,
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            libc::MSG_WAITALL,
        )
    }
}

pub fn receive_message(fd: RawFd, bytes: &mut [u8]) -> isize {
    let parts = parts(bytes);
    let mut message = message(&parts);
    // SAFETY: writes into the parts.
    unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_WAITALL) }
}

/// With room for control data.
pub fn receive_beside(fd: RawFd, bytes: &mut [u8]) -> isize {
    let parts = parts(bytes);
    let mut message = message(&parts);
    let mut control = [0_u64; 16];
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: writes into the parts.
    unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_WAITALL) }
}

/// Peeks at all of a small part, and then takes it.
pub fn peek_and_receive(fd: RawFd, bytes: &mut [u8]) -> isize {
    let length = bytes.len().min(20_000);
    // SAFETY: writes into the buffer.
    let seen = unsafe {
        libc::recv(
            fd,
            bytes.as_mut_ptr().cast(),
            length,
            libc::MSG_WAITALL | libc::MSG_PEEK,
        )
    };
    if seen != length as isize {
        return seen;
    }
    let mut moved = 0;
    while moved < bytes.len() {
        let part = receive(fd, &mut bytes[moved..]);
        match usize::try_from(part) {
            Ok(part @ 1..) => moved += part,
            _ => break,
        }
    }
    moved as isize
}

pub fn random(bytes: &mut [u8]) -> isize {
    // SAFETY: writes into the buffer.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) }
}

pub fn device(path: &str, bytes: &mut [u8]) -> isize {
    let device = fs::File::open(path).expect("it is there");
    // SAFETY: writes into the buffer.
    unsafe { libc::read(device.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) }
}
