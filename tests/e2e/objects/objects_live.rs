//! When the live process closes something after a take, others notice the same as without the
//! tool, although frozen copies had it too.
//!
//! The guest `objects_live` closes one end. The guest, its child or this test looks at the other
//! end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use snapshot_tests::{Launch, PipedSession, deadline};

/// How many snapshots there are when the end is closed.
const DEPTHS: [usize; 2] = [1, 3];

/// By which the guest ends its child's input, each in another way.
const INPUT_ENDS: [&str; 3] = ["child-reads", "child-reads-dup2", "child-reads-range"];

/// What both ends of are in the program, so that it comes back as well.
const INTERNAL: [&str; 6] = ["writer", "reader", "fifo", "pair", "rights", "epoll"];

fn opened(launch: Launch) -> PipedSession {
    let mut session = launch.piped();
    session.ask("open");
    session
}

fn under_the_tool(depth: usize) -> PipedSession {
    let mut session = opened(Launch::guest_in_c("objects_live"));
    for _ in 0..depth {
        session.take();
    }
    session
}

/// Closes an end at each depth, and goes back: what was closed is open there, and can be closed
/// again.
fn close_and_come_back(command: &str) {
    for depth in DEPTHS {
        let mut session = under_the_tool(depth);
        session.ask(command);
        let output = session.command("revert", &["--keep"]);
        assert!(output.success(), "{output:?}");
        session.ask("again");
        for _ in 0..depth {
            session.revert();
            session.ask(command);
        }
    }
}

/// The other end of the guest's connection.
fn accept(session: &mut PipedSession) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    session.ask(&format!("connect {port}"));
    let (stream, _) = listener.accept().expect("the guest has connected");
    stream
        .set_read_timeout(Some(deadline::PATIENCE))
        .expect("not zero");
    stream
}

fn read_to_end(session: &mut PipedSession, stream: &mut TcpStream) -> String {
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        Ok(_) => text,
        Err(error) => session.fail(&format!("the peer sees no end, after {text:?}: {error}")),
    }
}

#[test]
fn a_pipe_ends_when_its_writer_is_closed() {
    close_and_come_back("writer");
}

#[test]
fn a_pipe_breaks_when_its_reader_is_closed() {
    close_and_come_back("reader");
}

#[test]
fn a_fifo_ends_when_its_writer_is_closed() {
    close_and_come_back("fifo");
}

#[test]
fn a_socket_ends_when_its_peer_is_closed() {
    close_and_come_back("pair");
}

#[test]
fn what_is_in_flight_is_closed_with_its_socket() {
    close_and_come_back("rights");
}

#[test]
fn an_epoll_forgets_what_is_closed() {
    close_and_come_back("epoll");
}

#[test]
fn a_child_sees_the_end_of_what_it_reads() {
    for command in INPUT_ENDS {
        for depth in DEPTHS {
            under_the_tool(depth).ask(command);
        }
    }
}

#[test]
fn a_child_sees_that_nobody_reads_what_it_writes() {
    for depth in DEPTHS {
        under_the_tool(depth).ask("child-writes");
    }
}

#[test]
fn a_peer_sees_the_end_of_a_connection() {
    for command in ["tcp", "tcp-half"] {
        let mut session = Launch::guest_in_c("objects_live").piped();
        let mut peer = accept(&mut session);
        session.take();
        session.take();
        session.ask(command);
        assert_eq!(read_to_end(&mut session, &mut peer), "last", "{command}");
    }
}

#[test]
fn an_epoll_forgets_a_connection_at_once() {
    const TIMES: usize = 30;
    let mut session = opened(Launch::guest_in_c("objects_live"));
    for _ in 0..TIMES {
        let mut peer = accept(&mut session);
        peer.write_all(b"x").expect("it is connected");
        session.take();
        session.ask("tcp-epoll");
        session.revert();
    }
}

#[test]
fn a_connection_that_a_branch_has_closed_is_one_still() {
    for depth in DEPTHS {
        let mut session = Launch::guest_in_c("objects_live").piped();
        let _peer = accept(&mut session);
        for _ in 0..depth {
            session.take();
        }
        session.ask("tcp");
        for _ in 0..depth {
            session.revert();
        }
        session.ask("tcp-again");
    }
}

#[test]
fn a_peer_sees_the_end_of_a_connection_that_a_branch_closes() {
    // It was made in the branch, so no copy has it.
    let mut session = Launch::guest_in_c("objects_live").piped();
    session.take();
    let mut peer = accept(&mut session);
    session.revert();
    assert_eq!(read_to_end(&mut session, &mut peer), "");
}

#[test]
fn the_guest_is_right_without_the_tool() {
    let bare = || opened(Launch::bare_guest_in_c("objects_live"));
    bare().ask("again");
    for command in INTERNAL {
        let mut session = bare();
        session.ask(command);
        session.send("again");
        let answer = session.next_line(command, |line| line == "ok" || line.starts_with("err "));
        assert!(
            answer.starts_with("err "),
            "{command} is not seen: {answer}"
        );
    }
    for command in INPUT_ENDS {
        bare().ask(command);
    }
    bare().ask("child-writes");
    let mut session = bare();
    let mut peer = accept(&mut session);
    peer.write_all(b"x").expect("it is connected");
    session.ask("tcp-epoll");
    for command in ["tcp", "tcp-half"] {
        let mut session = Launch::bare_guest_in_c("objects_live").piped();
        let mut peer = accept(&mut session);
        session.ask(command);
        assert_eq!(read_to_end(&mut session, &mut peer), "last", "{command}");
    }
}
