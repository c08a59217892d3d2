//! The sockets of a process's network namespace, by inode, as `/proc/PID/net` lists them.
//!
//! No list has sockets that are neither bound nor connected: only their protocol is known.
#![expect(unsafe_code, reason = "asks for the protocol of another's socket")]

use std::collections::HashMap;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;
use snapshot_core::kernel::unix_diag;
use snapshot_core::terms::comes_back::{self, SocketState};

use super::unix_peers;
use crate::processes::files;

/// What is known of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Socket {
    /// `tcp`, `udp6`, ...; the peer is known if it is connected.
    Inet {
        protocol: &'static str,
        local: SocketAddr,
        peer: Option<SocketAddr>,
        listens: bool,
        /// Connections that wait to be accepted, or bytes that wait to be read.
        waiting: u32,
    },
    Unix {
        /// `stream`, `dgram` or `seqpacket`.
        style: &'static str,
        /// Its own name.
        path: String,
        listens: bool,
        is_connected: bool,
        peer: Peer,
        /// Connections that wait to be accepted, or bytes that wait to be read.
        waiting: u32,
    },
    /// Neither bound nor connected.
    Fresh(String),
    /// A socket that talks to the kernel.
    Netlink,
    /// For a network's packets.
    Packet,
    /// Of another family.
    Other(String),
}

/// The other end of a local socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The kernel does not tell, or nobody has accepted yet.
    Unknown,
    Closed,
    /// This is its inode.
    Inode(u64),
}

impl Peer {
    fn of(info: &unix_diag::Socket, style: &str) -> Self {
        let kind = match style {
            "dgram" => libc::SOCK_DGRAM,
            _ => libc::SOCK_STREAM,
        };
        match info.peer {
            Some(0) if info.has_lost_peer(kind) => Self::Closed,
            None | Some(0) => Self::Unknown,
            Some(peer) => Self::Inode(peer.into()),
        }
    }
}

impl Socket {
    /// How many connections wait to be accepted.
    pub(super) fn waiting_connections(&self) -> u32 {
        match self {
            Self::Inet {
                listens: true,
                waiting,
                ..
            }
            | Self::Unix {
                listens: true,
                waiting,
                ..
            } => *waiting,
            _ => 0,
        }
    }

    /// Whether a snapshot lets go of it only if its address may be reused.
    pub(super) fn listens_by_tcp(&self) -> bool {
        matches!(self, Self::Inet { listens: true, .. })
    }

    /// Whether something waits to be read from it.
    fn has_unread(&self) -> bool {
        match self {
            Self::Inet { waiting, .. } | Self::Unix { waiting, .. } => *waiting > 0,
            _ => false,
        }
    }

    fn state(&self) -> SocketState {
        match self {
            Self::Inet { listens: true, .. } | Self::Unix { listens: true, .. } => {
                SocketState::Listening
            }
            Self::Inet { peer: Some(_), .. }
            | Self::Unix {
                is_connected: true, ..
            }
            // The kernel itself is the peer of each.
            | Self::Netlink => SocketState::Connected,
            Self::Inet { .. } | Self::Packet => SocketState::Idle,
            Self::Unix { path, .. } if path.is_empty() => SocketState::New,
            Self::Unix { .. } => SocketState::Idle,
            Self::Fresh(_) => SocketState::New,
            Self::Other(_) => SocketState::Unseen,
        }
    }

    /// The facts for the rule, except whether it is one of a pair.
    pub(super) fn facts(&self) -> comes_back::Socket {
        comes_back::Socket {
            state: self.state(),
            is_stream: match self {
                Self::Inet { protocol, .. } => protocol.starts_with("tcp"),
                Self::Unix { style, .. } => *style == "stream",
                _ => false,
            },
            has_unread: self.has_unread(),
            waiting_connections: self.waiting_connections().into(),
            ..comes_back::Socket::default()
        }
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Inet {
                protocol,
                local,
                peer: Some(peer),
                ..
            } => format!("{protocol} {local}, connected to {peer}"),
            Self::Inet {
                protocol,
                local,
                listens,
                ..
            } => {
                let listens = if *listens { ", listening" } else { "" };
                format!("{protocol} {local}{listens}")
            }
            Self::Unix {
                style,
                path,
                listens,
                is_connected,
                ..
            } => {
                let path = if path.is_empty() {
                    String::new()
                } else {
                    format!(" {path}")
                };
                let state = match (listens, is_connected) {
                    (true, _) => ", listening",
                    (_, true) => ", connected",
                    _ => "",
                };
                format!("unix {style}{path}{state}")
            }
            Self::Fresh(protocol) => format!("{protocol}, not connected"),
            Self::Netlink => "netlink".to_owned(),
            Self::Packet => "packet".to_owned(),
            Self::Other(family) => family.clone(),
        }
    }
}

