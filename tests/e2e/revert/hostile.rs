//! A program with fewer rights than the supervisor sends it forged messages. The supervisor
//! believes no message about a process: the process that it names lives on, and the session goes
//! on or says why not.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use snapshot_tests::process::{self, Process};
use snapshot_tests::{Launch, PipedSession, Signal, binaries, deadline};

// The verbs of the agent's messages, as a caller, in a take, and as a copy.
const HELLO: &str = "1";
const BEGIN: &str = "2";
const CLOSED: &str = "4";
const PARKED: &str = "21";
const SPLIT: &str = "22";
const RUNNING: &str = "24";
const KEEPER: &str = "25";
const MADE: &str = "31";
const AGAIN: &str = "32";
const READY: &str = "34";
const LET_GO: &str = "37";
const BECOMING: &str = "41";
const COPY_RUNS: &str = "44";
/// What a copy of the engine's does from the question on: it answers, leaves a spare when asked,
/// and wakes when asked.
const WOKEN: &str = "own 38;hear;hear;";

// The verbs of the supervisor's, in a take.
const GRANTED: &str = "75";
const DENIED: &str = "76";
const GO: &str = "77";

/// A process of root's that has nothing to do with the session.
struct Victim(Child);

impl Victim {
    fn new() -> Self {
        Self(deadline::spawn(Command::new("sleep").arg("1000")))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a process id fits")
    }

    fn lives(&self, after: &str) {
        assert!(process::is_alive(self.pid()), "killed by {after}");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It has ended by itself where a test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A session without namespaces, started by root; the program has dropped its rights.
fn dropped() -> PipedSession {
    let mut session = isolated("never");
    session.ask("drop");
    session
}

/// Begins a take as the agent would; the guest has the link for a copy then.
fn begin(session: &mut PipedSession) {
    session.ask("call");
    session.ask(&format!("link {BEGIN}"));
    assert_eq!(session.ask("hear"), GRANTED);
    session.ask(&format!("link {PARKED}"));
}

/// A session that may have namespaces of its own.
fn isolated(isolate: &str) -> PipedSession {
    let mut session = Launch::guest("hostile")
        .flag("--isolate")
        .flag(isolate)
        .piped();
    session.live_pid();
    session
}

/// The session is whole: it takes and reverts as ever.
fn goes_on(session: &mut PipedSession) {
    session.take();
    session.revert();
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn a_copy_that_is_not_wanted_is_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    begin(&mut session);
    session.ask(&format!("copy {AGAIN} {}", victim.pid()));
    let answer = session.ask("hear");
    victim.lives("a copy that it is said to be");
    assert_eq!(answer, DENIED);
    session.next("refused");
    goes_on(&mut session);
}

#[test]
fn a_copy_that_is_made_is_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    begin(&mut session);
    session.ask(&format!("link {SPLIT} {}", victim.pid()));
    session.ask("hang up");
    session.next("refused");
    victim.lives("a copy that makes no headway");
    goes_on(&mut session);
}

#[test]
fn a_frozen_copy_is_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    begin(&mut session);
    session.ask(&format!("link {SPLIT} {}", victim.pid()));
    session.ask(&format!("copy {READY} {}", victim.pid()));
    let answer = session.ask("hear");
    session.ask(&format!("link {RUNNING} 0 0 {} 0", victim.pid()));
    session.command("commit", &[]);
    victim.lives("a commit");
    assert_eq!(answer, DENIED);
    goes_on(&mut session);
}

#[test]
fn a_keeper_is_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    begin(&mut session);
    session.ask(&format!("sibling own {MADE};own {READY}"));
    session.ask(&format!("link {SPLIT}"));
    assert_eq!(session.ask("hear"), GO);
    session.ask(&format!("link {KEEPER} {}", victim.pid()));
    session.ask(&format!("link {RUNNING} 0 0 {} 0", victim.pid()));
    session.next("taken");
    session.command("commit", &[]);
    victim.lives("the end of a keeper");
    goes_on(&mut session);
}

/// A snapshot whose copy does these steps when it is woken.
fn snapshot_that(session: &mut PipedSession, steps: &str) {
    begin(session);
    session.ask(&format!("sibling own {MADE};own {READY};hear;{steps}"));
    session.ask(&format!("link {SPLIT}"));
    assert_eq!(session.ask("hear"), GO);
    session.ask(&format!("link {RUNNING}"));
    session.next("taken");
}

#[test]
fn a_woken_copy_goes_on_as_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    session.take();
    let pid = victim.pid();
    snapshot_that(
        &mut session,
        &format!("{WOKEN}copy {COPY_RUNS} 0 0 {pid} 0"),
    );
    session.revert();
    // The next revert would end the one that is live.
    let reverted = session.revert();
    victim.lives("the end of a branch");
    assert_eq!(reverted.number("id"), 1);
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn a_woken_copy_becomes_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    session.take();
    let pid = victim.pid();
    snapshot_that(&mut session, &format!("{WOKEN}copy {BECOMING} {pid}"));
    let reverted = session.revert();
    victim.lives("a copy that does not come to life");
    assert_eq!(reverted.number("id"), 1);
    assert_eq!(session.ask("ping"), "pong");
}

