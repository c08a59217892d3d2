//! Memory that a fork would wipe keeps its bytes over a revert: for the program a revert is no
//! fork. With `--reseed` a revert wipes it. Its guard pages are guards again.

use snapshot_tests::{Launch, PipedSession, binaries};

fn guest(flags: &[&str]) -> PipedSession {
    flags
        .iter()
        .fold(Launch::guest("wiped"), Launch::flag)
        .piped()
}

/// What the program sees of it at first, which tells what this kernel has.
fn whole(session: &mut PipedSession) -> String {
    let seen = session.ask("look");
    let words: Vec<&str> = seen.split(' ').collect();
    let [wiped, beside, locked, droppable, guarded] = words[..] else {
        session.fail(&seen);
    };
    assert_eq!([wiped, beside, locked], ["full"; 3]);
    assert!(["full", "none"].contains(&droppable), "{seen}");
    assert!(["full,closed,full", "none"].contains(&guarded), "{seen}");
    seen
}

#[test]
fn a_child_finds_it_wiped_without_the_tool() {
    let mut session = Launch::bare(binaries::guest("wiped")).piped();
    whole(&mut session);
    assert!(session.ask("child").starts_with("empty full empty "));
}

#[test]
fn it_has_its_bytes_after_each_revert() {
    let mut session = guest(&[]);
    let before = whole(&mut session);
    session.take();
    let inner = session.take().number("id").to_string();
    assert_eq!(session.ask("look"), before, "a take changes nothing");
    session.ask("change");
    session.command("revert", &[&inner, "--keep"]);
    session.next("reverted");
    for _ in 0..2 {
        assert_eq!(session.ask("look"), before);
        // It is what it was: a child finds it wiped.
        assert!(session.ask("child").starts_with("empty full empty "));
        session.ask("change");
        session.revert();
    }
    assert_eq!(session.ask("look"), before);
}

#[test]
fn other_memory_in_its_place_is_left_alone() {
    let mut session = guest(&[]);
    whole(&mut session);
    session.ask("drop");
    session.take();
    session.revert();
    let seen = session.ask("look");
    assert!(seen.starts_with("full empty full "), "{seen}");
}

#[test]
fn it_is_wiped_where_that_is_asked_for() {
    let mut session = guest(&["--reseed"]);
    let before = whole(&mut session);
    session.take();
    assert_eq!(session.ask("look"), before, "the live process is no copy");
    session.revert();
    let seen = session.ask("look");
    assert!(seen.starts_with("empty full empty "), "{seen}");
}
