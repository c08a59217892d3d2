//! The keeper, a task that holds a dead branch's memory until the program runs again: only the
//! tool may notice it, and it must end then.

use std::fs;

use snapshot_tests::process::{self, Process};
use snapshot_tests::{Ending, Launch, PipedSession, Signal};

/// The keepers of a session.
fn keepers(session: &mut PipedSession) -> Vec<i32> {
    keepers_of(session.supervisor_pid())
}

fn keepers_of(supervisor: i32) -> Vec<i32> {
    Process::all()
        .into_iter()
        .filter(|process| process.parent == supervisor && process.name == "snap-keeper")
        .map(|process| process.pid)
        .collect()
}

/// Waits until there is no keeper.
fn none_is_left(session: &mut PipedSession) {
    let supervisor = session.supervisor_pid();
    session.wait_until("no keeper is left", || keepers_of(supervisor).is_empty());
}

/// A session with a snapshot, and its keeper.
fn with_keeper(session: &mut PipedSession) -> i32 {
    session.take();
    // It is made when the program runs again, and gives itself its name: a moment later.
    let supervisor = session.supervisor_pid();
    session.wait_until("there is a keeper, and a single one", || {
        keepers_of(supervisor).len() == 1
    });
    keepers_of(supervisor)[0]
}

#[test]
fn it_is_out_of_the_programs_way() {
    for isolate in ["auto", "never"] {
        let mut session = Launch::commander().flag("--isolate").flag(isolate).piped();
        assert!(keepers(&mut session).is_empty(), "there is no snapshot");
        let keeper = with_keeper(&mut session);
        let read = |what: &str| fs::read_dir(format!("/proc/{keeper}/{what}"));
        assert_eq!(read("fd").expect("it lives").count(), 0);
        let at = fs::read_link(format!("/proc/{keeper}/cwd")).expect("it lives");
        assert_eq!(at.to_str(), Some("/"));
        // Its group and session are its own: the fields behind the name, state and parent.
        let stat = fs::read_to_string(format!("/proc/{keeper}/stat")).expect("it lives");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        assert_eq!(fields[2..4], [keeper.to_string(), keeper.to_string()]);
        let caught = process::status(keeper, "SigCgt").expect("it lives");
        assert_eq!(u64::from_str_radix(&caught, 16), Ok(0));
        // More snapshots need no more of them, and the program has no child of it.
        session.take();
        assert_eq!(keepers(&mut session), [keeper]);
        assert_eq!(
            process::status(session.live_pid(), "Threads").as_deref(),
            Some("1")
        );
    }
}

#[test]
fn it_ends_with_what_it_is_for() {
    let mut session = Launch::commander().piped();
    for ending in [Ending::Kill, Ending::Interrupt, Ending::Command] {
        with_keeper(&mut session);
        session.end_branch(ending);
        none_is_left(&mut session);
    }
    // Without a snapshot there is nothing to come back to.
    with_keeper(&mut session);
    session.commit();
    none_is_left(&mut session);
    with_keeper(&mut session);
    assert!(session.command("drop", &["5"]).success());
    none_is_left(&mut session);
    with_keeper(&mut session);
    session.send("exit 3");
    session.next("reverted");
    session.send("exit 3");
    assert_eq!(session.wait_gone().code(), Some(3));
}

#[test]
fn its_death_harms_nobody() {
    let mut session = Launch::commander().piped();
    session.ask("fill 8");
    let sum = session.ask("sum");
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGSTOP] {
        let keeper = with_keeper(&mut session);
        process::send(keeper, signal);
        session.ask("fill 4");
        session.revert();
        assert_eq!(session.ask("sum"), sum, "{signal}");
        none_is_left(&mut session);
    }
}

#[test]
fn large_branches_and_copies_come_and_go() {
    // Frozen copies of more than 64 MB leave their memory to keepers as well.
    let mut session = Launch::commander().piped();
    session.ask("fill 80");
    let sum = session.ask("sum");
    for round in 0..4 {
        let first = session.take().number("id");
        for depth in 0..3 {
            session.ask(&format!("fill {}", 81 + depth));
            session.take();
        }
        session.ask("fill 90");
        let ended = session.command("revert", &[&first.to_string()]);
        assert!(ended.success(), "{ended:?}");
        let reverted = session.next("reverted");
        assert_eq!(reverted.number("id"), first, "round {round}");
        assert!(reverted.flag("same_ids"), "{reverted}");
        assert_eq!(session.ask("sum"), sum, "round {round}");
        none_is_left(&mut session);
    }
    assert!(session.events_named("refused").is_empty());
}

#[test]
fn another_program_gets_another_one() {
    let mut session = Launch::program("bash").args(["--norc", "-i"]).piped();
    let before = with_keeper(&mut session);
    session.send("exec bash --norc -i");
    session.wait_until("the old one ends", || !process::is_alive(before));
    session.send("echo $((6 * 7))");
    session.next_line("the new one runs", |line| line == "42");
    let after = with_keeper(&mut session);
    assert_ne!(after, before);
    session.send("value=branch");
    session.revert();
    session.send("echo \"is ${value-unset}\"");
    session.next_line("it has come back", |line| line == "is unset");
}

#[test]
fn a_refused_take_leaves_none() {
    // The refusal comes while the copy is being made.
    let mut session = Launch::guest_in_c("rings").piped();
    session.ask("aio");
    for _ in 0..5 {
        session.signal(Signal::SIGUSR1);
        session.next("refused");
        session.ask("ping");
        none_is_left(&mut session);
    }
    session.ask("end");
    with_keeper(&mut session);
    let reverted = session.revert();
    assert!(reverted.flag("same_ids"), "{reverted}");
    assert!(
        !session.stderr().contains("snap-keeper"),
        "it is no child of the program's"
    );
}
