//! Programs that forbid themselves system calls, or go into namespaces of their own: a take
//! works, or is refused with the true reason and leaves no trace.

use snapshot_tests::{Launch, PipedSession, Signal};

fn sandboxed() -> PipedSession {
    Launch::guest_in_c("sandboxed").piped()
}

/// Refused before anything is sent to the program: its reason.
fn refused(session: &mut PipedSession) -> (String, String) {
    session.signal(Signal::SIGUSR1);
    let answer = session.next_answer();
    if answer.name() != "refused" {
        session.fail(&format!("it was not refused: {answer}"));
    }
    assert!(session.exit_status().is_none());
    (
        answer.text("kind").to_owned(),
        answer.text("why").to_owned(),
    )
}

#[test]
fn a_filter_that_leaves_snapshots_alone_is_none() {
    for filter in [
        "prctl reboot kill",
        "seccomp reboot errno",
        "prctl reboot trap",
        "prctl kcmp errno",
    ] {
        for flags in ["--isolate=auto", "--isolate=never", "--deny=io-uring"] {
            let mut session = Launch::guest_in_c("sandboxed").flag(flags).piped();
            session.ask("keep 1");
            session.take();
            session.ask(&format!("filter {filter}"));
            session.ask("keep 2");
            session.take();
            session.ask("keep 3");
            // Two of them.
            session.ask("filter seccomp reboot errno");
            session.take();
            session.revert();
            session.revert();
            assert_eq!(session.ask("kept"), "2", "{filter} {flags}");
            session.take();
            session.revert();
            session.revert();
            assert_eq!(session.ask("kept"), "1", "{filter} {flags}");
            session.ask("filter prctl reboot errno");
            session.take();
        }
    }
}

#[test]
fn a_filter_that_forbids_what_a_snapshot_needs_refuses_by_name() {
    for (filter, call) in [
        ("prctl socket kill", "socket"),
        ("prctl socket errno", "socket"),
        ("seccomp futex kill", "call 202"),
        ("seccomp clone3 errno", "clone3"),
        ("prctl getpid trap", "getpid"),
        ("prctl kcmp kill", "kcmp"),
    ] {
        let mut session = sandboxed();
        session.ask("keep 1");
        session.take();
        session.ask("keep 2");
        session.ask(&format!("filter {filter}"));
        for _ in 0..3 {
            let (kind, why) = refused(&mut session);
            assert_eq!(kind, "seccomp", "{filter}: {why}");
            assert!(why.ends_with(&format!("needs: {call}")), "{filter}: {why}");
            assert_eq!(session.ask("kept"), "2", "{filter}");
        }
        session.wait_until_stderr("seccomp");
        // A person's signal to the program itself.
        session.signal_live(Signal::SIGUSR1);
        assert_eq!(session.ask("kept"), "2", "{filter}");
        // What was taken before is there.
        session.revert();
        assert_eq!(session.ask("kept"), "1", "{filter}");
        session.take();
    }
}

#[test]
fn strict_mode_refuses() {
    let mut session = sandboxed();
    session.ask("keep 1");
    session.take();
    session.ask("keep 2");
    session.ask("strict");
    for _ in 0..2 {
        let (kind, why) = refused(&mut session);
        assert_eq!(kind, "seccomp");
        assert!(why.contains("strict"), "{why}");
        session.signal_live(Signal::SIGUSR1);
        assert_eq!(session.ask("any"), "2");
    }
    // With a snapshot an interrupt ends the branch, and no more.
    session.signal_live(Signal::SIGINT);
    session.next("reverted");
    assert_eq!(session.ask("kept"), "1");
    session.take();
}

#[test]
fn a_filter_that_was_set_by_a_direct_call_is_seen_before_anything_is_sent() {
    for filter in ["raw socket kill", "raw socket errno", "raw reboot errno"] {
        let mut session = sandboxed();
        session.ask(&format!("filter {filter}"));
        let (kind, why) = refused(&mut session);
        assert_eq!(kind, "seccomp", "{filter}: {why}");
        assert!(why.contains("could not be tried"), "{filter}: {why}");
        session.ask("keep 1");
        assert_eq!(session.ask("kept"), "1");
    }
}

#[test]
fn a_filter_of_one_thread_alone_refuses_too() {
    let mut session = sandboxed();
    session.ask("thread");
    let (kind, why) = refused(&mut session);
    assert_eq!(kind, "seccomp", "{why}");
    session.ask("keep 1");
    assert_eq!(session.ask("kept"), "1");
}

#[test]
fn a_filter_that_could_not_be_set_changes_nothing() {
    let mut session = sandboxed();
    // EFAULT, as without the tool.
    assert_eq!(session.ask("bad filter"), "14");
    session.take();
    session.revert();
}
