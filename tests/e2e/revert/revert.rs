//! Reverts: however a live branch ends, the program goes on from the newest snapshot, with its
//! memory. At depth 0 the program's end is final.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use snapshot_tests::{Launch, PipedSession, Signal, deadline, process};

/// Longer than what the tool takes for one mash of keys.
const BETWEEN_PRESSES: Duration = Duration::from_millis(250);

/// A commander with one snapshot, whose memory has changed since.
fn one_snapshot(isolate: &str) -> PipedSession {
    let mut session = Launch::commander().flag("--isolate").flag(isolate).piped();
    session.ask("set key before");
    session.take();
    session.ask("set key after");
    session
}

/// Ends the branch by `end`, and checks what is said and what is left.
fn comes_back(
    end: impl Fn(&mut PipedSession),
    how: &str,
    code: Option<i64>,
    signal: Option<Signal>,
) {
    for isolate in ["auto", "never"] {
        comes_back_in(isolate, &end, how, code, signal);
    }
}

fn comes_back_in(
    isolate: &str,
    end: impl Fn(&mut PipedSession),
    how: &str,
    code: Option<i64>,
    signal: Option<Signal>,
) {
    let mut session = one_snapshot(isolate);
    let (old, pid) = (session.live_pid(), session.ask("pid"));
    end(&mut session);
    let ended = session.next("ended");
    assert_eq!(ended.text("how"), how);
    assert_eq!(ended.number("id_reverted_to"), 1);
    assert_eq!(ended.0["code"].as_i64(), code, "{ended}");
    let signal = signal.map(|signal| i64::from(signal as i32));
    assert_eq!(ended.0["signal"].as_i64(), signal, "{ended}");
    let reverted = session.next("reverted");
    assert_eq!(reverted.number("id"), 1);
    assert_eq!(reverted.number("depth"), 0);
    let same = session.ask("pid") == pid;
    assert_eq!(reverted.flag("same_ids"), same);
    assert_eq!(same, isolate == "auto");
    if reverted.pid("live_pid") != old {
        assert!(!process::is_alive(old), "the branch is dead");
    }
    assert_eq!(session.ask("get key"), "before");
    session.wait_until_stderr("[snapshot] reverted to #1 in ");
}

fn comes_back_from(command: &str, how: &str, code: Option<i64>, signal: Option<Signal>) {
    comes_back(|session| session.send(command), how, code, signal);
}

#[test]
fn from_an_exit() {
    comes_back_from("exit 3", "exit", Some(3), None);
}

#[test]
fn from_an_exit_with_status_0() {
    comes_back_from("exit 0", "exit", Some(0), None);
}

#[test]
fn from_an_exit_without_exit_handlers() {
    comes_back_from("_exit 7", "exit", Some(7), None);
}

#[test]
fn from_a_panic() {
    comes_back_from("panic", "exit", Some(101), None);
}

#[test]
fn from_an_abort() {
    comes_back_from("abort", "signal", None, Some(Signal::SIGABRT));
}

#[test]
fn from_a_segmentation_fault() {
    comes_back_from("segv", "signal", None, Some(Signal::SIGSEGV));
}

#[test]
fn from_a_stack_overflow() {
    comes_back_from("overflow", "signal", None, Some(Signal::SIGABRT));
}

#[test]
fn from_the_end_of_its_input() {
    // What one branch has read is gone for the next, so the program ends again.
    let mut session = one_snapshot("auto");
    session.close_stdin();
    let ended = session.next("ended");
    assert_eq!(ended.text("how"), "exit");
    session.next("reverted");
    let finished = session.next("finished");
    assert_eq!(finished.number("code"), 0);
    assert!(session.wait_gone().success());
}

#[test]
fn from_any_deadly_signal_to_the_live_process() {
    for signal in [
        Signal::SIGKILL,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR2,
        Signal::SIGALRM,
    ] {
        comes_back(
            |session| session.signal_live(signal),
            "signal",
            None,
            Some(signal),
        );
    }
}

