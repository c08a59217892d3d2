//! An ordinary user's program may start a process that runs as root: a set-uid program such as
//! sudo. Without namespaces only root can end it. The session says so, and ends.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use snapshot_tests::{Isolation, Launch, PipedSession, Signal, binaries, outside, process};

/// Becomes root in all of its ids, and stays a while.
const ROOTED: &str = "
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>
int main(void) {
    if (setresuid(0, 0, 0)) return 1;
    FILE *ready = fopen(\"/proc/self/comm\", \"w\");
    fputs(\"rooted\", ready);
    fclose(ready);
    sleep(60);
    return 0;
}";

/// An ordinary user's commander that has such a child: the session, and the child.
fn with_rooted_child(before: impl FnOnce(&mut PipedSession)) -> Option<(PipedSession, i32)> {
    if !outside::as_root() {
        return None;
    }
    let mut session = Launch::commander()
        // A take would forbid the program to gain rights, for the sake of its files.
        .flag("--no-files")
        .flag("--isolate")
        .flag("never")
        .as_user(Isolation::Allowed)
        .piped();
    session.next("started");
    before(&mut session);
    let program = set_uid(&session);
    let child = session.ask(&format!("spawn {}", program.display()));
    let child = child.parse().expect("a process id");
    session.wait_until("it is root", || {
        process::Process::look(child).is_some_and(|child| child.name == "rooted")
    });
    Some((session, child))
}

fn set_uid(session: &PipedSession) -> PathBuf {
    let directory = session.place().path("rooted");
    fs::create_dir_all(&directory).expect("the place is ours");
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("it is ours");
    let program = binaries::compile_c(ROOTED, &[], &directory);
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("it is ours");
    program
}

fn is_named(session: &mut PipedSession, child: i32) {
    let text = format!(
        "could not end 1 process that the program had started, with other rights than yours (set-uid): rooted ({child})"
    );
    session.wait_until_stderr(&text);
}

fn end(child: i32) {
    assert!(process::is_alive(child), "nobody could end it");
    process::send(child, Signal::SIGKILL);
}

#[test]
fn a_child_of_other_rights_is_named_and_the_session_ends() {
    let Some((mut session, child)) = with_rooted_child(|_| {}) else {
        return;
    };
    let begin = Instant::now();
    session.send("exit 7");
    assert_eq!(session.wait_exit().code(), Some(7));
    // Half a second of grace; it waited for the child's own end.
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
    end(child);
    is_named(&mut session, child);
    session.wait_gone();
}

#[test]
fn a_request_to_end_does_not_wait_for_it_either() {
    let Some((mut session, child)) = with_rooted_child(|_| {}) else {
        return;
    };
    session.signal(Signal::SIGTERM);
    session.wait_exit();
    end(child);
    is_named(&mut session, child);
    session.wait_gone();
}

#[test]
fn a_revert_names_what_it_can_not_end() {
    let Some((mut session, child)) = with_rooted_child(|session| {
        session.take();
    }) else {
        return;
    };
    session.revert();
    is_named(&mut session, child);
    assert_eq!(session.ask("ping"), "pong");
    end(child);
    session.send("exit 0");
    session.wait_gone();
}

#[test]
fn a_supervisor_that_is_killed_leaves_nobody_waiting_for_it() {
    let Some((mut session, child)) = with_rooted_child(|_| {}) else {
        return;
    };
    let supervisor = session.supervisor_pid();
    process::send(supervisor, Signal::SIGKILL);
    assert_eq!(session.wait_exit().code(), Some(97));
    end(child);
    is_named(&mut session, child);
    session.wait_gone();
}
