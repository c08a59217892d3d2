//! The seven defects of the design that this tool grew out of, a program that froze its
//! own original and forwarded signals to its child. Each test says why it would fail
//! there.

use std::time::{Duration, Instant};

use nix::sys::signal::killpg;
use nix::unistd::Pid;
use snapshot_tests::process::Process;
use snapshot_tests::terminal::CTRL_C;
use snapshot_tests::{
    Event, Launch, PipedSession, Place, Seed, Session, Signal, deadline, leaks, process,
};

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

/// Defect 1: between `fork()` and installing its SIGINT handler the original could be
/// killed by a Ctrl+C. Here a press comes at a random moment around a take, the window
/// included, while a snapshot exists, and ends no more than a branch: there the
/// original was killed, and the program with it.
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
        match seed.below(3) {
            0 => process::send(live, Signal::SIGINT),
            1 => process::send(launcher, Signal::SIGINT),
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
        assert_eq!(session.events_named("reverted").len(), round);
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

/// Defect 1, where the program begins: as soon as there is a snapshot, and be it of a
/// moment ago, a press ends a branch and not the program. There the handler that
/// protects the original came after the fork.
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

/// Defect 2: the terminal signals the whole group, and the original forwarded its own
/// SIGINT to the child that had one already, so that one press counted twice.
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

/// Defect 2 at depth 0: the program's own handler ran twice.
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

/// Defect 2 at depth 0, while the program keeps the signal waiting.
#[test]
fn an_interrupt_of_the_whole_group_is_kept_while_the_program_blocks_it() {
    let mut session = Launch::commander().piped();
    session.ask("handle INT sigaction");
    for count in 1..=5 {
        session.ask("block INT");
        signal_group(&mut session, Signal::SIGINT);
        deadline::pace(SETTLED);
        session.ask("unblock INT");
        deadline::pace(SETTLED);
        assert_eq!(session.ask("seen INT"), count.to_string());
    }
}

/// Defect 2 as it happened: Ctrl+C in a terminal that nobody stands before.
#[test]
fn ctrl_c_in_a_terminal_counts_once() {
    for pty in ["never", "always"] {
        let mut session = Launch::commander().flag("--pty").flag(pty).terminal();
        session.ask("handle INT sigaction");
        for _ in 0..3 {
            session.take();
        }
        for level in (0..3).rev() {
            session.type_in(CTRL_C);
            assert_eq!(session.next("reverted").number("depth"), level);
            deadline::pace(SETTLED);
            assert_eq!(session.list().number("depth"), level, "--pty {pty}");
        }
        session.type_in(CTRL_C);
        session.next_line("its handler", |line| line.contains("own signal 02"));
        deadline::pace(SETTLED);
        assert_eq!(session.ask("seen INT"), "1", "--pty {pty}");
    }
}

/// Defect 3: only SIGINT was guarded. TERM, HUP or QUIT killed the frozen original as
/// well as its child. Here they end the live branch, whoever of the two gets them.
#[test]
fn signals_that_end_the_live_process_never_kill_a_snapshot() {
    let mut session = Launch::commander().piped();
    session.ask("set key kept");
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        for to_frozen in [false, true] {
            session.take();
            let below = session.take();
            let frozen = session.frozen_pid(below.number("id"));
            session.ask("set key lost");
            let target = if to_frozen { frozen } else { session.live_pid() };
            process::send(target, signal);
            let ended = session.next("ended");
            assert_eq!(ended.text("how"), "signal", "{signal}");
            assert_eq!(ended.number("signal"), signal as i64);
            let reverted = session.next("reverted");
            assert_eq!(reverted.number("id"), below.number("id"), "{signal}");
            assert_eq!(reverted.pid("live_pid"), frozen, "the copy itself goes on");
            assert_eq!(session.ask("get key"), "kept", "{signal}");
            assert_eq!(depth(&mut session), 1);
            // The older one has not been touched either.
            session.signal_live(signal);
            session.next("reverted");
            assert_eq!(session.ask("get key"), "kept", "{signal}");
        }
    }
}

/// Defect 3, the two that stop and continue: a stopped program is not a lost one.
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

/// The pid at the end of each line that `counter` has printed.
fn writers(session: &PipedSession) -> Vec<i32> {
    let stdout = session.stdout();
    let complete = &stdout[..stdout.rfind('\n').map_or(0, |end| end + 1)];
    complete
        .lines()
        .map(|line| {
            let pid = line.strip_prefix("count ").and_then(|l| l.split_once(' '));
            let (_, pid) = pid.unwrap_or_else(|| panic!("two have written at once: {line:?}"));
            pid.parse().expect("a line ends with a pid")
        })
        .collect()
}

