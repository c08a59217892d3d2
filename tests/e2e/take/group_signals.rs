//! Signals that reach several processes of a session at once, or at a random moment. A signal to
//! the whole group is one event, and every moment works.

use std::time::Duration;

use nix::sys::signal::killpg;
use nix::unistd::Pid;
use snapshot_tests::process::Process;
use snapshot_tests::{Launch, PipedSession, Seed, Session, Signal, deadline, process};

/// Longer than what the tool takes for one mash of keys.
const BETWEEN_PRESSES: Duration = Duration::from_millis(150);

/// Longer than any of the tool's own delays: what has not happened by then won't.
const SETTLED: Duration = Duration::from_millis(300);

/// Sends a signal to launcher, supervisor, program and frozen copies alike, as a
/// terminal does.
fn signal_group(session: &mut PipedSession, signal: Signal) {
    // The launched process leads a session, and so a group, of its own.
    let group = session.pid();
    if session.exit_status().is_none() {
        killpg(Pid::from_raw(group), signal).expect("the group is there");
    }
}

fn depth(session: &mut Session) -> usize {
    let list = session.list();
    list.0["snapshots"].as_array().map_or(0, Vec::len)
}

/// A press comes at a random moment around a take, the window
/// between the fork and the copy's freezing included, while a snapshot exists; it ends no
/// more than a branch, and one branch only.
#[test]
fn no_moment_of_a_take_in_which_an_interrupt_kills_the_original() {
    let mut seed = Seed::new();
    let mut session = Launch::commander().piped();
    session.ask("fill 4");
    session.ask("set key kept");
    let sum = session.ask("sum");
    session.take();
    for round in 1..=30 {
        session.ask("set key lost");
        let reverted = session.events_named("reverted").len();
        let taken = session.events_named("taken").len();
        let (live, launcher) = (session.live_pid(), session.launcher_pid());
        let trigger = *seed.pick(&[live, launcher]);
        process::send(trigger, Signal::SIGUSR1);
        seed.idle(Duration::from_micros(2500));
        let to = *seed.pick(&["the live process", "the launcher", "the group"]);
        match to {
            "the live process" => process::send(live, Signal::SIGINT),
            "the launcher" => process::send(launcher, Signal::SIGINT),
            _ => signal_group(&mut session, Signal::SIGINT),
        }
        session.wait_for_count("reverted", reverted + 1);
        if trigger == launcher {
            // In either order: the launcher keeps what it was asked for.
            session.wait_for_count("taken", taken + 1);
        }
        assert_eq!(session.ask("ping"), "pong", "round {round}");
        assert_eq!(session.ask("sum"), sum, "round {round}");
        deadline::pace(BETWEEN_PRESSES);
        assert_eq!(
            session.events_named("reverted").len(),
            round,
            "one interrupt, to {to}, is one revert"
        );
        let key = session.ask("get key");
        let taken = session.events_named("taken").len() - taken;
        assert_eq!(depth(&mut session), taken, "round {round}: one was used up");
        if taken == 0 {
            // The request was still on its way to the branch when that ended.
            assert_eq!(key, "kept", "round {round}");
        }
        // What the press has left behind must be worth going back to.
        session.command("commit", &[]);
        session.ask("set key kept");
        let taken = session.events_named("taken").len();
        session.signal_live(Signal::SIGUSR1);
        session.wait_for_count("taken", taken + 1);
    }
}

/// Both wait when the program goes on, so the kernel delivers them in one go, one handler
/// on top of the other: a snapshot taken then must not have the interrupt in it.
#[test]
fn a_request_and_an_interrupt_in_the_same_moment_are_one_of_each() {
    let mut session = Launch::commander().piped();
    session.ask("set key kept");
    for round in 1..=5 {
        for _ in 0..2 {
            let taken = session.events_named("taken").len();
            session.signal_live(Signal::SIGUSR1);
            session.wait_for_count("taken", taken + 1);
        }
        let before = depth(&mut session);
        let live = session.live_pid();
        process::send(live, Signal::SIGSTOP);
        let stopped = || Process::look(live).is_some_and(|process| process.state == 'T');
        session.wait_until("it is stopped", stopped);
        process::send(live, Signal::SIGINT);
        process::send(live, Signal::SIGUSR1);
        process::send(live, Signal::SIGCONT);
        session.next("reverted");
        deadline::pace(SETTLED);
        let reverted = session.events_named("reverted").len();
        assert_eq!(reverted, round, "one interrupt is one revert");
        assert_eq!(session.ask("get key"), "kept");
        // The request may have been answered, or have ended with its branch.
        let gone = before.saturating_sub(depth(&mut session));
        assert!(gone <= 1, "round {round}: {gone} were used up");
    }
}

