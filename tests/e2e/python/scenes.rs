//! What the package offers: the same scenes under the launcher and alone.

use std::path::PathBuf;

use snapshot_tests::deadline::Output;
use snapshot_tests::{PipedSession, Signal, binaries, outside, process};

use super::interpreter;

fn play_with(python: &PathBuf, scene: &str, under_launcher: bool) -> Output {
    interpreter::launch(python, under_launcher)
        .arg(binaries::source("python/scenes.py"))
        .arg(scene)
        .piped()
        .finish()
}

fn play(scene: &str, under_launcher: bool) -> Option<Output> {
    let python = outside::find("python3")?;
    Some(play_with(&python, scene, under_launcher))
}

/// Plays a scene both ways, and compares what it says.
fn both(scene: &str, expected: &[&str]) {
    for under_launcher in [true, false] {
        let Some(output) = play(scene, under_launcher) else {
            return;
        };
        let seen: Vec<&str> = output.stdout.lines().collect();
        assert_eq!(
            seen, expected,
            "under the launcher: {under_launcher}\n{output:?}"
        );
        assert!(output.success(), "{output:?}");
    }
}

#[test]
fn the_names_of_the_first_library_mean_the_same() {
    let line = |number: &str| format!("{0} Snapshot #{number} {0}", "=".repeat(20));
    let (first, second) = (line("0"), line("1"));
    for under_launcher in [true, false] {
        let Some(output) = play("names", under_launcher) else {
            return;
        };
        let seen: Vec<&str> = output.stdout.lines().collect();
        let mut places = seen.iter().rev();
        let innermost = places.find(|line| line.starts_with("  File \"FILE\""));
        assert!(
            innermost.is_some_and(|line| line.ends_with("in names")),
            "{output:?}"
        );
        let without_places: Vec<&str> = seen
            .iter()
            .copied()
            .filter(|line| !line.starts_with("  "))
            .collect();
        assert_eq!(
            without_places,
            [
                "depth 0: False ran",
                "branch: True None 2",
                &first,
                &second,
                "the",
                "program",
                &first,
                &second,
                "program",
                "back in the branch: True",
                "back: False ran 1",
                "error: there is no such snapshot",
            ],
            "{output:?}"
        );
        assert!(output.success(), "{output:?}");
    }
}

#[test]
fn a_block_stays_or_is_undone() {
    both(
        "block",
        &[
            "kept [1, 2] 0 1",
            "undone [1, 2] 0 error ValueError: the numbers don't add up",
            "True True",
            "undone [1, 2] 0 the attempt was undone: its branch was killed by SIGABRT",
            "undone SystemExit: a word",
        ],
    );
    both("long_text", &["True üü!"]);
}

#[test]
fn a_block_with_tries_left_runs_again() {
    both(
        "tries",
        &[
            "try 3 after ValueError: try 2",
            "depth 0",
            "function: KeyError: 7",
            "once",
            "interrupted []",
        ],
    );
}

#[test]
fn a_call_stays_or_is_undone() {
    both(
        "calls",
        &[
            "result 5 memory [1, 2] depth 0",
            "error 0: ValueError: the numbers don't add up",
            "memory [1] depth 0",
            "killed 6: the attempt was undone: its branch was killed by SIGABRT",
            "memory [1] depth 0",
            "exited 3: the attempt was undone: its branch exited with status 3",
            "memory [1] depth 0",
            "deadline 0: the attempt was undone: it took too long",
            "memory [1] depth 0",
            "killed 9: the attempt was undone: its branch was killed by SIGKILL",
            "memory [1] depth 0",
            "there must be at least one try",
            "a deadline is a number of seconds, from 0 on",
            "a deadline is a number of seconds, from 0 on",
        ],
    );
}

#[test]
fn a_block_that_takes_too_long_is_undone() {
    let late = "deadline 0: the attempt was undone: it took too long [1] 0";
    both(
        "deadlines",
        &[
            late,
            late,
            late,
            "try 2 after deadline",
            "function: the attempt was undone: it took too long [1, 3]",
            "threads []",
        ],
    );
}

#[test]
fn an_inner_attempt_is_undone_with_the_outer_one() {
    both(
        "nested",
        &[
            "inner ValueError: the numbers don't add up [1, 2] 1",
            "outer KeyError: 'outer' [1] 0",
        ],
    );
}

#[test]
fn hooks_run_in_order_and_one_that_fails_stops_no_other() {
    both(
        "hooks",
        &[
            "before a take",
            "in a hook: a hook can take no snapshot, and end no branch",
            "branch",
            "third",
            "second",
            "back",
        ],
    );
}

#[test]
fn what_waits_for_a_commit_is_done_then_or_never() {
    both(
        "commits",
        &["at once", "branch None", "after the commit", "depth 0 ran"],
    );
}

#[test]
fn the_debuggers_next_line_takes_a_snapshot() {
    both("tracing", &["True 1", "True 0"]);
}

