//! Sockets while a snapshot exists, and after a revert: listeners end when the program closes
//! them, and listen again. Names, options and rights are as before. The take names what can't
//! come back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use snapshot_tests::{Ending, Event, Launch, PipedSession, binaries, outside};

/// Listeners that a copy can make anew.
const LISTENERS: [&str; 4] = ["tcp", "tcp6", "path", "abstract"];

/// None where Python is absent.
fn guest() -> Option<PipedSession> {
    guest_by(|launch| launch)
}

fn guest_by(with: impl FnOnce(Launch) -> Launch) -> Option<PipedSession> {
    let python = outside::find("python3")?;
    let guest = binaries::source("sockets.py");
    let session = with(Launch::program(python).arg(guest)).piped();
    Some(session)
}

/// Where a listener of the guest's is.
struct Listener {
    kind: &'static str,
    address: String,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Listener {
    /// None where the machine has no such sockets.
    fn new(session: &mut PipedSession, kind: &'static str) -> Option<Self> {
        if kind == "tcp6" && TcpListener::bind("[::1]:0").is_err() {
            eprintln!("skipped: no IPv6");
            return None;
        }
        let address = session.ask(&format!("listen {kind}"));
        Some(Self { kind, address })
    }

    fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let port = || self.address.parse::<u16>().expect("a port");
        Ok(match self.kind {
            "tcp" | "plain" | "port" => Box::new(TcpStream::connect(("127.0.0.1", port()))?),
            "tcp6" => Box::new(TcpStream::connect(("::1", port()))?),
            "path" => Box::new(UnixStream::connect(&self.address)?),
            _ => {
                let name = SocketAddr::from_abstract_name(&self.address)?;
                Box::new(UnixStream::connect_addr(&name)?)
            }
        })
    }

    fn is_refused(&self, when: &str) {
        let refused = self.connect().err().map(|error| error.kind());
        assert_eq!(
            refused,
            Some(std::io::ErrorKind::ConnectionRefused),
            "{} {when}",
            self.kind
        );
    }

    fn serves(&self, session: &mut PipedSession) {
        let mut stream = self.connect().expect("it listens");
        stream.write_all(b"question").expect("it is connected");
        assert_eq!(session.ask(&format!("serve {}", self.kind)), "question");
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"answer");
    }
}

/// The items of a take that say this.
fn named<'a>(taken: &'a [Event], why: &str) -> Vec<&'a Event> {
    taken
        .iter()
        .filter(|item| item.text("why").contains(why))
        .collect()
}

/// The kernel's last close is the program's, by whichever way it closes.
#[test]
fn a_listener_that_is_closed_refuses_although_snapshots_exist() {
    for kind in LISTENERS {
        for how in ["libc", "raw", "dup2", "range"] {
            let Some(mut session) = guest() else { return };
            let Some(listener) = Listener::new(&mut session, kind) else {
                continue;
            };
            listener.serves(&mut session);
            session.take();
            session.take();
            session.ask(&format!("close {kind} {how}"));
            listener.is_refused(how);
            // It is there again, as it was, in either snapshot, and not in what is left.
            for _ in 0..2 {
                session.revert();
                listener.serves(&mut session);
                session.ask(&format!("close {kind} {how}"));
                listener.is_refused(how);
            }
        }
    }
}

#[test]
fn a_listener_ends_at_an_exec() {
    for kind in LISTENERS {
        let Some(mut session) = guest() else { return };
        let Some(listener) = Listener::new(&mut session, kind) else {
            continue;
        };
        session.take();
        session.ask("become");
        session.wait_until("the listener's end", || listener.connect().is_err());
        session.revert();
        listener.serves(&mut session);
    }
}