/// Where the program begins: as soon as there is a snapshot, and be it of a moment ago, a
/// press ends a branch and not the program.
#[test]
fn no_moment_after_the_first_snapshot_in_which_an_interrupt_kills_the_original() {
    let mut seed = Seed::new();
    let mut protected = 0;
    for round in 0..40 {
        let mut session = Launch::commander().flag("--at-start").piped();
        // Half of them from the launch on, half from the take on.
        if round % 2 == 0 {
            seed.idle(Duration::from_millis(25));
        } else {
            session.next("taken");
            seed.idle(Duration::from_millis(3));
        }
        signal_group(&mut session, Signal::SIGINT);
        // Either the press came first, and the program had no snapshot yet, or the
        // snapshot came first, and saves it.
        let ended = deadline::wait(|| {
            let reverted = !session.events_named("reverted").is_empty();
            (reverted || session.exit_status().is_some()).then_some(())
        });
        assert!(ended.is_some(), "round {round}: the press did nothing");
        let taken = session.events_named("taken").len();
        if session.exit_status().is_some() {
            assert_eq!(taken, 0, "round {round}: killed with a snapshot");
            continue;
        }
        protected += 1;
        assert_eq!(taken, 1, "round {round}");
        session.next_line("main, again", |line| line.starts_with("ready "));
        assert_eq!(session.ask("ping"), "pong", "round {round}");
    }
    assert!(protected >= 20, "only {protected} rounds had a snapshot");
}

/// Everybody in the group has one, and tells the supervisor.
#[test]
fn an_interrupt_of_the_whole_group_reverts_once() {
    let mut session = Launch::commander().piped();
    for level in 1..=4 {
        session.ask(&format!("set level {level}"));
        session.take();
    }
    for level in (1..=4).rev() {
        let back = usize::try_from(5 - level).expect("a small number");
        signal_group(&mut session, Signal::SIGINT);
        assert_eq!(session.next("reverted").number("id"), level);
        assert_eq!(session.ask("get level"), level.to_string());
        deadline::pace(SETTLED);
        assert_eq!(session.events_named("reverted").len(), back);
        assert_eq!(session.list().number("depth"), level - 1);
    }
}

/// The program has its own, and those of the others are not passed on to it.
#[test]
fn an_interrupt_of_the_whole_group_reaches_the_program_once() {
    let mut session = Launch::commander().piped();
    session.ask("handle INT sigaction");
    // A supervisor and a launcher that forward, and a snapshot that has come and gone.
    session.take();
    session.interrupt();
    for count in 1..=5 {
        deadline::pace(SETTLED);
        signal_group(&mut session, Signal::SIGINT);
        session.next_line("its handler", |line| line.starts_with("own signal 02"));
        deadline::pace(SETTLED);
        assert_eq!(session.ask("seen INT"), count.to_string());
    }
}

/// While the program keeps the signal waiting, two of them would be merged into one.
#[test]
fn an_interrupt_of_the_whole_group_is_kept_while_the_program_blocks_it() {
    let mut session = Launch::commander().piped();
    session.ask("handle INT sigaction");
    for count in 1..=5 {
        session.ask("block INT");
        signal_group(&mut session, Signal::SIGINT);
        // By the answer launcher and supervisor have heard it as well.
        session.list();
        session.ask("unblock INT");
        deadline::pace(SETTLED);
        assert_eq!(session.ask("seen INT"), count.to_string());
    }
}

/// A stopped program is not a lost one, nor is a stopped copy.
#[test]
fn stopping_and_continuing_never_loses_a_snapshot() {
    let mut session = Launch::commander().piped();
    session.ask("set key kept");
    let id = session.take().number("id");
    session.ask("set key lost");
    let frozen = session.frozen_pid(id);
    for target in [session.live_pid(), frozen] {
        for signal in [Signal::SIGTSTP, Signal::SIGSTOP] {
            process::send(target, signal);
            if signal == Signal::SIGSTOP {
                let stopped = || Process::look(target).is_some_and(|p| p.state == 'T');
                session.wait_until("stopped", stopped);
            }
            process::send(target, Signal::SIGCONT);
            assert_eq!(session.ask("get key"), "lost", "{signal}");
            assert!(process::is_alive(frozen), "{signal}");
        }
    }
    // A copy that is still stopped when it is needed.
    process::send(frozen, Signal::SIGSTOP);
    let stopped = || Process::look(frozen).is_some_and(|p| p.state == 'T');
    session.wait_until("stopped", stopped);
    session.interrupt();
    assert_eq!(session.ask("get key"), "kept");
    assert!(session.events_named("dropped").is_empty());
}