/// Tables of internet addresses, named like their sockets.
const INET: [&str; 8] = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "icmp", "icmp6"];

/// The sockets of a process's network namespace, by inode.
pub(super) fn of(pid: i32) -> HashMap<u64, Socket> {
    let table = |name: &str| {
        let text = files::bytes(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut all = HashMap::new();
    for protocol in INET {
        let text = table(protocol);
        all.extend(text.lines().filter_map(|line| inet(protocol, line)));
    }
    let text = table("netlink");
    all.extend(text.lines().filter_map(|line| {
        let inode = line.split_whitespace().nth(9)?.parse().ok()?;
        Some((inode, Socket::Netlink))
    }));
    let text = table("packet");
    all.extend(text.lines().filter_map(|line| {
        let inode = line.split_whitespace().nth(8)?.parse().ok()?;
        Some((inode, Socket::Packet))
    }));
    let text = table("unix");
    let peers = unix_peers::of(pid);
    all.extend(text.lines().filter_map(|line| {
        let (inode, mut socket) = unix(line)?;
        if let Socket::Unix {
            style,
            is_connected,
            peer,
            waiting,
            ..
        } = &mut socket
            && let Some(info) = peers.get(&inode)
        {
            // An unconnected socket that has peers looks connected in the table.
            *is_connected = info.peer.is_some();
            *peer = Peer::of(info, style);
            *waiting = info.queue.0;
        }
        Some((inode, socket))
    }));
    all
}

/// A socket that is in no list; `None` if its protocol is unknown.
pub(super) fn unlisted(pid: i32, number: i32) -> Option<Socket> {
    let path = CString::new(format!("/proc/{pid}/fd/{number}")).ok()?;
    let mut name = [0_u8; 32];
    // SAFETY: both strings end in NUL, and at most as much as there is room is written.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"system.sockprotoname".as_ptr(),
            name.as_mut_ptr().cast(),
            name.len(),
        )
    };
    let name = name.get(..usize::try_from(length).ok()?)?;
    let name = String::from_utf8_lossy(name)
        .trim_end_matches('\0')
        .to_lowercase();
    let is_plain = INET
        .iter()
        .any(|protocol| name.trim_end_matches("v6") == *protocol)
        || name.starts_with("unix");
    Some(match name.as_str() {
        _ if is_plain => Socket::Fresh(name),
        "netlink" => Socket::Netlink,
        "packet" => Socket::Packet,
        _ => Socket::Other(name),
    })
}

/// States of TCP and the like: all others count as connected.
const LISTEN: u8 = 10;
const CLOSED: u8 = 7;

/// A line as `0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 12345 ...`.
fn inet(protocol: &'static str, line: &str) -> Option<(u64, Socket)> {
    let mut words = line.split_whitespace().skip(1);
    let local = address(words.next()?)?;
    let peer = address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let (_, waiting) = words.next()?.split_once(':')?;
    let waiting = u32::from_str_radix(waiting, 16).ok()?;
    let inode = words.nth(4)?.parse().ok()?;
    let is_connected = state != LISTEN && state != CLOSED;
    let socket = Socket::Inet {
        protocol,
        local,
        peer: is_connected.then_some(peer),
        listens: state == LISTEN,
        waiting,
    };
    Some((inode, socket))
}

/// `0100007F:1F90`: words of 32 bits in native byte order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = host.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let host = match host.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(host, port))
}

