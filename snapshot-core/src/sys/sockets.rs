//! The socket that the supervisor listens on.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "socket system calls")]

use core::mem::size_of;
use core::ptr;

use super::{Errno, Result, arg, check, close, plain, small, with};
use crate::arch::syscall;

/// A connected SOCK_SEQPACKET socket to an abstract name, close-on-exec.
///
/// # Errors
/// ECONNREFUSED where nobody listens; EMFILE where the program has no descriptor left.
pub(crate) fn connect_abstract(name: &[u8]) -> Result<i32> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    let fd = small(plain(
        libc::SYS_socket,
        [arg(libc::AF_UNIX), arg(kind), 0, 0, 0, 0],
    )?);
    // A family of two bytes, a NUL, and the name: the abstract form of sockaddr_un.
    let mut address = [0_u8; 110];
    address[..2].copy_from_slice(&libc::AF_UNIX.to_le_bytes()[..2]);
    let length = name.len().min(address.len() - 3);
    address[3..3 + length].copy_from_slice(&name[..length]);
    // SAFETY: connect reads as many bytes of the address as it is told, all of them set.
    let answer = check(unsafe {
        syscall(
            libc::SYS_connect,
            [
                arg(fd),
                address.as_ptr().expose_provenance(),
                3 + length,
                0,
                0,
                0,
            ],
        )
    });
    match answer {
        Ok(_) => Ok(fd),
        Err(errno) => {
            close(fd);
            Err(errno)
        }
    }
}

/// send(2) of a whole packet. Never raises SIGPIPE.
///
/// # Errors
/// EPIPE, ECONNRESET when the other side is gone.
pub(crate) fn send(fd: i32, bytes: &[u8]) -> Result<()> {
    loop {
        // SAFETY: sendto reads the bytes given, and no address.
        let answer = check(unsafe {
            syscall(
                libc::SYS_sendto,
                [
                    arg(fd),
                    bytes.as_ptr().expose_provenance(),
                    bytes.len(),
                    arg(libc::MSG_NOSIGNAL),
                    0,
                    0,
                ],
            )
        });
        match answer {
            Ok(_) => return Ok(()),
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// recvmsg(2) of one packet and the descriptor that may come with it.
///
/// # Errors
/// EINTR included: the caller decides whether to wait on.
pub(crate) fn receive(fd: i32, bytes: &mut [u8]) -> Result<(usize, Option<i32>)> {
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // Room for one header and one descriptor: CMSG_SPACE(sizeof(int)) on 64 bits.
    let mut control = [0_u64; 3];
    let mut message = libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut vector,
        msg_iovlen: 1,
        msg_control: control.as_mut_ptr().cast(),
        msg_controllen: size_of::<[u64; 3]>(),
        msg_flags: 0,
    };
    // SAFETY: the message names live buffers with their true lengths.
    let read = check(unsafe {
        syscall(
            libc::SYS_recvmsg,
            [
                arg(fd),
                (&raw mut message).expose_provenance(),
                arg(libc::MSG_CMSG_CLOEXEC),
                0,
                0,
                0,
            ],
        )
    })?;
    // A header is a length of 8 bytes, a level and a type of 4 bytes each.
    let rights = message.msg_controllen >= 20
        && control[0] >= 20
        && control[1]
            == u64::from(libc::SCM_RIGHTS as u32) << 32 | u64::from(libc::SOL_SOCKET as u32);
    let passed = rights.then(|| {
        let [a, b, c, d, ..] = control[2].to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    });
    Ok((read, passed))
}

/// getsockopt(SO_RCVTIMEO or SO_SNDTIMEO), in nanoseconds; `None` where the descriptor is
/// no socket.
pub(crate) fn socket_time_limit(fd: i32, receives: bool) -> Option<u64> {
    let option = if receives {
        libc::SO_RCVTIMEO
    } else {
        libc::SO_SNDTIMEO
    };
    let mut limit = [0_i64; 2];
    let mut length = 16_u32;
    // SAFETY: writes one timeval, two longs, and its length.
    unsafe {
        with(
            libc::SYS_getsockopt,
            [
                arg(fd),
                arg(libc::SOL_SOCKET),
                arg(option),
                limit.as_mut_ptr().expose_provenance(),
                (&raw mut length).expose_provenance(),
            ],
        )
    }
    .ok()?;
    Some(limit[0].unsigned_abs() * 1_000_000_000 + limit[1].unsigned_abs() * 1000)
}
