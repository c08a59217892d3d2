//! Taking: every way to ask for a snapshot gives one, and the program doesn't notice.

use std::time::Duration;

use snapshot_tests::{Launch, Seed, Session, Signal, deadline, process};

#[test]
fn a_signal_to_the_live_process_takes() {
    let mut session = Launch::commander().piped();
    session.ask("set key before");
    session.signal_live(Signal::SIGUSR1);
    let taken = session.next("taken");
    assert_eq!(taken.number("id"), 1);
    assert_eq!(taken.text("trigger"), "signal");
    assert_eq!(session.ask("get key"), "before");
}

#[test]
fn a_signal_to_the_launcher_takes() {
    let mut session = Launch::commander().piped();
    let launcher = session.launcher_pid();
    process::send(launcher, Signal::SIGUSR1);
    let taken = session.next("taken");
    assert_eq!(taken.text("trigger"), "signal");
    assert_eq!(session.ask("ping"), "pong");
}

/// The moments of a take, in their order.
const MOMENTS: [&str; 10] = [
    "asked",
    "heard",
    "signalled",
    "entered",
    "called",
    "parked",
    "looked",
    "frozen",
    "go",
    "running",
];

#[test]
fn a_take_tells_where_its_time_went_to_whoever_asks() {
    let mut session = Launch::commander().flag("--moments").piped();
    process::send(session.launcher_pid(), Signal::SIGUSR1);
    let taken = session.next("taken");
    let at = |moment: &str| taken.0["moments_ns"][moment].as_i64().expect("a number");
    assert!(MOMENTS.map(at).is_sorted(), "{taken}");
    let whole = at("running") - at("asked");
    assert_eq!(taken.number("latency_us"), whole / 1000);
}

#[test]
fn a_program_whose_name_is_no_text_can_be_asked() {
    let name_itself = "import ctypes; ctypes.CDLL(None).prctl(15, b'\\xff\\xfe', 0, 0, 0)";
    let wait = "print('ready', flush=True); input()";
    let mut session = Launch::program("python3")
        .args(["-c", &format!("{name_itself}; {wait}")])
        .piped();
    session.next_line("ready", |line| line == "ready");
    process::send(session.launcher_pid(), Signal::SIGUSR1);
    assert_eq!(session.next("taken").number("id"), 1);
}

#[test]
fn a_signal_to_the_supervisor_or_a_frozen_copy_takes_as_well() {
    // A person picks a process from `ps`; any of the session's means the same.
    let mut session = Launch::commander().piped();
    let supervisor = session.supervisor_pid();
    process::send(supervisor, Signal::SIGUSR1);
    assert_eq!(session.next("taken").number("id"), 1);
    let frozen = session.frozen_pid(1);
    process::send(frozen, Signal::SIGUSR1);
    assert_eq!(session.next("taken").number("id"), 2);
    assert_eq!(session.ask("ping"), "pong");
    assert!(process::is_alive(frozen), "the copy was not woken by it");
}

#[test]
fn snapshots_nest() {
    let mut session = Launch::commander().piped();
    for depth in 1..=5 {
        session.ask(&format!("set depth {depth}"));
        let taken = session.take();
        assert_eq!(taken.number("id"), depth);
        assert_eq!(taken.number("depth"), depth);
        assert!(taken.is_null("label"));
    }
    for depth in (1..=5).rev() {
        session.ask("set depth undone");
        assert_eq!(session.interrupt().number("id"), depth);
        assert_eq!(session.ask("get depth"), depth.to_string());
        // The next press is another one only after a pause.
        deadline::pace(BETWEEN_PRESSES);
    }
}

/// Longer than what the tool takes for one mash of keys.
const BETWEEN_PRESSES: Duration = Duration::from_millis(250);

