//! Socket options that a program sets: written down as they are, and set again where they
//! differ.
//!
//! Context: AS-SAFE.

use crate::records::Records;
use crate::sys::{self, Errno};

/// The longest option here: a time.
const LONGEST: usize = 16;

/// Level and name.
const OPTIONS: [(i32, i32); 37] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_BROADCAST),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::SOL_SOCKET, libc::SO_PASSCRED),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP),
    (libc::SOL_SOCKET, libc::SO_MARK),
    (libc::SOL_SOCKET, libc::SO_PEEK_OFF),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::IPPROTO_IP, libc::IP_TTL),
    (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL),
    (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP),
    (libc::IPPROTO_IP, libc::IP_PKTINFO),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS),
    (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
];

#[derive(Clone, Copy)]
struct Value {
    option: u8,
    length: u8,
    bytes: [u8; LONGEST],
}

/// Which of the values are one socket's.
#[derive(Clone, Copy, Default)]
pub(super) struct Of {
    first: usize,
    count: usize,
}

/// The options of all sockets.
pub(super) struct Options(Records<Value>);

impl Options {
    pub(super) const fn new() -> Self {
        Self(Records::growing())
    }

    /// Writes a socket's down.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn record(&mut self, fd: i32) -> Result<Of, Errno> {
        let first = self.0.entries().len();
        let domain = sys::socket_number(fd, libc::SO_DOMAIN)?;
        let is_tcp = sys::socket_number(fd, libc::SO_PROTOCOL) == Ok(libc::IPPROTO_TCP);
        for (number, (level, name)) in (0..).zip(OPTIONS) {
            let has = match level {
                libc::IPPROTO_TCP => is_tcp,
                // The kernel keeps there what its peer's packets have, and takes no other.
                libc::IPPROTO_IP if is_tcp && name == libc::IP_MULTICAST_TTL => false,
                libc::IPPROTO_IPV6 if is_tcp && name == libc::IPV6_MULTICAST_HOPS => false,
                libc::IPPROTO_IP => domain == libc::AF_INET,
                libc::IPPROTO_IPV6 => domain == libc::AF_INET6,
                _ => true,
            };
            let mut bytes = [0; LONGEST];
            if has && let Ok(length) = sys::socket_option(fd, level, name, &mut bytes) {
                self.0.push(Value {
                    option: number,
                    length: u8::try_from(length).unwrap_or(0),
                    bytes,
                })?;
            }
        }
        Ok(Of {
            first,
            count: self.0.entries().len() - first,
        })
    }

    /// Sets those that differ; the number of those that could not be.
    pub(super) fn restore(&self, of: Of, fd: i32) -> u32 {
        let values = self.0.entries().get(of.first..of.first + of.count);
        let mut failed = 0;
        for value in values.unwrap_or(&[]) {
            failed += u32::from(value.restore(fd).is_err());
        }
        failed
    }

    pub(super) fn release(self) {
        self.0.release();
    }
}

impl Value {
    fn restore(&self, fd: i32) -> Result<(), Errno> {
        let Some(&(level, name)) = OPTIONS.get(usize::from(self.option)) else {
            return Ok(());
        };
        let wanted = self.bytes.get(..usize::from(self.length)).unwrap_or(&[]);
        let mut now = [0; LONGEST];
        let length = sys::socket_option(fd, level, name, &mut now)?;
        if now.get(..length) == Some(wanted) {
            return Ok(());
        }
        let is_buffer =
            level == libc::SOL_SOCKET && matches!(name, libc::SO_SNDBUF | libc::SO_RCVBUF);
        match wanted.first_chunk::<4>() {
            // The kernel tells twice what it is told.
            Some(&bytes) if is_buffer => {
                let half = i32::from_ne_bytes(bytes) / 2;
                sys::set_socket_option(fd, level, name, &half.to_ne_bytes())
            }
            _ => sys::set_socket_option(fd, level, name, wanted),
        }
    }
}