#[test]
fn by_an_interrupt_to_the_live_process() {
    comes_back(
        |session| session.signal_live(Signal::SIGINT),
        "interrupt",
        None,
        None,
    );
}

#[test]
fn by_an_interrupt_to_the_launcher() {
    comes_back(
        |session| session.signal(Signal::SIGINT),
        "interrupt",
        None,
        None,
    );
}

#[test]
fn by_a_command() {
    comes_back(
        |session| assert!(session.command("revert", &[]).success()),
        "revert",
        None,
        None,
    );
}

#[test]
fn a_dead_branch_cannot_catch_its_end() {
    // The program handles SIGTERM and SIGINT itself; a revert doesn't ask it.
    let mut session = Launch::commander().piped();
    session.ask("handle TERM sigaction");
    session.ask("handle INT sigaction");
    session.ask("set key before");
    session.take();
    session.ask("set key after");
    session.interrupt();
    assert_eq!(session.ask("get key"), "before");
    assert_eq!(session.ask("seen INT"), "0");
    // A signal that it handles ends no branch.
    session.take();
    session.signal_live(Signal::SIGTERM);
    session.next_line("the handler", |line| line == "own signal 15 001");
    assert_eq!(session.ask("get key"), "before");
    assert_eq!(session.events_named("reverted").len(), 1);
}

#[test]
fn the_newest_first_and_then_the_programs_own_end() {
    let mut session = Launch::commander().piped();
    for level in 1..=4 {
        session.ask(&format!("set level {level}"));
        session.take();
    }
    for level in (1..=4).rev() {
        session.ask("set level undone");
        session.send("abort");
        let reverted = session.next("reverted");
        assert_eq!(reverted.number("id"), level);
        assert_eq!(reverted.number("depth"), level - 1);
        assert_eq!(session.ask("get level"), level.to_string());
    }
    session.send("exit 7");
    assert_eq!(session.wait_gone().code(), Some(7));
    assert_eq!(session.next("finished").number("code"), 7);
}

#[test]
fn a_number_is_never_used_twice() {
    let mut session = Launch::commander().piped();
    for id in 1..=5 {
        assert_eq!(session.take().number("id"), id);
        session.send("abort");
        session.next("reverted");
    }
    assert_eq!(session.take().number("depth"), 1);
}

#[test]
fn a_revived_process_can_be_snapshotted_again_and_again() {
    let mut session = Launch::commander().piped();
    session.ask("fill 5");
    let sum = session.ask("sum");
    for round in 1..=30 {
        session.ask(&format!("set round {round}"));
        session.take();
        session.ask("set round undone");
        session.send(if round % 2 == 0 { "abort" } else { "exit 1" });
        session.next("reverted");
        assert_eq!(session.ask("get round"), round.to_string());
        assert_eq!(session.ask("sum"), sum);
    }
}

#[test]
fn a_files_offset_comes_back() {
    let mut session = Launch::commander().piped();
    let file = session.place().work().join("letters");
    std::fs::write(&file, "abcdefghij").expect("the place is ours");
    session.ask(&format!("open {}", file.display()));
    assert_eq!(session.ask("read 3"), "abc");
    session.take();
    assert_eq!(session.ask("read 4"), "defg");
    session.send("abort");
    session.next("reverted");
    assert_eq!(session.ask("offset"), "3");
    assert_eq!(session.ask("read 4"), "defg");
}

#[test]
fn the_root_ends_with_the_programs_status() {
    for code in [0, 1, 7, 101, 255] {
        let mut session = Launch::commander().piped();
        session.send(&format!("exit {code}"));
        assert_eq!(session.wait_gone().code(), Some(code));
        let finished = session.next("finished");
        assert_eq!(finished.number("code"), i64::from(code));
        assert!(finished.is_null("signal"));
    }
}

