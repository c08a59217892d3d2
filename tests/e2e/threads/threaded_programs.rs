//! Typical Rust programs with threads: a server on tokio, a sum on rayon, a pipeline of the
//! standard library, crossbeam's scopes, and allocators with memory for each thread. Whatever
//! ends a branch, all threads go on from the snapshot, and the program's result is the same as
//! without the branch.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

use snapshot_tests::deadline::PATIENCE;
use snapshot_tests::{Ending, Event, Launch, PipedSession, Signal};

/// The ways out of a branch that every program has, twice over.
const ANY: [Ending; 6] = [
    Ending::Interrupt,
    Ending::Kill,
    Ending::Command,
    Ending::Kill,
    Ending::Interrupt,
    Ending::Command,
];

/// Those, and one of the program's own at last.
fn endings(own: Ending) -> Vec<Ending> {
    let mut endings = vec![own];
    endings.extend(ANY);
    endings.push(own);
    endings
}

fn start(launch: Launch) -> PipedSession {
    let mut session = launch.piped();
    session.next_line("ready", |line| line == "ready");
    session
}

/// A connection to the server, a line at a time.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("no timeout of zero");
        }
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        let stream = self.0.get_mut();
        stream.write_all(text.as_bytes()).expect("the server reads");
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n"));
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("the server answers");
        answer.trim_end().to_owned()
    }

    /// Waits until the server hangs up.
    fn wait_for_end(mut self) {
        match self.0.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the connection is not at its end: {other:?}"),
        }
    }
}

#[test]
fn tokio_serves_on() {
    let mut session = Launch::guest("tokio_server").piped();
    let ready = session.next_line("ready", |line| line.starts_with("ready "));
    let port: u16 = ready[6..].parse().expect("a port");
    let names = "worker-0 worker-1 worker-2 worker-3";
    assert_eq!(session.ask("workers"), names);

    // A connection that lives through everything. Both sides of the split share it, and
    // the kernel's part of it can't go back: what the branch has read is gone, what it
    // has answered has arrived. What comes back is the server's memory of it, half a
    // request included, so the client has to send again only what the branch has read.
    let mut held = Client::new(port);
    let mut counter = 0;
    for ending in endings(Ending::Dies("crash", Signal::SIGABRT)) {
        counter += 2;
        assert_eq!(held.ask("add 2"), counter.to_string());
        let mut received: usize = session.ask("received").parse().expect("a number");
        let until = received + "ad".len();
        held.send("ad");
        while received < until {
            received = session.ask("received").parse().expect("a number");
        }

        let mut doomed = None;
        let taken = session.branch(ending, |session| {
            assert_eq!(held.ask("d 7"), (counter + 7).to_string());
            let mut client = Client::new(port);
            let sum = (counter + 107).to_string();
            assert_eq!(client.ask("add 100"), sum);
            session.ask("tick 3");
            assert_eq!(session.ask("counter"), sum);
            doomed = Some(client);
        });
        let named = taken.list("not_rolled_back");
        let is_socket = |item: &&Event| item.text("kind") == "socket";
        let sockets = named.iter().filter(is_socket).count();
        assert_eq!(sockets, 1, "the connection, and not the listener: {taken}");

        // The connection that only the branch had ends with it.
        doomed.expect("it was opened").wait_for_end();
        assert_eq!(session.ask("counter"), counter.to_string());
        counter += 7;
        assert_eq!(held.ask("d 7"), counter.to_string());
        session.ask("tick 3");
        assert_eq!(session.ask("workers"), names);
        let mut clients: Vec<Client> = (0..8).map(|_| Client::new(port)).collect();
        for (index, client) in clients.iter_mut().enumerate() {
            let text = format!("client {index}");
            assert_eq!(client.ask(&format!("echo {text}")), text);
        }
    }
    session.close_stdin();
    session.next_line("the total", |line| line == format!("total {counter}"));
    assert!(session.wait_gone().success());
}

/// The checksum of `rayon_sum` after so many rounds, by the sums' closed form.
fn checksum(rounds: u64, salts: &[(u64, u64)]) -> u64 {
    const NUMBERS: u64 = 4096;
    let mut checksum = 0_u64;
    for round in 0..rounds {
        let (_, salt) = salts
            .iter()
            .rfind(|(from, _)| *from <= round)
            .expect("the first one is there from the beginning");
        let sum = (2 * round + 1)
            .wrapping_mul(NUMBERS * (NUMBERS - 1) / 2)
            .wrapping_add(salt.wrapping_mul(NUMBERS));
        checksum = checksum.rotate_left(5) ^ sum;
    }
    checksum
}

#[test]
fn rayon_sums_on() {
    let mut session = start(Launch::guest("rayon_sum"));
    let names = "sum-0 sum-1 sum-2 sum-3";
    let mut salts = "0".to_owned();
    // A panic in a worker travels to the thread that waits for the sum.
    for (salt, ending) in (1..).zip(endings(Ending::Exits("fail", 101))) {
        session.ask(&format!("salt {salt}"));
        salts.push_str(&format!(" {salt}"));
        session.ask("advance");
        session.branch(ending, |session| {
            session.ask("salt 999");
            session.ask("advance");
            assert_eq!(session.ask("salts"), format!("{salts} 999"));
        });
        assert_eq!(session.ask("salts"), salts);
        assert_eq!(session.ask("workers"), names);
        session.ask("advance");
    }
    // Every round is there once, with the salt of its time, and none of the branches'.
    let end = session.end_by_itself(9);
    let words: Vec<&str> = end.split(' ').collect();
    let [rounds, used, sum] = words[..] else {
        panic!("{end}");
    };
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let used: Vec<(u64, u64)> = used
        .split(',')
        .map(|pair| pair.split_once(':').expect("a round and a salt"))
        .map(|(round, salt)| (number(round), number(salt)))
        .collect();
    let only: Vec<String> = used.iter().map(|(_, salt)| salt.to_string()).collect();
    assert_eq!(only.join(" "), salts);
    assert_eq!(number(sum), checksum(number(rounds), &used), "{end}");
}

