//! Sockets: the supervisor's, and the calls that record and restore the program's.
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
/// ECONNREFUSED if nobody listens; EMFILE if the program has no descriptor left.
pub(crate) fn connect_abstract(name: &[u8]) -> Result<i32> {
    let fd = socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0)?;
    // A family of two bytes, a NUL, and the name: the abstract form of sockaddr_un.
    let mut address = [0_u8; 110];
    address[..2].copy_from_slice(&libc::AF_UNIX.to_le_bytes()[..2]);
    let length = name.len().min(address.len() - 3);
    address[3..3 + length].copy_from_slice(&name[..length]);
    // SAFETY: connect reads the given number of address bytes, all of them set.
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
/// EPIPE, ECONNRESET if the other side is gone.
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
/// EINTR too: the caller decides whether to wait again.
pub(crate) fn receive(fd: i32, bytes: &mut [u8]) -> Result<(usize, Option<i32>)> {
    let (read, rights, _) = receive_with(fd, bytes, 0)?;
    let mut fds = rights.fds().iter().copied();
    let first = fds.next();
    // There is at most one.
    fds.for_each(close);
    Ok((read, first))
}

/// recvmsg(2) of one message and the two descriptors that come with it; `None` if there are not two.
///
/// # Errors
/// ECONNRESET and kin; EINTR.
pub(crate) fn receive_pair(fd: i32, bytes: &mut [u8]) -> Result<(usize, Option<[i32; 2]>)> {
    let (read, rights, _) = receive_with(fd, bytes, 0)?;
    if let &[one, other] = rights.fds() {
        return Ok((read, Some([one, other])));
    }
    rights.fds().iter().copied().for_each(close);
    Ok((read, None))
}

/// accept4(2), close-on-exec.
///
/// # Errors
/// EMFILE, ECONNABORTED.
pub(crate) fn accept(listener: i32) -> Result<i32> {
    plain(
        libc::SYS_accept4,
        [arg(listener), 0, 0, arg(libc::SOCK_CLOEXEC)],
    )
    .map(small)
}

/// getsockopt(SO_RCVTIMEO or SO_SNDTIMEO), in nanoseconds; `None` if the descriptor is no
/// socket.
pub(crate) fn socket_time_limit(fd: i32, receives: bool) -> Option<u64> {
    let option = if receives {
        libc::SO_RCVTIMEO
    } else {
        libc::SO_SNDTIMEO
    };
    let mut limit = [0; 16];
    socket_option(fd, libc::SOL_SOCKET, option, &mut limit).ok()?;
    let (seconds, rest) = limit.split_first_chunk::<8>()?;
    let (microseconds, _) = rest.split_first_chunk::<8>()?;
    let [seconds, microseconds] = [seconds, microseconds].map(|long| i64::from_ne_bytes(*long));
    Some(seconds.unsigned_abs() * 1_000_000_000 + microseconds.unsigned_abs() * 1000)
}

/// socket(2), close-on-exec.
///
/// # Errors
/// As the manual page says.
pub(crate) fn socket(domain: i32, kind: i32, protocol: i32) -> Result<i32> {
    plain(
        libc::SYS_socket,
        [arg(domain), arg(kind | libc::SOCK_CLOEXEC), arg(protocol)],
    )
    .map(small)
}

/// socketpair(2) of AF_UNIX, close-on-exec.
///
/// # Errors
/// EMFILE, ENFILE.
pub(crate) fn socket_pair(kind: i32) -> Result<[i32; 2]> {
    let mut ends = [0_i32; 2];
    // SAFETY: writes two descriptors.
    unsafe {
        with(
            libc::SYS_socketpair,
            [
                arg(libc::AF_UNIX),
                arg(kind | libc::SOCK_CLOEXEC),
                0,
                ends.as_mut_ptr().expose_provenance(),
            ],
        )
    }?;
    Ok(ends)
}

/// getsockopt(2), cut at the buffer's length; returns the option's length.
///
/// # Errors
/// ENOPROTOOPT and kin if the socket has no such option.
pub(crate) fn socket_option(fd: i32, level: i32, name: i32, value: &mut [u8]) -> Result<usize> {
    let mut length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    // SAFETY: writes at most the length given, which is the buffer's, and the length.
    unsafe {
        with(
            libc::SYS_getsockopt,
            [
                arg(fd),
                arg(level),
                arg(name),
                value.as_mut_ptr().expose_provenance(),
                (&raw mut length).expose_provenance(),
            ],
        )
    }?;
    Ok(length as usize)
}

