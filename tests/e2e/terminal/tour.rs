//! The tour that a first-time user runs, with a terminal and without.

use std::os::unix::process::ExitStatusExt;

use snapshot_tests::terminal::CTRL_C;
use snapshot_tests::{Launch, binaries};

/// The step that a line of the journey tells.
fn step(line: &str) -> Option<u64> {
    line.trim_start()
        .strip_prefix("step ")?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[test]
fn it_ends_by_itself_and_without_the_tool() {
    let output = Launch::bare(binaries::guest("tour"))
        .args(["--steps", "3", "--every", "1"])
        .piped()
        .finish();
    assert!(output.success());
    let steps: Vec<u64> = output.stdout.lines().filter_map(step).collect();
    assert_eq!(steps, [1, 2, 3]);
    assert!(output.stdout.contains("kill -USR1 "));
}

#[test]
fn a_crash_on_the_way_is_undone_and_happens_again() {
    let mut session = Launch::guest("tour")
        .args(["--crash-at", "30", "--every", "20"])
        .piped();
    session.next_line("on the way", |line| step(line) == Some(5));
    session.take();
    let line = session.next_line("it goes on", |line| step(line) > Some(5));
    let first_after = step(&line).expect("a step");
    assert_eq!(
        session.next("ended").number("signal"),
        i64::from(libc::SIGABRT)
    );
    session.next("reverted");
    session.next_line("the end of the branch", |line| line.contains("crash"));
    let line = session.next_line("back on the way", |line| step(line).is_some());
    let again = step(&line).expect("a step");
    assert!(again <= first_after + 1, "{again} follows {first_after}");
    // The same journey leads to the same crash, and nothing is left to go back to.
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGABRT));
}

#[test]
fn in_a_terminal_ctrl_c_goes_back_and_then_ends_it() {
    let mut session = Launch::guest("tour").args(["--every", "50"]).terminal();
    session.wait_for_text("Take a snapshot:");
    session.next_line("on the way", |line| step(line) == Some(3));
    session.command_key("s");
    session.next("taken");
    session.next_line("it goes on", |line| step(line) == Some(10));
    session.type_in(CTRL_C);
    session.next("reverted");
    let line = session.next_line("back on the way", |line| step(line).is_some_and(|s| s < 10));
    assert!(step(&line) >= Some(4), "{line}");
    session.next_line("it goes on", |line| step(line) == Some(10));
    session.type_in(CTRL_C);
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGINT));
    session.assert_sane();
}
