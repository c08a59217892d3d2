//! Programs with odd threads: deep in recursion, very many, short-lived, inside vfork, with all
//! signals blocked, or without the first thread.

use snapshot_tests::{Event, Launch, PipedSession, Signal, binaries, process};

/// How often a program that changes all the time is snapshotted.
const TAKES: usize = 100;

/// As many of these snapshots are kept at once.
const KEPT: usize = 10;

/// The guest `crowd`, with its arguments.
fn crowd(arguments: &[&str]) -> PipedSession {
    Launch::guest("crowd").args(arguments).piped()
}

/// The number of threads that the event must name: those of the crowd, and the first.
fn assert_threads(taken: &Event, crowd: i64) {
    assert_eq!(taken.number("threads"), crowd + 1, "{taken}");
}

#[test]
fn a_deep_stack_comes_back_whole() {
    let mut session = crowd(&["deep", "1", "64"]);
    session.ask("bottom");
    session.ask("set before");
    assert_threads(&session.take(), 1);
    session.ask("set after");
    // The branch checks every frame on its way up, and is deep down again when it ends.
    session.ask("climb");
    session.ask("bottom");
    session.revert();
    assert_eq!(session.ask("set again"), "before");
    session.ask("bottom");
    session.ask("climb");
}

#[test]
fn a_deep_stack_comes_back_from_its_top() {
    let mut session = crowd(&["deep", "2", "64"]);
    session.ask("bottom");
    session.take();
    for _ in 0..3 {
        // Both threads are on their way when the branch dies, and the request is not left for
        // the next one to read.
        session.ask("leave");
        session.signal_live(Signal::SIGKILL);
        session.next("reverted");
        session.take();
        session.ask("bottom");
    }
    session.ask("climb");
}

#[test]
fn five_hundred_threads_all_come_back() {
    const THREADS: usize = 512;
    let mut session = crowd(&["count", &THREADS.to_string()]);
    session.ask("advance");
    for round in 0..3 {
        session.ask("set before");
        assert_threads(&session.take(), 512);
        session.ask("set after");
        if round > 0 {
            session.ask("advance");
        }
        session.revert();
        assert_eq!(session.ask("set again"), "before");
        assert_eq!(session.ask("advance"), THREADS.to_string());
        let live = session.live_pid();
        assert_eq!(process::thread_ids(live).len(), THREADS + 1);
    }
}

#[test]
fn threads_that_come_and_go_are_no_obstacle() {
    let mut session = crowd(&["spawn", "2"]);
    session.ask("advance");
    for count in 1..=TAKES {
        let taken = session.take();
        assert!(taken.number("threads") >= 3, "{taken}");
        if count % KEPT == 0 {
            session.ask("advance");
            session.revert();
            session.ask("advance");
            session.commit();
        }
    }
}

#[test]
fn children_that_come_and_go_are_no_obstacle() {
    let mut session = Launch::guest_in_c("spawners").piped();
    session.ask("advance");
    for count in 1..=TAKES {
        session.take();
        if count % KEPT == 0 {
            session.ask("advance");
            session.commit();
        }
    }
    session.ask("advance");
    assert!(session.events_named("refused").is_empty());
}

/// Each thread is always about to start a child, to wait for one, or has just been told of
/// its end.
#[test]
fn children_that_come_and_go_are_waited_for_after_a_revert() {
    let mut session = Launch::guest_in_c("spawners").piped();
    session.ask("advance");
    for count in 1..=TAKES {
        session.take();
        if count % 3 == 0 {
            session.ask("advance");
        }
        session.revert();
        if count % KEPT == 0 {
            session.ask("advance");
        }
    }
    session.ask("advance");
    assert!(session.events_named("refused").is_empty());
    assert!(!session.stderr().contains("broken"), "{}", session.stderr());
}