#[test]
fn a_pipeline_flows_on() {
    let mut session = start(Launch::guest("pipeline"));
    let mut labels = String::new();
    for (round, ending) in endings(Ending::Exits("fail", 101)).into_iter().enumerate() {
        session.ask(&format!("label kept-{round}"));
        labels.push_str(&format!("kept-{round} "));
        session.branch(ending, |session| {
            session.ask("label undone");
            session.ask("advance");
            assert_eq!(session.ask("labels"), format!("{labels}undone"));
        });
        assert_eq!(session.ask("labels"), labels.trim_end());
        session.ask("advance");
    }
    assert_flowed(&mut session, &labels);
}

#[test]
fn a_pipeline_goes_back_twice() {
    // Two snapshots on top of each other; the second one is made of revived threads.
    let mut session = start(Launch::guest("pipeline"));
    session.ask("label first");
    session.take();
    session.ask("label second");
    session.branch(Ending::Kill, |session| {
        session.ask("label undone");
    });
    assert_eq!(session.ask("labels"), "first second");
    session.branch(Ending::Command, |session| {
        session.ask("label undone-too");
        session.ask("advance");
    });
    assert_eq!(session.ask("labels"), "first second");
    session.ask("advance");
    session.end_branch(Ending::Exits("fail", 101));
    assert_eq!(session.ask("labels"), "first");
    session.ask("advance");
    assert_flowed(&mut session, "first");
}

/// The pipeline ends by itself, and what has flowed is what went in.
fn assert_flowed(session: &mut PipedSession, labels: &str) {
    let end = session.end_by_itself(2);
    let words: Vec<&str> = end.split(' ').collect();
    let [count, sum, flowed] = words[..] else {
        panic!("{end}");
    };
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let count = number(count);
    assert_eq!(
        number(sum),
        3 * (count * (count - 1) / 2) + 7 * count,
        "{end}"
    );
    let labels: Vec<&str> = labels.split_whitespace().collect();
    assert_eq!(flowed, labels.join(","));
}

#[test]
fn crossbeam_scopes_work_on() {
    const NUMBERS: u64 = 1 << 16;
    let sum = |factor: u64| (factor * (NUMBERS * (NUMBERS - 1) / 2)).to_string();
    let mut session = start(Launch::guest("crossbeam_scope"));
    let mut history = String::new();
    for (factor, ending) in (1..).zip(endings(Ending::Exits("fail", 101))) {
        session.ask(&format!("begin {factor}"));
        // The room for results is full and nobody has a job to do: all are in `send`,
        // with a result in hand.
        let waiting = format!("{} 8", NUMBERS / 512 - 8 - 4);
        while session.ask("waiting") != waiting {}
        session.branch(ending, |session| {
            assert_eq!(session.ask("gather"), sum(factor));
            session.ask("begin 1000");
            assert_eq!(session.ask("gather"), sum(1000));
            let changed = format!("{history}{} {}", sum(factor), sum(1000));
            assert_eq!(session.ask("history"), changed);
        });
        assert_eq!(session.ask("history"), history.trim_end());
        assert_eq!(session.ask("waiting"), waiting);
        assert_eq!(session.ask("gather"), sum(factor));
        history.push_str(&format!("{} ", sum(factor)));
        session.ask("tick");
    }
    let rounds = history.split_whitespace().count();
    let jobs = rounds * usize::try_from(NUMBERS / 512).expect("a small number");
    let history = history.trim_end().replace(' ', ",");
    assert_eq!(session.end_by_itself(3), format!("{jobs} {history}"));
}

/// Blocks of memory go around while snapshots are taken; none is ever damaged, and each
/// is freed once.
fn blocks_stay_whole(launch: Launch) {
    let mut session = start(launch);
    let mut marks = String::new();
    session.ask("advance");
    for (round, ending) in endings(Ending::Dies("crash", Signal::SIGABRT))
        .into_iter()
        .enumerate()
    {
        session.ask(&format!("mark kept-{round}"));
        marks.push_str(&format!("kept-{round} "));
        session.branch(ending, |session| {
            session.ask("mark undone");
            session.ask("advance");
            session.ask("check");
            assert_eq!(session.ask("marks"), format!("{marks}undone"));
        });
        assert_eq!(session.ask("marks"), marks.trim_end());
        session.ask("check");
        session.ask("advance");
        session.ask("check");
    }
    let marks = marks.trim_end().replace(' ', ",");
    assert_eq!(session.end_by_itself(4), format!("0 {marks}"));
}

#[test]
fn mimalloc_allocates_on() {
    blocks_stay_whole(Launch::guest("mimalloc_blocks"));
}

#[test]
fn jemalloc_allocates_on() {
    blocks_stay_whole(Launch::guest("jemalloc_blocks"));
}

#[test]
fn jemalloc_allocates_on_with_threads_of_its_own() {
    // They wait with a timeout, and hold memory back that they will give to the kernel.
    let settings = "background_thread:true,dirty_decay_ms:50,muzzy_decay_ms:50";
    blocks_stay_whole(Launch::guest("jemalloc_blocks").env("_RJEM_MALLOC_CONF", settings));
}
