//! The harness itself: it finds every kind of leak. With a check that can't fail all other tests
//! would be worth less. And a failure says what the program said.

use snapshot_tests::leaks;
use snapshot_tests::{Launch, Place};

#[test]
fn a_process_left_behind_is_found_and_ended() {
    let script = "setsid sleep 1000 >/dev/null 2>&1 & exit 0";
    let mut session = Launch::bare("sh").args(["-c", script]).piped();
    assert!(session.wait_exit().success());
    let left = leaks::check(session.mark(), session.pid(), &session.place().runtime())
        .expect_err("the sleep outlives the shell");
    assert!(left.contains("sleep"), "{left}");
    assert!(leaks::processes(session.mark()).is_empty());
}

#[test]
fn a_process_without_its_first_thread_is_found_and_ended() {
    let mut session = Launch::bare_guest_in_c("leaderless").piped();
    session.next_line("its first thread ends", |line| line == "leaderless");
    let left = leaks::check(session.mark(), session.pid(), &session.place().runtime())
        .expect_err("the other threads go on");
    assert!(left.contains("guest"), "{left}");
    assert!(!session.wait_exit().success());
}

#[test]
fn a_socket_left_behind_is_found() {
    let place = Place::new();
    let directory = place.runtime().join("cargo-snapshot");
    std::fs::create_dir(&directory).expect("the place is ours");
    let socket = directory.join("12345678.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("the name is free");
    let left = leaks::check("no mark", 12_345_678, &place.runtime())
        .expect_err("the socket and its file are there");
    assert!(left.contains("socket ") && left.contains("file "), "{left}");
    // Another session's number begins with the same digits.
    leaks::check("no mark", 1_234_567, &place.runtime()).expect("that one left nothing");
    drop(listener);
    std::fs::remove_file(socket).expect("it is there");
    leaks::check("no mark", 12_345_678, &place.runtime()).expect("all is gone");
}

#[test]
#[should_panic(expected = "files are left")]
fn a_file_left_behind_fails_the_test() {
    let place = Place::new();
    std::fs::write(place.temporary().join("forgotten"), "").expect("the place is ours");
}

#[test]
#[should_panic(
    expected = "(it has ended: exit status: 70)\nstdout on its way\nstderr broken: a check"
)]
fn a_failure_itself_says_what_the_program_said_last() {
    let script = "echo on its way; echo broken: a check >&2; exit 70";
    let mut session = Launch::bare("sh").args(["-c", script]).piped();
    session.wait_exit();
    session.stderr();
    session.stdout();
    session.fail("it is broken");
}
