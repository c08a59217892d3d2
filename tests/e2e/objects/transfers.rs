//! A call that moves many bytes moves all of them despite takes meanwhile: the kernel ends it
//! early, and the tool moves the rest. If a signal of the program's own ends the call, it stays
//! ended. `guests/transfers/` has the calls.

use std::time::Duration;

use snapshot_tests::{Launch, PipedSession, Seed, Signal, binaries, deadline};

/// Every call that is ended early, and over what it moves its bytes.
const KINDS: [&str; 22] = [
    "write-pipe",
    "write-unix",
    "write-tcp",
    "write-pty",
    "number-pipe",
    "writev-pipe",
    "writev-unix",
    "writev-tcp",
    "send-unix",
    "send-tcp",
    "sendmsg-unix",
    "sendmsg-tcp",
    "sendmmsg-unix",
    "sendfile-tcp",
    "sendfile-unix",
    "splice-tcp",
    "recv-unix",
    "recv-tcp",
    "recvmsg-unix",
    "recvmsg-tcp",
    "beside-tcp",
    "peek-tcp",
];

/// Those that end early because a signal waits, not because they sleep.
const NOISY: [&str; 3] = ["getrandom-pipe", "urandom-pipe", "zero-pipe"];

const TAKES: usize = 12;

fn guest() -> PipedSession {
    Launch::guest("transfers").piped()
}

/// How many transfers there were; each was whole.
fn stop(session: &mut PipedSession, kind: &str) -> u64 {
    let answer = session.ask("stop");
    let numbers: Vec<u64> = answer
        .split(' ')
        .map(|word| word.parse().expect("numbers"))
        .collect();
    let [transfers, short, wrong] = numbers[..] else {
        session.fail(&format!("{kind}: {answer}"));
    };
    if short + wrong != 0 || transfers == 0 {
        session.fail(&format!(
            "{kind}: of {transfers} transfers {short} came back early, and {wrong} bytes were wrong"
        ));
    }
    transfers
}

fn count(session: &mut PipedSession) -> u64 {
    session.ask("count").parse().expect("a number")
}

#[test]
fn each_moves_all_without_the_tool() {
    let mut session = Launch::bare(binaries::guest("transfers")).piped();
    for kind in KINDS.into_iter().chain(NOISY) {
        session.ask(&format!("start {kind}"));
        while count(&mut session) < 2 {
            deadline::pace(Duration::from_millis(5));
        }
        stop(&mut session, kind);
    }
}

#[test]
fn each_moves_all_while_snapshots_are_taken() {
    let mut session = guest();
    for kind in KINDS.into_iter().chain(NOISY) {
        session.ask(&format!("start {kind}"));
        for _ in 0..TAKES {
            session.take();
        }
        stop(&mut session, kind);
        session.commit();
    }
}

/// A thread that the trigger itself reaches.
fn alone(kind: &str) {
    let mut session = Launch::guest("transfers").args(["alone", kind]).piped();
    session.next_line("it has begun", |line| line == "begun");
    for _ in 0..TAKES {
        session.take();
    }
    let answer = session.next_line("all is transferred", |line| line.starts_with("done "));
    assert_eq!(answer, "done 0", "{kind}");
    session.commit();
}

#[test]
fn each_moves_all_where_the_program_has_one_thread() {
    for kind in [
        "write-pipe",
        "writev-unix",
        "sendmsg-unix",
        "sendmmsg-unix",
        "sendfile-tcp",
    ] {
        alone(kind);
    }
}

#[test]
fn the_rest_is_moved_after_each_revert() {
    let mut session = guest();
    for kind in ["write-pipe", "writev-pipe", "sendmsg-unix", "sendmmsg-unix"] {
        session.ask(&format!("hold {kind}"));
        session.take();
        let inner = session.take().number("id");
        for round in 0..4 {
            // All of the call's thread, the place where it stands and the bytes that are on
            // their way go back, to a moment in the middle of the call.
            let answer = session.ask("let");
            let (moved, wrong) = answer.split_once(' ').expect("two numbers");
            assert_eq!(wrong, "0", "{kind}");
            if kind != "sendmmsg-unix" {
                assert_eq!(moved, (1 << 20).to_string(), "{kind}, round {round}");
            }
            match round {
                0 => {
                    let id = inner.to_string();
                    let output = session.command("revert", &[&id, "--keep"]);
                    assert!(output.success(), "{output:?}");
                    session.next("reverted");
                }
                1 | 2 => drop(session.revert()),
                _ => {}
            }
        }
    }
}

#[test]
fn what_the_programs_own_signal_ends_stays_ended() {
    const ROUNDS: usize = 15;
    let mut session = guest();
    let mut seed = Seed::new();
    let mut missed = 0;
    for kind in ["write-pipe", "writev-unix", "sendmsg-unix", "sendfile-unix"] {
        for _ in 0..ROUNDS {
            session.send(&format!("due {kind}"));
            session.next_line("its thread is blocked", |line| line == "blocked");
            // Some have moved the rest for a while when it comes.
            for _ in 0..seed.below(3) {
                session.take();
            }
            let mut signals = [Signal::SIGURG, Signal::SIGUSR1];
            if seed.below(2) == 0 {
                signals.reverse();
            }
            session.signal_live(signals[0]);
            seed.idle(Duration::from_millis(2));
            session.signal_live(signals[1]);
            let answer = session.next_line("the call is ended", |line| line.starts_with("ok "));
            session.next_taken();
            let numbers: Vec<i64> = answer[3..]
                .split(' ')
                .map(|word| word.parse().expect("numbers"))
                .collect();
            let [moved, waiting, handled, again] = numbers[..] else {
                session.fail(&format!("{kind}: {answer}"));
            };
            let is_right = moved == waiting && moved > 0 && handled == 1 + again;
            if !is_right {
                session.fail(&format!("{kind}: {answer}"));
            }
            missed += again;
        }
        session.commit();
    }
    // As with any handler, a signal may come just before a call begins: here, before it
    // begins to move the rest.
    assert!(missed <= 3, "{missed} signals were missed");
}

/// What a program sees of an end in the middle of its call, with these takes before it.
fn end_in_the_middle(session: &mut PipedSession, takes: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for (kind, how) in [
        ("write-pipe", "close"),
        ("write-unix", "close"),
        ("sendmsg-unix", "close"),
        ("write-tcp", "reset"),
        ("sendmsg-tcp", "reset"),
    ] {
        session.ask(&format!("hold {kind}"));
        for _ in 0..takes {
            session.take();
        }
        seen.push(format!("{kind}: {}", session.ask(how)));
        if takes > 0 {
            session.commit();
        }
    }
    seen
}

#[test]
fn an_end_in_the_middle_is_told_as_without_the_tool() {
    let mut bare = Launch::bare(binaries::guest("transfers")).piped();
    let expected = end_in_the_middle(&mut bare, 0);
    let mut session = guest();
    assert_eq!(end_in_the_middle(&mut session, 0), expected);
    assert_eq!(end_in_the_middle(&mut session, 2), expected);
}
