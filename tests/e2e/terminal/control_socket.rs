//! The control socket: it lies in any suitable directory, under a unique name. It goes when its
//! session ends, in whatever way, and no other socket goes with it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use snapshot_tests::{
    Launch, PipedSession, Place, Signal, binaries, deadline, leaks, outside, process,
};

/// What is set, or unset, for launcher and second terminal alike.
type Variables<'a> = [(&'a str, Option<&'a str>)];

fn launch(place: &Arc<Place>, variables: &Variables<'_>) -> PipedSession {
    let mut launch = Launch::commander().place(place);
    for (name, value) in variables {
        launch = match value {
            Some(value) => launch.env(name, value),
            None => launch.env_remove(name),
        };
    }
    launch.piped()
}

fn second(place: &Place, variables: &Variables<'_>, arguments: &[&str]) -> deadline::Output {
    let mut command = place.second_terminal(arguments);
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    deadline::run(&mut command)
}

/// A session there is reached by name, by number, and in the list of all.
fn is_reached(place: &Arc<Place>, variables: &Variables<'_>) {
    let mut session = launch(place, variables);
    let launcher = session.launcher_pid().to_string();
    for wanted in [&launcher, "commander"] {
        let output = second(place, variables, &["take", "-s", wanted]);
        assert!(output.success(), "{variables:?} {output:?}");
        session.next_taken();
    }
    let output = second(place, variables, &["sessions"]);
    assert!(
        output.stdout.contains(&launcher),
        "{variables:?} {output:?}"
    );
    session.signal(Signal::SIGTERM);
    session.wait_gone();
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the place has a plain name")
}

#[test]
fn a_runtime_directory_that_does_not_serve_is_passed_over() {
    let place = Place::new();
    let file = place.work().join("file");
    fs::write(&file, "").expect("the place is ours");
    for missing in ["/nonexistent/run", "/proc", text(&file)] {
        is_reached(&place, &[("XDG_RUNTIME_DIR", Some(missing))]);
    }
    let own = place.runtime().join("cargo-snapshot");
    fs::create_dir_all(&own).expect("the place is ours");
    fs::set_permissions(&own, Permissions::from_mode(0o777)).expect("it is ours");
    is_reached(&place, &[]);
    fs::remove_dir(&own).expect("nothing is in it");
    std::os::unix::fs::symlink(place.work(), &own).expect("the place is ours");
    is_reached(&place, &[]);
    fs::remove_file(&own).expect("it is ours");
}

#[test]
fn a_directory_that_somebody_else_has_made_first_locks_nobody_out() {
    if !outside::as_root() {
        return;
    }
    let place = Place::new();
    let known = place.temporary().join("cargo-snapshot-0");
    fs::create_dir(&known).expect("the place is ours");
    // And one that only looks like one of ours.
    let like = place.temporary().join("cargo-snapshot-0-000000");
    fs::create_dir(&like).expect("the place is ours");
    for path in [&known, &like] {
        fs::set_permissions(path, Permissions::from_mode(0o700)).expect("it is ours");
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).expect("root may");
    }
    let tmp = place.temporary();
    is_reached(
        &place,
        &[("XDG_RUNTIME_DIR", None), ("TMPDIR", Some(text(&tmp)))],
    );
    // Nothing of a session is left but what was there.
    let left: Vec<_> = fs::read_dir(&tmp).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_path_may_be_longer_than_an_address() {
    let place = Place::new();
    let long = place
        .temporary()
        .join("l".repeat(100))
        .join("o".repeat(100));
    fs::create_dir_all(&long).expect("the place is ours");
    is_reached(
        &place,
        &[("XDG_RUNTIME_DIR", None), ("TMPDIR", Some(text(&long)))],
    );
    is_reached(&place, &[("XDG_RUNTIME_DIR", Some(text(&long)))]);
}

/// The sockets in the runtime directory.
fn sockets(place: &Place) -> Vec<PathBuf> {
    leaks::files(&place.runtime())
}

