//! Kernel objects after a revert: files, event sources, streams and shared memory are as at the
//! snapshot, whatever the branch has done to them.
//!
//! The guest `objects` can set, change and check each kind. Each round makes random changes after
//! a snapshot, reverts, checks (which consumes), and reverts. If a revert used up its snapshot,
//! the test takes a new one of what came back, so errors add up.

use std::ops::Range;

use snapshot_tests::{Ending, Isolation, Launch, PipedSession, Place, Seed, binaries};

/// Rounds with one snapshot, and with up to three.
const ROUNDS: usize = 100;
const DEEP_ROUNDS: usize = 30;

/// A guest under the tool, and the snapshots of it that lie on each other.
struct Objects {
    session: PipedSession,
    /// Number N is of level N+1.
    snapshots: Vec<i64>,
    seed: Seed,
}

impl Objects {
    fn new(launch: Launch, kind: &str) -> Self {
        Self {
            session: launch.arg(kind).piped(),
            snapshots: Vec::new(),
            seed: Seed::new(),
        }
    }

    fn set(&mut self, level: usize) {
        self.session.ask(&format!("set {level}"));
    }

    fn check(&mut self, level: usize) {
        self.session.ask(&format!("check {level}"));
    }

    fn spoil(&mut self) {
        let number = self.seed.number();
        self.session.ask(&format!("spoil {number}"));
    }

    fn take(&mut self) {
        let id = self.session.take().number("id");
        self.snapshots.push(id);
    }

    /// Goes back to the snapshot of this level, which stays or goes, by a command, or where
    /// that will do by a kill. It is there afterwards.
    fn back_to(&mut self, level: usize) {
        let keep = self.seed.below(2) == 0;
        let is_newest = level == self.snapshots.len();
        if !keep && is_newest && self.seed.below(2) == 0 {
            self.session.end_branch(Ending::Kill);
        } else {
            let id = self.snapshots[level - 1].to_string();
            let arguments = [id.as_str(), "--keep"];
            let count = if keep { 2 } else { 1 };
            let output = self.session.command("revert", &arguments[..count]);
            assert!(output.success(), "{output:?}");
            let reverted = self.session.next("reverted");
            assert_eq!(reverted.flag("kept"), keep, "{reverted}");
        }
        if keep {
            self.snapshots.truncate(level);
        } else {
            self.snapshots.truncate(level - 1);
            self.take();
        }
    }

    fn round(&mut self, levels: Range<u64>) {
        self.spoil();
        let span = levels.end - levels.start;
        let level = usize::try_from(levels.start + self.seed.below(span)).expect("a few");
        self.back_to(level);
        self.check(level);
        self.back_to(level);
    }
}

fn one_snapshot(launch: Launch, kind: &str) {
    let mut objects = Objects::new(launch, kind);
    objects.set(1);
    objects.take();
    for _ in 0..ROUNDS {
        objects.round(1..2);
    }
}

fn three_snapshots(launch: Launch, kind: &str) {
    let mut objects = Objects::new(launch, kind);
    objects.set(1);
    objects.take();
    for _ in 0..DEEP_ROUNDS {
        while objects.snapshots.len() < 3 {
            objects.set(objects.snapshots.len() + 1);
            objects.take();
        }
        objects.round(1..4);
    }
}

/// The live side has what it had, with snapshots of all levels; or after they are gone.
fn undisturbed(launch: Launch, kind: &str, commit: bool) {
    let mut objects = Objects::new(launch, kind);
    for level in 1..4 {
        objects.set(level);
        objects.take();
        objects.take();
    }
    if commit {
        let dropped = objects.session.command("drop", &["2"]);
        assert!(dropped.success(), "{dropped:?}");
        objects.session.commit();
    }
    objects.check(3);
}

/// What the guest would say if nothing came back, and if all did: without the tool.
fn guest_can_fail(kind: &str) {
    let place = Place::new();
    let program = binaries::guest_in_c("objects", &place.work());
    let fresh = |number: usize| {
        let directory = place.path(&format!("work/{number}"));
        std::fs::create_dir(&directory).expect("the place is ours");
        Launch::bare(&program)
            .place(&place)
            .directory(&directory)
            .arg(kind)
            .piped()
    };
    for level in 1..4 {
        let mut session = fresh(level);
        for below in 1..=level {
            session.ask(&format!("set {below}"));
        }
        session.ask(&format!("check {level}"));
    }
    let spoils = fresh(4).ask("spoils");
    for (number, spoil) in (5..).zip(spoils.split(' ')) {
        let mut session = fresh(number);
        session.ask("set 1");
        session.ask(&format!("spoil {spoil}"));
        session.send("check 1");
        let answer = session.next_line(spoil, |line| line.starts_with("err ") || line == "ok");
        assert_ne!(
            answer, "ok",
            "nothing is seen of {spoil}, which was: {answer}"
        );
    }
}

macro_rules! kinds {
    ($($kind:ident)*) => { $(
        mod $kind {
            use super::*;

            const KIND: &str = stringify!($kind);

            #[test]
            fn come_back_a_hundred_times() {
                one_snapshot(Launch::guest_in_c("objects"), KIND);
            }

            #[test]
            fn come_back_to_each_of_three_snapshots() {
                three_snapshots(Launch::guest_in_c("objects"), KIND);
            }

            #[test]
            fn are_undisturbed_by_a_take() {
                undisturbed(Launch::guest_in_c("objects"), KIND, false);
            }

            #[test]
            fn are_undisturbed_by_drop_and_commit() {
                undisturbed(Launch::guest_in_c("objects"), KIND, true);
            }

            #[test]
            fn are_seen_to_change_without_the_tool() {
                guest_can_fail(KIND);
            }
        }
    )* };
}

kinds! {
    files directories settings locks
    eventfds timerfds signalfds inotify epoll
    pipes fifos pairs terminals sockets listeners
    memfds shared
    all
}

#[test]
fn all_come_back_where_ids_differ() {
    let launch = || {
        Launch::guest_in_c("objects")
            .flag("--isolate")
            .flag("never")
    };
    one_snapshot(launch(), "all");
    three_snapshots(launch(), "all");
}

#[test]
fn all_come_back_for_an_ordinary_user() {
    for isolation in [Isolation::Allowed, Isolation::NoUserNamespaces] {
        let launch = Launch::guest_in_c("objects").as_user(isolation);
        three_snapshots(launch, "all");
    }
}

/// A FIFO that its owner has closed to itself is opened again all the same.
#[test]
fn a_fifo_without_rights_comes_back() {
    let script = "mkfifo fifo; exec 3<>fifo; chmod 200 fifo; echo then >&3; echo ready
        while read order; do read text <&3; echo \"got $text\"; done";
    for isolation in [Isolation::Allowed, Isolation::NoUserNamespaces] {
        let launch = Launch::program("/bin/sh").args(["-c", script]);
        let mut session = launch.as_user(isolation).piped();
        session.next_line("ready", |line| line == "ready");
        session.take();
        session.send("read");
        session.next_line("what waited", |line| line == "got then");
        session.end_branch(Ending::Kill);
        session.send("read");
        session.next_line("what waited", |line| line == "got then");
    }
}
