//! The library: the same scenes under the launcher and without one.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use snapshot_tests::deadline::Output;
use snapshot_tests::{Faults, Launch, Signal, binaries, deadline, process};

/// Plays a scene of the guest, under the launcher or alone, to its end.
fn play(scene: &str, under_launcher: bool) -> Output {
    let launch = if under_launcher {
        Launch::guest("library")
    } else {
        Launch::bare(binaries::guest("library"))
    };
    launch.arg(scene).piped().finish()
}

/// Plays a scene both ways, and compares what it saw. `promised` is what differs.
fn both(scene: &str, expected: &[&str]) {
    for under_launcher in [true, false] {
        let output = play(scene, under_launcher);
        let promised = if under_launcher { "Session" } else { "Alone" };
        let expected: Vec<String> = expected
            .iter()
            .map(|line| line.replace("PROMISED", promised))
            .collect();
        let seen: Vec<&str> = output.stdout.lines().collect();
        assert_eq!(
            seen, expected,
            "under the launcher: {under_launcher}\n{output:?}"
        );
        assert!(output.success(), "{output:?}");
    }
}

#[test]
fn there_and_back() {
    both(
        "back",
        &[
            "begin PROMISED depth 0 false",
            "live #1 depth 1 true",
            r#"memory ["first", "second"]"#,
            "back at #1: the branch was given up",
            "promised PROMISED",
            r#"memory ["first"]"#,
            "end depth 0 false",
        ],
    );
}

#[test]
fn buffered_output_is_printed_once() {
    for under_launcher in [true, false] {
        let output = play("buffered", under_launcher);
        for text in ["rust-buffer ", "c-buffer "] {
            assert_eq!(output.stdout.matches(text).count(), 1, "{output:?}");
        }
        assert!(output.stdout.ends_with("end\n"), "{output:?}");
    }
}

#[test]
fn back_to_an_older_one() {
    both(
        "nested",
        &[
            "live #1 depth 1 of [1]",
            "live #2 depth 2 of [1, 2]",
            "live #3 depth 3 of [1, 2, 3]",
            "back at #1 with [] of []",
            "end depth 0",
        ],
    );
}

#[test]
fn the_innermost_first() {
    both(
        "innermost",
        &[
            "back at #3 of [1, 2]",
            "back at #2 of [1]",
            "back at #1 of []",
            "end depth 0",
        ],
    );
}

#[test]
fn back_from_any_end() {
    both(
        "crash",
        &["the branch was killed by SIGABRT; memory 1", "end depth 0"],
    );
    both(
        "exit",
        &["the branch exited with status 5; memory 1", "end depth 0"],
    );
    both(
        "panic",
        &["the branch exited with status 101; memory 1", "end depth 0"],
    );
}

#[test]
fn commit_ends_all_snapshots() {
    both(
        "commit",
        &[
            "before depth 2",
            "after depth 0 false",
            "revert says Err(NoSuchSnapshot)",
        ],
    );
}

#[test]
fn drop_ends_one() {
    both(
        "drop",
        &[
            "left [2] depth 1",
            "again Err(NoSuchSnapshot)",
            "gone Err(NoSuchSnapshot)",
            "back at #2 of []",
        ],
    );
}

#[test]
fn without_a_snapshot_nothing_happens() {
    both(
        "none",
        &[
            "revert says Err(NoSuchSnapshot)",
            "depth 0 of []",
            "commit is content",
        ],
    );
}

#[test]
fn every_thread_comes_back_whichever_takes_the_snapshot() {
    both(
        "threads",
        &[
            "count 1",
            "live #1 count 2",
            "live #1 count 3",
            "back at #1 count 2",
            "worker live #2 at 2",
            "worker count 3",
            "worker back at #2 at 2",
            "count 3",
        ],
    );
}

#[test]
fn fifty_times_among_threads_that_never_stop() {
    both("crowd", &["end after fifty, and the sums agree"]);
}

#[test]
fn a_child_of_the_program_is_not_the_live_process() {
    for under_launcher in [true, false] {
        let output = play("forked", under_launcher);
        assert!(output.success(), "{output:?}");
        assert!(
            output
                .stdout
                .contains("child: Err(NotTheLiveProcess)\nchild: Err("),
            "{output:?}"
        );
        assert!(output.stdout.contains("parent depth 1\n"), "{output:?}");
    }
}

#[test]
fn a_hundred_times() {
    both("again", &["end after a hundred"]);
}

#[test]
fn events_say_that_the_program_asked() {
    let mut session = Launch::guest("library").arg("label").piped();
    let taken = session.next("taken");
    assert_eq!(taken.text("trigger"), "api");
    assert_eq!(taken.text("label"), "before the merge");
    assert_eq!(
        session.next("committed").0["dropped"],
        serde_json::json!([1])
    );
    assert!(session.wait_gone().success());

    let mut session = Launch::guest("library").arg("back").piped();
    let ended = session.next("ended");
    assert_eq!(ended.text("how"), "revert");
    assert_eq!(ended.number("id_reverted_to"), 1);
    assert_eq!(session.next("reverted").number("id"), 1);
    assert!(session.wait_gone().success());
}

