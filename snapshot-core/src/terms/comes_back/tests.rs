use super::*;
use crate::terms::{Kind, Origin, Why};

const OWN: Sharing = Sharing {
    is_hidden: false,
    is_elsewhere: false,
};
const ELSEWHERE: Sharing = Sharing {
    is_elsewhere: true,
    ..OWN
};
const HIDDEN: Sharing = Sharing {
    is_hidden: true,
    ..OWN
};

/// The reasons for a kind, with the facts that `change` sets.
fn of(kind: Kind, change: impl FnOnce(&mut Facts)) -> Vec<Why> {
    let mut facts = Facts::default();
    change(&mut facts);
    match descriptor(kind, &facts) {
        ComesBack::Yes => Vec::new(),
        ComesBack::No(reasons) => reasons.into_iter().collect(),
        ComesBack::RefusesTake => panic!("{kind:?} refuses"),
    }
}

#[test]
fn every_kind_by_whom_it_belongs_to() {
    use Why::{Connected, Elsewhere, Hidden, OtherEnd, Process, State};
    // Alone, shared, and unknown; a pipe with its other end closed, a socket that is connected.
    let all = [
        (Kind::File, None, None, None),
        (Kind::Directory, None, None, None),
        (Kind::Pipe, None, Some(OtherEnd), Some(OtherEnd)),
        (Kind::Fifo, None, Some(OtherEnd), Some(OtherEnd)),
        (
            Kind::Socket,
            Some(Connected),
            Some(Connected),
            Some(Connected),
        ),
        (Kind::Epoll, None, Some(Elsewhere), Some(Hidden)),
        (Kind::Eventfd, None, Some(Elsewhere), Some(Hidden)),
        (Kind::Timerfd, None, Some(Elsewhere), Some(Hidden)),
        (Kind::Signalfd, None, Some(Elsewhere), Some(Hidden)),
        (Kind::Inotify, None, Some(Elsewhere), Some(Hidden)),
        (Kind::Memfd, None, None, None),
        (Kind::Terminal, None, None, None),
        (Kind::Pidfd, Some(Process), Some(Process), Some(Process)),
        (Kind::Perf, Some(Process), Some(Process), Some(Process)),
        (Kind::Device, Some(State), Some(State), Some(State)),
        (Kind::Other, Some(State), Some(State), Some(State)),
        (Kind::Semaphores, Some(State), Some(State), Some(State)),
        (Kind::MessageQueue, Some(State), Some(State), Some(State)),
        // These have no descriptor.
        (Kind::SharedMemory, None, None, None),
        (Kind::Lock, None, None, None),
    ];
    let refusing = Kind::ALL.into_iter().filter(|&kind| refuses_take(kind));
    assert_eq!(all.len() + refusing.count(), Kind::ALL.len());
    for (kind, alone, elsewhere, hidden) in all {
        for (sharing, expected) in [(OWN, alone), (ELSEWHERE, elsewhere), (HIDDEN, hidden)] {
            let found = of(kind, |facts| {
                facts.sharing = sharing;
                facts.socket.state = SocketState::Connected;
            });
            assert_eq!(found, Vec::from_iter(expected), "{kind:?} {sharing:?}");
        }
    }
}

#[test]
fn a_kind_refuses_or_is_judged() {
    let refuse: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|&kind| refuses_take(kind))
        .collect();
    assert_eq!(
        refuse,
        [
            Kind::IoUring,
            Kind::Userfaultfd,
            Kind::Gpu,
            Kind::Kvm,
            Kind::Aio
        ]
    );
    for kind in Kind::ALL {
        let path = Facts {
            is_path: true,
            ..Facts::default()
        };
        let expected = match refuses_take(kind) {
            true => ComesBack::RefusesTake,
            false => ComesBack::Yes,
        };
        assert_eq!(descriptor(kind, &path), expected, "{kind:?}");
        if expected == ComesBack::RefusesTake {
            assert_eq!(descriptor(kind, &Facts::default()), expected, "{kind:?}");
        }
    }
}

#[test]
fn a_device_without_a_state_comes_back() {
    assert_eq!(of(Kind::Device, |facts| facts.is_stateless = true), []);
}