#[test]
fn a_listener_ends_and_listens_again_without_namespaces() {
    for kind in LISTENERS {
        let without = |launch: Launch| launch.flag("--isolate").flag("never");
        let Some(mut session) = guest_by(without) else {
            return;
        };
        let Some(listener) = Listener::new(&mut session, kind) else {
            continue;
        };
        let taken = session.take();
        assert!(taken.named().is_empty(), "{kind}: {taken}");
        session.ask(&format!("close {kind} raw"));
        listener.is_refused("closed");
        session.revert();
        listener.serves(&mut session);
    }
}

/// Where the kernel would not give an address again, the snapshot holds it, and the take says so.
/// When the program closes the listener by libc, the snapshot lets it go.
#[test]
fn a_listener_that_is_held_is_named_and_let_go_of() {
    let Some(mut session) = guest() else { return };
    let listener = Listener::new(&mut session, "plain").expect("IPv4");
    let taken = session.take();
    let held = taken.named();
    assert_eq!(
        named(&held, "the snapshot holds its address").len(),
        1,
        "{taken}"
    );
    session.ask("close plain libc");
    listener.is_refused("closed");
    session.ask("again plain");
    session.revert();
    listener.serves(&mut session);
    session.take();
    session.revert();
    listener.serves(&mut session);
}

#[test]
fn a_listener_that_is_opened_anew_gets_all_connections() {
    for kind in ["tcp", "abstract"] {
        let Some(mut session) = guest() else { return };
        let listener = Listener::new(&mut session, kind).expect("IPv4");
        session.take();
        session.ask(&format!("close {kind} raw"));
        session.ask(&format!("again {kind}"));
        for _ in 0..10 {
            listener.serves(&mut session);
        }
        session.revert();
        for _ in 0..10 {
            listener.serves(&mut session);
        }
    }
}

/// What a child has too stays as it is.
#[test]
fn a_listener_that_a_child_has_is_the_same_after_a_revert() {
    let Some(mut session) = guest() else { return };
    let listener = Listener::new(&mut session, "path").expect("a path");
    let inode = || {
        let found = std::fs::metadata(&listener.address).expect("it is there");
        std::os::unix::fs::MetadataExt::ino(&found)
    };
    session.ask("share");
    let before = inode();
    let mut waiting = listener.connect().expect("it listens");
    session.take();
    session.revert();
    assert_eq!(inode(), before);
    waiting.write_all(b"still there").expect("it is connected");
    assert_eq!(session.ask("serve path"), "still there");
}

/// Only the thread that closes waits for its peer.
#[test]
fn a_close_that_lingers_holds_no_snapshot_up() {
    let Some(mut session) = guest() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    session.ask(&format!("linger {port}"));
    let (mut stream, _) = listener.accept().expect("it has connected");
    session.take();
    session.ask("hang_up");
    session.take();
    std::io::copy(&mut stream, &mut std::io::sink()).expect("it ends");
}

/// It is no socket that waits for its first use.
#[test]
fn a_connection_that_has_ended_is_one_that_has_ended() {
    let Some(mut session) = guest() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    session.ask(&format!("connect {port}"));
    let (stream, _) = listener.accept().expect("it has connected");
    // What is not read makes a reset of its end.
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger)
        .expect("it is connected");
    drop(stream);
    // ECONNRESET, once.
    assert_eq!(session.ask("ended"), "104 b''");
    let taken = session.take();
    assert!(taken.named().is_empty(), "{taken}");
    session.revert();
    assert_eq!(session.ask("ended"), "0 b''");
}

/// With an end of the branch that leaves nobody time to do anything.
#[test]
fn a_listener_is_there_after_a_branch_that_was_killed_with_its_connections() {
    for kind in LISTENERS {
        let Some(mut session) = guest() else { return };
        let Some(listener) = Listener::new(&mut session, kind) else {
            continue;
        };
        for ending in [Ending::Kill, Ending::Command, Ending::Interrupt] {
            session.attempt(ending, |session| {
                for _ in 0..3 {
                    listener.serves(session);
                }
                session.ask(&format!("call {kind}"));
            });
            // The dead branch's own client does not wait in its queue.
            assert_eq!(session.ask(&format!("is_quiet {kind}")), "quiet");
            listener.serves(&mut session);
        }
        if kind == "path" {
            assert_eq!(session.ask("mode"), "0o640");
        }
    }
}

