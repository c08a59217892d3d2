//! Sockets that stay shared. Those that listen, or are not connected, come back: what was
//! closed is still open here, what was shut down listens again, what was connected is
//! disconnected or made anew. A connection can't be taken back, and is named with its
//! peer; how it is dealt with is to be chosen one day (pass, hold, cut), and this is where.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use super::by_group::ByGroup;
use super::descriptors::{Descriptors, Fate, Group};
use super::kinds::{Kind, Why};
use super::options::{Of, Options};
use super::{Object, Recording};
use crate::sys::{self, Errno, SocketAddress};
use crate::wire::Address;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As a new one is.
    New,
    /// Neither connected nor listening, at this address.
    Idle(Address),
    Listening {
        name: Address,
        backlog: i32,
    },
    /// Connected, or about to be.
    Connected,
}

#[derive(Clone, Copy)]
struct Socket {
    state: State,
    /// Of the path that it listens at, if it does.
    inode: Option<u64>,
    /// Domain, type and protocol.
    kind: [i32; 3],
    options: Of,
}

/// The sockets that stay shared.
pub(super) struct Sockets {
    sockets: ByGroup<Socket>,
    options: Options,
}

impl Object for Sockets {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = Self {
            sockets: ByGroup::new(),
            options: Options::new(),
        };
        recording.for_each_group(|recording, number, group| {
            if group.kind != Kind::Socket || group.fate == Fate::Rebuilt {
                return Ok(());
            }
            let state = state_of(group.fd)?;
            let is_own = recording.open.are_told_apart && !recording.holders.has(number);
            if state == State::New && is_own {
                recording.open.will_be_rebuilt(number);
            }
            let inode = match &state {
                State::Listening { name, .. } => inode_at(name),
                _ => None,
            };
            if state == State::Connected {
                recording.open.will_be_waited_for(number);
                if group.fd > 2 {
                    let mut peer: SocketAddress = [0; 128];
                    let peer = sys::peer_address(group.fd, &mut peer).unwrap_or(&[]);
                    let peer = Address::new(peer);
                    recording.name_peer(Kind::Socket, Why::Connected, group.fd, 0, peer);
                }
            }
            let socket = Socket::record(group.fd, state, inode, &mut found.options)?;
            found.sockets.push(number, socket)
        })?;
        Ok(found)
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        failed += self.sockets.restore(open, |group, socket| {
            let restored = socket.restore(open, group, &self.options);
            failed += self.options.restore(socket.options, group.fd);
            restored
        });
        failed
    }

    fn release(self) {
        self.sockets.release();
        self.options.release();
    }
}

fn name_of(fd: i32) -> Result<Address, Errno> {
    let mut name: SocketAddress = [0; 128];
    Ok(Address::new(sys::own_address(fd, &mut name)?))
}

/// The beginning of `struct tcp_info`.
type TcpInfo = [u8; 32];

fn tcp_info(fd: i32) -> Option<TcpInfo> {
    let mut info = [0; 32];
    let length = sys::socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info);
    (length == Ok(32)).then_some(info)
}

fn state_of(fd: i32) -> Result<State, Errno> {
    const CLOSED: u8 = 7;
    const SACKED: usize = 28;
    let is_tcp = sys::socket_number(fd, libc::SO_PROTOCOL) == Ok(libc::IPPROTO_TCP);
    let info = if is_tcp { tcp_info(fd) } else { None };
    if sys::socket_number(fd, libc::SO_ACCEPTCONN) == Ok(1) {
        // In a socket that listens this field holds the length of its queue.
        let backlog = info.and_then(|info| info.get(SACKED..)?.first_chunk::<4>().copied());
        let backlog = backlog.map_or(libc::SOMAXCONN, i32::from_ne_bytes);
        let name = name_of(fd)?;
        return Ok(State::Listening { name, backlog });
    }
    let mut peer: SocketAddress = [0; 128];
    // A socket that is about to connect has no peer yet.
    let connects = info.is_some_and(|info| info[0] != CLOSED);
    if connects || sys::peer_address(fd, &mut peer).is_ok() {
        return Ok(State::Connected);
    }
    let name = name_of(fd)?;
    Ok(match is_nowhere(&name) {
        true => State::New,
        false => State::Idle(name),
    })
}

