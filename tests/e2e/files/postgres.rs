//! PostgreSQL in a branch that is killed: one process in the middle of a transaction, and the
//! whole server from before its first child. Memory and files come back together, and
//! PostgreSQL's own checkers find nothing wrong.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use snapshot_tests::postgres::Cluster;
use snapshot_tests::{Ending, PipedSession, Seed, Signal, Tree, deadline};

/// How often a branch is killed, and by hand.
const ROUNDS: u32 = 6;
const MANY_ROUNDS: u32 = 50;

/// The same for the whole server, of which each is a session of its own.
const SERVERS: u32 = 3;
const MANY_SERVERS: u32 = 50;

/// How long a branch of the one process runs at most.
const RUN: Duration = Duration::from_millis(300);

/// What a branch may do to the tables, after another transaction or in the one of the take.
const CHANGES: [&str; 12] = [
    "insert into kept select g, md5(g::text) from generate_series(100000, 115000) g",
    "update kept set text = md5(text)",
    "delete from kept where n % 3 = 0",
    "drop table if exists kept",
    "truncate kept",
    "create table copied as select * from kept",
    "create index on kept (text)",
    "alter table kept alter n type bigint",
    "cluster kept using kept_pkey",
    "reindex table kept",
    "checkpoint",
    "analyze",
];

/// What it may do outside a transaction only.
const LARGE_CHANGES: [&str; 5] = [
    "vacuum full kept",
    "vacuum freeze",
    "reindex database postgres",
    "create database another",
    "select pg_switch_wal()",
];

/// What tells one content of the table from another.
const SUM: &str = "count(*) || ' ' || coalesce(sum(hashtext(kept::text)), 0)";

/// `postgres --single`: a statement is a line.
struct Single {
    session: PipedSession,
    asked: u32,
}

impl Single {
    fn new(cluster: &Cluster) -> Self {
        let session = cluster
            .launch(&[])
            .arg(cluster.program("postgres"))
            .args(["--single", "-D"])
            .arg(cluster.data())
            .arg("postgres")
            .life_seconds(1200)
            .piped();
        Self { session, asked: 0 }
    }

    /// The answer to a query of one value. Whatever came before it is done then.
    fn ask(&mut self, value: &str, from: &str) -> String {
        self.ask_and_more(value, from, &[])
    }

    /// The same, with more statements behind it in one piece. When the answer comes it has read
    /// them all: nothing of a branch may wait in the pipe for the original.
    fn ask_and_more(&mut self, value: &str, from: &str, more: &[&str]) -> String {
        self.asked += 1;
        let mark = format!("answer {}: ", self.asked);
        let mut lines = vec![format!("select '{mark}' || ({value}) || '.' as a {from}")];
        lines.extend(more.iter().map(ToString::to_string));
        let piece = lines.join("\n");
        assert!(piece.len() < 4096, "it is one read");
        self.session.send(&piece);
        let line = self
            .session
            .next_line(&mark, |line| line.contains(&mark) && line.contains(" = \""));
        let answer = line.split_once(&mark).map_or("", |(_, answer)| answer);
        answer.split('.').next().unwrap_or_default().to_owned()
    }

    fn sum(&mut self) -> String {
        self.ask(SUM, "from kept")
    }

    /// The number of the transaction that runs, or nothing.
    fn transaction(&mut self) -> String {
        self.ask("coalesce(pg_current_xact_id_if_assigned()::text, '')", "")
    }

    /// What the branch does until it is killed.
    fn branch(&mut self, seed: &mut Seed) {
        let mut statements = Vec::new();
        if seed.below(3) == 0 {
            statements.push(*seed.pick(&["commit", "rollback"]));
            for _ in 0..seed.below(3) {
                statements.push(*seed.pick(&LARGE_CHANGES));
            }
        }
        for _ in 0..seed.below(4) + 1 {
            statements.push(*seed.pick(&CHANGES));
        }
        self.ask_and_more("1", "", &statements);
        seed.idle(RUN);
    }
}

