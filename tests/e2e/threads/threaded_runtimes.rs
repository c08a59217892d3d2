//! Installed programs with threads, unmodified: CPython, SQLite inside it, a Java virtual
//! machine, and Redis.

use std::path::PathBuf;

use snapshot_tests::redis::{self, Client};
use snapshot_tests::{Ending, Launch, PipedSession, Signal, binaries, outside, process};

/// The ways out of a branch that every program has.
const ANY: [Ending; 3] = [Ending::Interrupt, Ending::Kill, Ending::Command];

/// One of the program's own, the others, and its own again.
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

#[test]
fn python_threads() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let mut session = start(Launch::program(python).arg(binaries::source("threads.py")));
    let mut total = 0;
    let mut count = 0;
    for ending in endings(Ending::Dies("crash", Signal::SIGABRT)) {
        session.ask("add 1 100");
        // The workers are in the middle of these, some with the lock.
        session.ask("later 101 2000");
        total += 2000 * 2001 / 2;
        count += 2000;
        session.branch(ending, |session| {
            assert_eq!(session.ask("total"), format!("{total} {count}"));
            session.ask("add 1 10");
            session.ask("open");
            assert_eq!(session.ask("passed"), "True");
            assert_eq!(
                session.ask("total"),
                format!("{} {}", total + 55, count + 10)
            );
        });
        assert_eq!(session.ask("passed"), "False");
        assert_eq!(session.ask("total"), format!("{total} {count}"));
        session.ask("tick");
        // Main, four workers, the one that sleeps, the one that waits, the reader.
        assert_eq!(session.ask("threads"), "8");
    }
    session.ask("open");
    assert_eq!(session.end_by_itself(7), format!("{total} {count}"));
}

#[test]
fn sqlite_in_python_threads() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let mut session = start(Launch::program(python).arg(binaries::source("bank.py")));
    let mut notes = String::new();
    for (round, ending) in endings(Ending::Dies("crash", Signal::SIGABRT))
        .into_iter()
        .enumerate()
    {
        session.ask(&format!("note kept-{round}"));
        notes.push_str(&format!("kept-{round} "));
        session.branch(ending, |session| {
            session.ask("note undone");
            session.ask("advance");
            assert_eq!(session.ask("notes"), format!("{notes}undone"));
            assert_eq!(session.ask("check"), "ok 16000");
        });
        assert_eq!(session.ask("notes"), notes.trim_end());
        assert_eq!(session.ask("check"), "ok 16000");
        session.ask("advance");
        assert_eq!(session.ask("check"), "ok 16000");
    }
    let notes = notes.trim_end().replace(' ', ",");
    assert_eq!(session.end_by_itself(0), format!("16000 {notes}"));
}

#[test]
fn java_threads() {
    let Some(java) = outside::find("java") else {
        return;
    };
    // Its file of performance data would lie in a directory that is no test's own.
    let launch = Launch::program(java)
        .args(["-Xshare:auto", "-Xmx128m", "-XX:-UsePerfData"])
        .arg(binaries::source("Threads.java"));
    let mut session = start(launch);
    let mut marks = String::new();
    for (round, ending) in endings(Ending::Exits("halt", 9)).into_iter().enumerate() {
        session.ask(&format!("mark kept-{round}"));
        marks.push_str(&format!("kept-{round} "));
        session.ask("advance");
        // Its compiler and its collector start and end threads as they like, so only
        // what the program itself has is counted.
        let own = own_threads(&mut session);
        assert_eq!(own.len(), 3, "{own:?}");
        let taken = session.attempt(ending, |session| {
            session.ask("mark undone");
            session.ask("advance");
            session.ask("collect");
            assert_eq!(session.ask("marks"), format!("{marks}undone"));
        });
        assert!(taken.number("threads") > 10, "{taken}");
        assert_eq!(session.ask("marks"), marks.trim_end());
        assert_eq!(own_threads(&mut session), own);
        session.ask("advance");
        session.ask("collect");
        session.ask("workers");
        session.ask("advance");
    }
    let marks = marks.trim_end().replace(' ', ",");
    assert_eq!(session.end_by_itself(8), format!("0 {marks}"));
}

/// The threads of the program, as it has named them.
fn own_threads(session: &mut PipedSession) -> Vec<String> {
    let mut names = snapshot_tests::process::threads(session.live_pid());
    names.retain(|name| name.starts_with("counter-"));
    names
}

/// A server, and the socket it listens on.
fn server(program: PathBuf, more: &[&str]) -> (PipedSession, PathBuf) {
    let mut arguments = vec!["--port", "0", "--unixsocket", "redis.sock"];
    // For the command that crashes it, and without a test of all memory afterwards.
    arguments.extend(["--enable-debug-command", "yes"]);
    arguments.extend(["--crash-memcheck-enabled", "no"]);
    arguments.extend(more);
    let session = redis::server(program, &arguments);
    let socket = session.place().work().join("redis.sock");
    (session, socket)
}