#[test]
fn files_by_what_is_written_and_locked() {
    for kind in [Kind::File, Kind::Directory, Kind::Memfd] {
        let written = |is_output| {
            of(kind, |facts| {
                facts.file.can_write = true;
                facts.file.is_output = is_output;
            })
        };
        let expected = |why| match kind {
            Kind::File => vec![why],
            _ => vec![],
        };
        assert_eq!(written(false), expected(Why::Contents), "{kind:?}");
        assert_eq!(written(true), expected(Why::Output), "{kind:?}");
        let locked = |sharing, can_be_reopened| {
            of(kind, |facts| {
                facts.sharing = sharing;
                facts.file.has_locks = true;
                facts.file.can_be_reopened = can_be_reopened;
            })
        };
        assert_eq!(locked(OWN, true), []);
        assert_eq!(locked(OWN, false), [Why::Held]);
        assert_eq!(locked(ELSEWHERE, false), [Why::Held]);
        assert_eq!(locked(HIDDEN, false), []);
        let shared = match kind {
            Kind::Memfd => vec![],
            _ => vec![Why::Elsewhere],
        };
        assert_eq!(locked(ELSEWHERE, true), shared, "{kind:?}");
    }
    assert_eq!(locks(false), None);
    assert_eq!(locks(true), Some(Why::Retaken));
    assert_eq!(unread_locks(false), Why::Hidden);
    assert_eq!(unread_locks(true), Why::Ended);
}

#[test]
fn pipes_by_their_other_end() {
    for (other_end, is_whole) in [
        (OtherEnd::Own, true),
        (OtherEnd::Closed, true),
        (OtherEnd::Open, false),
    ] {
        for sharing in [OWN, ELSEWHERE, HIDDEN] {
            for (is_inherited, can_write, why) in [
                (false, false, Why::OtherEnd),
                (false, true, Why::OtherEnd),
                (true, false, Why::Input),
                (true, true, Why::Output),
            ] {
                let found = of(Kind::Pipe, |facts| {
                    facts.sharing = sharing;
                    facts.pipe = Pipe {
                        other_end,
                        can_write,
                        is_inherited,
                    };
                });
                let expected = match is_whole && sharing == OWN {
                    true => vec![],
                    false => vec![why],
                };
                assert_eq!(found, expected, "{other_end:?} {sharing:?}");
            }
        }
    }
}

#[test]
fn sockets_by_what_they_do() {
    let socket = |state, sharing, change: fn(&mut Socket)| {
        of(Kind::Socket, |facts| {
            facts.sharing = sharing;
            facts.socket.state = state;
            change(&mut facts.socket);
        })
    };
    let nothing = |_: &mut Socket| {};
    let filtered = |socket: &mut Socket| socket.has_hidden_filter = true;
    for sharing in [OWN, ELSEWHERE, HIDDEN] {
        assert_eq!(socket(SocketState::New, sharing, nothing), []);
        assert_eq!(socket(SocketState::New, sharing, filtered), [Why::Filter]);
        assert_eq!(socket(SocketState::Idle, sharing, nothing), []);
        let datagrams = |socket: &mut Socket| socket.has_unread = true;
        assert_eq!(socket(SocketState::Idle, sharing, datagrams), [Why::Unread]);
        let stream = |socket: &mut Socket| {
            socket.has_unread = true;
            socket.is_stream = true;
        };
        assert_eq!(socket(SocketState::Idle, sharing, stream), []);
        assert_eq!(
            socket(SocketState::Connected, sharing, filtered),
            [Why::Connected, Why::Filter]
        );
        assert_eq!(socket(SocketState::Unseen, sharing, nothing), [Why::State]);
    }
    for (sharing, can_listen_again, is_held) in [
        (OWN, true, false),
        (OWN, false, true),
        (HIDDEN, true, true),
        (ELSEWHERE, true, false),
        (ELSEWHERE, false, false),
    ] {
        for waiting_connections in [0, 2] {
            let found = of(Kind::Socket, |facts| {
                facts.sharing = sharing;
                facts.socket.state = SocketState::Listening;
                facts.socket.can_listen_again = can_listen_again;
                facts.socket.waiting_connections = waiting_connections;
            });
            let mut expected = Vec::new();
            expected.extend((waiting_connections > 0).then_some(Why::Backlog));
            expected.extend(is_held.then_some(Why::Held));
            assert_eq!(found, expected, "{sharing:?}");
        }
    }
}