fn one_process_comes_back(rounds: u32) {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let mut seed = Seed::new();
    let mut single = Single::new(&cluster);
    single
        .session
        .send("create table kept (n int primary key, text text) with (autovacuum_enabled = false)");
    single
        .session
        .send("insert into kept select g, repeat('x', g % 100) from generate_series(1, 3000) g");
    let mut committed = single.sum();
    for round in 0..rounds {
        single.session.send("begin");
        let first = 1_000_000 + 100 * round;
        for statement in [
            format!("insert into kept select {first} + g, 'new' from generate_series(1, 50) g"),
            format!("update kept set text = 'round {round}' where n % 7 = {round} % 7"),
            format!("delete from kept where n % 1000 = {round}"),
        ] {
            single.session.send(&statement);
        }
        let (sum, transaction) = (single.sum(), single.transaction());
        assert_ne!(sum, committed);
        let then = Tree::of(&cluster.data());
        single.session.take_through_launcher();
        single.branch(&mut seed);
        single.session.end_branch(Ending::Kill);
        let differences = then.differences(&Tree::of(&cluster.data()));
        if !differences.is_empty() {
            single.session.fail(&format!("{differences:#?}"));
        }
        assert_eq!(single.transaction(), transaction);
        assert_eq!(single.sum(), sum);
        if seed.below(4) == 0 {
            single.session.send("rollback");
        } else {
            single.session.send("commit");
            committed = sum;
        }
        assert_eq!(single.sum(), committed);
        deadline::renew();
    }
    single.session.close_stdin();
    assert!(single.session.wait_gone().success());
    let checked = deadline::run(
        cluster
            .command("pg_checksums")
            .args(["--check", "-D"])
            .arg(cluster.data()),
    );
    assert!(checked.success(), "{checked:?}");
    let mut server = cluster.serve();
    is_sound(&cluster);
    let query = format!("select {SUM} from kept");
    assert_eq!(cluster.query(&query), committed);
    cluster.query("reindex database postgres");
    cluster.query("vacuum full kept");
    assert_eq!(cluster.query(&query), committed);
    // The fast shutdown.
    server.signal(Signal::SIGINT);
    assert!(server.wait_gone().success());
}

/// Every table and every index is what it must be.
fn is_sound(cluster: &Cluster) {
    cluster.ask(
        "pg_amcheck",
        &[
            "--install-missing",
            "--heapallindexed",
            "--parent-check",
            "postgres",
        ],
    );
}

/// What the clients do, as a shell's script: until the server serves, they wait.
const CLIENTS: &str = "
until pg_isready -q; do sleep 0.02; done
pgbench -q -i -s 1
pgbench -c 4 -T 1
psql -Xqc 'create table copied as select * from pgbench_accounts' -c checkpoint
psql -Xqc 'vacuum full' -c 'drop table kept'";

fn clients(cluster: &Cluster) -> Child {
    let programs = cluster.program("postgres");
    let programs = programs.parent().map_or("/usr/bin".into(), |directory| {
        format!("{}:/usr/bin:/bin", directory.display())
    });
    let mut command = Command::new("/bin/sh");
    command
        .args(["-e", "-c", CLIENTS])
        .env("PATH", programs)
        .env("PGHOST", cluster.place().work())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "postgres")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    deadline::spawn(&mut command)
}

/// A shell that waits for a line, and then becomes the server.
fn server(cluster: &Cluster) -> PipedSession {
    cluster
        .launch(&["--at-start"])
        .args(["/bin/sh", "-c", "read -r line; exec \"$@\"", "sh"])
        .args(cluster.server())
        .piped()
}

fn whole_server_comes_back(rounds: u32) {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let mut seed = Seed::new();
    let mut first = cluster.serve();
    cluster.query("create table kept (n int primary key)");
    first.signal(Signal::SIGINT);
    assert!(first.wait_gone().success());
    let mut needed = None;
    for round in 0..rounds {
        let then = Tree::of(&cluster.place().work());
        let mut session = server(&cluster);
        session.next_taken();
        session.send("serve");
        let begin = Instant::now();
        let mut clients = clients(&cluster);
        match needed {
            Some(needed) => seed.idle(needed),
            // Once to the end: that says how long they need, and that they work.
            None => {
                let ended = clients.wait().expect("they are ours to wait for");
                assert!(ended.success(), "{ended}");
                needed = Some(begin.elapsed());
            }
        }
        session.end_branch(Ending::Kill);
        // Those that still wait for the server would wait for the next one.
        let _ = clients.kill();
        let _ = clients.wait();
        let differences = then.differences(&Tree::of(&cluster.place().work()));
        if !differences.is_empty() {
            session.fail(&format!("round {round}: {differences:#?}"));
        }
        session.send("serve");
        session.wait_until("it serves", || {
            deadline::run(&mut cluster.client("pg_isready", &["-q"])).success()
        });
        let count = cluster.query("select count(*) from kept");
        assert_eq!(count, round.to_string());
        let tables = "select count(*) from pg_class where relname ~ 'pgbench|copied'";
        assert_eq!(cluster.query(tables), "0");
        // The next round is from another state.
        cluster.query(&format!("insert into kept values ({round})"));
        is_sound(&cluster);
        session.signal_live(Signal::SIGINT);
        assert!(session.wait_gone().success());
        deadline::renew();
    }
}

#[test]
fn postgres_goes_on_with_its_transaction() {
    one_process_comes_back(ROUNDS);
}

#[test]
#[ignore = "takes minutes"]
fn postgres_goes_on_with_its_transaction_many_times() {
    one_process_comes_back(MANY_ROUNDS);
}

#[test]
fn a_whole_postgres_comes_back_from_its_start() {
    whole_server_comes_back(SERVERS);
}

#[test]
#[ignore = "takes minutes"]
fn a_whole_postgres_comes_back_from_its_start_many_times() {
    whole_server_comes_back(MANY_SERVERS);
}
