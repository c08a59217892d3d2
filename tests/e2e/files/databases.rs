//! Databases that are open across a take: memory, locks, the index of a log and the files come
//! back together, so a branch may do anything to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use snapshot_tests::redis::{self, Client};
use snapshot_tests::{
    Ending, Launch, PipedSession, Place, Seed, Tree, binaries, deadline, outside,
};

/// How often the branch is killed, and by hand.
const ROUNDS: u32 = 10;
const MANY_ROUNDS: u32 = 50;

/// How long a branch runs at most before it is killed.
const RUN: Duration = Duration::from_millis(40);

/// What a branch of SQLite does before it is killed.
fn branch(session: &mut PipedSession, seed: &mut Seed) {
    for _ in 0..seed.below(3) {
        let salt = seed.below(1000);
        let commands = [
            format!("step {} {salt}", seed.below(30) + 1),
            format!("large {salt}"),
            "checkpoint".to_owned(),
        ];
        let command = seed.pick(&commands).clone();
        session.ask(&command);
    }
    let salt = seed.below(1000);
    session.ask(&format!("run {salt}"));
    seed.idle(RUN);
}

/// What another process finds in a copy of the database: it would change the files themselves.
fn whole_elsewhere(sqlite: &Path, work: &Path, place: &Place) -> String {
    let copy = place.path("copy");
    fs::create_dir_all(&copy).expect("the place is ours");
    for entry in fs::read_dir(work).expect("the place is ours").flatten() {
        let name = entry.file_name();
        // The index of a log is memory, which a copy has not.
        if !name.to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), copy.join(name)).expect("the place is ours");
        }
    }
    let mut command = Command::new(sqlite);
    command
        .arg("-batch")
        .arg(copy.join("bank.db"))
        .arg("PRAGMA integrity_check;");
    let seen = deadline::run(&mut command);
    fs::remove_dir_all(&copy).expect("the place is ours");
    seen.stdout + &seen.stderr
}

fn sqlite_comes_back(mode: &str, rounds: u32) {
    let (Some(python), Some(sqlite)) = (outside::find("python3"), outside::find("sqlite3")) else {
        return;
    };
    let mut seed = Seed::new();
    let guest = binaries::source("database.py");
    let mut session = Launch::program(python)
        .arg(guest)
        .arg(mode)
        .life_seconds(600)
        .piped();
    session.next_line("ready", |line| line == "ready");
    let (work, place) = (session.place().work(), session.place().clone());
    session.ask("step 60 1");
    for _ in 0..rounds {
        let (steps, salt) = (seed.below(40), seed.below(1000));
        session.ask(&format!("step {steps} {salt}"));
        let (rows, then) = (session.ask("rows"), Tree::of(&work));
        session.take();
        branch(&mut session, &mut seed);
        session.end_branch(Ending::Kill);
        let differences = then.differences(&Tree::of(&work));
        if !differences.is_empty() {
            session.fail(&format!("{differences:#?}"));
        }
        assert_eq!(whole_elsewhere(&sqlite, &work, &place), "ok\n");
        assert_eq!(session.ask("rows"), rows);
        assert_eq!(session.ask("whole"), "ok");
        deadline::renew();
    }
    session.ask("step 30 5");
    assert_eq!(session.ask("whole"), "ok");
    session.close_stdin();
    assert!(session.wait_gone().success());
}

#[test]
fn sqlite_with_a_log_comes_back() {
    sqlite_comes_back("wal", ROUNDS);
}

#[test]
fn sqlite_with_a_rollback_journal_comes_back() {
    sqlite_comes_back("delete", ROUNDS);
}

#[test]
fn sqlite_with_a_journal_that_is_truncated_comes_back() {
    sqlite_comes_back("truncate", ROUNDS);
}

#[test]
#[ignore = "takes minutes"]
fn sqlite_comes_back_many_times() {
    for mode in ["wal", "delete", "truncate", "persist"] {
        sqlite_comes_back(mode, MANY_ROUNDS);
    }
}

/// A server that appends each change to a file, and a client.
struct Redis {
    session: PipedSession,
    data: PathBuf,
    socket: PathBuf,
    // Below the session, which still writes while it ends.
    _directory: tempfile::TempDir,
}

impl Redis {
    /// None where Redis is absent.
    fn new() -> Option<Self> {
        let program = outside::find("redis-server")?;
        // The server's own place is made as it starts, so its files lie elsewhere.
        let directory = tempfile::tempdir().expect("the temp directory is writable");
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("it is ours");
        // A socket that listens again is a new one.
        let socket = directory.path().join("socket");
        let text = |path: &Path| path.to_str().expect("it is text").to_owned();
        let session = redis::server(
            program,
            &[
                "--port",
                "0",
                "--unixsocket",
                &text(&socket),
                "--dir",
                &text(&data),
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--enable-debug-command",
                "local",
                "--auto-aof-rewrite-percentage",
                "0",
            ],
        );
        Some(Self {
            session,
            data,
            socket,
            _directory: directory,
        })
    }

    fn client(&self) -> Client {
        Client::unix(&self.socket)
    }

    /// Everything that it keeps, as a sum of its own.
    fn everything(&self) -> String {
        let digest = self.client().ask("DEBUG DIGEST");
        assert_eq!(digest.trim_start_matches('+').len(), 40, "{digest}");
        digest
    }

    /// Waits until no child rewrites the file.
    fn settle(&mut self) {
        let socket = self.socket.clone();
        self.session.wait_until("the file is rewritten", || {
            Client::unix(&socket).info("aof_rewrite_in_progress") == 0
        });
    }
}

fn redis_comes_back(rounds: u32) {
    let Some(mut server) = Redis::new() else {
        return;
    };
    let mut seed = Seed::new();
    let checker = outside::find("redis-check-aof");
    for round in 0..rounds {
        let mut client = server.client();
        for _ in 0..20 {
            let (key, value) = (seed.below(50), seed.number());
            client.ask(&format!("SET key{key} {value}"));
        }
        client.ask(&format!("RPUSH list {round}"));
        if seed.below(3) == 0 {
            client.ask("BGREWRITEAOF");
            server.settle();
        }
        drop(client);
        let (everything, then) = (server.everything(), Tree::of(&server.data));
        server.session.take();
        let mut client = server.client();
        for _ in 0..seed.below(40) {
            client.ask(&format!("SET key{} branch", seed.below(50)));
        }
        if seed.below(2) == 0 {
            client.ask("BGREWRITEAOF");
            seed.idle(RUN);
        }
        server.session.end_branch(Ending::Kill);
        let differences = then.differences(&Tree::of(&server.data));
        if !differences.is_empty() {
            server.session.fail(&format!("{differences:#?}"));
        }
        assert_eq!(server.everything(), everything);
        if let Some(checker) = &checker {
            let mut command = Command::new(checker);
            command.arg(server.data.join("appendonlydir/appendonly.aof.manifest"));
            let checked = deadline::run(&mut command);
            assert!(checked.success(), "{checked:?}");
        }
        deadline::renew();
    }
}

#[test]
fn redis_with_an_append_only_file_comes_back() {
    redis_comes_back(ROUNDS / 2);
}

#[test]
#[ignore = "takes minutes"]
fn redis_with_an_append_only_file_comes_back_many_times() {
    redis_comes_back(MANY_ROUNDS);
}
