//! Attempts, hooks and what waits for a commit: the same scenes under the launcher and alone.

use snapshot_tests::deadline::Output;
use snapshot_tests::{Launch, PipedSession, binaries};

fn play(scene: &str, under_launcher: bool) -> Output {
    let launch = match under_launcher {
        true => Launch::guest("attempts"),
        false => Launch::bare(binaries::guest("attempts")),
    };
    launch.arg(scene).piped().finish()
}

/// Plays a scene both ways, and compares what it says.
fn both(scene: &str, expected: &[&str]) {
    for under_launcher in [true, false] {
        let output = play(scene, under_launcher);
        let seen: Vec<&str> = output.stdout.lines().collect();
        assert_eq!(
            seen, expected,
            "under the launcher: {under_launcher}\n{output:?}"
        );
        assert!(output.success(), "{output:?}");
    }
}

/// An attempt that ends like this.
fn undone(scene: &str, why: &str) {
    both(scene, &[&format!("undone: {why}"), "memory 1 depth 0"]);
}

#[test]
fn what_succeeds_stays() {
    both("ok", &["Ok(2) memory [1, 2] depth 0"]);
}

#[test]
fn what_fails_is_undone_and_says_why() {
    undone("error", "the numbers don't add up (24 bytes)");
    undone("panic", "it panicked: told to panic (26 bytes)");
    undone("panic-in-thread", "a thread panicked (17 bytes)");
    let long = "ü".repeat(60);
    undone("long", &format!("{long} (4090 bytes)"));
}

#[test]
fn what_crashes_is_undone_and_says_how() {
    undone("abort", "its branch was killed by SIGABRT (32 bytes)");
    undone("segv", "its branch was killed by SIGSEGV (32 bytes)");
    undone("stack", "its branch was killed by SIGABRT (32 bytes)");
    undone("memory", "its branch was killed by SIGABRT (32 bytes)");
    undone("kill", "its branch was killed by SIGKILL (32 bytes)");
    undone("exit", "its branch exited with status 3 (31 bytes)");
}

#[test]
fn what_takes_too_long_is_undone() {
    both("deadline", &["deadline true memory 1"]);
    both("in-time", &["Ok(7) depth 0"]);
}

#[test]
fn an_inner_one_is_undone_with_the_outer_one() {
    both(
        "nested",
        &[
            "inner true memory 2 depth 1",
            "inner false memory 2 depth 1",
            "outer false memory 1 depth 0",
        ],
    );
}

#[test]
fn hooks_run_in_order_and_back() {
    both(
        "hooks",
        &[
            "first before a take",
            "second before a take",
            "live",
            "second after a revert",
            "first after a revert",
            "back",
        ],
    );
}

#[test]
fn misuse_is_an_error() {
    both(
        "misuse",
        &[
            "revert at depth 0: Err(NoSuchSnapshot)",
            "take in a hook: Some(InHook)",
            "revert in a hook: Err(InHook)",
            "commit in a hook: Err(InHook)",
            "drop: Ok(())",
            "again: Err(NoSuchSnapshot)",
            "depth 0",
        ],
    );
}

#[test]
fn what_waits_for_a_commit_is_done_then_or_never() {
    both(
        "commits",
        &[
            "at once",
            "nothing yet",
            "root only: None",
            "back at depth 1",
            "root only: None",
            "waited since depth 1",
            "root only: Some(\"now\")",
        ],
    );
}

#[test]
fn what_is_root_only_is_not_dropped_in_a_branch() {
    both(
        "root-only",
        &[
            "dropped at depth 0",
            "not yet",
            "still there: in a branch",
            "committing",
            "dropped after the commit",
            "dropped in a branch",
        ],
    );
    both("child", &["alive: true"]);
}

#[test]
fn the_list_says_where_each_was_taken() {
    let place = "Some((\"tests/guests/attempts.rs\", true))";
    both(
        "places",
        &[
            &format!("#1 Some(\"first\") Some(\"a test\") {place}"),
            &format!("#2 None None {place}"),
        ],
    );
}

#[test]
fn there_can_be_many_one_after_the_other() {
    both("many", &["done 66 undone 34"]);
    both("many-in-a-thread", &["done 66 undone 34"]);
}

fn ask(session: &mut PipedSession, line: &str) {
    session.send(line);
    session.next_line(line, |line| line == "ok");
}

#[test]
fn what_comes_from_outside_is_heard() {
    let mut session = Launch::guest("attempts").arg("wait").piped();
    session.next_line("ready", |line| line == "ready");
    // A revert to a snapshot from outside.
    session.take();
    ask(&mut session, "depth");
    session.end_branch(snapshot_tests::Ending::Kill);
    session.next_line("the hook has run", |line| line == "hook");
    // A commit from outside.
    session.take();
    ask(&mut session, "pend");
    assert!(!session.stdout().contains("committed"));
    session.commit();
    session.next_line("it is committed", |line| line == "committed");
    // One that was given in a branch goes with it.
    session.take();
    ask(&mut session, "pend");
    session.end_branch(snapshot_tests::Ending::Kill);
    session.next_line("the hook has run", |line| line == "hook");
    session.take();
    session.commit();
    ask(&mut session, "depth");
    assert_eq!(session.stdout().matches("committed").count(), 1);
}
