//! Random operations of all kinds on files, by threads, children and other programs, and random
//! takes, reverts to any level, drops and commits. After each revert the whole tree and all
//! descriptors are as they were at the take.
//!
//! `SNAPSHOT_TEST_SEED=N` repeats a run, up to the threads' own order.
//! `SNAPSHOT_TEST_OPERATIONS=N` sets how many operations a run has. `TMPDIR` says on which
//! filesystem the tree lies.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use snapshot_tests::{Ending, Isolation, Launch, Place, Seed, binaries, deadline, outside};

use crate::guest::{Guest, Picture};
use crate::mounted::Mounted;

/// How many operations each of the tests has, and the long one.
const OPERATIONS: u64 = 7_000;
const MANY_OPERATIONS: u64 = 1_000_000;

/// How many operations one session has: it has a few minutes to live.
const A_SESSION: u64 = 20_000;
const LIFE_SECONDS: u32 = 600;

/// How many operations each of those who work at the same time does in a burst, at most.
const A_BURST: u64 = 30;

/// How many snapshots lie on each other at most.
const DEPTH: usize = 4;

/// The seed of bursts that are to be the same in every run.
const ONE_SEED: u64 = 1;

/// How long a burst goes on at most before it is killed or a snapshot is taken in it.
const INTO_A_BURST: Duration = Duration::from_millis(12);

/// A snapshot.
struct Level {
    id: i64,
    /// What the tree was like; none for a snapshot that was taken while it changed.
    picture: Option<Picture>,
    /// How much the guest had said by then.
    said: usize,
}

struct Storm {
    guest: Guest,
    seed: Seed,
    levels: Vec<Level>,
    operations: u64,
    /// How many trees have been compared after a revert.
    compared: u64,
    outsiders: u64,
    programs: bool,
}

impl Storm {
    fn new(launch: Launch, programs: &[PathBuf]) -> Self {
        Self::within(&Place::new(), launch, programs)
    }

    fn within(place: &Arc<Place>, launch: Launch, programs: &[PathBuf]) -> Self {
        let launch = launch.life_seconds(LIFE_SECONDS);
        Self {
            guest: Guest::start_in(place, launch, programs),
            seed: Seed::new(),
            levels: Vec::new(),
            operations: 0,
            compared: 0,
            outsiders: 0,
            programs: !programs.is_empty(),
        }
    }

    /// Random steps until so many operations are done.
    fn rage(&mut self, operations: u64) {
        while self.operations < operations {
            match self.seed.below(16) {
                0..5 => self.burst_to_the_end(),
                5..8 if self.levels.len() < DEPTH => self.take(),
                8 if self.levels.len() < DEPTH => self.take_in_a_burst(),
                9..13 if !self.levels.is_empty() => self.revert(),
                13 if !self.levels.is_empty() => self.drop_one(),
                14 if self.seed.below(4) == 0 && !self.levels.is_empty() => self.commit(),
                15 => self.edit_outside(),
                _ => {}
            }
        }
        while !self.levels.is_empty() {
            self.revert();
        }
        self.guest.await_own_links();
    }

    /// Begins a burst of some of `who`.
    fn burst(&mut self, who: &str) -> String {
        let count = self.seed.below(A_BURST) + 1;
        let mut some = String::new();
        for (one, workers) in [('t', 2), ('m', 1), ('c', 2), ('p', 2)] {
            if !who.contains(one) || (one == 'p' && !self.programs) || self.seed.below(3) == 0 {
                continue;
            }
            some.push(one);
            self.operations += workers * count;
        }
        let seed = self.seed.number();
        self.guest.burst(count, seed, &format!("-{some}"))
    }

    fn burst_to_the_end(&mut self) {
        let tag = self.burst("tmcp");
        self.guest.finish(&tag);
    }

    fn take(&mut self) {
        if self.levels.is_empty() {
            self.guest.await_own_links();
        }
        let picture = self.guest.picture();
        let id = self.taken();
        self.guest
            .assert_same("a take has changed something", &picture);
        self.push(id, Some(picture));
    }

    /// Takes a snapshot while threads change files. No child lives then: one that is older than
    /// its snapshot would go on after the revert.
    fn take_in_a_burst(&mut self) {
        let tag = self.burst("tm");
        self.seed.idle(INTO_A_BURST);
        let id = self.taken();
        self.guest.finish(&tag);
        self.push(id, None);
    }

    fn taken(&mut self) -> i64 {
        let output = self.guest.session.command("take", &[]);
        assert!(output.success(), "{output:?}");
        self.guest.session.next_taken().number("id")
    }

    fn push(&mut self, id: i64, picture: Option<Picture>) {
        let said = self.guest.said();
        self.levels.push(Level { id, picture, said });
    }

