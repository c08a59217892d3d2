//! Whether a descriptor, or shared memory, would be as it was after a revert. Pure: from
//! what was seen of it and of others, the words are [`crate::refusal::kinds`]'s.

use snapshot_core::terms::{Kind, Origin, Why};

use super::{descriptors::Descriptor, sockets::Socket};
use crate::refusal::kinds;

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes back.
    Returns,
    /// It stays as the dead branch left it.
    Stays(Why),
    /// There would be no snapshot.
    Refuses,
}

/// Where the other end of a pipe or of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherEnd {
    /// In the same process.
    Own,
    /// In another one.
    Elsewhere,
    /// Closed.
    Nobody,
    /// It may be in a process that may not be looked into.
    Unknown,
}

/// What is around a descriptor.
#[derive(Debug, Clone)]
pub(super) struct Surroundings<'a> {
    /// Another process has the very same thing.
    pub(super) is_elsewhere: bool,
    pub(super) other_end: OtherEnd,
    /// What is known of it, if it is a socket.
    pub(super) socket: Option<&'a Socket>,
}

/// Judges a descriptor.
pub(super) fn descriptor(descriptor: &Descriptor, around: &Surroundings<'_>) -> Verdict {
    let unless_elsewhere = if around.is_elsewhere {
        Verdict::Stays(Why::Elsewhere)
    } else {
        Verdict::Returns
    };
    if kinds::rule(descriptor.kind).is_some() {
        return Verdict::Refuses;
    }
    match descriptor.kind {
        Kind::File if descriptor.access.writes => Verdict::Stays(Why::Contents),
        Kind::Pipe | Kind::Fifo => match around.other_end {
            OtherEnd::Elsewhere | OtherEnd::Unknown => Verdict::Stays(Why::OtherEnd),
            OtherEnd::Own | OtherEnd::Nobody => unless_elsewhere,
        },
        Kind::Socket => socket(around, unless_elsewhere),
        Kind::Device if !descriptor.is_stateless => Verdict::Stays(Why::State),
        // Their state is where in them the program is, which comes back whoever has them.
        Kind::File | Kind::Terminal | Kind::Device | Kind::Directory => Verdict::Returns,
        Kind::Pidfd | Kind::Perf => Verdict::Stays(Why::Process),
        Kind::Other | Kind::Semaphores | Kind::MessageQueue => Verdict::Stays(Why::State),
        _ => unless_elsewhere,
    }
}

fn socket(around: &Surroundings<'_>, unless_elsewhere: Verdict) -> Verdict {
    match around.socket {
        Some(socket) if socket.waiting_connections() > 0 => Verdict::Stays(Why::Backlog),
        Some(socket) if socket.has_datagrams() => Verdict::Stays(Why::Unread),
        Some(Socket::Inet { peer: Some(_), .. }) => Verdict::Stays(Why::Connected),
        Some(Socket::Unix {
            is_connected: true,
            path,
            ..
        }) => match around.other_end {
            OtherEnd::Own if !path.is_empty() => Verdict::Stays(Why::Names),
            OtherEnd::Own => unless_elsewhere,
            OtherEnd::Elsewhere => Verdict::Stays(Why::OtherEnd),
            OtherEnd::Nobody | OtherEnd::Unknown => Verdict::Stays(Why::Connected),
        },
        Some(Socket::Inet { .. } | Socket::Unix { .. } | Socket::Fresh(_)) => unless_elsewhere,
        Some(Socket::Other(_)) | None => Verdict::Stays(Why::State),
    }
}

/// Judges shared memory of so many bytes, which other processes have mapped too, or not,
/// where so many can still be copied.
pub(super) fn memory(origin: Origin, is_elsewhere: bool, bytes: u64, left: u64) -> (Kind, Verdict) {
    let verdict = match origin {
        Origin::Aio => return (Kind::Aio, Verdict::Refuses),
        _ if is_elsewhere => Verdict::Stays(Why::Elsewhere),
        _ if bytes > left => Verdict::Stays(Why::Large),
        _ => Verdict::Returns,
    };
    (Kind::SharedMemory, verdict)
}

#[cfg(test)]
mod tests {
    use super::super::descriptors::{Access, Info};
    use super::*;