/// In a process namespace of its own even -1 means the session alone, so that every number
/// can be tried.
#[test]
fn no_number_is_anybody() {
    let mut session = isolated("always");
    session.ask("drop");
    let first = session.take();
    let own = [
        session.supervisor_pid(),
        session.frozen_pid(first.number("id")),
    ];
    let inner = own.map(|pid| process::inside(pid).expect("it is there"));
    let launcher = session.launcher_pid();
    for number in [-1, 0, 1, i32::MIN, launcher, inner[0], inner[1]] {
        for (made, say) in [
            (false, AGAIN),
            (false, READY),
            (true, KEEPER),
            (true, "35 0"),
        ] {
            begin(&mut session);
            if made {
                session.ask(&format!("sibling own {MADE};own {READY}"));
                session.ask(&format!("link {SPLIT} {number}"));
                assert_eq!(session.ask("hear"), GO);
                session.ask(&format!("link {say} {number}"));
                session.next("taken");
            } else {
                session.ask(&format!("copy {say} {number}"));
                assert_eq!(session.ask("hear"), DENIED);
            }
            session.ask("hang up");
            for pid in own {
                assert!(process::is_alive(pid), "{say} {number} has ended {pid}");
            }
        }
    }
    let reverted = session.command("revert", &["1"]);
    assert!(reverted.success(), "{reverted:?}");
    assert_eq!(session.ask("ping"), "pong");
}

/// Root may say in the kernel's own terms that it is another process.
#[test]
fn who_may_forge_the_sender_is_nobody_else_either() {
    let victim = Victim::new();
    let mut session = isolated("never");
    session.take();
    let frozen = session.frozen_pid(1);
    let strangers = [
        victim.pid(),
        session.launcher_pid(),
        session.supervisor_pid(),
    ];
    for sender in strangers.into_iter().chain([frozen]) {
        begin(&mut session);
        session.ask(&format!("forge {sender} {MADE}"));
        assert_eq!(session.ask("hear"), DENIED, "as {sender}");
        session.ask("hang up");
        assert!(process::is_alive(sender), "{sender}");
    }
    assert_eq!(session.revert().number("id"), 1);
    assert_eq!(session.ask("ping"), "pong");
}

#[test]
fn nobody_but_the_live_process_is_heard() {
    const REVERT: &str = "6 1";
    for isolate in ["always", "never"] {
        let mut session = isolated(isolate);
        session.take();
        let heard = session.ask(&format!("child {REVERT}"));
        assert_eq!(heard, "closed", "a child of the program");
        // The address is no secret.
        let environment = std::fs::read(format!("/proc/{}/environ", session.live_pid()))
            .expect("it is ours to read");
        let message = environment
            .split(|&byte| byte == 0)
            .find_map(|entry| entry.strip_prefix(b"CARGO_SNAPSHOT_AGENT="))
            .expect("the program has been given one");
        for rights in ["ping", "drop"] {
            let mut other = Launch::bare(binaries::guest("hostile"))
                .env("CARGO_SNAPSHOT_AGENT", OsStr::from_bytes(message))
                .piped();
            other.ask(rights);
            other.ask("call");
            other.ask(&format!("link {REVERT}"));
            assert_eq!(other.ask("hear"), "closed", "another process: {rights}");
            other.close_stdin();
            other.wait_exit();
        }
        assert_eq!(session.events_named("reverted").len(), 0);
        goes_on(&mut session);
    }
}

/// Every verb there is, and some that there are not, where none is expected.
#[test]
fn what_is_said_out_of_turn_harms_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    for verb in (0..=45).chain(63..=90) {
        for phase in ["called", "begun", "parked"] {
            session.ask("call");
            if phase != "called" {
                session.ask(&format!("link {BEGIN}"));
                assert_eq!(session.ask("hear"), GRANTED, "before {verb}");
            }
            if phase == "parked" {
                session.ask(&format!("link {PARKED}"));
                session.ask(&format!("copy {verb} {}", victim.pid()));
            }
            session.ask(&format!("link {verb} {}", victim.pid()));
            session.ask("hang up");
        }
    }
    victim.lives("what is said out of turn");
    // It has said that it becomes another program, and is it again.
    session.ask("call");
    session.ask(&format!("link {HELLO}"));
    session.ask("hear");
    // It waits until the last of those takes has been given up.
    let taken = session.command("take", &[]);
    assert!(taken.success(), "{taken:?}");
    goes_on(&mut session);
}

