//! The user may name anything as the events file: a FIFO without a reader, a full disk, a link, a
//! terminal. The session never waits for it, and says what is missing in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::Mode;
use snapshot_tests::deadline::{self, Output};
use snapshot_tests::{Event, Launch, PipedSession, Place, Signal, binaries, outside};

/// About as long as a label may be.
const LONG: usize = 60_000;

/// The commander under the tool, with its events going there.
fn commander(place: &Arc<Place>, events: &Path) -> PipedSession {
    let session = Launch::bare(&binaries::tools().snapshot_launch)
        .place(place)
        .arg("--events")
        .arg(events)
        .arg("--")
        .arg(binaries::guest("commander"));
    session.piped()
}

/// `true` under the tool, to its end.
fn run_true(place: &Place, events: &Path) -> Output {
    let mut command = std::process::Command::new(&binaries::tools().snapshot_launch);
    command.arg("--events").arg(events).args(["--", "true"]);
    place.furnish(&mut command);
    deadline::run(&mut command)
}

fn take(session: &PipedSession, label: &str) {
    let launcher = session.pid().to_string();
    let arguments = ["take", "-s", &launcher, "-m", label];
    let output = session.place().cargo_snapshot(&arguments);
    assert!(output.success(), "{output:?}");
}

fn fifo(place: &Place) -> PathBuf {
    let path = place.work().join("fifo");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("the place is ours");
    path
}

/// A reader of a FIFO that does not wait for a writer, with room for a few lines.
fn reader(path: &Path) -> File {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .expect("it is there");
    fcntl(&file, FcntlArg::F_SETPIPE_SZ(4096)).expect("a pipe may shrink");
    file
}

/// Reads events until one is of that name.
fn read_until(mut reader: &File, name: &str) -> Vec<Event> {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    let wanted = format!("\"event\":\"{name}\"");
    let found = deadline::wait(|| {
        while let Ok(length @ 1..) = reader.read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        (text.contains(&wanted) && text.ends_with('\n')).then_some(())
    });
    assert!(found.is_some(), "no {name} in {text}");
    text.lines().map(Event::parse).collect()
}

fn events_in(file: &Path) -> Vec<Event> {
    let text = fs::read_to_string(file).expect("it is there");
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "half a line: {text:?}"
    );
    text.lines().map(Event::parse).collect()
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::name).collect()
}

#[test]
fn a_fifo_that_nobody_reads_yet_holds_nothing_up() {
    let place = Place::new();
    let path = fifo(&place);
    let mut session = commander(&place, &path);
    assert_eq!(session.ask("ping"), "pong");
    take(&session, "unread");
    session.wait_until_stderr("nobody reads");
    // Whoever comes late gets all of it.
    let late = reader(&path);
    let events = read_until(&late, "taken");
    assert_eq!(names(&events), ["started", "taken"]);
    session.wait_until_stderr("the events are read again");
    session.signal(Signal::SIGTERM);
    assert_eq!(names(&read_until(&late, "finished")), ["finished"]);
    session.wait_gone();
}

#[test]
fn a_fifo_that_nobody_ever_reads_is_said_at_the_end() {
    let place = Place::new();
    let path = fifo(&place);
    let output = run_true(&place, &path);
    assert!(output.success(), "{output:?}");
    assert!(
        output.stderr.contains("2 events were not written"),
        "{output:?}"
    );
    fs::remove_file(path).expect("it is ours");
}

#[test]
fn a_reader_that_stops_reading_holds_nothing_up_and_hears_what_it_missed() {
    let place = Place::new();
    let path = fifo(&place);
    let slow = reader(&path);
    let mut session = commander(&place, &path);
    assert_eq!(session.ask("ping"), "pong");
    let label = "x".repeat(LONG);
    for _ in 0..24 {
        take(&session, &label);
    }
    assert_eq!(session.ask("ping"), "pong");
    session.wait_until_stderr("is slow");
    // The last of them had no room. `missed` stands where there was room again.
    let first = read_until(&slow, "taken");
    assert_eq!(first[0].name(), "started");
    // It comes with the next event for which there is room.
    let is_told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let rest = scope.spawn(|| {
            let rest = read_until(&slow, "missed");
            is_told.store(true, Ordering::Release);
            rest
        });
        let told = deadline::wait(|| {
            take(&session, "after");
            is_told.load(Ordering::Acquire).then_some(())
        });
        assert!(told.is_some());
        let rest = rest.join().expect("it has read it");
        let missed = rest.iter().find(|event| event.name() == "missed");
        let missed = missed.expect("it is told").number("count");
        assert!(missed > 0, "{missed}");
    });
    session.signal(Signal::SIGTERM);
    read_until(&slow, "finished");
    session.wait_gone();
}

