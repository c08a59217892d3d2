//! Sockets: listening, bound, connected and new ones, and pairs.
//!
//! The copy lets go of a listener that it can make anew and only the program has. So any close by
//! the program ends the listener. The revived copy makes it, binds it and listens again.
//! Connections that nobody has accepted end with the branch.
//!
//! Other sockets stay shared, and the copy lets go when the program closes them by libc. After a
//! revert a listener that was shut down listens again, and a socket that has connected is
//! disconnected or made anew. Nobody can take a connection back: the take names it with its peer.
//! A later version may offer a choice here (pass, hold, cut).
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Fate, Group, with_descriptor_path},
    memberships::{self, Memberships, can_be_member},
    options::{Of, Options},
    pairs::Pairs,
    recording::{Object, Recording},
    unix_questions::Asking,
};
use crate::sys::{self, Errno, SocketAddress, Stat};
use crate::terms::{
    Address, Kind, Why,
    comes_back::{self, SocketState},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Neither bound nor connected.
    New,
    /// Bound to this address, not connected or listening.
    Idle(Address),
    Listening {
        name: Address,
        backlog: i32,
    },
    /// Connected, or about to be.
    Connected,
}

impl State {
    /// The same without the details.
    const fn seen(&self) -> SocketState {
        match self {
            Self::New => SocketState::New,
            Self::Idle(_) => SocketState::Idle,
            Self::Listening { .. } => SocketState::Listening,
            Self::Connected => SocketState::Connected,
        }
    }
}

/// The file that a socket is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BoundFile {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
}