#[test]
fn floods_hold_nobody_up() {
    let mut session = isolated("auto");
    session.take();
    session.ask("calls 2000");
    session.ask("call");
    session.ask(&format!("flood 20000 {HELLO}"));
    session.ask("call");
    session.ask("garbage 20000");
    session.ask(&format!("calls 3000 {BEGIN}"));
    session.ask("hang up");
    // One that never ends, in the name of a snapshot.
    begin(&mut session);
    session.ask(&format!("sibling own {MADE};own {READY};flood {LET_GO}"));
    session.ask(&format!("link {SPLIT}"));
    assert_eq!(session.ask("hear"), GO);
    session.ask(&format!("link {RUNNING}"));
    session.next("taken");
    let begun = Instant::now();
    for _ in 0..5 {
        let listed = session.command("list", &[]);
        assert!(listed.success(), "{listed:?}");
    }
    let reverted = session.command("revert", &["1"]);
    assert!(reverted.success(), "{reverted:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(session.ask("ping"), "pong");
}

/// The process that was woken is gone, and another one holds its link open.
#[test]
fn a_revert_ends_although_somebody_keeps_the_link() {
    let mut session = isolated("always");
    session.take();
    snapshot_that(&mut session, &format!("{WOKEN}copy {BECOMING};leave"));
    let reverted = session.revert();
    assert_eq!(reverted.number("id"), 1);
    assert_eq!(session.ask("ping"), "pong");
}

/// It could not be woken, and is no snapshot.
#[test]
fn a_frozen_copy_that_hangs_up_is_named() {
    let mut session = isolated("auto");
    session.take();
    snapshot_that(&mut session, "close");
    session.ask("hang up");
    // The program tells every frozen copy what it closes.
    session.ask("call");
    session.ask(&format!("link {CLOSED}"));
    let dropped = session.next("dropped");
    assert_eq!(dropped.number("id"), 2);
    session.wait_until_stderr("#2 is lost");
    assert_eq!(session.revert().number("id"), 1);
    assert_eq!(session.ask("ping"), "pong");
}

/// The keeper has the rights that the program had when it was made, and shares its memory:
/// what a program that has dropped them since writes there, the keeper would run.
#[test]
fn a_keeper_has_no_use_of_its_rights() {
    let victim = Victim::new();
    let mut session = isolated("never");
    session.take();
    let supervisor = session.supervisor_pid();
    let keeper = || {
        let all = Process::all().into_iter();
        let mut found = all.filter(|at| at.parent == supervisor && at.name == "snap-keeper");
        found.next().map(|keeper| keeper.pid)
    };
    session.wait_until("there is a keeper", || keeper().is_some());
    let keeper = keeper().expect("there is one");
    session.ask("drop");
    // It sleeps in a call, and goes on behind it.
    let call = std::fs::read_to_string(format!("/proc/{keeper}/syscall")).expect("it sleeps");
    let at = call.split_whitespace().next_back().expect("an address");
    let at = u64::from_str_radix(at.trim_start_matches("0x"), 16).expect("an address");
    let memory = File::options()
        .write(true)
        .open(format!("/proc/{}/mem", session.live_pid()))
        .expect("it is ours to write to");
    memory
        .write_all_at(&kill_and_exit(victim.pid()), at)
        .expect("the code is there");
    process::send(keeper, Signal::SIGUSR1);
    session.wait_until("it has run that", || !process::is_alive(keeper));
    victim.lives("the keeper");
}

/// `kill(pid, SIGKILL); exit_group(0)`, for x86_64.
fn kill_and_exit(pid: i32) -> Vec<u8> {
    let set = |register: u8, value: i32| [&[register][..], &value.to_le_bytes()].concat();
    let (eax, edi, esi, syscall) = (0xb8, 0xbf, 0xbe, vec![0x0f, 0x05]);
    [
        set(edi, pid),
        set(esi, 9),
        set(eax, 62),
        syscall.clone(),
        set(edi, 0),
        set(eax, 231),
        syscall,
    ]
    .concat()
}

#[test]
fn no_name_commands_the_terminal() {
    let mut session = isolated("auto");
    session.take();
    session.ask("leftover %[2Jgone");
    session.ask("call");
    session.ask("label a%[2J|[snapshot] #9 taken");
    assert_eq!(session.ask("hear"), GRANTED);
    session.ask(&format!("link {PARKED}"));
    session.ask(&format!("sibling own {MADE};own {READY}"));
    session.ask(&format!("link {SPLIT}"));
    assert_eq!(session.ask("hear"), GO);
    session.ask(&format!("link {RUNNING}"));
    session.next("taken");
    let reverted = session.command("revert", &["1"]);
    assert!(reverted.success(), "{reverted:?}");
    session.wait_until_stderr("had started: ");
    let stderr = session.stderr();
    assert!(!stderr.contains('\x1b'), "{stderr:?}");
    assert!(stderr.contains("\\u{1b}[2Jgone"), "{stderr}");
    assert!(stderr.lines().all(|line| line.starts_with("[snapshot] ")));
    assert!(!stderr.contains("\n[snapshot] #9"), "{stderr}");
}