#[test]
fn the_root_dies_of_the_programs_signal() {
    for signal in [
        Signal::SIGKILL,
        Signal::SIGTERM,
        Signal::SIGABRT,
        Signal::SIGSEGV,
        Signal::SIGHUP,
    ] {
        let mut session = Launch::commander().piped();
        session.ask("ping");
        match signal {
            // Rust's own handler forgives one that no access has caused.
            Signal::SIGSEGV => session.send("segv"),
            _ => session.signal_live(signal),
        }
        let status = session.wait_gone();
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
        let finished = session.next("finished");
        assert_eq!(finished.number("signal"), i64::from(signal as i32));
        assert!(finished.is_null("code"));
    }
}

#[test]
fn an_interrupt_at_the_root_is_the_programs_own() {
    for to_live in [true, false] {
        let mut session = Launch::commander().piped();
        session.ask("ping");
        if to_live {
            session.signal_live(Signal::SIGINT);
        } else {
            session.signal(Signal::SIGINT);
        }
        assert_eq!(session.wait_gone().signal(), Some(libc::SIGINT));
    }
}

#[test]
fn an_interrupt_at_the_root_reaches_a_handler_once() {
    let mut session = Launch::commander().piped();
    session.ask("handle INT sigaction");
    for count in 1..=6 {
        if count % 2 == 0 {
            session.signal_live(Signal::SIGINT);
        } else {
            session.signal(Signal::SIGINT);
        }
        let line = format!("own signal 02 00{count}");
        session.next_line(&line, |found| found == line);
        deadline::pace(BETWEEN_PRESSES);
        assert_eq!(session.ask("seen INT"), count.to_string());
    }
}

#[test]
fn on_exit_commit_believes_a_status_of_0() {
    let launch = || Launch::commander().flag("--on-exit").flag("commit").piped();
    let mut session = launch();
    session.take();
    session.send("exit 0");
    assert!(session.wait_gone().success());
    assert!(session.events_named("reverted").is_empty());

    let mut session = launch();
    session.take();
    session.send("exit 3");
    assert_eq!(session.next("reverted").number("id"), 1);
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn on_interrupt_pass_leaves_it_to_the_program() {
    let mut session = Launch::commander()
        .flag("--on-interrupt")
        .flag("pass")
        .piped();
    session.ask("handle INT sigaction");
    session.take();
    session.signal(Signal::SIGINT);
    session.next_line("the handler", |line| line == "own signal 02 001");
    assert_eq!(session.ask("seen INT"), "1");
    assert!(session.events_named("reverted").is_empty());
}

#[test]
fn a_frozen_copy_that_is_killed_is_named_and_the_others_serve() {
    let mut session = Launch::commander().piped();
    for level in 1..=3 {
        session.ask(&format!("set level {level}"));
        session.take();
    }
    let second = session.frozen_pid(2);
    process::send(second, Signal::SIGKILL);
    assert_eq!(session.next("dropped").number("id"), 2);
    session.send("abort");
    assert_eq!(session.next("reverted").number("id"), 3);
    session.send("abort");
    assert_eq!(session.next("reverted").number("id"), 1);
    assert_eq!(session.ask("get level"), "1");
}

#[test]
fn a_frozen_copy_takes_no_notice_of_other_signals() {
    let mut session = Launch::commander().piped();
    session.ask("set key before");
    session.take();
    let frozen = session.frozen_pid(1);
    session.ask("handle TERM sigaction");
    session.ask("handle HUP sigaction");
    // They mean the live process.
    for (signal, line) in [
        (Signal::SIGTERM, "own signal 15 001"),
        (Signal::SIGHUP, "own signal 01 001"),
    ] {
        process::send(frozen, signal);
        session.next_line(line, |found| found == line);
    }
    assert!(process::is_alive(frozen));
    session.ask("set key after");
    session.interrupt();
    assert_eq!(session.ask("get key"), "before");
}
