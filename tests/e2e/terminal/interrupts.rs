//! Ctrl+C never kills a snapshot, however often and whenever it is pressed; nor do the
//! signals that usually end a program.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use snapshot_tests::terminal::{CTRL_C, PREFIX};
use snapshot_tests::{Launch, PipedSession, Seed, Signal, binaries, deadline, process};

/// Longer than what the tool takes for one mash of keys.
const BETWEEN_PRESSES: Duration = Duration::from_millis(250);

/// How many times a hand hammers, and how fast: fifty in a second.
const HAMMERED: u32 = 50;
const HAMMER: Duration = Duration::from_millis(20);

/// Hammers fifty times in a second. False if this machine could not keep the rhythm: then it
/// was no hammering, and the test has nothing to say.
fn hammer(mut press: impl FnMut()) -> bool {
    let mut steady = true;
    let mut last = Instant::now();
    for _ in 0..HAMMERED {
        press();
        steady &= last.elapsed() < Duration::from_millis(60);
        last = Instant::now();
        deadline::pace(HAMMER);
    }
    steady
}

/// Runs a round of hammering until the machine has kept the rhythm in one.
fn steadily(mut round: impl FnMut() -> bool) {
    for _ in 0..10 {
        if round() {
            return;
        }
    }
    panic!("this machine never got fifty presses into a second");
}

#[test]
fn fifty_presses_in_a_terminal_revert_once_and_the_program_lives() {
    steadily(|| {
        let mut session = Launch::commander().terminal();
        session.ask("set key before");
        session.take();
        session.ask("set key after");
        let steady = hammer(|| session.type_in(CTRL_C));
        if !steady {
            return false;
        }
        session.next("reverted");
        assert_eq!(session.ask("get key"), "before");
        assert_eq!(session.events_named("reverted").len(), 1);

        // A later press is the program's own again.
        deadline::pace(BETWEEN_PRESSES);
        session.type_in(CTRL_C);
        assert_eq!(session.wait_gone().signal(), Some(libc::SIGINT));
        session.assert_sane();
        true
    });
}

/// Fifty interrupts in a second, sent by `press`, are one revert, and the program lives.
fn fifty_revert_once(press: impl Fn(&mut PipedSession)) {
    steadily(|| {
        let mut session = Launch::commander().piped();
        session.ask("set key before");
        session.take();
        session.ask("set key after");
        if !hammer(|| press(&mut session)) {
            return false;
        }
        session.next("reverted");
        assert_eq!(session.ask("get key"), "before");
        assert_eq!(session.events_named("reverted").len(), 1);
        true
    });
}

#[test]
fn fifty_interrupts_to_the_launcher_revert_once_and_the_program_lives() {
    fifty_revert_once(|session| process::send(session.launcher_pid(), Signal::SIGINT));
}

#[test]
fn fifty_interrupts_to_the_live_process_revert_once_and_the_program_lives() {
    fifty_revert_once(|session| session.signal_live(Signal::SIGINT));
}

#[test]
fn hammering_costs_one_snapshot_of_several() {
    steadily(|| {
        let mut session = Launch::commander().piped();
        for _ in 0..3 {
            session.take();
        }
        let launcher = session.launcher_pid();
        if !hammer(|| process::send(launcher, Signal::SIGINT)) {
            return false;
        }
        assert_eq!(session.next("reverted").number("depth"), 2);
        assert_eq!(session.ask("ping"), "pong");
        assert_eq!(session.list().number("depth"), 2);
        true
    });
}

/// A commander with a handler of its own for SIGINT and this many snapshots.
fn guarded(snapshots: u32) -> PipedSession {
    let mut session = Launch::commander().piped();
    session.ask("handle INT sigaction");
    session.ask("fill 10");
    for _ in 0..snapshots {
        session.take();
    }
    session
}

#[test]
fn a_press_during_a_take_reverts_and_loses_nothing() {
    let mut seed = Seed::new();
    let mut session = guarded(1);
    for round in 1..=20 {
        let launcher = session.launcher_pid();
        session.signal_live(Signal::SIGUSR1);
        seed.idle(Duration::from_millis(3));
        process::send(launcher, Signal::SIGINT);
        session.wait_for_count("reverted", round);
        deadline::pace(BETWEEN_PRESSES);
        assert_eq!(session.ask("ping"), "pong");
        assert_eq!(session.ask("seen INT"), "0", "round {round}");
        // In whichever order they came: one more, and one gone. A request that the live
        // process had not even noticed when it was ended may have gone with it.
        match session.list().number("depth") {
            0 => drop(session.take()),
            depth => assert_eq!(depth, 1, "round {round}"),
        }
    }
}