#[test]
fn two_tries_draw_different_secrets() {
    for under_launcher in [true, false] {
        let Some(output) = play("secrets", under_launcher) else {
            return;
        };
        let drawn = "fresh: True\nthe same: True\n";
        assert!(output.stdout.ends_with(drawn), "{output:?}");
    }
}

#[test]
fn two_tries_draw_different_numbers_of_numpy() {
    let Some(python) = interpreter::with_module("numpy") else {
        return;
    };
    for under_launcher in [true, false] {
        let output = play_with(&python, "secrets", under_launcher);
        let said = "with numpy: True\nfresh: True\nthe same: True\n";
        assert_eq!(output.stdout, said, "{output:?}");
    }
}

#[test]
fn new_seeds_come_when_they_are_asked_for() {
    both("reseed", &["True [False, False]"]);
}

#[test]
fn threads_of_python_go_on() {
    both("threads", &["branch", "back", "joined"]);
}

/// A line `count N PID depth D`.
struct Count {
    count: u32,
    pid: i32,
    depth: u32,
}

impl Count {
    fn of(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["count", count, pid, "depth", depth] = words[..] else {
            return None;
        };
        Some(Self {
            count: count.parse().ok()?,
            pid: pid.parse().ok()?,
            depth: depth.parse().ok()?,
        })
    }

    fn next(session: &mut PipedSession, what: &str, wanted: impl Fn(&Self) -> bool) -> Self {
        let line = session.next_line(what, |line| Self::of(line).is_some_and(|now| wanted(&now)));
        Self::of(&line).unwrap_or_else(|| session.fail(&line))
    }
}

/// Alone, signals take and end branches after `install_handlers`, and the hooks run after that.
#[test]
fn alone_signals_take_and_end_branches() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let mut session = interpreter::launch(python, false)
        .arg(binaries::source("python/scenes.py"))
        .arg("handlers")
        .piped();
    session.next_line("not in another thread", |line| {
        line == "signal handlers are the main thread's"
    });
    Count::next(&mut session, "it counts", |now| now.count > 3);
    let root = session.pid();
    for _ in 0..3 {
        process::send(root, Signal::SIGUSR1);
        let taken = Count::next(&mut session, "a snapshot", |now| now.depth == 1);
        assert_ne!(taken.pid, root, "the child lives on");
        let more = taken.count + 5;
        Count::next(&mut session, "it goes on", |now| now.count > more);
        process::send(taken.pid, Signal::SIGINT);
        let back = Count::next(&mut session, "back", |now| now.depth == 0);
        assert_eq!(back.pid, root);
        assert!(back.count <= taken.count, "it counts on from the snapshot");
    }
    wait_for_hooks(&mut session, 3);
    // At depth 0 it is Python's own.
    process::send(root, Signal::SIGINT);
    session.wait_until_stderr("KeyboardInterrupt");
    session.wait_gone();
}

#[test]
fn under_the_launcher_signals_are_served_already() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let mut session = interpreter::launch(python, true)
        .arg(binaries::source("python/scenes.py"))
        .arg("handlers")
        .piped();
    Count::next(&mut session, "it counts", |now| now.count > 3);
    session.take();
    let taken = Count::next(&mut session, "it goes on", |now| now.depth == 1);
    session.interrupt();
    let back = Count::next(&mut session, "back", |now| now.depth == 0);
    assert_eq!(back.pid, taken.pid);
    wait_for_hooks(&mut session, 1);
}

/// After a revert to a snapshot from outside another thread runs them, while the program goes on.
fn wait_for_hooks(session: &mut PipedSession, count: usize) {
    let stdout = session.stdout_so_far();
    session.wait_until("the hooks", || {
        stdout.text().matches("hook\n").count() == count
    });
}

#[test]
fn a_child_of_the_program_may_use_the_module() {
    both("children", &["0 False", "forked 0", "end"]);
}

#[test]
fn what_is_buffered_is_written_once() {
    both("buffers", &["begun, in the branch, ended"]);
}

#[test]
fn the_end_of_a_branch_is_said_in_words() {
    both(
        "statuses",
        &[
            "the branch exited with status 3",
            "the branch exited with status 0",
            "the branch exited with status 1",
            "the branch exited with status 1",
            "the branch exited with status 9",
            "the branch was killed by SIGTERM",
            "the branch was reverted",
        ],
    );
}

#[test]
fn without_the_library_the_import_says_what_to_do() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let output = interpreter::launch(python, false)
        .env("SNAPSHOT_LIBRARY", "/nowhere/libsnapshot.so")
        .args(["-c", "import snapshot"])
        .piped()
        .finish();
    assert!(!output.success());
    for words in [
        "ImportError: cannot find libsnapshot.so",
        "cause: it is not at /nowhere/libsnapshot.so",
        "help:  ",
    ] {
        assert!(output.stderr.contains(words), "{output:?}");
    }
}