    const ALONE: Surroundings<'_> = Surroundings {
        is_elsewhere: false,
        other_end: OtherEnd::Nobody,
        socket: None,
    };

    fn one(kind: Kind) -> Descriptor {
        Descriptor {
            number: 3,
            target: Vec::new(),
            kind,
            is_stateless: false,
            access: Access {
                reads: true,
                writes: kind == Kind::File,
            },
            info: Info::default(),
        }
    }

    fn of(kind: Kind, around: &Surroundings<'_>) -> Verdict {
        descriptor(&one(kind), around)
    }

    #[test]
    fn every_kind_of_a_process_alone() {
        for kind in Kind::ALL {
            let expected = match kind {
                Kind::IoUring | Kind::Userfaultfd | Kind::Gpu | Kind::Kvm | Kind::Aio => {
                    Verdict::Refuses
                }
                Kind::File => Verdict::Stays(Why::Contents),
                Kind::Pidfd | Kind::Perf => Verdict::Stays(Why::Process),
                Kind::Other
                | Kind::Socket
                | Kind::Device
                | Kind::Semaphores
                | Kind::MessageQueue => Verdict::Stays(Why::State),
                _ => Verdict::Returns,
            };
            assert_eq!(of(kind, &ALONE), expected, "{kind:?}");
        }
    }

    #[test]
    fn what_others_have_too_stays() {
        let around = Surroundings {
            is_elsewhere: true,
            ..ALONE
        };
        for kind in [Kind::Pipe, Kind::Epoll, Kind::Eventfd, Kind::Memfd] {
            assert_eq!(
                of(kind, &around),
                Verdict::Stays(Why::Elsewhere),
                "{kind:?}"
            );
        }
        assert_eq!(of(Kind::Terminal, &around), Verdict::Returns);
        let mut file = one(Kind::File);
        file.access.writes = false;
        assert_eq!(descriptor(&file, &around), Verdict::Returns);
        let mut null = one(Kind::Device);
        null.is_stateless = true;
        assert_eq!(descriptor(&null, &around), Verdict::Returns);
    }

    #[test]
    fn a_pipe_and_its_other_end() {
        for (other_end, expected) in [
            (OtherEnd::Own, Verdict::Returns),
            (OtherEnd::Nobody, Verdict::Returns),
            (OtherEnd::Elsewhere, Verdict::Stays(Why::OtherEnd)),
            (OtherEnd::Unknown, Verdict::Stays(Why::OtherEnd)),
        ] {
            let around = Surroundings { other_end, ..ALONE };
            assert_eq!(of(Kind::Pipe, &around), expected, "{other_end:?}");
        }
    }

    #[test]
    fn sockets_by_what_they_are_connected_to() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let inet = |peer| Socket::Inet {
            protocol: "tcp",
            local: address,
            peer,
            listens: false,
            waiting: 0,
        };
        let unix = |is_connected| Socket::Unix {
            style: "stream",
            path: String::new(),
            listens: false,
            is_connected,
            peer: None,
            waiting: 0,
        };
        let judged = |socket: &Socket, other_end| {
            let around = Surroundings {
                other_end,
                socket: Some(socket),
                ..ALONE
            };
            of(Kind::Socket, &around)
        };
        let connected = Verdict::Stays(Why::Connected);
        let nobody = OtherEnd::Nobody;
        assert_eq!(judged(&inet(None), nobody), Verdict::Returns);
        assert_eq!(judged(&inet(Some(address)), nobody), connected);
        assert_eq!(judged(&unix(false), nobody), Verdict::Returns);
        assert_eq!(judged(&unix(true), OtherEnd::Own), Verdict::Returns);
        assert_eq!(judged(&unix(true), nobody), connected);
        assert_eq!(judged(&unix(true), OtherEnd::Unknown), connected);
        assert_eq!(
            judged(&unix(true), OtherEnd::Elsewhere),
            Verdict::Stays(Why::OtherEnd)
        );
    }

    #[test]
    fn sockets_by_what_waits_in_them() {
        let judged = |listens, waiting| {
            let socket = Socket::Inet {
                protocol: if listens { "tcp" } else { "udp" },
                local: std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
                peer: None,
                listens,
                waiting,
            };
            let around = Surroundings {
                socket: Some(&socket),
                ..ALONE
            };
            of(Kind::Socket, &around)
        };
        assert_eq!(judged(true, 0), Verdict::Returns);
        assert_eq!(judged(true, 1), Verdict::Stays(Why::Backlog));
        assert_eq!(judged(false, 0), Verdict::Returns);
        assert_eq!(judged(false, 1), Verdict::Stays(Why::Unread));
        let named = Socket::Unix {
            style: "stream",
            path: "@name".to_owned(),
            listens: false,
            is_connected: true,
            peer: Some(1),
            waiting: 0,
        };
        let around = Surroundings {
            socket: Some(&named),
            other_end: OtherEnd::Own,
            ..ALONE
        };
        assert_eq!(of(Kind::Socket, &around), Verdict::Stays(Why::Names));
    }

    #[test]
    fn shared_memory_by_who_has_it_and_how_much_there_is() {
        let verdict = |origin, is_elsewhere, bytes| memory(origin, is_elsewhere, bytes, 10).1;
        for origin in [Origin::Memory, Origin::Memfd, Origin::File] {
            assert_eq!(verdict(origin, false, 10), Verdict::Returns);
            assert_eq!(verdict(origin, true, 10), Verdict::Stays(Why::Elsewhere));
            assert_eq!(verdict(origin, false, 11), Verdict::Stays(Why::Large));
        }
        assert_eq!(verdict(Origin::Aio, false, 10), Verdict::Refuses);
    }
}