/// Whether a socket of this name has been given none.
fn is_nowhere(name: &Address) -> bool {
    let Some((family, rest)) = name.bytes().split_first_chunk::<2>() else {
        return false;
    };
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET | libc::AF_INET6 => rest.iter().all(|&byte| byte == 0),
        libc::AF_UNIX => rest.is_empty(),
        _ => false,
    }
}

/// What is made of a socket that listens at a path of the file system.
fn path_of(name: &Address) -> Option<&CStr> {
    let (family, rest) = name.bytes().split_first_chunk::<2>()?;
    if i32::from(u16::from_ne_bytes(*family)) != libc::AF_UNIX || rest.first() == Some(&0) {
        return None;
    }
    CStr::from_bytes_until_nul(rest).ok()
}

/// The inode of a path.
fn inode_at(name: &Address) -> Option<u64> {
    Some(sys::stat(path_of(name)?).ok()?.inode)
}

fn is_shut_down(fd: i32) -> bool {
    sys::poll_now(fd) & (libc::POLLHUP | libc::POLLRDHUP) != 0
}

impl Socket {
    fn record(
        fd: i32,
        state: State,
        inode: Option<u64>,
        options: &mut Options,
    ) -> Result<Self, Errno> {
        Ok(Self {
            state,
            inode,
            kind: [
                sys::socket_number(fd, libc::SO_DOMAIN)?,
                sys::socket_number(fd, libc::SO_TYPE)?,
                sys::socket_number(fd, libc::SO_PROTOCOL)?,
            ],
            options: options.record(fd, state == State::Connected)?,
        })
    }

    fn restore(&self, open: &Descriptors, group: &Group, options: &Options) -> Result<(), Errno> {
        if group.fate == Fate::Shared && self.restore_in_place(group.fd)? {
            return Ok(());
        }
        let fd = match self.state {
            State::Connected => self.closed()?,
            _ => self.open()?,
        };
        match self.make(fd, options) {
            Ok(()) => open.install(group, fd),
            Err(errno) => {
                sys::close(fd);
                Err(errno)
            }
        }
    }

    fn open(&self) -> Result<i32, Errno> {
        let [domain, kind, protocol] = self.kind;
        sys::socket(domain, kind, protocol)
    }

    /// Something of the same kind whose other side has closed it: what a program sets or
    /// asks of a connection it can set or ask of this.
    fn closed(&self) -> Result<i32, Errno> {
        let [domain, kind, _] = self.kind;
        if domain == libc::AF_UNIX {
            let [end, other] = sys::socket_pair(kind)?;
            sys::close(other);
            return Ok(end);
        }
        let fd = self.open()?;
        if kind == libc::SOCK_STREAM {
            // It says that it is not connected, and is shut down nevertheless.
            let _ = sys::shut_down(fd, libc::SHUT_RDWR);
        }
        Ok(fd)
    }

    fn is_as_it_was(&self, fd: i32) -> Result<bool, Errno> {
        Ok(state_of(fd)? == self.state
            && match &self.state {
                State::Listening { name, .. } if self.inode.is_some() => {
                    inode_at(name) == self.inode && !is_shut_down(fd)
                }
                State::Listening { .. } => !is_shut_down(fd),
                // Another kind that is not connected says the same of itself always.
                State::Idle(_) if self.kind[1] == libc::SOCK_DGRAM => !is_shut_down(fd),
                _ => true,
            })
    }

