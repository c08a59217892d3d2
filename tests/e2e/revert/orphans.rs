//! No orphans: the test kills any process of a session at any moment. Within a second nothing of
//! the session is left, or it goes on whole.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use snapshot_tests::{Ending, Launch, PipedSession, Seed, Signal, leaks, process};

/// Makes the session busy: takes, reverts and crashes at random moments.
fn trouble(session: &mut PipedSession, seed: &mut Seed) {
    for _ in 0..seed.below(4) {
        let (live, launcher) = (session.live_pid(), session.launcher_pid());
        let (pid, signal) = *seed.pick(&[
            (live, Signal::SIGUSR1),
            (live, Signal::SIGUSR1),
            (launcher, Signal::SIGUSR1),
            (launcher, Signal::SIGINT),
        ]);
        process::send(pid, signal);
        seed.idle(Duration::from_millis(3));
    }
}

/// A commander that no SIGINT ends, with up to three snapshots.
fn some_snapshots(seed: &mut Seed) -> PipedSession {
    let mut session = Launch::commander().piped();
    session.ask("handle INT sigaction");
    for _ in 0..seed.below(4) {
        session.take();
    }
    session
}

#[test]
fn nothing_outlives_a_killed_launcher() {
    let mut seed = Seed::new();
    for _ in 0..25 {
        let mut session = some_snapshots(&mut seed);
        trouble(&mut session, &mut seed);
        session.signal(Signal::SIGKILL);
        assert_eq!(session.wait_gone().signal(), Some(libc::SIGKILL));
    }
}

#[test]
fn nothing_outlives_a_killed_supervisor() {
    let mut seed = Seed::new();
    for _ in 0..25 {
        let mut session = some_snapshots(&mut seed);
        let supervisor = session.supervisor_pid();
        trouble(&mut session, &mut seed);
        process::send(supervisor, Signal::SIGKILL);
        // The session broke, and the launcher says so.
        assert_eq!(session.wait_gone().code(), Some(97));
        let stderr = session.stderr();
        assert!(stderr.contains("error: "), "{stderr}");
    }
}

#[test]
fn a_killed_live_process_comes_back_or_the_session_ends() {
    let mut seed = Seed::new();
    for _ in 0..25 {
        let mut session = some_snapshots(&mut seed);
        trouble(&mut session, &mut seed);
        let live = session.live_pid();
        process::send(live, Signal::SIGKILL);
        // Its number may be the revived one's.
        session.next_event("the killed process is gone", |event| {
            matches!(event.name(), "ended" | "finished")
        });
        // Whatever depth the trouble left: kill it until it ends.
        while session.exit_status().is_none() {
            let live = session.live_pid();
            process::send(live, Signal::SIGKILL);
            seed.idle(Duration::from_millis(4));
        }
        assert_eq!(session.wait_gone().signal(), Some(libc::SIGKILL));
    }
}

#[test]
fn a_launcher_killed_while_it_starts_leaves_nothing() {
    let mut seed = Seed::new();
    for _ in 0..40 {
        let mut session = Launch::commander().piped();
        seed.idle(Duration::from_millis(25));
        session.signal(Signal::SIGKILL);
        assert_eq!(session.wait_gone().signal(), Some(libc::SIGKILL));
    }
}

#[test]
fn a_frozen_copy_never_wakes_by_itself() {
    // Whoever of the two above it dies, it dies; it doesn't become a second program.
    for launcher_dies in [true, false] {
        let mut session = Launch::guest("counter").piped();
        session.next_line("it counts", |line| line.starts_with("count 3 "));
        for _ in 0..3 {
            session.take();
        }
        let frozen: Vec<i32> = (1..=3).map(|id| session.frozen_pid(id)).collect();
        let live = session.own_pid();
        let victim = if launcher_dies {
            session.launcher_pid()
        } else {
            session.supervisor_pid()
        };
        process::send(victim, Signal::SIGKILL);
        session.wait_gone();
        for pid in frozen {
            assert!(!process::is_alive(pid));
        }
        let stdout = session.stdout();
        for line in stdout.lines() {
            assert!(line.ends_with(&format!(" {live}")), "{line}");
        }
    }
}

/// What a branch has started ends with it, though it is never where it was seen.
#[test]
fn a_chain_of_processes_ends_with_its_branch() {
    let mut seed = Seed::new();
    let mut session = Launch::guest_in_c("chain").piped();
    let chain = session.place().work().join("chain");
    for round in 0..40 {
        session.take();
        for _ in 0..8 {
            session.ask("start");
        }
        session.wait_until("the chain runs", || chain.exists());
        seed.idle(Duration::from_millis(3));
        session.end_branch(Ending::Kill);
        // It would write all the time.
        for _ in 0..20 {
            session.ask("ping");
            assert!(!chain.exists(), "the chain of round {round} runs on");
        }
    }
}

#[test]
fn what_the_program_leaves_behind_ends_with_the_session() {
    let mut session = Launch::commander().piped();
    let child: i32 = session
        .ask("spawn setsid sleep 1000")
        .parse()
        .expect("a process id");
    let child = session.outside(child);
    session.ask("fork");
    session.take();
    session.ask("spawn sleep 1000");
    assert!(process::is_alive(child));
    session.signal(Signal::SIGTERM);
    session.wait_gone();
    assert!(!process::is_alive(child));
}

#[test]
fn what_a_program_left_behind_at_its_own_end_ends_as_well() {
    let mut session = Launch::program("sh")
        .args([
            "-c",
            "setsid sleep 1000 >/dev/null 2>&1 & sleep 1001 & exit 4",
        ])
        .piped();
    assert_eq!(session.wait_gone().code(), Some(4));
}

#[test]
fn with_both_guardians_killed_at_once_no_process_is_left() {
    // More than the promise: neither is there to end what they guarded, or to take the
    // socket's name away, but the kernel ends the processes.
    let mut session = Launch::commander().piped();
    for _ in 0..3 {
        session.take();
    }
    // One that has been revived is guarded like one that was spawned.
    session.send("abort");
    session.next("reverted");
    session.ask("ping");
    let (launcher, supervisor) = (session.launcher_pid(), session.supervisor_pid());
    for guardian in [supervisor, launcher] {
        process::send(guardian, Signal::SIGSTOP);
    }
    for guardian in [supervisor, launcher] {
        process::send(guardian, Signal::SIGKILL);
    }
    session.wait_exit();
    let mark = session.mark().to_owned();
    session.wait_until("no process is left", || leaks::processes(&mark).is_empty());
    let socket = session
        .place()
        .runtime()
        .join(format!("cargo-snapshot/{launcher}.sock"));
    let _ = std::fs::remove_file(socket);
}

/// What was meant for a session that has just broken ends nothing: the launcher says what has
/// happened.
#[test]
fn a_broken_session_is_told_although_signals_come() {
    for _ in 0..10 {
        let mut session = Launch::commander().piped();
        session.ask("ping");
        let (launcher, supervisor) = (session.launcher_pid(), session.supervisor_pid());
        // A stopped launcher hears of the signals and of the end at once.
        process::send(launcher, Signal::SIGSTOP);
        process::send(supervisor, Signal::SIGKILL);
        process::send(launcher, Signal::SIGCONT);
        // Until it is reaped its number is no other's.
        while session.exit_status().is_none() {
            for signal in [Signal::SIGUSR1, Signal::SIGUSR2] {
                process::send(launcher, signal);
            }
        }
        assert_eq!(session.wait_gone().code(), Some(97));
        assert!(session.stderr().contains("error: the session broke"));
    }
}
