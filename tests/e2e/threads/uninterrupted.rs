//! After a take, a call that changes files returns no EINTR that it would not have returned
//! without a snapshot, though a signal may meet the question to the journal.
//! `guests/uninterrupted.c` makes the calls.

use snapshot_tests::{Launch, PipedSession};

/// How often the guest makes each of its twenty calls.
const FEW: usize = 500;
const MANY: usize = 1000;

fn start() -> PipedSession {
    let mut session = Launch::guest_in_c("uninterrupted").piped();
    session.next_line("it is up", |line| line == "ready");
    session
}

/// None of so many calls fails.
fn storm(session: &mut PipedSession, rounds: usize) {
    let answer = session.ask(&format!("storm {rounds}"));
    let numbers: Vec<usize> = answer
        .split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect();
    let [signals, calls, interrupted, others] = numbers[..] else {
        panic!("four numbers: {answer}");
    };
    assert!(signals > rounds / 10, "no storm: {signals} signals");
    assert_eq!(calls, rounds * 20);
    assert_eq!([interrupted, others], [0, 0], "of {calls} calls");
}

#[test]
fn files_are_changed_through_a_storm_of_signals() {
    let mut session = start();
    storm(&mut session, FEW);
    session.take();
    storm(&mut session, MANY);
    session.revert();
    storm(&mut session, FEW);
}

#[test]
fn a_fifo_is_still_interrupted() {
    let mut session = start();
    assert_eq!(session.ask("fifo"), "EINTR");
    session.take();
    assert_eq!(session.ask("fifo"), "EINTR");
}

#[test]
fn the_program_finds_its_own_handlers() {
    let mut session = start();
    for _ in 0..2 {
        session.ask("handler");
        session.ask("replace");
        session.ask("handler");
        session.take();
    }
    session.revert();
    session.ask("replace");
    session.ask("handler");
}
