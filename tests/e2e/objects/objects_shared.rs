//! Objects that another process has too, or that belong to somebody else by nature, stay as the
//! dead branch left them. The take says so.

use snapshot_tests::{Event, Launch, PipedSession, binaries, outside};

/// None where Python is absent.
fn guest() -> Option<PipedSession> {
    let python = outside::find("python3")?;
    let guest = binaries::source("shared_with_a_child.py");
    let mut session = Launch::program(python).arg(guest).piped();
    session.next_line("ready", |line| line == "ready");
    Some(session)
}

/// What a child has is named, each kind with its reason, and is not touched by a revert.
#[test]
fn what_a_child_has_stays_shared_and_is_named() {
    let Some(mut session) = guest() else {
        return;
    };
    assert_eq!(session.ask("look"), "3 one one");
    for round in 1..=3 {
        let taken = session.take();
        let named = taken.list("not_rolled_back");
        for (kind, why) in [
            ("eventfd", "another process has it too"),
            ("pipe", "another process has its other end"),
            ("shared-memory", "another process has this memory too"),
            ("pidfd", "it stands for one process"),
            ("child", "lives on"),
        ] {
            let is_it = |item: &Event| item.text("kind") == kind && item.text("why").contains(why);
            assert!(named.iter().any(is_it), "{kind}, {why}: {taken}");
        }
        session.ask("change");
        let changed = session.ask("look");
        session.revert();
        assert_eq!(session.ask("look"), changed, "round {round}");
    }
}

/// An output that the program has opened itself is a file as any other: what the branch has
/// written to it is gone, and the next branch goes on where the snapshot was.
#[test]
fn an_output_that_the_program_has_opened_comes_back() {
    let Some(mut session) = guest() else {
        return;
    };
    session.ask("note before");
    session.take();
    session.ask("note branch");
    session.revert();
    session.ask("note after");
    let notes = session.place().work().join("notes");
    let notes = std::fs::read_to_string(notes).expect("the guest has made it");
    assert_eq!(notes, "before\nafter\n");
}
