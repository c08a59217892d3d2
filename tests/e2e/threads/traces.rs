//! Traces of the tool: the program sees the same environment as without it, and so do others who
//! wait for it.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use snapshot_tests::{
    Event, Isolation, Launch, PipedSession, Place, Signal, binaries, deadline, process,
};

/// In namespaces and without, as root and as an ordinary user.
fn everywhere() -> Vec<(&'static str, PipedSession)> {
    let launch = || Launch::guest_in_c("traces");
    vec![
        ("isolated", launch().piped()),
        ("never", launch().flag("--isolate=never").piped()),
        ("user", launch().as_user(Isolation::Allowed).piped()),
        (
            "user, no namespaces",
            launch().as_user(Isolation::NoUserNamespaces).piped(),
        ),
    ]
}

fn numbers(text: &str) -> Vec<i32> {
    text.split(' ')
        .map(|number| number.parse().expect("the guest answers with numbers"))
        .collect()
}

#[test]
fn group_and_session_have_numbers_and_come_back() {
    for (what, mut session) in everywhere() {
        let ids = session.ask("ids");
        assert!(numbers(&ids).iter().all(|&id| id > 0), "{what}: {ids}");
        session.take();
        session.ask("own group");
        session.revert();
        assert_eq!(session.ask("ids"), ids, "{what}: after a revert");
        // From a second one as well, and one that is kept.
        session.take();
        let output = session.command("revert", &["--keep"]);
        assert!(output.success(), "{what}: {output:?}");
        session.next("reverted");
        assert_eq!(session.ask("ids"), ids, "{what}: kept");
        session.revert();
        assert_eq!(session.ask("ids"), ids, "{what}: after the kept one");
    }
}

#[test]
fn a_program_is_not_ended_with_its_parent_by_a_signal_of_ours() {
    for (what, mut session) in everywhere() {
        assert_eq!(session.ask("death signal"), "0", "{what}");
        session.take();
        session.revert();
        assert_eq!(session.ask("death signal"), "0", "{what}: revived");
    }
}

#[test]
fn a_program_ends_with_launcher_and_supervisor_all_the_same() {
    for (what, mut session) in everywhere() {
        session.take();
        session.revert();
        let (live, launcher) = (session.live_pid(), session.launcher_pid());
        let supervisor = session.supervisor_pid();
        process::send(launcher, Signal::SIGSTOP);
        process::send(supervisor, Signal::SIGKILL);
        process::send(launcher, Signal::SIGKILL);
        let gone = deadline::wait(|| (!process::is_alive(live)).then_some(()));
        assert!(gone.is_some(), "{what}: the program outlives its session");
        // Nobody was left to remove it.
        let sockets = session.place().path("run").join("cargo-snapshot");
        let _ = std::fs::remove_file(sockets.join(format!("{launcher}.sock")));
        session.wait_gone();
    }
}

#[test]
fn a_signal_to_its_own_group_stays_in_the_program() {
    for (what, mut session) in everywhere() {
        session.ask("handle USR1");
        session.ask("handle TERM");
        session.ask("keep 1");
        session.take();
        session.take();
        session.ask("keep 2");
        session.ask("group TERM");
        assert_eq!(session.ask("seen"), "1", "{what}");
        assert!(session.events_named("ended").is_empty(), "{what}");
        assert_eq!(session.list().number("depth"), 2, "{what}: TERM");
        session.ask("group USR1");
        assert_eq!(session.ask("kept"), "2", "{what}");
        let taken = session.list().number("depth");
        assert!(taken <= 3, "{what}: {taken} snapshots for one signal");
        // Even the one that nobody can catch ends no more than the branch.
        session.send("group KILL");
        session.next("reverted");
        assert_eq!(session.list().number("depth"), taken - 1, "{what}: KILL");
        session.send("group KILL");
        session.next("reverted");
        if taken == 3 {
            session.send("group KILL");
            session.next("reverted");
        }
        assert_eq!(session.ask("kept"), "1", "{what}");
        let ids = session.ask("ids");
        assert!(numbers(&ids).iter().all(|&id| id > 0), "{what}: {ids}");
    }
}

