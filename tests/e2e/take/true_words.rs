//! The tool's messages are true: counts, reasons and advice, as the user sees them.

use std::fs::File;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use snapshot_tests::{Event, Launch, Place, Seed, Signal, binaries, outside, process};

/// A line of stderr without the colour.
fn said(text: &str) -> String {
    format!("[snapshot] {text}")
}

#[test]
fn the_list_says_how_many_threads() {
    let mut session = Launch::guest("crowd").args(["count", "7"]).piped();
    session.ask("advance");
    assert_eq!(session.take().number("threads"), 8);
    let list = session.list();
    let snapshots = list.list("snapshots");
    assert_eq!(snapshots[0].number("threads"), 8, "{list}");
    let plain = session.command("list", &[]);
    assert!(plain.stdout.contains("  8 threads  "), "{plain:?}");
}

#[test]
fn a_kept_snapshot_stays_and_the_time_is_the_reverts() {
    let mut session = Launch::commander().piped();
    session.take();
    assert!(session.command("revert", &["--keep"]).success());
    session.wait_until_stderr("[snapshot] reverted to #1 in ");
    session.wait_until_stderr("; #1 stays\n");
}

#[test]
fn a_session_that_was_quit_was_not_killed() {
    let mut session = Launch::commander().terminal();
    session.command_key("s");
    session.next("taken");
    session.command_key("q");
    session.wait_for_text(&said("the session was quit"));
    session.wait_gone();
    assert!(
        !session.screen().contains("killed by"),
        "{}",
        session.screen()
    );
}

#[test]
fn a_session_that_a_signal_ends_says_which() {
    let mut session = Launch::commander().piped();
    session.take();
    session.signal(snapshot_tests::Signal::SIGTERM);
    let ended = session.finish();
    assert!(
        ended
            .stderr
            .contains(&said("the session was ended by SIGTERM\n")),
        "{ended:?}"
    );
}

#[test]
fn a_program_that_is_killed_in_a_take_hides_nothing() {
    let mut session = Launch::commander().piped();
    session.take();
    let mut seed = Seed::new();
    for _ in 0..80 {
        let live = session.live_pid();
        session.signal_live(Signal::SIGUSR1);
        seed.idle(Duration::from_millis(3));
        process::send(live, Signal::SIGKILL);
        let reverted = session.next("reverted");
        if reverted.number("depth") == 0 {
            session.take();
        }
    }
    for taken in session.events_named("taken") {
        // The pipes that it was started with are known by their numbers, and nothing else is
        // named but what can't be known of a dead program.
        let is_known = |item: &Event| {
            item.text("kind") == "lock" && item.text("why").starts_with("the program ended ")
        };
        assert!(taken.named().iter().all(is_known), "{taken}");
        // What is known of a snapshot is not what its dead program has left.
        assert_eq!(taken.number("threads"), 1, "{taken}");
        assert!(taken.number("rss_bytes") > 0, "{taken}");
    }
}

/// Takes a lock of its own process on a file, and gives it back.
const LOCKER: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
int main(int count, char **arguments) {
  int fd = open(arguments[1], O_RDWR | O_CREAT, 0600);
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    struct flock lock = { .l_whence = SEEK_SET, .l_len = 10 };
    lock.l_type = strcmp(line, "lock\n") == 0 ? F_WRLCK : F_UNLCK;
    puts(fcntl(fd, F_SETLK, &lock) == 0 ? "ok" : "err");
    fflush(stdout);
  }
  return count == 0;
}
"#;

#[test]
fn what_a_revert_could_not_put_back_is_named_with_its_reason() {
    let place = Place::new();
    let path = place.work().join("locked");
    let program = binaries::compile_c(LOCKER, &[], &place.work());
    let mut session = Launch::program(program).arg(&path).place(&place).piped();
    session.ask("lock");
    session.take();
    session.ask("unlock");
    let other = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("the guest has made it");
    let lock = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).expect("it is small"),
        l_whence: 0,
        l_start: 0,
        l_len: 10,
        l_pid: 0,
    };
    fcntl(&other, FcntlArg::F_OFD_SETLK(&lock)).expect("nobody has it");
    session.revert();
    session.wait_until_stderr(&said(
        "not put back: 1 lock on a file; another process has taken it meanwhile\n",
    ));
}

#[test]
fn what_is_promised_is_promised() {
    let mut session = Launch::commander().piped();
    let started = session.next("started");
    assert_eq!(started.text("files"), "all");
    let help = binaries::tools();
    let help = snapshot_tests::deadline::run(
        std::process::Command::new(&help.snapshot_launch).arg("--help"),
    );
    assert!(help.success(), "{help:?}");
    assert!(!help.stdout.contains("file rollback"), "{help:?}");
}

/// For every kind that a take names, one sentence says what it means.
#[test]
fn each_thing_that_stays_says_what_that_means() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let guest = binaries::source("shared_with_a_child.py");
    let mut session = Launch::program(python).arg(guest).piped();
    session.next_line("ready", |line| line == "ready");
    let named = session.take().list("not_rolled_back");
    assert!(named.len() >= 4, "{named:?}");
    for item in named {
        let why = item.text("why");
        assert!(why.split_whitespace().count() >= 8, "{item}");
        for part in ["kind", "what"] {
            assert!(!item.text(part).is_empty(), "{item}");
        }
    }
}

/// Writes letters into a file that it has mapped.
const MAPPER: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int count, char **arguments) {
  int fd = open(arguments[1], O_RDWR | O_CREAT, 0600);
  if (ftruncate(fd, 4096) != 0) return 1;
  char *mapped = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    if (line[0] == '=') printf("ok %c\n", *mapped);
    else { *mapped = line[0]; puts("ok"); }
    fflush(stdout);
  }
  return count == 0;
}
"#;

/// What is in a file that the program has mapped, after a branch has written to it and was
/// given up; and what the take has said of such memory.
fn mapped_after_a_revert(flags: &[&str]) -> (String, usize) {
    let place = Place::new();
    let program = binaries::compile_c(MAPPER, &[], &place.work());
    let mut launch = Launch::program(program).arg(place.work().join("mapped"));
    for flag in flags {
        launch = launch.flag(flag);
    }
    let mut session = launch.place(&place).piped();
    session.ask("before");
    let named = session.take().list("not_rolled_back");
    let memory = named
        .iter()
        .filter(|item| item.text("kind") == "shared-memory")
        .count();
    session.ask("after");
    session.revert();
    (session.ask("="), memory)
}

#[test]
fn no_files_means_none() {
    assert_eq!(mapped_after_a_revert(&[]), ("b".to_owned(), 0));
    assert_eq!(mapped_after_a_revert(&["--no-files"]), ("a".to_owned(), 1));
}
