//! Copies of one moment, each for one input.

use snapshot_tests::{Launch, PipedSession, Signal, binaries, deadline, process};

fn copies(words: &[&str]) -> PipedSession {
    Launch::bare(binaries::guest("copies")).args(words).piped()
}

fn all_find_all_as_it_was(count: usize) {
    let output = copies(&["all", &count.to_string()]).finish();
    let wanted =
        format!("{count} of {count} copies found all as it was, and so did the template\n");
    assert_eq!(output.stdout, wanted, "{}", output.stderr);
    assert_eq!(output.status.code(), Some(0));
}

/// Memory, threads, a runtime, pipes, sockets, counters, sets of events, offsets, the environment, the
/// directory, limits, handlers, alarms, children: each copy changes all of it.
#[test]
fn no_copy_sees_what_another_has_done() {
    all_find_all_as_it_was(30);
}

#[test]
#[ignore = "takes a minute"]
fn no_copy_of_many_sees_what_another_has_done() {
    for _ in 0..10 {
        all_find_all_as_it_was(500);
    }
}

#[test]
fn every_end_is_told() {
    let output = copies(&["ends"]).finish();
    let wanted = [
        "return: exited with status 0",
        "panic: exited with status 101",
        "exit 7: exited with status 7",
        "abort: was killed by SIGABRT",
        "fault: was killed by SIGSEGV",
        "kill: was killed by SIGKILL",
        "quit a thread: exited with status 9",
    ];
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines, wanted, "{}", output.stderr);
}

#[test]
fn a_copy_can_be_a_template() {
    let output = copies(&["nested"]).finish();
    assert_eq!(
        output.stdout, "39 of 40 have ended well\n",
        "{}",
        output.stderr
    );
}

#[test]
fn in_a_session_there_are_none() {
    let output = Launch::guest("copies").arg("ends").piped().finish();
    let wanted = "in a session it is the launcher that copies the program";
    assert!(output.stdout.contains(wanted), "{}", output.stdout);
}

/// Ctrl+C in the middle: the copy that lives ends, no other begins, and the program gets the signal.
#[test]
fn a_signal_ends_the_series() {
    let mut session = copies(&["slow"]);
    let line = session.next_line("a copy lives", |line| line.starts_with("begun "));
    let copy = line[6..].parse().expect("a process id");
    session.signal(Signal::SIGINT);
    session.next_line("the program goes on", |line| line == "1 have ended");
    let gone = deadline::wait(|| (!process::is_alive(copy)).then_some(()));
    assert!(gone.is_some(), "copy {copy} lives");
    assert_eq!(session.finish().status.code(), Some(130));
}