/// In a terminal that it shares with the launcher it is in a group of its own, in front.
#[test]
fn a_shared_terminal_has_the_programs_group_in_front() {
    let mut session = Launch::guest_in_c("traces").flag("--pty=never").terminal();
    let ids = session.ask("ids");
    assert!(numbers(&ids)[0] > 0, "{ids}");
    assert_eq!(session.ask("front"), ids.split(' ').next().unwrap_or(""));
    session.take();
    // A branch that leaves the terminal to another group.
    session.ask("own group");
    session.revert();
    assert_eq!(session.ask("ids"), ids);
    assert_eq!(session.ask("front"), ids.split(' ').next().unwrap_or(""));
}

/// In a pipeline the program is in one group with launcher and snapshots.
#[test]
fn in_a_pipeline_it_stays_there_as_well() {
    let place = Place::new();
    let guest = binaries::guest_in_c("traces", &place.work());
    let mut session = Launch::bare("bash")
        .args([
            "-c",
            "trap : HUP; \"$0\" -- \"$1\" | (trap '' TERM HUP; cat)",
        ])
        .arg(&binaries::tools().snapshot_launch)
        .arg(&guest)
        .place(&place)
        .terminal();
    session.next("started");
    // The shell would end of them.
    let _ = session.ask("handle TERM");
    let _ = session.ask("handle HUP");
    session.take();
    session.take();
    let _ = session.ask("group HUP");
    assert_eq!(session.ask("seen"), "1");
    assert_eq!(session.list().number("depth"), 2);
    assert!(session.events_named("ended").is_empty());
}

/// The tool with this guest, by a shell that sets the stage.
fn staged(place: &std::sync::Arc<Place>, script: &str) -> PipedSession {
    let guest = binaries::guest_in_c("traces", &place.work());
    let mut session = Launch::bare("bash")
        .arg("-c")
        .arg(script)
        .arg(&binaries::tools().snapshot_launch)
        .arg(&guest)
        .place(place)
        .piped();
    // By then there is a launcher that the test can end.
    session.next_event("started", |event| event.name() == "started");
    session
}

#[test]
fn an_ignored_broken_pipe_stays_ignored() {
    for (trap, expected) in [("trap '' PIPE; ", "ignored"), ("", "default")] {
        let place = Place::new();
        let mut session = staged(&place, &format!("{trap}exec \"$0\" -- \"$1\""));
        assert_eq!(session.ask("disposition PIPE"), expected);
        session.take();
        session.revert();
        assert_eq!(session.ask("disposition PIPE"), expected, "revived");
    }
}

#[test]
fn no_descriptor_of_the_callers_is_taken() {
    let place = Place::new();
    for number in [250, 249, 100] {
        std::fs::write(place.path("text"), "the caller's own\n").expect("the place is ours");
        let script = format!(
            "exec {number}<'{}'; exec \"$0\" -- \"$1\"",
            place.path("text").display()
        );
        let mut session = staged(&place, &script);
        assert_eq!(session.ask(&format!("open {number}")), "1");
        assert_eq!(session.ask(&format!("read {number}")), "the caller's own");
    }
    // Where the limit is below that number, too.
    let mut session = staged(&place, "ulimit -n 30; exec \"$0\" -- \"$1\"");
    assert_eq!(session.ask("open 29"), "0");
}

/// A FIFO whose reader waits for the end.
struct Reader(File);

impl Reader {
    fn make(path: &Path) {
        mkfifo(path, Mode::S_IRWXU).expect("the place is ours");
    }

    /// As soon as there is a writer.
    fn open(path: &PathBuf) -> Self {
        let fd = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        Self(File::from(fd.expect("a FIFO that is there")))
    }

    /// All up to the end, if that comes in time.
    fn read_to_end(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::from(10_000_u16);
            if poll(&mut fds, patience).expect("it can be waited for") == 0 {
                return None;
            }
            let mut bytes = [0; 4096];
            match self.0.read(&mut bytes).expect("it can be read") {
                0 => return Some(text),
                length => text.push_str(&String::from_utf8_lossy(&bytes[..length])),
            }
        }
    }
}

