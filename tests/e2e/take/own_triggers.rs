//! The trigger has two uses: from outside the session it takes a snapshot; from inside it is the
//! program's own signal, with its handler, mask, flags and waits.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::Arc;

use snapshot_tests::{Isolation, Launch, PipedSession, Place, Signal, binaries, outside, process};

/// The guest, which prints the same with the tool as without it.
fn guest(place: &Arc<Place>) -> std::path::PathBuf {
    let options = ["-D_GNU_SOURCE", "-pthread", "-O1"];
    let source = include_str!("../../guests/own_triggers.c");
    binaries::compile_c(source, &options, place.root())
}

fn launched(place: &Arc<Place>, arguments: &[&str]) -> Launch {
    Launch::program(guest(place)).args(arguments).place(place)
}

/// One round of all checks, as printed.
fn round(session: &mut PipedSession) -> String {
    let before = session.stdout().len();
    session.send("go");
    session.next_line("all checks", |line| line == "done");
    session.stdout()[before..].to_owned()
}

fn expected(place: &Arc<Place>) -> String {
    let mut bare = Launch::bare(guest(place))
        .arg("checks")
        .place(place)
        .piped();
    bare.next_line("it runs", |line| line == "ready");
    round(&mut bare)
}

/// The program sees what it sees without the tool, before a snapshot and after, and after a
/// revert; and no signal of its own has taken one.
fn sees_its_own(mut session: PipedSession, expected: &str) {
    session.next_line("it runs", |line| line == "ready");
    assert_eq!(round(&mut session), expected, "at depth 0");
    session.take();
    assert_eq!(round(&mut session), expected, "with a snapshot");
    session.revert();
    assert_eq!(round(&mut session), expected, "after a revert");
    assert_eq!(session.events_named("taken").len(), 1);
    assert!(session.events_named("refused").is_empty());
    session.close_stdin();
    assert!(session.wait_gone().success());
}

#[test]
fn from_inside_it_is_the_programs_own() {
    let place = Place::new();
    let expected = expected(&place);
    sees_its_own(launched(&place, &["checks"]).piped(), &expected);
}

#[test]
fn from_inside_it_is_the_programs_own_without_namespaces() {
    let place = Place::new();
    let expected = expected(&place);
    let launch = launched(&place, &["checks"])
        .flag("--isolate")
        .flag("never");
    sees_its_own(launch.piped(), &expected);
}

#[test]
fn from_inside_it_is_the_programs_own_for_an_ordinary_user() {
    let place = Place::new();
    let expected = expected(&place);
    let launch = launched(&place, &["checks"]).as_user(Isolation::Allowed);
    sees_its_own(launch.piped(), &expected);
}

#[test]
fn a_child_ends_a_program_that_has_no_handler() {
    let place = Place::new();
    for isolate in ["auto", "never"] {
        let mut session = launched(&place, &["default"])
            .flag("--isolate")
            .flag(isolate)
            .piped();
        session.next_line("it runs", |line| line == "ready");
        session.send("go");
        assert_eq!(session.wait_gone().signal(), Some(Signal::SIGUSR1 as i32));
        assert!(session.events_named("taken").is_empty());
    }
}

#[test]
fn from_outside_it_takes_and_no_read_of_the_program_is_interrupted() {
    let place = Place::new();
    for isolate in ["auto", "never"] {
        let mut session = launched(&place, &["reader"])
            .flag("--isolate")
            .flag(isolate)
            .piped();
        session.next_line("it runs", |line| line == "ready");
        for _ in 0..3 {
            session.take();
            session.signal(Signal::SIGUSR1);
            session.next_taken();
            assert!(session.command("take", &[]).success());
            session.next_taken();
        }
        session.send("a");
        session.next_line("it reads on", |line| line == "read a");
        session.send("send");
        session.next_line("its own", |line| line == "Interrupted system call, ran 1");
        session.revert();
        session.send("b");
        session.next_line("it reads on", |line| line == "read b");
        let stdout = session.stdout();
        let interrupted = stdout.lines().filter(|line| line.starts_with("Inter"));
        assert_eq!(interrupted.count(), 1, "{stdout}");
        assert_eq!(session.events_named("taken").len(), 9);
    }
}

