//! Other processes with the program's objects. The tool finds each of them, whatever its number,
//! name and state, and never mistakes the session's own copies for one.

use snapshot_tests::{Event, Launch, PipedSession};

fn guest() -> PipedSession {
    Launch::guest_in_c("holders").piped()
}

/// How many items of this kind another process is said to have.
fn elsewhere(taken: &Event, kind: &str) -> usize {
    let named = taken.list("not_rolled_back");
    let is_it =
        |item: &&Event| item.text("kind") == kind && item.text("why").contains("another process");
    named.iter().filter(is_it).count()
}

/// What each child has is named, and stays as the branch left it.
fn all_is_named_and_stays(session: &mut PipedSession, children: usize) {
    for round in 1..=2 {
        let taken = session.take();
        for kind in ["shared-memory", "eventfd", "pipe"] {
            assert!(
                elsewhere(&taken, kind) >= children,
                "{kind}, round {round}: {taken}"
            );
        }
        session.ask("change");
        let changed = session.ask("look");
        session.revert();
        assert_eq!(session.ask("look"), changed, "round {round}");
    }
}

/// In a namespace of its own the program's first children have numbers that are
/// descriptors' as well.
#[test]
fn a_child_is_found_whatever_its_number() {
    let mut session = guest();
    for _ in 0..16 {
        session.ask("child");
    }
    all_is_named_and_stays(&mut session, 16);
}

#[test]
fn a_child_is_found_whatever_it_calls_itself() {
    for name in ["#12 x", "snap-keeper"] {
        let mut session = guest();
        session.ask(&format!("child {name}"));
        all_is_named_and_stays(&mut session, 1);
    }
}

/// Its first thread has ended, and `/proc` shows nothing of what the process has there.
#[test]
fn a_child_is_found_by_a_thread_that_is_not_its_first() {
    let mut session = guest();
    session.ask("leaderless");
    all_is_named_and_stays(&mut session, 1);
}

/// A copy that lacks memory is thrown away, and takes its time to go: the next one does not
/// take it for another process.
#[test]
fn a_copy_that_is_thrown_away_is_no_other_process() {
    let mut session = guest();
    session.ask("own");
    session.ask("large");
    for round in 0..8 {
        session.ask("spoil");
        let taken = session.take();
        for kind in ["eventfd", "pipe", "epoll"] {
            assert_eq!(elsewhere(&taken, kind), 0, "round {round}, {kind}: {taken}");
        }
        session.ask("use");
        session.revert();
        session.ask("use");
    }
}

/// Each child is named, with what is between it and the program.
#[test]
fn a_child_is_named_with_what_it_shares_and_whether_it_is_traced() {
    let mut session = guest();
    session.ask("child");
    session.ask("trace");
    session.ask("share");
    let named = session.take().list("not_rolled_back");
    let children: Vec<&Event> = named
        .iter()
        .filter(|item| item.text("kind") == "child")
        .collect();
    assert_eq!(children.len(), 3, "{named:?}");
    let with = |text: &str| {
        let with = children
            .iter()
            .filter(|item| item.text("why").contains(text));
        with.count()
    };
    assert_eq!(with("lives on"), 3);
    assert_eq!(with("the program traces it"), 1, "{children:?}");
    assert_eq!(
        with("it shares the table of descriptors and the working directory"),
        1,
        "{children:?}"
    );
    session.revert();
    session.ask("look");
}