/// getsockopt(2) of a number at SOL_SOCKET.
///
/// # Errors
/// As above.
pub(crate) fn socket_number(fd: i32, name: i32) -> Result<i32> {
    let mut value = [0; 4];
    socket_option(fd, libc::SOL_SOCKET, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// getsockopt(SO_LINGER): whether a close waits for the peer.
pub fn lingers(fd: i32) -> bool {
    // On or off, and the seconds.
    let mut value = [0; 8];
    socket_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &mut value)
        .is_ok_and(|_| value[0] != 0 && value[4..] != [0; 4])
}

/// The same at another level.
///
/// # Errors
/// As above.
pub(crate) fn socket_option_number(fd: i32, level: i32, name: i32) -> Result<i32> {
    let mut value = [0; 4];
    socket_option(fd, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// ioctl(SIOCATMARK): whether the next byte is at the urgent mark.
pub(crate) fn is_at_mark(fd: i32) -> bool {
    const SIOCATMARK: usize = 0x8905;
    let mut is_there = 0_i32;
    // SAFETY: writes one int.
    let asked = unsafe {
        with(
            libc::SYS_ioctl,
            [arg(fd), SIOCATMARK, (&raw mut is_there).expose_provenance()],
        )
    };
    asked.is_ok() && is_there != 0
}

/// setsockopt(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn set_socket_option(fd: i32, level: i32, name: i32, value: &[u8]) -> Result<()> {
    // SAFETY: reads the bytes given.
    unsafe {
        with(
            libc::SYS_setsockopt,
            [
                arg(fd),
                arg(level),
                arg(name),
                value.as_ptr().expose_provenance(),
                value.len(),
            ],
        )
    }
    .map(drop)
}

/// getsockopt(SO_GET_FILTER): the number of instructions, of eight bytes each; if they all fit,
/// the instructions too.
///
/// # Errors
/// EACCES for an eBPF filter, which the kernel doesn't show.
pub(crate) fn socket_filter(fd: i32, filter: &mut [[u8; 8]]) -> Result<usize> {
    // In instructions, not bytes; without room the kernel returns the number alone.
    let mut length = u32::try_from(filter.len()).unwrap_or(0);
    // SAFETY: writes at most as many instructions as there is room for, and their number.
    unsafe {
        with(
            libc::SYS_getsockopt,
            [
                arg(fd),
                arg(libc::SOL_SOCKET),
                arg(libc::SO_GET_FILTER),
                filter.as_mut_ptr().expose_provenance(),
                (&raw mut length).expose_provenance(),
            ],
        )
    }?;
    Ok(length as usize)
}

/// setsockopt(SO_ATTACH_FILTER)
///
/// # Errors
/// EPERM if the present filter is locked.
pub(crate) fn set_socket_filter(fd: i32, filter: &[[u8; 8]]) -> Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: reads the program, and the number of instructions in it.
    unsafe {
        with(
            libc::SYS_setsockopt,
            [
                arg(fd),
                arg(libc::SOL_SOCKET),
                arg(libc::SO_ATTACH_FILTER),
                (&raw const program).expose_provenance(),
                size_of::<libc::sock_fprog>(),
            ],
        )
    }
    .map(drop)
}

/// A multicast group and an interface: `struct group_req`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub(crate) struct GroupRequest {
    interface: u32,
    padding: u32,
    /// `struct sockaddr_storage`
    group: [u8; 128],
}

impl GroupRequest {
    fn new(interface: u32, family: i32, at: usize, address: &[u8]) -> Self {
        let mut group = [0; 128];
        group[..2].copy_from_slice(&family.to_ne_bytes()[..2]);
        if let Some(place) = group.get_mut(at..at + address.len()) {
            place.copy_from_slice(address);
        }
        Self {
            interface,
            padding: 0,
            group,
        }
    }

    /// An IPv4 group.
    pub(crate) fn older(interface: u32, address: [u8; 4]) -> Self {
        Self::new(interface, libc::AF_INET, 4, &address)
    }

    /// An IPv6 group.
    pub(crate) fn newer(interface: u32, address: [u8; 16]) -> Self {
        Self::new(interface, libc::AF_INET6, 8, &address)
    }

    /// Whether it has this family.
    pub(crate) fn is_of(&self, family: i32) -> bool {
        self.group[..2] == family.to_ne_bytes()[..2]
    }
}