#[test]
fn a_reader_outside_sees_the_end_when_the_program_closes() {
    for (flags, number) in [
        ("", 7),
        ("--isolate=never", 7),
        ("", 1),
        ("--isolate=never", 1),
    ] {
        let place = Place::new();
        let fifo = place.path("fifo");
        Reader::make(&fifo);
        let script = format!(
            "exec {number}>'{}'; exec \"$0\" {flags} -- \"$1\"",
            fifo.display()
        );
        // As soon as there is a writer, who waits for the reader in turn.
        let reader = std::thread::spawn(move || Reader::open(&fifo));
        let mut session = staged(&place, &script);
        let mut reader = reader.join().expect("it has been opened");
        session.send(&format!("close {number}"));
        let text = reader.read_to_end();
        assert!(text.is_some(), "{flags} {number}: somebody has it open");
        assert!(session.exit_status().is_none(), "the program goes on");
    }
}

#[test]
fn a_writer_outside_sees_that_nobody_reads() {
    let place = Place::new();
    let fifo = place.path("fifo");
    Reader::make(&fifo);
    let script = format!("exec 7<'{}'; exec \"$0\" -- \"$1\"", fifo.display());
    let writer =
        std::thread::spawn(move || open(&fifo, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()));
    let mut session = staged(&place, &script);
    let writer = writer.join().expect("it has been opened");
    let writer = writer.expect("the guest reads it");
    session.ask("close 7");
    let gone = deadline::wait(|| {
        let mut fds = [PollFd::new(writer.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).expect("it can be looked at");
        let flags = fds[0].revents().expect("known flags");
        flags.contains(PollFlags::POLLERR).then_some(())
    });
    assert!(gone.is_some(), "somebody has it open");
}

/// What a take says of ids.
fn named(taken: &Event) -> Vec<String> {
    let named = taken.list("not_rolled_back");
    let of_ids = named.iter().filter(|item| item.text("kind") == "ids");
    of_ids.map(|item| item.text("why").to_owned()).collect()
}

#[test]
fn a_take_says_whether_ids_will_be_the_same() {
    for (what, mut session) in everywhere() {
        let has_namespaces = session.events_named("started").is_empty()
            || session.events_named("started")[0].text("tier") == "full";
        let taken = session.take();
        let reverted = session.revert();
        assert_eq!(named(&taken).is_empty(), has_namespaces, "{what}: {taken}");
        assert_eq!(reverted.flag("same_ids"), has_namespaces, "{what}");
        if !has_namespaces {
            continue;
        }
        // A child in its group, until that has ended.
        session.ask("own group");
        let child = session.ask("child");
        let taken = session.take();
        assert!(
            named(&taken)[0].contains("process group"),
            "{what}: {taken}"
        );
        assert_eq!(session.ask(&format!("end {child}")), "1", "{what}");
        let taken = session.take();
        assert!(named(&taken).is_empty(), "{what}: {taken}");
        assert!(session.revert().flag("same_ids"), "{what}");
        session.ask("give up rights");
        let taken = session.take();
        assert!(
            named(&taken)[0].contains("CAP_CHECKPOINT_RESTORE"),
            "{what}: {taken}"
        );
        assert!(!session.revert().flag("same_ids"), "{what}");
    }
}

#[test]
fn a_sessions_leader_has_its_terminal_again() {
    for (what, mut session) in everywhere() {
        session.ask("lead");
        assert_eq!(session.ask("terminal"), "1 1", "{what}");
        let taken = session.take();
        let of_terminal = |taken: &Event| {
            let named = taken.list("not_rolled_back");
            named
                .iter()
                .any(|item| item.text("what").starts_with("the controlling terminal"))
        };
        assert!(!of_terminal(&taken), "{what}: {taken}");
        let output = session.command("revert", &["--keep"]);
        assert!(output.success(), "{what}: {output:?}");
        session.next("reverted");
        assert_eq!(session.ask("terminal"), "1 1", "{what}: kept");
        session.revert();
        assert_eq!(session.ask("terminal"), "1 1", "{what}: after the kept one");
        // Without a descriptor there is no way back to it.
        session.ask("forget terminal");
        assert!(of_terminal(&session.take()), "{what}");
    }
}
