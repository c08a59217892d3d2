//! What the journal does where there is little room: on a full disk, and with few descriptors.

use std::fs;
use std::process::Command;

use snapshot_tests::{Ending, Isolation, Launch, Place, deadline};

use crate::guest::Guest;
use crate::mounted::Mounted;

/// Opening for writing and truncating fail as if the program itself had no room, and nothing is
/// lost. What needs no room goes on.
#[test]
fn a_full_disk_fails_writers_and_lets_names_go() {
    let place = Place::new();
    let Some(_small) = Mounted::tmpfs(&place.work(), "size=1m") else {
        return;
    };
    let mut guest = Guest::start_in(&place, Launch::guest("file_storm"), &[]);
    guest.does("put old 200000 1");
    guest.does("put small 5000 1");
    assert_eq!(guest.fails("put fill 2000000 1"), "ENOSPC");
    let then = guest.picture();
    guest.session.take();
    assert_eq!(guest.fails("over old 0 10 2"), "ENOSPC");
    assert_eq!(guest.fails("put old 0 2"), "ENOSPC");
    assert_eq!(guest.fails("truncate old 10"), "ENOSPC");
    guest.assert_same("a call that failed has changed something", &then);
    guest.does("unlink fill");
    guest.does("rename old new");
    guest.session.end_branch(Ending::Kill);
    guest.await_quiet();
    guest.assert_same("after the revert", &then);
}

/// Not even a link can be kept: the program can clean up all the same, and the loss is named.
#[test]
fn without_room_for_a_link_a_removal_goes_on_and_is_named() {
    let place = Place::new();
    let Some(_small) = Mounted::tmpfs(&place.work(), "size=4m,nr_inodes=40") else {
        return;
    };
    let mut guest = Guest::start_in(&place, Launch::guest("file_storm"), &[]);
    for name in ["old", "older", "replaced"] {
        guest.does(&format!("put {name} 100 1"));
    }
    guest.does("mkdir empty 755");
    guest.session.take();
    let full = (0..50).find(|number| {
        guest.session.send(&format!("do touch new{number}"));
        let answer = guest
            .session
            .next_line("touch", |line| line == "ok" || line.starts_with("err "));
        answer == "err ENOSPC"
    });
    assert!(full.is_some(), "there was room for all");
    guest.does("unlink old");
    guest.does("rmdir empty");
    guest.does("rename new0 replaced");
    await_message(&mut guest, "it can't be kept when it is removed");
    guest.session.end_branch(Ending::Kill);
    guest.await_quiet();
    await_message(&mut guest, "old: failed to bring it back");
}

fn await_message(guest: &mut Guest, text: &str) {
    let said = deadline::wait(|| guest.session.stderr().contains(text).then_some(()));
    if said.is_none() {
        guest.session.fail(&format!("nobody says: {text}"));
    }
}

/// Has a lease on a file, and lets go when somebody opens it.
const HOLDER: &str = "
import fcntl, os, signal, sys
file = os.open(sys.argv[1], os.O_RDONLY)
signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK))
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
open(sys.argv[2], 'w').close()
while True:
    signal.pause()
";

const OVERWRITER: &str = "
import sys
print('ready', flush=True)
for line in sys.stdin:
    with open('leased', 'r+') as file:
        file.write('new')
    print('ok', flush=True)
";

#[test]
fn a_file_that_others_have_a_lease_on_is_named() {
    let Some(python) = snapshot_tests::outside::find("python3") else {
        return;
    };
    let mut session = Launch::program(&python).arg("-c").arg(OVERWRITER).piped();
    let work = session.place().work();
    let (leased, is_held) = (work.join("leased"), work.join("is-held"));
    fs::write(&leased, "old").expect("the place is ours");
    session.next_line("ready", |line| line == "ready");
    session.take();
    let mut holder = Command::new(&python);
    holder.args(["-c", HOLDER]).args([&leased, &is_held]);
    let mut holder = deadline::spawn(&mut holder);
    session.wait_until("there is a lease", || is_held.exists());
    session.ask("write");
    session.wait_until_stderr("somebody has a lease on it");
    holder.kill().expect("it is ours");
    holder.wait().expect("it is ours");
}

