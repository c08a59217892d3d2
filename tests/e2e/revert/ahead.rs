//! Reverts that leave the newer snapshots there: the program goes back, and forward again.

use snapshot_tests::{Launch, PipedSession, Signal};

fn commander(flag: &str) -> PipedSession {
    Launch::commander().flag(flag).piped()
}

/// Three snapshots, each with its own memory; the live process has a fourth.
fn three_snapshots() -> PipedSession {
    let mut session = commander("--no-files");
    for key in ["one", "two", "three"] {
        session.ask(&format!("set key {key}"));
        session.take();
    }
    session.ask("set key four");
    session
}

/// Goes to a snapshot, which stays as all others do.
fn go(session: &mut PipedSession, id: u32) {
    let output = session.command("revert", &[&id.to_string(), "--keep", "--ahead"]);
    assert!(output.success(), "{output:?}");
}

fn key(session: &mut PipedSession) -> String {
    session.ask("get key")
}

/// The snapshots in their order, and whether each lies ahead.
fn places(session: &mut PipedSession) -> Vec<(i64, bool)> {
    let list = session.list();
    let snapshots = list.0["snapshots"].as_array().expect("a list has some");
    snapshots
        .iter()
        .map(|of| {
            let id = of["id"].as_i64().expect("each has a number");
            (id, of["ahead"].as_bool().expect("each has a place"))
        })
        .collect()
}

#[test]
fn a_program_goes_back_and_forward() {
    let mut session = three_snapshots();
    let pid = session.ask("pid");
    for (id, expected) in [
        (1, "one"),
        (3, "three"),
        (2, "two"),
        (2, "two"),
        (3, "three"),
        (1, "one"),
    ] {
        go(&mut session, id);
        assert_eq!(key(&mut session), expected);
        session.ask("set key spoilt");
    }
    assert_eq!(session.ask("pid"), pid);
    assert_eq!(places(&mut session), [(1, false), (2, true), (3, true)]);
    assert_eq!(session.list().number("depth"), 1);
}

/// What lies ahead is no place to come back to.
#[test]
fn a_crash_goes_back_to_what_the_program_was_made_from() {
    let mut session = three_snapshots();
    go(&mut session, 1);
    session.ask("set key five");
    session.take();
    assert_eq!(
        places(&mut session),
        [(1, false), (4, false), (2, true), (3, true)]
    );
    session.ask("set key six");
    session.signal_live(Signal::SIGKILL);
    assert_eq!(session.next("reverted").number("id"), 4);
    assert_eq!(key(&mut session), "five");
    session.signal_live(Signal::SIGKILL);
    assert_eq!(session.next("reverted").number("id"), 1);
    assert_eq!(key(&mut session), "one");
    // That is still where it was.
    go(&mut session, 3);
    assert_eq!(key(&mut session), "three");
}

#[test]
fn a_revert_without_it_drops_what_is_newer() {
    let mut session = three_snapshots();
    go(&mut session, 1);
    let output = session.command("revert", &["2", "--keep"]);
    assert!(output.success(), "{output:?}");
    assert_eq!(key(&mut session), "two");
    assert_eq!(places(&mut session), [(1, false), (2, false)]);
}

#[test]
fn it_is_refused_where_files_come_back() {
    let mut session = commander("--pty=never");
    session.ask("set key one");
    session.take();
    session.ask("set key two");
    let output = session.command("revert", &["1", "--keep", "--ahead"]);
    assert!(!output.success(), "{output:?}");
    assert!(output.stderr.contains("--no-files"), "{output:?}");
    assert_eq!(key(&mut session), "two");
}
