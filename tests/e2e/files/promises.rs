//! What the flags and the events promise about files, and what was given from outside.

use std::fs;
use std::path::Path;

use snapshot_tests::{Ending, Launch, PipedSession, Place, binaries};

use crate::guest::Guest;

/// A shell under the tool, in the place's work directory.
fn shell(launch: impl FnOnce(Launch) -> Launch) -> PipedSession {
    launch(Launch::program("/bin/sh")).piped()
}

/// Has the shell do something, and waits until it is done.
fn has_done(session: &mut PipedSession, script: &str) {
    session.send(&format!("{script}; echo ok"));
    session.next_line(script, |line| line == "ok");
}

fn read(session: &PipedSession, name: &str) -> String {
    fs::read_to_string(session.place().work().join(name)).unwrap_or_else(|_| "missing".to_owned())
}

#[test]
fn started_says_which_files_come_back() {
    let mut session = Launch::commander().piped();
    assert_eq!(session.next("started").text("files"), "all");
    let mut session = Launch::commander().flag("--no-files").piped();
    assert_eq!(session.next("started").text("files"), "none");

    let place = Place::new();
    let directories = ["one", "two"].map(|name| place.work().join(name));
    let mut launch = Launch::commander().place(&place);
    for directory in &directories {
        fs::create_dir(directory).expect("the place is ours");
        launch = launch.flag("--files").flag(directory);
    }
    let mut session = launch.piped();
    let started = session.next("started");
    let files: Vec<_> = started.0["files"]
        .as_array()
        .unwrap_or_else(|| panic!("no list: {started}"))
        .iter()
        .map(|directory| Path::new(directory.as_str().expect("a path")))
        .collect();
    assert_eq!(files, directories);
}

#[test]
fn a_tree_that_is_no_directory_is_a_mistake_of_usage() {
    let place = Place::new();
    let session = Launch::commander()
        .place(&place)
        .flag("--files")
        .flag(place.work().join("missing"))
        .piped();
    let output = session.finish();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stderr.contains("missing"), "{output:?}");
}

#[test]
fn only_the_named_trees_come_back() {
    let place = Place::new();
    for name in ["in", "out", "in too"] {
        fs::create_dir(place.work().join(name)).expect("the place is ours");
    }
    let mut session = shell(|launch| {
        launch
            .place(&place)
            .flag("--files")
            .flag(place.work().join("in"))
            .flag("--files")
            .flag(place.work().join("in too"))
    });
    has_done(
        &mut session,
        "echo then | tee in/a out/a 'in too/a' >/dev/null",
    );
    session.take();
    has_done(
        &mut session,
        "echo now | tee in/a out/a 'in too/a' >/dev/null",
    );
    has_done(
        &mut session,
        "mv in/a out/moved; mv out/a in/moved; echo now >in/new",
    );
    session.end_branch(Ending::Kill);
    has_done(&mut session, ":");
    assert_eq!(read(&session, "in/a"), "then\n");
    assert_eq!(read(&session, "in too/a"), "then\n");
    assert_eq!(read(&session, "in/new"), "missing");
    assert_eq!(read(&session, "in/moved"), "missing");
}

#[test]
fn without_files_everything_stays_as_the_branch_left_it() {
    let mut session = shell(|launch| launch.flag("--no-files"));
    has_done(&mut session, "echo then >a; echo then >b");
    session.take();
    has_done(&mut session, "echo now >a; rm b; echo now >c");
    session.end_branch(Ending::Kill);
    has_done(&mut session, ":");
    assert_eq!(read(&session, "a"), "now\n");
    assert_eq!(read(&session, "b"), "missing");
    assert_eq!(read(&session, "c"), "now\n");
    session.take();
    has_done(&mut session, "rm a c");
    assert_eq!(session.commit().number("files"), 0);
}