    /// Takes back what the protocol can take back. False where that is not enough.
    fn restore_in_place(&self, fd: i32) -> Result<bool, Errno> {
        if self.state == State::Connected || self.is_as_it_was(fd)? {
            return Ok(true);
        }
        if matches!(self.kind, [libc::AF_INET | libc::AF_INET6, ..]) {
            let _ = sys::disconnect(fd);
            if matches!(state_of(fd)?, State::Listening { .. }) {
                let _ = sys::shut_down(fd, libc::SHUT_RDWR);
            }
        }
        if let State::Listening { name, backlog } = self.state
            && name_of(fd)? == name
        {
            sys::listen(fd, backlog)?;
        }
        self.is_as_it_was(fd)
    }

    /// Makes a new socket what this one was.
    fn make(&self, fd: i32, options: &Options) -> Result<(), Errno> {
        options.restore(self.options, fd);
        let (name, backlog) = match self.state {
            State::New | State::Connected => return Ok(()),
            State::Idle(name) => (name, None),
            State::Listening { name, backlog } => (name, Some(backlog)),
        };
        match path_of(&name) {
            Some(path) => bind_over(fd, &name, path)?,
            None if name_of(fd)? != name => sys::bind(fd, name.bytes())?,
            None => {}
        }
        match backlog {
            Some(backlog) => sys::listen(fd, backlog),
            None => Ok(()),
        }
    }
}

/// Binds a socket to a path, in the stead of one that nobody listens at any more.
fn bind_over(fd: i32, name: &Address, path: &CStr) -> Result<(), Errno> {
    match sys::bind(fd, name.bytes()) {
        Err(Errno(libc::EADDRINUSE))
            if sys::stat(path).is_ok_and(|stat| stat.mode & libc::S_IFMT == libc::S_IFSOCK) =>
        {
            // It has the name that the kernel tells of it, so it can't be made beside.
            sys::remove(path)?;
            sys::bind(fd, name.bytes())
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::round;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_listener_listens_again_after_it_was_shut_down() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        round::<Sockets>(&[listener.as_raw_fd()], || {
            sys::shut_down(listener.as_raw_fd(), libc::SHUT_RDWR).expect("it listens");
            TcpStream::connect(address).expect_err("nobody listens");
        });
        TcpStream::connect(address).expect("somebody listens");
    }

    #[test]
    fn a_socket_that_was_connected_is_not() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("it is bound");
        let named = round::<Sockets>(&[socket.as_raw_fd()], || {
            socket.connect("127.0.0.1:9").expect("it needs nobody");
        });
        assert!(named.iter().all(|remains| remains.fd != socket.as_raw_fd()));
        socket.peer_addr().expect_err("it is connected no more");
        assert_eq!(socket.local_addr().expect("it is bound"), address);
    }

    #[test]
    fn what_stands_for_a_closed_connection_takes_its_options() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no loopback of the newer kind.
            let Ok(listener) = TcpListener::bind(any) else {
                continue;
            };
            let address = listener.local_addr().expect("it is bound");
            let _client = TcpStream::connect(address).expect("somebody listens");
            let (server, _) = listener.accept().expect("somebody has connected");
            server.set_nodelay(true).expect("a socket");
            let fd = server.as_raw_fd();
            let mut options = Options::new();
            let socket =
                Socket::record(fd, State::Connected, None, &mut options).expect("a socket");
            let closed = socket.closed().expect("a descriptor");
            assert_eq!(options.restore(socket.options, closed), 0, "{any}");
            assert_eq!(sys::read(closed, &mut [0; 8]), Ok(0));
            assert_eq!(sys::write_once(closed, b"x"), Err(Errno(libc::EPIPE)));
            sys::close(closed);
            options.release();
        }
    }

    #[test]
    fn a_peer_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).expect("somebody listens");
        let named = round::<Sockets>(&[client.as_raw_fd()], || {});
        let found = named
            .iter()
            .find(|remains| remains.fd == client.as_raw_fd());
        let found = found.expect("it is connected");
        assert_eq!((found.kind, found.why), (Kind::Socket, Why::Connected));
        assert_eq!(found.address.bytes()[2..4], address.port().to_be_bytes());
    }
}