#[test]
fn whoever_waits_for_it_goes_on_waiting_while_one_from_outside_takes() {
    let place = Place::new();
    let mut session = launched(&place, &["waiter"]).piped();
    session.next_line("it runs", |line| line == "ready");
    session.take();
    session.signal(Signal::SIGUSR1);
    session.next_taken();
    assert!(session.command("take", &[]).success());
    session.next_taken();
    session.revert();
    session.take();
    assert_eq!(session.events_named("taken").len(), 4);
    assert_eq!(session.stdout(), "ready\n");
    assert!(!process::is_pending(session.live_pid(), Signal::SIGUSR1));
}

/// A request that is no signal of the program's waits for none of its masks, and leaves nothing
/// behind that it would read.
#[test]
fn a_program_that_blocks_it_is_taken_by_every_other_way() {
    for isolate in ["auto", "never"] {
        let mut session = Launch::commander().flag("--isolate").flag(isolate).piped();
        session.ask("block USR1");
        for _ in 0..3 {
            assert!(session.command("take", &[]).success());
            session.next_taken();
            session.signal(Signal::SIGUSR1);
            session.next_taken();
        }
        let live = session.live_pid();
        assert!(!process::is_pending(live, Signal::SIGUSR1));
        session.revert();
        assert_eq!(session.ask("ping"), "pong");
        session.ask("handle USR1 sigaction");
        session.ask("unblock USR1");
        assert_eq!(session.ask("seen USR1"), "0");
        assert_eq!(session.events_named("taken").len(), 6);
    }
}

/// C11's threads are made by libc itself: its own handler of the signal of requests takes the
/// first of them.
const C11_THREADS: &str = r#"
#include <stdio.h>
#include <threads.h>
#include <unistd.h>
static int nap(void *argument) { (void)argument; for (;;) pause(); }
int main(void) {
    thrd_t thread;
    char byte;
    thrd_create(&thread, nap, NULL);
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) == 1) ;
    return 0;
}
"#;

#[test]
fn a_request_that_libcs_own_handler_has_got_is_not_lost() {
    let place = Place::new();
    let program = binaries::compile_c(C11_THREADS, &["-pthread"], place.root());
    let mut session = Launch::program(program).place(&place).piped();
    session.next_line("it runs", |line| line == "ready");
    for _ in 0..3 {
        session.signal(Signal::SIGUSR1);
        session.next_taken();
        assert!(session.command("take", &[]).success());
        session.next_taken();
    }
    session.revert();
    assert!(session.command("take", &[]).success());
    session.next_taken();
}

/// What is said of a program that uses the trigger itself.
fn lines(session: &mut PipedSession) -> Vec<String> {
    let stderr = session.stderr();
    let lines = stderr
        .lines()
        .filter(|line| line.contains("SIGUSR1 itself"));
    lines.map(str::to_owned).collect()
}

#[test]
fn that_the_program_uses_it_too_is_said_once() {
    let place = Place::new();
    for (mode, what) in [("reader", "handles"), ("waiter", "waits for")] {
        let mut session = launched(&place, &[mode]).piped();
        session.next_line("it runs", |line| line == "ready");
        session.wait_until_stderr("SIGUSR1 itself");
        session.take();
        session.take();
        session.revert();
        session.take();
        assert_eq!(
            lines(&mut session),
            [format!(
                "[snapshot] the program {what} SIGUSR1 itself: from inside the session it is the program's own, from outside it takes a snapshot; `--signal NAME` chooses another"
            )]
        );
    }
    // By whichever ways it uses it, and after a revert.
    let mut session = launched(&place, &["checks"]).piped();
    session.next_line("it runs", |line| line == "ready");
    session.take();
    round(&mut session);
    session.revert();
    round(&mut session);
    assert_eq!(lines(&mut session).len(), 1);

    let mut session = Launch::commander().piped();
    session.ask("block USR1");
    assert!(session.command("take", &[]).success());
    session.wait_until_stderr("the program blocks SIGUSR1 itself");
    let mut session = Launch::commander().piped();
    session.take();
    assert_eq!(lines(&mut session).len(), 0);
}