/// The journal of a session, by its launcher.
fn journal_of(launcher: i32) -> Option<i32> {
    let below = |parent: i32| {
        let children = format!("/proc/{parent}/task/{parent}/children");
        let text = fs::read_to_string(children).unwrap_or_default();
        let numbers = text.split_ascii_whitespace().map(str::parse);
        numbers.filter_map(Result::ok).collect::<Vec<i32>>()
    };
    let is_journal = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "snap-journal\n")
    };
    let mut all = vec![launcher];
    let mut at = 0;
    while let Some(&pid) = all.get(at) {
        all.extend(below(pid));
        at += 1;
    }
    all.into_iter().find(is_journal)
}

/// What holds an inode is a descriptor or a link; the journal keeps enough descriptors to work.
#[test]
fn more_files_come_back_than_the_journal_may_hold() {
    const FILES: usize = 400;
    let mut guest = Guest::launch();
    for number in 0..FILES {
        guest.does(&format!("put f{number} 10 1"));
    }
    let then = guest.picture();
    guest.session.take();
    let Some(journal) = journal_of(guest.session.pid()) else {
        panic!("there is no journal");
    };
    let mut command = Command::new("prlimit");
    command.args(["--pid", &journal.to_string(), "--nofile=300:300"]);
    assert!(deadline::run(&mut command).success(), "prlimit");
    for number in 0..FILES {
        guest.does(&format!("chmod f{number} 600"));
    }
    for number in 0..FILES / 2 {
        guest.does(&format!("put f{number} 20 2"));
    }
    guest.session.end_branch(Ending::Kill);
    guest.await_quiet();
    guest.assert_same("after the revert", &then);
    let stderr = guest.session.stderr();
    assert!(!stderr.contains("will not bring back"), "{stderr}");
}

/// The kernel writes to a directory that moves, so its owner must open it first.
#[test]
fn a_closed_directory_of_the_branch_goes() {
    let launch = Launch::guest("file_storm").as_user(Isolation::NoUserNamespaces);
    let mut guest = Guest::start(launch, &[]);
    guest.goes_and_comes_back(
        &["mkdir birch 755", "mkdir birch/fir 500", "chmod birch 500"],
        Ending::Kill,
    );
    let stderr = guest.session.stderr();
    assert!(!stderr.contains("not as it was"), "{stderr}");
}

/// The journal moves it away, for which the kernel would not need to read it or write to it.
#[test]
fn closed_directories_are_removed_and_renamed_over() {
    let launch = Launch::guest("file_storm").as_user(Isolation::NoUserNamespaces);
    let mut guest = Guest::start(launch, &[]);
    guest.does("mkdir birch 755");
    for mode in ["000", "300", "400", "500"] {
        guest.does(&format!("mkdir birch/fir{mode} 755"));
        guest.does(&format!("mkdir birch/yew{mode} 755"));
        guest.does(&format!("mkdir cedar{mode} 755"));
        guest.does(&format!("put cedar{mode}/oak 9 1"));
        guest.does(&format!("chmod birch/fir{mode} {mode}"));
        guest.does(&format!("chmod birch/yew{mode} {mode}"));
    }
    for mode in ["000", "300", "400", "500"] {
        guest.goes_and_comes_back(&[&format!("rmdir birch/fir{mode}")], Ending::Kill);
        let over = format!("rename cedar{mode} birch/yew{mode}");
        guest.goes_and_comes_back(&[&over], Ending::Kill);
    }
}

/// The owner of a file may close it against himself and go on writing to it.
#[test]
fn a_file_that_its_owner_has_closed_comes_back() {
    let launch = Launch::guest("file_storm").as_user(Isolation::NoUserNamespaces);
    let mut guest = Guest::start(launch, &[]);
    guest.does("put ash 9000 1");
    guest.does("hold 0 ash b");
    guest.does("chmod ash 000");
    guest.goes_and_comes_back(&["held-over 0 10 50 2"], Ending::Kill);
}
