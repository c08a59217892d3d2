//! A program that speaks to the supervisor by itself, with fewer rights than the supervisor
//! has: nothing that it says is believed about a process. Whatever number it names, that
//! process lives on, and the session goes on or says why not.

use std::process::{Child, Command};

use snapshot_tests::{Launch, PipedSession, deadline, process};

// The verbs of the agent's messages.
const BEGIN: &str = "2";
const PARKED: &str = "4";
const SPLIT: &str = "5";
const READY: &str = "6";
const RUNNING: &str = "8";
const AGAIN: &str = "16";
const BECOMING: &str = "17";
const KEEPER: &str = "19";
const MADE: &str = "24";

// The verbs of the supervisor's.
const GRANTED: &str = "66";
const DENIED: &str = "67";
const GO: &str = "68";

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
    let mut session = Launch::guest("hostile")
        .flag("--isolate")
        .flag("never")
        .piped();
    session.live_pid();
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
    session.next_answer();
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
    session.next_taken();
}

#[test]
fn a_woken_copy_goes_on_as_nobody_else() {
    let victim = Victim::new();
    let mut session = dropped();
    session.take();
    let pid = victim.pid();
    snapshot_that(&mut session, &format!("copy {RUNNING} 0 0 {pid} 0"));
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
    snapshot_that(&mut session, &format!("copy {BECOMING} {pid}"));
    let reverted = session.revert();
    victim.lives("a copy that does not come to life");
    assert_eq!(reverted.number("id"), 1);
    assert_eq!(session.ask("ping"), "pong");
}