#[test]
fn pairs_by_what_waits_in_them() {
    let pair = |change: fn(&mut Pair)| {
        of(Kind::Socket, |facts| {
            let mut pair = Pair {
                has_name: false,
                is_vouched_for: true,
                hides_error: false,
                carries_descriptors: false,
            };
            change(&mut pair);
            facts.socket.state = SocketState::Connected;
            facts.socket.pair = Some(pair);
        })
    };
    assert_eq!(pair(|_| {}), []);
    assert_eq!(pair(|pair| pair.has_name = true), [Why::Names]);
    assert_eq!(pair(|pair| pair.carries_descriptors = true), [Why::Waiting]);
    assert_eq!(
        pair(|pair| pair.hides_error = true),
        [Why::Error, Why::Connected]
    );
    assert_eq!(
        pair(|pair| {
            pair.is_vouched_for = false;
            pair.has_name = true;
        }),
        [Why::Credentials, Why::Connected]
    );
}

#[test]
fn terminals_of_the_program_itself() {
    let terminal = |is_master, has_own_master, is_inherited, sharing| {
        of(Kind::Terminal, |facts| {
            facts.sharing = sharing;
            facts.terminal = Terminal {
                is_master,
                has_own_master,
                is_inherited,
                has_unread: true,
            };
        })
    };
    // The user's.
    assert_eq!(terminal(false, false, true, OWN), []);
    assert_eq!(terminal(false, true, false, OWN), [Why::Unread]);
    assert_eq!(terminal(true, false, false, OWN), [Why::Unread, Why::Held]);
    assert_eq!(
        terminal(true, false, false, HIDDEN),
        [Why::Unread, Why::Hidden]
    );
    assert_eq!(terminal(true, false, true, OWN), [Why::Unread]);
    let quiet = |facts: &mut Facts| facts.terminal.is_master = true;
    assert_eq!(of(Kind::Terminal, quiet), [Why::Held]);
}

#[test]
fn watches_and_interests() {
    let watches = |sharing| {
        of(Kind::Inotify, |facts| {
            facts.sharing = sharing;
            facts.watches = Watches {
                has_unread: true,
                are_paths_known: false,
            };
        })
    };
    assert_eq!(watches(OWN), [Why::Waiting, Why::NoPath]);
    assert_eq!(watches(ELSEWHERE), [Why::Elsewhere]);
    assert_eq!(interests(0), None);
    assert_eq!(interests(1), Some(Why::Elsewhere));
}

#[test]
fn memory_by_who_has_it_and_how_much_there_is() {
    for origin in [Origin::Memory, Origin::Memfd, Origin::File] {
        let most = origin.most_copied();
        let mut room = Room::of(origin);
        assert_eq!(room.why(true, 1), Some(Why::Elsewhere));
        assert_eq!(room.why(false, most + 1), Some(Why::Large));
        assert_eq!(room.why(false, most), None);
        assert_eq!(room.why(false, 1), Some(Why::Large));
        assert_eq!(room.why(false, 0), None);
    }
    assert_eq!(
        of(Kind::Memfd, |facts| facts.memory = Some(Why::Large)),
        [Why::Large]
    );
    // Each has a room of its own, and files may be left alone.
    let mut rooms = Rooms::new(FileContents::Copied);
    let most = Origin::File.most_copied();
    assert_eq!(rooms.why(true, false, most), None);
    assert_eq!(rooms.why(true, false, 1), Some(Why::Large));
    assert_eq!(rooms.why(false, false, 1), None);
    assert_eq!(rooms.why(false, true, 1), Some(Why::Elsewhere));
    let mut rooms = Rooms::new(FileContents::Kept);
    assert_eq!(rooms.why(true, true, most + 1), None);
    let mut rooms = Rooms::new(FileContents::Left);
    assert_eq!(rooms.why(true, true, 1), Some(Why::Unwanted));
    assert_eq!(rooms.why(false, false, 1), None);
}

#[test]
fn mappings_that_a_copy_records() {
    for (origin, can_write, has_descriptor, expected) in [
        (Origin::Memory, false, false, true),
        (Origin::Memory, true, false, true),
        (Origin::Memfd, false, false, true),
        (Origin::Memfd, true, true, false),
        (Origin::File, true, true, true),
        (Origin::File, false, true, false),
        (Origin::Aio, true, false, false),
    ] {
        let mapping = Mapping {
            origin,
            can_write,
            has_descriptor,
        };
        assert_eq!(mapping.is_recorded(), expected, "{mapping:?}");
    }
}

#[test]
fn reasons_keep_their_order() {
    let all = [Why::Names, Why::Error, Why::Connected, Why::Filter];
    let reasons = Reasons::NONE.and(all);
    assert_eq!(Vec::from_iter(reasons), all);
    assert_eq!(ComesBack::unless(Reasons::NONE), ComesBack::Yes);
    assert_eq!(ComesBack::unless(reasons), ComesBack::No(reasons));
}
