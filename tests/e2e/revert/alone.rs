//! The library without a launcher: the process that the shell started freezes and waits, and
//! still ends as the program does. A signal to it means the live process.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use snapshot_tests::{Launch, PipedSession, Signal, binaries, deadline, process};

fn alone(words: &[&str]) -> PipedSession {
    Launch::bare(binaries::guest("alone")).args(words).piped()
}

#[test]
fn an_exit_code_is_passed_on_after_a_commit() {
    for code in [0, 1, 42, 255] {
        let output = alone(&["exit", &code.to_string()]).finish();
        assert_eq!(output.stdout, "committed, depth 0\n");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

#[test]
fn a_death_by_signal_is_passed_on_after_a_commit() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGKILL,
        Signal::SIGHUP,
        Signal::SIGUSR2,
    ] {
        let number = signal as i32;
        let output = alone(&["killed", &number.to_string()]).finish();
        assert_eq!(output.stdout, "committed, depth 0\n");
        assert_eq!(output.status.signal(), Some(number), "{output:?}");
    }
}

/// A line `count N PID INTERRUPTS depth D`.
#[derive(Debug, Clone, Copy)]
struct Count {
    count: u32,
    pid: i32,
    interrupts: u32,
    depth: u32,
}

fn next(session: &mut PipedSession, what: &str, wanted: impl Fn(Count) -> bool) -> Count {
    let line = session.next_line(what, |line| wanted(parse(line)));
    parse(&line)
}

fn parse(line: &str) -> Count {
    let words: Vec<&str> = line.split(' ').collect();
    let ["count", count, pid, interrupts, "depth", depth] = words[..] else {
        panic!("two have written at once: {line:?}");
    };
    Count {
        count: count.parse().expect("a number"),
        pid: pid.parse().expect("a process id"),
        interrupts: interrupts.parse().expect("a number"),
        depth: depth.parse().expect("a number"),
    }
}

#[test]
fn the_programs_own_handler_runs_once_at_depth_0_and_never_above() {
    let mut session = alone(&["own"]);
    let root = session.pid();
    next(&mut session, "it counts", |now| now.count > 2);
    process::send(root, Signal::SIGINT);
    next(&mut session, "its own handler", |now| now.interrupts == 1);

    process::send(root, Signal::SIGUSR1);
    let taken = next(&mut session, "a snapshot", |now| now.depth == 1);
    assert_ne!(taken.pid, root);
    // To the frozen one, and so to the live one: it reverts, and that is all.
    process::send(root, Signal::SIGINT);
    let back = next(&mut session, "back", |now| now.depth == 0);
    assert_eq!((back.pid, back.interrupts), (root, 1));
    assert!(back.count <= taken.count, "{back:?} {taken:?}");

    process::send(root, Signal::SIGINT);
    next(&mut session, "its own handler again", |now| {
        now.interrupts == 2
    });
    deadline::pace(Duration::from_millis(300));
    let later = next(&mut session, "it counts on", |now| {
        now.count > back.count + 20
    });
    assert_eq!(later.interrupts, 2, "once each");
}

#[test]
fn an_ignored_interrupt_stays_ignored_at_depth_0() {
    let mut session = alone(&["ignored"]);
    let root = session.pid();
    next(&mut session, "it counts", |now| now.count > 2);
    process::send(root, Signal::SIGINT);
    session.wait_until("it is delivered", || {
        !process::is_pending(root, Signal::SIGINT)
    });
    next(&mut session, "it counts on", |now| now.count > 5);
    process::send(root, Signal::SIGUSR1);
    next(&mut session, "a snapshot", |now| now.depth == 1);
    process::send(root, Signal::SIGINT);
    let back = next(&mut session, "back", |now| now.depth == 0);
    assert_eq!(back.pid, root);
}

#[test]
fn what_kills_the_live_one_brings_the_frozen_one_back() {
    let mut session = alone(&["own"]);
    let root = session.pid();
    next(&mut session, "it counts", |now| now.count > 2);
    for signal in [
        Signal::SIGKILL,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        process::send(root, Signal::SIGUSR1);
        let taken = next(&mut session, "a snapshot", |now| now.depth == 1);
        process::send(taken.pid, signal);
        let back = next(&mut session, "back", |now| now.depth == 0);
        assert_eq!(back.pid, root, "{signal}");
        assert!(back.count <= taken.count, "{signal}: {back:?} {taken:?}");
    }
}
