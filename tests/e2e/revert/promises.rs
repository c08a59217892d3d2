//! A promised snapshot is never lost. Even if a process is killed, stopped or short of room in
//! the middle of a take or a revert, the program goes on from the snapshot, now or when it can.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use snapshot_tests::deadline::{self, Output};
use snapshot_tests::{Event, Isolation, Launch, PipedSession, Seed, Signal, outside, process};

/// How often the woken copy, the live process or the copy that stays is killed.
const ROUNDS: u64 = 60;

/// A take takes about this long, and so does a revert.
const A_MOMENT: Duration = Duration::from_micros(1500);

/// A commander whose snapshots know `before`.
fn promised(launch: Launch) -> PipedSession {
    let mut session = launch.piped();
    session.ask("set key before");
    session
}

/// The newest snapshot and its frozen copy; a new one where the last was used up.
fn a_snapshot(session: &mut PipedSession) -> (i64, i32) {
    loop {
        if let Some(snapshot) = session.list().list("snapshots").last() {
            return (snapshot.number("id"), snapshot.pid("frozen_pid"));
        }
        session.take();
    }
}

/// Waits until the program runs, and nothing is under way: only then this is refused.
fn is_calm(session: &mut PipedSession) {
    let refused = session.command("drop", &["1000000"]);
    assert!(!refused.success(), "{refused:?}");
}

/// A command of a second terminal, beside what the test does meanwhile.
fn beside(session: &mut PipedSession, arguments: &[&str]) -> JoinHandle<Output> {
    let launcher = session.launcher_pid().to_string();
    let mut all = vec![arguments[0], "-s", &launcher];
    all.extend(&arguments[1..]);
    let mut command = session.place().second_terminal(&all);
    thread::spawn(move || deadline::run(&mut command))
}

/// The live process, and what it takes to see that it is dead although the next one has its
/// number: an open file of `/proc` stays the same process's.
struct Branch {
    pid: i32,
    stat: File,
}

impl Branch {
    fn of(session: &mut PipedSession) -> Self {
        let pid = session.live_pid();
        let stat = File::open(format!("/proc/{pid}/stat")).expect("it lives");
        Self { pid, stat }
    }

    fn is_dead(&self) -> bool {
        let mut text = [0; 512];
        let length = self.stat.read_at(&mut text, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..length]);
        let state = text.rsplit_once(") ").map(|(_, behind)| &behind[..1]);
        matches!(state, None | Some("Z" | "X"))
    }

    /// Waits until it is dead, without a pause: what follows it takes a millisecond.
    fn wait_until_dead(&self, session: &mut PipedSession) {
        session.wait_until("the branch is dead", || (0..1000).any(|_| self.is_dead()));
    }
}

/// What the program knows. A branch that was killed may take the question with it.
fn key(session: &mut PipedSession) -> String {
    for _ in 0..10 {
        let before = session.stdout().lines().count();
        session.send("get key");
        let answer = deadline::wait_for(Duration::from_secs(2), || {
            session.stdout().lines().nth(before).map(str::to_owned)
        });
        if let Some(answer) = answer {
            return answer.trim_start_matches("ok ").to_owned();
        }
    }
    session.fail("it does not answer")
}

/// Where the session has ended although it promised to go on, says so.
fn has_kept_its_promise(session: &mut PipedSession) {
    let lost = session.stderr();
    if lost.contains("no snapshot is left") {
        session.fail("a snapshot was lost");
    }
}

/// A revert that keeps its snapshot and has just ended the branch: the copy that wakes, the
/// branch, and the command.
fn a_kept_revert(session: &mut PipedSession) -> (i32, Branch, JoinHandle<Output>) {
    let (id, copy) = a_snapshot(session);
    session.ask("set key after");
    let branch = Branch::of(session);
    let reverting = beside(session, &["revert", &id.to_string(), "--keep"]);
    branch.wait_until_dead(session);
    (copy, branch, reverting)
}

fn kills_in_a_kept_revert(isolate: &str) {
    let mut seed = Seed::new();
    let mut session = promised(Launch::commander().flag("--isolate").flag(isolate));
    for round in 0..ROUNDS {
        let (copy, branch, reverting) = a_kept_revert(&mut session);
        seed.idle(A_MOMENT);
        // The copy that wakes, by its number and by the one that it takes over.
        process::send(copy, Signal::SIGKILL);
        let has_its_number = isolate == "auto";
        if has_its_number && round % 2 == 0 {
            process::send(branch.pid, Signal::SIGKILL);
        }
        let answer = reverting.join().expect("it only waits");
        has_kept_its_promise(&mut session);
        assert!(answer.success(), "{answer:?}");
        // What was killed may wait for a processor to end on.
        let killed = [copy, branch.pid];
        session.wait_until("the killed are dead", || {
            !killed
                .iter()
                .any(|&pid| process::is_pending(pid, Signal::SIGKILL))
        });
        is_calm(&mut session);
        assert_eq!(key(&mut session), "before", "round {round}");
    }
}