impl BoundFile {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.inode,
            mode: stat.mode & 0o7777,
            owner: stat.owner,
        }
    }

    /// Gives this mode and owner to the socket file behind a path descriptor.
    fn give_to(&self, socket: i32) -> Result<(), Errno> {
        let stat = sys::fstat(socket)?;
        if stat.mode & libc::S_IFMT != libc::S_IFSOCK {
            return Err(Errno(libc::ENOTSOCK));
        }
        let now = Self::of(&stat);
        if now.mode != self.mode {
            with_descriptor_path(socket, |path| sys::set_mode(path, self.mode))?;
        }
        if now.owner != self.owner {
            with_descriptor_path(socket, |path| sys::set_owner(path, self.owner))?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Socket {
    state: State,
    /// The file that it is bound to, if any.
    place: Option<BoundFile>,
    /// Domain, type and protocol.
    kind: [i32; 3],
    options: Of,
    memberships: memberships::Of,
}

/// All sockets.
pub(super) struct Sockets {
    pairs: Pairs,
    sockets: ByGroup<Socket>,
    options: Options,
    memberships: Memberships,
}

impl Object for Sockets {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = Self {
            // First: the rest skips what is made anew as a pair.
            pairs: Pairs::record(recording)?,
            sockets: ByGroup::new(),
            options: Options::new(),
            memberships: Memberships::new(),
        };
        let mut asking = Asking::new(recording.open);
        recording.for_each_group(|recording, number, group| {
            if group.kind != Kind::Socket || group.fate == Fate::Rebuilt {
                return Ok(());
            }
            let mut socket = Socket::record(group.fd, &mut found.options)?;
            if can_be_member(socket.kind) {
                socket.memberships = found.memberships.record(group.fd, socket.kind[0])?;
            }
            socket.settle(recording, number, &group, &mut asking);
            found.sockets.push(number, socket)
        })?;
        asking.end();
        found.pairs.let_go(recording.open);
        Ok(found)
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        failed += self.sockets.restore(open, |group, socket| {
            let restored = socket.restore(open, group, &self.options);
            failed += self.options.restore(socket.options, group.fd);
            if can_be_member(socket.kind) {
                let memberships = &self.memberships;
                failed += memberships.restore(socket.memberships, group.fd, socket.kind[0]);
            }
            restored
        });
        // Last: any of those may be in transit in a pair.
        failed + self.pairs.restore(open)
    }

    fn release(self) {
        self.pairs.release();
        self.sockets.release();
        self.options.release();
        self.memberships.release();
    }
}

fn name_of(fd: i32) -> Result<Address, Errno> {
    let mut name: SocketAddress = [0; 128];
    Ok(Address::new(sys::own_address(fd, &mut name)?))
}

fn peer_of(fd: i32) -> Address {
    let mut peer: SocketAddress = [0; 128];
    Address::new(sys::peer_address(fd, &mut peer).unwrap_or(&[]))
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
        // A TCP listener has its queue's length in this field. `settle_listener` sets a local
        // one's.
        let backlog = info.map_or(libc::SOMAXCONN, |info| number_at(&info, SACKED));
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

fn number_at(info: &TcpInfo, at: usize) -> i32 {
    let bytes = info.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| i32::from_ne_bytes(*bytes))
}

/// How many connections wait in a listener's queue.
fn waiting_connections(fd: i32) -> u64 {
    const UNACKED: usize = 24;
    let waiting = tcp_info(fd).map_or(0, |info| number_at(&info, UNACKED));
    u64::try_from(waiting).unwrap_or(0)
}

/// Whether the name is that of an unbound socket.
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

/// The path of a name in the file system.
fn path_of(name: &Address) -> Option<&CStr> {
    let (family, rest) = name.bytes().split_first_chunk::<2>()?;
    if i32::from(u16::from_ne_bytes(*family)) != libc::AF_UNIX || rest.first() == Some(&0) {
        return None;
    }
    CStr::from_bytes_until_nul(rest).ok()
}

/// The file at the path of a name.
fn place_at(name: &Address) -> Option<BoundFile> {
    Some(BoundFile::of(&sys::stat(path_of(name)?).ok()?))
}

fn is_shut_down(fd: i32) -> bool {
    sys::poll_now(fd) & (libc::POLLHUP | libc::POLLRDHUP) != 0
}

impl Socket {
    fn record(fd: i32, options: &mut Options) -> Result<Self, Errno> {
        let state = state_of(fd)?;
        Ok(Self {
            state,
            place: match &state {
                State::Listening { name, .. } | State::Idle(name) => place_at(name),
                State::New | State::Connected => None,
            },
            kind: [
                sys::socket_number(fd, libc::SO_DOMAIN)?,
                sys::socket_number(fd, libc::SO_TYPE)?,
                sys::socket_number(fd, libc::SO_PROTOCOL)?,
            ],
            options: options.record(fd, state == State::Connected)?,
            memberships: memberships::Of::default(),
        })
    }

    /// Decides the fate of the socket while the copy is frozen, and names what is lost.
    fn settle(
        &mut self,
        recording: &mut Recording<'_>,
        number: usize,
        group: &Group,
        asking: &mut Asking,
    ) {
        let fd = group.fd;
        let sharing = recording.sharing(number);
        let happened = match self.state {
            State::Idle(_) => sys::poll_now(fd),
            _ => 0,
        };
        let mut facts = comes_back::Socket {
            state: self.state.seen(),
            is_stream: self.kind[1] == libc::SOCK_STREAM,
            has_unread: happened & libc::POLLIN != 0,
            has_hidden_filter: self.options.has_hidden_filter,
            ..comes_back::Socket::default()
        };
        match self.state {
            State::New => {
                if sharing.is_own() && self.can_be_opened() {
                    recording.open.will_be_rebuilt(number);
                }
            }
            State::Connected => recording.open.will_be_waited_for(number),
            State::Idle(name) => {
                // A socket reports that its connection has ended; a new socket would not.
                let is_unused =
                    facts.is_stream && happened & (libc::POLLRDHUP | libc::POLLERR) == 0;
                let can_be_anew = is_unused
                    && !sharing.is_hidden
                    && self.can_be_opened()
                    && self.could_be_bound(fd, &name);
                if !sharing.is_elsewhere && can_be_anew {
                    // The kernel takes a port that it chose from a used socket; the name still
                    // shows it.
                    recording.open.will_be_rebuilt(number);
                } else if !sharing.is_elsewhere && self.can_be_opened() {
                    recording.open.will_be_waited_for(number);
                }
            }
            State::Listening { .. } => {
                self.settle_listener(recording, number, group, asking, &mut facts);
            }
        }
        for why in facts.reasons_of_one(sharing) {
            let (count, peer) = match why {
                Why::Backlog => (facts.waiting_connections, Address::NONE),
                Why::Connected => (0, peer_of(fd)),
                _ => (0, Address::NONE),
            };
            recording.name_peer(Kind::Socket, why, fd, count, peer);
        }
    }

    fn settle_listener(
        &mut self,
        recording: &mut Recording<'_>,
        number: usize,
        group: &Group,
        asking: &mut Asking,
        facts: &mut comes_back::Socket,
    ) {
        let fd = group.fd;
        let found = match self.kind[0] {
            libc::AF_UNIX => asking.about(group.inode),
            _ => None,
        };
        facts.waiting_connections =
            found.map_or_else(|| waiting_connections(fd), |found| found.queue.0.into());
        let sharing = recording.sharing(number);
        if sharing.is_elsewhere {
            // It does not end when the program closes it.
            return;
        }
        let path_inode = found.map_or(0, |found| found.path_inode.into());
        facts.can_listen_again = self.can_listen_again(fd, path_inode);
        if sharing.is_own() && facts.can_listen_again {
            recording.open.will_be_rebuilt(number);
            if let (Some(found), State::Listening { backlog, .. }) = (found, &mut self.state) {
                *backlog = i32::try_from(found.queue.1).unwrap_or(i32::MAX);
            }
        } else {
            recording.open.will_be_waited_for(number);
        }
    }

    /// Whether the program can open such a socket again: it may have given up the rights for a
    /// raw one.
    fn can_be_opened(&self) -> bool {
        let [domain, kind, _] = self.kind;
        !self.options.has_hidden_filter
            && matches!(domain, libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX)
            && kind != libc::SOCK_RAW
    }

    /// Whether a new socket can surely listen in its place, once it is closed. `path_inode` is
    /// the inode that it is bound to.
    fn can_listen_again(&self, fd: i32, path_inode: u64) -> bool {
        let State::Listening { name, .. } = &self.state else {
            return false;
        };
        if self.options.has_hidden_filter || is_shut_down(fd) {
            return false;
        }
        match self.kind {
            [libc::AF_INET | libc::AF_INET6, _, libc::IPPROTO_TCP] => {
                is_reused(fd) && self.could_be_bound(fd, name)
            }
            // A client can see who listens.
            [libc::AF_UNIX, ..] if sys::peer_ids(fd) != Some(sys::effective_ids()) => false,
            [libc::AF_UNIX, ..] => match (path_of(name), &self.place) {
                (None, _) => self.is_of_this_network(fd),
                (Some(path), Some(place)) => {
                    place.inode == path_inode
                        && place.owner.0 == sys::effective_ids().0
                        && may_write_beside(path)
                }
                // Its path is gone.
                (Some(_), None) => false,
            },
            _ => false,
        }
    }

    /// Whether the program may bind a socket to its address: the kernel checks permission before
    /// it checks that the address is free.
    fn could_be_bound(&self, fd: i32, name: &Address) -> bool {
        if self.kind[0] == libc::AF_UNIX {
            // The attempt would make a path that is gone.
            return false;
        }
        let Ok(other) = self.open() else {
            return false;
        };
        let only = sys::socket_option_number(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
        if let Ok(only) = only {
            let value = only.to_ne_bytes();
            let _ = sys::set_socket_option(other, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &value);
        }
        let bound = sys::bind(other, name.bytes());
        let is_here = are_of_one_network(fd, other);
        sys::close(other);
        is_here && bound == Err(Errno(libc::EADDRINUSE))
    }

    fn is_of_this_network(&self, fd: i32) -> bool {
        let Ok(other) = self.open() else {
            return false;
        };
        let is_here = are_of_one_network(fd, other);
        sys::close(other);
        is_here
    }

    fn restore(&self, open: &Descriptors, group: &Group, options: &Options) -> Result<(), Errno> {
        if group.fate == Fate::Shared && self.restore_in_place(group.fd)? {
            return Ok(());
        }
        let fd = match self.state {
            State::Connected => self.closed()?,
            _ => self.open()?,
        };
        let mut made = self.make(fd, group, options);
        if group.fate == Fate::Shared && made == Err(Errno(libc::EADDRINUSE)) {
            // Its own old socket may hold the address.
            open.vacate(group)?;
            made = self.make(fd, group, options);
        }
        // A socket without an address is better than none.
        open.install(group, fd).and(made)
    }

    fn open(&self) -> Result<i32, Errno> {
        let [domain, kind, protocol] = self.kind;
        sys::socket(domain, kind, protocol)
    }

    /// Makes a socket of the same kind with a closed peer: the program can set and ask all that
    /// it can of a connection.
    fn closed(&self) -> Result<i32, Errno> {
        let [domain, kind, _] = self.kind;
        if domain == libc::AF_UNIX {
            let [end, other] = sys::socket_pair(kind)?;
            sys::close(other);
            return Ok(end);
        }
        let fd = self.open()?;
        if kind == libc::SOCK_STREAM {
            // This fails with ENOTCONN, and shuts the socket down nevertheless.
            let _ = sys::shut_down(fd, libc::SHUT_RDWR);
        }
        Ok(fd)
    }

    fn is_as_it_was(&self, fd: i32) -> Result<bool, Errno> {
        Ok(state_of(fd)? == self.state
            && match &self.state {
                State::Listening { name, .. } if self.place.is_some() => {
                    let inode = |place: BoundFile| place.inode;
                    place_at(name).map(inode) == self.place.map(inode) && !is_shut_down(fd)
                }
                State::Listening { .. } => !is_shut_down(fd),
                // Other unconnected sockets always look shut down.
                State::Idle(_) if self.kind[1] == libc::SOCK_DGRAM => !is_shut_down(fd),
                _ => true,
            })
    }

    /// Takes back what the protocol can take back. Returns false if that is not enough.
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

    /// Gives a new socket the state of this one.
    fn make(&self, fd: i32, group: &Group, options: &Options) -> Result<(), Errno> {
        options.restore(self.options, fd);
        let (name, backlog) = match self.state {
            State::New | State::Connected => return Ok(()),
            State::Idle(name) => (name, None),
            State::Listening { name, backlog } => (name, Some(backlog)),
        };
        match path_of(&name) {
            Some(path) => self.bind_over(fd, group, &name, path)?,
            None if name_of(fd)? != name => sys::bind(fd, name.bytes())?,
            None => {}
        }
        match backlog {
            Some(backlog) => sys::listen(fd, backlog),
            None => Ok(()),
        }
    }

    /// Binds a socket to a path, in place of a file without a listener. The kernel reports the
    /// bound path as its name, so a rename from another path won't do.
    fn bind_over(&self, fd: i32, group: &Group, name: &Address, path: &CStr) -> Result<(), Errno> {
        match sys::bind(fd, name.bytes()) {
            Err(Errno(libc::EADDRINUSE)) if self.may_replace(group, name, path) => {
                sys::remove(path)?;
                sys::bind(fd, name.bytes())?;
            }
            done => done?,
        }
        let Some(place) = self.place else {
            return Ok(());
        };
        // Others with write access to the directory may replace the file, say by a link. So this
        // checks and changes the same open file.
        let bound = sys::open(path, libc::O_PATH | libc::O_NOFOLLOW)?;
        let done = place.give_to(bound);
        sys::close(bound);
        done
    }

    /// Whether a path is this socket's own, or one that nobody is bound to any more.
    fn may_replace(&self, group: &Group, name: &Address, path: &CStr) -> bool {
        let Ok(stat) = sys::stat(path) else {
            return false;
        };
        if stat.mode & libc::S_IFMT != libc::S_IFSOCK {
            return false;
        }
        // While the socket is held, nobody else can get its inode number.
        let is_own = self.place.is_some_and(|place| place.inode == stat.inode);
        if group.fate == Fate::Shared && is_own {
            return true;
        }
        // A socket of another type gets EPROTOTYPE if somebody is bound.
        let other = match self.kind[1] {
            libc::SOCK_STREAM => libc::SOCK_DGRAM,
            _ => libc::SOCK_STREAM,
        };
        let Ok(asking) = sys::socket(libc::AF_UNIX, other, 0) else {
            return false;
        };
        let answer = sys::connect(asking, name.bytes());
        sys::close(asking);
        answer == Err(Errno(libc::ECONNREFUSED))
    }
}

/// Whether accepted connections, which have the listener's options, leave its address to a new
/// one.
fn is_reused(fd: i32) -> bool {
    let is_on = |name| sys::socket_number(fd, name) == Ok(1);
    is_on(libc::SO_REUSEADDR)
        // SO_REUSEPORT works among sockets of one user.
        || is_on(libc::SO_REUSEPORT)
            && sys::fstat(fd).is_ok_and(|stat| stat.owner.0 == sys::effective_ids().0)
}

/// Whether two sockets are in one network namespace. Older kernels don't tell; then they are,
/// unless the program has changed its own.
fn are_of_one_network(one: i32, other: i32) -> bool {
    const SO_NETNS_COOKIE: i32 = 71;
    let cookie = |fd| {
        let mut cookie = [0; 8];
        sys::socket_option(fd, libc::SOL_SOCKET, SO_NETNS_COOKIE, &mut cookie).map(|_| cookie)
    };
    cookie(one) == cookie(other)
}

/// Whether the program may create and remove files in a path's directory.
fn may_write_beside(path: &CStr) -> bool {
    let path = path.to_bytes();
    let mut directory = [0; Address::CAPACITY + 2];
    let length = match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => at + 1,
        None => 0,
    };
    let parent = path.get(..length).unwrap_or(&[]);
    for (place, &byte) in directory.iter_mut().zip(parent.iter().chain(b".\0")) {
        *place = byte;
    }
    CStr::from_bytes_until_nul(&directory).is_ok_and(sys::may_write_to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::recording::tests::round;
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
        assert!(named.iter().all(|gap| gap.fd != socket.as_raw_fd()));
        socket.peer_addr().expect_err("it is connected no more");
        assert_eq!(socket.local_addr().expect("it is bound"), address);
    }

    #[test]
    fn what_stands_for_a_closed_connection_takes_its_options() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6 loopback.
            let Ok(listener) = TcpListener::bind(any) else {
                continue;
            };
            let address = listener.local_addr().expect("it is bound");
            let _client = TcpStream::connect(address).expect("somebody listens");
            let (server, _) = listener.accept().expect("somebody has connected");
            server.set_nodelay(true).expect("a socket");
            let fd = server.as_raw_fd();
            let mut options = Options::new();
            let socket = Socket::record(fd, &mut options).expect("a socket");
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
        let found = named.iter().find(|gap| gap.fd == client.as_raw_fd());
        let found = found.expect("it is connected");
        assert_eq!((found.kind, found.why), (Kind::Socket, Why::Connected));
        assert_eq!(found.address.bytes()[2..4], address.port().to_be_bytes());
    }
}