/// getsockopt(MCAST_MSFILTER): whether a socket is in a group.
pub(crate) fn is_member(fd: i32, level: i32, group: &GroupRequest) -> bool {
    const MCAST_MSFILTER: i32 = 48;
    /// A `struct group_filter`: the request, a mode, a number and, maybe, sources.
    #[repr(C)]
    struct Filter {
        request: GroupRequest,
        mode: u32,
        sources: u32,
    }
    let mut filter = Filter {
        request: *group,
        mode: 0,
        sources: 0,
    };
    let mut length = u32::try_from(size_of::<Filter>()).unwrap_or(0);
    // SAFETY: reads and writes one filter, which has room for no sources, and the length.
    unsafe {
        with(
            libc::SYS_getsockopt,
            [
                arg(fd),
                arg(level),
                arg(MCAST_MSFILTER),
                (&raw mut filter).expose_provenance(),
                (&raw mut length).expose_provenance(),
            ],
        )
    }
    .is_ok()
}

/// setsockopt(MCAST_JOIN_GROUP) or (MCAST_LEAVE_GROUP)
///
/// # Errors
/// ENODEV if the interface is gone; ENOBUFS if the socket is in too many groups.
pub(crate) fn set_membership(fd: i32, level: i32, name: i32, group: &GroupRequest) -> Result<()> {
    // SAFETY: reads a `struct group_req`.
    unsafe {
        with(
            libc::SYS_setsockopt,
            [
                arg(fd),
                arg(level),
                arg(name),
                core::ptr::from_ref(group).expose_provenance(),
                size_of::<GroupRequest>(),
            ],
        )
    }
    .map(drop)
}

/// Longer than any socket address of the kernel's.
pub(crate) type SocketAddress = [u8; 128];

fn address_by(number: i64, fd: i32, address: &mut SocketAddress) -> Result<&[u8]> {
    let mut length = 128_u32;
    // SAFETY: writes at most the length given, which is the buffer's, and the length.
    unsafe {
        with(
            number,
            [
                arg(fd),
                address.as_mut_ptr().expose_provenance(),
                (&raw mut length).expose_provenance(),
            ],
        )
    }?;
    Ok(address.get(..length as usize).unwrap_or(address))
}

/// getsockname(2)
///
/// # Errors
/// ENOTSOCK.
pub(crate) fn own_address(fd: i32, address: &mut SocketAddress) -> Result<&[u8]> {
    address_by(libc::SYS_getsockname, fd, address)
}

/// getpeername(2)
///
/// # Errors
/// ENOTCONN if it is not connected.
pub(crate) fn peer_address(fd: i32, address: &mut SocketAddress) -> Result<&[u8]> {
    address_by(libc::SYS_getpeername, fd, address)
}

/// connect(AF_UNSPEC): undoes a connection, if the protocol can.
///
/// # Errors
/// EINVAL, EAFNOSUPPORT if it can't.
pub(crate) fn disconnect(fd: i32) -> Result<()> {
    let nowhere = [0_u8; 16];
    // SAFETY: reads the bytes given.
    unsafe {
        with(
            libc::SYS_connect,
            [arg(fd), nowhere.as_ptr().expose_provenance(), nowhere.len()],
        )
    }
    .map(drop)
}

/// bind(2)
///
/// # Errors
/// EADDRINUSE, EACCES, EADDRNOTAVAIL.
pub(crate) fn bind(fd: i32, address: &[u8]) -> Result<()> {
    with_address(libc::SYS_bind, fd, address)
}

/// connect(2) without waiting.
///
/// # Errors
/// ECONNREFUSED if nobody listens; EPROTOTYPE if that socket has another type.
pub(crate) fn connect(fd: i32, address: &[u8]) -> Result<()> {
    with_address(libc::SYS_connect, fd, address)
}

fn with_address(call: i64, fd: i32, address: &[u8]) -> Result<()> {
    // SAFETY: both calls read the bytes given.
    unsafe {
        with(
            call,
            [arg(fd), address.as_ptr().expose_provenance(), address.len()],
        )
    }
    .map(drop)
}