#[test]
fn a_press_during_a_revert_loses_nothing() {
    let mut seed = Seed::new();
    let mut session = guarded(0);
    for round in 1..=15 {
        for _ in 0..3 {
            session.take();
        }
        let (live, launcher) = (session.live_pid(), session.launcher_pid());
        process::send(live, Signal::SIGKILL);
        seed.idle(Duration::from_millis(3));
        process::send(launcher, Signal::SIGINT);
        session.next("reverted");
        deadline::pace(BETWEEN_PRESSES);
        assert_eq!(session.ask("ping"), "pong");
        assert_eq!(session.ask("seen INT"), "0", "round {round}");
        // The press belonged to the branch that died, or to the one after it.
        let depth = session.list().number("depth");
        assert!(depth == 1 || depth == 2, "round {round}: depth {depth}");
        assert!(session.command("commit", &[]).success());
    }
}

#[test]
fn a_press_while_the_tool_prints_loses_nothing() {
    let mut seed = Seed::new();
    let mut session = Launch::commander().terminal();
    session.ask("handle INT sigaction");
    session.take();
    for round in 1..=15 {
        session.type_in(&format!("{PREFIX}s"));
        session.next("taken");
        session.type_in(&format!("{PREFIX}l"));
        seed.idle(Duration::from_millis(2));
        session.type_in(CTRL_C);
        assert_eq!(session.next("reverted").number("depth"), 1, "round {round}");
        assert_eq!(session.ask("seen INT"), "0", "round {round}");
        deadline::pace(BETWEEN_PRESSES);
    }
}

/// The tool with its stderr in a pipe to `reader`, a command of the shell, and all else
/// as usual.
fn with_stderr_read_by(reader: &str) -> PipedSession {
    let script = format!(
        "exec 3>&1; {{ head -c 70000 /dev/zero >&2 & exec \"$0\" -- \"$1\"; }} 2>&1 1>&3 | {reader}"
    );
    Launch::bare("sh")
        .args(["-c", &script])
        .arg(&binaries::tools().snapshot_launch)
        .arg(binaries::guest("commander"))
        .piped()
}

#[test]
fn a_reader_of_stderr_who_is_gone_or_asleep_ends_nothing() {
    for reader in ["true", "sleep 1000"] {
        let mut session = with_stderr_read_by(reader);
        session.ask("set key before");
        for _ in 0..3 {
            session.take();
        }
        session.ask("set key after");
        session.interrupt();
        assert_eq!(session.ask("get key"), "before", "{reader}");
        let launcher = session.launcher_pid();
        process::send(launcher, Signal::SIGTERM);
        session.wait_until("the launcher's end", || !process::is_alive(launcher));
    }
}

#[test]
fn deadly_signals_to_the_live_process_cost_one_snapshot_each() {
    let mut session = Launch::commander().piped();
    let signals = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    for _ in signals {
        session.take();
    }
    for (signal, left) in signals.into_iter().zip([2, 1, 0]) {
        session.signal_live(signal);
        let reverted = session.next("reverted");
        assert_eq!(reverted.number("depth"), left, "{signal}");
        assert_eq!(session.ask("ping"), "pong");
    }
}

#[test]
fn deadly_signals_to_the_launcher_end_the_session_at_any_depth() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        for depth in [0, 2] {
            let mut session = Launch::commander().piped();
            for _ in 0..depth {
                session.take();
            }
            session.ask("ping");
            session.signal(signal);
            let status = session.wait_gone();
            assert_eq!(status.signal(), Some(signal as i32), "{signal} {status}");
            let finished = session.next("finished");
            assert_eq!(finished.number("signal"), i64::from(signal as i32));
            assert!(session.events_named("reverted").is_empty());
        }
    }
}

#[test]
fn a_program_that_ignores_the_launchers_end_ends_all_the_same() {
    let mut session = Launch::commander().piped();
    for signal in ["TERM", "HUP", "INT", "QUIT"] {
        session.ask(&format!("ignore {signal} sigaction"));
    }
    session.take();
    session.signal(Signal::SIGTERM);
    assert_eq!(session.wait_gone().signal(), Some(libc::SIGTERM));
}

#[test]
fn presses_at_random_moments_leave_a_whole_program() {
    // Takes, presses and kills in any order: it always answers, and it is always one.
    let mut seed = Seed::new();
    let mut session = guarded(0);
    let sum = session.ask("sum");
    for round in 0..40 {
        let (live, launcher) = (session.live_pid(), session.launcher_pid());
        if session.list().number("depth") == 0 {
            session.take();
        }
        for _ in 0..3 {
            let (pid, signal) = *seed.pick(&[
                (live, Signal::SIGUSR1),
                (launcher, Signal::SIGUSR1),
                (launcher, Signal::SIGINT),
            ]);
            process::send(pid, signal);
            seed.idle(Duration::from_millis(2));
        }
        // Held presses are decided by then.
        deadline::pace(BETWEEN_PRESSES);
        assert_eq!(session.ask("sum"), sum, "round {round}");
        assert!(process::is_alive(session.live_pid()), "round {round}");
    }
    // Also where a press in the middle of a take begins a revert with the take's report.
    assert!(!session.stderr().contains("no room for a task"));
}
