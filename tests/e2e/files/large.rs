//! Big files that are open for writing at a take: they are not copied, and come back all the same,
//! however the branch has written to them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use snapshot_tests::{Ending, Event, Launch, PipedSession, Place, Seed, binaries};

/// More than what is copied.
const SIZE: u64 = 5 * 1024 * 1024 + 777;

/// A session of the guest with a big file, which it has open as number 1 and 2.
struct Guest {
    session: PipedSession,
    file: PathBuf,
    then: Vec<Vec<u8>>,
}

fn noise(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

impl Guest {
    fn launch() -> Self {
        let place = Place::new();
        let file = place.work().join("big");
        fs::write(&file, noise(7, SIZE)).expect("the place is ours");
        let mut session = Launch::program(binaries::guest_in_c("large", &place.work()))
            .place(&place)
            .piped();
        session.ask("open 1 big re");
        session.ask("open 2 big re");
        Self {
            session,
            file,
            then: Vec::new(),
        }
    }

    fn now(&self) -> Vec<u8> {
        fs::read(&self.file).expect("it is there")
    }

    fn take(&mut self) {
        self.then.push(self.now());
        let taken = self.session.take();
        let lost = taken.list("not_rolled_back");
        let is_file = |lost: &Event| lost.text("kind") == "files";
        assert!(!lost.iter().any(is_file), "{taken}");
    }

    /// The number that the program itself has for the file.
    fn descriptor(&mut self) -> String {
        self.session.ask("number 1 0")
    }

    /// The lines of eight letters that a patch takes away and adds.
    fn patch(&mut self, moments: &[&str]) -> Vec<String> {
        let arguments = [&["--patch"], moments].concat();
        let shown = self.session.command("diff", &arguments);
        assert!(shown.success(), "{shown:?}");
        let lines = shown.stdout.lines().filter(|line| line.len() == 9);
        let lines = lines.filter(|line| line.starts_with(['-', '+']));
        lines.map(str::to_owned).collect()
    }

    /// Bytes that are kept of files since the newest take.
    fn kept(&mut self) -> u64 {
        let snapshots = self.session.list().list("snapshots");
        let newest = snapshots.last().expect("there is one");
        newest.number("files_bytes").unsigned_abs()
    }

    /// Differs from what it was at the newest take, so that the test proves something.
    fn assert_changed(&self) {
        assert!(self.then.last() != Some(&self.now()), "nothing has changed");
    }

    fn assert_back(&self, level: usize, what: &str) {
        let (then, now) = (&self.then[level], self.now());
        if *then != now {
            let differs = then.iter().zip(&now).position(|(then, now)| then != now);
            panic!(
                "after {what}: {} and {} bytes, differing at {differs:?}",
                then.len(),
                now.len()
            );
        }
    }

    /// Takes, has the branch do this, kills it, and compares.
    fn comes_back_from(&mut self, operations: &[&str]) {
        self.take();
        for operation in operations {
            self.session.ask(operation);
        }
        self.assert_changed();
        self.session.end_branch(Ending::Kill);
        self.session.ask("ping");
        self.assert_back(self.then.len() - 1, &operations.join(", "));
        self.then.pop();
    }
}

#[test]
fn every_way_of_writing_is_undone() {
    let mut guest = Guest::launch();
    for operation in [
        "pwrite 1 100 5000 1",
        "pwrite 2 65530 12 2",
        "writev 1 1000000 70000 3",
        "pwritev 1 5242800 500 4",
        "pwritev2 1 2000000 4000 5",
        "print 1 3000000 100000 6",
        "send 1 1500000 9000 7",
        "copy 1 2500000 9000 8",
        "splice 1 131000 4000 9",
        "map 1 4000000 200000 10",
        "thread 1 400000 100 11",
        "child 1 700000 100000 12",
        "pressed 1 0 1048576 13",
        "truncate 1 1234567",
        "truncate 1 0",
        "punch 1 196608 300000",
    ] {
        guest.comes_back_from(&[operation]);
    }
    for operations in [
        ["seek 1 4000000", "write 1 2000000 20"],
        ["truncate 1 3000000", "pwrite 1 2999999 3000000 21"],
        ["truncate 1 9000000", "pwrite 2 8000000 5 22"],
        ["dup 1 3", "pwrite 3 77 77 23"],
        ["fcntl 1 3", "print 3 770000 77 23"],
        ["pass 1 3", "pwritev 3 1770000 77 23"],
        ["pass 2 3", "child 3 1770000 77 23"],
        ["open 3 big a", "write 3 100000 24"],
        ["open 3 big r", "pwrite 3 4000000 1000 25"],
        ["open 3 big t", "write 3 1000 26"],
        ["close 1", "pwrite 2 9 9 27"],
    ] {
        guest.comes_back_from(&operations);
    }
}

#[test]
fn a_file_that_is_opened_in_the_branch_comes_back() {
    let mut guest = Guest::launch();
    guest.session.ask("close 1");
    guest.session.ask("close 2");
    guest.comes_back_from(&["open 3 big r", "pwrite 3 4000000 1000 1", "print 3 5 9 2"]);
    guest.comes_back_from(&["open 3 big e", "write 3 100000 3", "truncate 3 5000"]);
}

/// A number that was another file's is written to once, and then belongs to the guarded one.
#[test]
fn a_number_that_changes_its_file_is_noticed() {
    let mut guest = Guest::launch();
    fs::write(guest.file.with_file_name("beside"), "beside").expect("the place is ours");
    let begin = ["open 3 beside r", "pwrite 3 0 9 1"];
    let descriptor = format!("open 3 /proc/self/fd/{} r", guest.descriptor());
    let ways: [&[&str]; 11] = [
        &["dup2 1 3"],
        &["dup3 1 3"],
        &["close 3", "dup 1 3"],
        &["close 3", "raw 1 3"],
        &["close 3", "fcntl 1 3"],
        &["close 3", "pass 1 3"],
        &["fclose 3 0", "fcntl 1 3"],
        &["fclose 3 0", "pass 1 3"],
        &["close 3", "open 3 big r"],
        &["close 3", "open 3 big r", "dup2 1 3"],
        &["close 3", &descriptor],
    ];
    for way in ways {
        let written = ["pwrite 3 3000000 1000 1", "write 3 500 3"];
        let operations: Vec<&str> = (begin.iter().chain(way).chain(&written).copied()).collect();
        guest.comes_back_from(&operations);
        // The other way around it is nobody's business.
        let back = [
            "dup 1 3",
            "pwrite 3 5 9 2",
            "close 3",
            "open 3 beside r",
            "write 3 9 1",
        ];
        guest.comes_back_from(&back);
    }
}

#[test]
fn a_guarded_file_is_not_copied() {
    let mut guest = Guest::launch();
    guest.take();
    assert_eq!(guest.kept(), 0);
    guest.session.ask("pwrite 1 3000000 1000 1");
    guest.session.ask("pass 2 3");
    guest.session.ask("write 3 1000 1");
    guest.session.ask("child 3 3000500 1000 1");
    // A file that is opened now is no reason to copy it either.
    guest.session.ask("open 4 big r");
    guest.session.ask("print 4 3000000 1000 1");
    let kept = guest.kept();
    assert!((1..SIZE / 10).contains(&kept), "{kept} bytes are kept");
}

#[test]
fn descriptors_may_be_duplicated_closed_and_used_again_at_random() {
    let mut seed = Seed::new();
    let mut guest = Guest::launch();
    let beside = guest.file.with_file_name("beside");
    fs::write(&beside, noise(9, 20_000)).expect("the place is ours");
    for round in 0..6 {
        // Something is remembered of numbers before the take.
        let before = seed.number() >> 20;
        guest.session.ask(&format!("storm 3 300 {before}"));
        guest.take();
        let (then, beside_then) = (guest.now(), fs::read(&beside).expect("it is there"));
        if round % 3 == 2 {
            let first = seed.number() >> 20;
            guest.session.ask(&format!("storm 3 300 {first}"));
            guest.take();
        }
        let after = seed.number() >> 20;
        guest.session.ask(&format!("storm 4 1500 {after}"));
        guest.assert_changed();
        while !guest.then.is_empty() {
            guest.session.end_branch(Ending::Kill);
            guest.session.ask("ping");
            guest.assert_back(guest.then.len() - 1, "a storm");
            guest.then.pop();
        }
        assert!(then == guest.now());
        assert!(
            beside_then == fs::read(&beside).expect("it is there"),
            "the file beside it differs"
        );
    }
}

#[test]
fn what_a_started_program_inherits_comes_back() {
    let mut guest = Guest::launch();
    guest.session.ask("open 4 big r");
    guest.comes_back_from(&["pwrite 4 0 10 1", "exec 4 300000 500 0", "pwrite 4 9 9 3"]);
}

#[test]
fn each_level_has_its_own() {
    let mut guest = Guest::launch();
    guest.take();
    guest.session.ask("pwrite 1 0 200000 1");
    guest.take();
    guest.session.ask("pwrite 1 100000 200000 2");
    guest.session.ask("pwrite 1 6000000 9 2");
    guest.take();
    guest.session.ask("pwrite 1 50000 400000 3");
    guest.session.ask("truncate 1 80000");
    guest.session.end_branch(Ending::Kill);
    guest.session.ask("ping");
    guest.assert_back(2, "the third level");
    guest.session.ask("pwrite 1 10 1000000 4");
    guest.session.end_branch(Ending::Kill);
    guest.session.ask("ping");
    guest.assert_back(1, "the second level");
    guest.session.ask("pwrite 1 3000000 10 5");
    guest.session.end_branch(Ending::Kill);
    guest.session.ask("ping");
    guest.assert_back(0, "the first level");
}

#[test]
fn a_dropped_level_hands_its_blocks_down() {
    let mut guest = Guest::launch();
    guest.take();
    guest.session.ask("pwrite 1 0 200000 1");
    guest.take();
    guest.session.ask("pwrite 1 100000 200000 2");
    guest.session.ask("pwrite 1 4000000 10 2");
    let output = guest.session.command("drop", &["2"]);
    assert!(output.success(), "{output:?}");
    guest.session.ask("pwrite 1 2000000 10 3");
    guest.session.ask("pwrite 1 150000 10 3");
    guest.session.end_branch(Ending::Kill);
    guest.session.ask("ping");
    guest.assert_back(0, "a drop");
}

#[test]
fn a_kept_snapshot_brings_it_back_again() {
    let mut guest = Guest::launch();
    fs::write(guest.file.with_file_name("small"), "small").expect("the place is ours");
    guest.session.ask("open 5 small r");
    guest.take();
    for round in 1..4 {
        guest
            .session
            .ask(&format!("pwrite 1 {} 200000 {round}", round * 90_000));
        guest.session.ask("pwrite 1 5242000 5000 1");
        guest.session.ask("pwrite 5 0 9 1");
        let output = guest.session.command("revert", &["--keep"]);
        assert!(output.success(), "{output:?}");
        guest.session.ask("ping");
        guest.assert_back(0, "a revert that keeps");
        let small = fs::read(guest.file.with_file_name("small")).expect("it is there");
        assert_eq!(small, b"small");
    }
}

#[test]
fn a_commit_leaves_what_the_branch_has_written() {
    let mut guest = Guest::launch();
    guest.take();
    guest.session.ask("pwrite 1 0 200000 1");
    let now = guest.now();
    guest.session.commit();
    assert!(now == guest.now());
    guest.session.ask("pwrite 1 1000000 10 1");
    guest.comes_back_from(&["pwrite 1 2000000 10 1"]);
}

#[test]
fn random_writes_are_undone_level_by_level() {
    let mut seed = Seed::new();
    let mut guest = Guest::launch();
    for _ in 0..40 {
        match seed.below(8) {
            0 if guest.then.len() < 5 => guest.take(),
            1 if !guest.then.is_empty() => {
                guest.session.end_branch(Ending::Kill);
                guest.session.ask("ping");
                guest.assert_back(guest.then.len() - 1, "a random branch");
                guest.then.pop();
            }
            2 if guest.then.len() > 1 => {
                let oldest_but_one = guest.session.list().list("snapshots")[1].number("id");
                let output = guest
                    .session
                    .command("drop", &[&oldest_but_one.to_string()]);
                assert!(output.success(), "{output:?}");
                guest.then.remove(1);
            }
            3 => {
                let size = seed.below(2 * SIZE);
                guest.session.ask(&format!("truncate 1 {size}"));
            }
            _ => {
                let ways = ["pwrite", "writev", "pwritev", "print", "child", "send"];
                let way = *seed.pick(&ways);
                let (offset, length) = (seed.below(SIZE), seed.below(200_000) + 1);
                let salt = seed.below(1000);
                guest
                    .session
                    .ask(&format!("{way} 1 {offset} {length} {salt}"));
            }
        }
    }
    while !guest.then.is_empty() {
        guest.session.end_branch(Ending::Kill);
        guest.session.ask("ping");
        guest.assert_back(guest.then.len() - 1, "the end");
        guest.then.pop();
    }
}

/// Nanoseconds that a take took, of several.
fn best_take(session: &mut PipedSession) -> i64 {
    let takes = (0..5).map(|_| {
        let taken = session.take();
        session.commit();
        taken.number("latency_us")
    });
    takes.min().expect("there are five")
}

#[test]
fn a_take_with_ten_gigabytes_open_takes_no_longer() {
    let mut guest = Guest::launch();
    let file = File::options()
        .write(true)
        .open(&guest.file)
        .expect("it is there");
    best_take(&mut guest.session);
    let small = best_take(&mut guest.session);
    // Written in part: the rest is holes.
    for gigabyte in 0..10_u64 {
        file.write_all_at(&noise(gigabyte, 1 << 20), gigabyte << 30)
            .expect("there is room");
    }
    file.set_len(10 << 30).expect("holes need no room");
    let large = best_take(&mut guest.session);
    assert!(large < 4 * small, "{large} instead of {small} us");
    drop(file);
    guest.session.take();
    guest.session.ask("pwrite 1 5368709120 100000 1");
    guest.session.end_branch(Ending::Kill);
    guest.session.ask("ping");
    let mut there = vec![0; 100_000];
    let file = File::open(&guest.file).expect("it is there");
    file.read_exact_at(&mut there, 5 << 30).expect("it is long");
    assert!(there == noise(5, 1 << 20)[..100_000]);
}

#[test]
fn a_patch_shows_what_a_guarded_file_had() {
    let mut guest = Guest::launch();
    let text: String = (0..40_000).map(|line| format!("{line:08}\n")).collect();
    let notes = guest.file.with_file_name("notes");
    fs::write(&notes, text).expect("the place is ours");
    guest.session.ask("open 3 notes r");
    guest.take();
    guest.session.ask("fill 3 180000 8 0");
    assert_eq!(guest.patch(&[]), ["-00020000", "+AAAAAAAA"]);
    guest.take();
    guest.session.ask("fill 3 180000 8 1");
    assert_eq!(guest.patch(&["2"]), ["-AAAAAAAA", "+BBBBBBBB"]);
    guest.session.ask("fill 3 270000 8 2");
    let both = ["-00020000", "+BBBBBBBB", "-00030000", "+CCCCCCCC"];
    assert_eq!(guest.patch(&["1"]), both);
}