/// Defect 4: `revert_to_snapshot` killed the outermost child first, so the root went on
/// while the deeper ones still ran. Here the deeper ones are gone before the oldest is
/// awake: no process but one runs, and their lines never mix.
#[test]
fn a_revert_to_the_oldest_never_has_two_awake() {
    let mut session = Launch::guest("counter").args(["1000000", "1"]).piped();
    let root = session.live_pid();
    let mut expected = vec![root];
    for round in 0..8 {
        let lines = writers(&session).len();
        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(session.take().number("id"));
        }
        let frozen: Vec<i32> = taken.iter().map(|&id| session.frozen_pid(id)).collect();
        let live = session.live_pid();
        session.wait_until("it counts", || true);
        let output = session.command("revert", &[&taken[0].to_string()]);
        assert!(output.success(), "{output:?}");
        let reverted = session.next("reverted");
        assert_eq!(reverted.number("id"), taken[0]);
        assert_eq!(reverted.pid("live_pid"), frozen[0]);
        for pid in frozen[1..].iter().chain([&live]) {
            assert!(!process::is_alive(*pid), "round {round}: {pid} lives on");
        }
        let counting: Vec<i32> = leaks::processes(session.mark())
            .iter()
            .filter(|process| {
                std::fs::read_link(format!("/proc/{}/exe", process.pid))
                    .is_ok_and(|exe| exe.ends_with("counter"))
            })
            .map(|process| process.pid)
            .collect();
        assert_eq!(counting, [frozen[0]], "round {round}");
        expected.push(frozen[0]);
        let enough = deadline::wait(|| {
            let lines = writers(&session);
            let own = lines.iter().filter(|&&pid| pid == frozen[0]).count();
            (own >= 20).then_some(())
        });
        assert!(enough.is_some(), "round {round}: it counts on");
        assert!(writers(&session).len() > lines);
    }
    let mut seen = writers(&session);
    seen.dedup();
    assert_eq!(seen, expected, "one after the other, and nobody else");
}

/// Defect 5: the child left through its exit handlers, which cleaned up files that the
/// original still needed ("file does not exist" after a revert).
#[test]
fn a_revert_runs_no_exit_handler() {
    let place = Place::new();
    let file = place.path("work/needed");
    let name = file.to_str().expect("a plain path").to_owned();
    let mut session = Launch::commander().place(&place).piped();
    session.ask(&format!("atexit {name}"));
    let exists = |session: &mut PipedSession| session.ask(&format!("exists {name}"));

    session.take();
    session.interrupt();
    assert_eq!(exists(&mut session), "true", "after Ctrl+C");
    deadline::pace(BETWEEN_PRESSES);

    session.take();
    session.signal_live(Signal::SIGINT);
    session.next("reverted");
    assert_eq!(exists(&mut session), "true", "after kill -INT");
    deadline::pace(BETWEEN_PRESSES);

    session.take();
    assert!(session.command("revert", &[]).success());
    session.next("reverted");
    assert_eq!(exists(&mut session), "true", "after a revert");

    for ending in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGABRT] {
        session.take();
        session.signal_live(ending);
        session.next("reverted");
        assert_eq!(exists(&mut session), "true", "after {ending}");
    }

    // The handler is there and works: at the true end it does run.
    session.send("exit 0");
    assert!(session.wait_gone().success());
    assert!(!file.exists());
}

/// Defect 6: nobody put the terminal back. A branch that went raw, or gave the terminal
/// to another group, left both so.
#[test]
fn terminal_and_foreground_group_are_back_after_a_raw_branch() {
    for pty in ["auto", "never"] {
        let mut session = Launch::commander().flag("--pty").flag(pty).terminal();
        assert_eq!(session.ask("tty"), "sane");
        assert_eq!(session.ask("foreground"), "mine");
        for ending in ["revert", "signal"] {
            session.take();
            session.ask("raw");
            assert_eq!(session.ask("tty"), "raw");
            if ending == "revert" {
                assert!(session.command("revert", &[]).success());
            } else {
                session.signal_live(Signal::SIGKILL);
            }
            session.next("ended");
            session.next("reverted");
            assert_eq!(session.ask("tty"), "sane", "--pty {pty}, {ending}");
            assert_eq!(session.ask("foreground"), "mine", "--pty {pty}, {ending}");
        }

        session.take();
        // In the background its next read fails, and so does the branch.
        session.ask("ignore TTIN sigaction");
        session.ask("lend-terminal");
        assert_eq!(session.next("ended").number("code"), 101);
        session.next("reverted");
        assert_eq!(session.ask("foreground"), "mine", "--pty {pty}, lent");
        assert_eq!(session.ask("tty"), "sane", "--pty {pty}, lent");
        session.type_in("exit 0\n");
        assert!(session.wait_gone().success());
        session.assert_sane();
    }
}

/// The snapshots' numbers in an answer of `list --json`.
fn numbers(list: &Event) -> Vec<i64> {
    let snapshots = list.0["snapshots"].as_array().cloned().unwrap_or_default();
    let numbers = snapshots.into_iter().map(|one| Event(one).number("id"));
    numbers.collect()
}

/// Defect 7: only descendants of a snapshot knew that it was there. Here a process that
/// is no relative of the program asks the session, before a revert and after it.
#[test]
fn anybody_can_list() {
    let mut session = Launch::commander().piped();
    assert_eq!(numbers(&session.list()), [0_i64; 0]);
    for depth in 1..=3 {
        session.take();
        let list = session.list();
        assert_eq!(numbers(&list), (1..=depth).collect::<Vec<_>>());
        assert_eq!(list.number("depth"), depth);
    }
    let plain = session.command("list", &[]);
    assert!(plain.success());
    for id in ["#1", "#2", "#3"] {
        assert!(plain.stdout.contains(id), "{}", plain.stdout);
    }
    session.interrupt();
    assert_eq!(numbers(&session.list()), [1, 2]);
    // The live process, now one that was frozen, takes what others know of at once.
    session.take();
    assert_eq!(numbers(&session.list()), [1, 2, 4]);
    // While the program is busy, and asks nobody for anything.
    session.send("nap 1500");
    session.next_line("napping", |line| line == "napping");
    let begin = Instant::now();
    assert_eq!(numbers(&session.list()), [1, 2, 4]);
    assert!(begin.elapsed() < Duration::from_millis(1400));
}