#[test]
fn a_commit_counts_the_files_that_the_branch_has_changed() {
    let mut guest = Guest::launch();
    for name in ["ash", "birch", "cedar"] {
        guest.does(&format!("put {name} 10 1"));
    }
    guest.session.take();
    assert_eq!(guest.session.commit().number("files"), 0);
    guest.session.take();
    guest.does("put ash 20 2");
    guest.session.take();
    guest.does("put birch 20 2");
    // Again is not one more.
    guest.does("put ash 30 3");
    let committed = guest.session.commit();
    assert_eq!(committed.number("files"), 2, "{committed}");
}

#[test]
fn output_that_was_given_from_outside_is_not_taken_back() {
    let place = Place::new();
    let script = "exec \"$0\" -- /bin/sh >out 2>>err 7>log";
    let mut session = Launch::bare("/bin/sh")
        .place(&place)
        .args(["-c", script])
        .arg(&binaries::tools().snapshot_launch)
        .piped();
    let says = |session: &mut PipedSession, word: &str| {
        session.send(&format!(
            "echo {word}; echo {word} >&2; echo {word} >&7; echo {word} >own"
        ));
        let own = session.place().work().join("own");
        let word = format!("{word}\n");
        session.wait_until(&word, || {
            fs::read_to_string(&own).is_ok_and(|text| text == word)
        });
    };
    says(&mut session, "one");
    session.take();
    says(&mut session, "two");
    session.end_branch(Ending::Kill);
    session.wait_until("its own file is back", || {
        fs::read_to_string(place.work().join("own")).is_ok_and(|text| text == "one\n")
    });
    says(&mut session, "three");
    assert_eq!(read(&session, "out"), "one\ntwo\nthree\n");
    assert_eq!(read(&session, "log"), "one\ntwo\nthree\n");
    assert!(read(&session, "err").ends_with("three\n"));
}

#[test]
fn before_the_first_take_there_is_no_filter_and_after_a_commit_files_still_work() {
    let mut guest = Guest::launch();
    let live = guest.session.live_pid();
    let filters = |pid| snapshot_tests::process::status(pid, "Seccomp_filters");
    let before = filters(live);
    guest.does("put ash 10 1");
    assert_eq!(filters(live), before);
    guest.session.take();
    guest.does("put ash 10 2");
    guest.session.commit();
    for operation in ["put ash 10 3", "unlink ash", "deep fir 3", "clear fir"] {
        guest.does(operation);
    }
    // One filter is enough for any number of takes.
    let with_one = filters(live);
    for _ in 0..3 {
        guest.session.take();
        guest.does("put ash 10 4");
    }
    assert_eq!(filters(live), with_one);
}

#[test]
fn a_session_that_is_killed_leaves_files_as_the_program_left_them() {
    let mut guest = Guest::launch();
    guest.does("put ash 10 1");
    guest.session.take();
    guest.does("put ash 20 2");
    guest.does("create birch 5 1");
    let now = guest.picture();
    guest.session.signal(snapshot_tests::Signal::SIGKILL);
    guest.session.wait_gone();
    guest.assert_same_tree("after the session", &now);
}

#[test]
fn a_session_that_ends_by_a_signal_leaves_files_and_nothing_of_its_own() {
    let mut guest = Guest::launch();
    guest.does("put ash 10 1");
    guest.does("put birch 10 1");
    guest.session.take();
    guest.does("put ash 20 2");
    guest.does("unlink birch");
    let now = guest.picture();
    guest.session.signal(snapshot_tests::Signal::SIGTERM);
    guest.session.wait_gone();
    guest.assert_same_tree("after the session", &now);
    guest.await_own_links();
}

#[test]
fn an_exit_with_a_commit_keeps_the_branch() {
    let place = Place::new();
    let mut session = Launch::program("/bin/sh")
        .place(&place)
        .flag("--on-exit")
        .flag("commit")
        .piped();
    has_done(&mut session, "echo then >a");
    session.take();
    has_done(&mut session, "echo now >a");
    session.send("exit 0");
    assert!(session.wait_gone().success());
    assert_eq!(read(&session, "a"), "now\n");
}