#[test]
fn the_only_snapshot_outlives_the_copy_that_wakes() {
    kills_in_a_kept_revert("auto");
}

#[test]
fn the_only_snapshot_outlives_the_copy_that_wakes_without_namespaces() {
    kills_in_a_kept_revert("never");
}

#[test]
fn a_kill_that_is_meant_for_the_branch_ends_no_snapshot() {
    // The waking copy has the branch's number: whoever kills that twice meets both.
    let mut seed = Seed::new();
    for _ in 0..ROUNDS {
        let mut session = promised(Launch::commander());
        session.take();
        let branch = Branch::of(&mut session);
        process::send(branch.pid, Signal::SIGKILL);
        branch.wait_until_dead(&mut session);
        seed.idle(A_MOMENT);
        process::send(branch.pid, Signal::SIGKILL);
        // The second kill may have met the program after it had come back, and ended it. But
        // it had come back.
        session.wait_for_count("reverted", 1);
        has_kept_its_promise(&mut session);
    }
}

/// Lets the process make another one only while its user has fewer than so many. Without a
/// number: sets the limit as high as it may be.
fn set_room(session: &PipedSession, pid: i32, room: Option<u32>) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it is there");
    let of_processes = limits
        .lines()
        .find(|line| line.starts_with("Max processes"));
    let most = of_processes.and_then(|line| line.split_whitespace().nth(3));
    let soft = room.map_or_else(
        || most.expect("a limit").to_owned(),
        |room| room.to_string(),
    );
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nproc={soft}:")]);
    let set = session.place().run_as_user(&mut command);
    assert!(set.success(), "{set:?}");
}

/// A session of an ordinary user, on whom such a limit has an effect, with two threads and two
/// snapshots. The newer snapshot has no room to come back.
fn without_room(isolate: &str) -> PipedSession {
    let launch = Launch::commander().as_user(Isolation::Allowed);
    let mut session = promised(launch.flag("--isolate").flag(isolate));
    session.ask("thread");
    session.take();
    session.ask("set key newer");
    session.take();
    session.ask("set key after");
    let copy = session.frozen_pid(2);
    set_room(&session, copy, Some(1));
    session
}

fn numbers(list: &Event) -> Vec<i64> {
    let snapshots = list.list("snapshots");
    snapshots.iter().map(|it| it.number("id")).collect()
}

fn goes_on_when_there_is_room(isolate: &str) {
    let mut session = without_room(isolate);
    session.send("abort");
    session.wait_until_stderr("#2 can't be brought back yet");
    let list = session.list();
    assert_eq!(numbers(&list), [1, 2], "neither is lost");
    let stderr = session.stderr();
    assert!(stderr.contains("cause: "), "{stderr}");
    assert!(stderr.contains("help:  "), "{stderr}");
    // By whichever number the copy sleeps now.
    let copy = session.frozen_pid(2);
    set_room(&session, copy, None);
    let reverted = session.next("reverted");
    assert_eq!(reverted.number("id"), 2);
    assert_eq!(reverted.flag("same_ids"), isolate == "auto", "{reverted}");
    assert_eq!(session.ask("get key"), "newer");
    assert_eq!(session.events_named("ended").len(), 1);
    assert_eq!(session.events_named("ended")[0].number("signal"), 6);
    // It is a program like any other: it goes back once more.
    session.revert();
    assert_eq!(session.ask("get key"), "before");
}

#[test]
fn a_copy_without_room_waits_until_there_is_some() {
    goes_on_when_there_is_room("auto");
}

#[test]
fn a_copy_without_room_waits_until_there_is_some_without_namespaces() {
    goes_on_when_there_is_room("never");
}

#[test]
fn while_a_copy_waits_for_room_a_person_decides() {
    // An older one may have what it needs.
    let mut session = without_room("auto");
    session.send("abort");
    session.wait_until_stderr("#2 can't be brought back yet");
    let taken = session.command("commit", &[]);
    assert!(!taken.success(), "that would leave nothing: {taken:?}");
    let reverted = session.command("revert", &["1"]);
    assert!(reverted.success(), "{reverted:?}");
    assert_eq!(session.ask("get key"), "before");
    assert!(numbers(&session.list()).is_empty());
    // Or the session ends.
    let mut session = without_room("auto");
    session.send("abort");
    session.wait_until_stderr("#2 can't be brought back yet");
    session.signal(Signal::SIGTERM);
    session.wait_gone();
}

