//! SQLite with its database on disk, in WAL mode. The snapshot is in the middle of a transaction,
//! and the branch dies in the middle of one. After the revert the program goes on with its
//! transaction as if nothing had happened.
//!
//! This works although a revert does not roll back files: a branch only *appends* to the log. Two
//! places say where the log ends: its index, which is shared memory and comes back, and the
//! program's own memory. So the branch's additions lie beyond the end, and the program overwrites
//! them. The locks come back too, so no other process takes the program for gone.
//!
//! The limits, because of which a take names the database and its log:
//! - A checkpoint in the branch (automatic after a thousand pages, or at the last close) moves
//!   the log into the database, and changes what the snapshot still needs. Then the database may
//!   be malformed after the revert.
//! - SQLite writes a part of a large transaction to the log before the commit. A branch that goes
//!   on with the transaction overwrites that part.
//! - After a power cut there is no index. If the program has written the same bytes as the
//!   branch, the bytes that the branch wrote after them count again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use snapshot_tests::deadline::{self, Output};
use snapshot_tests::{Ending, Event, Launch, PipedSession, Seed, Signal, binaries, outside};

/// The cycles of one session.
const CYCLES: u64 = 100;

/// How long a branch runs at most before it is killed; it makes some statements a millisecond.
const RUN: Duration = Duration::from_millis(8);

/// The statements of one transaction: begin, three times three, commit.
const STATEMENTS: u64 = 11;

/// What the accounts have in all.
const SUM: u64 = 32_000;

/// The program, and another that looks at its database.
struct Bank {
    session: PipedSession,
    sqlite: PathBuf,
    database: PathBuf,
    seed: Seed,
    salt: u64,
}

impl Bank {
    /// None where SQLite or Python is absent.
    fn new(launch: fn(PathBuf) -> Launch, arguments: &[&str]) -> Option<Self> {
        let (python, sqlite) = (outside::find("python3")?, outside::find("sqlite3")?);
        let launch = launch(python).arg(binaries::source("sqlite_on_disk.py"));
        let mut session = launch.args(arguments).piped();
        session.next_line("ready", |line| line == "ready");
        let database = session.place().work().join("bank.db");
        Some(Self {
            session,
            sqlite,
            database,
            seed: Seed::new(),
            salt: 0,
        })
    }

    /// Another number each time, so that no two branches move the same money.
    fn salt(&mut self) -> u64 {
        self.salt += 1;
        self.salt
    }

    /// Some statements; how many transactions are committed then, and whether one is open.
    fn step(&mut self) -> (u64, bool) {
        let command = format!("step {} {}", self.seed.below(2 * STATEMENTS), self.salt());
        state(&self.session.ask(&command))
    }

    fn finish(&mut self) -> u64 {
        let command = format!("finish {}", self.salt());
        let (committed, open) = state(&self.session.ask(&command));
        assert!(!open);
        committed
    }

    /// Has another process do something with the database.
    fn elsewhere(&self, database: &Path, sql: &str) -> Output {
        deadline::run(
            Command::new(&self.sqlite)
                .arg("-batch")
                .arg(database)
                .arg(sql),
        )
    }

    /// What another process finds: whether the database is whole, the sum, and how many
    /// transactions there are.
    fn look(&self, database: &Path) -> Output {
        let sql = "PRAGMA integrity_check; SELECT sum(money) FROM account; \
                   SELECT count(*) / 3.0 FROM log;";
        self.elsewhere(database, sql)
    }

    /// Another process finds so many transactions in the database, and the database whole.
    fn assert_seen_elsewhere(&self, committed: u64) {
        let seen = self.look(&self.database);
        assert_eq!(
            seen.stdout,
            format!("ok\n{SUM}\n{committed}.0\n"),
            "{seen:?}"
        );
    }

    /// The program's locks keep another process out that wants to write.
    fn assert_locked(&self) {
        let denied = self.elsewhere(&self.database, "BEGIN IMMEDIATE; ROLLBACK;");
        assert!(denied.stderr.contains("locked"), "{denied:?}");
    }