#[test]
fn a_thread_inside_vfork_refuses_and_is_named() {
    let mut session = Launch::guest_in_c("vfork").piped();
    session.ask("advance");
    for round in 1..=2 {
        let thread = session.ask("vfork");
        session.signal_live(Signal::SIGUSR1);
        let refused = session.next_answer();
        assert_eq!(refused.name(), "refused", "{refused}");
        assert_eq!(refused.text("kind"), "thread", "{refused}");
        // By the number that it has outside.
        let inner: i32 = thread.parse().expect("a thread's id");
        let outside = process::thread_ids(session.live_pid())
            .into_iter()
            .find(|&thread| process::inside(thread) == Some(inner))
            .expect("it is there")
            .to_string();
        for named in [outside.as_str(), "forker"] {
            assert!(refused.text("why").contains(named), "{named} in {refused}");
        }
        assert!(!refused.text("help").is_empty(), "{refused}");
        // Nothing has happened to the program, and nothing stays with it.
        session.ask("advance");
        assert_eq!(session.ask("release"), "7");
        assert_eq!(session.take().number("id"), round);
        assert_eq!(
            session.events_named("taken").len(),
            usize::from(round == 2) + 1
        );
        session.ask("advance");
        session.revert();
        session.ask("advance");
    }
    let output = session.command("take", &[]);
    assert!(output.success(), "{output:?}");
}

#[test]
fn threads_that_block_every_signal_come_back() {
    let mut session = crowd(&["blocked", "8"]);
    session.ask("advance");
    let live = session.live_pid();
    let masks = |pid| -> Vec<Option<String>> {
        process::thread_ids(pid)
            .iter()
            .map(|thread| process::status(*thread, "SigBlk"))
            .collect()
    };
    let before = masks(live);
    for _ in 0..5 {
        assert_threads(&session.take(), 8);
        session.ask("advance");
        assert_eq!(masks(live), before);
    }
    for _ in 0..5 {
        session.revert();
        session.ask("advance");
    }
    let live = session.live_pid();
    assert_eq!(masks(live), before);
}

#[test]
fn a_program_without_its_first_thread_comes_back() {
    let mut session = Launch::guest_in_c("leaderless").piped();
    session.next_line("its first thread ends", |line| line == "leaderless");
    session.ask("set before");
    for round in 0..3 {
        session.signal(Signal::SIGUSR1);
        // By its number the kernel shows none of its locks, but by its threads'.
        let named = session.next_taken().list("not_rolled_back");
        assert!(
            named.iter().all(|item| !item.text("why").contains("hides")),
            "{named:?}"
        );
        session.ask("advance");
        session.ask("set after");
        if round == 1 {
            session.signal_live(Signal::SIGKILL);
            session.next("reverted");
        } else {
            session.revert();
        }
        assert_eq!(session.ask("set before"), "before");
        session.ask("advance");
    }
    session.send("exit");
    assert_eq!(session.wait_gone().code(), Some(5));
}

#[test]
fn the_guests_are_right_without_the_tool() {
    for arguments in [
        &["count", "512"][..],
        &["spawn", "2"],
        &["blocked", "8"],
        &["heap"],
        &["handler"],
        &["alternate", "4", "0"],
        &["alternate", "4", "8192"],
    ] {
        let mut session = Launch::bare(binaries::guest("crowd"))
            .args(arguments)
            .piped();
        session.ask("advance");
        session.ask("advance");
    }
    let mut session = Launch::bare(binaries::guest("crowd"))
        .args(["deep", "2", "64"])
        .piped();
    for _ in 0..2 {
        session.ask("bottom");
        session.ask("climb");
    }
    for name in ["vfork", "spawners", "leaderless", "registers", "attributes"] {
        let mut session = Launch::bare_guest_in_c(name).piped();
        session.ask("advance");
        if name == "vfork" {
            session.ask("vfork");
            // Its life goes on while one of its threads is away.
            session.ask("advance");
            assert_eq!(session.ask("release"), "7");
        }
        session.ask("advance");
    }
}
