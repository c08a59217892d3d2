//! Programs with an event loop: epoll, wake-ups and timers, under several runtimes. Clients come
//! and go during many takes and reverts. After each revert the timers fire, the loop hears
//! messages from outside, and serves new clients. The guest itself checks that no message is lost
//! and none comes twice.

use std::path::PathBuf;
use std::time::Duration;

use snapshot_tests::{Client, Crowd, Ending, Event, Launch, PipedSession, Seed, Signal};
use snapshot_tests::{binaries, deadline, outside, process};

/// The cycles of one session: a launched program has two minutes to live.
const CYCLES: u64 = 100;

/// How many sessions of that are a thousand.
const SESSIONS: u64 = 10;

/// How long a branch is left alone at most, and the program between two.
const IDLE: Duration = Duration::from_millis(12);

/// How many clients are there all the time.
const CLIENTS: usize = 2;

/// How a branch ends, by chance. Ctrl+C is left out: several within a moment are one.
const ENDINGS: [Ending; 4] = [
    Ending::Kill,
    Ending::Kill,
    Ending::Command,
    Ending::Dies("crash", Signal::SIGABRT),
];

/// A program that obeys as `guests/ledger.rs` says, and its server.
struct Trial {
    session: PipedSession,
    port: u16,
    /// What the program has been told to remember.
    mark: String,
    marks: u64,
}

impl Trial {
    fn new(launch: Launch) -> Self {
        let mut session = launch.piped();
        let ready = session.next_line("ready", |line| line.starts_with("ready "));
        let port = ready[6..].parse().expect("a port");
        Self {
            session,
            port,
            mark: "none".to_owned(),
            marks: 0,
        }
    }

    /// Everything in the program gets on, and whoever connects is served.
    fn gets_on(&mut self) {
        self.session.ask("go");
        self.marks += 1;
        let text = format!("probe {}", self.marks);
        let served = Client::new(self.port).and_then(|mut client| client.echo(&text));
        if let Err(why) = served {
            self.session.fail(&format!("no service: {why}"));
        }
    }

    /// Has the program remember something, which it answers with what it remembers.
    fn remember(&mut self) {
        self.marks += 1;
        let mark = self.marks.to_string();
        assert_eq!(self.session.ask(&format!("mark {mark}")), self.mark);
        self.mark = mark;
    }

    /// One or two snapshots on each other, and all the way back.
    fn cycle(&mut self, seed: &mut Seed) {
        self.remember();
        let depth = 1 + u64::from(seed.below(4) == 0);
        let mut marks = Vec::new();
        for _ in 0..depth {
            self.session.take();
            marks.push(self.mark.clone());
            self.remember();
            seed.idle(IDLE);
        }
        for mark in marks.into_iter().rev() {
            self.session.end_branch(*seed.pick(&ENDINGS));
            self.mark = mark;
            self.remember();
            self.gets_on();
        }
        seed.idle(IDLE);
    }
}

/// One session: cycles among clients; then the program ends by itself, with nothing more
/// than it had at the beginning.
fn weather(launch: Launch) {
    let mut seed = Seed::new();
    let mut trial = Trial::new(launch);
    let sockets = sockets(trial.session.live_pid());
    trial.gets_on();
    trial.cycle(&mut seed);
    let live = trial.session.live_pid();
    // What the server has yet to close would count as its own.
    let gone = || self::sockets(live) == sockets;
    let session = &mut trial.session;
    session.wait_until("the trial's clients have gone", gone);
    let before = possessions(live);

    let crowd = Crowd::of(CLIENTS, trial.port);
    for _ in 1..CYCLES {
        trial.cycle(&mut seed);
    }
    assert!(crowd.is_served(), "the crowd is served no more");
    drop(crowd);

    // The server has yet to see that the last clients have gone.
    let live = trial.session.live_pid();
    let _ = deadline::wait(|| (possessions(live) == before).then_some(()));
    assert_eq!(possessions(live), before);
    trial.session.end_by_itself(0);
}

