//! Programs that forbid themselves system calls, or enter namespaces of their own: a take works,
//! or the tool refuses it with the true reason and leaves no trace.

use std::path::Path;
use std::process::Command;

use snapshot_tests::{Launch, PipedSession, Place, Signal, binaries, deadline};

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
    session.ask("keep 2");
    session.ask("strict");
    for _ in 0..2 {
        let (kind, why) = refused(&mut session);
        assert_eq!(kind, "seccomp");
        assert!(why.contains("strict"), "{why}");
        session.signal_live(Signal::SIGUSR1);
        assert_eq!(session.ask("any"), "2");
    }
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

#[test]
fn children_in_another_process_namespace_refuse_and_go_on() {
    for launch in [
        Launch::guest_in_c("sandboxed"),
        Launch::guest_in_c("sandboxed").flag("--isolate=never"),
    ] {
        let mut session = launch.piped();
        session.ask("keep 1");
        session.take();
        session.ask("keep 2");
        // Who may not have one of its own is none.
        session.send("unshare user-pid");
        session.next_line("an answer", |line| {
            line.starts_with("ok") || line.starts_with("err")
        });
        let (kind, why) = refused(&mut session);
        assert_eq!(kind, "namespace", "{why}");
        assert!(why.contains("process namespace"), "{why}");
        // The same for a person's signal.
        session.signal_live(Signal::SIGUSR1);
        let answer = session.next_answer();
        assert_eq!(answer.name(), "refused", "{answer}");
        assert_eq!(answer.text("kind"), "namespace", "{answer}");
        // The first of them is its own child, and others can follow as long as that lives.
        session.ask("fork");
        session.revert();
        assert_eq!(session.ask("kept"), "1");
        session.ask("fork");
        session.take();
    }
}

#[test]
fn another_network_namespace_says_so() {
    let mut session = sandboxed();
    session.ask("keep 1");
    session.take();
    session.ask("keep 2");
    session.ask("unshare user-net");
    let (kind, why) = refused(&mut session);
    assert_eq!(kind, "namespace", "{why}");
    assert!(why.contains("network namespace"), "{why}");
    session.signal_live(Signal::SIGUSR1);
    assert_eq!(session.ask("kept"), "2");
    session.revert();
    assert_eq!(session.ask("kept"), "1");
}

#[test]
fn other_users_and_mounts_do_not_matter() {
    let mut session = sandboxed();
    for namespace in ["mount", "user"] {
        // Only root may have the first without the second.
        session.send(&format!("unshare {namespace}"));
        session.next_line("an answer", |line| {
            line.starts_with("ok") || line.starts_with("err")
        });
        session.ask("keep 1");
        session.take();
        session.ask("keep 2");
        session.revert();
        assert_eq!(session.ask("kept"), "1", "{namespace}");
    }
}

#[test]
fn a_root_without_proc_says_so() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut session = sandboxed();
    session.ask("keep 1");
    session.take();
    session.ask("keep 2");
    session.ask("empty root");
    let (kind, why) = refused(&mut session);
    assert_eq!(kind, "proc", "{why}");
    session.revert();
    assert_eq!(session.ask("kept"), "1");
    session.take();
}

fn has_valgrind() -> bool {
    Path::new("/usr/bin/valgrind").exists()
}

#[test]
fn an_emulator_is_refused_at_launch() {
    if !has_valgrind() {
        return;
    }
    let place = Place::new();
    let mut command = Command::new(&binaries::tools().snapshot_launch);
    command.args(["--", "valgrind", "true"]);
    place.furnish(&mut command);
    let output = deadline::run(&mut command);
    assert_eq!(output.status.code(), Some(96), "{output:?}");
    for part in [
        "cannot launch `valgrind`",
        "\n  cause: Valgrind",
        "\n  help:  ",
    ] {
        assert!(output.stderr.contains(part), "{part:?} in {output:?}");
    }
}

#[test]
fn a_script_that_becomes_one_is_refused_at_the_take() {
    if !has_valgrind() {
        return;
    }
    let mut session = Launch::program("bash")
        .args(["-c", "read line; exec valgrind -q cat"])
        .piped();
    session.next("started");
    session.take();
    session.send("");
    // The program under it answers.
    session.send("ready");
    session.next_line("ready", |line| line == "ready");
    let (kind, why) = refused(&mut session);
    assert_eq!(kind, "emulator", "{why}");
    assert!(why.contains("Valgrind"), "{why}");
    session.send("again");
    session.next_line("again", |line| line == "again");
    session.revert();
    session.send("");
    session.send("back");
    session.next_line("back", |line| line == "back");
}