    /// Ends the branch, quiet or in the middle of a burst, and compares.
    fn revert(&mut self) {
        if self.seed.below(2) == 0 {
            self.burst("tmcp");
            self.seed.idle(INTO_A_BURST);
        }
        let newest = self.levels.len() - 1;
        let (at, keep) = if self.seed.below(2) == 0 {
            self.guest.session.end_branch(Ending::Kill);
            (newest, false)
        } else {
            let count = u64::try_from(self.levels.len()).expect("a few");
            let at = usize::try_from(self.seed.below(count)).expect("a few");
            let keep = self.seed.below(2) == 0;
            self.revert_to(at, keep);
            (at, keep)
        };
        self.guest.await_quiet();
        self.guest.assert_no_outsiders();
        let level = &self.levels[at];
        if let Some(then) = &level.picture {
            let differences = then.differences(&self.guest.picture());
            if !differences.is_empty() {
                let when = format!("after the revert to #{} of {at} others", level.id);
                self.guest.fail(&when, &differences, level.said);
            }
            self.compared += 1;
        }
        if at == 0 {
            self.guest.await_own_links();
        }
        self.levels.truncate(if keep { at + 1 } else { at });
    }

    fn revert_to(&mut self, at: usize, keep: bool) {
        let id = self.levels[at].id;
        let name = id.to_string();
        let mut arguments = vec![name.as_str()];
        if keep {
            arguments.push("--keep");
        }
        let before = self.guest.session.events_named("reverted").len();
        let output = self.guest.session.command("revert", &arguments);
        assert!(output.success(), "{output:?}");
        let reverted = self.guest.session.wait_for_count("reverted", before + 1);
        let reverted = reverted.last().expect("one more");
        assert_eq!(reverted.number("id"), id, "{reverted}");
    }

    fn drop_one(&mut self) {
        let count = u64::try_from(self.levels.len()).expect("a few");
        let at = usize::try_from(self.seed.below(count)).expect("a few");
        let level = self.levels.remove(at);
        let picture = self.guest.picture();
        let output = self.guest.session.command("drop", &[&level.id.to_string()]);
        assert!(output.success(), "{output:?}");
        self.guest
            .assert_same("a drop has changed something", &picture);
    }

    fn commit(&mut self) {
        let picture = self.guest.picture();
        self.guest.session.commit();
        self.levels.clear();
        self.guest
            .assert_same("a commit has changed something", &picture);
        self.guest.await_own_links();
    }

    /// Somebody outside changes a file of his own, which no revert may touch.
    fn edit_outside(&mut self) {
        let path = self.guest.outside("edited");
        if self.outsiders > 0 {
            let found = fs::read_to_string(&path).expect("nobody else removes it");
            assert_eq!(found, self.outsiders.to_string(), "an outsider's file");
        }
        self.outsiders += 1;
        fs::write(&path, self.outsiders.to_string()).expect("it is ours");
    }
}

/// A file of somebody else's, which is held to be found wherever it goes.
struct Theirs {
    file: fs::File,
    text: String,
}

