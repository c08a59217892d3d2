//! A program may count on a hole in its memory. A take leaves no mapping there, and the hole is
//! there after takes and reverts.

use std::fs;

use snapshot_tests::{Launch, PipedSession};

/// The addresses at which the program has something, neighbours taken together.
fn mapped(session: &mut PipedSession) -> Vec<(u64, u64)> {
    let live = session.live_pid();
    let maps = fs::read_to_string(format!("/proc/{live}/maps")).expect("it lives");
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for line in maps.lines() {
        let (range, _) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("two addresses");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (number(start), number(end));
        match ranges.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => ranges.push((start, end)),
        }
    }
    ranges
}

fn new_ranges(before: &[(u64, u64)], after: &[(u64, u64)]) -> Vec<String> {
    after
        .iter()
        .filter(|range| !before.contains(range))
        .map(|(start, end)| format!("{start:x}-{end:x}"))
        .collect()
}

fn takes_leave_nothing(mut session: PipedSession) {
    let before = mapped(&mut session);
    for round in 0..3 {
        session.take();
        let after = mapped(&mut session);
        let new = new_ranges(&before, &after);
        assert!(new.is_empty(), "take {round}: {new:?}");
    }
    session.revert();
    let after = mapped(&mut session);
    let new = new_ranges(&before, &after);
    assert!(new.is_empty(), "the revert: {new:?}");
}

#[test]
fn of_a_program_with_one_thread() {
    let mut session = Launch::guest("transfers").piped();
    session.send("nothing");
    session.next_line("it is up", |line| line == "err nothing");
    takes_leave_nothing(session);
}

#[test]
fn of_a_program_with_threads() {
    let mut session = Launch::guest("transfers").piped();
    session.ask("hold write-pipe");
    takes_leave_nothing(session);
}
