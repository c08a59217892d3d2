//! The tool on a poor machine: each limit at its lowest values. A session runs and does what it
//! can, or a refusal gives the true cause and the limit to raise.

use std::process::Command;

use snapshot_tests::{Launch, PipedSession, Signal, binaries, deadline};

/// A guest in a session that is started with a limit of prlimit(1).
fn limited(limit: &str, guest: &[&str]) -> PipedSession {
    let tool = binaries::tools().snapshot_launch.clone();
    let program = binaries::guest(guest[0]);
    Launch::bare("prlimit")
        .arg(limit)
        .arg(tool)
        .arg("--")
        .arg(program)
        .args(&guest[1..])
        .piped()
}

#[test]
fn a_request_is_refused_once_where_no_signal_can_be_queued() {
    let mut session = limited("--sigpending=0", &["commander"]);
    session.ask("set key before");
    session.signal(Signal::SIGUSR1);
    let refused = session.next_answer();
    assert_eq!(refused.name(), "refused", "{refused}");
    let why = refused.text("why");
    assert!(why.contains("no more signals can be queued"), "{why}");
    assert!(refused.text("help").contains("ulimit -i"), "{refused}");
    // A person's own signal needs no room.
    assert_eq!(session.take().number("id"), 1);
    session.ask("set key after");
    session.revert();
    assert_eq!(session.ask("get key"), "before");
    let answers = session.events();
    let count = |name| answers.iter().filter(|event| event.name() == name).count();
    assert_eq!((count("taken"), count("refused")), (1, 1));
}

#[test]
fn a_thread_that_can_not_be_signalled_is_named_with_the_reason() {
    let mut session = limited("--sigpending=0", &["commander"]);
    session.ask("thread");
    session.signal_live(Signal::SIGUSR1);
    let refused = session.next_answer();
    assert_eq!(refused.name(), "refused", "{refused}");
    let why = refused.text("why");
    assert!(why.contains("can't be sent a signal"), "{why}");
    assert!(refused.text("help").contains("ulimit -i"), "{refused}");
}

#[test]
fn with_few_descriptors_it_runs_or_says_what_to_raise() {
    let tool = &binaries::tools().snapshot_launch;
    let mut ran = 0;
    // With three not even its libraries can be opened.
    for descriptors in 4..40 {
        let limit = format!("--nofile={descriptors}");
        let mut command = Command::new("prlimit");
        command.arg(limit).arg(tool).args(["--", "true"]);
        let output = deadline::run(&mut command);
        let told = &output.stderr;
        if output.success() {
            ran += 1;
        } else {
            assert_eq!(output.status.code(), Some(96), "{descriptors}: {output:?}");
            assert!(
                told.contains("Too many open files"),
                "{descriptors}: {told}"
            );
            assert!(told.contains("ulimit -n"), "{descriptors}: {told}");
            assert_eq!(ran, 0, "fewer were enough: {told}");
        }
    }
    assert!(ran > 0, "forty are not enough");
}