    /// As after a power cut: the files, without what was only memory. They may tell of
    /// transactions of a branch that is gone, but none is half there.
    fn assert_survives_a_cut(&self) {
        let cut = self.session.place().path("cut");
        std::fs::create_dir_all(&cut).expect("the place is ours");
        for name in ["bank.db", "bank.db-wal"] {
            let copied = std::fs::copy(self.database.with_file_name(name), cut.join(name));
            copied.expect("the files are there");
        }
        let seen = self.look(&cut.join("bank.db"));
        assert!(seen.stdout.starts_with(&format!("ok\n{SUM}\n")), "{seen:?}");
        // The rows of one transaction are together there, or not at all.
        assert!(seen.stdout.ends_with(".0\n"), "{seen:?}");
        std::fs::remove_dir_all(&cut).expect("the place is ours");
    }

    /// The log's inode: it is another if somebody has removed the log meanwhile.
    fn log(&self) -> u64 {
        let log = std::fs::metadata(self.database.with_file_name("bank.db-wal"));
        log.expect("the log is there").ino()
    }

    /// It goes on from here with its transaction, and so does everybody else.
    fn goes_on(&mut self, committed: u64, open: bool) {
        assert_eq!(state(&self.session.ask("step 0 0")), (committed, open));
        if open {
            self.assert_locked();
        }
        // A reader in another process is served by the same index.
        self.assert_seen_elsewhere(committed);
        let committed = committed + 1;
        assert_eq!(self.finish(), committed);
        assert_eq!(self.session.ask("check"), committed.to_string());
        self.assert_seen_elsewhere(committed);
        if self.seed.below(8) == 0 {
            self.assert_survives_a_cut();
        }
        if self.seed.below(8) == 0 {
            // Without a snapshot it may do so.
            let mode = *self.seed.pick(&["PASSIVE", "RESTART", "TRUNCATE"]);
            self.session.ask(&format!("checkpoint {mode}"));
            self.session.ask("check");
        }
    }

    /// It ends by itself, and leaves the database whole.
    fn ends(&mut self) {
        let committed = self.finish();
        assert_eq!(self.session.end_by_itself(0), format!("ok {committed}"));
        self.assert_seen_elsewhere(committed);
    }

    /// Lets the branch die in the middle of a transaction, or of a statement.
    fn die(&mut self) {
        if self.seed.below(2) == 0 {
            self.step();
            self.session
                .end_branch(Ending::Dies("die", Signal::SIGABRT));
        } else {
            let salt = self.salt();
            self.session.ask(&format!("run {salt}"));
            self.seed.idle(RUN);
            self.session.end_branch(Ending::Kill);
        }
    }
}

/// `COMMITTED OPEN`, as the program answers.
fn state(answer: &str) -> (u64, bool) {
    let (committed, open) = answer.split_once(' ').expect("two words");
    (committed.parse().expect("a number"), open == "True")
}

/// All of them come back.
fn assert_names_no_file(taken: &Event) {
    for item in taken.list("not_rolled_back") {
        assert!(!item.text("what").contains("/bank.db"), "{taken}");
    }
}

#[test]
fn a_hundred_branches_die_in_a_transaction() {
    let Some(mut bank) = Bank::new(Launch::program, &[]) else {
        return;
    };
    let log = bank.log();
    for _ in 0..CYCLES {
        let (committed, open) = bank.step();
        let taken = bank.session.take();
        assert_names_no_file(&taken);
        if bank.seed.below(3) == 0 {
            bank.step();
            bank.session.ask("check");
        }
        bank.die();

        bank.goes_on(committed, open);
        assert_eq!(bank.log(), log, "somebody took the program for gone");
    }
    bank.ends();
}

#[test]
fn the_bank_is_unbroken_without_the_tool() {
    let Some(mut bank) = Bank::new(Launch::bare, &[]) else {
        return;
    };
    for _ in 0..10 {
        let (committed, open) = bank.step();
        bank.goes_on(committed, open);
    }
    bank.ends();
}

#[test]
fn a_checkpoint_in_a_branch_is_undone_with_it() {
    let Some(mut bank) = Bank::new(Launch::program, &["alone"]) else {
        return;
    };
    bank.finish();
    let (committed, open) = bank.step();
    let taken = bank.session.take();
    assert_names_no_file(&taken);
    for _ in 0..5 {
        bank.finish();
    }
    // SQLite's flag for one that was kept from moving the whole log.
    assert_eq!(bank.session.ask("checkpoint TRUNCATE"), "0");
    bank.finish();
    bank.session.end_branch(Ending::Kill);
    assert_eq!(state(&bank.session.ask("step 0 0")), (committed, open));
    let committed = bank.finish();
    assert_eq!(bank.session.ask("check"), committed.to_string());
    bank.ends();
}