/// Saves a file as editors do.
fn replace(path: &Path, text: String) -> Theirs {
    let new = path.with_file_name("theirs~");
    fs::write(&new, &text).expect("the place is ours");
    fs::rename(&new, path).expect("the place is ours");
    let file = fs::File::open(path).expect("it was made");
    Theirs { file, text }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the place is ours") {
        let entry = entry.expect("the place is ours");
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// The programs that are no part of the guest: static ones, for 64 bits and for 32.
fn programs(directory: &Path) -> Vec<PathBuf> {
    let mut programs = Vec::new();
    for (bits, option) in [("64", "-m64"), ("32", "-m32")] {
        let program = directory.join(format!("file_storm_{bits}"));
        let mut command = Command::new("cc");
        command.arg(option).arg("-o").arg(&program);
        command.args(["-O1", "-static", "-nostdlib", "-ffreestanding"]);
        command.args(["-fno-stack-protector", "-fno-pie", "-no-pie"]);
        let output = deadline::run(command.arg(binaries::source("file_storm_program.c")));
        if output.success() {
            programs.push(program);
        } else {
            eprintln!("skipped: the compiler makes no program of {bits} bits");
        }
    }
    assert!(!programs.is_empty(), "the compiler makes no program at all");
    programs
}

/// How many operations a run has.
fn operations(usual: u64) -> u64 {
    std::env::var("SNAPSHOT_TEST_OPERATIONS").map_or(usual, |text| {
        text.parse().expect("SNAPSHOT_TEST_OPERATIONS is a number")
    })
}

/// Sessions that are launched in this way, until so many operations are done.
fn everything_comes_back(operations: u64, launch: impl Fn(Launch) -> Launch) {
    let directory = tempfile::tempdir().expect("the temp directory is writable");
    let programs = programs(directory.path());
    let mut done = 0;
    let mut compared = 0;
    while done < operations {
        let launch = launch(Launch::guest("file_storm"));
        let mut storm = Storm::new(launch, &programs);
        storm.rage((operations - done).min(A_SESSION));
        done += storm.operations;
        compared += storm.compared;
        deadline::renew();
    }
    println!("{done} operations, {compared} comparisons");
    assert!(compared > 0, "nothing was compared");
}

#[test]
fn everything_comes_back_in_namespaces() {
    everything_comes_back(operations(OPERATIONS), |launch| launch);
}

#[test]
fn everything_comes_back_without_namespaces() {
    everything_comes_back(operations(OPERATIONS), |launch| {
        launch.flag("--isolate").flag("never")
    });
}

#[test]
fn everything_comes_back_for_an_ordinary_user() {
    everything_comes_back(operations(OPERATIONS), |launch| {
        launch.as_user(Isolation::Allowed)
    });
}

#[test]
fn everything_comes_back_for_an_ordinary_user_without_namespaces() {
    everything_comes_back(operations(OPERATIONS), |launch| {
        launch.as_user(Isolation::NoUserNamespaces)
    });
}

/// On a filesystem of the test's own, if there can be one.
fn everything_comes_back_on(mount: impl FnOnce(&Place) -> Option<Mounted>) {
    let place = Place::new();
    let Some(_mounted) = mount(&place) else {
        return;
    };
    let directory = tempfile::tempdir().expect("the temp directory is writable");
    let launch = Launch::guest("file_storm").flag("--isolate").flag("never");
    let mut storm = Storm::within(&place, launch, &programs(directory.path()));
    storm.rage(operations(OPERATIONS).min(A_SESSION));
    assert!(storm.compared > 0, "nothing was compared");
}

#[test]
fn everything_comes_back_in_memory() {
    everything_comes_back_on(|place| Mounted::tmpfs(&place.work(), "size=1g"));
}

#[test]
fn everything_comes_back_on_an_overlay() {
    everything_comes_back_on(Mounted::overlay);
}

#[test]
#[ignore = "takes an hour or so"]
fn a_million_operations_come_back() {
    let quarter = operations(MANY_OPERATIONS) / 4;
    everything_comes_back(quarter, |launch| launch);
    everything_comes_back(quarter, |launch| launch.flag("--isolate").flag("never"));
    everything_comes_back(quarter, |launch| launch.as_user(Isolation::Allowed));
    everything_comes_back(quarter, |launch| {
        launch.as_user(Isolation::NoUserNamespaces)
    });
}

#[test]
fn what_others_replace_stays() {
    const ROUNDS: u32 = 30;
    let directory = tempfile::tempdir().expect("the temp directory is writable");
    let programs = programs(directory.path());
    let mut storm = Storm::new(Launch::guest("file_storm"), &programs);
    let root = storm.guest.outside("").join("..");
    let root = fs::canonicalize(root).expect("the place is ours");
    for round in 0..ROUNDS {
        storm.burst_to_the_end();
        for _ in 0..=storm.seed.below(2) {
            storm.take();
            storm.burst_to_the_end();
        }
        let mut files = files(&root);
        let mut theirs = Vec::new();
        for number in 0..storm.seed.below(4) {
            let count = u64::try_from(files.len()).expect("a few");
            if count == 0 {
                break;
            }
            let at = usize::try_from(storm.seed.below(count)).expect("a few");
            let text = format!("theirs {round}.{number}");
            theirs.push(replace(&files.swap_remove(at), text));
        }
        let count = u64::try_from(storm.levels.len()).expect("a few");
        let at = usize::try_from(storm.seed.below(count)).expect("a few");
        storm.revert_to(at, false);
        storm.levels.truncate(at);
        storm.guest.await_quiet();
        for Theirs { file, text } in &theirs {
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            let path = fs::read_link(link).expect("it is open");
            let found = fs::read_to_string(&path).unwrap_or_default();
            if found != *text || !path.starts_with(&root) {
                storm.guest.session.fail(&format!("{text} is at {path:?}"));
            }
        }
    }
}

/// The test of the test: without the tool a quiet guest changes nothing, and a burst is seen.
#[test]
fn pictures_tell_what_a_burst_has_changed() {
    let directory = tempfile::tempdir().expect("the temp directory is writable");
    let launch = Launch::bare(binaries::guest("file_storm"));
    let mut storm = Storm::new(launch, &programs(directory.path()));
    let empty = storm.guest.picture();
    storm.guest.assert_same("nothing was done", &empty);
    // What one thread does with the same dice in an empty tree is the same in every run.
    let tag = storm.guest.burst(2_000, ONE_SEED, "m");
    storm.guest.finish(&tag);
    let full = storm.guest.picture();
    storm.guest.assert_same("all is quiet", &full);
    storm.guest.assert_changed(&empty);
    let (files, kinds) = full.size();
    println!("{files} files of {kinds} kinds");
    assert!(files > 20 && kinds > 3, "{files} files of {kinds} kinds");
    // One more burst is enough.
    for who in ["m", "tmcp"] {
        let before = storm.guest.picture();
        let tag = storm.guest.burst(A_BURST, ONE_SEED, who);
        storm.guest.finish(&tag);
        storm.guest.assert_changed(&before);
    }
    // All of them together, wherever the dice lead.
    for _ in 0..40 {
        storm.burst_to_the_end();
    }
    let then = storm.guest.picture();
    storm.guest.assert_same("all is quiet again", &then);
    storm.guest.assert_changed(&full);
    if outside::as_root() {
        storm.guest.await_own_links();
    }
}
