//! The live program's close is the last close for the kernel, although frozen copies had the same
//! file: the lock is free, a new executable can run, watchers see the end, the lease is gone,
//! memory can be sealed, the other side of a terminal hangs up.
//!
//! The guest `last_close` closes, and its witness process looks. After a revert everything is
//! open again.

use snapshot_tests::{Event, Isolation, Launch, PipedSession};

/// By each way that libc knows, and without it.
const WAYS: [&str; 6] = ["close", "range", "dup2", "dup3", "fclose", "raw"];

/// What is closed, and the question to the witness that is answered with yes after it.
const CLOSED: [(&str, &str); 7] = [
    ("flocked", "free flocked"),
    ("ofd", "free ofd"),
    ("listed", "free listed"),
    ("program", "runs"),
    ("watched", "written"),
    ("leased", "breaks"),
    ("modest", "free modest"),
];

/// How many snapshots there are.
const DEPTH: usize = 2;

struct Pair {
    program: PipedSession,
    witness: PipedSession,
}

impl Pair {
    fn new(launch: Launch) -> Self {
        let mut program = launch.piped();
        let mut witness = Launch::bare_guest_in_c("last_close")
            .directory(&program.place().work())
            .piped();
        let slave = witness.ask("pty");
        program.ask(&format!("open {slave}"));
        witness.ask("watch");
        witness.ask("alive");
        program.ask("check");
        Self { program, witness }
    }

    fn with_snapshots(launch: Launch) -> Self {
        let mut pair = Self::new(launch);
        for _ in 0..DEPTH {
            pair.program.take();
        }
        pair
    }

    /// The answer of the witness is no.
    fn denied(&mut self, question: &str) {
        self.witness.send(question);
        let answer = self
            .witness
            .next_line(question, |line| line == "ok" || line.starts_with("err "));
        assert!(answer.starts_with("err "), "{question}: {answer}");
    }

    /// What can be opened again is as it was.
    fn revert_with_losses(&mut self) {
        let output = self.program.command("revert", &["--keep"]);
        assert!(output.success(), "{output:?}");
        self.program.next("reverted");
        self.program.ask("check");
    }

    fn revert(&mut self) {
        self.revert_with_losses();
        let told = self.program.stderr();
        assert!(!told.contains("not put back"), "{told}");
    }
}

fn under_the_tool() -> Launch {
    Launch::guest_in_c("last_close")
}

fn by_every_way(launch: impl Fn() -> Launch, ways: &[&str]) {
    let mut pair = Pair::with_snapshots(launch());
    pair.program.ask("check");
    for way in ways {
        for (name, question) in CLOSED {
            // What an ordinary user can't open again is held, and a raw call is not seen.
            if (name, *way) == ("modest", "raw") {
                continue;
            }
            // The end of a branch has closed it as well.
            pair.witness.ask("forget");
            if name != "leased" {
                pair.denied(question);
            }
            pair.program.ask(&format!("close {name} {way}"));
            pair.witness.ask(question);
            pair.revert();
        }
    }
}

#[test]
fn comes_with_the_programs_close() {
    by_every_way(under_the_tool, &WAYS);
}

#[test]
fn comes_where_ids_differ() {
    let launch = || under_the_tool().flag("--isolate").flag("never");
    by_every_way(launch, &["close", "raw"]);
}

#[test]
fn comes_for_an_ordinary_user() {
    for isolation in [Isolation::Allowed, Isolation::NoUserNamespaces] {
        by_every_way(|| under_the_tool().as_user(isolation), &["close", "raw"]);
    }
}

#[test]
fn comes_with_an_exec() {
    let mut pair = Pair::with_snapshots(under_the_tool());
    pair.program.ask("exec");
    for (_, question) in CLOSED {
        pair.witness.ask(question);
    }
    pair.witness.ask("free mapped");
    // The first end of a terminal is another one.
    pair.revert_with_losses();
}

#[test]
fn comes_with_the_end_of_a_child_that_shares() {
    for (name, question) in CLOSED.into_iter().filter(|(name, _)| *name != "leased") {
        let mut pair = Pair::new(under_the_tool());
        pair.program.ask(&format!("share {name}"));
        pair.program.take();
        pair.program.ask(&format!("close {name} close"));
        pair.denied(question);
        pair.program.ask("unshare");
        pair.witness.ask(question);
    }
}

#[test]
fn locks_come_back_that_a_child_has_as_well() {
    let mut pair = Pair::with_snapshots(under_the_tool());
    for name in ["flocked", "ofd", "mapped", "listed", "leased"] {
        // It ends with its branch.
        pair.program.ask(&format!("share {name}"));
        pair.revert();
    }
    for name in ["flocked", "ofd", "listed"] {
        let mut pair = Pair::new(under_the_tool());
        pair.program.ask(&format!("share {name}"));
        let taken = pair.program.take();
        // If the branch closed it, that child alone would have the lock.
        let is_it = |item: &Event| {
            item.text("what").ends_with(&format!("/{name}"))
                && item.text("why").contains("another process")
        };
        assert!(
            taken.list("not_rolled_back").iter().any(is_it),
            "{name}: {taken}"
        );
        pair.revert();
        pair.revert();
    }
}

#[test]
fn comes_with_an_unmapping() {
    let mut pair = Pair::with_snapshots(under_the_tool());
    for _ in 0..3 {
        pair.denied("free mapped");
        pair.program.ask("unmap");
        pair.witness.ask("free mapped");
        pair.revert();
        pair.program.ask("seal");
        pair.revert();
    }
}

#[test]
fn hangs_the_other_side_of_a_terminal_up() {
    for way in WAYS.into_iter().filter(|way| *way != "raw") {
        let mut pair = Pair::with_snapshots(under_the_tool());
        pair.witness.ask("alive");
        pair.program.ask(&format!("close slave {way}"));
        pair.witness.ask("hung-up");
        pair.revert();
        pair.witness.ask("alive");
    }
    for way in WAYS.into_iter().filter(|way| *way != "raw") {
        let mut pair = Pair::new(under_the_tool());
        pair.program.ask("look");
        for _ in 0..DEPTH {
            pair.program.take();
        }
        pair.program.ask(&format!("close master {way}"));
        pair.program.ask("child-hung-up");
    }
}

#[test]
fn the_guest_is_right_without_the_tool() {
    for way in WAYS {
        let mut pair = Pair::new(Launch::bare_guest_in_c("last_close"));
        for (name, question) in CLOSED {
            pair.denied(question);
            pair.program.ask(&format!("close {name} {way}"));
            pair.witness.ask(question);
        }
        pair.denied("free mapped");
        pair.program.ask("unmap");
        pair.witness.ask("free mapped");
        pair.program.ask("seal");
        pair.program.ask(&format!("close slave {way}"));
        pair.witness.ask("hung-up");
        pair.program.ask("look");
        pair.program.ask(&format!("close master {way}"));
        pair.program.ask("child-hung-up");
    }
}