#[test]
fn a_revert_that_can_not_keep_is_refused_while_the_program_lives() {
    let mut session = without_room("auto");
    let refused = session.command("revert", &["--keep"]);
    assert!(!refused.success(), "{refused:?}");
    assert!(refused.stderr.contains("cause: "), "{refused:?}");
    assert!(refused.stderr.contains("ulimit -u"), "{refused:?}");
    assert_eq!(session.ask("get key"), "after");
    assert_eq!(numbers(&session.list()), [1, 2]);
    assert!(session.events_named("ended").is_empty());
}

/// Waits until so many takes have been answered.
fn answers(session: &mut PipedSession, count: usize) {
    let answered = deadline::wait(|| {
        let is_answer = |event: &Event| matches!(event.name(), "taken" | "refused");
        let all = session.events().into_iter().filter(is_answer).count();
        (all >= count).then_some(())
    });
    if answered.is_none() {
        session.fail("a take was forgotten");
    }
}

/// Stops what a take is made of, at a random moment in it.
fn stop_in_a_take(session: &mut PipedSession, seed: &mut Seed) -> i32 {
    let live = session.live_pid();
    session.signal(Signal::SIGUSR1);
    seed.idle(A_MOMENT);
    process::send(live, Signal::SIGSTOP);
    live
}

#[test]
fn a_stop_in_a_take_holds_no_revert_up() {
    let mut seed = Seed::new();
    for isolate in ["auto", "never"] {
        let mut session = promised(Launch::commander().flag("--isolate").flag(isolate));
        session.ask("thread");
        for round in 0..20 {
            session.take();
            session.ask("set key after");
            stop_in_a_take(&mut session, &mut seed);
            if seed.below(2) == 0 {
                session.interrupt();
            } else {
                session.revert();
            }
            // What was wanted is not forgotten: it is answered now, or has been.
            answers(&mut session, 2 * (round + 1));
            // It may be the snapshot that was being taken.
            let key = session.ask("get key");
            assert!(
                ["before", "after"].contains(&key.as_str()),
                "round {round}: {key}"
            );
            while !numbers(&session.list()).is_empty() {
                session.revert();
            }
            if session.ask("get key") != "before" {
                session.fail(&format!("round {round}: the first snapshot was lost"));
            }
            deadline::pace(Duration::from_millis(120));
        }
    }
}

#[test]
fn a_stop_in_a_take_leaves_a_whole_snapshot_or_none() {
    let mut seed = Seed::new();
    let mut session = promised(Launch::commander());
    session.ask("thread");
    let mut refused = 0;
    for round in 0..12 {
        let live = stop_in_a_take(&mut session, &mut seed);
        let answer = session.next_answer();
        if answer.name() == "refused" {
            assert_eq!(answer.text("kind"), "stopped", "{answer}");
            refused += 1;
        }
        process::send(live, Signal::SIGCONT);
        session.ask("ping");
        let taken = session.events_named("taken").len();
        let there = numbers(&session.list()).len();
        assert_eq!((taken, there), (round + 1 - refused, round + 1 - refused));
    }
    session.signal(Signal::SIGTERM);
    session.wait_gone();
}

#[test]
fn a_stop_in_a_revert_stops_the_program_and_not_the_revert() {
    let mut seed = Seed::new();
    let mut session = promised(Launch::commander());
    session.ask("thread");
    for _ in 0..30 {
        let (copy, branch, reverting) = a_kept_revert(&mut session);
        seed.idle(A_MOMENT);
        process::send(copy, Signal::SIGSTOP);
        process::send(branch.pid, Signal::SIGSTOP);
        let answer = reverting.join().expect("it only waits");
        assert!(answer.success(), "{answer:?}");
        let live = session.live_pid();
        process::send(live, Signal::SIGCONT);
        assert_eq!(session.ask("get key"), "before");
    }
}

/// The spare is made while the number of the dead program is free, and the kernel may have come
/// to just that one.
#[test]
fn a_spare_takes_no_number_that_the_program_wants_back() {
    if !outside::as_root() {
        return;
    }
    let mut session = promised(Launch::commander());
    for _ in 0..20 {
        session.take();
        let own = session.own_pid();
        let live = session.live_pid();
        let next = format!("echo {} > /proc/sys/kernel/ns_last_pid", own - 1);
        let status = Command::new("nsenter")
            .args(["-t", &live.to_string(), "-p", "-m", "sh", "-c", &next])
            .status()
            .expect("util-linux is there");
        assert!(status.success(), "{status}");
        process::send(live, Signal::SIGKILL);
        let reverted = session.next("reverted");
        assert!(reverted.flag("same_ids"), "{reverted}");
    }
}