#[test]
fn connections_that_wait_are_named_with_their_number() {
    for kind in LISTENERS {
        let Some(mut session) = guest() else { return };
        let Some(listener) = Listener::new(&mut session, kind) else {
            continue;
        };
        let none = session.take();
        let none = none.named();
        assert_eq!(named(&none, "wait to be accepted").len(), 0);
        let _waiting = [listener.connect(), listener.connect()];
        let taken = session.take();
        let all = taken.named();
        let waiting = named(&all, "wait to be accepted");
        assert_eq!(waiting.len(), 1, "{kind}: {taken}");
        let what = waiting[0].text("what");
        assert!(what.contains("2 connections"), "{what}");
    }
}

#[test]
fn a_path_that_somebody_else_has_taken_stays_his() {
    let Some(mut session) = guest() else { return };
    let listener = Listener::new(&mut session, "path").expect("a path");
    session.take();
    session.ask("close path libc");
    std::fs::remove_file(&listener.address).expect("the guest has made it");
    let other = std::os::unix::net::UnixListener::bind(&listener.address).expect("a path");
    session.revert();
    let _stream = UnixStream::connect(&listener.address).expect("it is there");
    other.set_nonblocking(true).expect("a socket");
    session.wait_until("it is his", || other.accept().is_ok());
    session.wait_until_stderr("not put back: 1 socket");
}

#[test]
fn a_port_that_the_kernel_has_chosen_is_the_same_after_a_revert() {
    let Some(mut session) = guest() else { return };
    let address = session.ask("port");
    let listener = Listener {
        kind: "port",
        address,
    };
    session.take();
    session.take();
    for _ in 0..2 {
        assert_eq!(session.ask("begin port"), listener.address);
        listener.serves(&mut session);
        session.revert();
    }
    assert_eq!(session.ask("begin port"), listener.address);
    listener.serves(&mut session);
}

#[test]
fn a_bound_socket_that_is_closed_leaves_its_address() {
    let Some(mut session) = guest() else { return };
    let port = session.ask("udp");
    session.take();
    session.ask("close udp libc");
    session.ask("bind_udp_again");
    session.revert();
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    sender
        .send_to(b"hello", format!("127.0.0.1:{port}"))
        .expect("it is sent");
    assert_eq!(session.ask("drink udp"), "hello");
}

#[test]
fn a_membership_comes_back() {
    let Some(mut session) = guest() else { return };
    if session.ask("join") == "alone" {
        eprintln!("skipped: no multicast here");
        return;
    }
    assert_eq!(session.ask("hears"), "to all");
    for change in ["leave", "close member libc"] {
        session.take();
        session.ask(change);
        if change == "leave" {
            assert_eq!(session.ask("hears"), "to one");
        }
        session.revert();
        assert_eq!(session.ask("hears"), "to all", "{change}");
    }
}

#[test]
fn datagrams_that_wait_are_named() {
    let Some(mut session) = guest() else { return };
    let port = session.ask("udp");
    let taken = session.take();
    assert!(named(&taken.named(), "datagrams wait").is_empty());
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    sender
        .send_to(b"hello", format!("127.0.0.1:{port}"))
        .expect("it is sent");
    let taken = session.take();
    let all = taken.named();
    assert_eq!(named(&all, "datagrams wait").len(), 1, "{taken}");
}