/// SO_PEERCRED: a local socket's user and group, as the kernel shows them to its peer.
pub(crate) fn peer_ids(fd: i32) -> Option<(u32, u32)> {
    let mut ids = [0; 12];
    socket_option(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut ids).ok()?;
    let number = |at: usize| {
        let bytes = ids.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    number(4).zip(number(8))
}

/// listen(2)
///
/// # Errors
/// EADDRINUSE, EOPNOTSUPP.
pub(crate) fn listen(fd: i32, backlog: i32) -> Result<()> {
    plain(libc::SYS_listen, [arg(fd), arg(backlog)]).map(drop)
}

/// shutdown(2)
///
/// # Errors
/// ENOTCONN.
pub(crate) fn shut_down(fd: i32, how: i32) -> Result<()> {
    plain(libc::SYS_shutdown, [arg(fd), arg(how)]).map(drop)
}

/// The most descriptors that one message can carry.
pub(crate) const MOST_RIGHTS: usize = 253;

/// Descriptors that came with a message.
pub(crate) struct Rights {
    fds: [i32; MOST_RIGHTS],
    count: usize,
}

impl Rights {
    pub(crate) fn fds(&self) -> &[i32] {
        self.fds.get(..self.count).unwrap_or(&[])
    }
}

/// A control message of descriptors: its length, level and type, and the descriptors.
#[repr(C)]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    fds: [i32; MOST_RIGHTS + 1],
    /// Room for other control messages.
    rest: [u64; 16],
}

const CONTROL_HEADER: usize = 16;

/// recvmsg(2) with the descriptors in the message, which the caller then owns, and the
/// message's own flags.
fn receive_with(fd: i32, bytes: &mut [u8], flags: i32) -> Result<(usize, Rights, i32)> {
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut control = Control {
        length: 0,
        level: 0,
        kind: 0,
        fds: [0; MOST_RIGHTS + 1],
        rest: [0; 16],
    };
    let mut message = libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut vector,
        msg_iovlen: 1,
        msg_control: (&raw mut control).cast(),
        msg_controllen: size_of::<Control>(),
        msg_flags: 0,
    };
    // SAFETY: the message names live buffers with their true lengths.
    let read = unsafe {
        with(
            libc::SYS_recvmsg,
            [
                arg(fd),
                (&raw mut message).expose_provenance(),
                arg(flags | libc::MSG_CMSG_CLOEXEC),
            ],
        )
    }?;
    let mut rights = Rights {
        fds: [0; MOST_RIGHTS],
        count: 0,
    };
    if message.msg_controllen >= CONTROL_HEADER
        && (control.level, control.kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
    {
        rights.count = (control.length.saturating_sub(CONTROL_HEADER) / 4).min(MOST_RIGHTS);
        for (place, &fd) in rights.fds.iter_mut().zip(&control.fds) {
            *place = fd;
        }
    }
    Ok((read, rights, message.msg_flags))
}

/// recvmsg(MSG_PEEK) without waiting, with the descriptors in the message, which the caller
/// then owns.
///
/// # Errors
/// EAGAIN if nothing waits; EMSGSIZE if it is longer than the buffer.
pub(crate) fn peek(fd: i32, bytes: &mut [u8]) -> Result<(usize, Rights)> {
    let (read, rights, flags) = receive_with(fd, bytes, libc::MSG_PEEK | libc::MSG_DONTWAIT)?;
    if flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        for &fd in rights.fds() {
            close(fd);
        }
        return Err(Errno(libc::EMSGSIZE));
    }
    Ok((read, rights))
}

/// sendmsg(2) without waiting, with descriptors.
///
/// # Errors
/// EAGAIN if there is no room; EPIPE.
pub(crate) fn send_with(fd: i32, bytes: &[u8], rights: &[i32]) -> Result<usize> {
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut control = Control {
        length: CONTROL_HEADER + rights.len() * 4,
        level: libc::SOL_SOCKET,
        kind: libc::SCM_RIGHTS,
        fds: [0; MOST_RIGHTS + 1],
        rest: [0; 16],
    };
    for (place, &fd) in control.fds.iter_mut().zip(rights) {
        *place = fd;
    }
    let with_control = !rights.is_empty();
    let message = libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut vector,
        msg_iovlen: 1,
        msg_control: if with_control {
            (&raw mut control).cast()
        } else {
            ptr::null_mut()
        },
        msg_controllen: if with_control { control.length } else { 0 },
        msg_flags: 0,
    };
    // SAFETY: the message names live buffers with their true lengths, and the call only reads
    // them.
    unsafe {
        with(
            libc::SYS_sendmsg,
            [
                arg(fd),
                (&raw const message).expose_provenance(),
                arg(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL),
            ],
        )
    }
}