#[test]
fn two_launchers_of_one_number_leave_each_other_alone() {
    if !outside::as_root() {
        return;
    }
    let place = Place::new();
    // As in two containers that share a runtime directory.
    let start = |name: &str| {
        let session = Launch::bare("unshare")
            .place(&place)
            .args(["-pf", "--mount-proc", "--kill-child", "sh", "-c"])
            .arg("\"$0\" --name \"$2\" -- \"$1\"; exit $?")
            .arg(&binaries::tools().snapshot_launch)
            .arg(binaries::guest("commander"))
            .arg(name);
        let mut session = session.piped();
        assert_eq!(session.ask("ping"), "pong");
        session
    };
    let (mut one, mut two) = (start("one"), start("two"));
    assert_eq!(sockets(&place).len(), 2, "{:?}", sockets(&place));
    for name in ["one", "two"] {
        let output = place.cargo_snapshot(&["list", "-s", name]);
        assert!(output.success(), "{output:?}");
    }
    one.send("exit 0");
    one.wait_exit();
    assert_eq!(sockets(&place).len(), 1, "{:?}", sockets(&place));
    assert!(place.cargo_snapshot(&["list", "-s", "two"]).success());
    two.send("exit 0");
    two.wait_exit();
    assert!(sockets(&place).is_empty(), "{:?}", sockets(&place));
}

#[test]
fn a_session_removes_no_socket_but_its_own() {
    let place = Place::new();
    let mut session = launch(&place, &[]);
    session.next("started");
    let path = sockets(&place).pop().expect("it has one");
    fs::remove_file(&path).expect("it is ours");
    let other = UnixListener::bind(&path).expect("the name is free");
    session.signal(Signal::SIGTERM);
    session.wait_exit();
    assert!(path.exists(), "somebody else's socket is gone");
    fs::remove_file(&path).expect("it is ours");
    drop(other);
    session.wait_gone();
}

/// The socket of a session whose launcher and supervisor are killed at one moment.
fn killed(place: &Arc<Place>) -> (PipedSession, PathBuf) {
    let mut session = launch(place, &[]);
    session.next("started");
    let both = [session.launcher_pid(), session.supervisor_pid()];
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for pid in both {
            process::send(pid, signal);
        }
    }
    session.wait_exit();
    let mark = session.mark().to_owned();
    session.wait_until("it is gone", || leaks::processes(&mark).is_empty());
    let path = sockets(place).pop().expect("nobody could remove it");
    (session, path)
}

#[test]
fn what_a_killed_session_has_left_is_swept_by_the_next() {
    let place = Place::new();
    let (mut dead, path) = killed(&place);
    let mut session = launch(&place, &[]);
    session.next("started");
    assert!(!path.exists());
    assert_eq!(session.ask("ping"), "pong");
    assert!(session.list().list("snapshots").is_empty());
    dead.wait_gone();
}

#[test]
fn what_a_killed_session_has_left_is_swept_by_a_look() {
    let place = Place::new();
    let (mut dead, path) = killed(&place);
    let output = place.cargo_snapshot(&["sessions"]);
    assert!(output.success(), "{output:?}");
    assert!(!path.exists());
    dead.wait_gone();
}

#[test]
fn a_sweep_leaves_alone_what_lives_or_is_being_made() {
    let place = Place::new();
    let mut session = launch(&place, &[]);
    session.next("started");
    let path = sockets(&place).pop().expect("it has one");
    process::send(session.pid(), Signal::SIGSTOP);
    // Bound, and not listening yet, as one is for a moment.
    let made = path.with_file_name(".1-1.new");
    let unheard = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .expect("sockets are to be had");
    let address = UnixAddr::new(&made).expect("it is short");
    bind(std::os::fd::AsRawFd::as_raw_fd(&unheard), &address).expect("the name is free");
    // And a file that is no socket at all.
    let file = path.with_file_name("1.sock");
    fs::write(&file, "").expect("the place is ours");
    let output = place.cargo_snapshot(&["sessions"]);
    assert!(output.stderr.contains("does not answer"), "{output:?}");
    for path in [&path, &made, &file] {
        assert!(path.exists(), "{} is gone", path.display());
    }
    process::send(session.pid(), Signal::SIGCONT);
    assert_eq!(session.ask("ping"), "pong");
    for path in [&made, &file] {
        fs::remove_file(path).expect("it is ours");
    }
}

#[test]
fn the_socket_is_its_owners_alone() {
    let place = Place::new();
    let mut session = Launch::commander().place(&place).piped();
    session.next("started");
    let path = sockets(&place).pop().expect("it has one");
    let found = fs::metadata(&path).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
}