#[test]
fn a_datagram_socket_that_is_connected_to_itself_is_so_after_a_revert() {
    for kind in ["unix", "udp"] {
        let Some(mut session) = guest() else { return };
        session.ask(&format!("own_datagrams {kind}"));
        let taken = session.take();
        let all = taken.named();
        assert_eq!(
            named(&all, "over this connection").len(),
            1,
            "{kind}: {taken}"
        );
        assert_eq!(session.ask("drink self"), "to myself");
        session.revert();
        assert_eq!(session.ask("send_to_itself"), "more");
    }
}

#[test]
fn names_of_a_local_connection_are_named() {
    let Some(mut session) = guest() else { return };
    Listener::new(&mut session, "abstract").expect("a name");
    session.ask("local");
    let taken = session.take();
    let all = taken.named();
    assert_eq!(named(&all, "getpeername").len(), 1, "{taken}");
    assert_eq!(session.ask("drink far"), "within");
    session.revert();
    assert_eq!(session.ask("drink far"), "within");
}

/// Nobody is vouched for who was not there.
#[test]
fn a_pair_that_another_user_has_made_says_so_after_a_revert() {
    if !outside::as_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let Some(mut session) = guest() else { return };
    session.ask("dropped");
    assert_eq!(session.ask("vouched"), "0 0");
    let taken = session.take();
    let all = taken.named();
    assert_eq!(named(&all, "SO_PEERCRED").len(), 1, "{taken}");
    session.revert();
    assert_eq!(session.ask("vouched"), "0 0");
    assert_eq!(session.ask("drink far"), "within");
}

#[test]
fn who_is_told_of_a_pipe_and_a_pair_comes_back() {
    let Some(mut session) = guest() else { return };
    session.ask("owned 3");
    let before = session.ask("owners");
    assert_eq!(before, "0 itself 3, 1 itself 3");
    session.take();
    session.ask("disown");
    session.revert();
    assert_eq!(session.ask("owners"), before);
}

/// The system has one of each for all branches: they are named, and others' are not.
#[test]
fn queues_and_semaphores_that_the_program_uses_are_named() {
    let Some(mut session) = guest() else { return };
    let ids = session.ask("system_v");
    let taken = session.take();
    session.ask("forget_system_v");
    let what: Vec<String> = taken
        .named()
        .iter()
        .map(|item| format!("{}: {}", item.text("kind"), item.text("what")))
        .collect();
    let (set, queue) = ids.split_once(' ').expect("two numbers");
    let expected = [
        format!("semaphores: System V semaphores {set} (`ipcs -s`)"),
        format!("message-queue: System V message queue {queue} (`ipcs -q`)"),
    ];
    assert_eq!(what, expected, "{taken}");
    let fd = session.ask("posix_queue");
    let taken = session.take();
    let all = taken.named();
    let [queue] = all.as_slice() else {
        panic!("{taken}");
    };
    assert_eq!(queue.text("kind"), "message-queue");
    let what = queue.text("what");
    assert!(what.starts_with(&format!("fd {fd}: ")), "{what}");
    assert!(what.ends_with(", 1 message"), "{what}");
}

#[test]
fn bytes_in_an_own_terminal_are_named() {
    let Some(mut session) = guest() else { return };
    session.ask("pty");
    let taken = session.take();
    let all = taken.named();
    let mut bytes: Vec<&str> = named(&all, "wait to be read from a terminal")
        .into_iter()
        .map(|item| item.text("what").rsplit(", ").next().expect("a number"))
        .collect();
    bytes.sort_unstable();
    // The line is echoed.
    assert_eq!(bytes, ["5 bytes", "8 bytes"], "{taken}");
}

/// Every option that can be read and set, of new, bound and listening sockets.
#[test]
fn every_option_comes_back() {
    let Some(mut session) = guest() else { return };
    session.ask("styles");
    let changed: usize = session.ask("turn 0").parse().expect("a number");
    assert!(changed > 300, "{changed}");
    session.ask("note");
    session.take();
    session.ask("turn 1");
    assert_ne!(session.ask("compare"), "");
    session.revert();
    assert_eq!(session.ask("compare"), "");
}