#[test]
fn the_programs_snapshot_is_everybodys() {
    // Taken by the program, reverted from outside.
    let mut session = Launch::guest("library").arg("threads").piped();
    for (id, threads) in [(1, 2), (2, 2)] {
        let taken = session.next("taken");
        assert_eq!((taken.number("id"), taken.number("threads")), (id, threads));
    }
    assert!(session.wait_gone().success());

    let mut session = Launch::guest("library").arg("handlers").piped();
    session.next_line("it counts", |line| line.starts_with("count 3 "));
    session.take();
    session.next_line("it goes on", |line| line.ends_with("depth 1"));
    session.interrupt();
    session.next_line("back", |line| line.ends_with("depth 0"));
}

#[test]
fn alone_it_can_install_the_handlers() {
    let mut session = Launch::bare(binaries::guest("library"))
        .arg("handlers")
        .piped();
    let count = |line: &str| -> u32 {
        let number = line.split_whitespace().nth(1).expect("count N PID depth D");
        number.parse().expect("a number")
    };
    let pid = |line: &str| -> i32 {
        let number = line.split_whitespace().nth(2).expect("count N PID depth D");
        number.parse().expect("a process id")
    };
    session.next_line("it counts", |line| line.starts_with("count 3 "));
    let root = session.pid();
    process::send(root, Signal::SIGUSR1);
    let line = session.next_line("a snapshot", |line| line.ends_with("depth 1"));
    let (live, at) = (pid(&line), count(&line));
    assert_ne!(live, root, "the child lives on");
    // One level deeper, and back from each by its own end.
    process::send(live, Signal::SIGUSR1);
    let line = session.next_line("a second one", |line| line.ends_with("depth 2"));
    process::send(pid(&line), Signal::SIGINT);
    let line = session.next_line("back from the second", |line| line.ends_with("depth 1"));
    assert_eq!(pid(&line), live);
    session.next_line("it goes on", |line| count(line) > at + 5);
    process::send(live, Signal::SIGKILL);
    let line = session.next_line("back from the first", |line| line.ends_with("depth 0"));
    assert_eq!(pid(&line), root);
    assert!(count(&line) <= at, "{line}: it counts on from the snapshot");
    // At depth 0 an interrupt is its own.
    deadline::pace(Duration::from_millis(250));
    process::send(root, Signal::SIGINT);
    let status = session.wait_gone();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(2)
    );
}

#[test]
fn alone_an_interrupt_right_after_the_fork_kills_no_snapshot() {
    // The first defect, for the orientation that had it: the terminal signals all.
    let mut seed = snapshot_tests::Seed::new();
    let mut session = Launch::bare(binaries::guest("library"))
        .arg("handlers")
        .terminal();
    session.next_line("it counts", |line| line.starts_with("count 3 "));
    let root = session.pid();
    for round in 0..20 {
        process::send(root, Signal::SIGUSR1);
        seed.idle(Duration::from_millis(2));
        if process::is_pending(root, Signal::SIGUSR1) {
            // It would be an interrupt at depth 0, which ends the program by right.
            session.wait_until("the request arrives", || {
                !process::is_pending(root, Signal::SIGUSR1)
            });
        }
        session.next_line("a snapshot or its end", |line| line.ends_with("depth 1"));
        session.type_in("\x03");
        session.next_line("back", |line| line.ends_with("depth 0"));
        assert!(process::is_alive(root), "round {round}");
    }
}

/// Connections that the guest closes, each of which leaves its interest list.
fn hang_up(launch: Launch, scene: &str, count: usize, end: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let server = std::thread::spawn(move || {
        let mut held = Vec::new();
        for _ in 0..count {
            let (mut client, _) = listener.accept().expect("the program connects");
            client.write_all(b"welcome").expect("it has just connected");
            held.push(client);
        }
    });
    let output = launch.arg(scene).arg(&address).piped().finish();
    assert_eq!(output.stdout, format!("{end}\n"), "{output:?}");
    // Nor is a copy taken for a process of the program.
    assert!(!output.stderr.contains("had started"), "{output:?}");
    server.join().expect("all have come");
}

/// A copy that is not needed any more may be there for a moment after the program is back, and
/// holds what the program closes meanwhile.
#[test]
fn what_is_closed_at_once_is_closed() {
    let faults = Faults::default();
    // Longer than the program takes to come back.
    faults.hold_up_newcomers(Duration::from_millis(50));
    let launch = Launch::guest("library").faults(&faults);
    hang_up(launch, "hang_up", 10, "end after ten");
}

/// A snapshot that is taken in the middle of a close would hold it again.
#[test]
fn what_is_closed_during_takes_is_closed() {
    let launch = Launch::guest("library");
    hang_up(launch, "hang_up_meanwhile", 60, "end after sixty");
}