#[test]
fn a_reader_that_never_reads_delays_the_end_by_little() {
    let place = Place::new();
    let path = fifo(&place);
    let stuck = reader(&path);
    let mut session = commander(&place, &path);
    assert_eq!(session.ask("ping"), "pong");
    take(&session, &"x".repeat(LONG));
    let begin = Instant::now();
    session.signal(Signal::SIGTERM);
    session.wait_exit();
    // Its own promise is a second; a busy machine may take some more.
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    let stderr = session.stderr();
    assert!(stderr.contains("2 events were not written"), "{stderr}");
    drop(stuck);
}

#[test]
fn a_full_disk_leaves_no_half_line_and_nothing_is_lost() {
    let place = Place::new();
    let file = place.work().join("events");
    let mut session = commander(&place, &file);
    assert_eq!(session.ask("ping"), "pong");
    // A disk can't be filled here. The kernel writes up to this limit and then says no, as it
    // does on a full disk.
    limit_files(session.pid(), 1500);
    for number in 0..4 {
        take(&session, &format!("number {number} {}", "y".repeat(300)));
    }
    session.wait_until_stderr("can't be written: File too large");
    let before = events_in(&file).len();
    assert!((1..4).contains(&before), "{before}");
    limit_files(session.pid(), libc::RLIM_INFINITY);
    session.wait_until("all is there", || events_in(&file).len() == 5);
    session.wait_until_stderr("written to");
    assert!(
        events_in(&file)
            .iter()
            .all(|event| event.name() != "missed")
    );
    session.signal(Signal::SIGTERM);
    session.wait_gone();
}

#[expect(unsafe_code, reason = "sets another process's limit")]
fn limit_files(pid: i32, most: u64) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads the limit given, and writes nothing.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(done, 0, "it is our own child");
}

#[test]
fn a_disk_that_is_full_to_the_end_is_said() {
    let place = Place::new();
    let output = run_true(&place, Path::new("/dev/full"));
    assert!(output.success(), "{output:?}");
    assert!(output.stderr.contains("No space left"), "{output:?}");
    assert!(
        output.stderr.contains("2 events were not written"),
        "{output:?}"
    );
    // Not once an event.
    assert_eq!(
        output.stderr.matches("No space left").count(),
        2,
        "{output:?}"
    );
}

#[test]
fn a_file_that_is_removed_is_said() {
    let place = Place::new();
    let file = place.work().join("events");
    let mut session = commander(&place, &file);
    assert_eq!(session.ask("ping"), "pong");
    fs::remove_file(&file).expect("it is ours");
    take(&session, "into nothing");
    take(&session, "again");
    session.wait_until_stderr("was removed");
    assert_eq!(session.stderr().matches("was removed").count(), 1);
    session.signal(Signal::SIGTERM);
    session.wait_gone();
}

#[test]
fn a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode() {
    let place = Place::new();
    let mode = |file: &Path| fs::metadata(file).expect("it is there").mode() & 0o7777;
    let new = place.work().join("new");
    assert!(run_true(&place, &new).success());
    assert_eq!(mode(&new), 0o600);
    let old = place.work().join("old");
    fs::write(&old, "of yesterday\n").expect("the place is ours");
    fs::set_permissions(&old, Permissions::from_mode(0o644)).expect("it is ours");
    assert!(run_true(&place, &old).success());
    assert_eq!(mode(&old), 0o644);
    assert_eq!(names(&events_in(&old)), ["started", "finished"]);
}

#[test]
fn links_of_ones_own_are_followed_and_those_of_others_are_not() {
    let place = Place::new();
    let target = place.work().join("target");
    let link = place.work().join("link");
    symlink("target", &link).expect("the place is ours");
    // One that leads to nothing yet makes the file.
    assert!(run_true(&place, &link).success());
    assert_eq!(names(&events_in(&target)), ["started", "finished"]);
    if !outside::as_root() {
        return;
    }
    fs::write(&target, "precious\n").expect("the place is ours");
    std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).expect("root may");
    let output = run_true(&place, &link);
    assert_eq!(output.status.code(), Some(96), "{output:?}");
    assert!(output.stderr.contains("another user"), "{output:?}");
    assert_eq!(
        fs::read_to_string(&target).expect("it is there"),
        "precious\n"
    );
}

#[test]
fn what_is_no_file_is_refused_and_what_is_a_stream_is_one() {
    let place = Place::new();
    let output = run_true(&place, &place.work());
    assert_eq!(output.status.code(), Some(96), "{output:?}");
    assert!(output.stderr.contains("directory"), "{output:?}");
    let socket = place.work().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("the name is free");
    let output = run_true(&place, &socket);
    assert_eq!(output.status.code(), Some(96), "{output:?}");
    assert!(output.stderr.contains("socket"), "{output:?}");
    // The kernel's links to open files are as good as files.
    for stream in ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"] {
        let output = run_true(&place, Path::new(stream));
        assert!(output.success(), "{output:?}");
        assert!(output.stderr.contains("\"finished\""), "{output:?}");
    }
    assert!(run_true(&place, Path::new("/dev/null")).success());
    let numbered = format!("/proc/self/fd/{}", std::io::stdin().as_raw_fd());
    assert!(run_true(&place, Path::new(&numbered)).success());
}