#[test]
fn the_live_process_stays_the_same_process() {
    let mut session = Launch::commander().piped();
    let questions = ["pid", "parent", "group", "session", "status SigBlk", "fds"];
    let before: Vec<String> = questions.iter().map(|q| session.ask(q)).collect();
    let child = session.ask("spawn sleep 1000");
    for _ in 0..3 {
        session.take();
    }
    let after: Vec<String> = questions.iter().map(|q| session.ask(q)).collect();
    assert_eq!(before, after);
    // The program's own child is still its child.
    session.ask(&format!("kill {child} TERM"));
    let ended = session.ask(&format!("wait {child}"));
    assert!(ended.contains("SIGTERM"), "{ended}");
}

#[test]
fn a_blocking_call_is_not_cut_short() {
    let mut session = Launch::commander().piped();
    session.send("nap 700");
    session.next_line("napping", |line| line == "napping");
    session.take();
    let answer = session.next_line("the nap's end", |line| line.starts_with("ok "));
    let (result, milliseconds) = answer[3..].split_once(' ').expect("two numbers");
    assert_eq!(result, "0", "{answer}: no EINTR");
    let milliseconds: u64 = milliseconds.parse().expect("a number");
    assert!(milliseconds >= 700, "{answer}: not shorter");
    assert!(milliseconds < 1400, "{answer}: not begun again");
}

#[test]
fn two_requests_at_once_make_two_snapshots() {
    let mut session = Launch::commander().piped();
    session.ask("ping");
    for round in 1..=10 {
        let (live, launcher) = (session.live_pid(), session.launcher_pid());
        process::send(live, Signal::SIGUSR1);
        process::send(launcher, Signal::SIGUSR1);
        let taken = session.wait_for_count("taken", 2 * round);
        assert_eq!(taken.len(), 2 * round);
    }
    assert_eq!(session.ask("ping"), "pong");
    assert_eq!(session.events_named("taken").len(), 20);
}

/// Sends SIGUSR1 again and again, each as soon as the one before has been delivered, so
/// that the kernel never merges two; all but the first arrive during a take.
fn storm(session: &mut Session, pid: i32, count: usize) {
    for _ in 0..count {
        process::send(pid, Signal::SIGUSR1);
        let delivered =
            deadline::wait(|| (!process::is_pending(pid, Signal::SIGUSR1)).then_some(()));
        assert!(delivered.is_some(), "the signal stays pending");
    }
    let taken = session.wait_for_count("taken", count);
    assert_eq!(taken.len(), count);
}