#[test]
fn redis_forgets_a_value() {
    let Some(program) = outside::find("redis-server") else {
        return;
    };
    let (mut session, socket) = server(program, &[]);
    // Connected for all the time: nothing is under way on it when a branch begins or
    // ends, so it is as good after a revert as it was at the snapshot.
    let mut held = Client::unix(&socket);
    free_in_the_background(&mut held);
    // Its allocator starts a thread for what another thread has allocated or freed, where
    // there are processors for both, and in its own time.
    let has_room = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    let live = session.live_pid();
    session.wait_until("the allocator has all its threads", || {
        let threads = process::threads(live);
        let own = threads.iter().filter(|name| *name == "jemalloc_bg_thd");
        !has_room || own.count() != 1
    });
    for (round, ending) in (0_u32..).zip(ANY.into_iter().chain(ANY)) {
        let value = format!("1-{round}");
        assert_eq!(held.ask(&format!("SET a {value}")), "OK");
        assert_eq!(held.ask("DEL b"), "0");
        session.branch(ending, |_| {
            assert_eq!(held.ask("SET a 2"), "OK");
            let mut client = Client::unix(&socket);
            assert_eq!(client.ask("SET b 2"), "OK");
            assert_eq!(client.ask("GET a"), "2");
            assert_eq!(held.ask("GET b"), "2");
        });
        assert_eq!(held.ask("GET a"), value);
        let mut clients: Vec<Client> = (0..4).map(|_| Client::unix(&socket)).collect();
        for (served, client) in (1..).zip(&mut clients) {
            assert_eq!(client.ask("GET a"), value);
            assert_eq!(client.ask("GET b"), "nothing");
            assert_eq!(client.ask("INCR served"), served.to_string());
        }
        drop(clients);
        // The next branch begins with no others.
        held.settle(1);
        free_in_the_background(&mut held);
    }
    // It dies by itself, in a command of a client.
    assert_eq!(held.ask("SET a 1"), "OK");
    session.take();
    assert_eq!(held.ask("SET a 2"), "OK");
    assert_eq!(held.ask("GET a"), "2");
    held.send("DEBUG SEGFAULT");
    let ended = session.next("ended");
    assert_eq!(ended.number("signal"), i64::from(libc::SIGSEGV));
    session.next("reverted");
    assert_eq!(held.ask("GET a"), "1");

    assert_eq!(Client::unix(&socket).ask("GET a"), "1");
    held.send("SHUTDOWN NOSAVE");
    assert!(session.wait_gone().success());
    assert!(!socket.exists(), "it has removed its socket");
}

/// Has the background threads free what is unlinked.
fn free_in_the_background(held: &mut Client) {
    assert_eq!(held.ask("DEBUG POPULATE 20000 key 32"), "OK");
    assert_eq!(held.ask("FLUSHALL ASYNC"), "OK");
    let freed = snapshot_tests::deadline::wait(|| {
        (held.info("lazyfree_pending_objects") == 0).then_some(())
    });
    assert!(freed.is_some(), "the background thread frees nothing");
}

#[test]
fn redis_with_threads_that_serve() {
    const CLIENTS: usize = 16;
    let Some(program) = outside::find("redis-server") else {
        return;
    };
    let more = ["--io-threads", "4", "--io-threads-do-reads", "yes"];
    let (mut session, socket) = server(program, &more);
    let mut held = Client::unix(&socket);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::unix(&socket)).collect();
    let mut expected: u64 = 0;
    for ending in ANY.into_iter().chain(ANY) {
        expected += crowd(&mut held, &mut clients);
        // Its allocator starts threads of its own when it sees fit.
        session.attempt(ending, |_| {
            let sum = expected + crowd(&mut held, &mut clients);
            assert_eq!(held.ask("GET hits"), sum.to_string());
        });
        let live = session.live_pid();
        let servers = ["io_thd_1", "io_thd_2", "io_thd_3", "bio_close_file"];
        session.wait_until("its own threads are back", || {
            let threads = process::threads(live);
            servers
                .iter()
                .all(|name| threads.iter().any(|thread| thread == name))
        });
        assert_eq!(held.ask("GET hits"), expected.to_string());
        expected += crowd(&mut held, &mut clients);
        assert_eq!(held.ask("GET hits"), expected.to_string());
    }
    held.send("SHUTDOWN NOSAVE");
    assert!(session.wait_gone().success());
}

/// All clients at once, until the threads have had a part in serving them; returns how
/// often `hits` has been counted up.
fn crowd(held: &mut Client, clients: &mut [Client]) -> u64 {
    let mut hits = 0;
    let before = held.info("io_threaded_writes_processed");
    let served = snapshot_tests::deadline::wait(|| {
        // While it sleeps they all queue up, and only a crowd is served by threads.
        held.send("DEBUG SLEEP 0.02");
        for client in &mut *clients {
            client.send("INCR hits");
            hits += 1;
        }
        assert_eq!(held.answer(), "OK");
        for client in &mut *clients {
            let _ = client.answer();
        }
        (held.info("io_threaded_writes_processed") > before).then_some(())
    });
    assert!(served.is_some(), "the threads serve nobody");
    hits
}