/// How many sockets a process has.
fn sockets(pid: i32) -> usize {
    let (kinds, _) = possessions(pid);
    kinds
        .iter()
        .filter(|kind| kind.starts_with("socket"))
        .count()
}

/// What the descriptors of a process stand for, by kind, and its threads, by name.
fn possessions(pid: i32) -> (Vec<String>, Vec<String>) {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let mut kinds: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        // `socket:[N]`, with another number each time.
        .map(|target| target.to_string_lossy().replace(char::is_numeric, ""))
        .collect();
    kinds.sort_unstable();
    (kinds, process::threads(pid))
}

/// The guests, each with its argument.
const LOOPS: [&str; 6] = [
    "tokio_loop 0",
    "tokio_loop 3",
    "mio_loop",
    "smol_loop",
    "asyncio_loop.py",
    "selectors_loop.py",
];

/// How a guest is launched, by the tool or without it; none where Python is absent.
fn guest(name: &str, launch: fn(PathBuf) -> Launch) -> Option<Launch> {
    let (name, argument) = name.split_once(' ').unwrap_or((name, ""));
    if name.ends_with(".py") {
        let python = launch(outside::find("python3")?).arg(binaries::source(name));
        // What it imports lies beside it, and nothing may be written there.
        return Some(python.env("PYTHONDONTWRITEBYTECODE", "1"));
    }
    let launch = launch(binaries::guest(name));
    Some(match argument {
        "" => launch,
        argument => launch.arg(argument),
    })
}

fn a_hundred_times(name: &str) {
    if let Some(launch) = guest(name, Launch::program) {
        weather(launch);
    }
}

#[test]
fn tokio_in_one_thread() {
    a_hundred_times("tokio_loop 0");
}

#[test]
fn tokio_with_workers() {
    a_hundred_times("tokio_loop 3");
}

#[test]
fn mio_by_itself() {
    a_hundred_times("mio_loop");
}

#[test]
fn smol_with_its_reactor() {
    a_hundred_times("smol_loop");
}

#[test]
fn asyncio_of_python() {
    a_hundred_times("asyncio_loop.py");
}

#[test]
fn selectors_of_python() {
    a_hundred_times("selectors_loop.py");
}

#[test]
#[ignore = "takes many minutes"]
fn every_loop_a_thousand_times() {
    for name in LOOPS {
        for _ in 0..SESSIONS {
            println!("{name}");
            a_hundred_times(name);
        }
    }
}

#[test]
fn a_connection_stays_open_and_is_all_that_is_named() {
    for name in LOOPS {
        let Some(launch) = guest(name, Launch::program) else {
            continue;
        };
        let mut trial = Trial::new(launch);
        trial.session.ask("go");
        let mut client = Client::new(trial.port).expect("it listens");
        client.echo("before").expect("it is served");
        for ending in [Ending::Kill, Ending::Command] {
            let taken = trial.session.attempt(ending, |_| {
                client.echo("in the branch").expect("it is served");
            });
            let named = taken.list("not_rolled_back");
            // Its own streams are pipes here.
            let is_stream = |item: &Event| item.text("why").contains("outside");
            let named: Vec<Event> = named.into_iter().filter(|item| !is_stream(item)).collect();
            let is_ours = |item: &Event| {
                item.text("kind") == "socket" && item.to_string().contains(&client.address())
            };
            assert!(
                named.len() == 1 && named.iter().all(is_ours),
                "{name}, {}: {taken}",
                client.address()
            );
            client.echo("after").expect("it is served still");
            trial.session.ask("go");
        }
    }
}

#[test]
fn the_loops_are_unbroken_without_the_tool() {
    for name in LOOPS {
        let Some(launch) = guest(name, Launch::bare) else {
            continue;
        };
        let mut trial = Trial::new(launch);
        let crowd = Crowd::of(CLIENTS, trial.port);
        for _ in 0..5 {
            trial.gets_on();
            trial.remember();
        }
        assert!(crowd.is_served(), "{name}");
        drop(crowd);
        trial.session.end_by_itself(0);
    }
}