#[test]
fn a_request_during_a_take_is_kept_by_the_live_process() {
    let mut session = Launch::commander().piped();
    session.ask("fill 20");
    let live = session.live_pid();
    storm(&mut session, live, 12);
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn a_request_during_a_take_is_kept_by_the_launcher() {
    let mut session = Launch::commander().piped();
    session.ask("fill 20");
    let launcher = session.launcher_pid();
    storm(&mut session, launcher, 12);
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn a_request_during_a_revert_is_kept() {
    let mut session = Launch::commander().piped();
    let mut seed = Seed::new();
    session.ask("fill 10");
    session.take();
    for round in 0..15 {
        let (live, launcher) = (session.live_pid(), session.launcher_pid());
        let taken = session.events_named("taken").len();
        process::send(live, Signal::SIGKILL);
        seed.idle(Duration::from_millis(2));
        process::send(launcher, Signal::SIGUSR1);
        session.next("reverted");
        session.wait_for_count("taken", taken + 1);
        assert_eq!(session.ask("ping"), "pong", "round {round}");
    }
}

#[test]
fn a_request_is_kept_while_the_program_blocks_the_signal() {
    let mut session = Launch::commander().piped();
    session.ask("block USR1");
    session.signal_live(Signal::SIGUSR1);
    session.ask("unblock USR1");
    session.next("taken");
    assert_eq!(session.ask("ping"), "pong");
    assert_eq!(session.events_named("taken").len(), 1);
}

#[test]
fn another_signal_can_be_the_trigger() {
    let mut session = Launch::commander().flag("--signal").flag("USR2").piped();
    session.ask("handle USR1 sigaction");
    // The program's own signal stays its own.
    session.ask("raise USR1");
    assert_eq!(session.ask("seen USR1"), "1");
    session.signal_live(Signal::SIGUSR2);
    assert_eq!(session.next("taken").number("id"), 1);
    let launcher = session.launcher_pid();
    process::send(launcher, Signal::SIGUSR2);
    assert_eq!(session.next("taken").number("id"), 2);
}

#[test]
fn at_start_takes_before_main() {
    let mut session = Launch::commander().flag("--at-start").piped();
    let taken = session.next("taken");
    assert_eq!(taken.number("id"), 1);
    assert_eq!(taken.text("trigger"), "start");
    session.next_line("the first run", |line| line.starts_with("ready "));
    session.ask("set key value");
    session.interrupt();
    // Its main begins a second time.
    session.next_line("the second run", |line| line.starts_with("ready "));
    assert_eq!(session.ask("get key"), "-");
}

#[test]
fn a_report_line_says_what_it_cost() {
    let mut session = Launch::commander().piped();
    session.take();
    session.wait_until_stderr("[snapshot] #1 taken in ");
    let stderr = session.stderr();
    let line = stderr
        .lines()
        .find(|line| line.starts_with("[snapshot] #1 taken in "));
    assert!(line.is_some_and(|line| line.contains(" ms")), "{stderr}");
    assert!(
        !stderr.contains('\x1b'),
        "no colour without a terminal: {stderr}"
    );
    assert!(!session.stdout().contains("[snapshot]"));
}

#[test]
fn a_timer_takes_and_the_oldest_go() {
    let mut session = Launch::commander()
        .flag("--every")
        .flag("40ms")
        .flag("--keep-last")
        .flag("3")
        .piped();
    let taken = session.wait_for_count("taken", 8);
    for (taken, id) in taken.iter().zip(1..) {
        assert_eq!(taken.text("trigger"), "timer");
        assert_eq!(taken.number("id"), id);
        assert!(taken.number("depth") <= 4, "{taken}");
    }
    let dropped = session.wait_for_count("dropped", 4);
    let ids: Vec<i64> = dropped[..4]
        .iter()
        .map(|event| event.number("id"))
        .collect();
    assert_eq!(ids, [1, 2, 3, 4], "the oldest first");
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn a_flag_can_come_from_the_environment_and_the_command_line_wins() {
    let mut session = Launch::commander()
        .env("CARGO_SNAPSHOT_SIGNAL", "USR2")
        .env("CARGO_SNAPSHOT_NAME", "from-the-environment")
        .flag("--name")
        .flag("from-the-command-line")
        .piped();
    let started = session.next("started");
    assert_eq!(started.text("session"), "from-the-command-line");
    session.signal_live(Signal::SIGUSR2);
    session.next("taken");
    // What the user has set is the program's to see as well.
    assert_eq!(session.ask("env CARGO_SNAPSHOT_SIGNAL"), "USR2");
}

/// The program waits for two seconds, and in the middle of that `ask` asks for snapshots.
fn waits_two_seconds(ask: impl Fn(&mut snapshot_tests::PipedSession)) {
    let mut session = Launch::commander().piped();
    session.ask("thread");
    session.send("poll 2000");
    session.next_line("polling", |line| line == "polling");
    for count in 1..=3 {
        deadline::pace(Duration::from_millis(400));
        ask(&mut session);
        session.wait_for_count("taken", count);
    }
    let end = session.next_line("the end of it", |line| line.starts_with("ok "));
    let words: Vec<&str> = end.split(' ').collect();
    let ["ok", "0", milliseconds] = words[..] else {
        panic!("{end}");
    };
    let milliseconds: u32 = milliseconds.parse().expect("a number");
    assert!((2000..2250).contains(&milliseconds), "{end}");
}

#[test]
fn a_wait_for_so_long_goes_on_by_command() {
    waits_two_seconds(|session| assert!(session.command("take", &[]).success()));
}

#[test]
fn a_wait_for_so_long_goes_on_by_a_signal_to_the_launcher() {
    waits_two_seconds(|session| session.signal(Signal::SIGUSR1));
}