/// To a process outside of the namespace the kernel tells the sender's number inside, which may
/// be another one there; so this is without.
#[test]
fn what_it_sends_its_whole_group_is_its_own_too() {
    let place = Place::new();
    let mut session = launched(&place, &["reader"])
        .flag("--isolate")
        .flag("never")
        .piped();
    session.next_line("it runs", |line| line == "ready");
    for taken in 1..=2 {
        session.take();
        session.send("group");
        session.next_line("its own", |line| line == "group, ran 1");
        // Whatever that has asked for comes before this.
        let list = session.list();
        assert_eq!(list.list("snapshots").len(), taken);
    }
    assert_eq!(session.events_named("taken").len(), 2);
}

/// Real-time signals are queued one by one, and named by their distance.
#[test]
fn a_real_time_signal_can_be_the_trigger() {
    let Some(bash) = outside::find("bash") else {
        return;
    };
    let place = Place::new();
    let number = (nix::libc::SIGRTMIN() + 5).to_string();
    let arguments = ["checks", &number];
    let mut bare = Launch::bare(guest(&place))
        .args(arguments)
        .place(&place)
        .piped();
    bare.next_line("it runs", |line| line == "ready");
    let expected = round(&mut bare);
    for name in ["RTMIN+5", "sigrtmax-25", &number] {
        let mut session = launched(&place, &arguments)
            .flag("--signal")
            .flag(name)
            .piped();
        session.next_line("it runs", |line| line == "ready");
        session.wait_until_stderr("`kill -RTMIN+5 ");
        assert_eq!(round(&mut session), expected, "at depth 0");
        for pid in [session.live_pid(), session.launcher_pid()] {
            let sent = Command::new(&bash)
                .args(["-c", &format!("kill -RTMIN+5 {pid}")])
                .status();
            assert!(sent.is_ok_and(|status| status.success()));
            session.next_taken();
        }
        assert_eq!(round(&mut session), expected, "with a snapshot");
        session.revert();
        assert_eq!(round(&mut session), expected, "after a revert");
        assert_eq!(session.events_named("taken").len(), 2);
    }
}

/// What is read of a `signalfd` is as without the tool: that is said, and every other way takes.
#[test]
fn whoever_reads_it_of_a_descriptor_finds_its_own_there() {
    let place = Place::new();
    for isolate in ["auto", "never"] {
        let mut session = launched(&place, &["fd"])
            .flag("--isolate")
            .flag(isolate)
            .piped();
        session.next_line("it runs", |line| line == "ready");
        session.wait_until_stderr("the program reads SIGUSR1 itself");
        for _ in 0..2 {
            session.signal(Signal::SIGUSR1);
            session.next_taken();
            assert!(session.command("take", &[]).success());
            session.next_taken();
        }
        session.revert();
        session.signal(Signal::SIGUSR1);
        session.next_taken();
        assert_eq!(session.stdout(), "ready\n");
        session.signal_live(Signal::SIGUSR1);
        session.next_line("it reads it", |line| line == "got 0");
        assert_eq!(session.events_named("taken").len(), 5);
        assert_eq!(lines(&mut session).len(), 1);
    }
}

/// A revived program's last steps in the engine block every signal. They are no use of its own.
#[test]
fn a_program_that_is_being_revived_is_not_said_to_block_it() {
    let mut session = Launch::commander().piped();
    for round in 1..=60 {
        session.take();
        // The trigger that the branch does not live to answer is asked of what follows.
        session.signal_live(Signal::SIGUSR1);
        session.signal_live(Signal::SIGKILL);
        session.wait_for_count("reverted", round);
    }
    assert_eq!(session.ask("ping"), "pong");
    assert_eq!(lines(&mut session), [""; 0]);
}
