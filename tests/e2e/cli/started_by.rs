//! The parent of the tool may ignore signals, or set limits, a priority or a umask. The program
//! inherits all of it as without the tool, and the tool works all the same.

use std::path::Path;
use std::sync::Arc;

use snapshot_tests::{Launch, PipedSession, Place, Signal, binaries, process};

/// What somebody may have done before starting the tool.
const THINGS: [&str; 16] = [
    "ignore=1",  // SIGHUP, by nohup
    "ignore=13", // SIGPIPE, by Python
    "ignore=17", // SIGCHLD, by daemons that don't wait
    "ignore=10", // SIGUSR1, the trigger
    "ignore=20", // SIGTSTP
    "block=12",
    "limit=4,1000000", // RLIMIT_CORE
    "limit=7,400",     // RLIMIT_NOFILE
    "limit=1,1000",    // RLIMIT_FSIZE
    "nice=3",
    "policy=3", // SCHED_BATCH
    "processor=0",
    "umask=0777",
    "ioprio=6",
    "slack=77000",
    "oom=321",
];

/// More that goes another way through the kernel.
const OTHER_THINGS: [&str; 6] = [
    "ignore=2", // SIGINT and SIGQUIT, by a shell with `&`
    "ignore=3",
    "ignore=17",
    "dumps=21",
    "no-huge-pages",
    "fixed-addresses",
];

/// The guest, started by itself with these things given, under the tool or not.
fn started(place: &Arc<Place>, guest: &Path, things: &[&str], tool: bool) -> PipedSession {
    let mut launch = Launch::bare(guest)
        .place(place)
        .arg("start")
        .args(things)
        .arg("--");
    if tool {
        launch = launch.arg(&binaries::tools().snapshot_launch).arg("--");
    }
    launch.arg(guest).piped()
}

/// What the guest says of itself.
fn said(session: &mut PipedSession) -> Vec<String> {
    session.send("say");
    let mut lines = Vec::new();
    loop {
        let line = session.next_line("a thing, or ok", |_| true);
        if line == "ok" {
            return lines;
        }
        lines.push(line);
    }
}

fn the_program_has_what_it_would_have(things: &[&str]) {
    let place = Place::new();
    let guest = binaries::guest_in_c("surroundings", &place.work());
    let mut bare = started(&place, &guest, things, false);
    let expected = said(&mut bare);
    bare.close_stdin();
    assert!(bare.wait_gone().success());
    let mut session = started(&place, &guest, things, true);
    pretty(&said(&mut session), &expected);
    session.take();
    pretty(&said(&mut session), &expected);
    session.revert();
    pretty(&said(&mut session), &expected);
    session.close_stdin();
    assert!(session.wait_gone().success());
}

/// Says which lines differ, of a hundred.
fn pretty(found: &[String], expected: &[String]) {
    let only = |some: &[String], others: &[String]| -> Vec<String> {
        let differs = |line: &&String| !others.contains(line);
        some.iter().filter(differs).cloned().collect()
    };
    assert_eq!(only(found, expected), only(expected, found));
    assert_eq!(found.len(), expected.len());
}

#[test]
fn the_program_has_all_that_it_was_started_with() {
    the_program_has_what_it_would_have(&THINGS);
}

#[test]
fn the_program_has_the_rest_of_it_too() {
    the_program_has_what_it_would_have(&OTHER_THINGS);
}

#[test]
fn a_session_ends_although_its_caller_ignores_sigchld() {
    let place = Place::new();
    let guest = binaries::guest_in_c("surroundings", &place.work());
    for isolate in ["auto", "never"] {
        let session = Launch::bare(&guest)
            .place(&place)
            .args(["start", "ignore=17", "--"])
            .arg(&binaries::tools().snapshot_launch)
            .args(["--isolate", isolate, "--", "sh", "-c", "exit 5"])
            .piped();
        assert_eq!(session.finish().status.code(), Some(5), "{isolate}");
    }
}

#[test]
fn cargo_builds_although_its_caller_ignores_sigchld() {
    let place = Place::new();
    let guest = binaries::guest_in_c("surroundings", &place.work());
    let package = place.path("package");
    std::fs::create_dir_all(package.join("src")).expect("the place is ours");
    let manifest =
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(package.join("Cargo.toml"), manifest).expect("the place is ours");
    std::fs::write(
        package.join("src/main.rs"),
        "fn main() { std::process::exit(6) }",
    )
    .expect("the place is ours");
    let session = Launch::bare(&guest)
        .place(&place)
        .args(["start", "ignore=17", "--"])
        .arg(&binaries::tools().cargo_snapshot)
        .args(["snapshot", "run", "--offline"])
        .directory(&package)
        .piped();
    let output = session.finish();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

#[test]
fn a_hangup_that_the_caller_ignores_ends_no_session() {
    let place = Place::new();
    let guest = binaries::guest_in_c("surroundings", &place.work());
    let mut session = started(&place, &guest, &["ignore=1", "ignore=3"], true);
    session.next("started");
    let (launcher, supervisor) = (session.launcher_pid(), session.supervisor_pid());
    for pid in [launcher, supervisor] {
        process::send(pid, Signal::SIGHUP);
        process::send(pid, Signal::SIGQUIT);
    }
    // The request is read after the signals, by both.
    assert!(session.list().list("snapshots").is_empty());
    said(&mut session);
    session.signal(Signal::SIGTERM);
    session.wait_gone();
    assert!(!session.stderr().contains("SIGHUP"), "{}", session.stderr());
}
