//! Many second terminals at once, also slow, silent and strange ones: none of them blocks takes,
//! reverts, signals or the next terminal.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use snapshot_tests::{Event, Launch, PipedSession, Place, Signal, binaries, deadline, leaks};

/// A label that makes a list long: as much as a socket holds, with ten snapshots.
const LONG: usize = 40_000;

fn started() -> (PipedSession, PathBuf) {
    let mut session = Launch::commander().piped();
    session.next("started");
    let socket = leaks::files(&session.place().runtime()).pop();
    (session, socket.expect("it has a socket"))
}

fn connect(socket: &PathBuf) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("somebody listens");
    stream
        .set_read_timeout(Some(deadline::PATIENCE))
        .expect("it is a socket");
    stream
}

fn answer(stream: &mut UnixStream) -> String {
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The processor time of a process, in ticks of 10 ms.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let field = |at: usize| -> u64 {
        let text = fields.split_whitespace().nth(at).expect("a field");
        text.parse().expect("a number")
    };
    field(11) + field(12)
}

#[test]
fn more_than_there_are_descriptors_for_cost_nothing_and_all_are_served() {
    let place = Place::new();
    let guest = binaries::guest_in_c("surroundings", &place.work());
    let mut session = Launch::bare(guest)
        .place(&place)
        .args(["start", "limit=7,40", "--"])
        .arg(&binaries::tools().snapshot_launch)
        .arg("--")
        .arg(binaries::guest("commander"))
        .piped();
    session.next("started");
    let socket = leaks::files(&place.runtime()).pop().expect("it has one");
    let silent: Vec<UnixStream> = (0..90).map(|_| connect(&socket)).collect();
    // The last of them asks, and is served although nobody before it says a word.
    let mut last = connect(&socket);
    last.write_all(b"{\"command\":\"list\"}\n")
        .expect("it is open");
    let before = ticks(session.pid());
    let begin = Instant::now();
    deadline::pace(Duration::from_secs(2));
    let spent = ticks(session.pid()) - before;
    // It spent more than half of the time in a loop.
    assert!(spent < 40, "{spent} ticks in {:?}", begin.elapsed());
    drop(silent);
    assert!(answer(&mut last).contains("snapshots"));
    session.take();
    assert_eq!(session.list().number("depth"), 1);
}

#[test]
fn silent_ones_keep_nobody_out() {
    let (mut session, socket) = started();
    let _silent: Vec<UnixStream> = (0..100).map(|_| connect(&socket)).collect();
    let mut asks = connect(&socket);
    asks.write_all(b"{\"command\":\"list\"}\n")
        .expect("it is open");
    assert!(answer(&mut asks).contains("snapshots"));
    session.take();
    session.revert();
}

#[test]
fn slow_readers_of_a_long_list_are_in_nobodys_way() {
    let (mut session, socket) = started();
    for _ in 0..12 {
        let label = "x".repeat(LONG);
        assert!(session.command("take", &["-m", &label]).success());
    }
    // A launcher that waits two seconds for each of them misses the harness's deadlines.
    let mut slow: Vec<UnixStream> = (0..40).map(|_| connect(&socket)).collect();
    for stream in &mut slow {
        stream
            .write_all(b"{\"command\":\"list\"}\n")
            .expect("it is open");
    }
    // Signals, takes and reverts, and others who ask.
    session.take();
    session.interrupt();
    assert_eq!(session.list().number("depth"), 12);
    // Whoever reads in the end has the whole of it.
    let list = Event::parse(answer(&mut slow[0]).trim());
    assert_eq!(
        list.0["with"]["snapshots"].as_array().map(Vec::len),
        Some(12)
    );
    session.signal(Signal::SIGTERM);
    session.wait_exit();
}

#[test]
fn one_that_closes_its_half_is_answered() {
    let (mut session, socket) = started();
    let mut stream = connect(&socket);
    stream
        .write_all(b"{\"command\":\"list\"}\n")
        .expect("it is open");
    stream.shutdown(Shutdown::Write).expect("it is open");
    assert!(answer(&mut stream).contains("snapshots"));
    let mut stream = connect(&socket);
    stream
        .write_all(b"{\"command\":\"take\",\"label\":null}\n")
        .expect("it is open");
    stream.shutdown(Shutdown::Write).expect("it is open");
    assert!(answer(&mut stream).contains("taken"));
    session.next_taken();
    // Half a request is none.
    let mut stream = connect(&socket);
    stream.write_all(b"{\"command\":\"li").expect("it is open");
    stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(answer(&mut stream), "");
}

#[test]
fn one_that_never_ends_its_line_is_told_and_let_go() {
    let (mut session, socket) = started();
    let mut stream = connect(&socket);
    let much = vec![b'x'; 1 << 20];
    let told = (0..64).any(|_| stream.write_all(&much).is_err());
    assert!(told, "64 MB were taken");
    assert!(answer(&mut stream).contains("longer than"));
    // A label of that length too, with the reason.
    let label = "x".repeat(100_000);
    let output = session.command("take", &["-m", &label]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("longer than 64 KB"), "{output:?}");
    assert_eq!(session.ask("ping"), "pong");
}