/// A line as `ffff8880: 00000003 00000000 00000000 0001 03 15890 /run/socket`.
fn unix(line: &str) -> Option<(u64, Socket)> {
    let mut words = line.split_whitespace().skip(3);
    let flags = u32::from_str_radix(words.next()?, 16).ok()?;
    let style = match words.next()? {
        "0001" => "stream",
        "0002" => "dgram",
        "0005" => "seqpacket",
        _ => return None,
    };
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.next()?.parse().ok()?;
    let socket = Socket::Unix {
        style,
        path: words.collect::<Vec<_>>().join(" "),
        listens: flags & 0x1_0000 != 0,
        is_connected: state == 3,
        peer: Peer::Unknown,
        waiting: 0,
    };
    Some((inode, socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn inode(socket: &impl AsFd) -> u64 {
        nix::sys::stat::fstat(socket).expect("it is open").st_ino
    }

    #[test]
    fn own_sockets_are_found() {
        let listener = TcpListener::bind("[::1]:0")
            .or_else(|_| TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).expect("it listens");
        let datagram = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let directory = tempfile::tempdir().expect("the temp directory is writable");
        let path = directory.path().join("socket");
        let named = UnixListener::bind(&path).expect("a name");
        let (end, other) = UnixStream::pair().expect("a pair");
        let all = of(std::process::id().cast_signed());

        let Some(Socket::Inet {
            local,
            peer: None,
            listens: true,
            ..
        }) = all.get(&inode(&listener))
        else {
            panic!("no listener: {all:?}");
        };
        assert_eq!(*local, address);
        let Some(Socket::Inet { peer, .. }) = all.get(&inode(&client)) else {
            panic!("no client: {all:?}");
        };
        assert_eq!(*peer, Some(address));
        let described = all[&inode(&datagram)].describe();
        assert!(described.starts_with("udp 127.0.0.1:"), "{described}");
        assert!(!described.contains("connected"), "{described}");
        let described = all[&inode(&named)].describe();
        let expected = format!("unix stream {}, listening", path.display());
        assert_eq!(described, expected);
        let Some(Socket::Unix {
            is_connected: true,
            peer,
            ..
        }) = all.get(&inode(&end))
        else {
            panic!("no pair: {all:?}");
        };
        assert_eq!(*peer, Peer::Inode(inode(&other)));
    }

    #[test]
    fn a_fresh_socket_is_known_by_its_protocol() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
        use std::os::fd::AsRawFd;
        let own = std::process::id().cast_signed();
        for (family, protocol) in [
            (AddressFamily::Inet, "udp"),
            (AddressFamily::Inet6, "udpv6"),
            (AddressFamily::Unix, "unix"),
        ] {
            let Ok(fresh) = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) else {
                eprintln!("skipped: no sockets of {family:?}");
                continue;
            };
            let Some(Socket::Fresh(name)) = unlisted(own, fresh.as_raw_fd()) else {
                panic!("no {family:?}");
            };
            assert_eq!(name, protocol);
        }
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .expect("every kernel has netlink");
        assert_eq!(unlisted(own, netlink.as_raw_fd()), Some(Socket::Netlink));
        assert_eq!(unlisted(own, -1), None);
    }

    #[test]
    fn an_address_of_either_family() {
        let text = |text| address(text).map(|address| address.to_string());
        if cfg!(target_endian = "little") {
            assert_eq!(text("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
            let local = "00000000000000000000000001000000:0016";
            assert_eq!(text(local).as_deref(), Some("[::1]:22"));
        }
        for bad in [
            "",
            ":",
            "0100007F",
            "0100007F:",
            "0100007F:1F9000",
            "z:1",
            "é00007F:1",
        ] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_head_is_no_socket() {
        assert_eq!(
            inet("tcp", "  sl  local_address rem_address   st tx_queue"),
            None
        );
        let head = "Num       RefCount Protocol Flags    Type St Inode Path";
        assert_eq!(unix(head), None);
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(noise: String, words in prop::collection::vec("[0-9A-F:]{0,33}", 0..12)) {
            for line in [noise, words.join(" ")] {
                let _ = inet("tcp", &line);
                let _ = unix(&line);
                let _ = address(&line);
            }
        }

        #[test]
        fn an_address_that_is_written_is_read(host: [u32; 4], port: u16) {
            let text = format!("{:08X}:{port:04X}", host[0]);
            let expected = SocketAddr::from((host[0].to_ne_bytes(), port));
            prop_assert_eq!(address(&text), Some(expected));
            let words: String = host.iter().map(|word| format!("{word:08X}")).collect();
            let read = address(&format!("{words}:{port:04X}"));
            prop_assert!(read.is_some_and(|address| address.is_ipv6() && address.port() == port));
        }
    }
}
